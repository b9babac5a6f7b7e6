//! `octavia l7policy …`

use serde_json::Value;

use super::{Body, Job, filter_query};
use crate::args::{L7PolicyAttributes, L7PolicyCommand, Wait};
use crate::{Error, Kind, Object};

const POLICY: Kind = Kind::L7Policy;
const COLUMNS: [&str; 7] =
    ["id", "name", "listener_id", "action", "position", "provisioning_status", "operating_status"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: L7PolicyCommand) -> Result<(), Error> {
    match command {
        L7PolicyCommand::Create(create) => {
            let listener = job.api.find(Kind::Listener, &create.listener).await?;
            let mut body = attributes(job, create.attributes, None).await?;
            body.put("listener_id", Some(listener.as_str())).put("action", Some(create.action));
            let mut made = job.api.create(POLICY, body.into_value()).await?;
            if create.wait.wait {
                job.wait_lb(&job.listener_lb(&listener).await?, &create.wait).await?;
                made = job.api.show(POLICY, made.id()).await?;
            }
            job.print_object(&made)
        }
        L7PolicyCommand::List(list) => {
            let mut query = filter_query(&list.filters);
            if let Some(listener) = &list.listener {
                query.push(("listener_id", job.api.find(Kind::Listener, listener).await?));
            }
            let found = job.api.list(POLICY, &query).await?;
            job.print_list(&found, &COLUMNS)
        }
        L7PolicyCommand::Show { policy } => {
            let object = job.api.show_named(POLICY, &policy).await?;
            job.print_object(&object)
        }
        L7PolicyCommand::Set(set) => {
            let object = job.api.find_object(POLICY, &set.policy).await?;
            let mut body = attributes(job, set.attributes, Some(&object)).await?;
            body.put("action", set.action);
            change(job, &object, body, &set.wait).await
        }
        L7PolicyCommand::Unset(unset) => {
            let object = job.api.find_object(POLICY, &unset.policy).await?;
            let mut body = Body::default();
            for (key, given) in [
                ("name", unset.name),
                ("description", unset.description),
                ("redirect_http_code", unset.redirect_http_code),
            ] {
                body.put(key, given.then_some(Value::Null));
            }
            change(job, &object, body, &unset.wait).await
        }
        L7PolicyCommand::Delete { policies, wait } => {
            let mut objects = vec![];
            for policy in &policies {
                objects.push(job.api.find_object(POLICY, policy).await?);
            }
            for object in &objects {
                job.api.delete(POLICY, object.id()).await?;
            }
            for object in objects.iter().filter(|_| wait.wait) {
                job.wait_lb(&job.listener_lb(object.text("listener_id")).await?, &wait).await?;
                job.wait_gone(POLICY, object.id(), &wait).await?;
            }
            Ok(())
        }
    }
}

async fn change(job: &mut Job<'_, '_>, object: &Object, body: Body, wait: &Wait) -> Result<(), Error> {
    let mut changed = job.api.set(POLICY, object.id(), body.into_change()?).await?;
    if wait.wait {
        job.wait_lb(&job.listener_lb(object.text("listener_id")).await?, wait).await?;
        changed = job.api.show(POLICY, object.id()).await?;
    }
    job.print_object(&changed)
}

async fn attributes(
    job: &Job<'_, '_>,
    given: L7PolicyAttributes,
    held: Option<&Object>,
) -> Result<Body, Error> {
    let mut body = Body::default();
    body.common(&given.common, held)
        .put("description", given.description)
        .put("redirect_url", given.redirect_url)
        .put("redirect_prefix", given.redirect_prefix)
        .put("redirect_http_code", given.redirect_http_code)
        .put("position", given.position);
    if let Some(pool) = &given.redirect_pool {
        body.put("redirect_pool_id", Some(job.api.find(Kind::Pool, pool).await?));
    }
    Ok(body)
}
