//! Whose turn it is to have servers made, of which so many may be in the making at once.

use jiff::Timestamp;

use crate::{LoadBalancerId, OperationId, ProjectId};

/// A load balancer for which servers are in the making, or that waits for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    /// It was in service before: this is a failover.
    pub urgent: bool,
    /// Since when it has waited.
    pub since: Timestamp,
    /// When a worker asked for it last.
    pub asked_at: Timestamp,
    /// Since when its servers are in the making; `None` = it waits.
    pub taken_at: Option<Timestamp>,
    /// The entry of the ledger that says that it waits.
    pub operation_id: OperationId,
}
