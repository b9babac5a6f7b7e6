//! What is done under one lease: observe, plan, run a batch, again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use octavia_model::{AmphoraStatus, ProvisioningStatus, ReasonCode};
use octavia_plan::{Desired, Plan, Step, Waiting, agent_lacks_proxy, own_fault, plan};
use octavia_store::{Lease, StoreError};

use crate::executor::{Executor, StepError};
use crate::ledger::Ledger;
use crate::observe::{Observation, observe};
use crate::turn::turn_leave;
use crate::{Parts, Reconciled, Stop, WorkerOptions};

/// The first and the longest pause between two looks at a server that is starting.
const BOOT_POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Batches under one lease; a plan that needs more does not converge, and is left to a later attempt.
const MAX_BATCHES: usize = 50;

pub(crate) struct Attempt<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) options: &'a WorkerOptions,
    pub(crate) stop: &'a Stop,
    pub(crate) lease: &'a Lease,
    /// Before this, an amphora that is not heard may just not have been heard by us.
    pub(crate) silence_trusted_from: Timestamp,
    /// Filled as soon as it is known, for whoever gives the lease back.
    pub(crate) before: &'a Mutex<Before>,
}

/// What the row said of attempts before this one.
#[derive(Debug, Default)]
pub(crate) struct Before {
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
}

/// What went wrong under this lease.
#[derive(Debug, Default)]
struct Trouble {
    failed: Vec<(Step, StepError)>,
    /// Amphorae given up, and why.
    retired: Vec<String>,
}

impl Attempt<'_> {
    /// Works until there is nothing to do, or nothing to do now.
    pub(crate) async fn work(&self) -> Result<Reconciled, StoreError> {
        let mut ledger = Ledger::new(self.parts, self.lease);
        let outcome = self.work_and_note(&mut ledger).await?;
        if outcome != Reconciled::Deleted {
            ledger.flush().await?;
            if let Some(limit) = self.options.builds {
                turn_leave(self.parts, self.lease, outcome == Reconciled::Done, limit).await?;
            }
        }
        Ok(outcome)
    }

    async fn work_and_note(&self, ledger: &mut Ledger<'_>) -> Result<Reconciled, StoreError> {
        let started_at = self.parts.clock.now();
        let (mut desired, mut request_ids) = self.load().await?;
        tracing::Span::current().record("request_ids", request_ids.join(" "));
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) =
            Before { attempts: desired.attempts, last_error: desired.last_error.clone() };
        // As it was at the start; it may move on under the lease.
        tracing::Span::current().record("generation", desired.graph.load_balancer.generation);
        let mut trouble = Trouble::default();
        let mut pause = BOOT_POLL.0;
        let mut batches = 0;
        while !self.stop.is_asked() {
            let seen = self.observe(&desired).await?;
            let now = self.parts.clock.now();
            match plan(&desired, &seen.observed, now, &self.options.plan) {
                Plan::Done => return Ok(Reconciled::Done),
                Plan::Wait(Waiting::Trouble(reason)) => return Ok(later(&reason.text, &seen.troubles)),
                Plan::Wait(Waiting::Boot(amphora)) => {
                    if now.duration_since(started_at) >= self.options.boot_patience {
                        return Ok(later(&format!("Amphora {amphora} is still starting."), &seen.troubles));
                    }
                    self.parts.clock.sleep(pause).await;
                    pause = (pause * 5 / 4).min(BOOT_POLL.1);
                }
                Plan::Run(mut steps) => {
                    // What failed is not tried twice under one lease; the rest goes on.
                    steps.retain(|step| trouble.failed.iter().all(|(failed, _)| failed != step));
                    batches += 1;
                    if steps.is_empty() || batches > MAX_BATCHES {
                        return Ok(trouble.later());
                    }
                    if self.run(&desired, &request_ids, &seen, steps, ledger, &mut trouble).await? {
                        return Ok(Reconciled::Deleted);
                    }
                    // One replacement may follow a first failure at once; the next waits longer each time.
                    if !trouble.retired.is_empty() && desired.attempts as usize + trouble.retired.len() > 1 {
                        return Ok(trouble.later());
                    }
                }
            }
            // Also for the sake of new wishes: who is to be deleted need not wait for a boot.
            let before = request_ids;
            (desired, request_ids) = self.load().await?;
            if request_ids.iter().any(|id| !before.contains(id)) {
                let generation = desired.graph.load_balancer.generation;
                tracing::info!(request_ids = request_ids.join(" "), generation, "more is asked for");
            }
        }
        Ok(Reconciled::Stopped)
    }

    /// What is wanted, and the ids of the requests that want it.
    async fn load(&self) -> Result<(Desired, Vec<String>), StoreError> {
        let rows = self.parts.store.desired_load(self.lease).await?;
        let desired = Desired {
            graph: rows.graph,
            amphorae: rows.amphorae,
            deleting: rows.deleting,
            pending_since: rows.pending_since,
            attempts: rows.attempts,
            last_error: rows.last_error,
            fence: self.lease.epoch,
        };
        Ok((desired, rows.request_ids))
    }

    async fn observe(&self, desired: &Desired) -> Result<Observation, StoreError> {
        let mut observation = observe(self.parts, desired, self.options.agent_port).await;
        let agent = |id| observation.observed.amphorae.get(id).and_then(|seen| seen.agent.as_ref());
        // Whether one that is to be replaced is silent does not matter.
        let in_service =
            || desired.amphorae.iter().filter(|a| a.status == AmphoraStatus::Allocated && !a.to_replace);
        observation.observed.silence_trusted = if in_service().any(|a| agent(&a.id).is_none()) {
            self.silence_trusted().await?
        } else {
            // Who says that it carries nothing is not misheard, however many say so.
            in_service().any(|a| agent(&a.id).is_some_and(agent_lacks_proxy)) && self.has_listened_for_long()
        };
        Ok(observation)
    }

    fn has_listened_for_long(&self) -> bool {
        self.parts.clock.now() >= self.silence_trusted_from
    }

    /// Whether silence of an amphora is its own fault. Asked only when one does not answer.
    async fn silence_trusted(&self) -> Result<bool, StoreError> {
        let timeout = self.options.plan.heartbeat_timeout;
        let now = self.parts.clock.now();
        if !self.has_listened_for_long() {
            return Ok(false);
        }
        let silent = self.parts.store.amphorae_silent(now - timeout).await?.len();
        // Nobody was heard in the future: these are all.
        let all = self.parts.store.amphorae_silent(now + timeout).await?.len();
        Ok(!own_fault(silent, all.saturating_sub(silent)))
    }

    /// Runs a batch side by side; true when it was the last there will ever be.
    async fn run(
        &self,
        desired: &Desired,
        request_ids: &[String],
        seen: &Observation,
        steps: Vec<Step>,
        ledger: &mut Ledger<'_>,
        trouble: &mut Trouble,
    ) -> Result<bool, StoreError> {
        let executor = Executor {
            parts: self.parts,
            options: self.options,
            lease: self.lease,
            desired,
            observed: &seen.observed,
            request_ids,
        };
        let generation = desired.graph.load_balancer.generation;
        let batch = join_all(steps.iter().map(|step| executor.run(step)));
        let results = ledger.note(generation, &steps, batch).await?;
        if steps.contains(&Step::LoadBalancerDelete) && results.iter().all(Result::is_ok) {
            return Ok(true);
        }
        for (step, result) in steps.into_iter().zip(results) {
            match (result, step) {
                // A wish is no trouble.
                (Ok(()), Step::AmphoraRetire { reason, .. }) if reason.code != ReasonCode::FailoverAsked => {
                    trouble.retired.push(reason.text);
                }
                (Ok(()), _) => {}
                (Err(StepError::Store(StoreError::LeaseLost)), _) => return Err(StoreError::LeaseLost),
                (Err(error @ StepError::Waits(_)), step) => trouble.failed.push((step, error)),
                (Err(error), step) => {
                    tracing::warn!(%step, %error, "a step failed");
                    self.options.metrics.step_failed();
                    self.fail_at_once(desired, &error).await?;
                    trouble.failed.push((step, error));
                }
            }
        }
        Ok(false)
    }

    /// Shows a failure that no retry helps against, unless it is shown already.
    async fn fail_at_once(&self, desired: &Desired, error: &StepError) -> Result<(), StoreError> {
        let lb = &desired.graph.load_balancer;
        let Some(reason) = error.verdict() else { return Ok(()) };
        let shown = lb.statuses.provisioning == ProvisioningStatus::Error
            && lb.statuses.reason.as_ref() == Some(&reason);
        if !shown {
            self.parts.store.lb_fail(self.lease, lb.generation, reason).await?;
        }
        Ok(())
    }
}

impl Trouble {
    fn later(&self) -> Reconciled {
        let waits = |(_, error): &(Step, StepError)| matches!(error, StepError::Waits(_));
        if let Some((_, error)) = self.failed.first()
            && self.failed.iter().all(waits)
            && self.retired.is_empty()
        {
            return Reconciled::Waits(error.to_string());
        }
        let failed = self.failed.iter().map(|(_, error)| error.to_string());
        let said: Vec<String> = failed.chain(self.retired.iter().cloned()).collect();
        later("Not everything could be done.", &said)
    }
}

/// A sentence, and what was heard while trying.
fn later(text: &str, said: &[String]) -> Reconciled {
    Reconciled::Later(if said.is_empty() { text.to_owned() } else { format!("{text} {}", said.join("; ")) })
}
