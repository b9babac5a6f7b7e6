//! What each resource's bodies may hold: one struct per resource with everything that can be sent, and tables of
//! the keys each call accepts.

pub(crate) mod availability_zone;
pub(crate) mod flavor;
pub(crate) mod health_monitor;
pub(crate) mod l7policy;
pub(crate) mod l7rule;
pub(crate) mod listener;
pub(crate) mod load_balancer;
pub(crate) mod member;
pub(crate) mod pool;
pub(crate) mod profile;
pub(crate) mod quota;

use crate::body::{Object, Sent, TEXT_MAX};
use crate::fault::Fault;

/// Which call an object belongs to: it decides which keys may and which must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Update,
    /// Inside a load balancer that is created in a single call.
    Nested,
}

pub(crate) const PROJECT_MAX: usize = 36;

/// The project a body names: `tenant_id` is the older alias, and wins.
fn project(object: &Object<'_>) -> Result<Sent<String>, Fault> {
    let project = object.text("project_id", PROJECT_MAX)?;
    let tenant = object.text("tenant_id", PROJECT_MAX)?;
    Ok(if tenant.is_sent() { tenant } else { project })
}

fn tags(object: &Object<'_>) -> Result<Sent<Vec<String>>, Fault> {
    object.texts("tags", TEXT_MAX)
}

/// Whether something of the catalogue may be chosen. The original breaks on null.
fn enabled(object: &Object<'_>) -> Result<Sent<bool>, Fault> {
    let enabled = object.boolean("enabled")?;
    if enabled.is_null() {
        enabled.required("enabled")?;
    }
    Ok(enabled)
}

/// TLS preferences, spelled alike on listeners and pools.
#[derive(Debug, Default)]
pub(crate) struct TlsBody {
    pub(crate) ciphers: Sent<String>,
    pub(crate) versions: Sent<Vec<String>>,
    pub(crate) alpn_protocols: Sent<Vec<String>>,
}

pub(crate) const TLS_VERSIONS: &[&str] = &["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
pub(crate) const ALPN_IDS: &[&str] = &["h2", "http/1.1", "http/1.0"];
pub(crate) const CIPHERS_MAX: usize = 2048;

impl TlsBody {
    /// Whether versions or ciphers are sent.
    pub(crate) fn chooses(&self) -> bool {
        !matches!((&self.ciphers, &self.versions), (Sent::Absent, Sent::Absent))
    }

    fn decode(object: &Object<'_>) -> Result<Self, Fault> {
        Ok(Self {
            ciphers: object.text("tls_ciphers", CIPHERS_MAX)?,
            versions: object.words("tls_versions", TLS_VERSIONS)?,
            alpn_protocols: object.alpn_ids("alpn_protocols", ALPN_IDS)?,
        })
    }
}
