//! The processes of the controller: started with the options of a simulation, killed, started again.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use octavia_control::{
    BootOptions, HealthManager, HealthOptions, Housekeeping, HousekeepingOptions, Parts, SpareKeeper,
    SpareKeeperOptions, Stopper, Worker, WorkerOptions,
};
use octavia_plan::{PlanOptions, SpareOptions};
use rand::seq::IndexedRandom;

use super::{MAX_PENDING, SPARE_BUILDS, Simulation};
use crate::actors;
use crate::stage::ActorId;

const HEARTBEAT_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SPARES_EVERY: Duration = Duration::from_secs(5);
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
            let options = WorkerOptions {
                spares: self.profile.spares > 0,
                builds: self.profile.builds,
                ..worker_options()
            };
            let worker = Worker::new(self.parts.clone(), options, stop);
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
        if self.profile.spares > 0 && !self.keeper.is_some_and(|actor| self.stage.is_playing(actor)) {
            let keeper = SpareKeeper::new(self.parts.clone(), keeper_options(self.profile.spares));
            self.keeper =
                Some(self.stage.enter("spares", actors::spares(keeper, self.clock.clone(), SPARES_EVERY)));
        }
    }

    /// Whoever was at work goes by the number of before, and is started anew.
    pub(super) fn want_spares(&mut self, size: usize) {
        self.profile.spares = size;
        self.inspector.want_spares(size);
        for actor in self.workers.iter_mut().chain([&mut self.keeper]) {
            if let Some(actor) = actor.take() {
                self.stage.kill(actor);
            }
        }
    }

    pub(super) fn kill_somebody(&mut self) {
        let mut mortal: Vec<ActorId> = self.workers.iter().flatten().copied().collect();
        mortal.extend(self.scan);
        mortal.extend(self.sweeper);
        mortal.extend(self.keeper);
        mortal.extend(self.users.iter().map(|(actor, _)| *actor));
        if let Some(actor) = mortal.choose(&mut self.rng).copied() {
            self.journal.note(format!("* {} is KILLED", self.stage.name(actor)));
            self.stage.kill(actor);
        }
    }
}

pub(super) fn health_manager(parts: &Parts) -> HealthManager {
    let options = HealthOptions { heartbeat_timeout: HEARTBEAT_TIMEOUT, ..HealthOptions::default() };
    HealthManager::new(parts.store.clone(), Arc::clone(&parts.clock), Arc::clone(&parts.certs), options)
}

fn keeper_options(size: usize) -> SpareKeeperOptions {
    let WorkerOptions { plan, boot, agent_port, .. } = worker_options();
    let spares = SpareOptions {
        size,
        builds: SPARE_BUILDS,
        boot_timeout: plan.boot_timeout,
        heartbeat_timeout: plan.heartbeat_timeout,
        renew_before: plan.renew_before,
    };
    SpareKeeperOptions { spares, boot, agent_port, interval: SPARES_EVERY }
}

fn worker_options() -> WorkerOptions {
    let boot = BootOptions {
        controllers: vec![],
        heartbeat_interval: Duration::from_secs(10),
        controller_name: "controller".to_owned(),
        cert_lifetime: SignedDuration::from_hours(24),
        proxy_threads: 1,
    };
    WorkerOptions {
        plan: PlanOptions {
            max_pending: MAX_PENDING,
            heartbeat_timeout: HEARTBEAT_TIMEOUT,
            boot_timeout: SignedDuration::from_secs(90),
            renew_before: SignedDuration::from_hours(12),
            ..PlanOptions::default()
        },
        ..WorkerOptions::new(boot)
    }
}
