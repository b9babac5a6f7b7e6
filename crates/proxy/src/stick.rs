//! Stick tables: which member each client was sent to, for as many clients as there is room, and perhaps for a time.
//!
//! A table is shared by all traffic threads. Clients are spread over shards, each with a lock of its own, held for a
//! few steps in memory. A full shard forgets whoever it has not seen for longest, and so do all for whom the time is up.
//!
//! What is new in it can be asked for by another amphora's ([`StickTable::news`]): each entry has the turn in which it was
//! made, or went elsewhere, or was seen again after a while. So nothing is queued for whoever asks, and nothing is lost by who does not.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
#[expect(deprecated, reason = "the one keyed hash of the standard library that can be given its key")]
use std::hash::SipHasher;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use octavia_model::MemberId;
use octavia_wire::sharing::Mark;
use uuid::Uuid;

const SHARDS: usize = 16;
/// Clients of one shard, at most.
const SHARD_MAX: usize = 1024;
/// Clients of one table, at most; `docs/configuration.md` says it, too. The original has room for 10,240
/// (`haproxy_stick_size`).
pub const STICK_MAX: usize = SHARDS * SHARD_MAX;
/// That a client was seen again is news after so many milliseconds: by so much others take it for older than it is.
const SEEN_AGAIN: u64 = 1_000;

/// Client, member, and for how many milliseconds it has not been seen.
type News = Vec<(u64, MemberId, u64)>;

/// A client, hashed with a secret of the table's: whoever makes up clients cannot make two of them meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StickKey(u64);

#[derive(Debug)]
pub struct StickTable {
    secret: Secret,
    /// Others have a mark of this very table.
    id: Uuid,
    /// The last turn in which something was news.
    turns: Arc<AtomicU64>,
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
        Self::with(Secret(random(), random()))
    }
}

/// As hash tables choose their keys.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

impl StickTable {
    /// An empty one, in which clients have the keys that they have in others with the same secret.
    pub(crate) fn with(secret: Secret) -> Self {
        let turns = Arc::<AtomicU64>::default();
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(SHARD_MAX, &turns))).collect();
        Self { secret, id: Uuid::from_u64_pair(random(), random()), turns, shards }
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

    /// What is new since a mark, at most so many entries, and how far that goes. All there is without a mark, or with another table's. `None` = nothing.
    pub(crate) fn news(&self, since: Option<Mark>, most: usize, now: u64) -> Option<(News, Mark)> {
        // Turns are taken under the lock of a shard: who has one up to this is there when its shard is locked below.
        let last = self.turns.load(Relaxed);
        let known = since.filter(|mark| mark.table == self.id && mark.turn <= last);
        let mark = known.unwrap_or(Mark { table: self.id, turn: 0, until: last });
        if mark.turn == last {
            return None;
        }
        let mut news: Vec<_> =
            self.shards.iter().flat_map(|shard| lock(shard).news(mark, last, now)).collect();
        news.sort_unstable_by_key(|(turn, ..)| *turn);
        let turn = news.get(most).map_or(last, |(next, ..)| next - 1);
        news.truncate(most);
        let entries = news.into_iter().map(|(_, key, member, age)| (key, member, age)).collect();
        Some((entries, Mark { turn, ..mark }))
    }

    /// Remembers where another amphora has sent clients, unless they were seen here since.
    pub(crate) fn learn_newer(&self, entries: &[(u64, MemberId, u64)], now: u64) {
        for &(key, member, age) in entries {
            self.shard(StickKey(key)).learn_newer(key, member, now.saturating_sub(age));
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
    /// The table's.
    turns: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    member: MemberId,
    seen: u64,
    newer: u32,
    older: u32,
    /// When it was news; 0 = it is nobody's.
    turn: u64,
    /// When it was seen then.
    told: u64,
    /// Another amphora told it, which knows it.
    learned: bool,
}

impl Shard {
    fn new(max: usize, turns: &Arc<AtomicU64>) -> Self {
        let turns = Arc::clone(turns);
        Self { max, places: HashMap::new(), entries: vec![], newest: NONE, oldest: NONE, free: NONE, turns }
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
            if std::mem::replace(&mut self.entry(place).member, member) != member {
                self.is_news(place);
            }
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
        let place = self.place_for(key, member, seen);
        self.link_by_age(place);
    }

    /// The same of one that another amphora has sent there: the newer of two counts, also of those for whom there is no room.
    fn learn_newer(&mut self, key: u64, member: MemberId, seen: u64) {
        let known = self.places.get(&key).copied();
        let place = match known {
            Some(place) => {
                let ours = self.entry(place);
                let (seen_here, sent_here) = (ours.seen, ours.member);
                if (seen_here, sent_here) >= (seen, member) {
                    // Who told it is to know better.
                    if sent_here != member {
                        self.is_news(place);
                    }
                    return;
                }
                self.unlink(place);
                place
            }
            None => {
                if self.places.len() >= self.max {
                    if self.entry(self.oldest).seen >= seen {
                        return;
                    }
                    self.remove(self.oldest);
                }
                self.place_for(key, member, seen)
            }
        };
        let entry = self.entry(place);
        (entry.member, entry.seen) = (member, seen);
        self.link_by_age(place);
        self.is_news(place);
        self.entry(place).learned = true;
    }

    /// Turn, client, member, and for how long it has not been seen. What was learned is told only to those who ask the first time:
    /// others have it from where it is from, and it would go round in circles.
    fn news(&self, since: Mark, last: u64, now: u64) -> Vec<(u64, u64, MemberId, u64)> {
        let is_news = |entry: &&Entry| {
            entry.turn > since.turn && entry.turn <= last && (!entry.learned || entry.turn <= since.until)
        };
        let told = |entry: &Entry| (entry.turn, entry.key, entry.member, now.saturating_sub(entry.seen));
        self.entries.iter().filter(is_news).map(told).collect()
    }

    /// It has its turn.
    fn is_news(&mut self, place: u32) {
        let turn = self.turns.fetch_add(1, Relaxed) + 1;
        let entry = self.entry(place);
        (entry.turn, entry.told, entry.learned) = (turn, entry.seen, false);
    }

    /// An entry that is not linked, where it belongs.
    fn link_by_age(&mut self, place: u32) {
        let seen = self.entry(place).seen;
        let mut newer = NONE;
        let mut older = self.newest;
        while older != NONE && self.entry(older).seen > seen {
            newer = older;
            older = self.entry(older).older;
        }
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
        let entry = Entry { key, member, seen, newer: NONE, older: NONE, turn: 0, told: 0, learned: false };
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
        self.is_news(place);
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
        if entry.learned || entry.seen.saturating_sub(entry.told) >= SEEN_AGAIN {
            self.is_news(place);
        }
        if self.newest != place {
            self.unlink(place);
            self.link_newest(place);
        }
    }

    fn remove(&mut self, place: u32) {
        self.unlink(place);
        let free = self.free;
        let entry = self.entry(place);
        (entry.older, entry.turn) = (free, 0);
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
mod tests;
