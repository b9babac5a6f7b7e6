//! Writing desired state: one transaction, one generation.

use octavia_model::{LoadBalancerGraph, LoadBalancerId, ProvisioningStatus};

use crate::{ChangeError, Store, StoreError};

/// What [`Store::lb_change`] needs of the load balancer, and makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// The provisioning statuses in which the change is possible.
    pub statuses: &'static [ProvisioningStatus],
    /// The provisioning status afterwards; `None` leaves what the closure made of it.
    pub root_status_after: Option<ProvisioningStatus>,
}

impl Store {
    /// Stores a new load balancer with everything below it, in one transaction, as generation 1.
    ///
    /// `created_at` of every row is set by the store, in the order of the graph; the stored graph comes back.
    pub async fn lb_create(&self, graph: &LoadBalancerGraph) -> Result<LoadBalancerGraph, StoreError> {
        let _ = graph;
        Err(self.unbuilt())
    }

    /// Changes a load balancer or what is below it, in one transaction.
    ///
    /// Takes the root's row, refuses unless its provisioning status is in `accept`, loads the graph (children on
    /// their way out included) and calls `change` with it, which must be pure: it is called again after a
    /// conflict. What differs afterwards is written; new children get `created_at`, changed ones `updated_at`. The
    /// generation moves by one, unless nothing differs and `accept` asks for no status. A load balancer whose
    /// deletion was asked for accepts nothing but another request to delete it.
    ///
    /// The answer holds the graph as stored.
    pub async fn lb_change<R, E>(
        &self,
        id: LoadBalancerId,
        accept: Accept,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<R, E>,
    ) -> Result<(R, LoadBalancerGraph), ChangeError<E>> {
        let _ = (id, accept, change);
        Err(self.unbuilt().into())
    }
}
