//! What the parts of a controller count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use octavia_model::{LoadBalancerId, WorkerId};
use octavia_wire::HeartbeatError;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
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
    held: Held,
}

/// The leases of this process: which worker holds one, and since when. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Held(Arc<Mutex<BTreeMap<(WorkerId, LoadBalancerId), Instant>>>);

/// That a worker holds a lease; until it is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Held,
    what: (WorkerId, LoadBalancerId),
}

impl Held {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(WorkerId, LoadBalancerId), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.all().remove(&self.what);
    }
}

impl Collector for Held {
    /// A worker that holds none is not told of.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut workers = BTreeMap::<WorkerId, (i64, Duration)>::new();
        for ((worker, _), since) in self.all().iter() {
            let (count, oldest) = workers.entry(*worker).or_default();
            *count += 1;
            *oldest = since.elapsed().max(*oldest);
        }
        let mut family = encoder.encode_descriptor(
            "worker_leases",
            "Leases that this process holds, by worker.",
            None,
            MetricType::Gauge,
        )?;
        for (worker, (count, _)) in &workers {
            ConstGauge::new(*count).encode(family.encode_family(&[("worker", worker.to_string())])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "worker_lease_oldest_seconds",
            "Age of the oldest of them.",
            None,
            MetricType::Gauge,
        )?;
        for (worker, (_, oldest)) in &workers {
            let age = ConstGauge::new(oldest.as_secs_f64());
            age.encode(family.encode_family(&[("worker", worker.to_string())])?)?;
        }
        Ok(())
    }
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            reconciliations: Family::default(),
            seconds: Histogram::new(BUCKETS),
            steps_failed: Counter::default(),
            held: Held::default(),
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
        registry.register_collector(Box::new(self.held.clone()));
    }

    /// The worker has just taken the lease of the load balancer.
    pub(crate) fn holds(&self, worker: WorkerId, lb: LoadBalancerId) -> Holding {
        let what = (worker, lb);
        self.held.all().insert(what, Instant::now());
        Holding { held: self.held.clone(), what }
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
            Some(Reconciled::Waits(_)) => "waits",
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
    signed: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    pub(crate) silent: Gauge,
    pub(crate) pairs_without_master: Gauge,
    pub(crate) pairs_with_many_masters: Gauge,
}

/// Which key of ours a heartbeat is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAge {
    Newest,
    Previous,
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
            "heartbeats_signed",
            "Heartbeats by the key that signed them: newest, or previous, which somebody still needs",
            self.signed.clone(),
        );
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
        registry.register(
            "pairs_without_master",
            "Load balancers of whose amphorae none holds the VIPs, as of the last look",
            self.pairs_without_master.clone(),
        );
        registry.register(
            "pairs_with_many_masters",
            "Load balancers of whose amphorae more than one holds the VIPs, as of the last look",
            self.pairs_with_many_masters.clone(),
        );
    }

    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(crate) fn signed(&self, with: KeyAge) {
        let key = match with {
            KeyAge::Newest => "newest",
            KeyAge::Previous => "previous",
        };
        self.signed.get_or_create(&[("key", key)]).inc();
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

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn leases_are_told_while_they_are_held() {
        let metrics = WorkerMetrics::default();
        let mut registry = Registry::with_prefix("octavia");
        metrics.register(&mut registry);
        let told = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines()
                .filter(|line| line.contains("lease") && !line.starts_with('#'))
                .map(str::to_owned)
                .collect()
        };
        let none: [String; 0] = [];
        assert_eq!(told() as Vec<_>, none);
        let (worker, other) = (WorkerId::new_v4(), WorkerId::new_v4());
        let first = metrics.holds(worker, LoadBalancerId::new_v4());
        let second = metrics.holds(worker, LoadBalancerId::new_v4());
        let third = metrics.holds(other, LoadBalancerId::new_v4());
        drop(second);
        let lines: Vec<String> = told();
        assert_eq!(lines.len(), 4, "{lines:?}");
        for wanted in [
            format!("octavia_worker_leases{{worker=\"{worker}\"}} 1"),
            format!("octavia_worker_leases{{worker=\"{other}\"}} 1"),
            format!("octavia_worker_lease_oldest_seconds{{worker=\"{worker}\"}} 0."),
        ] {
            assert!(lines.iter().any(|line| line.starts_with(&wanted)), "{wanted}: {lines:?}");
        }
        drop((first, third));
        assert_eq!(told(), none);
    }
}
