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
use octavia_model::Statuses;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A reference to another object.
#[derive(Debug, Serialize)]
pub(crate) struct IdRef {
    id: String,
}

impl IdRef {
    pub(crate) fn new(id: impl ToString) -> Self {
        Self { id: id.to_string() }
    }

    fn all<T: ToString>(ids: impl IntoIterator<Item = T>) -> Vec<Self> {
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
        serializer.collect_str(&self.0.strftime("%Y-%m-%dT%H:%M:%S"))
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
