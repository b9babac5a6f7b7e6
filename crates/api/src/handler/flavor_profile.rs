//! Flavor profiles, for administrators.

use http::StatusCode;
use octavia_model::{FlavorProfile, FlavorProfileId};
use octavia_store::CatalogueError;

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::profile::{ProfileBody, ProfileKind};
use crate::rules::profile as rules;
use crate::view::Row;
use crate::view::catalogue::FlavorProfileView;

const KIND: ProfileKind = ProfileKind::Flavor;
const ROOT: &str = KIND.root();

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let arguments = call.list_arguments()?;
    let fields = call.fields();
    let rows = call.state.store.flavor_profile_list(&call.catalogue_query(&arguments)).await?;
    let rows =
        rows.items.iter().map(|profile| (profile.id, Row::new(FlavorProfileView::from(profile), &fields)));
    let page = Page { key: "flavorprofiles", links_key: "flavorprofile_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = ProfileBody::decode(&call.document(KIND.argument())?, KIND, Kind::Create)?;
    call.authorize_own()?;
    let (name, provider_name, flavor_data) = rules::create(KIND, body, &call.state.options)?;
    let id: FlavorProfileId = call.new_id();
    let profile = FlavorProfile { id, name, provider_name, flavor_data };
    let stored = call.state.store.flavor_profile_insert(&profile).await;
    stored.map_err(|error| fault(error, "Flavor Profile", id))?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &FlavorProfileView::from(&profile)))
}

pub(super) async fn replay(call: &Call, id: FlavorProfileId) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let made = call
        .state
        .store
        .flavor_profile_fetch(id)
        .await?
        .ok_or_else(|| Fault::not_found("Flavor Profile", id))?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &FlavorProfileView::from(&made)))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let profile = of_path(call, "Flavor Profile").await?;
    call.authorize_own()?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &FlavorProfileView::from(&profile), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = ProfileBody::decode(&call.document(KIND.argument())?, KIND, Kind::Update)?;
    let profile = of_path(call, "Flavor Profile").await?;
    call.authorize_own()?;
    let stored = (profile.provider_name.as_str(), profile.flavor_data.as_str());
    let change = rules::update(KIND, body, stored, &call.state.options)?;
    let profile = call.state.store.flavor_profile_update(profile.id, &change).await;
    let profile = profile.map_err(|error| fault(error, "Flavor Profile", call.parameter(0)))?;
    Ok(Answer::one(StatusCode::OK, ROOT, &FlavorProfileView::from(&profile)))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let profile = of_path(call, "Flavor profile").await?;
    call.authorize_own()?;
    let deleted = call.state.store.flavor_profile_delete(profile.id).await;
    deleted.map_err(|error| fault(error, "Flavor profile", profile.id))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

async fn of_path(call: &Call, resource: &'static str) -> Result<FlavorProfile, Fault> {
    let id: FlavorProfileId = call.id(0, resource)?;
    let profile = call.state.store.flavor_profile_fetch(id).await?;
    let profile = profile.ok_or_else(|| Fault::not_found(resource, id))?;
    call.trail.before(&FlavorProfileView::from(&profile));
    Ok(profile)
}

fn fault(error: CatalogueError, resource: &'static str, id: impl ToString) -> Fault {
    match error {
        CatalogueError::InUse => Fault::InUse { object: "Flavor profile", id: id.to_string() },
        CatalogueError::Store(error) => error.into(),
        CatalogueError::NotFound | CatalogueError::NoProfile => Fault::not_found(resource, id),
    }
}
