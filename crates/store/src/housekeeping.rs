//! Keeping the database small, and telling what may be removed from the world.

use std::collections::BTreeSet;

use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, ProjectId};

use crate::{Store, StoreError};

/// Something that happened to a load balancer, to be told to others once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    pub id: i64,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    /// `create.start`, `update.start`, `delete.start`, `settled`, `failed`, `delete.end`.
    pub event: String,
    pub generation: u64,
    pub created_at: Timestamp,
}

impl Store {
    /// Removes `DELETED` load balancers and amphorae last changed before `before`, and ledger and outbox entries older
    /// than it. Returns how many load balancers and amphorae went.
    pub async fn deleted_purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        let _ = before;
        Err(self.unbuilt())
    }

    /// Which of the ids belong to load balancers that are not `DELETED`: what is made for another id is an orphan.
    pub async fn lb_existing(&self, ids: &[LoadBalancerId]) -> Result<BTreeSet<LoadBalancerId>, StoreError> {
        let _ = ids;
        Err(self.unbuilt())
    }

    /// Which of the ids belong to amphorae that are not `DELETED`.
    pub async fn amphora_existing(&self, ids: &[AmphoraId]) -> Result<BTreeSet<AmphoraId>, StoreError> {
        let _ = ids;
        Err(self.unbuilt())
    }

    /// The oldest entries of the outbox. They stay until acknowledged: at least once, not exactly once.
    pub async fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let _ = limit;
        Err(self.unbuilt())
    }

    pub async fn outbox_ack(&self, ids: &[i64]) -> Result<(), StoreError> {
        let _ = ids;
        Err(self.unbuilt())
    }
}
