//! One simulation: chaos, then calm, then everything is deleted; the invariants are looked at after every event.

mod event;
mod outside;
mod process;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use octavia_control::{HealthManager, Parts};
use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_store::Store;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::process::health_manager;
use crate::actors;
use crate::clock::{SimClock, SimRandom};
use crate::invariants::Inspector;
use crate::journal::Journal;
use crate::mishap::Mishap;
use crate::profile::Profile;
use crate::stage::{ActorId, Gates, Stage};
use crate::tap::Tap;
use crate::wish::Wish;
use crate::world::World;

/// Spares in the making at once.
pub(crate) const SPARE_BUILDS: usize = 2;
pub(crate) const MAX_PENDING: SignedDuration = SignedDuration::from_mins(5);
/// How soon everything has to be as asked for, once faults have stopped.
const CONVERGENCE: SignedDuration = SignedDuration::from_mins(10);
/// The same in events, against loops that take no time.
const CONVERGENCE_EVENTS: usize = 20_000;

/// A part of a story.
#[derive(Debug, Clone)]
pub enum Act {
    /// A user asks for a load balancer.
    Create,
    /// So many spares are wanted from now on.
    Spares(usize),
    /// An operator changes authority and heartbeat key; or ends the change, if nobody needs what was before.
    TrustChanges,
    /// A user asks for the same change of every one.
    Wish(Wish),
    Happens(Mishap),
    /// The clocks on the wall are stepped by so much; back if it is negative.
    ClockSteps(SignedDuration),
    /// Nothing goes wrong until everything is as asked for.
    Converges,
    /// Nothing goes wrong for so long.
    Passes(SignedDuration),
}

/// How one simulation ended.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    /// The first invariant that did not hold.
    pub broken: Option<String>,
    pub log: Vec<String>,
    pub events: usize,
    /// Simulated time from the end of the faults until everything was as asked for.
    pub converged_after: SignedDuration,
}

impl Outcome {
    /// What to print when it failed: the seed, and the end of the log.
    pub fn report(&self) -> String {
        const TAIL: usize = 120;
        let broken = self.broken.as_deref().unwrap_or("nothing");
        let from = self.log.len().saturating_sub(TAIL);
        format!(
            "seed {} broke {broken}\n  (again: OCTAVIA_SIM_SEED={} cargo test -p octavia-sim)\n{} events before\n{}\n",
            self.seed,
            self.seed,
            from,
            self.log[from..].join("\n")
        )
    }
}

pub(crate) struct Simulation {
    pub(crate) rng: StdRng,
    pub(crate) profile: Profile,
    pub(crate) stage: Stage,
    pub(crate) gates: Gates,
    pub(crate) journal: Journal,
    pub(crate) world: World,
    pub(crate) store: Store,
    tap: Tap,
    parts: Parts,
    clock: SimClock,
    workers: Vec<Option<ActorId>>,
    manager: HealthManager,
    scan: Option<ActorId>,
    flush: Option<ActorId>,
    sweeper: Option<ActorId>,
    keeper: Option<ActorId>,
    users: Vec<(ActorId, Timestamp)>,
    pub(crate) load_balancers: Vec<LoadBalancerId>,
    beats_at: BTreeMap<AmphoraId, Timestamp>,
    /// Who does not get on for a while: a paused process, a slow network. Until which event.
    frozen: BTreeMap<ActorId, usize>,
    /// Sent and not yet arrived.
    beats: Vec<Vec<u8>>,
    inspector: Inspector,
    outage: bool,
    calm: bool,
    events: usize,
}

impl Simulation {
    pub(crate) fn new(seed: u64, store: Store, tap: Tap) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let profile = Profile::random(&mut rng);
        let gates = Gates::new(crate::start());
        let journal = Journal::new(gates.clone());
        tap.connect(gates.clone(), journal.clone());
        let world = World::new(gates.clone(), journal.clone());
        let clock = SimClock(gates.clone());
        let random = SimRandom::new(seed ^ 0x5eed);
        let parts = actors::parts(store.clone(), &world, &clock, random);
        let manager = health_manager(&parts);
        Self {
            rng,
            stage: Stage::new(gates.clone()),
            inspector: Inspector::new(journal.clone(), world.clone(), tap.clone(), profile.spares),
            workers: vec![None; profile.workers],
            profile,
            gates,
            journal,
            world,
            store,
            tap,
            parts,
            clock,
            manager,
            scan: None,
            flush: None,
            sweeper: None,
            keeper: None,
            users: vec![],
            load_balancers: vec![],
            beats_at: BTreeMap::new(),
            frozen: BTreeMap::new(),
            beats: vec![],
            outage: false,
            calm: false,
            events: 0,
        }
    }

    /// Chaos, calm, deletion; all of it from the seed.
    pub(crate) async fn run(mut self, seed: u64) -> Outcome {
        self.journal.note(format!("seed {seed}: {:?}", self.profile));
        let mut converged_after = SignedDuration::ZERO;
        self.chaos().await;
        if self.profile.outage {
            self.outage().await;
        }
        self.faults_stop();
        if let Some(took) = self.calm("convergence", true).await {
            converged_after = took;
        }
        self.end(seed, converged_after).await
    }

    /// One story, without any other fault.
    pub(crate) async fn tell(mut self, story: &[Act]) -> Outcome {
        self.profile.workers = 1;
        self.workers.truncate(1);
        self.want_spares(0);
        self.profile.builds = None;
        self.faults_stop();
        for act in story {
            match act {
                Act::Create => self.user_creates(),
                Act::Spares(size) => self.want_spares(*size),
                Act::TrustChanges => self.operator_changes_trust().await,
                Act::Wish(wish) => {
                    for lb in self.load_balancers.clone() {
                        self.user_wishes(lb, wish.clone());
                    }
                }
                Act::Happens(mishap) => mishap.happen(&self.world, &mut self.rng),
                Act::ClockSteps(by) => self.step_clock(*by),
                Act::Converges => {
                    self.calm("convergence", true).await;
                }
                Act::Passes(time) => {
                    let until = self.gates.now() + *time;
                    while self.gates.now() < until && !self.is_broken() {
                        self.calm_event().await;
                    }
                }
            }
        }
        self.end(0, SignedDuration::ZERO).await
    }

    async fn end(mut self, seed: u64, converged_after: SignedDuration) -> Outcome {
        self.everything_is_deleted().await;
        // Nothing of the simulation may be on its way when the database is used again.
        self.stage.kill_all();
        self.stage.settle().await;
        if !self.is_broken() {
            self.inspector.secrets(&self.store).await;
        }
        self.tap.disconnect();
        Outcome {
            seed,
            broken: self.journal.first_broken(),
            log: self.journal.lines(),
            events: self.events,
            converged_after,
        }
    }

    fn is_broken(&self) -> bool {
        self.journal.first_broken().is_some()
    }

    // ---- phases

    async fn chaos(&mut self) {
        let mut changes = self.profile.changes;
        let mut creates = self.profile.load_balancers;
        for _ in 0..self.profile.events {
            if self.is_broken() {
                return;
            }
            self.revive();
            self.look().await;
            let p = self.profile.clone();
            // What people ask for comes early and late, but all of it before the faults stop.
            if creates > 0 && (self.load_balancers.is_empty() || self.rng.random_bool(0.02)) {
                creates -= 1;
                self.user_creates();
            } else if changes > 0 && self.rng.random_bool(p.ask) {
                changes -= 1;
                self.user_changes();
            } else if self.rng.random_bool(p.kill) {
                self.kill_somebody();
            } else if self.rng.random_bool(p.mishap) {
                self.mishap();
            } else if self.rng.random_bool(p.trust) {
                self.operator_changes_trust().await;
            } else if self.rng.random_bool(p.freeze) {
                self.freeze_somebody();
            } else if self.rng.random_bool(p.jump) {
                let jump = p.longest_jump.mul_f64(self.rng.random());
                self.journal.note(format!("* the clock jumps by {jump:#}"));
                self.stage.advance(jump);
            } else {
                self.let_somebody_go();
            }
            self.tick();
        }
    }

    pub(crate) fn step_clock(&mut self, by: SignedDuration) {
        self.journal.note(format!("* the clock is stepped by {by:#}"));
        self.gates.step(by);
        if by.is_negative() {
            self.inspector.clock_went_back();
        }
    }

    /// Every call to the cloud fails for longer than anything may be pending.
    async fn outage(&mut self) {
        self.journal.note("* OUTAGE");
        self.outage = true;
        self.calm = true;
        self.world.state().full = false;
        let until = self.gates.now() + MAX_PENDING + SignedDuration::from_secs(180);
        while self.gates.now() < until && !self.is_broken() {
            self.calm_event().await;
        }
        if !self.is_broken() {
            self.inspector.nothing_pending_for_long(&self.store, self.gates.wall()).await;
        }
        self.outage = false;
    }

    fn faults_stop(&mut self) {
        self.journal.note("* faults stop");
        self.calm = true;
        self.frozen.clear();
        let mut state = self.world.state();
        for server in state.servers.values_mut() {
            server.agent.unreachable = false;
            server.agent.mute = false;
        }
        state.full = false;
        state.stale_servers = None;
        state.stale_vips = None;
        state.boot_time = SignedDuration::from_secs(1);
    }

    /// Lets everything go its way without faults until the world is as asked for; `None` = it did not get there.
    async fn calm(&mut self, what: &str, statuses: bool) -> Option<SignedDuration> {
        let since = self.gates.now();
        for _ in 0..CONVERGENCE_EVENTS {
            if self.is_broken() {
                return None;
            }
            let changed = self.calm_event().await;
            let took = self.gates.now().duration_since(since);
            if changed || took > CONVERGENCE {
                match self.inspector.difference(&self.store, statuses).await {
                    None if self.users.is_empty() => {
                        self.journal.note(format!("* {what} after {took:#}"));
                        return Some(took);
                    }
                    difference if took > CONVERGENCE => {
                        let difference = difference.unwrap_or_else(|| "a user is not answered".to_owned());
                        self.journal.broken(format!("I6: no {what} after {took:#}: {difference}"));
                    }
                    _ => {}
                }
            }
        }
        self.journal.broken(format!("I6: no {what} after {CONVERGENCE_EVENTS} events"));
        None
    }

    async fn everything_is_deleted(&mut self) {
        let since = self.gates.now();
        while !self.is_broken() {
            let left = self.inspector.not_deleting(&self.store).await;
            if left.is_empty() && self.users.is_empty() {
                break;
            }
            if self.users.is_empty() {
                for lb in left {
                    self.user_deletes(lb);
                }
            }
            self.calm_event().await;
            if self.gates.now().duration_since(since) > CONVERGENCE {
                self.journal.broken("I6: a deletion is not accepted");
            }
        }
        self.calm("deletion", false).await;
    }
}
