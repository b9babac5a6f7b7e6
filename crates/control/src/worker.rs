//! Makes load balancers what their rows say: lease, observe, plan, step, until there is nothing to do.
//!
//! The worker remembers nothing between two attempts; all it knows is in rows and in the world. So it may be killed
//! at any await, and any number of workers may share one database: a lease makes one of them responsible, and its
//! epoch makes a late one harmless.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, join_all, select};
use jiff::{SignedDuration, Timestamp};
use newtype_uuid::GenericUuid;
use octavia_model::{AmphoraStatus, LoadBalancerId, ProvisioningStatus, WorkerId};
use octavia_plan::{Desired, Plan, Step, Waiting, backoff, jittered, own_fault, plan};
use octavia_store::{Lease, Release, StoreError};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::executor::{Executor, StepError};
use crate::observe::{Observation, observe};
use crate::{Parts, Stop, WorkerOptions, ledger};

/// The first and the longest pause between two looks at a server that is starting.
const BOOT_POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Batches under one lease; a plan that needs more does not converge, and is left to a later attempt.
const MAX_BATCHES: usize = 50;

/// Cheap to clone; clones are the same owner of leases.
#[derive(Debug, Clone)]
pub struct Worker {
    id: WorkerId,
    parts: Parts,
    options: Arc<WorkerOptions>,
    stop: Stop,
    started_at: Timestamp,
}

/// How an attempt at one load balancer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    /// Observed is desired.
    Done,
    /// The rows are gone.
    Deleted,
    /// Not yet; tried again after a backoff. What it waits for, or failed with.
    Later(String),
    /// Another worker holds the lease, or nothing is there to be leased.
    NotOurs,
    /// The lease ran out or went to another worker: whatever was under way was dropped.
    LeaseLost,
    /// The worker was asked to stop; the load balancer is due for the next one.
    Stopped,
}

impl Worker {
    pub fn new(parts: Parts, options: WorkerOptions, stop: Stop) -> Self {
        let id = WorkerId::from_untyped_uuid(parts.random.uuid());
        let started_at = parts.clock.now();
        Self { id, parts, options: Arc::new(options), stop, started_at }
    }

    /// The owner of this worker's leases.
    pub const fn id(&self) -> WorkerId {
        self.id
    }

    /// Works on whatever is due until asked to stop, then finishes the batches under way.
    pub async fn run(self) {
        let signal = self.parts.store.work_signal();
        let mut stop = self.stop.clone();
        let mut tasks = JoinSet::new();
        let mut busy = BTreeSet::new();
        while !self.stop.is_asked() {
            let signalled = signal.notified();
            let pause = match self.start_due(&mut tasks, &mut busy).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "could not ask what is due");
                    self.options.poll_interval
                }
            };
            tokio::select! {
                () = signalled => {}
                () = self.parts.clock.sleep(pause) => {}
                () = stop.asked() => {}
                Some(ended) = tasks.join_next() => match ended {
                    Ok(lb) => { busy.remove(&lb); }
                    Err(error) => {
                        tracing::error!(%error, "an attempt at a load balancer panicked");
                        busy.clear();
                    }
                },
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Starts an attempt at each load balancer that is due, as far as there is room; returns how long nothing
    /// else will be due.
    async fn start_due(
        &self,
        tasks: &mut JoinSet<LoadBalancerId>,
        busy: &mut BTreeSet<LoadBalancerId>,
    ) -> Result<Duration, StoreError> {
        let room = self.options.concurrency.saturating_sub(tasks.len());
        if room == 0 {
            return Ok(self.options.poll_interval);
        }
        let due = self.parts.store.work_due(room + busy.len()).await?;
        for lb in due.into_iter().filter(|lb| !busy.contains(lb)).take(room).collect::<Vec<_>>() {
            busy.insert(lb);
            let worker = self.clone();
            tasks.spawn(async move {
                if let Err(error) = worker.reconcile_one(lb).await {
                    tracing::warn!(%lb, %error, "an attempt ended with the database in trouble");
                }
                lb
            });
        }
        let next = self.parts.store.work_next_due().await?;
        let until = next.map(|at| at.duration_since(self.parts.clock.now()));
        // What is due already is being taken up.
        let until = until.map_or(self.options.poll_interval, |until| until.try_into().unwrap_or_default());
        Ok(until.clamp(Duration::from_millis(10), self.options.poll_interval))
    }

    /// One attempt at one load balancer: takes the lease if it is free, and gives it back.
    ///
    /// Errors are the database's only: everything else is an outcome.
    pub async fn reconcile_one(&self, lb: LoadBalancerId) -> Result<Reconciled, StoreError> {
        let Some(lease) = self.parts.store.lease_acquire(lb, self.id, self.options.lease_ttl).await? else {
            return Ok(Reconciled::NotOurs);
        };
        let span =
            tracing::info_span!("reconcile", %lb, epoch = lease.epoch, generation = tracing::field::Empty);
        self.attempt(lease).instrument(span).await
    }

    async fn attempt(&self, lease: Lease) -> Result<Reconciled, StoreError> {
        let before = Mutex::new(Before::default());
        let worked = {
            let work = std::pin::pin!(self.work(&lease, &before));
            let renewal = std::pin::pin!(self.renew_until_lost(&lease));
            match select(work, renewal).await {
                Either::Left((worked, _)) => worked,
                Either::Right(((), _)) => Err(StoreError::LeaseLost),
            }
        };
        let outcome = match worked {
            Ok(outcome) => outcome,
            Err(StoreError::LeaseLost) => {
                tracing::warn!("the lease is lost; what was under way is left to its new owner");
                return Ok(Reconciled::LeaseLost);
            }
            Err(error) => Reconciled::Later(error.to_string()),
        };
        let before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
        let now = self.parts.clock.now();
        let later = |delay| now + jittered(delay, self.parts.random.unit());
        let release = match &outcome {
            Reconciled::Deleted | Reconciled::LeaseLost | Reconciled::NotOurs => return Ok(outcome),
            Reconciled::Done => {
                Release { next_attempt_at: later(self.options.resync), attempts: 0, last_error: None }
            }
            Reconciled::Later(error) => {
                let attempts = before.attempts.saturating_add(1);
                tracing::info!(attempts, %error, "not yet");
                Release {
                    next_attempt_at: later(backoff(attempts)),
                    attempts,
                    last_error: Some(error.clone()),
                }
            }
            Reconciled::Stopped => {
                Release { next_attempt_at: now, attempts: before.attempts, last_error: before.last_error }
            }
        };
        match self.parts.store.lease_release(&lease, release).await {
            Ok(()) => Ok(outcome),
            Err(StoreError::LeaseLost) => Ok(Reconciled::LeaseLost),
            Err(error) => Err(error),
        }
    }

    /// Renews the lease at a third of its life; returns when it is lost.
    async fn renew_until_lost(&self, lease: &Lease) {
        let ttl = self.options.lease_ttl;
        let mut renewed_at = self.parts.clock.now();
        loop {
            self.parts.clock.sleep(ttl / 3).await;
            match self.parts.store.lease_renew(lease, ttl).await {
                Ok(()) => renewed_at = self.parts.clock.now(),
                Err(StoreError::LeaseLost) => return,
                Err(error) => {
                    tracing::warn!(%error, "could not renew the lease");
                    let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
                    if self.parts.clock.now().duration_since(renewed_at) >= ttl {
                        return;
                    }
                }
            }
        }
    }
}

/// What the row said of attempts before this one.
#[derive(Debug, Default)]
struct Before {
    attempts: u32,
    last_error: Option<String>,
}

impl Worker {
    /// Observe, plan, run, again; until there is nothing to do, or nothing to do now.
    async fn work(&self, lease: &Lease, before: &Mutex<Before>) -> Result<Reconciled, StoreError> {
        let started_at = self.parts.clock.now();
        let mut desired = self.load(lease).await?;
        *before.lock().unwrap_or_else(PoisonError::into_inner) =
            Before { attempts: desired.attempts, last_error: desired.last_error.clone() };
        let mut pause = BOOT_POLL.0;
        let mut batches = 0;
        let mut failed: Vec<(Step, StepError)> = vec![];
        // One replacement may follow a first failure at once; what fails again waits longer each time.
        let mut may_replace_at_once = desired.attempts == 0;
        loop {
            if self.stop.is_asked() {
                return Ok(Reconciled::Stopped);
            }
            let observation = self.observe(&desired).await?;
            let now = self.parts.clock.now();
            let steps = match plan(&desired, &observation.observed, now, &self.options.plan) {
                Plan::Done => return Ok(Reconciled::Done),
                Plan::Wait(Waiting::Trouble(reason)) => {
                    return Ok(Reconciled::Later(explain(&reason.text, &observation.troubles)));
                }
                Plan::Wait(Waiting::Boot(_))
                    if now.duration_since(started_at) < self.options.boot_patience =>
                {
                    self.parts.clock.sleep(pause).await;
                    pause = (pause * 5 / 4).min(BOOT_POLL.1);
                    // The user may have other wishes by now, such as to delete it.
                    desired = self.load(lease).await?;
                    continue;
                }
                Plan::Wait(Waiting::Boot(amphora)) => {
                    let text = format!("Amphora {amphora} is still starting.");
                    return Ok(Reconciled::Later(explain(&text, &observation.troubles)));
                }
                Plan::Run(steps) => steps,
            };
            // What failed is not tried twice under one lease; the rest goes on.
            let steps: Vec<Step> =
                steps.into_iter().filter(|step| !failed.iter().any(|(other, _)| other == step)).collect();
            batches += 1;
            if steps.is_empty() || batches > MAX_BATCHES {
                let errors: Vec<String> = failed.iter().map(|(_, error)| error.to_string()).collect();
                return Ok(Reconciled::Later(explain("Not everything could be done.", &errors)));
            }
            let executor = Executor {
                parts: &self.parts,
                options: &self.options,
                lease,
                desired: &desired,
                observed: &observation.observed,
            };
            let generation = desired.graph.load_balancer.generation;
            let entries = ledger::start(&self.parts, lease, generation, &steps).await?;
            let results = join_all(steps.iter().map(|step| executor.run(step))).await;
            if steps.contains(&Step::LoadBalancerDelete) && results.iter().all(Result::is_ok) {
                return Ok(Reconciled::Deleted);
            }
            ledger::finish(&self.parts, lease, &entries, &results).await?;
            let replaces = steps.iter().find_map(|step| match step {
                Step::AmphoraRetire { reason, .. } => Some(reason.text.clone()),
                _ => None,
            });
            for (step, result) in steps.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(StepError::Store(StoreError::LeaseLost)) => return Err(StoreError::LeaseLost),
                    Err(error) => {
                        tracing::warn!(%step, %error, "a step failed");
                        self.fail_at_once(lease, &desired, &error).await?;
                        failed.push((step, error));
                    }
                }
            }
            if let Some(why) = replaces {
                if !may_replace_at_once {
                    return Ok(Reconciled::Later(why));
                }
                may_replace_at_once = false;
            }
            desired = self.load(lease).await?;
        }
    }

    async fn observe(&self, desired: &Desired) -> Result<Observation, StoreError> {
        let mut observation = observe(&self.parts, desired, self.options.agent_port).await;
        let answers = |id| observation.observed.amphorae.get(id).is_some_and(|seen| seen.agent.is_some());
        let mute = desired.amphorae.iter().any(|a| a.status == AmphoraStatus::Allocated && !answers(&a.id));
        observation.observed.silence_trusted = mute && self.silence_trusted().await?;
        Ok(observation)
    }

    /// Whether silence of an amphora is its own fault. Asked only when one does not answer.
    async fn silence_trusted(&self) -> Result<bool, StoreError> {
        let timeout = self.options.plan.heartbeat_timeout;
        let now = self.parts.clock.now();
        if now.duration_since(self.started_at) < timeout {
            return Ok(false);
        }
        let silent = self.parts.store.amphorae_silent(now - timeout).await?.len();
        let all = self.parts.store.amphorae_silent(now + timeout).await?.len();
        Ok(!own_fault(silent, all.saturating_sub(silent)))
    }

    /// Shows a failure that no retry helps against, unless it is shown already.
    async fn fail_at_once(
        &self,
        lease: &Lease,
        desired: &Desired,
        error: &StepError,
    ) -> Result<(), StoreError> {
        let lb = &desired.graph.load_balancer;
        let Some(reason) = error.verdict() else { return Ok(()) };
        let shown = lb.statuses.provisioning == ProvisioningStatus::Error
            && lb.statuses.reason.as_ref() == Some(&reason);
        if !shown {
            self.parts.store.lb_fail(lease, lb.generation, reason).await?;
        }
        Ok(())
    }

    async fn load(&self, lease: &Lease) -> Result<Desired, StoreError> {
        let rows = self.parts.store.desired_load(lease).await?;
        tracing::Span::current().record("generation", rows.graph.load_balancer.generation);
        Ok(Desired {
            graph: rows.graph,
            amphorae: rows.amphorae,
            deleting: rows.deleting,
            pending_since: rows.pending_since,
            attempts: rows.attempts,
            last_error: rows.last_error,
            fence: lease.epoch,
        })
    }
}

/// A sentence, and what was heard while trying.
fn explain(text: &str, troubles: &[String]) -> String {
    if troubles.is_empty() { text.to_owned() } else { format!("{text} {}", troubles.join("; ")) }
}
