//! `octavia member …`

use super::{Body, Job, filter_query};
use crate::args::{MemberAttributes, MemberCommand};
use crate::populated::MemberSpec;
use crate::{Error, Kind, Object};

const COLUMNS: [&str; 7] =
    ["id", "name", "address", "protocol_port", "weight", "provisioning_status", "operating_status"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: MemberCommand) -> Result<(), Error> {
    match command {
        MemberCommand::Create(create) => {
            let pool = job.api.find(Kind::Pool, &create.pool).await?;
            let mut body = attributes(create.attributes, None);
            body.put("address", Some(create.address.to_string()))
                .put("protocol_port", Some(create.protocol_port))
                .put("backup", create.backup.then_some(true));
            if let Some(subnet) = &create.subnet_id {
                body.put("subnet_id", Some(job.api.network_find("subnet", subnet).await?));
            }
            let mut made = job.api.member_create(&pool, body.into_value()).await?;
            if create.wait.wait {
                job.wait_lb(&job.pool_lb(&pool).await?, &create.wait).await?;
                made = job.api.member_show(&pool, made.id()).await?;
            }
            job.print_object(&made)
        }
        MemberCommand::List { pool, filters } => {
            let pool = job.api.find(Kind::Pool, &pool).await?;
            let found = job.api.member_list(&pool, &filter_query(&filters)).await?;
            job.print_list(&found, &COLUMNS)
        }
        MemberCommand::Show { pool, member } => {
            let pool = job.api.find(Kind::Pool, &pool).await?;
            let found = job.api.member_find(&pool, &member).await?;
            // A list leaves out the reason of a bad status.
            let object = job.api.member_show(&pool, found.id()).await?;
            job.print_object(&object)
        }
        MemberCommand::Set(set) => {
            let pool = job.api.find(Kind::Pool, &set.pool).await?;
            let object = job.api.member_find(&pool, &set.member).await?;
            let mut body = attributes(set.attributes, Some(&object));
            body.put("backup", set.backup);
            let mut changed = job.api.member_set(&pool, object.id(), body.into_change()?).await?;
            if set.wait.wait {
                job.wait_lb(&job.pool_lb(&pool).await?, &set.wait).await?;
                changed = job.api.member_show(&pool, object.id()).await?;
            }
            job.print_object(&changed)
        }
        MemberCommand::Replace(replace) => {
            let pool = job.api.find(Kind::Pool, &replace.pool).await?;
            let list = replace.members.iter().map(MemberSpec::body).collect();
            job.api.member_replace(&pool, list, replace.additive).await?;
            if replace.wait.wait {
                job.wait_lb(&job.pool_lb(&pool).await?, &replace.wait).await?;
            }
            let found = job.api.member_list(&pool, &[]).await?;
            job.print_list(&found, &COLUMNS)
        }
        MemberCommand::Delete { pool, members, wait } => {
            let pool = job.api.find(Kind::Pool, &pool).await?;
            let mut ids = vec![];
            for member in &members {
                ids.push(job.api.member_find(&pool, member).await?.id().to_owned());
            }
            for id in &ids {
                job.api.member_delete(&pool, id).await?;
            }
            if wait.wait {
                job.wait_lb(&job.pool_lb(&pool).await?, &wait).await?;
            }
            for id in &ids {
                job.member_wait_gone(&pool, id, &wait).await?;
            }
            Ok(())
        }
    }
}

fn attributes(given: MemberAttributes, held: Option<&Object>) -> Body {
    let mut body = Body::default();
    body.common(&given.common, held)
        .put("weight", given.weight)
        .put("monitor_address", given.monitor_address.map(|a| a.to_string()))
        .put("monitor_port", given.monitor_port);
    body
}
