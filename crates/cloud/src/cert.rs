//! Certificates between controllers and agents.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::CloudError;

/// The authority for controllers and agents.
#[async_trait]
pub trait CertIssuer: Send + Sync + std::fmt::Debug {
    /// A certificate and a new key; `name` is both the common name and the only DNS name.
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError>;

    /// PEM of the authority's certificate: what either side trusts.
    fn authority(&self) -> &str;
}

#[derive(Clone)]
pub struct IssuedCert {
    /// PEM: certificate, then whatever links it to the authority.
    pub chain: String,
    /// PEM: PKCS#8 private key.
    pub key: String,
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for IssuedCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedCert(expires {})", self.expires_at)
    }
}
