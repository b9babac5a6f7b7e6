//! One condition: what of a request is looked at, and what it is compared with.

use octavia_model::{L7Regex, L7RuleCompareType, L7RuleType};
use octavia_wire::{L7Fault, L7RuleSpec};

use crate::http1::{Request, value};

#[derive(Debug)]
pub(super) struct Rule {
    subject: Subject,
    test: Test,
    /// Holds where it otherwise would not.
    invert: bool,
}

#[derive(Debug)]
enum Subject {
    /// The value of `Host`, with the port if it is there.
    Host,
    /// The target's path, without the query.
    Path,
    /// Each element of each header of this name.
    Header(Box<str>),
    /// Each cookie of this name; case counts.
    Cookie(Box<[u8]>),
    /// Something of the client's certificate: in clear there is none.
    Certificate,
}

#[derive(Debug)]
enum Test {
    Is { text: Box<[u8]>, caseless: bool },
    Starts { text: Box<[u8]>, caseless: bool },
    Ends { text: Box<[u8]>, caseless: bool },
    Matches(L7Regex),
}

impl Rule {
    pub(super) fn compile(spec: &L7RuleSpec) -> Result<Self, L7Fault> {
        let key = || spec.key.as_deref().ok_or(L7Fault::NoKey(spec.kind));
        let subject = match spec.kind {
            L7RuleType::HostName => Subject::Host,
            L7RuleType::Path | L7RuleType::FileType => Subject::Path,
            L7RuleType::Header => Subject::Header(key()?.into()),
            L7RuleType::Cookie => Subject::Cookie(key()?.as_bytes().into()),
            L7RuleType::SslConnHasCert | L7RuleType::SslVerifyResult | L7RuleType::SslDnField => {
                Subject::Certificate
            }
        };
        Ok(Self { subject, test: Test::compile(spec)?, invert: spec.invert })
    }

    pub(super) fn holds(&self, request: &Request<'_, '_>) -> bool {
        let passes = |text: &[u8]| self.test.passes(text);
        let found = match &self.subject {
            Subject::Host => request.host.is_some_and(passes),
            Subject::Path => request.path().is_some_and(passes),
            Subject::Header(name) => request.values(name).flat_map(value::elements).any(passes),
            Subject::Cookie(name) => {
                let cookies = request.values("cookie").flat_map(value::elements).flat_map(value::cookies);
                cookies.filter(|(found, _)| **found == **name).any(|(_, text)| passes(text))
            }
            Subject::Certificate => false,
        };
        found != self.invert
    }
}

impl Test {
    fn compile(spec: &L7RuleSpec) -> Result<Self, L7Fault> {
        if let Some(pattern) = spec.pattern()? {
            return Ok(Self::Matches(pattern));
        }
        let caseless = spec.kind == L7RuleType::HostName;
        let text = spec.text().as_bytes().into();
        Ok(match spec.compare_type {
            L7RuleCompareType::StartsWith => Self::Starts { text, caseless },
            L7RuleCompareType::EndsWith => Self::Ends { text, caseless },
            // A file type is how a path ends.
            _ if spec.kind == L7RuleType::FileType => Self::Ends { text, caseless },
            _ => Self::Is { text, caseless },
        })
    }

    fn passes(&self, found: &[u8]) -> bool {
        match self {
            Self::Is { text, caseless } => same(found, text, *caseless),
            Self::Starts { text, caseless } => {
                found.get(..text.len()).is_some_and(|start| same(start, text, *caseless))
            }
            Self::Ends { text, caseless } => {
                let start = found.len().checked_sub(text.len());
                start.is_some_and(|start| same(&found[start..], text, *caseless))
            }
            Self::Matches(pattern) => pattern.is_match(found),
        }
    }
}

fn same(a: &[u8], b: &[u8], caseless: bool) -> bool {
    if caseless { a.eq_ignore_ascii_case(b) } else { a == b }
}
