//! `octavia provider …`

use super::Job;
use crate::args::{CapabilityCommand, ProviderCommand};
use crate::{Error, Object};

pub(super) async fn run(job: &mut Job<'_, '_>, command: ProviderCommand) -> Result<(), Error> {
    match command {
        ProviderCommand::List => {
            let found = job.api.provider_list().await?;
            job.print_list(&found, &["name", "description"])
        }
        ProviderCommand::Capability {
            command: CapabilityCommand::List { provider, flavor, availability_zone },
        } => {
            let mut found: Vec<Object> = vec![];
            for (kind, asked) in [("flavor", !availability_zone), ("availability_zone", !flavor)] {
                if asked {
                    let mut some = job.api.provider_capability_list(&provider, kind).await?;
                    for capability in &mut some {
                        capability.0.insert("type".to_owned(), kind.into());
                    }
                    found.append(&mut some);
                }
            }
            job.print_list(&found, &["type", "name", "description"])
        }
    }
}
