//! `octavia lb …`

use super::{Body, Job, filter_query};
use crate::args::{LbCommand, LbCreate};
use crate::populated::Populated;
use crate::tree::status_tree;
use crate::{Error, Kind};

const LB: Kind = Kind::LoadBalancer;
const COLUMNS: [&str; 6] =
    ["id", "name", "vip_address", "provisioning_status", "operating_status", "provider"];
const OPERATION_COLUMNS: [&str; 6] =
    ["started_at", "finished_at", "kind", "amphora_id", "generation", "error"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: LbCommand) -> Result<(), Error> {
    match command {
        LbCommand::Create(create) => self::create(job, *create).await,
        LbCommand::List(list) => {
            let mut query = filter_query(&list.filters);
            let more = [
                ("vip_address", list.vip_address.map(|a| a.to_string())),
                ("provisioning_status", list.provisioning_status),
                ("operating_status", list.operating_status),
                ("project_id", list.project),
            ];
            query.extend(more.into_iter().filter_map(|(key, value)| Some((key, value?))));
            let found = job.api.list(LB, &query).await?;
            job.print_list(&found, &COLUMNS)
        }
        LbCommand::Show { lb } => {
            let object = job.api.show_named(LB, &lb).await?;
            job.print_object(&object)
        }
        LbCommand::Set(set) => {
            let object = job.api.find_object(LB, &set.lb).await?;
            let mut body = Body::default();
            body.common(&set.common, Some(&object)).put("description", set.description);
            let changed = job.api.set(LB, object.id(), body.into_change()?).await?;
            if !set.wait.wait {
                return job.print_object(&changed);
            }
            job.wait_lb(object.id(), &set.wait).await?;
            let object = job.api.show(LB, object.id()).await?;
            job.print_object(&object)
        }
        LbCommand::Delete(delete) => {
            let mut ids = vec![];
            for lb in &delete.lbs {
                ids.push(job.api.find(LB, lb).await?);
            }
            for id in &ids {
                job.api.lb_delete(id, delete.cascade).await?;
            }
            for id in &ids {
                job.wait_gone(LB, id, &delete.wait).await?;
            }
            Ok(())
        }
        LbCommand::Status { lb } => {
            let id = job.api.find(LB, &lb).await?;
            let statuses = job.api.lb_status(&id).await?;
            job.print_document(&statuses, status_tree(&statuses))
        }
        LbCommand::Stats { lb } => {
            let id = job.api.find(LB, &lb).await?;
            let stats = job.api.lb_stats(&id).await?;
            job.print_object(&stats)
        }
        LbCommand::Failover { lb, wait } => {
            let id = job.api.find(LB, &lb).await?;
            job.api.lb_failover(&id).await?;
            job.wait_lb(&id, &wait).await
        }
        LbCommand::Operations { lb, limit } => {
            let id = job.api.find(LB, &lb).await?;
            let operations = job.api.lb_operation_list(&id, limit).await?;
            job.print_list(&operations, &OPERATION_COLUMNS)
        }
    }
}

async fn create(job: &mut Job<'_, '_>, create: LbCreate) -> Result<(), Error> {
    let mut body = Body::default();
    body.common(&create.common, None);
    for (noun, key, name) in [
        ("subnet", "vip_subnet_id", &create.vip_subnet_id),
        ("network", "vip_network_id", &create.vip_network_id),
        ("port", "vip_port_id", &create.vip_port_id),
    ] {
        if let Some(name) = name {
            body.put(key, Some(job.api.network_find(noun, name).await?));
        }
    }
    if let Some(flavor) = &create.flavor {
        body.put("flavor_id", Some(job.api.find(Kind::Flavor, flavor).await?));
    }
    body.put("description", create.description)
        .put("vip_address", create.vip_address.map(|a| a.to_string()))
        .put("provider", create.provider)
        .put("availability_zone", create.availability_zone)
        .put("project_id", create.project);
    Populated {
        listeners: create.listeners,
        members: create.members,
        monitor: create.monitor,
        algorithm: create.algorithm,
    }
    .fill(&mut body.0)?;
    let made = job.api.create(LB, body.into_value()).await?;
    // The answer to a create holds whole children; the shape to show is that of `show`.
    let id = made.id().to_owned();
    job.wait_lb(&id, &create.wait).await?;
    let object = job.api.show(LB, &id).await?;
    if create.wait.wait {
        for listener in object.references("listeners") {
            job.listener_settled(listener).await?;
        }
    }
    job.print_object(&object)
}
