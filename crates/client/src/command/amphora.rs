//! `octavia amphora …`

use super::Job;
use crate::args::AmphoraCommand;
use crate::{Error, Kind};

const COLUMNS: [&str; 6] = ["id", "loadbalancer_id", "status", "role", "lb_network_ip", "compute_id"];

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
    }
}
