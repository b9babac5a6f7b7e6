//! `octavia flavor …`

use super::{Body, Job};
use crate::args::{FlavorCommand, Offer, OfferFilters};
use crate::{Error, Kind};

const FLAVOR: Kind = Kind::Flavor;
const COLUMNS: [&str; 4] = ["id", "name", "flavor_profile_id", "enabled"];

pub(super) async fn run(job: &mut Job<'_, '_>, command: FlavorCommand) -> Result<(), Error> {
    match command {
        FlavorCommand::Create(create) => {
            let profile = job.api.find(Kind::FlavorProfile, &create.flavorprofile).await?;
            let mut body = attributes(create.offer);
            body.put("name", Some(create.name)).put("flavor_profile_id", Some(profile));
            let made = job.api.create(FLAVOR, body.into_value()).await?;
            job.print_object(&made)
        }
        FlavorCommand::List(filters) => {
            let found = job.api.list(FLAVOR, &offer_query(&filters)).await?;
            job.print_list(&found, &COLUMNS)
        }
        FlavorCommand::Show { flavor } => {
            let object = job.api.find_object(FLAVOR, &flavor).await?;
            job.print_object(&object)
        }
        FlavorCommand::Set(set) => {
            let mut body = attributes(set.offer);
            body.put("name", set.name);
            let body = body.into_change()?;
            let id = job.api.find(FLAVOR, &set.flavor).await?;
            let changed = job.api.set(FLAVOR, &id, body).await?;
            job.print_object(&changed)
        }
        FlavorCommand::Unset { flavor, description: _ } => {
            let id = job.api.find(FLAVOR, &flavor).await?;
            let changed = job.api.set(FLAVOR, &id, unset_description()).await?;
            job.print_object(&changed)
        }
        FlavorCommand::Delete { flavors } => job.delete_named(FLAVOR, &flavors).await,
    }
}

pub(super) fn attributes(offer: Offer) -> Body {
    let mut body = Body::default();
    body.put("description", offer.description)
        .put("enabled", (offer.enable || offer.disable).then_some(offer.enable));
    body
}

pub(super) fn unset_description() -> serde_json::Value {
    serde_json::json!({ "description": null })
}

pub(super) fn offer_query(filters: &OfferFilters) -> Vec<(&'static str, String)> {
    let mut query = vec![];
    if let Some(name) = &filters.name {
        query.push(("name", name.clone()));
    }
    if filters.enable || filters.disable {
        query.push(("enabled", filters.enable.to_string()));
    }
    query
}

impl Job<'_, '_> {
    /// All of them are looked up before the first is deleted.
    pub(super) async fn delete_named(&mut self, kind: Kind, names: &[String]) -> Result<(), Error> {
        let mut ids = vec![];
        for name in names {
            ids.push(self.api.find(kind, name).await?);
        }
        for id in &ids {
            self.api.delete(kind, id).await?;
        }
        Ok(())
    }
}
