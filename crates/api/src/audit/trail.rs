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
    // Of quotas: the second spelling of `load_balancer` and `health_monitor`.
    "loadbalancer",
    "healthmonitor",
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
    /// As it is now, if the answer does not show it.
    after: Option<Value>,
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

    /// What is there after a write that answers nothing.
    pub(crate) fn after(&self, shown: &impl serde::Serialize) {
        self.note(|notes| notes.after = Some(view::render(shown, &[])));
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
        let all = self.differences(kind, answer, Some(VALUE_MAX));
        let (count, mut bytes) = (all.len(), 0);
        let fits = |change: &Value| {
            bytes += change.to_string().len();
            bytes <= BYTES_MAX
        };
        let shown: Vec<Value> = all.into_iter().take(CHANGES_MAX).take_while(fits).collect();
        let left_out = count - shown.len();
        (shown, left_out)
    }

    /// As [`Trail::changes`], all of them, with whole values.
    pub(crate) fn all_changes(&self, kind: &'static str, answer: Option<&Value>) -> Vec<Value> {
        self.differences(kind, answer, None)
    }

    fn differences(
        &self,
        kind: &'static str,
        answer: Option<&Value>,
        value_max: Option<usize>,
    ) -> Vec<Value> {
        let Some(notes) = &self.0 else { return vec![] };
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, after)) = &notes.trees {
            return differences(before, after, value_max);
        }
        let one = |value: Option<&Value>| -> Objects {
            let attributes = value.and_then(Value::as_object).cloned();
            attributes.map(|attributes| ((kind, String::new()), attributes)).into_iter().collect()
        };
        let answered = answer.and_then(Value::as_object).and_then(|document| document.values().next());
        differences(&one(notes.before.as_ref()), &one(notes.after.as_ref().or(answered)), value_max)
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
    let leaves = is_leaving(&object);
    let collect_child = |kind, mut child: Value, found: &mut Objects| {
        // What is below it goes with it, whatever its own status says.
        if leaves && let Value::Object(child) = &mut child {
            child.insert("provisioning_status".to_owned(), "PENDING_DELETE".into());
        }
        collect(kind, child, found);
    };
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
                children.into_iter().for_each(|child| collect_child(kind, child, found));
            }
            Some(child) => collect_child(kind, child, found),
            None => {}
        }
    }
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    // One that has more than its id and a status is whole.
    if object.len() > if leaves { 2 } else { 1 } {
        found.insert((kind, id), object);
    }
}

fn is_leaving(object: &Map<String, Value>) -> bool {
    let status = object.get("provisioning_status").and_then(Value::as_str);
    matches!(status, Some("PENDING_DELETE" | "DELETED"))
}

/// Values longer than `value_max` bytes are left out.
fn differences(before: &Objects, after: &Objects, value_max: Option<usize>) -> Vec<Value> {
    let lives = |object: &&Map<String, Value>| !is_leaving(object);
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| {
            let (old, new) = (before.get(key).filter(lives), after.get(key).filter(lives));
            let word = match (old, new) {
                (None, Some(_)) => "created",
                (Some(_), None) => "deleted",
                (Some(_), Some(_)) => "updated",
                (None, None) => return None,
            };
            let attributes = attributes(old, new, value_max);
            if attributes.is_empty() && word == "updated" {
                return None;
            }
            let mut change = json!({ "type": key.0, "change": word, "attributes": attributes });
            if !key.1.is_empty() {
                change["id"] = key.1.clone().into();
            }
            Some(change)
        })
        .collect()
}

fn attributes(
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    value_max: Option<usize>,
) -> Map<String, Value> {
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
                change.insert(side.to_owned(), shown(name, value, value_max));
            }
        }
        found.insert(name.clone(), change.into());
    }
    found
}

fn shown(name: &str, value: Value, max: Option<usize>) -> Value {
    if SECRETS.iter().any(|secret| name.contains(secret)) {
        return "<secret>".into();
    }
    let Some(max) = max else { return value };
    let length = value.to_string().len();
    if length > max { format!("<{length} bytes>").into() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(value: Value) -> Objects {
        let mut found = Objects::new();
        collect("loadbalancer", value, &mut found);
        found
    }

    /// What a record has of a tree that is new.
    fn bounded(tree: Objects) -> (Vec<Value>, usize) {
        let trail = Trail::on();
        trail.note(|notes| notes.trees = Some((Objects::new(), tree)));
        trail.changes("loadbalancer", None)
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
        let changes = differences(&before, &after, None);
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
        assert_eq!(differences(&before, &before, None), [Value::Null; 0]);
    }

    #[test]
    fn a_record_is_bounded_and_holds_no_secret() {
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| json!({ "id": format!("{n}"), "weight": 1 })).collect();
            tree(json!({ "id": "l", "members": members }))
        };
        let (changes, left_out) = bounded(many(CHANGES_MAX + 7));
        assert_eq!((changes.len(), left_out), (CHANGES_MAX, 7));
        let name = "x".repeat(VALUE_MAX - 10);
        let huge: Vec<_> = (0..90).map(|n| json!({ "id": format!("{n}"), "name": name })).collect();
        let (changes, left_out) = bounded(tree(json!({ "id": "l", "members": huge })));
        assert_eq!(changes.len() + left_out, 90);
        assert!(left_out > 0 && Value::from(changes).to_string().len() <= BYTES_MAX + 100);
        assert_eq!(shown("name", "x".repeat(VALUE_MAX).into(), Some(VALUE_MAX)), json!("<1026 bytes>"));
        for max in [None, Some(VALUE_MAX)] {
            assert_eq!(shown("client_secret_ref", "QzX7".into(), max), json!("<secret>"));
        }
    }
}
