//! What a store can be given: a clock, an interceptor, sizes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use octavia_model::{LoadBalancerId, WorkerId};

use crate::{StoreError, StoreMetrics};

/// A clock in place of the database's, for simulation.
pub trait Clock: Send + Sync + Debug {
    fn now(&self) -> Timestamp;
}

/// Which public operation of the store is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The method's name, such as `lb_change`.
    pub name: &'static str,
    pub load_balancer: Option<LoadBalancerId>,
    /// The owner of the lease, for operations of workers.
    pub worker: Option<WorkerId>,
}

/// Called around every public operation on rows. The simulator's way in: it holds a caller here, drops it, or lets the
/// operation fail.
#[async_trait]
pub trait Interceptor: Send + Sync + Debug {
    /// Before each attempt, outside any transaction. [`StoreError::Conflict`] counts as a refusal by the database and is
    /// tried again as such; any other error is the operation's answer, and nothing was done.
    async fn before(&self, call: &Call) -> Result<(), StoreError>;
    /// After the commit. An error is the operation's answer although everything was done: a lost answer.
    async fn after(&self, call: &Call) -> Result<(), StoreError>;
    /// An attempt is over, however it ended; comes between `before` and `after`, or the next `before`.
    fn attempted(&self, call: &Call) {
        let _ = call;
    }
}

#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `None` = the database's clock.
    pub clock: Option<Arc<dyn Clock>>,
    pub interceptor: Option<Arc<dyn Interceptor>>,
    pub metrics: StoreMetrics,
    /// Connections at most, 1 or more; SQLite has one more, for writing.
    pub connections: u32,
    /// How long an operation waits for a connection, or SQLite for its write lock.
    pub timeout: Duration,
    /// How often an operation is tried while the database answers with a conflict.
    pub attempts: u32,
    /// The furthest ahead that a lease may end or a next attempt lie. What is written is cut to it; what lies further
    /// ahead all the same was written by a clock that has gone back since, and counts as past. Longer than any lease,
    /// backoff or resync, and the same for all who share a database.
    pub horizon: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            clock: None,
            interceptor: None,
            metrics: StoreMetrics::default(),
            connections: 8,
            timeout: Duration::from_secs(10),
            attempts: 8,
            horizon: Duration::from_secs(60),
        }
    }
}

impl Call {
    pub(crate) const fn of(name: &'static str) -> Self {
        Self { name, load_balancer: None, worker: None }
    }

    pub(crate) const fn of_lb(name: &'static str, lb: LoadBalancerId) -> Self {
        Self { name, load_balancer: Some(lb), worker: None }
    }

    pub(crate) const fn of_lease(name: &'static str, lease: &crate::Lease) -> Self {
        Self { name, load_balancer: Some(lease.lb), worker: Some(lease.owner) }
    }
}
