//! What amphorae say of themselves: operating statuses, liveness, counters. Never a provisioning status, and not
//! bound to a lease.

use std::collections::BTreeMap;

use jiff::Timestamp;
use octavia_model::{
    Amphora, AmphoraId, ListenerId, LoadBalancerGraph, LoadBalancerId, MemberId, OperatingStatus, PoolId,
    Reason,
};
use uuid::Uuid;

use crate::{Statistics, Store, StoreError};

/// What the roll-up of a heartbeat is judged against.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthContext {
    pub amphora: Amphora,
    pub graph: LoadBalancerGraph,
}

/// An operating status that differs from the row's, and why it is not good news.
///
/// Where the row's provisioning status is `ERROR`, the reason there stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrite {
    pub operating: OperatingStatus,
    pub reason: Option<Reason>,
}

/// Only what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusWrites {
    pub load_balancer: Option<StatusWrite>,
    pub listeners: BTreeMap<ListenerId, StatusWrite>,
    pub pools: BTreeMap<PoolId, StatusWrite>,
    pub members: BTreeMap<MemberId, StatusWrite>,
}

/// How the counters of a heartbeat count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Since the data plane's start, which the id names; `None` where it does not say (the original's version 2).
    Totals { boot: Option<Uuid> },
    /// Since the last heartbeat (the original's version 3).
    Differences,
}

/// One accepted heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatWrite {
    pub amphora: AmphoraId,
    /// Counts beats since the agent's start. A beat whose number is not higher than the last one's is late or double,
    /// and changes nothing, if it comes within five seconds of it; later, it is an agent that started again.
    pub seq: u64,
    pub received_at: Timestamp,
    /// Whether the beat counts as a sign of life (it does not when it speaks of other listeners than it should).
    pub alive: bool,
    /// The generation the data plane runs; `None` leaves the row's.
    pub applied_generation: Option<u64>,
    pub report: Report,
    /// Counters by listener; listeners unknown to the amphora's load balancer are left out.
    pub statistics: BTreeMap<ListenerId, Statistics>,
    pub statuses: StatusWrites,
}

/// An amphora that has not been heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentAmphora {
    pub id: AmphoraId,
    pub load_balancer_id: Option<LoadBalancerId>,
    /// `None` = never heard.
    pub last_heartbeat_at: Option<Timestamp>,
}

impl Store {
    /// The amphora and its load balancer; `None` when either is absent or `DELETED`.
    pub async fn health_context(&self, amphora: AmphoraId) -> Result<Option<HealthContext>, StoreError> {
        let _ = amphora;
        Err(self.unbuilt())
    }

    /// Writes what a heartbeat says. Returns false when it was late, double, or of an amphora that is gone: then
    /// nothing was written.
    pub async fn heartbeat_apply(&self, beat: &HeartbeatWrite) -> Result<bool, StoreError> {
        let _ = beat;
        Err(self.unbuilt())
    }

    /// Writes operating statuses of one load balancer without a heartbeat, such as after silence.
    pub async fn statuses_apply(
        &self,
        lb: LoadBalancerId,
        statuses: &StatusWrites,
    ) -> Result<(), StoreError> {
        let _ = (lb, statuses);
        Err(self.unbuilt())
    }

    /// `ALLOCATED` amphorae last heard (or, never heard, updated) before `since`, the longest silent first.
    pub async fn amphorae_silent(&self, since: Timestamp) -> Result<Vec<SilentAmphora>, StoreError> {
        let _ = since;
        Err(self.unbuilt())
    }
}
