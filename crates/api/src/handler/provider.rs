//! Providers and what can be said to them in flavor data and availability zone data.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::request::profile::ProfileKind;
use crate::rules::profile::{capabilities, check_provider};
use crate::view;
use crate::view::provider::ProviderView;

pub(super) fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let providers = call.state.options.enabled_providers.iter();
    Ok(answer(call, "providers", providers.map(|(name, description)| ProviderView { name, description })))
}

pub(super) fn capability_list(call: &Call, kind: ProfileKind) -> Result<Answer, Fault> {
    call.authorize_own()?;
    check_provider(call.parameter(0), &call.state.options)?;
    let key = match kind {
        ProfileKind::Flavor => "flavor_capabilities",
        ProfileKind::AvailabilityZone => "availability_zone_capabilities",
    };
    let rows = capabilities(kind).iter();
    let rows =
        rows.map(|capability| ProviderView { name: capability.name, description: capability.description });
    Ok(answer(call, key, rows))
}

/// No pages here, and filters that mean nothing are ignored.
fn answer<'v>(call: &Call, key: &str, rows: impl Iterator<Item = ProviderView<'v>>) -> Answer {
    let (fields, filtering) = (call.fields(), call.state.options.allow_filtering);
    let wanted = |key: &str| call.query.first(key).filter(|_| filtering);
    let (name, description) = (wanted("name"), wanted("description"));
    let rows = rows
        .filter(|row| name.is_none_or(|name| name == row.name))
        .filter(|row| description.is_none_or(|description| description == row.description))
        .map(|row| view::render(&row, &fields));
    let mut document = Map::new();
    document.insert(key.to_owned(), Value::Array(rows.collect()));
    Answer::Json(StatusCode::OK, Value::Object(document))
}
