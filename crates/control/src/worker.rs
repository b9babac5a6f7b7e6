//! Makes load balancers what their rows say: lease, observe, plan, step, until there is nothing to do.
//!
//! The worker remembers nothing between two attempts; all it knows is in rows and in the world. So it may be killed
//! at any await, and any number of workers may share one database: a lease makes one of them responsible, and its
//! epoch makes a late one harmless.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use newtype_uuid::GenericUuid;
use octavia_model::{LoadBalancerId, WorkerId};
use octavia_plan::{backoff, jittered};
use octavia_store::{Lease, Release, StoreError};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::attempt::{Attempt, Before};
use crate::{Parts, Stop, WorkerOptions};

/// How often one that waits for its turn asks; several times as often as it takes to be forgotten.
const TURN_POLL: SignedDuration = SignedDuration::from_secs(10);

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
    /// Others have servers made first. What is waited for.
    Waits(String),
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
        let mut resumed = false;
        while !self.stop.is_asked() {
            let signalled = signal.notified();
            let pause = match self.resume_and_start(&mut resumed, &mut tasks, &mut busy).await {
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

    /// What happened while no worker ran, such as the death of an agent, was seen by nobody: once, everything is
    /// looked at soon.
    async fn resume_and_start(
        &self,
        resumed: &mut bool,
        tasks: &mut JoinSet<LoadBalancerId>,
        busy: &mut BTreeSet<LoadBalancerId>,
    ) -> Result<Duration, StoreError> {
        if !*resumed {
            self.parts.store.work_resume(self.options.resume_pace).await?;
            *resumed = true;
        }
        self.start_due(tasks, busy).await
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
                // What ends at once is due again at once, so it is held back a little.
                match worker.reconcile_one(lb).await {
                    Ok(Reconciled::NotOurs) => {
                        worker.parts.clock.sleep(worker.options.poll_interval / 20).await
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%lb, %error, "an attempt ended with the database in trouble");
                        worker.parts.clock.sleep(worker.options.poll_interval).await;
                    }
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
        let started_at = self.parts.clock.now();
        let outcome = self.reconcile(lb).await;
        // A clock that was stepped back meanwhile tells nothing.
        let elapsed = self.parts.clock.now().duration_since(started_at).try_into().unwrap_or_default();
        self.options.metrics.reconciled(outcome.as_ref().ok(), elapsed);
        outcome
    }

    async fn reconcile(&self, lb: LoadBalancerId) -> Result<Reconciled, StoreError> {
        let Some(lease) = self.parts.store.lease_acquire(lb, self.id, self.options.lease_ttl).await? else {
            return Ok(Reconciled::NotOurs);
        };
        let _held = self.options.metrics.holds(self.id, lb);
        let span = tracing::info_span!(
            "reconcile",
            %lb,
            epoch = lease.epoch,
            generation = tracing::field::Empty,
            request_ids = tracing::field::Empty,
        );
        Box::pin(self.attempt(lease).instrument(span)).await
    }

    async fn attempt(&self, lease: Lease) -> Result<Reconciled, StoreError> {
        let before = Mutex::new(Before::default());
        let worked = {
            let attempt = Attempt {
                parts: &self.parts,
                options: &self.options,
                stop: &self.stop,
                lease: &lease,
                silence_trusted_from: self.started_at + self.options.plan.heartbeat_timeout,
                before: &before,
            };
            let work = std::pin::pin!(attempt.work());
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
            // Woken as soon as it is its turn; asking now and then says that it is still wanted.
            Reconciled::Waits(cause) => Release {
                next_attempt_at: later(TURN_POLL),
                attempts: before.attempts,
                last_error: Some(cause.clone()),
            },
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
