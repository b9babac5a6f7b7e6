//! Reading whole load balancers.

use jiff::Timestamp;
use octavia_model::{
    Amphora, HealthMonitorId, ListenerId, LoadBalancerGraph, LoadBalancerId, MemberId, PoolId,
};

use crate::{Lease, Store, StoreError};

/// What a worker works from.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Children on their way out (`PENDING_DELETE`) included.
    pub graph: LoadBalancerGraph,
    /// Every amphora that is not `DELETED`, in order of creation.
    pub amphorae: Vec<Amphora>,
    /// Deletion was asked for. Stays true when the provisioning status became `ERROR` on the way.
    pub deleting: bool,
    /// Since when the load balancer has been on its way (`PENDING_*`, or `ERROR` out of it).
    pub pending_since: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    pub last_error: Option<String>,
}

impl Store {
    /// The load balancer with everything below it; `None` when absent or `DELETED`.
    pub async fn lb_fetch(&self, id: LoadBalancerId) -> Result<Option<LoadBalancerGraph>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }

    /// Loads what a worker needs. What is asked for after this call makes the load balancer due again when the lease
    /// is released; what was asked for before it is seen.
    pub async fn desired_load(&self, lease: &Lease) -> Result<Desired, StoreError> {
        let _ = lease;
        Err(self.unbuilt())
    }

    /// The load balancer a listener belongs to; `None` when there is no such listener.
    pub async fn listener_parent(&self, id: ListenerId) -> Result<Option<LoadBalancerId>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }

    pub async fn pool_parent(&self, id: PoolId) -> Result<Option<LoadBalancerId>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }

    pub async fn member_parent(&self, id: MemberId) -> Result<Option<LoadBalancerId>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }

    pub async fn health_monitor_parent(
        &self,
        id: HealthMonitorId,
    ) -> Result<Option<LoadBalancerId>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }
}
