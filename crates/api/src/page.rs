//! Pages of lists and the links between them (`reference/api.md` §6.5).

use http::StatusCode;
use octavia_model::ProjectId;
use serde_json::{Map, Value, json};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::policy;
use crate::query::ListArguments;

/// One page of rendered rows under the list's key, with links under another.
pub(crate) struct Page<'a> {
    pub(crate) key: &'a str,
    pub(crate) links_key: &'a str,
    /// What marks each row (its id, or a name), and the row.
    pub(crate) rows: Vec<(String, Value)>,
}

impl Page<'_> {
    pub(crate) fn answer(self, call: &Call, arguments: &ListArguments) -> Answer {
        let links =
            if call.state.options.allow_pagination { self.links(call, arguments) } else { Value::Null };
        let mut document = Map::new();
        document.insert(self.links_key.to_owned(), links);
        let rows = self.rows.into_iter().map(|(_, row)| row).collect();
        document.insert(self.key.to_owned(), Value::Array(rows));
        Answer::Json(StatusCode::OK, Value::Object(document))
    }

    /// Filters and fields are not carried over, as in the original. An unlimited page has no next one.
    fn links(&self, call: &Call, arguments: &ListArguments) -> Value {
        let (Some((first, _)), Some((last, _))) = (self.rows.first(), self.rows.last()) else {
            return json!([]);
        };
        let mut base = call.url.clone();
        if let Some(limit) = arguments.limit {
            base.push_str(&format!("?limit={limit}"));
        } else {
            base.push('?');
        }
        for (key, value) in call.query.sort_for_links() {
            base.push_str(&format!("&{key}={}", encode(value)));
        }
        let (first, last) = (encode(first), encode(last));
        let mut links = vec![];
        if arguments.marker.is_some() {
            links.push(
                json!({ "href": format!("{base}&marker={first}&page_reverse=True"), "rel": "previous" }),
            );
        }
        if arguments.limit.is_some_and(|limit| self.rows.len() as u64 >= limit) {
            links.push(json!({ "href": format!("{base}&marker={last}"), "rel": "next" }));
        }
        Value::Array(links)
    }
}

/// Percent-encodes what may not stand in a query's value.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' | b',' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

impl Call {
    pub(crate) fn list_arguments(&self) -> Result<ListArguments, Fault> {
        self.query.list_arguments(&self.state.options)
    }

    /// Whose rows a list shows: `None` = every project's (`reference/api.md` §8.4).
    pub(crate) fn list_project(&self, arguments: &ListArguments) -> Result<Option<ProjectId>, Fault> {
        let global = policy::allows_global(self.endpoint.policy, &self.caller);
        let asked = arguments.project_id.clone().map(ProjectId::new);
        if global {
            return Ok(asked);
        }
        let own = self.caller.project_id.clone();
        let project = asked.or(own).ok_or(Fault::Policy)?;
        self.authorize(&project)?;
        Ok(Some(project))
    }
}
