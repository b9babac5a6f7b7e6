//! The processes of the controller: started with the options of a simulation, killed, started again.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use octavia_control::{
    BootOptions, HealthManager, HealthOptions, HeartbeatKey, Housekeeping, HousekeepingOptions, Parts,
    Stopper, Worker, WorkerOptions,
};
use octavia_plan::PlanOptions;
use rand::seq::IndexedRandom;

use super::{MAX_PENDING, Simulation};
use crate::actors;
use crate::stage::ActorId;
use crate::world::SECRET_MARK;

const HEARTBEAT_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SCAN_EVERY: Duration = Duration::from_secs(15);
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(90);

impl Simulation {
    /// Processes that ended are started again.
    pub(super) fn revive(&mut self) {
        for n in 0..self.workers.len() {
            if self.workers[n].is_some_and(|actor| self.stage.is_playing(actor)) {
                continue;
            }
            let (stopper, stop) = Stopper::new();
            let worker = Worker::new(self.parts.clone(), worker_options(), stop);
            self.inspector.worker(worker.id(), n);
            let part = actors::worker(worker, self.parts.clone(), self.journal.clone());
            let part = async move {
                part.await;
                drop(stopper);
            };
            self.workers[n] = Some(self.stage.enter(format!("worker{n}"), part));
        }
        if !self.scan.is_some_and(|actor| self.stage.is_playing(actor)) {
            self.manager = health_manager(&self.parts);
            if let Some(flush) = self.flush.take() {
                self.stage.kill(flush);
            }
            let part = actors::health_scan(self.manager.clone(), self.clock.clone(), SCAN_EVERY);
            self.scan = Some(self.stage.enter("health", part));
        }
        if !self.sweeper.is_some_and(|actor| self.stage.is_playing(actor)) {
            let options = HousekeepingOptions {
                interval: SWEEP_EVERY,
                orphan_age: ORPHAN_AGE,
                max_pending: MAX_PENDING,
                ..Default::default()
            };
            let sweeper = Housekeeping::new(self.parts.clone(), options);
            let part = actors::housekeeping(sweeper, self.clock.clone(), self.journal.clone(), SWEEP_EVERY);
            self.sweeper = Some(self.stage.enter("housekeeping", part));
        }
    }

    pub(super) fn kill_somebody(&mut self) {
        let mut mortal: Vec<ActorId> = self.workers.iter().flatten().copied().collect();
        mortal.extend(self.scan);
        mortal.extend(self.sweeper);
        mortal.extend(self.users.iter().map(|(actor, _)| *actor));
        if let Some(actor) = mortal.choose(&mut self.rng).copied() {
            self.journal.note(format!("* {} is KILLED", self.stage.name(actor)));
            self.stage.kill(actor);
        }
    }
}

pub(super) fn heartbeat_key() -> HeartbeatKey {
    HeartbeatKey::new(format!("{SECRET_MARK} heartbeat key"))
}

pub(super) fn health_manager(parts: &Parts) -> HealthManager {
    let options =
        HealthOptions { heartbeat_timeout: HEARTBEAT_TIMEOUT, ..HealthOptions::new(heartbeat_key()) };
    HealthManager::new(parts.store.clone(), Arc::clone(&parts.clock), options)
}

fn worker_options() -> WorkerOptions {
    let boot = BootOptions {
        controllers: vec![],
        heartbeat_interval: Duration::from_secs(10),
        heartbeat_key: heartbeat_key(),
        controller_name: "controller".to_owned(),
        cert_lifetime: SignedDuration::from_hours(24),
        proxy_threads: 1,
    };
    WorkerOptions {
        plan: PlanOptions {
            max_pending: MAX_PENDING,
            heartbeat_timeout: HEARTBEAT_TIMEOUT,
            boot_timeout: SignedDuration::from_secs(90),
            ..PlanOptions::default()
        },
        ..WorkerOptions::new(boot)
    }
}
