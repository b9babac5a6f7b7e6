//! Traffic counters.

use octavia_model::{AmphoraId, ListenerId, LoadBalancerId};

use crate::{Store, StoreError};

/// Counters of a listener, or a sum of them. They saturate instead of overflowing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Now, not so far; in sums only of amphorae that are `ALLOCATED`.
    pub active_connections: u64,
    pub total_connections: u64,
    pub request_errors: u64,
}

/// What one amphora counted for one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmphoraStatistics {
    pub amphora_id: AmphoraId,
    pub listener_id: ListenerId,
    pub load_balancer_id: LoadBalancerId,
    pub statistics: Statistics,
}

impl Store {
    /// Sum over amphorae; zeros when nothing was counted, or there is no such listener.
    pub async fn listener_stats(&self, id: ListenerId) -> Result<Statistics, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }

    /// Sum over listeners and amphorae.
    pub async fn lb_stats(&self, id: LoadBalancerId) -> Result<Statistics, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }

    /// One entry for each listener; empty when nothing was counted.
    pub async fn amphora_stats(&self, id: AmphoraId) -> Result<Vec<AmphoraStatistics>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }
}
