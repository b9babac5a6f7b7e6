//! Runtime state that outlives configurations: counters, health, connection counts; keyed by id.
//!
//! Counters that only one thread writes are kept per thread, so that counting costs a plain store; what several
//! threads must agree on (open connections, health) is one atomic.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use octavia_model::{ListenerId, MemberId, PoolId};
use octavia_wire::ListenerStats;

use crate::persistence::Subject;
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

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One thread's counters of a member, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct MemberCounters {
    pub(crate) connections: Counter,
    pub(crate) requests: Counter,
    pub(crate) errors: Counter,
}

/// One thread's counters of a listener, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ListenerCounters {
    pub(crate) rx: Counter,
    pub(crate) tx: Counter,
    pub(crate) connections: Counter,
    pub(crate) request_errors: Counter,
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
    threads: Box<[MemberCounters]>,
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
        self.active.load(Relaxed)
    }

    /// Connections made to it so far, health checks excluded.
    pub fn total_connections(&self) -> u64 {
        self.threads.iter().map(|t| t.connections.read()).sum()
    }

    /// Requests (HTTP) or connections (TCP) given to it so far.
    pub fn requests(&self) -> u64 {
        self.threads.iter().map(|t| t.requests.read()).sum()
    }

    /// Connections that failed and responses that broke off or came too late.
    pub fn errors(&self) -> u64 {
        self.threads.iter().map(|t| t.errors.read()).sum()
    }

    #[inline]
    pub(crate) fn on(&self, thread: usize) -> &MemberCounters {
        &self.threads[thread]
    }
}

/// A listener as it is now, whatever the configuration.
#[derive(Debug)]
pub struct ListenerState {
    id: ListenerId,
    pub(crate) open: AtomicU64,
    /// The connection limit was met, and some thread stopped accepting.
    pub(crate) full: AtomicBool,
    /// How TLS is terminated by the last configuration that was made: the next one may well be the same.
    tls: Mutex<Option<Arc<TlsConf>>>,
    threads: Box<[ListenerCounters]>,
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
        let sum = |f: fn(&ListenerCounters) -> &Counter| self.threads.iter().map(|t| f(t).read()).sum();
        ListenerStats {
            rx: sum(|t| &t.rx),
            tx: sum(|t| &t.tx),
            conns: self.open.load(Relaxed),
            totconns: sum(|t| &t.connections),
            ereq: sum(|t| &t.request_errors),
        }
    }

    #[inline]
    pub(crate) fn on(&self, thread: usize) -> &ListenerCounters {
        &self.threads[thread]
    }
}

/// All runtime state, keyed by id. Taken only when a configuration is made and when somebody reports: traffic
/// holds the states themselves.
#[derive(Debug)]
pub struct Registry {
    threads: usize,
    entries: Mutex<Entries>,
    changed: OwnedFd,
}

#[derive(Debug, Default)]
struct Entries {
    next_serial: u64,
    members: HashMap<MemberId, Arc<MemberState>>,
    listeners: HashMap<ListenerId, Arc<ListenerState>>,
    tables: HashMap<PoolId, (Subject, Arc<StickTable>)>,
    /// How TLS is spoken with a pool's members by the last configuration that was made.
    members_tls: HashMap<PoolId, Arc<MemberTls>>,
}

impl Registry {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        Ok(Self { threads, entries: Mutex::default(), changed: sys::eventfd()? })
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
            threads: (0..self.threads).map(|_| MemberCounters::default()).collect(),
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
                full: AtomicBool::new(false),
                tls: Mutex::default(),
                threads: (0..self.threads).map(|_| ListenerCounters::default()).collect(),
            })
        };
        Arc::clone(self.entries().listeners.entry(id).or_insert_with(state))
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
        entries.listeners.retain(|_, state| Arc::strong_count(state) > 1);
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

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
