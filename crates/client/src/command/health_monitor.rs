//! `octavia healthmonitor …`

use super::{Body, Job, filter_query, parent};
use crate::args::{HealthMonitorAttributes, HealthMonitorCommand};
use crate::{Error, Kind, Object};

const MONITOR: Kind = Kind::HealthMonitor;
const COLUMNS: [&str; 7] =
    ["id", "name", "type", "delay", "timeout", "provisioning_status", "operating_status"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: HealthMonitorCommand) -> Result<(), Error> {
    match command {
        HealthMonitorCommand::Create(create) => {
            let pool = job.api.find(Kind::Pool, &create.pool).await?;
            let mut body = attributes(create.attributes, None);
            body.put("pool_id", Some(pool.as_str()))
                .put("type", Some(create.kind))
                .put("delay", Some(create.delay))
                .put("timeout", Some(create.timeout))
                .put("max_retries", Some(create.max_retries));
            let mut made = job.api.create(MONITOR, body.into_value()).await?;
            if create.wait.wait {
                job.wait_lb(&job.pool_lb(&pool).await?, &create.wait).await?;
                made = job.api.show(MONITOR, made.id()).await?;
            }
            job.print_object(&made)
        }
        HealthMonitorCommand::List { filters } => {
            let found = job.api.list(MONITOR, &filter_query(&filters)).await?;
            job.print_list(&found, &COLUMNS)
        }
        HealthMonitorCommand::Show { monitor } => {
            let object = job.api.show_named(MONITOR, &monitor).await?;
            job.print_object(&object)
        }
        HealthMonitorCommand::Set(set) => {
            let object = job.api.find_object(MONITOR, &set.monitor).await?;
            let mut body = attributes(set.attributes, Some(&object));
            body.put("delay", set.delay).put("timeout", set.timeout).put("max_retries", set.max_retries);
            let mut changed = job.api.set(MONITOR, object.id(), body.into_change()?).await?;
            if set.wait.wait {
                job.wait_lb(&job.pool_lb(parent(&object, "pools")?).await?, &set.wait).await?;
                changed = job.api.show(MONITOR, object.id()).await?;
            }
            job.print_object(&changed)
        }
        HealthMonitorCommand::Delete { monitors, wait } => {
            let mut objects = vec![];
            for monitor in &monitors {
                objects.push(job.api.find_object(MONITOR, monitor).await?);
            }
            for object in &objects {
                job.api.delete(MONITOR, object.id()).await?;
            }
            for object in objects.iter().filter(|_| wait.wait) {
                job.wait_lb(&job.pool_lb(parent(object, "pools")?).await?, &wait).await?;
                job.wait_gone(MONITOR, object.id(), &wait).await?;
            }
            Ok(())
        }
    }
}

fn attributes(given: HealthMonitorAttributes, held: Option<&Object>) -> Body {
    let mut body = Body::default();
    body.common(&given.common, held)
        .put("max_retries_down", given.max_retries_down)
        .put("http_method", given.http_method)
        .put("url_path", given.url_path)
        .put("expected_codes", given.expected_codes)
        .put("http_version", given.http_version)
        .put("domain_name", given.domain_name);
    body
}
