//! Where runtime state is found by id.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use octavia_model::{ListenerId, MemberId, PoolId};
use octavia_wire::{Reckoning, StickSubject as Subject};
use uuid::Uuid;

use super::counters::PerThread;
use super::{Checks, Health, ListenerState, MemberState, RouteState};
use crate::access_log::LogCounters;
use crate::stick::{Secret, StickTable};
use crate::sys;
use crate::tls::MemberTls;

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

    pub(super) fn and(self, other: Self) -> Self {
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
pub(super) struct Entries {
    pub(super) next_serial: u64,
    pub(super) members: HashMap<MemberId, Arc<MemberState>>,
    pub(super) listeners: HashMap<ListenerId, Arc<ListenerState>>,
    /// What was counted for listeners that are forgotten.
    pub(super) forgotten: Totals,
    pub(super) routes: HashMap<(ListenerId, PoolId), Arc<RouteState>>,
    pub(super) tables: HashMap<PoolId, (Subject, Arc<StickTable>)>,
    /// How TLS is spoken with a pool's members by the last configuration that was made.
    pub(super) members_tls: HashMap<PoolId, Arc<MemberTls>>,
    /// What the processes before this one have told last of what they count.
    pub(super) told: BTreeMap<Uuid, Reckoning>,
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

    /// A pool's stick table, made on first use, and when its entries shall be about something else, or under another secret;
    /// without one, it is the table's own.
    pub(crate) fn stick_table(
        &self,
        pool: PoolId,
        subject: Subject,
        secret: Option<Secret>,
    ) -> Arc<StickTable> {
        let mut entries = self.entries();
        if let Some((known, table)) = entries.tables.get(&pool)
            && *known == subject
            && secret.is_none_or(|secret| secret == table.secret())
        {
            return Arc::clone(table);
        }
        let table = Arc::new(secret.map_or_else(StickTable::default, StickTable::with));
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

    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
