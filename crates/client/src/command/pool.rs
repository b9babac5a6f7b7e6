//! `octavia pool …`

use super::{Body, Job, filter_query, parent};
use crate::args::PoolCommand;
use crate::{Error, Kind};

const POOL: Kind = Kind::Pool;
const COLUMNS: [&str; 6] =
    ["id", "name", "protocol", "lb_algorithm", "provisioning_status", "operating_status"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: PoolCommand) -> Result<(), Error> {
    match command {
        PoolCommand::Create(create) => {
            let mut body = Body::default();
            body.common(&create.common, None)
                .put("description", create.description)
                .put("protocol", Some(create.protocol))
                .put("lb_algorithm", Some(create.lb_algorithm))
                .put("session_persistence", create.session_persistence.map(|pairs| pairs.to_json()));
            if let Some(listener) = &create.listener {
                body.put("listener_id", Some(job.api.find(Kind::Listener, listener).await?));
            }
            if let Some(lb) = &create.loadbalancer {
                body.put("loadbalancer_id", Some(job.api.find(Kind::LoadBalancer, lb).await?));
            }
            let mut made = job.api.create(POOL, body.into_value()).await?;
            if create.wait.wait {
                job.wait_lb(parent(&made, "loadbalancers")?, &create.wait).await?;
                made = job.api.show(POOL, made.id()).await?;
            }
            job.print_object(&made)
        }
        PoolCommand::List(list) => {
            let mut query = filter_query(&list.filters);
            if let Some(lb) = &list.loadbalancer {
                query.push(("loadbalancer_id", job.api.find(Kind::LoadBalancer, lb).await?));
            }
            let found = job.api.list(POOL, &query).await?;
            job.print_list(&found, &COLUMNS)
        }
        PoolCommand::Show { pool } => {
            let object = job.api.show_named(POOL, &pool).await?;
            job.print_object(&object)
        }
        PoolCommand::Set(set) => {
            let object = job.api.find_object(POOL, &set.pool).await?;
            let mut body = Body::default();
            body.common(&set.common, Some(&object))
                .put("description", set.description)
                .put("lb_algorithm", set.lb_algorithm)
                .put("session_persistence", set.session_persistence.map(|pairs| pairs.to_json()));
            let mut changed = job.api.set(POOL, object.id(), body.into_change()?).await?;
            if set.wait.wait {
                job.wait_lb(parent(&object, "loadbalancers")?, &set.wait).await?;
                changed = job.api.show(POOL, object.id()).await?;
            }
            job.print_object(&changed)
        }
        PoolCommand::Delete { pools, wait } => {
            let mut objects = vec![];
            for pool in &pools {
                objects.push(job.api.find_object(POOL, pool).await?);
            }
            for object in &objects {
                job.api.delete(POOL, object.id()).await?;
            }
            for object in &objects {
                job.wait_lb(parent(object, "loadbalancers")?, &wait).await?;
                job.wait_gone(POOL, object.id(), &wait).await?;
            }
            Ok(())
        }
    }
}
