//! The scheduler: who may go on, and when.
//!
//! Every task of a simulation is an *actor*. An actor runs until all it can do is wait at *gates*: before and after
//! each call to the simulated cloud, an agent or the store, and while it sleeps. Nobody passes a gate by itself: the
//! director ([`Stage::settle`], then [`Stage::release`]) waits until everyone waits, then lets one go on, or kills
//! it, or moves the clock. So the interleaving is a function of the director's choices alone, though the store
//! runs on real threads: between two choices at most one call is under way.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use jiff::{SignedDuration, Timestamp};

/// Real time that one call may take before the simulation is declared stuck.
const STUCK: Duration = Duration::from_secs(60);

/// An actor, numbered in order of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub u32);

/// What a gate is before or after; says which verdicts make sense there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Before a call: [`Verdict::Fault`] = it fails without effect.
    Before,
    /// After a call's effect: [`Verdict::Fault`] = the answer is lost.
    After,
    /// Until the clock shows this time.
    Sleep(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    Fault,
}

/// Somebody waiting at a gate.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub id: u64,
    pub actor: ActorId,
    pub gate: Gate,
    /// What the call is, for the event log.
    pub what: String,
}

struct Entry {
    waiting: Waiting,
    verdict: Option<Verdict>,
    waker: Option<Waker>,
}

/// What gates, actors and the director share.
#[derive(Clone)]
pub struct Gates {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Wakes the director.
    director: AtomicWaker,
    /// Nobody directs: every gate is open. For using the simulated cloud without a simulation.
    open: bool,
}

struct State {
    /// What sleeps are measured by: it never goes back.
    now: Timestamp,
    /// How far ahead of it the clocks on the wall are.
    stepped: SignedDuration,
    /// The actor being polled.
    playing: ActorId,
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// Calls let through that have not come to their next gate: the director waits for them.
    under_way: usize,
}

impl std::fmt::Debug for Gates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gates")
    }
}

impl Gates {
    /// Gates that a director opens. The clock starts at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self::build(now, false)
    }

    /// Gates that stand open, and a clock that never moves by itself.
    pub fn open(now: Timestamp) -> Self {
        Self::build(now, true)
    }

    fn build(now: Timestamp, open: bool) -> Self {
        let stepped = SignedDuration::ZERO;
        let state =
            State { now, stepped, playing: ActorId(0), next: 0, entries: BTreeMap::new(), under_way: 0 };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), director: AtomicWaker::new(), open }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        self.state().now
    }

    /// What clocks say, which may be stepped.
    pub fn wall(&self) -> Timestamp {
        let state = self.state();
        state.now + state.stepped
    }

    /// Steps the clocks on the wall, also back; whoever sleeps does not notice.
    pub fn step(&self, by: SignedDuration) {
        self.state().stepped += by;
    }

    /// Waits at a gate for the director's verdict.
    pub fn pass(&self, gate: Gate, what: impl Into<String>) -> Pass {
        Pass { gates: self.clone(), gate, what: Some(what.into()), id: None }
    }

    /// A call on another thread starts: the director waits until it is finished.
    pub fn call_started(&self) {
        self.state().under_way += 1;
    }

    pub fn call_finished(&self) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        drop(state);
        self.inner.director.wake();
    }

    /// Everyone who waits, oldest first.
    fn waiting(&self) -> Vec<Waiting> {
        self.state().entries.values().filter(|e| e.verdict.is_none()).map(|e| e.waiting.clone()).collect()
    }
}

/// The future of waiting at a gate.
#[derive(Debug)]
pub struct Pass {
    gates: Gates,
    gate: Gate,
    what: Option<String>,
    id: Option<u64>,
}

impl Future for Pass {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict> {
        if self.gates.inner.open {
            return Poll::Ready(Verdict::Go);
        }
        let gates = self.gates.clone();
        let mut state = gates.state();
        let id = match self.id {
            Some(id) => id,
            None => {
                let id = state.next;
                state.next += 1;
                let what = self.what.take().unwrap_or_default();
                let waiting = Waiting { id, actor: state.playing, gate: self.gate, what };
                state.entries.insert(id, Entry { waiting, verdict: None, waker: None });
                self.id = Some(id);
                id
            }
        };
        let Some(entry) = state.entries.get_mut(&id) else { return Poll::Ready(Verdict::Go) };
        match entry.verdict {
            Some(verdict) => {
                state.entries.remove(&id);
                self.id = None;
                Poll::Ready(verdict)
            }
            None => {
                entry.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.gates.state().entries.remove(&id);
        }
    }
}

struct ActorWaker {
    woken: AtomicBool,
    gates: Gates,
}

impl Wake for ActorWaker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.gates.inner.director.wake();
    }
}

struct Actor {
    name: String,
    part: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Arc<ActorWaker>,
}

/// The actors, and the means to direct them.
pub struct Stage {
    gates: Gates,
    actors: BTreeMap<ActorId, Actor>,
    next: u32,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.actors.values().map(|a| &a.name)).finish()
    }
}

impl Stage {
    pub fn new(gates: Gates) -> Self {
        Self { gates, actors: BTreeMap::new(), next: 1 }
    }

    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// A new actor; it runs from the next [`Stage::settle`] on.
    pub fn enter(
        &mut self,
        name: impl Into<String>,
        part: impl Future<Output = ()> + Send + 'static,
    ) -> ActorId {
        let id = ActorId(self.next);
        self.next += 1;
        let waker = Arc::new(ActorWaker { woken: AtomicBool::new(true), gates: self.gates.clone() });
        self.actors.insert(id, Actor { name: name.into(), part: Box::pin(part), waker });
        id
    }

    /// Ends an actor where it stands, as `kill -9` would. `false` = it was not there any more.
    pub fn kill(&mut self, actor: ActorId) -> bool {
        self.actors.remove(&actor).is_some()
    }

    pub fn kill_all(&mut self) {
        self.actors.clear();
    }

    pub fn is_playing(&self, actor: ActorId) -> bool {
        self.actors.contains_key(&actor)
    }

    pub fn name(&self, actor: ActorId) -> &str {
        self.actors.get(&actor).map_or("nobody", |a| a.name.as_str())
    }

    /// Lets everyone run until all wait at gates, or have finished. Panics if somebody waits for something that is
    /// neither.
    pub async fn settle(&mut self) {
        loop {
            let mut ran = false;
            let ids: Vec<ActorId> = self.actors.keys().copied().collect();
            for id in ids {
                let Some(actor) = self.actors.get_mut(&id) else { continue };
                if !actor.waker.woken.swap(false, Ordering::SeqCst) {
                    continue;
                }
                ran = true;
                self.gates.state().playing = id;
                let waker = Waker::from(actor.waker.clone());
                if actor.part.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    self.actors.remove(&id);
                }
            }
            if ran {
                continue;
            }
            if self.gates.state().under_way == 0 {
                return;
            }
            self.something_woken().await;
        }
    }

    async fn something_woken(&self) {
        let woken = poll_fn(|context| {
            self.gates.inner.director.register(context.waker());
            let woken = self.actors.values().any(|a| a.waker.woken.load(Ordering::SeqCst));
            if woken || self.gates.state().under_way == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        if tokio::time::timeout(STUCK, woken).await.is_err() {
            let waiting: Vec<String> = self.gates.waiting().into_iter().map(|w| w.what).collect();
            panic!("a call did not come back within {STUCK:?}; at gates: {waiting:?}; actors: {self:?}");
        }
    }

    /// Everyone who may be let go on now: at a gate that is no sleep, or whose sleep is over.
    pub fn ready(&self) -> Vec<Waiting> {
        let now = self.gates.now();
        let mut waiting = self.gates.waiting();
        waiting.retain(|w| !matches!(w.gate, Gate::Sleep(until) if until > now));
        waiting
    }

    /// Everyone who waits anywhere.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.gates.waiting()
    }

    /// When the first sleeper wakes.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let sleeps = self.gates.waiting().into_iter().filter_map(|w| match w.gate {
            Gate::Sleep(until) => Some(until),
            _ => None,
        });
        sleeps.min()
    }

    pub fn release(&self, id: u64, verdict: Verdict) {
        let waker = {
            let mut state = self.gates.state();
            let Some(entry) = state.entries.get_mut(&id) else { return };
            entry.verdict = Some(verdict);
            entry.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn advance(&self, by: SignedDuration) {
        self.gates.state().now += by;
    }

    pub fn advance_to(&self, at: Timestamp) {
        let mut state = self.gates.state();
        state.now = state.now.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[tokio::test]
    async fn actors_move_only_when_let_and_die_where_they_stand() {
        let gates = Gates::new(at(0));
        let mut stage = Stage::new(gates.clone());
        let log = Arc::new(Mutex::new(vec![]));
        let mut actors = vec![];
        for name in ["a", "b"] {
            let (gates, log) = (gates.clone(), log.clone());
            actors.push(stage.enter(name, async move {
                for step in 1..=3 {
                    let verdict = gates.pass(Gate::Before, format!("{name}{step}")).await;
                    log.lock().unwrap().push(format!("{name}{step} {verdict:?}"));
                }
            }));
        }
        let release = |stage: &Stage, what: &str, verdict| {
            let found = stage.ready().into_iter().find(|w| w.what == what).expect("waits there");
            stage.release(found.id, verdict);
        };
        stage.settle().await;
        release(&stage, "b1", Verdict::Go);
        stage.settle().await;
        release(&stage, "b2", Verdict::Fault);
        stage.settle().await;
        release(&stage, "a1", Verdict::Go);
        stage.settle().await;
        assert!(stage.kill(actors[0]));
        release(&stage, "b3", Verdict::Go);
        stage.settle().await;
        assert!(stage.ready().is_empty() && !stage.is_playing(actors[1]));
        assert_eq!(*log.lock().unwrap(), ["b1 Go", "b2 Fault", "a1 Go", "b3 Go"]);
    }

    #[tokio::test]
    async fn sleepers_wait_for_the_clock_and_calls_on_threads_are_awaited() {
        let gates = Gates::new(at(0));
        let mut stage = Stage::new(gates.clone());
        let actor = {
            let gates = gates.clone();
            stage.enter("sleeper", async move {
                gates.pass(Gate::Sleep(at(10)), "sleep").await;
                gates.call_started();
                let (tell, told) = tokio::sync::oneshot::channel();
                std::thread::spawn(move || tell.send(()));
                told.await.expect("told");
                gates.call_finished();
            })
        };
        stage.settle().await;
        assert!(stage.ready().is_empty());
        assert_eq!(stage.next_wake(), Some(at(10)));
        stage.advance_to(at(10));
        let ready = stage.ready();
        stage.release(ready[0].id, Verdict::Go);
        stage.settle().await;
        assert!(!stage.is_playing(actor));
    }

    #[tokio::test]
    async fn open_gates_hold_nobody() {
        assert_eq!(Gates::open(at(0)).pass(Gate::Before, "x").await, Verdict::Go);
    }
}
