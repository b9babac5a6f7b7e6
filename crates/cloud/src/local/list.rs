//! What a query string does to a list of documents: filters by equality, and which attributes are shown.

use serde_json::{Map, Value};

/// Query parameters in the order they came; a name may come more than once.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=b&c=d`, percent-encoded; what is not UTF-8 becomes replacement characters.
    pub(super) fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let plain = |text: &str| percent_decoded(&text.replace('+', " "));
            (plain(name), plain(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        rest = match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    after
                }
                _ => {
                    bytes.push(b'%');
                    tail
                }
            },
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Whether an attribute is one of the wanted values, compared as text; booleans in any spelling.
pub(super) fn is_one_of<'a>(attribute: &Value, mut wanted: impl Iterator<Item = &'a str>) -> bool {
    wanted.any(|wanted| match attribute {
        Value::String(text) => text == wanted,
        Value::Bool(flag) => boolean(wanted) == Some(*flag),
        Value::Null => wanted.is_empty(),
        Value::Number(number) => number.to_string() == wanted,
        Value::Array(_) | Value::Object(_) => false,
    })
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Keeps the documents that have, for every parameter that names an attribute of theirs, one of its values.
pub(super) fn filtered(documents: Vec<Value>, query: &Query) -> Vec<Value> {
    let keep = |document: &Value| {
        query.names().all(|name| match document.get(name) {
            Some(attribute) if !attribute.is_array() && !attribute.is_object() => {
                is_one_of(attribute, query.all(name))
            }
            _ => true,
        })
    };
    documents.into_iter().filter(keep).collect()
}

/// Only the attributes that `fields` names, all if it is not there.
pub(super) fn shown(document: Value, query: &Query) -> Value {
    match document {
        Value::Object(all) if query.has("fields") => {
            let shown: Map<_, _> =
                all.into_iter().filter(|(name, _)| query.all("fields").any(|field| field == name)).collect();
            Value::Object(shown)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decodes_queries() {
        for (text, name, expected) in [
            ("a=b", "a", Some("b")),
            ("a=b&a=c", "a", Some("b")),
            ("router%3Aexternal=True", "router:external", Some("True")),
            ("a=b+c%20d", "a", Some("b c d")),
            ("a", "a", Some("")),
            ("a==", "a", Some("=")),
            ("a=%", "a", Some("%")),
            ("a=%zz%4", "a", Some("%zz%4")),
            ("a=%ff", "a", Some("\u{fffd}")),
            ("a=%+1", "a", Some("% 1")),
            ("&&", "a", None),
            ("", "a", None),
        ] {
            assert_eq!(Query::parse(text).first(name), expected, "{text}");
        }
    }

    #[test]
    fn filters_and_shows() {
        let documents =
            || vec![json!({"id": 1, "name": "x", "up": true}), json!({"id": 2, "name": "y", "up": false})];
        for (query, ids) in [
            ("", vec![1, 2]),
            ("name=x", vec![1]),
            ("name=x&name=y", vec![1, 2]),
            ("name=x&up=False", vec![]),
            ("up=false", vec![2]),
            ("unknown=1", vec![1, 2]),
            ("id=2", vec![2]),
            ("name=", vec![]),
        ] {
            let found: Vec<_> = filtered(documents(), &Query::parse(query))
                .iter()
                .map(|document| document["id"].as_u64().unwrap())
                .collect();
            assert_eq!(found, ids, "{query}");
        }
        let [first, _] = documents().try_into().unwrap();
        assert_eq!(shown(first, &Query::parse("fields=id&fields=nothing")), json!({"id": 1}));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_query(text in "\\PC*") {
            let _ = Query::parse(&text);
        }
    }
}
