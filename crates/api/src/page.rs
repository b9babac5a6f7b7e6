//! Pages of lists and the links between them (`reference/api.md` §6.5).

use std::fmt::Display;

use http::StatusCode;
use octavia_model::ProjectId;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::policy;
use crate::query::ListArguments;

/// About, in bytes: room for a page is made at once.
const ROW_LENGTH: usize = 768;

/// One page of rows under the list's key, with links under another.
pub(crate) struct Page<'a, M, R> {
    pub(crate) key: &'a str,
    pub(crate) links_key: &'a str,
    /// What marks each row (its id, or a name), and the row.
    pub(crate) rows: Vec<(M, R)>,
}

impl<M: Display, R: Serialize> Page<'_, M, R> {
    pub(crate) fn answer(self, call: &Call, arguments: &ListArguments) -> Answer {
        let links =
            if call.state.options.allow_pagination { self.links(call, arguments) } else { Value::Null };
        let mut text = Vec::with_capacity(ROW_LENGTH * self.rows.len() + ROW_LENGTH);
        // Written straight away: a tree of values of a thousand rows costs more than reading them.
        let written = serde_json::Serializer::new(&mut text)
            .collect_map([(self.links_key, Part::Links(&links)), (self.key, Part::Rows(&self.rows))]);
        match written {
            Ok(()) => Answer::Text(StatusCode::OK, text.into()),
            // Views are plain structs with text keys: it cannot happen.
            Err(_) => Answer::Empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
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
        let (first, last) = (encode(&first.to_string()), encode(&last.to_string()));
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

/// What a page consists of.
enum Part<'a, M, R> {
    Links(&'a Value),
    Rows(&'a [(M, R)]),
}

impl<M, R: Serialize> Serialize for Part<'_, M, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Links(links) => links.serialize(serializer),
            Self::Rows(rows) => serializer.collect_seq(rows.iter().map(|(_, row)| row)),
        }
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
