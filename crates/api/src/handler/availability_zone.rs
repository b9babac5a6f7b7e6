//! Availability zones: administrators make them, everybody reads them. Their names are their ids.

use http::StatusCode;
use octavia_model::AvailabilityZone;
use octavia_store::{AvailabilityZoneChange, CatalogueError, Duplicate, StoreError};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::availability_zone::{ARGUMENT, AvailabilityZoneBody, ROOT};
use crate::view;
use crate::view::catalogue::AvailabilityZoneView;

/// The original has a hidden zone of this name; clients that know it find it neither there nor free.
const RESERVED: &str = "DELETED-PLACEHOLDER";

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let arguments = call.list_arguments()?;
    let fields = call.fields();
    let rows = call.state.store.availability_zone_list(&call.catalogue_query(&arguments)).await?;
    let rows = rows
        .items
        .iter()
        .map(|zone| (zone.name.clone(), view::render(&AvailabilityZoneView::from(zone), &fields)));
    let page =
        Page { key: "availability_zones", links_key: "availability_zones_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = AvailabilityZoneBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    call.authorize_own()?;
    let profile = body.availability_zone_profile_id.required("availability_zone_profile_id")?;
    let zone = AvailabilityZone {
        name: body.name.required("name")?,
        description: body.description.or(String::new()),
        enabled: body.enabled.or(true),
        availability_zone_profile_id: profile,
    };
    if zone.name == RESERVED {
        return Err(taken(&zone.name));
    }
    let stored = call.state.store.availability_zone_insert(&zone).await;
    stored.map_err(|error| match error {
        CatalogueError::NoProfile => {
            Fault::ReferenceNotFound { resource: "Availability Zone Profile", id: profile.to_string() }
        }
        other => fault(other, &zone.name),
    })?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &AvailabilityZoneView::from(&zone)))
}

/// The body says what it is called by.
pub(super) async fn replay(call: &Call) -> Result<Answer, Fault> {
    let body = AvailabilityZoneBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    call.authorize_own()?;
    let name = body.name.required("name")?;
    let made = call.state.store.availability_zone_fetch(&name).await?;
    let made = made.ok_or_else(|| Fault::not_found("Availability Zone", name))?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &AvailabilityZoneView::from(&made)))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let zone = of_path(call).await?;
    call.authorize_own()?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &AvailabilityZoneView::from(&zone), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = AvailabilityZoneBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let zone = of_path(call).await?;
    call.authorize_own()?;
    let change =
        AvailabilityZoneChange { description: body.description.or_empty(), enabled: body.enabled.value() };
    let changed = call.state.store.availability_zone_update(&zone.name, &change).await;
    let changed = changed.map_err(|error| fault(error, &zone.name))?;
    Ok(Answer::one(StatusCode::OK, ROOT, &AvailabilityZoneView::from(&changed)))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let zone = of_path(call).await?;
    call.authorize_own()?;
    let deleted = call.state.store.availability_zone_delete(&zone.name).await;
    deleted.map_err(|error| fault(error, &zone.name))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

async fn of_path(call: &Call) -> Result<AvailabilityZone, Fault> {
    let name = call.parameter(0);
    // No zone has this character in its name, and not every database can be asked about it.
    let zone = match name.contains('\0') {
        true => None,
        false => call.state.store.availability_zone_fetch(name).await?,
    };
    let zone = zone.ok_or_else(|| Fault::not_found("Availability Zone", name))?;
    call.trail.before(&AvailabilityZoneView::from(&zone));
    Ok(zone)
}

fn taken(name: &str) -> Fault {
    Fault::NameTaken { field: "availability zone", name: name.to_owned() }
}

fn fault(error: CatalogueError, name: &str) -> Fault {
    match error {
        CatalogueError::InUse => Fault::InUse { object: "Availability Zone", id: name.to_owned() },
        CatalogueError::Store(StoreError::Duplicate(Duplicate::AvailabilityZone)) => taken(name),
        CatalogueError::Store(error) => error.into(),
        CatalogueError::NotFound | CatalogueError::NoProfile => Fault::not_found("Availability Zone", name),
    }
}
