//! What clients get when no member can take their request.

use std::collections::HashSet;

use octavia_model::ListenerId;
use serde::{Deserialize, Serialize};

use super::layer7::reads_http;
use super::{AmphoraSpec, SpecError};

/// Pages of one spec.
const PAGES_MAX: usize = 64;
/// Bytes of a page's type.
const TYPE_MAX: usize = 128;

/// A page instead of the plain answer that nobody can take the request. An agent that does not know it gives that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SorryPageSpec {
    /// Whose page it is; no listener has two.
    pub listeners: Vec<ListenerId>,
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: String,
    pub body: String,
}

impl SorryPageSpec {
    pub const STATUSES: &'static [u16] = &[200, 404, 429, 500, 502, 503, 504];
    /// Bytes of a body.
    pub const BODY_MAX: usize = 64 * 1024;
}

/// What is wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SorryPageFault {
    #[error("are {0}, allowed are {PAGES_MAX}")]
    Pages(usize),
    #[error("have one of status {0}, allowed are {allowed:?}", allowed = SorryPageSpec::STATUSES)]
    Status(u16),
    #[error("have one of {0} bytes, allowed are {allowed}", allowed = SorryPageSpec::BODY_MAX)]
    Body(usize),
    #[error("have one whose type is none: visible characters, {TYPE_MAX} at most")]
    Type,
    #[error("have one for listener {0}, which the spec does not define, or which sees no requests")]
    Listener(ListenerId),
    #[error("have two for listener {0}")]
    Twice(ListenerId),
}

impl SorryPageSpec {
    /// Whether its text may be a page's.
    pub fn check_body(body: &str) -> Result<(), SorryPageFault> {
        if body.len() > Self::BODY_MAX { Err(SorryPageFault::Body(body.len())) } else { Ok(()) }
    }

    pub fn check_status(status: u16) -> Result<(), SorryPageFault> {
        if Self::STATUSES.contains(&status) { Ok(()) } else { Err(SorryPageFault::Status(status)) }
    }

    fn check(&self) -> Result<(), SorryPageFault> {
        Self::check_status(self.status)?;
        Self::check_body(&self.body)?;
        let is_type = |text: &str| {
            (1..=TYPE_MAX).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        if is_type(&self.content_type) { Ok(()) } else { Err(SorryPageFault::Type) }
    }
}

pub(super) fn check(spec: &AmphoraSpec) -> Result<(), SpecError> {
    if spec.sorry_pages.len() > PAGES_MAX {
        return Err(SpecError::SorryPage(SorryPageFault::Pages(spec.sorry_pages.len())));
    }
    let readers = spec.listeners.iter().filter(|listener| reads_http(listener.protocol));
    let readers: HashSet<_> = readers.map(|listener| listener.id).collect();
    let mut seen = HashSet::new();
    for page in &spec.sorry_pages {
        page.check().map_err(SpecError::SorryPage)?;
        for &listener in &page.listeners {
            if !readers.contains(&listener) {
                return Err(SpecError::SorryPage(SorryPageFault::Listener(listener)));
            }
            if !seen.insert(listener) {
                return Err(SpecError::SorryPage(SorryPageFault::Twice(listener)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use octavia_model::ListenerProtocol;

    use super::*;
    use crate::fixtures;

    #[test]
    fn what_a_page_may_be() {
        let protocols =
            [ListenerProtocol::Http, ListenerProtocol::TerminatedHttps, ListenerProtocol::Tcp].into_iter();
        let listeners: Vec<_> = (80..).zip(protocols).map(|(port, p)| fixtures::listener(p, port)).collect();
        let (http, tcp) = (listeners[0].id, listeners[2].id);
        let page = |listeners: &[ListenerId], status, content_type: &str, bytes| SorryPageSpec {
            listeners: listeners.to_vec(),
            status,
            content_type: content_type.to_owned(),
            body: "x".repeat(bytes),
        };
        let max = SorryPageSpec::BODY_MAX;
        for (pages, expected) in [
            (vec![], Ok(())),
            (vec![page(&[http], 503, "text/html", max), page(&[], 200, "a/b; c=d", 0)], Ok(())),
            (vec![page(&[], 301, "text/html", 0)], Err(SorryPageFault::Status(301))),
            (vec![page(&[], 503, "text/html", max + 1)], Err(SorryPageFault::Body(max + 1))),
            (vec![page(&[], 503, "", 0)], Err(SorryPageFault::Type)),
            (vec![page(&[], 503, "a/b\r\nSet-Cookie: x", 0)], Err(SorryPageFault::Type)),
            (vec![page(&[], 503, &"x".repeat(129), 0)], Err(SorryPageFault::Type)),
            (vec![page(&[tcp], 503, "a/b", 0)], Err(SorryPageFault::Listener(tcp))),
            (vec![page(&[http, http], 503, "a/b", 0)], Err(SorryPageFault::Twice(http))),
            (
                vec![page(&[http], 503, "a/b", 0), page(&[http], 503, "a/b", 0)],
                Err(SorryPageFault::Twice(http)),
            ),
            ((0..65).map(|_| page(&[], 503, "a/b", 0)).collect(), Err(SorryPageFault::Pages(65))),
        ] {
            let mut spec = AmphoraSpec { sorry_pages: pages, ..fixtures::spec(listeners.clone()) };
            spec.listeners[1].tls = None;
            let checked = check(&spec);
            assert_eq!(checked, expected.map_err(SpecError::SorryPage), "{:?}", spec.sorry_pages.len());
            let again: AmphoraSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
            assert_eq!(again, spec);
        }
    }
}
