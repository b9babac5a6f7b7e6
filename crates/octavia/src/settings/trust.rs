//! Certificates of amphorae, and the keys of their heartbeats.

use jiff::SignedDuration;
use octavia_cloud::HeartbeatKey;
use octavia_config::Severity;
use octavia_config::option::{certificates, health_manager, house_keeping};

use super::Reader;

#[derive(Debug, Clone)]
pub(crate) struct TrustSettings {
    /// Lifetime of an amphora's certificate.
    pub(crate) cert_lifetime: SignedDuration,
    /// How long before its end it is renewed.
    pub(crate) renew_before: SignedDuration,
    /// The newest first; none = those that the state directory keeps.
    pub(crate) heartbeat_keys: Vec<HeartbeatKey>,
}

impl Reader<'_> {
    pub(super) fn trust(&mut self) -> TrustSettings {
        let cert_lifetime = SignedDuration::from_secs(self.number(&certificates::cert_validity_time));
        let buffer = SignedDuration::from_secs(self.number(&house_keeping::cert_expiry_buffer));
        let newest = self.config.all_in_one(&health_manager::heartbeat_key).filter(|key| !key.is_empty());
        let previous = self.config.all_in_one(&health_manager::previous_heartbeat_keys).unwrap_or_default();
        if newest.is_none() && !previous.is_empty() {
            let what =
                "without a heartbeat_key these are not taken: the state directory has its own".to_owned();
            self.say(Severity::Error, &health_manager::previous_heartbeat_keys, what);
        }
        let keys = newest.map(|newest| std::iter::once(newest).chain(previous));
        TrustSettings {
            cert_lifetime,
            // Else every certificate would be due as soon as it is there.
            renew_before: buffer.min(cert_lifetime / 2),
            heartbeat_keys: keys.into_iter().flatten().map(HeartbeatKey::new).collect(),
        }
    }
}
