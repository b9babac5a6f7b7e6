//! How a generation ends: in force, failed, or gone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use octavia_model::{ListenerId, LoadBalancerId, Reason};

use crate::{Lease, Store, StoreError};

/// What of a generation that is in force did not work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Listeners that could not be opened: they become `ERROR`, everything else `ACTIVE`.
    pub listener_faults: BTreeMap<ListenerId, Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Done,
    /// A newer generation was asked for meanwhile; nothing was written.
    GenerationMoved,
}

impl Store {
    /// The generation is in force: what is on its way arrives, what is on its way out goes.
    ///
    /// Of rows that do not differ nothing is written, so settling again and again costs reads only.
    pub async fn lb_settle(
        &self,
        lease: &Lease,
        generation: u64,
        settlement: &Settlement,
    ) -> Result<Settled, StoreError> {
        let _ = (lease, generation, settlement);
        Err(self.unbuilt())
    }

    /// The generation cannot come into force for now: the load balancer becomes `ERROR` for `reason`, and so do
    /// children on their way in. Children on their way out stay so. `pending_since` stays, and the work stays due: a
    /// later [`Store::lb_settle`] makes all of it `ACTIVE`.
    pub async fn lb_fail(
        &self,
        lease: &Lease,
        generation: u64,
        reason: Reason,
    ) -> Result<Settled, StoreError> {
        let _ = (lease, generation, reason);
        Err(self.unbuilt())
    }

    /// Nothing of the load balancer is left in the world: its row becomes `DELETED`, its amphorae's too, what was below
    /// it is removed, the lease ends.
    pub async fn lb_deleted(&self, lease: &Lease) -> Result<(), StoreError> {
        let _ = lease;
        Err(self.unbuilt())
    }

    /// Load balancers that have been `PENDING_*` since before `since` become `ERROR`, with what the last attempt failed
    /// with as the cause; they are still worked on. Returns which.
    pub async fn pending_expire(&self, since: Timestamp) -> Result<Vec<LoadBalancerId>, StoreError> {
        let _ = since;
        Err(self.unbuilt())
    }
}
