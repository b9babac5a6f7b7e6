//! `octavia l7rule …`

use serde_json::Value;

use super::{Body, Job};
use crate::args::{L7RuleAttributes, L7RuleCommand, Wait};
use crate::{Error, Kind, Object};

const COLUMNS: [&str; 8] =
    ["id", "type", "compare_type", "key", "value", "invert", "provisioning_status", "operating_status"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: L7RuleCommand) -> Result<(), Error> {
    match command {
        L7RuleCommand::Create(create) => {
            let policy = job.api.find_object(Kind::L7Policy, &create.policy).await?;
            let mut body = attributes(create.attributes, None);
            body.put("type", Some(create.kind))
                .put("compare_type", Some(create.compare_type))
                .put("value", Some(create.value));
            let mut made = job.api.l7rule_create(policy.id(), body.into_value()).await?;
            if create.wait.wait {
                job.wait_lb(&job.listener_lb(policy.text("listener_id")).await?, &create.wait).await?;
                made = job.api.l7rule_show(policy.id(), made.id()).await?;
            }
            job.print_object(&made)
        }
        L7RuleCommand::List { policy, tags } => {
            let policy = job.api.find(Kind::L7Policy, &policy).await?;
            let query = if tags.is_empty() { vec![] } else { vec![("tags", tags.join(","))] };
            let found = job.api.l7rule_list(&policy, &query).await?;
            job.print_list(&found, &COLUMNS)
        }
        L7RuleCommand::Show { policy, rule } => {
            let policy = job.api.find(Kind::L7Policy, &policy).await?;
            let object = job.api.l7rule_show(&policy, &rule).await?;
            job.print_object(&object)
        }
        L7RuleCommand::Set(set) => {
            let policy = job.api.find_object(Kind::L7Policy, &set.policy).await?;
            let object = job.api.l7rule_show(policy.id(), &set.rule).await?;
            let mut body = attributes(set.attributes, Some(&object));
            body.put("type", set.kind).put("compare_type", set.compare_type).put("value", set.value);
            change(job, &policy, &set.rule, body, &set.wait).await
        }
        L7RuleCommand::Unset(unset) => {
            let policy = job.api.find_object(Kind::L7Policy, &unset.policy).await?;
            let mut body = Body::default();
            for (key, given) in [("invert", unset.invert), ("key", unset.key)] {
                body.put(key, given.then_some(Value::Null));
            }
            change(job, &policy, &unset.rule, body, &unset.wait).await
        }
        L7RuleCommand::Delete { policy, rules, wait } => {
            let policy = job.api.find_object(Kind::L7Policy, &policy).await?;
            for rule in &rules {
                job.api.l7rule_delete(policy.id(), rule).await?;
            }
            if wait.wait {
                job.wait_lb(&job.listener_lb(policy.text("listener_id")).await?, &wait).await?;
            }
            for rule in &rules {
                job.l7rule_wait_gone(policy.id(), rule, &wait).await?;
            }
            Ok(())
        }
    }
}

async fn change(
    job: &mut Job<'_, '_>,
    policy: &Object,
    rule: &str,
    body: Body,
    wait: &Wait,
) -> Result<(), Error> {
    let mut changed = job.api.l7rule_set(policy.id(), rule, body.into_change()?).await?;
    if wait.wait {
        job.wait_lb(&job.listener_lb(policy.text("listener_id")).await?, wait).await?;
        changed = job.api.l7rule_show(policy.id(), rule).await?;
    }
    job.print_object(&changed)
}

fn attributes(given: L7RuleAttributes, held: Option<&Object>) -> Body {
    let mut body = Body::default();
    body.switches(&given.switches, held).put("key", given.key).put("invert", given.invert.then_some(true));
    body
}
