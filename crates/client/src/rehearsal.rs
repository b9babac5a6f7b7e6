//! What the service says that a write would do (`--dry-run`), as lines for people.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::table::printable;

/// The plan of one write.
pub(crate) fn plan(plan: &Value) -> String {
    let mut out = String::new();
    let list = |key: &str| plan[key].as_array().map(Vec::as_slice).unwrap_or_default();
    for change in list("changes") {
        let _ =
            writeln!(out, "{} {} {}", text(&change["change"]), text(&change["type"]), text(&change["id"]));
        for (name, sides) in change["attributes"].as_object().into_iter().flatten() {
            if let Some(line) = sides.as_object().and_then(attribute) {
                let _ = writeln!(out, "    {}: {line}", printable(name));
            }
        }
    }
    if list("changes").is_empty() {
        out.push_str("no object would change\n");
    }
    for effect in list("traffic") {
        let _ = writeln!(
            out,
            "{} {} {}: {}",
            text(&effect["effect"]),
            text(&effect["type"]),
            text(&effect["id"]),
            text(&effect["text"])
        );
    }
    out.push_str(match (plan["cuts_connections"] == true, plan["refuses_connections"] == true) {
        (true, _) => "open connections would be cut\n",
        (false, true) => "no open connection would be cut, but new ones are not served\n",
        (false, false) => "no connection would break\n",
    });
    for step in list("steps") {
        let amphora = step["amphora_id"].as_str().map(|id| format!(" {}", printable(id))).unwrap_or_default();
        let _ = writeln!(out, "then {}{amphora}: {}", text(&step["kind"]), text(&step["text"]));
    }
    out
}

/// What was and what would be; nothing of what was and stays empty.
fn attribute(sides: &Map<String, Value>) -> Option<String> {
    let side =
        |name: &str| sides.get(name).map(|value| if value.is_null() { "?".to_owned() } else { text(value) });
    match (side("before"), side("after")) {
        (Some(before), Some(after)) => Some(format!("{before} -> {after}")),
        (None, Some(after)) => Some(after).filter(|_| !is_empty(&sides["after"])),
        (Some(before), None) => Some(format!("{before} -> nothing")).filter(|_| !is_empty(&sides["before"])),
        (None, None) => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}
