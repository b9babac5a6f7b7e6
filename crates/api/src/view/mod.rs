//! What answers look like: the only place of this crate that serialises.
//!
//! Every attribute is present, null when unset; the few that may be absent say so with `skip_serializing_if`.

pub(crate) mod amphora;
pub(crate) mod catalogue;
pub(crate) mod health_monitor;
pub(crate) mod l7policy;
pub(crate) mod l7rule;
pub(crate) mod listener;
pub(crate) mod load_balancer;
pub(crate) mod member;
pub(crate) mod operation;
pub(crate) mod pool;
pub(crate) mod provider;
pub(crate) mod quota;
pub(crate) mod rehearsal;
pub(crate) mod stats;
pub(crate) mod status_tree;
pub(crate) mod version;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;
use newtype_uuid::{GenericUuid, TypedUuid, TypedUuidKind};
use octavia_model::Statuses;
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

/// An id. Long lists have many: no text is made of it but what is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id(Uuid);

impl<K: TypedUuidKind> From<TypedUuid<K>> for Id {
    fn from(id: TypedUuid<K>) -> Self {
        Self(id.into_untyped_uuid())
    }
}

impl From<Uuid> for Id {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// A reference to another object.
#[derive(Debug, Serialize)]
pub(crate) struct IdRef {
    id: Id,
}

impl IdRef {
    pub(crate) fn new(id: impl Into<Id>) -> Self {
        Self { id: id.into() }
    }

    fn all<T: Into<Id>>(ids: impl IntoIterator<Item = T>) -> Vec<Self> {
        ids.into_iter().map(Self::new).collect()
    }
}

/// Children: ids, except in the answer to a create, where they are whole.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Children<T> {
    Ids(Vec<IdRef>),
    Whole(Vec<T>),
}

/// UTC without a zone, to the second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(Timestamp);

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
        let mut text = String::with_capacity(20);
        // Text takes whatever is written.
        let _ = PRINTER.print_datetime(&Offset::UTC.to_datetime(self.0), &mut text);
        serializer.serialize_str(&text)
    }
}

/// Both statuses, as every resource shows them; the reason only where one object is asked for, or its tree.
#[derive(Debug, Serialize)]
pub(crate) struct StatusView {
    provisioning_status: &'static str,
    operating_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
}

impl From<&Statuses> for StatusView {
    fn from(statuses: &Statuses) -> Self {
        Self {
            provisioning_status: statuses.provisioning.as_str(),
            operating_status: statuses.operating.as_str(),
            status_reason: None,
        }
    }
}

impl StatusView {
    fn one(statuses: &Statuses) -> Self {
        let mut view = Self::from(statuses);
        view.with_reason(statuses);
        view
    }

    fn with_reason(&mut self, statuses: &Statuses) {
        self.status_reason = statuses.reason.as_ref().map(ToString::to_string);
    }
}

/// A row of a list: the view, or what of it was asked for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Row<V> {
    Whole(V),
    Fields(Value),
}

impl<V: Serialize> Row<V> {
    pub(crate) fn new(view: V, fields: &[String]) -> Self {
        if fields.is_empty() { Self::Whole(view) } else { Self::Fields(render(&view, fields)) }
    }
}

/// A view as JSON; `fields` keeps only the named attributes, if any are named.
pub(crate) fn render(view: &impl Serialize, fields: &[String]) -> Value {
    // Views are plain structs with text keys: serialising them cannot fail.
    let mut value = serde_json::to_value(view).unwrap_or(Value::Null);
    if !fields.is_empty()
        && let Value::Object(entries) = &mut value
    {
        entries.retain(|key, _| fields.contains(key));
    }
    value
}
