//! Providers and what they know.

use serde::Serialize;

/// A provider, or one of its capabilities: they look alike.
#[derive(Debug, Serialize)]
pub(crate) struct ProviderView<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
}
