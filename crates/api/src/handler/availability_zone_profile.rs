//! Availability zone profiles, for administrators.

use http::StatusCode;
use octavia_model::{AvailabilityZoneProfile, AvailabilityZoneProfileId};
use octavia_store::CatalogueError;

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::profile::{ProfileBody, ProfileKind};
use crate::rules::profile as rules;
use crate::view::Row;
use crate::view::catalogue::AvailabilityZoneProfileView;

const KIND: ProfileKind = ProfileKind::AvailabilityZone;
const ROOT: &str = KIND.root();

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let arguments = call.list_arguments()?;
    let fields = call.fields();
    let rows = call.state.store.availability_zone_profile_list(&call.catalogue_query(&arguments)).await?;
    let rows = rows
        .items
        .iter()
        .map(|profile| (profile.id, Row::new(AvailabilityZoneProfileView::from(profile), &fields)));
    let page = Page {
        key: "availability_zone_profiles",
        links_key: "availability_zone_profile_links",
        rows: rows.collect(),
    };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = ProfileBody::decode(&call.document(KIND.argument())?, KIND, Kind::Create)?;
    call.authorize_own()?;
    let (name, provider_name, availability_zone_data) = rules::create(KIND, body, &call.state.options)?;
    let id: AvailabilityZoneProfileId = call.new_id();
    let profile = AvailabilityZoneProfile { id, name, provider_name, availability_zone_data };
    let stored = call.state.store.availability_zone_profile_insert(&profile).await;
    stored.map_err(|error| fault(error, "Availability Zone Profile", id))?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &AvailabilityZoneProfileView::from(&profile)))
}

pub(super) async fn replay(call: &Call, id: AvailabilityZoneProfileId) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let made = call
        .state
        .store
        .availability_zone_profile_fetch(id)
        .await?
        .ok_or_else(|| Fault::not_found("Availability Zone Profile", id))?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &AvailabilityZoneProfileView::from(&made)))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let profile = of_path(call, "Availability Zone Profile").await?;
    call.authorize_own()?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &AvailabilityZoneProfileView::from(&profile), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = ProfileBody::decode(&call.document(KIND.argument())?, KIND, Kind::Update)?;
    let profile = of_path(call, "Availability Zone Profile").await?;
    call.authorize_own()?;
    let stored = (profile.provider_name.as_str(), profile.availability_zone_data.as_str());
    let change = rules::update(KIND, body, stored, &call.state.options)?;
    let profile = call.state.store.availability_zone_profile_update(profile.id, &change).await;
    let profile = profile.map_err(|error| fault(error, "Availability Zone Profile", call.parameter(0)))?;
    Ok(Answer::one(StatusCode::OK, ROOT, &AvailabilityZoneProfileView::from(&profile)))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let profile = of_path(call, "Availability Zone Profile").await?;
    call.authorize_own()?;
    let deleted = call.state.store.availability_zone_profile_delete(profile.id).await;
    deleted.map_err(|error| fault(error, "Availability Zone Profile", profile.id))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

async fn of_path(call: &Call, resource: &'static str) -> Result<AvailabilityZoneProfile, Fault> {
    let id: AvailabilityZoneProfileId = call.id(0, resource)?;
    let profile = call.state.store.availability_zone_profile_fetch(id).await?;
    let profile = profile.ok_or_else(|| Fault::not_found(resource, id))?;
    call.trail.before(&AvailabilityZoneProfileView::from(&profile));
    Ok(profile)
}

fn fault(error: CatalogueError, resource: &'static str, id: impl ToString) -> Fault {
    match error {
        CatalogueError::InUse => Fault::InUse { object: "Availability Zone Profile", id: id.to_string() },
        CatalogueError::Store(error) => error.into(),
        CatalogueError::NotFound | CatalogueError::NoProfile => Fault::not_found(resource, id),
    }
}
