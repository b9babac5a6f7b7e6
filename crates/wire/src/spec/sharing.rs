//! How the amphorae of a pair tell each other where clients were sent ([`crate::sharing`]).

use std::fmt;

use newtype_uuid::GenericUuid;
use octavia_model::{LoadBalancerId, PoolId};
use serde::{Deserialize, Serialize};

use super::tickets::Secret;
use super::{AmphoraSpec, TicketRoot};

/// Where each of them listens for the others, at its own address on the VIP's network: the original's port of HAProxy peers.
pub const SHARING_PORT: u16 = 1025;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharingSpec {
    /// Of TCP; not 0.
    #[serde(default = "port")]
    pub port: u16,
    pub key: SharingKey,
}

const fn port() -> u16 {
    SHARING_PORT
}

/// What the amphorae of one load balancer know each other by, and have their stick tables agree on clients with. `Debug` hides
/// it; zeroed when it goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SharingKey(Secret);

impl fmt::Debug for SharingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharingKey(<secret>)")
    }
}

impl TicketRoot {
    /// Of all amphorae of this load balancer, alike at all times.
    pub fn sharing_key(&self, load_balancer: LoadBalancerId) -> SharingKey {
        SharingKey(self.derive("octavia sharing 1: load balancer", load_balancer))
    }
}

impl AmphoraSpec {
    /// How it shares its stick tables, if it is one of a pair.
    pub fn sharing(&self) -> Option<&SharingSpec> {
        self.network.as_ref()?.vrrp.as_ref()?.sharing.as_ref()
    }
}

impl SharingKey {
    /// What the clients in a pool's stick table are hashed with.
    pub fn table_secret(&self, pool: PoolId) -> (u64, u64) {
        let pool = pool.into_untyped_uuid();
        let secret = self.0.derive("octavia sharing 1: stick table", &[pool.as_bytes()]);
        let word = |place: usize| {
            secret.reveal()[place * 8..].iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        (word(0), word(1))
    }

    /// The key of one direction of one connection.
    pub(crate) fn seal(&self, direction: &str, greetings: &[&[u8]]) -> [u8; 32] {
        *self.0.derive(direction, greetings).reveal()
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::TypedUuid;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn alike_on_all_amphorae_and_on_no_other() {
        let key = |root: &[u8], lb| {
            TicketRoot::new(root).sharing_key(TypedUuid::from_untyped_uuid(Uuid::from_u128(lb)))
        };
        let pool = |n| TypedUuid::from_untyped_uuid(Uuid::from_u128(n));
        let ours = key(&[7; 32], 1);
        let told: SharingKey = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
        assert_eq!(told.table_secret(pool(1)), ours.table_secret(pool(1)));
        for (what, other) in [
            ("pool", ours.table_secret(pool(2))),
            ("load balancer", key(&[7; 32], 2).table_secret(pool(1))),
            ("root", key(&[8; 32], 1).table_secret(pool(1))),
        ] {
            assert_ne!(other, ours.table_secret(pool(1)), "another {what}");
        }
        let (first, second) = ours.table_secret(pool(1));
        assert_ne!(first, second);
        assert_eq!(format!("{ours:?}"), "SharingKey(<secret>)");
    }

    #[test]
    fn as_it_crosses_the_wire() {
        let key = TicketRoot::new(&[7; 32]).sharing_key(TypedUuid::nil());
        let spec = SharingSpec { port: SHARING_PORT, key };
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SharingSpec>(&text).unwrap(), spec);
        let least = text.replace("\"port\":1025,", "");
        assert_ne!(least, text);
        assert_eq!(serde_json::from_str::<SharingSpec>(&least).unwrap(), spec);
        assert!(serde_json::from_str::<SharingSpec>(r#"{"key": "AAAA"}"#).is_err());
    }
}
