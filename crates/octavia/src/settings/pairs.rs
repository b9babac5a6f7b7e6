//! Two amphorae of one load balancer: when there are two, and how they agree.

use jiff::SignedDuration;
use octavia_config::option::{controller_worker, keepalived_vrrp};
use octavia_control::VrrpOptions;
use octavia_model::Topology;

use super::{Reader, Settings};

/// Advertisements that a router waits for at the most until it takes over, and one more for the news to spread.
const ADVERTISEMENTS: u32 = 5;

/// How long a health manager waits until what amphorae say of who holds the VIPs counts.
pub(crate) fn agreement_patience(vrrp: VrrpOptions) -> SignedDuration {
    let agreed = SignedDuration::from_millis((vrrp.advert_interval_ms * ADVERTISEMENTS).into());
    agreed.max(SignedDuration::from_secs(5))
}

impl Settings {
    /// Says so where pairs are asked for that there cannot be.
    pub(crate) fn warn_of_topology(&self) {
        let (wanted, had) = (self.api.default_topology, self.api.topology());
        if wanted != had {
            tracing::warn!(
                "[controller_worker] loadbalancer_topology = {wanted}: amphorae have no interfaces of their own here, and \
                 load balancers are {had}; with --network netns they have"
            );
        }
    }
}

impl Reader<'_> {
    pub(super) fn topology(&self) -> Topology {
        let word = self.config.all_in_one(&controller_worker::loadbalancer_topology);
        word.and_then(|word| word.parse().ok()).unwrap_or(Topology::Single)
    }

    pub(super) fn vrrp(&self) -> VrrpOptions {
        let defaults = VrrpOptions::default();
        // The table bounds them all.
        let seconds = self.config.given(&keepalived_vrrp::vrrp_advert_int);
        let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
        let refresh = self.number(&keepalived_vrrp::vrrp_garp_refresh_interval);
        let count = self.number(&keepalived_vrrp::vrrp_garp_refresh_count);
        VrrpOptions {
            advert_interval_ms: seconds.map_or(defaults.advert_interval_ms, |seconds| seconds * 1_000),
            announce_refresh_s: u32::try_from(refresh).unwrap_or(defaults.announce_refresh_s),
            announce_refresh_count: u8::try_from(count).unwrap_or(defaults.announce_refresh_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_longer_than_agreeing_takes() {
        for (interval_ms, seconds) in [(200, 5), (1_000, 5), (2_000, 10), (40_000, 200)] {
            let vrrp = VrrpOptions { advert_interval_ms: interval_ms, ..VrrpOptions::default() };
            assert_eq!(agreement_patience(vrrp), SignedDuration::from_secs(seconds), "{interval_ms}");
        }
    }
}
