//! Whether the tables of cases leave anything out, measured by the description of the API: an endpoint, attribute or
//! filter that has no case fails here, by its name.
//!
//! - Each endpoint is seen to succeed and to refuse.
//! - Each attribute of each body: valid, at its bounds and beyond them, invalid, null, and absent (refused, or with what
//!   it then is). What is nested in a whole load balancer is seen accepted.
//! - Each query parameter: used where it finds something, and each filter where it finds nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::cases::{self, ACCEPTED, Case, Names, REFUSED, good_body};
use crate::world::World;

/// What the tables show of one attribute of one kind of body.
#[derive(Debug, Default)]
struct Shown {
    /// Values that were taken, with the attribute named in what is expected.
    taken: Vec<Value>,
    /// Values that were refused, for whatever reason.
    refused: Vec<Value>,
    /// Values that were refused on their own account.
    invalid: Vec<Value>,
    null_taken: bool,
    null_refused: bool,
    absent_taken: bool,
    absent_refused: bool,
}

#[derive(Debug, Default)]
struct Coverage {
    succeeded: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// By operation and parameter: whether it was used, and whether it found nothing.
    parameters: BTreeMap<(String, String), (bool, bool)>,
    attributes: BTreeMap<String, Shown>,
}

#[tokio::test]
async fn the_tables_leave_nothing_out() {
    let document = World::new().await.call_as("", "GET", "/openapi.json", None).await.expect(200);
    let mut coverage = Coverage::default();
    let names = Names::of_every_world();
    for (_, text) in REFUSED.iter().chain(ACCEPTED) {
        for case in cases::cases(text) {
            coverage.note(&document, &names, &case);
        }
    }
    let mut missing = vec![];
    for (path, item) in document["paths"].as_object().expect("paths") {
        if !path.starts_with("/v2/") {
            continue;
        }
        for (method, operation) in item.as_object().expect("a path") {
            let name = format!("{} {path}", method.to_uppercase());
            let mut lacks = |what: &str| missing.push(format!("{name}: {what}"));
            if !coverage.succeeded.contains(&name) {
                lacks("no case that succeeds");
            }
            if !coverage.refused.contains(&name) {
                lacks("no case that is refused");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                // What all endpoints share is a reference, and has tests of its own.
                let Some(key) = parameter["name"].as_str() else { continue };
                let (used, found_nothing) =
                    coverage.parameters.get(&(name.clone(), key.to_owned())).copied().unwrap_or_default();
                if parameter["in"] == "query" && !used {
                    lacks(&format!("no case with {key} that succeeds"));
                }
                if parameter["in"] == "query" && is_filter(key) && !found_nothing {
                    lacks(&format!("no case with {key} that finds nothing"));
                }
            }
        }
    }
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        if ["Create", "Update", "Nested"].iter().any(|form| name.ends_with(form)) {
            coverage.lacks(&document, name, schema, &mut missing);
        }
    }
    assert!(missing.is_empty(), "{} are missing:\n{}", missing.len(), missing.join("\n"));
}

/// Not what orders, pages and shapes a list, nor what an action is told.
fn is_filter(key: &str) -> bool {
    let others = ["sort", "sort_key", "sort_dir", "limit", "marker", "page_reverse", "fields"];
    !others.contains(&key) && !matches!(key, "cascade" | "additive_only")
}

impl Coverage {
    fn note(&mut self, document: &Value, names: &Names, case: &Case<'_>) {
        let (path, query) = case.path.split_once('?').unwrap_or((case.path, ""));
        let Some((template, operation)) = operation(document, case.method, path) else { return };
        let name = format!("{} {template}", case.method);
        let taken = case.status < 300;
        if taken { &mut self.succeeded } else { &mut self.refused }.insert(name.clone());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let key = pair.split('=').next().unwrap_or_default();
            let (used, found_nothing) = self.parameters.entry((name.clone(), key.to_owned())).or_default();
            *used |= taken && case.text != "nothing";
            *found_nothing |= case.text == "nothing" || case.status == 403;
        }
        let Some(body) =
            case.sent().and_then(|body| serde_json::from_str::<Value>(&names.expand(&body)).ok())
        else {
            return;
        };
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let Some((root, schema)) = schema["properties"].as_object().and_then(|roots| roots.iter().next())
        else {
            return;
        };
        // What the case varies; of a body that is there in full, all of it.
        let varied = match case.body.and_then(|body| body.strip_prefix("+ ")) {
            Some(extra) => serde_json::from_str(&names.expand(extra)).expect("JSON"),
            None => body[root].clone(),
        };
        let expected = names.expand(case.text);
        let expected = serde_json::from_str(&expected).unwrap_or(Value::String(expected));
        let sight = Sight { document, taken, varied: &varied, expected: &expected, alone: true };
        self.walk(sight, schema, "", &body[root]);
    }

    /// Follows a schema and a body together.
    fn walk(&mut self, sight: Sight<'_>, schema: &Value, place: &str, body: &Value) {
        let (named, schema) = resolved(sight.document, schema);
        let place = if named.is_empty() { place } else { named };
        if let (Some(items), Some(list)) = (schema.get("items"), body.as_array()) {
            for (index, item) in list.iter().enumerate() {
                let inside = Sight {
                    varied: sight.varied.get(index).unwrap_or(&Value::Null),
                    expected: if sight.taken { &sight.expected[index] } else { sight.expected },
                    ..sight
                };
                self.walk(inside, items, place, item);
            }
        }
        let (Some(properties), Some(body)) = (schema["properties"].as_object(), body.as_object()) else {
            return;
        };
        let nested = place.contains("Nested");
        let alone = sight.alone && sight.varied.as_object().is_some_and(|varied| varied.len() == 1);
        for (key, property) in properties {
            let shown = self.attributes.entry(format!("{place}.{key}")).or_default();
            let told = nested || sight.expected.get(key).is_some() || is_never_answered(key);
            let varied = sight.varied.get(key);
            let blamed = alone || sight.expected.as_str().is_some_and(|text| text.contains(key.as_str()));
            match (body.get(key), sight.taken) {
                (None, true) => shown.absent_taken |= told,
                (Some(Value::Null), true) => shown.null_taken |= told,
                (Some(value), true) if told => shown.taken.push(value.clone()),
                (None, false) => {
                    // Inside an object, what is not there is left out on purpose.
                    let left_out = place.contains('.') || varied == Some(&Value::from("#absent"));
                    shown.absent_refused |= left_out && blamed;
                }
                (Some(Value::Null), false) => shown.null_refused |= varied.is_some() && blamed,
                (Some(value), false) if varied.is_some() => {
                    shown.refused.push(value.clone());
                    if blamed {
                        shown.invalid.push(value.clone());
                    }
                }
                _ => {}
            }
            if let (Some(value), Some(varied)) = (body.get(key), varied) {
                let expected = if sight.taken { &sight.expected[key] } else { sight.expected };
                // One more beside it is often what makes the rest of an object right.
                let alone = sight.alone && sight.varied.as_object().is_some_and(|varied| varied.len() <= 2);
                self.walk(
                    Sight { varied, expected, alone, ..sight },
                    property,
                    &format!("{place}.{key}"),
                    value,
                );
            }
        }
    }

    /// What the tables lack of an object's attributes, and of those inside them.
    fn lacks(&self, document: &Value, place: &str, schema: &Value, missing: &mut Vec<String>) {
        let nothing = Shown::default();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let name = format!("{place}.{key}");
            let shown = self.attributes.get(&name).unwrap_or(&nothing);
            let (reference, inner) = resolved(document, property);
            let mut lacks = |what: String| missing.push(format!("{name}: {what}"));
            let nested = place.contains("Nested");
            if shown.taken.is_empty() && !(nested && shown.null_taken) {
                lacks("no valid case".to_owned());
            }
            if !nested {
                if shown.invalid.is_empty() {
                    lacks("no invalid case".to_owned());
                }
                let required = required.contains(&key.as_str());
                let nullable = !required && accepts_null(property);
                if !(if nullable { shown.null_taken } else { shown.null_refused }) {
                    lacks(format!(
                        "no case with null that is {}",
                        if nullable { "taken" } else { "refused" }
                    ));
                }
                if !(if required { shown.absent_refused } else { shown.absent_taken }) {
                    let what = if required { "is refused" } else { "says what it is" };
                    lacks(format!("no case without it that {what}"));
                }
                bounds(inner, shown, &mut lacks);
            }
            if reference.is_empty() {
                let inner = if inner.get("items").is_some() { &inner["items"] } else { inner };
                if inner.get("properties").is_some() {
                    self.lacks(document, &name, inner, missing);
                }
            }
        }
    }
}

/// What a case says of the part of its body that is looked at.
#[derive(Clone, Copy)]
struct Sight<'a> {
    document: &'a Value,
    taken: bool,
    varied: &'a Value,
    /// Attributes, or the text of an error.
    expected: &'a Value,
    /// Nothing else was varied around it.
    alone: bool,
}

/// A body that is seen in answers under other names, or not at all.
fn is_never_answered(key: &str) -> bool {
    matches!(key, "loadbalancer_id" | "listener_id" | "pool_id" | "request_sriov")
}

/// Values at the bounds a schema names are taken or refused for another reason, and those beyond them refused.
fn bounds(schema: &Value, shown: &Shown, lacks: &mut impl FnMut(String)) {
    let all = || shown.taken.iter().chain(&shown.refused);
    for (word, step) in [("minimum", -1), ("maximum", 1)] {
        let Some(bound) = schema[word].as_i64() else { continue };
        if !shown.taken.iter().any(|value| value.as_i64() == Some(bound)) {
            lacks(format!("{bound}, its {word}, is not seen taken"));
        }
        let beyond = |value: &Value| {
            value
                .as_f64()
                .is_some_and(|number| if step < 0 { number < bound as f64 } else { number > bound as f64 })
        };
        if !shown.invalid.iter().any(beyond) {
            lacks(format!("nothing beyond its {word} {bound} is seen refused"));
        }
    }
    let items = schema.get("items");
    let texts = |value: &Value| -> Vec<Value> {
        match (items, value) {
            (Some(_), Value::Array(list)) => list.clone(),
            (None, Value::Object(entries)) => entries.values().cloned().collect(),
            _ => vec![value.clone()],
        }
    };
    let one = items.or_else(|| schema.get("additionalProperties").filter(|inside| inside.is_object()));
    let one = one.unwrap_or(schema);
    let length = |value: &Value| value.as_str().map(|text| text.chars().count() as u64);
    if let Some(most) = one["maxLength"].as_u64() {
        if !all().flat_map(texts).any(|value| length(&value) == Some(most)) {
            lacks(format!("no case with {most} characters"));
        }
        if !shown.invalid.iter().flat_map(texts).any(|value| length(&value) > Some(most)) {
            lacks(format!("no case with more than {most} characters"));
        }
    }
    for word in one["enum"].as_array().into_iter().flatten().filter(|word| !word.is_null()) {
        let same = |value: &Value| value == word || (word.is_number() && value.as_f64() == word.as_f64());
        if !all().flat_map(texts).any(|value| same(&value)) {
            lacks(format!("no case with {word}"));
        }
    }
    if is_of(schema, "boolean") {
        for flag in [true, false] {
            if !all().any(|value| value == flag) {
                lacks(format!("no case with {flag}"));
            }
        }
    }
    if is_of(schema, "array") && !shown.taken.iter().any(|value| value.as_array().is_some_and(Vec::is_empty))
    {
        let refused = shown.invalid.iter().any(|value| value.as_array().is_some_and(Vec::is_empty));
        if !refused {
            lacks("no case with an empty list".to_owned());
        }
    }
}

fn is_of(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|one| one == kind),
        one => one == kind,
    }
}

fn accepts_null(schema: &Value) -> bool {
    is_of(schema, "null")
        || schema["anyOf"].as_array().is_some_and(|any| any.iter().any(|one| is_of(one, "null")))
}

/// The name and the schema a reference leads to, also where null may stand in its place.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> (&'a str, &'a Value) {
    let any = schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| one.get("$ref").is_some()));
    let Some(reference) = any.unwrap_or(schema)["$ref"].as_str() else { return ("", schema) };
    let inner = document.pointer(reference.trim_start_matches('#')).expect("what is referred to");
    (reference.rsplit('/').next().unwrap_or_default(), inner)
}

/// The described path that this one is of, and what is described of the method there.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<(&'a str, &'a Value)> {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/lbaas/{path}") };
    let paths: &Map<String, Value> = document["paths"].as_object().expect("paths");
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| part == segment || part.starts_with('{'))
    };
    let (template, item) = paths.iter().find(|(template, _)| fits(template))?;
    Some((template.as_str(), item.get(method.to_lowercase())?))
}

/// A body that cases vary is one that the description allows: else what they show would be of something else.
#[tokio::test]
async fn good_bodies_are_as_described() {
    let document = World::new().await.call_as("", "GET", "/openapi.json", None).await.expect(200);
    for (_, text) in REFUSED.iter().chain(ACCEPTED) {
        for case in
            cases::cases(text).iter().filter(|case| case.body.is_some_and(|body| body.starts_with("+ ")))
        {
            let (root, _) = good_body(case.method, case.path);
            let path = case.path.split('?').next().unwrap_or_default();
            let Some((template, operation)) = operation(&document, case.method, path) else { continue };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let roots =
                schema["properties"].as_object().unwrap_or_else(|| panic!("{template} takes no body"));
            assert!(roots.contains_key(root), "{template} has {root}");
        }
    }
}
