//! Tables of cases: requests and what they are answered, as text.
//!
//! ```text
//! @member@own POST listeners + {"protocol_port": 0}
//!   400 Invalid input for field/attribute protocol_port. Value: '0'. Value should be greater or equal to 1
//!
//! web = POST listeners + {"name": "a"}
//!   201 {"name": "a", "connection_limit": -1}
//! PUT listeners/$it + {"connection_limit": 5}
//!   200 {"connection_limit": 5}
//! GET listeners?connection_limit=5
//!   200 $web
//! ```
//!
//! `@token` may be left out. `+ {…}` lays attributes over a body that would be accepted (`"#absent"` removes one);
//! without `+` the rest of the line is the body as it is. `$name` stands for an id of the world that cases run in, or of
//! what a case made under that name; `$it` is what was made last; `$x255` is a text of so many characters. A text of
//! an error that ends in `…` is a beginning. Lines that begin with `#` are remarks, and blank lines end a story.
//!
//! `refused` tables ([`crate::refused`]) have nothing but requests that change nothing, `accepted` tables
//! ([`crate::accepted`]) tell stories. Both together have to be complete ([`crate::complete`]).

mod body;
mod ground;
mod names;

use crate::world::MEMBER;

pub(crate) use body::good_body;
pub(crate) use ground::{Ground, tree};
pub(crate) use names::Names;

/// A name, and the text.
pub(crate) type Table = (&'static str, &'static str);

macro_rules! tables {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name, ".txt")))),+]
    };
}

pub(crate) const REFUSED: &[Table] = tables!("refused":
    "transport", "load_balancer", "single_call", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule",
    "secrets", "quota", "list", "catalogue", "policy", "status",
);

pub(crate) const ACCEPTED: &[Table] = tables!("accepted":
    "load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule", "catalogue", "quota",
    "amphora", "list", "tls_options", "not_allowed", "no_prometheus",
);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    /// In its table, from 1.
    pub(crate) line: usize,
    /// What it makes is called so from then on.
    pub(crate) name: Option<&'a str>,
    pub(crate) token: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) text: &'a str,
}

impl<'a> Case<'a> {
    fn parse(line: usize, request: &'a str, expected: &'a str) -> Self {
        assert!(!request.starts_with(' ') && expected.starts_with("  "), "{line}: out of step at {request}");
        let (name, request) = match request.split_once(" = ") {
            Some((name, rest)) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                (Some(name), rest)
            }
            _ => (None, request),
        };
        let (token, request) = match request.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').expect("a request after the token"),
            None => (MEMBER, request),
        };
        let (method, rest) = request.split_once(' ').expect("a method and a path");
        let (path, body) = match rest.split_once(' ') {
            Some((path, body)) => (path, Some(body)),
            None => (rest, None),
        };
        let (status, text) = expected.trim_start().split_once(' ').unwrap_or((expected.trim(), ""));
        Case { line, name, token, method, path, body, status: status.parse().expect("a status"), text }
    }

    /// As messages name it.
    pub(crate) fn shown(&self) -> String {
        format!("line {}: {} {} {}", self.line, self.method, self.path, self.body.unwrap_or_default())
    }
}

/// The table's cases, in stories.
pub(crate) fn stories(table: &str) -> Vec<Vec<Case<'_>>> {
    let mut stories = vec![vec![]];
    let mut lines = table.lines().zip(1..).filter(|(text, _)| !text.starts_with('#'));
    while let Some((request, line)) = lines.next() {
        if request.trim().is_empty() {
            stories.push(vec![]);
            continue;
        }
        let (expected, _) = lines.next().expect("cases have two lines");
        stories.last_mut().expect("there is one").push(Case::parse(line, request, expected));
    }
    stories.retain(|story| !story.is_empty());
    stories
}

pub(crate) fn cases(table: &str) -> Vec<Case<'_>> {
    stories(table).concat()
}

/// The tables cannot shrink unnoticed.
#[test]
fn there_are_many_cases() {
    let count = |tables: &[Table]| tables.iter().map(|(_, text)| cases(text).len()).sum::<usize>();
    let (refused, accepted) = (count(REFUSED), count(ACCEPTED));
    println!("{refused} refused and {accepted} accepted requests");
    assert!(refused >= 1_190 && accepted >= 2_400, "{refused} + {accepted}");
}
