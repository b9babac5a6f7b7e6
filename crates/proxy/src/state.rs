//! Runtime state that outlives configurations: counters, health, connection counts; keyed by id.
//!
//! Counters that only one thread writes are kept per thread, so that counting costs a plain store; what several
//! threads must agree on (open connections, health) is one atomic. What a process took over from another has a place of
//! its own beside those of the threads ([`reckoning`]).

mod counters;
mod reckoning;
mod registry;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use octavia_model::{ListenerId, MemberId};
use octavia_wire::ListenerStats;

pub(crate) use self::counters::{
    Average, Counted, Counter, Durations, ListenerCounters, Responses, RouteCounters, Tally, UpstreamCounters,
};
use self::counters::{PerThread, sum};
pub use self::registry::Registry;
pub(crate) use self::registry::Totals;
use crate::tls::TlsConf;

/// What health checks say of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Nobody checks it: it is taken for good.
    NoCheck,
    Up,
    Down,
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

#[cfg(test)]
mod tests {
    use newtype_uuid::GenericUuid;

    use super::*;

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
