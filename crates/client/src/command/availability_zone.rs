//! `octavia availabilityzone …`

use super::Job;
use super::flavor::{attributes, offer_query, unset_description};
use crate::args::AvailabilityZoneCommand as Command;
use crate::{Error, Kind};

const ZONE: Kind = Kind::AvailabilityZone;
const COLUMNS: [&str; 3] = ["name", "availability_zone_profile_id", "enabled"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: Command) -> Result<(), Error> {
    match command {
        Command::Create(create) => {
            let profile =
                job.api.find(Kind::AvailabilityZoneProfile, &create.availabilityzoneprofile).await?;
            let mut body = attributes(create.offer);
            body.put("name", Some(create.name)).put("availability_zone_profile_id", Some(profile));
            let made = job.api.create(ZONE, body.into_value()).await?;
            job.print_object(&made)
        }
        Command::List(filters) => {
            let found = job.api.list(ZONE, &offer_query(&filters)).await?;
            job.print_list(&found, &COLUMNS)
        }
        Command::Show { zone } => {
            let object = job.api.show(ZONE, &zone).await?;
            job.print_object(&object)
        }
        Command::Set { zone, offer } => {
            let changed = job.api.set(ZONE, &zone, attributes(offer).into_change()?).await?;
            job.print_object(&changed)
        }
        Command::Unset { zone, description: _ } => {
            let changed = job.api.set(ZONE, &zone, unset_description()).await?;
            job.print_object(&changed)
        }
        Command::Delete { zones } => {
            for zone in &zones {
                job.api.delete(ZONE, zone).await?;
            }
            Ok(())
        }
    }
}
