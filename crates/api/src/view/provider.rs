//! Providers.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct ProviderView<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
}
