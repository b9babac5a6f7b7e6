//! One condition: what of a request is looked at, and what it is compared with.

use octavia_model::{L7Regex, L7RuleCompareType, L7RuleType};
use octavia_wire::{L7Fault, L7RuleSpec};

use crate::http1::{Request, value};
use crate::tls::Seen;

/// `X509_V_OK`.
const VERIFIED: i64 = 0;

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
    /// Whether the client has shown a certificate.
    HasCertificate,
    /// How its verification ended, as OpenSSL's number: who is let in at all has passed it, or has none.
    VerifyResult,
    /// The first value of this name in its subject's distinguished name.
    NameField(Box<str>),
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
            L7RuleType::SslConnHasCert => Subject::HasCertificate,
            L7RuleType::SslVerifyResult => Subject::VerifyResult,
            L7RuleType::SslDnField => Subject::NameField(key()?.into()),
        };
        Ok(Self { subject, test: Test::compile(spec)?, invert: spec.invert })
    }

    pub(super) fn holds(&self, request: &Request<'_, '_>, seen: Option<&Seen<'_>>) -> bool {
        let passes = |text: &[u8]| self.test.passes(text);
        let found = match &self.subject {
            Subject::Host => request.host.is_some_and(passes),
            Subject::Path => request.path().is_some_and(passes),
            Subject::Header(name) => request.values(name).flat_map(value::elements).any(passes),
            Subject::Cookie(name) => {
                let cookies = request.values("cookie").flat_map(value::elements).flat_map(value::cookies);
                cookies.filter(|(found, _)| **found == **name).any(|(_, text)| passes(text))
            }
            Subject::HasCertificate => seen.is_some_and(|seen| seen.certificate.is_some()),
            Subject::VerifyResult => seen.is_some() && self.test.is_number(VERIFIED),
            Subject::NameField(name) => {
                let certificate = seen.and_then(|seen| seen.certificate);
                certificate.and_then(|certificate| certificate.subject.value(name)).is_some_and(passes)
            }
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

    /// Whether it compares with this number.
    fn is_number(&self, number: i64) -> bool {
        let text = match self {
            Self::Is { text, .. } => std::str::from_utf8(text).ok(),
            _ => None,
        };
        text.and_then(|text| text.trim().parse::<i64>().ok()) == Some(number)
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
