//! One simulation: chaos, then calm, then everything is deleted; the invariants are looked at after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use newtype_uuid::GenericUuid;
use octavia_cloud::ServerState;
use octavia_control::{
    BootOptions, HealthManager, HealthOptions, HeartbeatKey, Housekeeping, HousekeepingOptions, Parts,
    Stopper, Worker, WorkerOptions,
};
use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_plan::PlanOptions;
use octavia_store::Store;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::actors;
use crate::clock::{SimClock, SimRandom};
use crate::invariants::Inspector;
use crate::journal::Journal;
use crate::mishap::Mishap;
use crate::profile::Profile;
use crate::stage::{ActorId, Gate, Gates, Stage, Verdict, Waiting};
use crate::tap::Tap;
use crate::wish::{self, Wish};
use crate::world::{SECRET_MARK, World};

pub(crate) const MAX_PENDING: SignedDuration = SignedDuration::from_mins(5);
const HEARTBEAT_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
const BEAT_EVERY: SignedDuration = SignedDuration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SCAN_EVERY: Duration = Duration::from_secs(15);
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(90);
/// No API request takes longer: its process gives up.
const REQUEST_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
/// How soon everything has to be as asked for, once faults have stopped.
const CONVERGENCE: SignedDuration = SignedDuration::from_mins(10);
/// The same in events, against loops that take no time.
const CONVERGENCE_EVENTS: usize = 20_000;

/// A part of a story.
#[derive(Debug, Clone)]
pub enum Act {
    /// A user asks for a load balancer.
    Create,
    /// A user asks for the same change of every one.
    Wish(Wish),
    Happens(Mishap),
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
            inspector: Inspector::new(journal.clone(), world.clone(), tap.clone()),
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
        self.faults_stop();
        for act in story {
            match act {
                Act::Create => self.user_creates(),
                Act::Wish(wish) => {
                    for lb in self.load_balancers.clone() {
                        self.user_wishes(lb, wish.clone());
                    }
                }
                Act::Happens(mishap) => mishap.happen(&self.world, &mut self.rng),
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
            self.inspector.nothing_pending_for_long(&self.store, self.gates.now()).await;
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

    // ---- events

    /// Everybody who can runs until they wait, then the invariants are looked at. `true` = rows changed.
    async fn look(&mut self) -> bool {
        self.stage.settle().await;
        self.events += 1;
        let call = self.tap.take_changed();
        let changed = call.is_some();
        self.inspector.look(&self.store, self.gates.now(), call).await;
        let now = self.gates.now();
        let stage = &mut self.stage;
        self.users.retain(|(actor, until)| {
            if stage.is_playing(*actor) && *until <= now {
                stage.kill(*actor);
            }
            stage.is_playing(*actor)
        });
        changed
    }

    fn tick(&mut self) {
        let took = self.profile.pace.mul_f64(self.rng.random());
        self.stage.advance(took);
        self.send_beats();
    }

    /// One event without faults: the one who has waited longest goes on, or the clock moves to who sleeps least.
    async fn calm_event(&mut self) -> bool {
        self.revive();
        let changed = self.look().await;
        self.send_beats();
        if !self.beats.is_empty() {
            let beat = self.beats.remove(0);
            self.deliver(&beat);
        } else if let Some(next) = self.stage.ready().into_iter().min_by_key(|w| w.id) {
            let verdict = self.verdict(&next);
            self.release(&next, verdict);
            self.stage.advance(SignedDuration::from_millis(5));
        } else {
            let beat = self.beats_at.values().min().copied();
            let next = self.stage.next_wake().into_iter().chain(beat).min();
            match next {
                Some(at) => self.stage.advance_to(at),
                None => self.stage.advance(SignedDuration::from_secs(1)),
            }
        }
        changed
    }

    fn freeze_somebody(&mut self) {
        let mut there = self.stage.ready();
        // Best where it does something outside: what it does late meets what others did meanwhile.
        const OUTSIDE: [&str; 5] =
            ["server_ensure", "server_delete", "spec_push", "vip_ensure", "vip_release"];
        let outside = |w: &Waiting| w.gate == Gate::Before && OUTSIDE.iter().any(|p| w.what.starts_with(p));
        let fateful = there.iter().any(outside);
        if fateful {
            there.retain(outside);
        }
        if let Some(actor) = there.choose(&mut self.rng).map(|w| w.actor) {
            let events = self.rng.random_range(if fateful { 40..200 } else { 5..80 });
            self.journal.note(format!("* {} is frozen for {events} events", self.stage.name(actor)));
            self.frozen.insert(actor, self.events + events);
            if self.rng.random_bool(if fateful { 0.7 } else { 0.3 }) {
                let jump = SignedDuration::from_secs(self.rng.random_range(25..70));
                self.journal.note(format!("* and the clock jumps by {jump:#}"));
                self.stage.advance(jump);
                // What wakes up then may find that all it worked for is gone.
                if self.rng.random_bool(0.3)
                    && let Some(lb) = self.load_balancers.choose(&mut self.rng).copied()
                {
                    self.user_deletes(lb);
                }
            }
        }
    }

    fn let_somebody_go(&mut self) {
        self.frozen.retain(|_, until| *until > self.events);
        let mut ready = self.stage.ready();
        ready.retain(|w| !self.frozen.contains_key(&w.actor));
        // Heartbeats arrive in any order.
        if !self.beats.is_empty() && self.rng.random_bool(0.2) {
            let at = self.rng.random_range(0..self.beats.len());
            let beat = self.beats.swap_remove(at);
            self.deliver(&beat);
            if self.rng.random_bool(0.1) {
                self.beats.push(beat);
            }
        } else if let Some(chosen) = ready.choose(&mut self.rng).cloned() {
            let verdict = self.verdict(&chosen);
            self.release(&chosen, verdict);
        } else if let Some(at) = self.stage.next_wake() {
            self.stage.advance_to(at);
        }
    }

    fn verdict(&mut self, waiting: &Waiting) -> Verdict {
        let cloud = ["server_", "vip_", "port_get", "spec_push", "agent_info", "issue"];
        let of_cloud = cloud.iter().any(|prefix| waiting.what.starts_with(prefix));
        let fault = match waiting.gate {
            Gate::Sleep(_) => false,
            Gate::Before if self.outage && of_cloud => true,
            _ if self.calm => false,
            _ => self.rng.random_bool(self.profile.fault),
        };
        if fault { Verdict::Fault } else { Verdict::Go }
    }

    fn release(&mut self, waiting: &Waiting, verdict: Verdict) {
        let when = match (waiting.gate, verdict) {
            (Gate::Sleep(_), _) => "",
            (Gate::Before, Verdict::Go) => "",
            (Gate::Before, Verdict::Fault) => " FAILS",
            (Gate::After, Verdict::Go) => " done",
            (Gate::After, Verdict::Fault) => " done, ANSWER LOST",
        };
        self.journal.note(format!("{} {}{when}", self.stage.name(waiting.actor), waiting.what));
        self.stage.release(waiting.id, verdict);
    }

    /// Processes that ended are started again.
    fn revive(&mut self) {
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

    fn kill_somebody(&mut self) {
        let mut mortal: Vec<ActorId> = self.workers.iter().flatten().copied().collect();
        mortal.extend(self.scan);
        mortal.extend(self.sweeper);
        mortal.extend(self.users.iter().map(|(actor, _)| *actor));
        if let Some(actor) = mortal.choose(&mut self.rng).copied() {
            self.journal.note(format!("* {} is KILLED", self.stage.name(actor)));
            self.stage.kill(actor);
        }
    }

    fn mishap(&mut self) {
        self.world.state().boot_time = self.profile.longest_boot.mul_f64(self.rng.random());
        Mishap::random(&mut self.rng).happen(&self.world, &mut self.rng);
    }

    // ---- users

    fn user(&mut self, name: &str, part: impl Future<Output = ()> + Send + 'static) {
        let actor = self.stage.enter(name, part);
        self.users.push((actor, self.gates.now() + REQUEST_TIMEOUT));
    }

    fn user_creates(&mut self) {
        let lb = wish::id(&mut self.rng);
        self.load_balancers.push(lb);
        let seed = self.rng.random();
        self.journal.note(format!("* a user creates {}", self.journal.name("lb", lb.into_untyped_uuid())));
        self.user("user", actors::user_creates(self.world.clone(), self.store.clone(), lb, seed));
    }

    fn user_changes(&mut self) {
        let Some(lb) = self.load_balancers.choose(&mut self.rng).copied() else { return };
        if self.rng.random_bool(0.15) {
            return self.user_deletes(lb);
        }
        let wish = Wish::random(&mut self.rng);
        self.user_wishes(lb, wish);
    }

    fn user_wishes(&mut self, lb: LoadBalancerId, wish: Wish) {
        let name = self.journal.name("lb", lb.into_untyped_uuid());
        self.journal.note(format!("* a user of {name} wishes {}", wish.words()));
        let (store, now, journal) = (self.store.clone(), self.gates.now(), self.journal.clone());
        self.user("user", actors::user_changes(store, lb, wish, now, journal));
    }

    fn user_deletes(&mut self, lb: LoadBalancerId) {
        self.journal.note(format!("* a user deletes {}", self.journal.name("lb", lb.into_untyped_uuid())));
        self.user("user", actors::user_deletes(self.store.clone(), lb, self.journal.clone()));
    }

    // ---- heartbeats

    /// Agents whose time has come send a beat; one that slept through several sends one.
    fn send_beats(&mut self) {
        let now = self.gates.now();
        let mut state = self.world.state();
        state.boot(now);
        let there: BTreeSet<AmphoraId> = state.servers.keys().copied().collect();
        self.beats_at.retain(|id, _| there.contains(id));
        for (id, server) in &mut state.servers {
            let at = self.beats_at.entry(*id).or_insert(now);
            if *at > now {
                continue;
            }
            if server.state != ServerState::Running {
                *at = now + SignedDuration::from_secs(1);
                continue;
            }
            *at = now + BEAT_EVERY;
            let Some(beat) = server.agent.beat(*id) else { continue };
            if !self.calm && self.rng.random_bool(self.profile.lost_beat) {
                continue;
            }
            if let Ok(datagram) = beat.seal(heartbeat_key().reveal().as_bytes()) {
                self.beats.push(datagram);
            }
        }
    }

    fn deliver(&mut self, datagram: &[u8]) {
        self.manager.datagram(datagram);
        if !self.flush.is_some_and(|actor| self.stage.is_playing(actor)) {
            let part = actors::health_flush(self.manager.clone(), self.journal.clone());
            self.flush = Some(self.stage.enter("flush", part));
        }
    }
}

fn heartbeat_key() -> HeartbeatKey {
    HeartbeatKey::new(format!("{SECRET_MARK} heartbeat key"))
}

fn health_manager(parts: &Parts) -> HealthManager {
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
        },
        ..WorkerOptions::new(boot)
    }
}
