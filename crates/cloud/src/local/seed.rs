//! Random material, and the ids of everything that has always been there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use uuid::Uuid;

/// `bytes` random bytes as text that needs no quoting anywhere.
pub(super) fn random_text<const BYTES: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<BYTES>())
}

pub(super) fn random_bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    rand::rng().fill(&mut bytes[..]);
    bytes
}

/// From one random seed, the same id for the same name for ever: roles, networks, endpoints need no table.
#[derive(Clone)]
pub(super) struct Seed(String);

impl Seed {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn id(&self, name: &str) -> Uuid {
        let digest = sign(self.0.as_bytes(), name.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Keystone writes its ids without hyphens.
    pub(super) fn hex_id(&self, name: &str) -> String {
        self.id(name).simple().to_string()
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

pub(super) fn sign(key: &[u8], content: &[u8]) -> [u8; 32] {
    mac(key, content).finalize().into_bytes().into()
}

/// In constant time.
pub(super) fn signature_holds(key: &[u8], content: &[u8], signature: &[u8]) -> bool {
    mac(key, content).verify_slice(signature).is_ok()
}

fn mac(key: &[u8], content: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(content);
    mac
}
