//! The right of one worker to act on one load balancer until a time, and what is due.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use jiff::Timestamp;
use octavia_model::{LoadBalancerId, WorkerId};

use crate::{Store, StoreError};

/// A lease as it was taken. Every write of a worker carries it; a stale epoch changes nothing.
#[derive(Debug, Clone)]
pub struct Lease {
    pub lb: LoadBalancerId,
    pub owner: WorkerId,
    /// Moves by one with every lease of this load balancer: the fence.
    pub epoch: u64,
    /// As taken; [`Store::lease_renew`] moves it in the database.
    pub until: Timestamp,
    /// How many wake-ups the holder has seen: set when taken and with every load, compared on release.
    pub(crate) seen_wakes: Arc<AtomicI64>,
}

/// How a worker leaves a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// When to look again. Brought forward to now if something was asked for since the last
    /// [`Store::desired_load`].
    pub next_attempt_at: Timestamp,
    /// Failed attempts in a row; 0 after success.
    pub attempts: u32,
    pub last_error: Option<String>,
}

impl Store {
    /// Load balancers that are due and not leased, the longest due first. A hint: [`Store::lease_acquire`] decides.
    pub async fn work_due(&self, limit: usize) -> Result<Vec<LoadBalancerId>, StoreError> {
        let _ = limit;
        Err(self.unbuilt())
    }

    /// When the next load balancer will be due, or has been; `None` when there is none.
    pub async fn work_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Err(self.unbuilt())
    }

    /// Takes the lease for `ttl` from now if the load balancer is due and no living lease is on it.
    pub async fn lease_acquire(
        &self,
        lb: LoadBalancerId,
        owner: WorkerId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let _ = (lb, owner, ttl);
        Err(self.unbuilt())
    }

    /// Makes the lease last `ttl` from now. A lease that ran out, but was taken by nobody, is renewed too.
    pub async fn lease_renew(&self, lease: &Lease, ttl: Duration) -> Result<(), StoreError> {
        let _ = (lease, ttl);
        Err(self.unbuilt())
    }

    /// Gives the lease back.
    pub async fn lease_release(&self, lease: &Lease, release: Release) -> Result<(), StoreError> {
        let _ = (lease, release);
        Err(self.unbuilt())
    }

    /// Makes the load balancer due now, whoever works on it; nothing happens when it is absent.
    pub async fn lb_wake(&self, lb: LoadBalancerId) -> Result<(), StoreError> {
        let _ = lb;
        Err(self.unbuilt())
    }
}
