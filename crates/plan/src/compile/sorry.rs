//! Which page a listener's clients get when no member can take their request.

use std::collections::BTreeMap;

use octavia_model::{Listener, ListenerId, ListenerProtocol};
use octavia_wire::SorryPageSpec;

/// A listener chooses a page by this tag, with the page's name after it.
pub const SORRY_TAG: &str = "octavia:sorry_page=";

/// Pages that the operator offers, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SorryPages {
    pub pages: BTreeMap<String, SorryPage>,
    /// Of listeners that choose none, or one that is not offered.
    pub default: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SorryPage {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl SorryPages {
    fn choice<'a>(&'a self, listener: &'a Listener) -> Option<&'a str> {
        let mut asked = listener.tags.iter().filter_map(|tag| tag.strip_prefix(SORRY_TAG));
        let offered = |name: &str| self.pages.contains_key(name);
        asked.find(|name| offered(name)).or(self.default.as_deref().filter(|name| offered(name)))
    }

    /// Those that listeners use, in the order of their names.
    pub(super) fn used<'a>(&'a self, listeners: impl Iterator<Item = &'a Listener>) -> Vec<SorryPageSpec> {
        let reads =
            |l: &&Listener| matches!(l.protocol, ListenerProtocol::Http | ListenerProtocol::TerminatedHttps);
        let mut used: BTreeMap<&str, Vec<ListenerId>> = BTreeMap::new();
        for listener in listeners.filter(reads) {
            if let Some(name) = self.choice(listener) {
                used.entry(name).or_default().push(listener.id);
            }
        }
        let spec = |(name, listeners): (&str, Vec<ListenerId>)| {
            let SorryPage { status, content_type, body } = self.pages.get(name)?.clone();
            Some(SorryPageSpec { listeners, status, content_type, body })
        };
        used.into_iter().filter_map(spec).collect()
    }
}
