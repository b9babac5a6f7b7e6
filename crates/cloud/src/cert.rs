//! By what controllers and agents know each other: certificates, the authorities behind them, the key of heartbeats.

use std::sync::Arc;

use async_trait::async_trait;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use crate::CloudError;

/// Bytes of a digest that make a mark.
const MARK: usize = 16;

/// Issues certificates for controllers and agents, and says whom either side is to believe.
#[async_trait]
pub trait CertIssuer: Send + Sync + std::fmt::Debug {
    /// A certificate and a new key, of the authority that issues; `name` is both the common name and the only DNS name.
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError>;

    /// The same of every authority that is believed, the one that issues first: for a client of agents that do not all
    /// know the newest yet.
    async fn issue_each(&self, name: &str, lifetime: SignedDuration) -> Result<Vec<IssuedCert>, CloudError>;

    /// Whom to believe now; asked before each conversation, so it is cheap. It changes while amphorae are led from one
    /// authority to the next.
    fn trust(&self) -> Arc<Trust>;
}

#[derive(Clone)]
pub struct IssuedCert {
    /// PEM: certificate, then whatever links it to the authority.
    pub chain: String,
    /// PEM: PKCS#8 private key.
    pub key: String,
    pub expires_at: Timestamp,
    /// The [`Authority::name`] of whose it is.
    pub authority: String,
    /// DER: that authority's subject, as TLS servers name whom they believe.
    pub issuer: Vec<u8>,
}

impl std::fmt::Debug for IssuedCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedCert(of {}, expires {})", self.authority, self.expires_at)
    }
}

/// Whom either side believes, and what signs heartbeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The one that issues.
    pub issuing: Authority,
    /// Those before it that somebody may still need.
    pub retiring: Vec<Authority>,
    /// The key that amphorae are to sign with.
    pub heartbeat_key: HeartbeatKey,
    /// Those before it, still taken.
    pub previous_keys: Vec<HeartbeatKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Tells it from others: the first half of its certificate's SHA-256, in hexadecimal digits, or less.
    pub name: String,
    /// PEM: its certificate.
    pub pem: String,
    pub expires_at: Timestamp,
}

impl Trust {
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        std::iter::once(&self.issuing).chain(&self.retiring)
    }

    /// PEM of all of them.
    pub fn bundle(&self) -> String {
        self.authorities().flat_map(|authority| [authority.pem.trim_end(), "\n"]).collect()
    }

    /// Every key that is taken, the newest first.
    pub fn heartbeat_keys(&self) -> impl Iterator<Item = &HeartbeatKey> {
        std::iter::once(&self.heartbeat_key).chain(&self.previous_keys)
    }

    /// Another one whenever an amphora has to be told something else; says nothing about the key.
    pub fn mark(&self) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.heartbeat_key.reveal().as_bytes()).expect("any key");
        mac.update(b"octavia papers\n");
        for authority in self.authorities() {
            mac.update(authority.pem.trim_end().as_bytes());
            mac.update(b"\n");
        }
        mac.finalize().into_bytes()[..MARK].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The key that signs heartbeats; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HeartbeatKey(Arc<str>);

impl HeartbeatKey {
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for HeartbeatKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeartbeatKey(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> Authority {
        Authority { name: name.to_owned(), pem: format!("{name}\n"), expires_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn marks_differ_where_amphorae_are_told_something_else() {
        let trust = |issuing, retiring: &[&str], key: &str, previous: &[&str]| Trust {
            issuing: authority(issuing),
            retiring: retiring.iter().map(|name| authority(name)).collect(),
            heartbeat_key: HeartbeatKey::new(key),
            previous_keys: previous.iter().map(|key| HeartbeatKey::new(*key)).collect(),
        };
        let one = trust("a", &[], "k", &[]);
        assert_eq!((one.mark().len(), one.bundle().as_str()), (2 * MARK, "a\n"));
        // What controllers alone go by changes no amphora's papers.
        assert_eq!(one.mark(), trust("a", &[], "k", &["j"]).mark());
        let others = [
            trust("b", &[], "k", &[]),
            trust("a", &["b"], "k", &[]),
            trust("b", &["a"], "k", &[]),
            trust("a", &[], "l", &[]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(one.mark(), other.mark(), "{other:?}");
            assert!(others[..at].iter().all(|before| before.mark() != other.mark()), "{other:?}");
        }
        assert_eq!(others[2].bundle(), "b\na\n");
    }
}
