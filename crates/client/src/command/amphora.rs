//! `octavia amphora …`

use super::Job;
use crate::args::AmphoraCommand;
use crate::{Error, Kind};

const COLUMNS: [&str; 6] = ["id", "loadbalancer_id", "status", "role", "lb_network_ip", "compute_id"];
const STATS_COLUMNS: [&str; 6] =
    ["listener_id", "bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: AmphoraCommand) -> Result<(), Error> {
    match command {
        AmphoraCommand::List { loadbalancer } => {
            let mut query = vec![];
            if let Some(lb) = &loadbalancer {
                query.push(("loadbalancer_id", job.api.find(Kind::LoadBalancer, lb).await?));
            }
            let found = job.api.list(Kind::Amphora, &query).await?;
            job.print_list(&found, &COLUMNS)
        }
        AmphoraCommand::Show { amphora } => {
            let object = job.api.find_object(Kind::Amphora, &amphora).await?;
            job.print_object(&object)
        }
        AmphoraCommand::Stats { amphora } => {
            let stats = job.api.amphora_stats(&amphora).await?;
            job.print_list(&stats, &STATS_COLUMNS)
        }
        AmphoraCommand::Configure { amphora } => job.api.amphora_configure(&amphora).await,
        AmphoraCommand::Failover { amphora, wait } => {
            // Afterwards it is gone, and nothing tells whose it was.
            let object = job.api.find_object(Kind::Amphora, &amphora).await?;
            job.api.amphora_failover(object.id()).await?;
            job.wait_lb(object.text("loadbalancer_id"), &wait).await
        }
        AmphoraCommand::Delete { amphora } => job.api.delete(Kind::Amphora, &amphora).await,
    }
}
