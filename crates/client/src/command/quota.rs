//! `octavia quota …`

use serde_json::Value;

use super::{Body, Job};
use crate::args::{QuotaCommand, QuotaUnset};
use crate::{Error, Object};

const COLUMNS: [&str; 8] =
    ["project_id", "load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: QuotaCommand) -> Result<(), Error> {
    match command {
        QuotaCommand::List { project } => {
            let query: Vec<_> = project.map(|project| ("project_id", project)).into_iter().collect();
            let found = job.api.quota_list(&query).await?;
            job.print_list(&found, &COLUMNS)
        }
        QuotaCommand::Show { project } => {
            let quota = job.api.quota_show(&project).await?;
            print(job, quota)
        }
        QuotaCommand::Set(set) => {
            let mut body = Body::default();
            body.put("load_balancer", set.loadbalancer)
                .put("listener", set.listener)
                .put("pool", set.pool)
                .put("member", set.member)
                .put("health_monitor", set.healthmonitor)
                .put("l7policy", set.l7policy)
                .put("l7rule", set.l7rule);
            let quota = job.api.quota_set(&set.project, body.into_change()?).await?;
            print(job, quota)
        }
        QuotaCommand::Unset(unset) => {
            let body = reset(&unset);
            let Ok(body) = body.into_change() else { return job.api.quota_reset(&unset.project).await };
            job.api.quota_set(&unset.project, body).await.map(drop)
        }
        QuotaCommand::Defaults => {
            let mut quota = job.api.quota_defaults().await?;
            // They are nobody's.
            quota.0.remove("project_id");
            print(job, quota)
        }
    }
}

/// Null for each limit that is named.
fn reset(unset: &QuotaUnset) -> Body {
    let mut body = Body::default();
    for (key, named) in [
        ("load_balancer", unset.loadbalancer),
        ("listener", unset.listener),
        ("pool", unset.pool),
        ("member", unset.member),
        ("health_monitor", unset.healthmonitor),
        ("l7policy", unset.l7policy),
        ("l7rule", unset.l7rule),
    ] {
        body.put(key, named.then_some(Value::Null));
    }
    body
}

/// Without the second spellings of some attributes.
fn print(job: &mut Job<'_, '_>, mut quota: Object) -> Result<(), Error> {
    for alias in ["loadbalancer", "healthmonitor", "tenant_id"] {
        quota.0.remove(alias);
    }
    job.print_object(&quota)
}
