//! Stick tables: which member each client was sent to, for as many clients as there is room, and perhaps for a time.
//!
//! A table is shared by all traffic threads. Clients are spread over shards, each with a lock of its own, held for a
//! few steps in memory. A full shard forgets whoever it has not seen for longest, and so do all for whom the time is up.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
#[expect(deprecated, reason = "the one keyed hash of the standard library that can be given its key")]
use std::hash::SipHasher;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use octavia_model::MemberId;

const SHARDS: usize = 16;
/// Clients of one shard, at most.
const SHARD_MAX: usize = 1024;
/// Clients of one table, at most; `docs/configuration.md` says it, too. The original has room for 10,240
/// (`haproxy_stick_size`).
pub const STICK_MAX: usize = SHARDS * SHARD_MAX;

/// A client, hashed with a secret of the table's: whoever makes up clients cannot make two of them meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StickKey(u64);

#[derive(Debug)]
pub struct StickTable {
    secret: Secret,
    shards: Box<[Mutex<Shard>]>,
}

/// Goes with the entries to the process that takes over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) u64, pub(crate) u64);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

impl Default for StickTable {
    fn default() -> Self {
        let random = || RandomState::new().hash_one(());
        Self::with(Secret(random(), random()))
    }
}

impl StickTable {
    /// An empty one, in which clients have the keys that they have in others with the same secret.
    pub(crate) fn with(secret: Secret) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(SHARD_MAX))).collect();
        Self { secret, shards }
    }

    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    pub fn key(&self, client: impl Hash) -> StickKey {
        #[expect(deprecated, reason = "as above")]
        let mut hasher = SipHasher::new_with_keys(self.secret.0, self.secret.1);
        client.hash(&mut hasher);
        StickKey(hasher.finish())
    }

    /// Client, member, and for how long it has not been seen; of each shard the longest first.
    pub(crate) fn entries(&self, now: u64) -> Vec<(u64, MemberId, u64)> {
        self.shards.iter().flat_map(|shard| lock(shard).told(now)).collect()
    }

    /// Remembers what such a table told, except of clients that are known.
    pub(crate) fn learn(&self, entries: &[(u64, MemberId, u64)], now: u64) {
        for &(key, member, age) in entries {
            self.shard(StickKey(key)).learn(key, member, now.saturating_sub(age));
        }
    }

    /// The member this client was sent to. Times are in milliseconds; who was not seen for `timeout` is forgotten,
    /// and being asked for counts as being seen.
    pub fn get(&self, key: StickKey, now: u64, timeout: Option<u64>) -> Option<MemberId> {
        self.shard(key).get(key.0, now, timeout)
    }

    /// Remembers where this client goes from now on.
    pub fn put(&self, key: StickKey, member: MemberId, now: u64, timeout: Option<u64>) {
        self.shard(key).put(key.0, member, now, timeout);
    }

    /// Clients that are remembered, also those whose time is up.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).places.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: StickKey) -> MutexGuard<'_, Shard> {
        // Maps look at the other bits.
        lock(&self.shards[(key.0 >> 32) as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

const NONE: u32 = u32::MAX;

/// Entries in the order in which they were seen last. Since all have the same time to live, it is also the order in
/// which they expire.
#[derive(Debug)]
struct Shard {
    max: usize,
    /// Where in `entries` a client is.
    places: HashMap<u64, u32>,
    entries: Vec<Entry>,
    newest: u32,
    oldest: u32,
    /// The first of the entries that are nobody's, which `older` links.
    free: u32,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    member: MemberId,
    seen: u64,
    newer: u32,
    older: u32,
}

impl Shard {
    fn new(max: usize) -> Self {
        Self { max, places: HashMap::new(), entries: vec![], newest: NONE, oldest: NONE, free: NONE }
    }

    fn get(&mut self, key: u64, now: u64, timeout: Option<u64>) -> Option<MemberId> {
        self.expire(now, timeout);
        let place = *self.places.get(&key)?;
        self.touch(place, now);
        Some(self.entry(place).member)
    }

    fn put(&mut self, key: u64, member: MemberId, now: u64, timeout: Option<u64>) {
        self.expire(now, timeout);
        if let Some(&place) = self.places.get(&key) {
            self.touch(place, now);
            self.entry(place).member = member;
            return;
        }
        if self.places.len() >= self.max {
            self.remove(self.oldest);
        }
        let place = self.place_for(key, member, now);
        self.link_newest(place);
    }

    /// An entry as old as it is, among the others.
    fn learn(&mut self, key: u64, member: MemberId, seen: u64) {
        if self.places.contains_key(&key) || self.places.len() >= self.max {
            return;
        }
        let mut newer = NONE;
        let mut older = self.newest;
        while older != NONE && self.entry(older).seen > seen {
            newer = older;
            older = self.entry(older).older;
        }
        let place = self.place_for(key, member, seen);
        if newer == NONE {
            return self.link_newest(place);
        }
        (self.entry(place).newer, self.entry(place).older) = (newer, older);
        self.entry(newer).older = place;
        match older {
            NONE => self.oldest = place,
            older => self.entry(older).newer = place,
        }
    }

    /// A new entry, not linked yet.
    fn place_for(&mut self, key: u64, member: MemberId, seen: u64) -> u32 {
        let entry = Entry { key, member, seen, newer: NONE, older: NONE };
        let place = if self.free == NONE {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let place = self.free;
            self.free = self.entry(place).older;
            *self.entry(place) = entry;
            place
        };
        self.places.insert(key, place);
        place
    }

    fn told(&mut self, now: u64) -> Vec<(u64, MemberId, u64)> {
        let mut told = Vec::with_capacity(self.places.len());
        let mut place = self.oldest;
        while place != NONE {
            let Entry { key, member, seen, newer, .. } = *self.entry(place);
            told.push((key, member, now.saturating_sub(seen)));
            place = newer;
        }
        told
    }

    /// Forgets whose time is up.
    fn expire(&mut self, now: u64, timeout: Option<u64>) {
        let Some(timeout) = timeout else { return };
        while self.oldest != NONE && self.entry(self.oldest).seen.saturating_add(timeout) <= now {
            self.remove(self.oldest);
        }
    }

    fn touch(&mut self, place: u32, now: u64) {
        let entry = self.entry(place);
        entry.seen = entry.seen.max(now);
        if self.newest != place {
            self.unlink(place);
            self.link_newest(place);
        }
    }

    fn remove(&mut self, place: u32) {
        self.unlink(place);
        let free = self.free;
        let entry = self.entry(place);
        entry.older = free;
        let key = entry.key;
        self.places.remove(&key);
        self.free = place;
    }

    fn unlink(&mut self, place: u32) {
        let Entry { newer, older, .. } = *self.entry(place);
        match newer {
            NONE => self.newest = older,
            newer => self.entry(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.entry(older).newer = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let before = self.newest;
        let entry = self.entry(place);
        (entry.newer, entry.older) = (NONE, before);
        match before {
            NONE => self.oldest = place,
            before => self.entry(before).newer = place,
        }
        self.newest = place;
    }

    fn entry(&mut self, place: u32) -> &mut Entry {
        &mut self.entries[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::GenericUuid;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn member(n: u8) -> MemberId {
        MemberId::from_untyped_uuid(Uuid::from_u128(n.into()))
    }

    /// A table as its plainest description has it: the one seen last is last.
    #[derive(Debug, Default)]
    struct Plain(Vec<(u64, MemberId, u64)>);

    impl Plain {
        fn expire(&mut self, now: u64, timeout: Option<u64>) {
            self.0.retain(|(_, _, seen)| timeout.is_none_or(|timeout| seen + timeout > now));
        }

        fn get(&mut self, key: u64, now: u64, timeout: Option<u64>) -> Option<MemberId> {
            self.expire(now, timeout);
            let place = self.0.iter().position(|(k, ..)| *k == key)?;
            let (_, member, _) = self.0.remove(place);
            self.0.push((key, member, now));
            Some(member)
        }

        fn put(&mut self, max: usize, key: u64, member: MemberId, now: u64, timeout: Option<u64>) {
            if self.get(key, now, timeout).is_some() {
                self.0.pop();
            } else if self.0.len() == max {
                self.0.remove(0);
            }
            self.0.push((key, member, now));
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Get(u64),
        Put(u64, u8),
        Wait(u64),
        Timeout(Option<u64>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12u64).prop_map(Step::Get),
            4 => (0..12u64, 0..4u8).prop_map(|(key, member)| Step::Put(key, member)),
            2 => (0..20u64).prop_map(Step::Wait),
            1 => prop::option::of(0..30u64).prop_map(Step::Timeout),
        ]
    }

    proptest! {
        #[test]
        fn a_shard_is_what_it_says(max in 1..8usize, steps in prop::collection::vec(step(), 0..200)) {
            let (mut shard, mut plain) = (Shard::new(max), Plain::default());
            let (mut now, mut timeout) = (1_000, None);
            for step in steps {
                match step {
                    Step::Get(key) => prop_assert_eq!(shard.get(key, now, timeout), plain.get(key, now, timeout)),
                    Step::Put(key, n) => {
                        shard.put(key, member(n), now, timeout);
                        plain.put(max, key, member(n), now, timeout);
                    }
                    Step::Wait(ms) => now += ms,
                    Step::Timeout(other) => timeout = other,
                }
                prop_assert!(shard.places.len() <= max && shard.entries.len() <= max);
                let mut seen = vec![];
                let mut place = shard.oldest;
                while place != NONE {
                    let entry = shard.entry(place);
                    seen.push((entry.key, entry.member, entry.seen));
                    place = entry.newer;
                }
                prop_assert_eq!(&seen, &plain.0);
                prop_assert_eq!(seen.len(), shard.places.len());
            }
        }
    }

    #[test]
    fn has_room_for_so_many_and_no_more() {
        let table = StickTable::default();
        for n in 0..10_240u32 {
            table.put(table.key(n), member(1), 0, None);
        }
        let lost = (0..10_240u32).filter(|n| table.get(table.key(n), 0, None).is_none()).count();
        assert_eq!(lost, 0, "as many as the original has room for");
        for n in 0..200_000u32 {
            table.put(table.key(n), member(2), 0, None);
        }
        assert_eq!(table.len(), STICK_MAX);
        let entries: usize = table.shards.iter().map(|shard| lock(shard).entries.len()).sum();
        assert_eq!(entries, STICK_MAX);
        assert_eq!(table.get(table.key(199_999u32), 0, None), Some(member(2)));
        assert_eq!(table.get(table.key(0u32), 0, None), None);
    }

    #[test]
    fn a_table_goes_on_in_another_process() {
        let table = StickTable::default();
        for (n, seen) in [(1u8, 0), (2, 50), (3, 90)] {
            table.put(table.key(n), member(n), seen, Some(100));
        }
        let next = StickTable::with(table.secret());
        next.put(next.key(2u8), member(9), 95, Some(100));
        for _ in 0..2 {
            next.learn(&table.entries(95), 95);
        }
        assert_eq!(next.len(), 3);
        for (n, now, expected) in [(1u8, 99, Some(1)), (2, 99, Some(9)), (3, 189, Some(3)), (1, 210, None)] {
            let (key, expected) = (next.key(n), expected.map(member));
            assert_eq!(key, table.key(n));
            assert_eq!(next.get(key, now, Some(100)), expected, "{n}");
        }
        assert_ne!(StickTable::default().key(1u8), table.key(1u8), "another secret");
    }

    #[test]
    fn what_is_learned_is_as_old_as_it_was() {
        let mut shard = Shard::new(3);
        shard.put(2, member(2), 95, None);
        // One is known, and for the last there is no room.
        for (key, seen) in [(3, 90), (1, 0), (2, 50), (4, 60)] {
            shard.learn(key, member(9), seen);
        }
        let first = (1, member(9), 99);
        let others = [(3, member(9), 9), (2, member(2), 4)];
        assert_eq!(shard.told(99), [&[first][..], &others].concat());
        shard.expire(100, Some(100));
        assert_eq!(shard.told(99), others);
    }

    #[test]
    fn clients_are_forgotten_in_time() {
        let table = StickTable::default();
        let key = table.key("client");
        table.put(key, member(1), 5, Some(10));
        assert_eq!(table.get(key, 14, Some(10)), Some(member(1)));
        assert_eq!(table.get(key, 23, Some(10)), Some(member(1)), "it was seen in between");
        assert_eq!(table.get(key, 33, Some(10)), None);
        assert!(table.is_empty());
        table.put(key, member(1), 40, None);
        assert_eq!(table.get(key, u64::MAX, None), Some(member(1)));
    }
}
