//! What the parts of a controller count.

use std::time::Duration;

use octavia_wire::HeartbeatError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Reconciled;

type Labels = [(&'static str, &'static str); 1];

/// Seconds.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct WorkerMetrics {
    reconciliations: Family<Labels, Counter>,
    seconds: Histogram,
    steps_failed: Counter,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            reconciliations: Family::default(),
            seconds: Histogram::new(BUCKETS),
            steps_failed: Counter::default(),
        }
    }
}

impl WorkerMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "worker_reconciliations",
            "Attempts at load balancers, by how they ended",
            self.reconciliations.clone(),
        );
        registry.register(
            "worker_reconciliation_duration_seconds",
            "Time of attempts that held a lease",
            self.seconds.clone(),
        );
        registry.register("worker_steps_failed", "Steps of plans that failed", self.steps_failed.clone());
    }

    pub(crate) fn step_failed(&self) {
        self.steps_failed.inc();
    }

    /// `None` = the database failed.
    pub(crate) fn reconciled(&self, outcome: Option<&Reconciled>, elapsed: Duration) {
        let result = match outcome {
            Some(Reconciled::Done) => "done",
            Some(Reconciled::Deleted) => "deleted",
            Some(Reconciled::Later(_)) => "later",
            Some(Reconciled::NotOurs) => "not_ours",
            Some(Reconciled::LeaseLost) => "lease_lost",
            Some(Reconciled::Stopped) => "stopped",
            None => "store_error",
        };
        self.reconciliations.get_or_create(&[("result", result)]).inc();
        if outcome != Some(&Reconciled::NotOurs) {
            self.seconds.observe(elapsed.as_secs_f64());
        }
    }
}

/// Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct HealthMetrics {
    accepted: Counter,
    refused: Family<Labels, Counter>,
    pub(crate) silent: Gauge,
}

/// Why a datagram changed nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal<'a> {
    NoHeartbeat(&'a HeartbeatError),
    /// Older than one that was heard, or the same again.
    Old,
    /// Of an amphora that has no row.
    UnknownAmphora,
}

impl HealthMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("heartbeats_accepted", "Heartbeats that were news", self.accepted.clone());
        registry.register(
            "heartbeats_refused",
            "Datagrams that changed nothing, by reason; of an unknown amphora, accepted before that was known",
            self.refused.clone(),
        );
        registry.register(
            "amphorae_silent",
            "Amphorae in service that were not heard for too long, as of the last look",
            self.silent.clone(),
        );
    }

    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(crate) fn refused(&self, why: Refusal<'_>) {
        let reason = match why {
            Refusal::Old => "old",
            Refusal::UnknownAmphora => "unknown_amphora",
            Refusal::NoHeartbeat(HeartbeatError::Short) => "short",
            Refusal::NoHeartbeat(HeartbeatError::Signature) => "signature",
            Refusal::NoHeartbeat(HeartbeatError::Inflate | HeartbeatError::TooLarge) => "size",
            Refusal::NoHeartbeat(HeartbeatError::Content(_)) => "content",
        };
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }
}
