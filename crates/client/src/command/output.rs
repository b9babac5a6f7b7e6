//! Objects as tables, JSON or bare values.

use serde_json::Value;

use super::Job;
use crate::args::Format;
use crate::rehearsal::plan;
use crate::table::{printable, table};
use crate::{Error, Object};

impl Job<'_, '_> {
    /// One object, all of its attributes (or those of `--column`).
    pub(super) fn print_object(&mut self, object: &Object) -> Result<(), Error> {
        let wanted = self.options.columns();
        let entries: Vec<(&String, &Value)> = if wanted.is_empty() {
            object.0.iter().collect()
        } else {
            check_columns(wanted, std::slice::from_ref(object), &[])?;
            wanted.iter().map(|key| (key, object.0.get(key).unwrap_or(&Value::Null))).collect()
        };
        let text = match self.options.format() {
            Format::Json => {
                let map: serde_json::Map<_, _> =
                    entries.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                pretty(&Value::Object(map))
            }
            Format::Table => {
                let rows: Vec<_> = entries.iter().map(|(k, v)| vec![(*k).clone(), cell(v)]).collect();
                table(&["field".to_owned(), "value".to_owned()], &rows)
            }
            Format::Value => entries.iter().map(|(_, v)| format!("{}\n", printable(&cell(v)))).collect(),
        };
        Ok(self.console.print(&text)?)
    }

    /// A list; `columns` = those shown if `--column` is not given.
    pub(super) fn print_list(&mut self, objects: &[Object], columns: &[&str]) -> Result<(), Error> {
        let wanted = self.options.columns();
        check_columns(wanted, objects, columns)?;
        let text = match self.options.format() {
            Format::Json if wanted.is_empty() => {
                pretty(&objects.iter().map(|o| Value::Object(o.0.clone())).collect())
            }
            Format::Json => pretty(
                &objects
                    .iter()
                    .map(|o| {
                        let picked =
                            wanted.iter().map(|key| (key.clone(), o.0.get(key).cloned().unwrap_or_default()));
                        Value::Object(picked.collect())
                    })
                    .collect(),
            ),
            format => {
                let keys: Vec<String> = if wanted.is_empty() {
                    columns.iter().map(|c| (*c).to_owned()).collect()
                } else {
                    wanted.to_vec()
                };
                let rows: Vec<Vec<String>> = objects
                    .iter()
                    .map(|o| keys.iter().map(|key| o.0.get(key).map(cell).unwrap_or_default()).collect())
                    .collect();
                if format == Format::Table {
                    table(&keys, &rows)
                } else {
                    rows.iter().map(|row| format!("{}\n", printable(&row.join(" ")))).collect()
                }
            }
        };
        Ok(self.console.print(&text)?)
    }

    /// What the writes of a dry run would have done, if it was one and there were any.
    pub(super) fn print_plans(&mut self) -> Result<(), Error> {
        let plans = self.api.plans().unwrap_or_default();
        let text = plans.iter().map(plan).collect::<Vec<_>>().join("\n");
        match plans.as_slice() {
            [] => Ok(()),
            [plan] => self.print_document(plan, text),
            _ => self.print_document(&Value::Array(plans), text),
        }
    }

    /// Text for people, JSON for programs.
    pub(super) fn print_document(&mut self, value: &Value, text: String) -> Result<(), Error> {
        let text = if self.options.format() == Format::Json { pretty(value) } else { text };
        Ok(self.console.print(&text)?)
    }
}

/// An attribute that no object has was mistyped, except those that come and go.
fn check_columns(wanted: &[String], objects: &[Object], columns: &[&str]) -> Result<(), Error> {
    let Some(first) = objects.first() else { return Ok(()) };
    let known = |key: &str| {
        key == "status_reason" || columns.contains(&key) || objects.iter().any(|o| o.0.contains_key(key))
    };
    match wanted.iter().find(|key| !known(key)) {
        None => Ok(()),
        Some(key) => {
            let there: Vec<_> = first.0.keys().map(String::as_str).collect();
            Err(Error::Usage(format!("no attribute is called {key:?}; there are {}", there.join(", "))))
        }
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A value in one cell: lists of references as their ids, other lists comma-separated.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .map(|entry| match entry {
                Value::Object(map) => map.get("id").map_or_else(|| entry.to_string(), cell),
                other => cell(other),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Value::Object(map) => {
            map.iter().map(|(k, v)| format!("{k}={}", cell(v))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::cell;

    #[test]
    fn cells() {
        for (value, text) in [
            (json!(null), ""),
            (json!("x"), "x"),
            (json!(1.1), "1.1"),
            (json!(true), "true"),
            (json!([{ "id": "a" }, { "id": "b" }]), "a, b"),
            (json!(["t1", "t2"]), "t1, t2"),
            (json!({ "X-Forwarded-For": "true" }), "X-Forwarded-For=true"),
            (json!([]), ""),
        ] {
            assert_eq!(cell(&value), text);
        }
    }
}
