//! `octavia listener …`

use serde_json::Value;

use super::{Body, Job, filter_query, parent};
use crate::args::{ListenerAttributes, ListenerCommand};
use crate::{Error, Kind, Object};

const LISTENER: Kind = Kind::Listener;
const COLUMNS: [&str; 7] =
    ["id", "name", "protocol", "protocol_port", "default_pool_id", "provisioning_status", "operating_status"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: ListenerCommand) -> Result<(), Error> {
    match command {
        ListenerCommand::Create(create) => {
            let lb = job.api.find(Kind::LoadBalancer, &create.lb).await?;
            let mut body = attributes(job, create.attributes, None).await?;
            body.put("loadbalancer_id", Some(lb.as_str()))
                .put("protocol", Some(create.protocol))
                .put("protocol_port", Some(create.protocol_port));
            let mut made = job.api.create(LISTENER, body.into_value()).await?;
            if create.wait.wait {
                job.wait_lb(&lb, &create.wait).await?;
                made = job.listener_settled(made.id()).await?;
            }
            job.print_object(&made)
        }
        ListenerCommand::List(list) => {
            let mut query = filter_query(&list.filters);
            if let Some(lb) = &list.loadbalancer {
                query.push(("loadbalancer_id", job.api.find(Kind::LoadBalancer, lb).await?));
            }
            let found = job.api.list(LISTENER, &query).await?;
            job.print_list(&found, &COLUMNS)
        }
        ListenerCommand::Show { listener } => {
            let object = job.api.show_named(LISTENER, &listener).await?;
            job.print_object(&object)
        }
        ListenerCommand::Set(set) => {
            let object = job.api.find_object(LISTENER, &set.listener).await?;
            let body = attributes(job, set.attributes, Some(&object)).await?;
            change(job, &object, body, &set.wait).await
        }
        ListenerCommand::Unset(unset) => {
            let object = job.api.find_object(LISTENER, &unset.listener).await?;
            let mut body = Body::default();
            for (key, given) in [
                ("default_pool_id", unset.default_pool),
                ("connection_limit", unset.connection_limit),
                ("insert_headers", unset.insert_headers),
                ("allowed_cidrs", unset.allowed_cidrs),
            ] {
                body.put(key, given.then_some(Value::Null));
            }
            change(job, &object, body, &unset.wait).await
        }
        ListenerCommand::Delete { listeners, wait } => {
            let mut objects = vec![];
            for listener in &listeners {
                objects.push(job.api.find_object(LISTENER, listener).await?);
            }
            for object in &objects {
                job.api.delete(LISTENER, object.id()).await?;
            }
            for object in &objects {
                job.wait_lb(parent(object, "loadbalancers")?, &wait).await?;
                job.wait_gone(LISTENER, object.id(), &wait).await?;
            }
            Ok(())
        }
        ListenerCommand::Stats { listener } => {
            let id = job.api.find(LISTENER, &listener).await?;
            let stats = job.api.listener_stats(&id).await?;
            job.print_object(&stats)
        }
    }
}

async fn change(
    job: &mut Job<'_, '_>,
    object: &Object,
    body: Body,
    wait: &crate::args::Wait,
) -> Result<(), Error> {
    let mut changed = job.api.set(LISTENER, object.id(), body.into_change()?).await?;
    if wait.wait {
        job.wait_lb(parent(object, "loadbalancers")?, wait).await?;
        changed = job.listener_settled(object.id()).await?;
    }
    job.print_object(&changed)
}

async fn attributes(
    job: &Job<'_, '_>,
    given: ListenerAttributes,
    held: Option<&Object>,
) -> Result<Body, Error> {
    let mut body = Body::default();
    body.common(&given.common, held)
        .put("description", given.description)
        .put("connection_limit", given.connection_limit)
        .put("insert_headers", given.insert_headers.map(|pairs| pairs.to_json()))
        .put("timeout_client_data", given.timeout_client_data)
        .put("timeout_member_connect", given.timeout_member_connect)
        .put("timeout_member_data", given.timeout_member_data)
        .put("timeout_tcp_inspect", given.timeout_tcp_inspect)
        .put("allowed_cidrs", (!given.allowed_cidrs.is_empty()).then_some(given.allowed_cidrs));
    if let Some(pool) = &given.default_pool {
        body.put("default_pool_id", Some(job.api.find(Kind::Pool, pool).await?));
    }
    Ok(body)
}
