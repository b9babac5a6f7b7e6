//! Flavors: administrators make them, everybody reads them.

use http::StatusCode;
use octavia_model::{Flavor, FlavorId};
use octavia_store::{CatalogueError, Duplicate, FlavorChange, StoreError};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::flavor::{ARGUMENT, FlavorBody, ROOT};
use crate::view::Row;
use crate::view::catalogue::FlavorView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let arguments = call.list_arguments()?;
    let fields = call.fields();
    let rows = call.state.store.flavor_list(&call.catalogue_query(&arguments)).await?;
    let rows = rows.items.iter().map(|flavor| (flavor.id, Row::new(FlavorView::from(flavor), &fields)));
    let page = Page { key: "flavors", links_key: "flavors_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = FlavorBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    call.authorize_own()?;
    let profile = body.flavor_profile_id.required("flavor_profile_id")?;
    let flavor = Flavor {
        id: call.new_id(),
        name: body.name.or(String::new()),
        description: body.description.or(String::new()),
        enabled: body.enabled.or(true),
        flavor_profile_id: profile,
    };
    let stored = call.state.store.flavor_insert(&flavor).await;
    stored.map_err(|error| match error {
        CatalogueError::NoProfile => {
            Fault::ReferenceNotFound { resource: "Flavor Profile", id: profile.to_string() }
        }
        other => fault(other, flavor.id, &flavor.name),
    })?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &FlavorView::from(&flavor)))
}

pub(super) async fn replay(call: &Call, id: FlavorId) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let made = call.state.store.flavor_fetch(id).await?.ok_or_else(|| Fault::not_found("Flavor", id))?;
    Ok(Answer::one(StatusCode::CREATED, ROOT, &FlavorView::from(&made)))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let flavor = of_path(call).await?;
    call.authorize_own()?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &FlavorView::from(&flavor), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = FlavorBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let flavor = of_path(call).await?;
    call.authorize_own()?;
    let change = FlavorChange {
        name: body.name.or_empty(),
        description: body.description.or_empty(),
        enabled: body.enabled.value(),
    };
    let name = change.name.as_deref().unwrap_or_default();
    let changed = call.state.store.flavor_update(flavor.id, &change).await;
    let changed = changed.map_err(|error| fault(error, flavor.id, name))?;
    Ok(Answer::one(StatusCode::OK, ROOT, &FlavorView::from(&changed)))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let flavor = of_path(call).await?;
    call.authorize_own()?;
    let deleted = call.state.store.flavor_delete(flavor.id).await;
    deleted.map_err(|error| fault(error, flavor.id, &flavor.name))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

async fn of_path(call: &Call) -> Result<Flavor, Fault> {
    let id: FlavorId = call.id(0, "Flavor")?;
    let flavor = call.state.store.flavor_fetch(id).await?.ok_or_else(|| Fault::not_found("Flavor", id))?;
    call.trail.before(&FlavorView::from(&flavor));
    Ok(flavor)
}

fn fault(error: CatalogueError, id: FlavorId, name: &str) -> Fault {
    match error {
        CatalogueError::InUse => Fault::InUse { object: "Flavor", id: id.to_string() },
        CatalogueError::Store(StoreError::Duplicate(Duplicate::FlavorName)) => {
            Fault::NameTaken { field: "flavor", name: name.to_owned() }
        }
        CatalogueError::Store(error) => error.into(),
        CatalogueError::NotFound | CatalogueError::NoProfile => Fault::not_found("Flavor", id),
    }
}
