//! The part of JSON Schema that the API's description uses. A word it does not know is a panic, never a pass.

use std::net::{Ipv4Addr, Ipv6Addr};

use regex::Regex;
use serde_json::Value;

/// What is wrong with the value, each with its place; references are looked up in the document.
pub(crate) fn errors(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut errors = vec![];
    check(document, schema, value, "", &mut errors);
    errors
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    let good = |schema: &Value| {
        let mut inner = vec![];
        check(document, schema, value, at, &mut inner);
        inner.is_empty()
    };
    let mut fail = |word: &str| errors.push(format!("{at}: {value} fails {word} of {schema:.300}"));
    let mut inside: Vec<(&Value, &Value, String)> = vec![];
    for (word, rule) in schema.as_object().expect("a schema") {
        let holds = match word.as_str() {
            "description" | "examples" | "default" => true,
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference");
                inside.push((document.pointer(pointer).expect("what is referred to"), value, at.to_owned()));
                true
            }
            "allOf" => {
                inside.extend(list(rule).iter().map(|part| (part, value, at.to_owned())));
                true
            }
            "anyOf" => list(rule).iter().any(good),
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => list(rule).iter().any(|one| same(one, value)),
            "const" => same(rule, value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().expect("a number")),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().expect("a length")),
            "pattern" => value.as_str().is_none_or(|text| {
                Regex::new(rule.as_str().expect("text")).expect("a pattern").is_match(text)
            }),
            "format" => value.as_str().is_none_or(|text| has_format(rule.as_str().expect("text"), text)),
            "required" => value.as_object().is_none_or(|entries| {
                list(rule).iter().all(|key| entries.contains_key(key.as_str().expect("text")))
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    inside.push((rule, item, format!("{at}/{index}")));
                }
                true
            }
            "properties" => {
                for (key, property) in rule.as_object().expect("properties") {
                    if let Some(found) = value.get(key) {
                        inside.push((property, found, format!("{at}/{key}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &String| schema["properties"].get(key).is_some();
                let mut others = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
                match rule {
                    Value::Bool(allowed) => *allowed || others.next().is_none(),
                    rule => {
                        inside.extend(others.map(|(key, other)| (rule, other, format!("{at}/{key}"))));
                        true
                    }
                }
            }
            // The document itself, around a schema.
            "components" => true,
            other => panic!("{other} is not known here"),
        };
        if !holds {
            fail(word);
        }
    }
    for (schema, value, at) in inside {
        check(document, schema, value, &at, errors);
    }
}

/// Numbers are equal by value: `1` and `1.0` are the same.
fn same(one: &Value, other: &Value) -> bool {
    if one.is_number() && other.is_number() { one.as_f64() == other.as_f64() } else { one == other }
}

fn list(rule: &Value) -> &Vec<Value> {
    rule.as_array().expect("a list")
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("text") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        "uuid" => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        other => panic!("{other} is not known here"),
    }
}
