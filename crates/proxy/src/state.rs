//! Runtime state that outlives configurations: counters, health, connection counts; keyed by id.
//!
//! Counters that only one thread writes are kept per thread, so that counting costs a plain store; what several
//! threads must agree on (open connections, health) is one atomic. What a process took over from another has a place of
//! its own beside those of the threads ([`reckoning`]).

mod reckoning;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use octavia_model::{ListenerId, MemberId, PoolId};
use octavia_wire::{ListenerStats, Reckoning, StickSubject as Subject};
use uuid::Uuid;

use crate::access_log::LogCounters;
use crate::stick::StickTable;
use crate::sys;
use crate::tls::{MemberTls, TlsConf};

/// What health checks say of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Nobody checks it: it is taken for good.
    NoCheck,
    Up,
    Down,
}

/// A counter written by one thread and read by any.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// The mean of the last thousand or so, each older one weighing a little less: HAProxy's way.
#[derive(Debug, Default)]
pub(crate) struct Average {
    /// In parts of `WINDOW`, so that small values fade, too.
    sum: Counter,
    count: Counter,
}

impl Average {
    const WINDOW: u64 = 1024;

    #[inline]
    pub(crate) fn count(&self, value: u64) {
        let (sum, count) = (self.sum.read(), self.count.read());
        let faded = if count < Self::WINDOW { sum } else { sum - sum / Self::WINDOW };
        self.sum.set(faded.saturating_add(value.saturating_mul(Self::WINDOW)));
        self.count.set(count + 1);
    }

    /// Of several together; `None` = there is nothing yet.
    fn of<'a>(all: impl Iterator<Item = &'a Self>) -> Option<f64> {
        let (sum, count) = all.fold((0, 0), |(sum, count), one| {
            (sum + one.sum.read() / Self::WINDOW, count + one.count.read().min(Self::WINDOW))
        });
        (count > 0).then(|| sum as f64 / count as f64)
    }
}

/// Responses by the first digit of their status; the first place is for those of no class.
#[derive(Debug, Default)]
pub(crate) struct Responses([Counter; 6]);

impl Responses {
    pub(crate) const CLASSES: [&'static str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

    #[inline]
    pub(crate) fn count(&self, status: u16) {
        let class = usize::from(status / 100);
        self.0[if class < self.0.len() { class } else { 0 }].add(1);
    }
}

/// How long requests took, from their head to the end of their response. The clock is a few milliseconds coarse, and
/// errs to either side as often.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// By the first bound they keep to; the last place is for those that keep to none.
    buckets: [Counter; Self::BOUNDS.len() + 1],
    /// Milliseconds.
    sum: Counter,
}

impl Durations {
    /// Milliseconds.
    pub(crate) const BOUNDS: [u64; 11] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

    #[inline]
    pub(crate) fn count(&self, ms: u64) {
        let bucket = Self::BOUNDS.iter().position(|&bound| ms <= bound).unwrap_or(Self::BOUNDS.len());
        self.buckets[bucket].add(1);
        self.sum.add(ms);
    }
}

/// One thread's counters of what goes on between the proxy and a member, or a pool, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct UpstreamCounters {
    /// Connections that were begun, made, and used again.
    pub(crate) attempts: Counter,
    pub(crate) connections: Counter,
    pub(crate) reuses: Counter,
    /// Requests (HTTP) or connections (TCP) that were given to members.
    pub(crate) requests: Counter,
    /// Connections that could not be made.
    pub(crate) connect_errors: Counter,
    /// Connections that failed later, and responses that broke off or came too late.
    pub(crate) response_errors: Counter,
    /// Requests that went to the same member again, and to another.
    pub(crate) retries: Counter,
    pub(crate) redispatches: Counter,
    /// Bytes to members, and from them.
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) responses: Responses,
    /// How often a member was chosen that nobody had claimed.
    pub(crate) balanced: Counter,
    /// When a member was given something the last time, in milliseconds; 0 = never.
    last: Counter,
    /// How long it took to make a connection, and from a request to the head of its response, in milliseconds.
    pub(crate) connect: Average,
    pub(crate) response: Average,
}

/// One thread's counters of a route.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    pub(crate) upstream: UpstreamCounters,
    /// Requests (HTTP) or connections (TCP) that came to the pool, and those that are over.
    pub(crate) entered: Counter,
    pub(crate) left: Counter,
}

/// One thread's counters of a listener, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ListenerCounters {
    pub(crate) rx: Counter,
    pub(crate) tx: Counter,
    pub(crate) connections: Counter,
    pub(crate) request_errors: Counter,
    /// Connections from addresses that are not allowed.
    pub(crate) denied_connections: Counter,
    pub(crate) requests: Counter,
    /// Requests that an L7 policy refused.
    pub(crate) denied_requests: Counter,
    /// Requests that the proxy answered by itself, and was there to.
    pub(crate) intercepted: Counter,
    pub(crate) responses: Responses,
    pub(crate) durations: Durations,
}

/// Counters of each thread, and of the processes before this one, if any have told theirs.
#[derive(Debug)]
struct PerThread<T> {
    threads: Box<[T]>,
    /// The control thread's.
    inherited: OnceLock<Box<T>>,
}

impl<T: Default> PerThread<T> {
    fn new(threads: usize) -> Self {
        Self { threads: (0..threads).map(|_| T::default()).collect(), inherited: OnceLock::new() }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.threads.iter().chain(self.inherited.get().map(AsRef::as_ref))
    }

    #[inline]
    fn on(&self, thread: usize) -> &T {
        &self.threads[thread]
    }

    fn inherited(&self) -> &T {
        self.inherited.get_or_init(Box::default)
    }
}

/// Sums one counter of each thread.
fn sum<T: Default>(threads: &PerThread<T>, counter: impl Fn(&T) -> &Counter) -> u64 {
    threads.iter().map(|thread| counter(thread).read()).sum()
}

/// Something that counts what goes on with members.
pub(crate) trait Counted {
    fn total(&self, counter: fn(&UpstreamCounters) -> &Counter) -> u64;

    fn responses(&self, class: usize) -> u64;

    /// Milliseconds.
    fn average(&self, of: fn(&UpstreamCounters) -> &Average) -> Option<f64>;

    /// When a member was given something the last time, in milliseconds.
    fn last(&self) -> Option<u64>;
}

/// Where what happens with a member is counted: with it, and with the pool as the listener leads to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally<'a> {
    pub(crate) route: Option<&'a UpstreamCounters>,
    pub(crate) member: &'a UpstreamCounters,
}

impl Tally<'_> {
    #[inline]
    pub(crate) fn add(self, counter: impl Fn(&UpstreamCounters) -> &Counter, n: u64) {
        self.each(|counters| counter(counters).add(n));
    }

    #[inline]
    pub(crate) fn each(self, count: impl Fn(&UpstreamCounters)) {
        count(self.member);
        if let Some(route) = self.route {
            count(route);
        }
    }

    /// A member is given something.
    #[inline]
    pub(crate) fn begun(self, now: u64) {
        self.each(|c| {
            c.requests.add(1);
            c.last.set(now);
        });
    }
}

/// A member as it is now, whatever the configuration.
#[derive(Debug)]
pub struct MemberState {
    id: MemberId,
    /// Unique among all states of this process: the key of the threads' idle connections.
    pub(crate) serial: u64,
    health: AtomicU8,
    /// What the last failed check saw.
    check: Mutex<Option<String>>,
    pub(crate) active: AtomicU64,
    /// The same of the processes that this one took over from.
    active_elsewhere: AtomicU64,
    checks: Mutex<Checks>,
    threads: PerThread<UpstreamCounters>,
}

/// What checks have made of a member; milliseconds.
#[derive(Debug)]
struct Checks {
    down: bool,
    /// When it went up or down the last time, or came to be.
    since: u64,
    /// How often it went down.
    downs: u64,
    /// For how long it was down, all times together but the one that is not over.
    downtime: u64,
    /// Checks that failed while it was up.
    failures: u64,
    /// Its place on the monitor's scale in the process before this one, until it is checked here.
    score: Option<u8>,
}

impl MemberState {
    pub fn id(&self) -> MemberId {
        self.id
    }

    #[inline]
    pub fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::NoCheck,
        }
    }

    /// Says what checks found; returns what was there before.
    pub fn set_health(&self, health: Health) -> Health {
        match self.health.swap(health as u8, Relaxed) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::NoCheck,
        }
    }

    /// The same at a time, which is remembered.
    pub(crate) fn turn(&self, health: Health, now: u64) -> Health {
        let mut checks = self.checks();
        let down = health == Health::Down;
        if checks.down != down {
            if down {
                checks.downs += 1;
            } else {
                checks.downtime += now.saturating_sub(checks.since);
            }
            (checks.down, checks.since) = (down, now);
        }
        self.set_health(health)
    }

    /// Counts a check that failed while it was up.
    pub(crate) fn check_failed(&self) {
        self.checks().failures += 1;
    }

    pub(crate) fn check_failures(&self) -> u64 {
        self.checks().failures
    }

    /// How often it went down.
    pub(crate) fn downs(&self) -> u64 {
        self.checks().downs
    }

    /// Milliseconds since it went up or down the last time, or came to be.
    pub(crate) fn unchanged(&self, now: u64) -> u64 {
        now.saturating_sub(self.checks().since)
    }

    /// Milliseconds for which it was down.
    pub(crate) fn downtime(&self, now: u64) -> u64 {
        let checks = self.checks();
        checks.downtime + if checks.down { now.saturating_sub(checks.since) } else { 0 }
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last failed check saw, for the reason shown to users.
    pub fn check(&self) -> Option<String> {
        self.check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_check(&self, text: Option<String>) {
        *self.check.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Requests (HTTP) or connections (TCP) it is serving now.
    #[inline]
    pub fn active(&self) -> u64 {
        self.active.load(Relaxed) + self.active_elsewhere.load(Relaxed)
    }

    /// Connections made to it so far, health checks excluded.
    pub fn total_connections(&self) -> u64 {
        self.total(|t| &t.connections)
    }

    /// Requests (HTTP) or connections (TCP) given to it so far.
    pub fn requests(&self) -> u64 {
        self.total(|t| &t.requests)
    }

    /// Connections that failed and responses that broke off or came too late.
    pub fn errors(&self) -> u64 {
        self.total(|t| &t.connect_errors) + self.total(|t| &t.response_errors)
    }

    #[inline]
    pub(crate) fn on(&self, thread: usize) -> &UpstreamCounters {
        self.threads.on(thread)
    }
}

impl Counted for MemberState {
    fn total(&self, counter: fn(&UpstreamCounters) -> &Counter) -> u64 {
        sum(&self.threads, counter)
    }

    fn responses(&self, class: usize) -> u64 {
        sum(&self.threads, |t| &t.responses.0[class])
    }

    fn average(&self, of: fn(&UpstreamCounters) -> &Average) -> Option<f64> {
        Average::of(self.threads.iter().map(of))
    }

    fn last(&self) -> Option<u64> {
        self.threads.iter().map(|t| t.last.read()).max().filter(|last| *last > 0)
    }
}

/// What went on between one listener and one pool, whatever the configuration.
#[derive(Debug)]
pub struct RouteState {
    threads: PerThread<RouteCounters>,
}

impl RouteState {
    /// Requests (HTTP) or connections (TCP) that came to the pool.
    pub(crate) fn entered(&self) -> u64 {
        sum(&self.threads, |t| &t.entered)
    }

    /// Those of them that are not over.
    pub(crate) fn current(&self) -> u64 {
        // Read first: what is over has begun before.
        let left = sum(&self.threads, |t| &t.left);
        self.entered().saturating_sub(left)
    }

    #[inline]
    pub(crate) fn on(&self, thread: usize) -> &RouteCounters {
        self.threads.on(thread)
    }
}

impl Counted for RouteState {
    fn total(&self, counter: fn(&UpstreamCounters) -> &Counter) -> u64 {
        sum(&self.threads, |t| counter(&t.upstream))
    }

    fn responses(&self, class: usize) -> u64 {
        sum(&self.threads, |t| &t.upstream.responses.0[class])
    }

    fn average(&self, of: fn(&UpstreamCounters) -> &Average) -> Option<f64> {
        Average::of(self.threads.iter().map(|t| of(&t.upstream)))
    }

    fn last(&self) -> Option<u64> {
        self.threads.iter().map(|t| t.upstream.last.read()).max().filter(|last| *last > 0)
    }
}

/// A listener as it is now, whatever the configuration.
#[derive(Debug)]
pub struct ListenerState {
    id: ListenerId,
    pub(crate) open: AtomicU64,
    /// The same of the processes that this one took over from: the connection limit is for all together.
    pub(crate) open_elsewhere: AtomicU64,
    /// The connection limit was met, and some thread stopped accepting.
    pub(crate) full: AtomicBool,
    /// How TLS is terminated by the last configuration that was made: the next one may well be the same.
    tls: Mutex<Option<Arc<TlsConf>>>,
    threads: PerThread<ListenerCounters>,
}

impl ListenerState {
    /// The TLS of a configuration for it, as `compile` makes it of the one before.
    pub(crate) fn tls<E>(
        &self,
        compile: impl FnOnce(Option<&Arc<TlsConf>>) -> Result<Option<Arc<TlsConf>>, E>,
    ) -> Result<Option<Arc<TlsConf>>, E> {
        let mut last = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let conf = compile(last.as_ref())?;
        last.clone_from(&conf);
        Ok(conf)
    }

    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// Totals since the state was made; readable at any time.
    pub fn stats(&self) -> ListenerStats {
        ListenerStats {
            rx: self.total(|t| &t.rx),
            tx: self.total(|t| &t.tx),
            conns: self.open.load(Relaxed) + self.open_elsewhere.load(Relaxed),
            totconns: self.total(|t| &t.connections),
            ereq: self.total(|t| &t.request_errors),
        }
    }

    pub(crate) fn total(&self, counter: fn(&ListenerCounters) -> &Counter) -> u64 {
        sum(&self.threads, counter)
    }

    pub(crate) fn responses(&self, class: usize) -> u64 {
        sum(&self.threads, |t| &t.responses.0[class])
    }

    /// Requests whose duration falls into a bucket of [`Durations`].
    pub(crate) fn durations(&self, bucket: usize) -> u64 {
        sum(&self.threads, |t| &t.durations.buckets[bucket])
    }

    /// How long all of them took, in milliseconds.
    pub(crate) fn duration(&self) -> u64 {
        self.total(|t| &t.durations.sum)
    }

    #[inline]
    pub(crate) fn on(&self, thread: usize) -> &ListenerCounters {
        self.threads.on(thread)
    }
}

/// Of all listeners there are and ever were in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Connections that are open.
    pub(crate) open: u64,
    pub(crate) connections: u64,
    pub(crate) requests: u64,
}

impl Totals {
    fn of(listener: &ListenerState) -> Self {
        Self {
            open: listener.open.load(Relaxed) + listener.open_elsewhere.load(Relaxed),
            connections: listener.total(|t| &t.connections),
            requests: listener.total(|t| &t.requests),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            open: self.open + other.open,
            connections: self.connections + other.connections,
            requests: self.requests + other.requests,
        }
    }
}

/// All runtime state, keyed by id. Taken only when a configuration is made and when somebody reports: traffic
/// holds the states themselves.
#[derive(Debug)]
pub struct Registry {
    threads: usize,
    entries: Mutex<Entries>,
    changed: OwnedFd,
    log: Arc<LogCounters>,
}

#[derive(Debug, Default)]
struct Entries {
    next_serial: u64,
    members: HashMap<MemberId, Arc<MemberState>>,
    listeners: HashMap<ListenerId, Arc<ListenerState>>,
    /// What was counted for listeners that are forgotten.
    forgotten: Totals,
    routes: HashMap<(ListenerId, PoolId), Arc<RouteState>>,
    tables: HashMap<PoolId, (Subject, Arc<StickTable>)>,
    /// How TLS is spoken with a pool's members by the last configuration that was made.
    members_tls: HashMap<PoolId, Arc<MemberTls>>,
    /// What the processes before this one have told last of what they count.
    told: BTreeMap<Uuid, Reckoning>,
}

impl Registry {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        Ok(Self { threads, entries: Mutex::default(), changed: sys::eventfd()?, log: Arc::default() })
    }

    /// What is counted of the access log.
    pub(crate) fn log(&self) -> &Arc<LogCounters> {
        &self.log
    }

    /// The state of a member, made on first use.
    pub fn member(&self, id: MemberId) -> Arc<MemberState> {
        let mut entries = self.entries();
        if let Some(state) = entries.members.get(&id) {
            return Arc::clone(state);
        }
        entries.next_serial += 1;
        let state = Arc::new(MemberState {
            id,
            serial: entries.next_serial,
            health: AtomicU8::new(Health::NoCheck as u8),
            check: Mutex::default(),
            active: AtomicU64::new(0),
            active_elsewhere: AtomicU64::new(0),
            checks: Mutex::new(Checks {
                down: false,
                since: sys::now(),
                downs: 0,
                downtime: 0,
                failures: 0,
                score: None,
            }),
            threads: PerThread::new(self.threads),
        });
        entries.members.insert(id, Arc::clone(&state));
        state
    }

    /// The state of a listener, made on first use.
    pub fn listener(&self, id: ListenerId) -> Arc<ListenerState> {
        let state = || {
            Arc::new(ListenerState {
                id,
                open: AtomicU64::new(0),
                open_elsewhere: AtomicU64::new(0),
                full: AtomicBool::new(false),
                tls: Mutex::default(),
                threads: PerThread::new(self.threads),
            })
        };
        Arc::clone(self.entries().listeners.entry(id).or_insert_with(state))
    }

    /// What goes on between a listener and a pool, made on first use.
    pub(crate) fn route(&self, listener: ListenerId, pool: PoolId) -> Arc<RouteState> {
        let state = || Arc::new(RouteState { threads: PerThread::new(self.threads) });
        Arc::clone(self.entries().routes.entry((listener, pool)).or_insert_with(state))
    }

    pub(crate) fn totals(&self) -> Totals {
        let entries = self.entries();
        entries.listeners.values().fold(entries.forgotten, |all, state| all.and(Totals::of(state)))
    }

    /// A pool's stick table, made on first use, and when its entries shall be about something else.
    pub(crate) fn stick_table(&self, pool: PoolId, subject: Subject) -> Arc<StickTable> {
        let mut entries = self.entries();
        if let Some((known, table)) = entries.tables.get(&pool)
            && *known == subject
        {
            return Arc::clone(table);
        }
        let table = Arc::<StickTable>::default();
        entries.tables.insert(pool, (subject, Arc::clone(&table)));
        table
    }

    /// The TLS of a pool's members, as `compile` makes it of the one before.
    pub(crate) fn member_tls<E>(
        &self,
        pool: PoolId,
        compile: impl FnOnce(Option<&Arc<MemberTls>>) -> Result<Option<Arc<MemberTls>>, E>,
    ) -> Result<Option<Arc<MemberTls>>, E> {
        let mut entries = self.entries();
        let made = compile(entries.members_tls.get(&pool))?;
        if let Some(made) = &made {
            entries.members_tls.insert(pool, Arc::clone(made));
        }
        Ok(made)
    }

    /// Forgets what no configuration, connection or check holds any more.
    pub fn prune(&self) {
        let mut entries = self.entries();
        entries.members.retain(|_, state| Arc::strong_count(state) > 1);
        let Entries { listeners, forgotten, .. } = &mut *entries;
        listeners.retain(|_, state| {
            let held = Arc::strong_count(state) > 1;
            if !held {
                *forgotten = forgotten.and(Totals::of(state));
            }
            held
        });
        entries.routes.retain(|_, state| Arc::strong_count(state) > 1);
        entries.tables.retain(|_, (_, table)| Arc::strong_count(table) > 1);
        entries.members_tls.retain(|_, tls| Arc::strong_count(tls) > 1);
    }

    /// Says that a status changed: [`Registry::changed`] becomes readable.
    pub fn mark_changed(&self) {
        sys::eventfd_signal(&self.changed);
    }

    /// An eventfd, readable since a status changed and until [`Registry::changed_clear`].
    pub fn changed(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }

    pub fn changed_clear(&self) {
        sys::eventfd_clear(&self.changed);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::GenericUuid;

    use super::*;

    /// Values for each thread, so many times each.
    #[test]
    fn averages_are_of_the_last_thousand_or_so() {
        for (threads, low, high) in [
            (&[&[(10, 1)][..], &[]][..], 10.0, 10.0),
            (&[&[(10, 1), (20, 1)], &[(60, 1)]], 30.0, 30.0),
            (&[&[(1, 100_000)]], 0.99, 1.01),
            (&[&[(0, 100_000)]], 0.0, 0.0),
            (&[&[(1000, 5_000), (0, 1024)]], 360.0, 375.0),
            (&[&[(1000, 5_000), (0, 20_000)]], 0.0, 0.01),
            (&[&[(u64::MAX, 2)]], 0.0, f64::MAX),
        ] {
            let all: Vec<_> = threads.iter().map(|_| Average::default()).collect();
            for (average, values) in all.iter().zip(threads) {
                for &(value, times) in *values {
                    (0..times).for_each(|_| average.count(value));
                }
            }
            let mean = Average::of(all.iter()).unwrap();
            assert!((low..=high).contains(&mean), "{threads:?}: {mean}");
        }
        assert_eq!(Average::of([Average::default()].iter()), None);
    }

    #[test]
    fn a_members_ups_and_downs() {
        use Health::{Down, NoCheck, Up};
        let registry = Registry::new(1).unwrap();
        // What it becomes and when; then how often it went down, and for how long, at 100.
        for (turns, downs, downtime, unchanged) in [
            (&[(Up, 10)][..], 0, 0, None),
            (&[(Up, 10), (Down, 20)], 1, 80, Some(80)),
            (&[(Down, 20), (Down, 30)], 1, 80, Some(80)),
            (&[(Down, 20), (Up, 30), (Up, 40)], 1, 10, Some(70)),
            (&[(Down, 20), (Up, 30), (Down, 90)], 2, 20, Some(10)),
            (&[(Down, 20), (NoCheck, 50), (Down, 60)], 2, 70, Some(40)),
        ] {
            let state = registry.member(MemberId::from_untyped_uuid(uuid::Uuid::new_v4()));
            turns.iter().for_each(|&(health, at)| _ = state.turn(health, at));
            assert_eq!((state.downs(), state.downtime(100)), (downs, downtime), "{turns:?}");
            if let Some(unchanged) = unchanged {
                assert_eq!(state.unchanged(100), unchanged, "{turns:?}");
            }
        }
    }
}
