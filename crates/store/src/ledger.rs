//! The ledger of steps, for people: what was done to a load balancer, when, and how it ended. Nothing decides by it.

use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, OperationId, WorkerId};

use crate::{Lease, Store, StoreError};

/// A step about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationStart {
    /// The caller's choice, so that a simulation is deterministic.
    pub id: OperationId,
    /// The step's name, at most 64 characters.
    pub kind: String,
    pub amphora_id: Option<AmphoraId>,
    pub generation: u64,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub id: OperationId,
    pub load_balancer_id: LoadBalancerId,
    pub amphora_id: Option<AmphoraId>,
    pub worker_id: WorkerId,
    pub kind: String,
    pub generation: u64,
    pub started_at: Timestamp,
    /// `None` = under way, or its worker died.
    pub finished_at: Option<Timestamp>,
    /// What it failed with; `None` = done, or under way.
    pub error: Option<String>,
}

impl Store {
    /// Notes steps that begin.
    pub async fn operation_start(
        &self,
        lease: &Lease,
        operations: &[OperationStart],
    ) -> Result<(), StoreError> {
        let _ = (lease, operations);
        Err(self.unbuilt())
    }

    /// Notes how steps ended: done, or the error.
    pub async fn operation_finish(
        &self,
        lease: &Lease,
        outcomes: &[(OperationId, Result<(), String>)],
    ) -> Result<(), StoreError> {
        let _ = (lease, outcomes);
        Err(self.unbuilt())
    }

    /// The newest entries of a load balancer, the newest first.
    pub async fn operation_list(
        &self,
        lb: LoadBalancerId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        let _ = (lb, limit);
        Err(self.unbuilt())
    }
}
