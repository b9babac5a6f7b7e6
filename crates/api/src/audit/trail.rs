//! What a write changed: the difference of the attributes that users see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use octavia_model::LoadBalancerGraph;
use serde_json::{Map, Value, json};

use crate::view;
use crate::view::load_balancer::LoadBalancerView;

/// Objects in one record at most, and their bytes, about; of a tree with more, the rest is counted.
const CHANGES_MAX: usize = 100;
const BYTES_MAX: usize = 32 << 10;
/// Bytes of one value at most.
const VALUE_MAX: usize = 1024;
/// What says nothing of the write: derived, moving by itself, or said elsewhere in the record.
const LEFT_OUT: &[&str] = &[
    "id",
    "project_id",
    "tenant_id",
    "created_at",
    "updated_at",
    "provisioning_status",
    "operating_status",
    "status_reason",
    "loadbalancers",
];
/// No attribute has such a name today; if one comes, its value stays out.
const SECRETS: &[&str] = &["password", "passphrase", "secret", "token", "private_key"];

/// Objects by kind and id, with their attributes.
type Objects = BTreeMap<(&'static str, String), Map<String, Value>>;

/// Notes of a handler for the record. Off unless a record will be made. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Option<Arc<Mutex<Notes>>>);

#[derive(Debug, Default)]
struct Notes {
    /// Before and after, of a write to a load balancer or below.
    trees: Option<(Objects, Objects)>,
    /// As it was, of a write to anything else.
    before: Option<Value>,
    project: Option<String>,
}

impl Trail {
    pub(crate) fn on() -> Self {
        Self(Some(Arc::default()))
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A load balancer was written.
    pub(crate) fn tree(&self, before: Option<&LoadBalancerGraph>, after: &LoadBalancerGraph) {
        self.note(|notes| {
            notes.project = Some(after.load_balancer.project_id.to_string());
            notes.trees = Some((before.map(objects).unwrap_or_default(), objects(after)));
        });
    }

    /// What is about to be written, as views show it.
    pub(crate) fn before(&self, shown: &impl serde::Serialize) {
        self.note(|notes| notes.before = Some(view::render(shown, &[])));
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        if let Some(notes) = &self.0 {
            note(&mut notes.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The project of the load balancer that was written.
    pub(crate) fn project(&self) -> Option<String> {
        let notes = self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        notes.project.clone()
    }

    /// The changes of a write that succeeded, and how many more there are. Of what is no load balancer's, the answer
    /// shows how it is now.
    pub(crate) fn changes(&self, kind: &'static str, answer: Option<&Value>) -> (Vec<Value>, usize) {
        let Some(notes) = &self.0 else { return (vec![], 0) };
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, after)) = &notes.trees {
            return differences(before, after);
        }
        let one = |value: Option<&Value>| -> Objects {
            let attributes = value.and_then(Value::as_object).cloned();
            attributes.map(|attributes| ((kind, String::new()), attributes)).into_iter().collect()
        };
        let after = answer.and_then(Value::as_object).and_then(|document| document.values().next());
        differences(&one(notes.before.as_ref()), &one(after))
    }
}

/// The id, or else the name, of the one object in an answer.
pub(super) fn identity(answer: &Value) -> Option<String> {
    let object = answer.as_object()?.values().next()?;
    let text = object.get("id").or_else(|| object.get("name"))?;
    text.as_str().map(super::cut)
}

/// Every object of the tree, as the answer to its creation shows it.
fn objects(graph: &LoadBalancerGraph) -> Objects {
    let mut found = Objects::new();
    let shown = view::render(&LoadBalancerView::graph(graph), &[]);
    collect("loadbalancer", shown, &mut found);
    found
}

/// What is whole below an object is an object of its own; what is only named there tells of itself elsewhere.
fn collect(kind: &'static str, value: Value, found: &mut Objects) {
    let Value::Object(mut object) = value else { return };
    for (key, kind) in [
        ("listeners", "listener"),
        ("pools", "pool"),
        ("members", "member"),
        ("healthmonitor", "healthmonitor"),
        ("l7policies", "l7policy"),
        ("rules", "rule"),
    ] {
        match object.remove(key) {
            Some(Value::Array(children)) => {
                children.into_iter().for_each(|child| collect(kind, child, found));
            }
            Some(child) => collect(kind, child, found),
            None => {}
        }
    }
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if object.len() > 1 {
        found.insert((kind, id), object);
    }
}

fn differences(before: &Objects, after: &Objects) -> (Vec<Value>, usize) {
    let is_leaving = |object: &Map<String, Value>| {
        let status = object.get("provisioning_status").and_then(Value::as_str);
        matches!(status, Some("PENDING_DELETE" | "DELETED"))
    };
    let lives = |object: &&Map<String, Value>| !is_leaving(object);
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let all: Vec<Value> = keys
        .into_iter()
        .filter_map(|key| {
            let (old, new) = (before.get(key).filter(lives), after.get(key).filter(lives));
            let word = match (old, new) {
                (None, Some(_)) => "created",
                (Some(_), None) => "deleted",
                (Some(_), Some(_)) => "updated",
                (None, None) => return None,
            };
            let attributes = attributes(old, new);
            if attributes.is_empty() && word == "updated" {
                return None;
            }
            let mut change = json!({ "type": key.0, "change": word, "attributes": attributes });
            if !key.1.is_empty() {
                change["id"] = key.1.clone().into();
            }
            Some(change)
        })
        .collect();
    let (count, mut bytes) = (all.len(), 0);
    let fits = |change: &Value| {
        bytes += change.to_string().len();
        bytes <= BYTES_MAX
    };
    let shown: Vec<Value> = all.into_iter().take(CHANGES_MAX).take_while(fits).collect();
    let left_out = count - shown.len();
    (shown, left_out)
}

fn attributes(old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>) -> Map<String, Value> {
    let names = [old, new].into_iter().flatten().flat_map(Map::keys);
    let mut found = Map::new();
    for name in names.filter(|name| !LEFT_OUT.contains(&name.as_str())) {
        let of = |object: Option<&Map<String, Value>>| {
            object.and_then(|object| object.get(name)).filter(|value| !value.is_null()).cloned()
        };
        let (old, new) = (of(old), of(new));
        if old == new || found.contains_key(name) {
            continue;
        }
        let mut change = Map::new();
        for (side, value) in [("before", old), ("after", new)] {
            if let Some(value) = value {
                change.insert(side.to_owned(), shown(name, value));
            }
        }
        found.insert(name.clone(), change.into());
    }
    found
}

fn shown(name: &str, value: Value) -> Value {
    if SECRETS.iter().any(|secret| name.contains(secret)) {
        return "<secret>".into();
    }
    let length = value.to_string().len();
    if length > VALUE_MAX { format!("<{length} bytes>").into() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(value: Value) -> Objects {
        let mut found = Objects::new();
        collect("loadbalancer", value, &mut found);
        found
    }

    #[test]
    fn differences_of_trees() {
        let member = |id: &str, weight: u32, status: &str| json!({ "id": id, "weight": weight, "provisioning_status": status, "updated_at": weight });
        let lb = |name: &str, members: Vec<Value>| {
            json!({ "id": "l", "name": name, "listeners": [{ "id": "only named" }],
                "pools": [{ "id": "p", "name": "p", "healthmonitor": null, "members": members }] })
        };
        let before =
            tree(lb("a", vec![member("m", 1, "ACTIVE"), member("n", 1, "ACTIVE"), member("o", 1, "ACTIVE")]));
        let after = tree(lb(
            "a",
            vec![
                member("m", 2, "PENDING_UPDATE"),
                member("n", 1, "PENDING_DELETE"),
                member("q", 3, "PENDING_CREATE"),
            ],
        ));
        let (changes, left_out) = differences(&before, &after);
        assert_eq!(left_out, 0);
        assert_eq!(
            Value::from(changes),
            json!([
                { "type": "member", "id": "m", "change": "updated",
                  "attributes": { "weight": { "before": 1, "after": 2 } } },
                { "type": "member", "id": "n", "change": "deleted", "attributes": { "weight": { "before": 1 } } },
                { "type": "member", "id": "o", "change": "deleted", "attributes": { "weight": { "before": 1 } } },
                { "type": "member", "id": "q", "change": "created", "attributes": { "weight": { "after": 3 } } },
            ])
        );
        assert_eq!(differences(&before, &before).0, [Value::Null; 0]);
    }

    #[test]
    fn a_record_is_bounded_and_holds_no_secret() {
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| json!({ "id": format!("{n}"), "weight": 1 })).collect();
            tree(json!({ "id": "l", "members": members }))
        };
        let (changes, left_out) = differences(&Objects::new(), &many(CHANGES_MAX + 7));
        assert_eq!((changes.len(), left_out), (CHANGES_MAX, 7));
        let name = "x".repeat(VALUE_MAX - 10);
        let huge: Vec<_> = (0..90).map(|n| json!({ "id": format!("{n}"), "name": name })).collect();
        let (changes, left_out) = differences(&Objects::new(), &tree(json!({ "id": "l", "members": huge })));
        assert_eq!(changes.len() + left_out, 90);
        assert!(left_out > 0 && Value::from(changes).to_string().len() <= BYTES_MAX + 100);
        assert_eq!(shown("name", "x".repeat(VALUE_MAX).into()), json!("<1026 bytes>"));
        assert_eq!(shown("client_secret_ref", "QzX7".into()), json!("<secret>"));
    }
}
