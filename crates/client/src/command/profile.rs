//! `octavia flavorprofile …` and `octavia availabilityzoneprofile …`

use super::{Body, Job};
use crate::args::{
    AvailabilityZoneProfileCommand as ZoneCommand, FlavorProfileCommand as FlavorCommand, ProfileCreate,
    ProfileFilters, ProfileSet,
};
use crate::{Error, Kind};

const COLUMNS: [&str; 3] = ["id", "name", "provider_name"];

pub(super) async fn run_flavor(job: &mut Job<'_, '_>, command: FlavorCommand) -> Result<(), Error> {
    let (kind, key) = (Kind::FlavorProfile, "flavor_data");
    match command {
        FlavorCommand::Create { profile, flavor_data } => create(job, kind, profile, key, flavor_data).await,
        FlavorCommand::List(filters) => list(job, kind, filters).await,
        FlavorCommand::Show { profile } => show(job, kind, &profile).await,
        FlavorCommand::Set { profile, flavor_data } => set(job, kind, profile, key, flavor_data).await,
        FlavorCommand::Delete { profiles } => job.delete_named(kind, &profiles).await,
    }
}

pub(super) async fn run_zone(job: &mut Job<'_, '_>, command: ZoneCommand) -> Result<(), Error> {
    let (kind, key) = (Kind::AvailabilityZoneProfile, "availability_zone_data");
    match command {
        ZoneCommand::Create { profile, availability_zone_data } => {
            create(job, kind, profile, key, availability_zone_data).await
        }
        ZoneCommand::List(filters) => list(job, kind, filters).await,
        ZoneCommand::Show { profile } => show(job, kind, &profile).await,
        ZoneCommand::Set { profile, availability_zone_data } => {
            set(job, kind, profile, key, availability_zone_data).await
        }
        ZoneCommand::Delete { profiles } => job.delete_named(kind, &profiles).await,
    }
}

async fn create(
    job: &mut Job<'_, '_>,
    kind: Kind,
    profile: ProfileCreate,
    data_key: &str,
    data: String,
) -> Result<(), Error> {
    let mut body = Body::default();
    body.put("name", Some(profile.name))
        .put("provider_name", Some(profile.provider))
        .put(data_key, Some(data));
    let made = job.api.create(kind, body.into_value()).await?;
    job.print_object(&made)
}

async fn list(job: &mut Job<'_, '_>, kind: Kind, filters: ProfileFilters) -> Result<(), Error> {
    let asked = [("name", filters.name), ("provider_name", filters.provider)];
    let query: Vec<_> = asked.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let found = job.api.list(kind, &query).await?;
    job.print_list(&found, &COLUMNS)
}

async fn show(job: &mut Job<'_, '_>, kind: Kind, profile: &str) -> Result<(), Error> {
    let object = job.api.find_object(kind, profile).await?;
    job.print_object(&object)
}

async fn set(
    job: &mut Job<'_, '_>,
    kind: Kind,
    profile: ProfileSet,
    data_key: &str,
    data: Option<String>,
) -> Result<(), Error> {
    let mut body = Body::default();
    body.put("name", profile.name).put("provider_name", profile.provider).put(data_key, data);
    let body = body.into_change()?;
    let id = job.api.find(kind, &profile.profile).await?;
    let changed = job.api.set(kind, &id, body).await?;
    job.print_object(&changed)
}
