//! What a process tells the one that takes over from it, and what that makes of it. The totals of the successor go on
//! where those of its predecessors are; as long as these carry connections, they tell theirs again and again, whole, so
//! that a word that is lost or said twice changes nothing.

use std::collections::BTreeMap;
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use octavia_model::{MemberId, PoolId};
use octavia_wire::sharing::{Marks, SharedTable, SharedTables};
use octavia_wire::{Counts, MemberHealth, MemberWord, Reckoning, StickEntries};
use uuid::Uuid;

use super::counters::{Counter, ListenerCounters, PerThread, RouteCounters, UpstreamCounters};
use super::registry::{Entries, Registry, Totals};
use super::{Health, MemberState};
use crate::stick::{Secret, StickTable};

/// Counters that have names.
trait Named {
    fn each(&self, f: &mut dyn FnMut(&'static str, &[Counter]));
}

impl Named for ListenerCounters {
    fn each(&self, f: &mut dyn FnMut(&'static str, &[Counter])) {
        f("rx", from_ref(&self.rx));
        f("tx", from_ref(&self.tx));
        f("connections", from_ref(&self.connections));
        f("request_errors", from_ref(&self.request_errors));
        f("denied_connections", from_ref(&self.denied_connections));
        f("requests", from_ref(&self.requests));
        f("denied_requests", from_ref(&self.denied_requests));
        f("intercepted", from_ref(&self.intercepted));
        f("responses", &self.responses.0);
        f("durations", &self.durations.buckets);
        f("duration", from_ref(&self.durations.sum));
    }
}

impl Named for UpstreamCounters {
    fn each(&self, f: &mut dyn FnMut(&'static str, &[Counter])) {
        f("attempts", from_ref(&self.attempts));
        f("connections", from_ref(&self.connections));
        f("reuses", from_ref(&self.reuses));
        f("requests", from_ref(&self.requests));
        f("connect_errors", from_ref(&self.connect_errors));
        f("response_errors", from_ref(&self.response_errors));
        f("retries", from_ref(&self.retries));
        f("redispatches", from_ref(&self.redispatches));
        f("sent", from_ref(&self.sent));
        f("received", from_ref(&self.received));
        f("responses", &self.responses.0);
        f("balanced", from_ref(&self.balanced));
    }
}

impl Named for RouteCounters {
    fn each(&self, f: &mut dyn FnMut(&'static str, &[Counter])) {
        self.upstream.each(f);
        f("entered", from_ref(&self.entered));
        f("left", from_ref(&self.left));
    }
}

/// All threads together, and those of the processes before.
fn counts<T: Named + Default>(threads: &PerThread<T>, open: u64) -> Counts {
    let mut counts = Counts::new();
    for thread in threads.iter() {
        thread.each(&mut |name, counters| {
            if counters.iter().all(|counter| counter.read() == 0) {
                return;
            }
            if !counts.contains_key(name) {
                counts.insert(name.to_owned(), vec![0; counters.len()]);
            }
            if let Some(row) = counts.get_mut(name) {
                row.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.read());
            }
        });
    }
    if open > 0 {
        counts.insert(Reckoning::OPEN.to_owned(), vec![open]);
    }
    counts
}

fn open(counts: &Counts) -> u64 {
    counts.get(Reckoning::OPEN).and_then(|row| row.first()).copied().unwrap_or(0)
}

/// What has come since `before` is counted in `place`, whose one writer we are.
fn grow(place: &impl Named, before: Option<&Counts>, now: &Counts) {
    place.each(&mut |name, counters| {
        let Some(now) = now.get(name) else { return };
        let before = before.and_then(|before| before.get(name)).map_or(&[][..], Vec::as_slice);
        for (index, (counter, now)) in counters.iter().zip(now).enumerate() {
            counter.add(now.saturating_sub(before.get(index).copied().unwrap_or(0)));
        }
    });
}

impl Totals {
    fn counts(self) -> Counts {
        Counts::from([
            ("connections".to_owned(), vec![self.connections]),
            ("requests".to_owned(), vec![self.requests]),
        ])
    }

    fn from_counts(counts: &Counts) -> Self {
        let of = |name| counts.get(name).and_then(|row| row.first()).copied().unwrap_or(0);
        Self { open: 0, connections: of("connections"), requests: of("requests") }
    }

    fn since(self, before: Self) -> Self {
        Self {
            open: 0,
            connections: self.connections.saturating_sub(before.connections),
            requests: self.requests.saturating_sub(before.requests),
        }
    }
}

impl Registry {
    /// All that was counted here.
    pub(crate) fn reckoning(&self) -> Reckoning {
        let entries = self.entries();
        let mut reckoning = Reckoning { forgotten: entries.forgotten.counts(), ..Reckoning::default() };
        for (id, state) in &entries.listeners {
            reckoning.listeners.insert(*id, counts(&state.threads, state.open.load(Relaxed)));
        }
        for (id, state) in &entries.members {
            reckoning.members.insert(*id, counts(&state.threads, state.active.load(Relaxed)));
        }
        for ((listener, pool), state) in &entries.routes {
            reckoning.routes.entry(*listener).or_default().insert(*pool, counts(&state.threads, 0));
        }
        reckoning
    }

    /// What the processes before this one have told last.
    pub(crate) fn told(&self) -> BTreeMap<Uuid, Reckoning> {
        self.entries().told.clone()
    }

    /// Connections and sessions that are open in this process.
    pub(crate) fn open(&self) -> u64 {
        self.entries().listeners.values().map(|state| state.open.load(Relaxed)).sum()
    }

    /// Goes on where another process is, which has told this and was told that. Before the first configuration.
    pub(crate) fn inherit(&self, process: Uuid, reckoning: Reckoning, told: BTreeMap<Uuid, Reckoning>) {
        for id in reckoning.listeners.keys() {
            self.listener(*id);
        }
        for id in reckoning.members.keys() {
            self.member(*id);
        }
        for (listener, pools) in &reckoning.routes {
            pools.keys().for_each(|pool| _ = self.route(*listener, *pool));
        }
        let mut entries = self.entries();
        entries.told = told;
        entries.told.insert(process, Reckoning::default());
        entries.credit(process, reckoning, false);
    }

    /// Another process has counted so much by now; `over` = it is gone. Of one that is not known, only what it counts from
    /// now on matters.
    pub(crate) fn credit(&self, process: Uuid, reckoning: Reckoning, over: bool) {
        self.entries().credit(process, reckoning, over);
    }

    /// What checks have made of the members, with their places on the scales.
    pub(crate) fn health(
        &self,
        now: u64,
        score: impl Fn(MemberId) -> Option<u8>,
    ) -> BTreeMap<MemberId, MemberHealth> {
        let entries = self.entries();
        entries.members.values().map(|state| (state.id, state.told(now, score(state.id)))).collect()
    }

    pub(crate) fn inherit_health(&self, id: MemberId, told: MemberHealth, now: u64) {
        self.member(id).inherit(told, now);
    }

    /// The stick table of a pool, if it has one.
    pub(crate) fn stick_entries(&self, pool: PoolId, now: u64) -> Option<StickEntries> {
        let entries = self.entries();
        let (subject, table) = entries.tables.get(&pool)?;
        let Secret(first, second) = table.secret();
        Some(StickEntries { subject: subject.clone(), secret: (first, second), entries: table.entries(now) })
    }

    /// Goes on with another process's table of a pool, or learns what has come to it since.
    pub(crate) fn inherit_table(&self, pool: PoolId, told: &StickEntries, now: u64) {
        let mut entries = self.entries();
        let secret = Secret(told.secret.0, told.secret.1);
        let fresh = || (told.subject.clone(), StickTable::with(secret).into());
        let (subject, table) = entries.tables.entry(pool).or_insert_with(fresh);
        // It was started anew meanwhile.
        if *subject == told.subject && table.secret() == secret {
            table.learn(&told.entries, now);
        }
    }

    /// What is new in the stick tables since another amphora has asked the last time, about `most` entries of all together, and
    /// of a quarter as many tables.
    pub(crate) fn shared(&self, since: &Marks, most: usize, now: u64) -> SharedTables {
        let tables: Vec<_> = {
            let entries = self.entries();
            let tables = entries.tables.iter();
            tables.map(|(pool, (subject, table))| (*pool, subject.clone(), Arc::clone(table))).collect()
        };
        let mut left = most;
        let mut shared = SharedTables::new();
        for (pool, subject, table) in tables {
            if shared.len() >= most.div_ceil(4) {
                break;
            }
            // One entry each at the least, so that no table waits for the others.
            let news = table.news(since.get(&pool).copied(), left.max(1), now);
            if let Some((entries, mark)) = news {
                left = left.saturating_sub(entries.len());
                shared.insert(pool, SharedTable { subject, entries, mark });
            }
        }
        shared
    }

    /// Learns where another amphora has sent clients; the pools that have a table of the kind.
    pub(crate) fn learn_shared(&self, tables: &SharedTables, now: u64) -> Vec<PoolId> {
        let entries = self.entries();
        let mut learned = vec![];
        for (pool, told) in tables {
            if let Some((subject, table)) = entries.tables.get(pool)
                && *subject == told.subject
            {
                table.learn_newer(&told.entries, now);
                learned.push(*pool);
            }
        }
        learned
    }
}

impl Entries {
    fn credit(&mut self, process: Uuid, reckoning: Reckoning, over: bool) {
        if let Some(before) = self.told.remove(&process) {
            self.grow(&before, &reckoning);
        }
        if !over {
            self.told.insert(process, reckoning);
        }
        for (id, state) in &self.listeners {
            let elsewhere = self.told.values().filter_map(|reckoning| reckoning.listeners.get(id));
            state.open_elsewhere.store(elsewhere.map(open).sum(), Relaxed);
        }
        for (id, state) in &self.members {
            let elsewhere = self.told.values().filter_map(|reckoning| reckoning.members.get(id));
            state.active_elsewhere.store(elsewhere.map(open).sum(), Relaxed);
        }
    }

    fn grow(&mut self, before: &Reckoning, now: &Reckoning) {
        for (id, counts) in &now.listeners {
            if let Some(state) = self.listeners.get(id) {
                grow(state.threads.inherited(), before.listeners.get(id), counts);
            }
        }
        for (id, counts) in &now.members {
            if let Some(state) = self.members.get(id) {
                grow(state.threads.inherited(), before.members.get(id), counts);
            }
        }
        for (listener, pools) in &now.routes {
            for (pool, counts) in pools {
                if let Some(state) = self.routes.get(&(*listener, *pool)) {
                    let before = before.routes.get(listener).and_then(|pools| pools.get(pool));
                    grow(state.threads.inherited(), before, counts);
                }
            }
        }
        let before = Totals::from_counts(&before.forgotten);
        let since = Totals::from_counts(&now.forgotten).since(before);
        self.forgotten = self.forgotten.and(since);
    }
}

impl MemberState {
    fn told(&self, now: u64, score: Option<u8>) -> MemberHealth {
        let word = match self.health() {
            Health::Up => MemberWord::Up,
            Health::Down => MemberWord::Down,
            Health::NoCheck => MemberWord::NoCheck,
        };
        let checks = self.checks();
        MemberHealth {
            word,
            score,
            check: self.check(),
            age: now.saturating_sub(checks.since),
            downs: checks.downs,
            downtime: checks.downtime,
            failures: checks.failures,
        }
    }

    fn inherit(&self, told: MemberHealth, now: u64) {
        let health = match told.word {
            MemberWord::Up => Health::Up,
            MemberWord::Down => Health::Down,
            _ => Health::NoCheck,
        };
        let mut checks = self.checks();
        checks.down = health == Health::Down;
        checks.since = now.saturating_sub(told.age);
        checks.downs = told.downs;
        checks.downtime = told.downtime;
        checks.failures = told.failures;
        checks.score = told.score;
        drop(checks);
        self.set_check(told.check);
        self.set_health(health);
    }

    /// Its place on the scale in the process before this one, once.
    pub(crate) fn take_score(&self) -> Option<u8> {
        self.checks().score.take()
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::GenericUuid;
    use octavia_model::ListenerId;

    use super::*;

    /// What two processes count, told in every order and more than once, is counted once.
    #[test]
    fn totals_go_on_and_nothing_counts_twice() {
        let (listener, member) = (ListenerId::new_v4(), MemberId::new_v4());
        let (pool, one, two) = (PoolId::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let process = || Registry::new(2).unwrap();
        let count = |registry: &Registry, thread: usize, n: u64| {
            registry.listener(listener).on(thread).rx.add(n);
            registry.listener(listener).on(thread).responses.count(200);
            registry.member(member).on(thread).requests.add(n);
            registry.route(listener, pool).on(thread).entered.add(n);
        };
        let total = |registry: &Registry| {
            let listener = registry.listener(listener);
            let entered = registry.route(listener.id(), pool).entered();
            assert_eq!(
                (registry.member(member).requests(), entered),
                (listener.stats().rx, listener.stats().rx)
            );
            (listener.stats().rx, listener.responses(2), listener.stats().conns)
        };
        let first = process();
        count(&first, 0, 1);
        count(&first, 1, 10);
        first.listener(listener).open.store(3, Relaxed);
        let second = process();
        second.inherit(one, first.reckoning(), first.told());
        assert_eq!(total(&second), (11, 2, 3));
        count(&second, 0, 100);
        count(&first, 0, 1_000);
        for _ in 0..2 {
            second.credit(one, first.reckoning(), false);
            assert_eq!(total(&second), (1_111, 4, 3));
        }
        // A third one, while the first is still there.
        let third = process();
        third.inherit(two, second.reckoning(), second.told());
        assert_eq!(total(&third), (1_111, 4, 3));
        second.listener(listener).open.store(1, Relaxed);
        count(&first, 1, 10_000);
        count(&second, 1, 100_000);
        third.credit(two, second.reckoning(), false);
        third.credit(one, first.reckoning(), false);
        assert_eq!(total(&third), (111_111, 6, 4));
        let mut last = first.reckoning();
        last.close();
        third.credit(one, last, true);
        assert_eq!(total(&third), (111_111, 6, 1));
        third.credit(two, second.reckoning(), true);
        assert_eq!(total(&third), (111_111, 6, 0));
        assert!(third.told().is_empty());
        // Who did not inherit counts what comes from now on.
        let stranger = process();
        count(&stranger, 0, 5);
        stranger.credit(two, second.reckoning(), false);
        assert_eq!(total(&stranger), (5, 1, 1));
        count(&second, 0, 2);
        stranger.credit(two, second.reckoning(), true);
        assert_eq!(total(&stranger), (7, 2, 0));
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let registry = Registry::new(1).unwrap();
        let listener = ListenerId::from_untyped_uuid(Uuid::new_v4());
        let counts = Counts::from([
            ("rx".to_owned(), vec![5, 6]),
            ("responses".to_owned(), vec![0, 0, 7]),
            ("of tomorrow".to_owned(), vec![8]),
        ]);
        let reckoning = Reckoning { listeners: [(listener, counts)].into(), ..Reckoning::default() };
        registry.inherit(Uuid::new_v4(), reckoning, BTreeMap::new());
        let state = registry.listener(listener);
        assert_eq!((state.stats().rx, state.responses(2)), (5, 7));
    }

    #[test]
    fn members_stay_what_they_are() {
        use octavia_wire::MemberWord::{Down, NoCheck, Up};
        let (before, after) = (Registry::new(1).unwrap(), Registry::new(1).unwrap());
        for (health, word, downs) in
            [(Health::Up, Up, 0), (Health::Down, Down, 1), (Health::NoCheck, NoCheck, 0)]
        {
            let id = MemberId::new_v4();
            let state = before.member(id);
            state.turn(health, 1_000);
            state.set_check(Some("refused".to_owned()));
            let told = before.health(5_000, |_| Some(3)).remove(&id).unwrap();
            assert_eq!(told.word, word);
            after.inherit_health(id, told.clone(), 7_000);
            let state = after.member(id);
            assert_eq!((state.health(), state.downs()), (health, downs));
            assert_eq!(state.check().as_deref(), Some("refused"));
            assert_eq!(after.health(7_000, |_| Some(3)).remove(&id).unwrap(), told);
            assert_eq!((state.take_score(), state.take_score()), (Some(3), None));
        }
    }
}
