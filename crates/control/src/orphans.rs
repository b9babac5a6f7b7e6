//! Which things outside belong to nobody.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// What was seen without a row, and since when in every look.
///
/// A row is written before anything is made for it, so what has none is no creation in flight, unless the two
/// lists were read at an unlucky moment or one of them was old. Hence: seen in at least two looks, over an age.
#[derive(Debug)]
pub(crate) struct Orphans<K> {
    since: BTreeMap<K, Timestamp>,
}

impl<K> Default for Orphans<K> {
    fn default() -> Self {
        Self { since: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Orphans<K> {
    /// Takes one look, in which exactly `without_row` had no row, and returns what is surely nobody's.
    pub(crate) fn look(
        &mut self,
        without_row: impl IntoIterator<Item = K>,
        now: Timestamp,
        age: SignedDuration,
    ) -> Vec<K> {
        let before = std::mem::take(&mut self.since);
        let seen = without_row.into_iter();
        self.since = seen.map(|key| (key, before.get(&key).copied().unwrap_or(now))).collect();
        let old = |since: &Timestamp| now.duration_since(*since) >= age;
        self.since
            .iter()
            .filter(|(key, since)| before.contains_key(key) && old(since))
            .map(|(key, _)| *key)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u8; 0] = [];

    #[test]
    fn only_what_stays_without_a_row() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let age = SignedDuration::from_secs(60);
        let mut orphans = Orphans::default();
        let mut look = |seconds, keys: &[u8]| {
            orphans.look(keys.iter().copied(), start + SignedDuration::from_secs(seconds), age)
        };
        assert_eq!(look(0, &[1, 2]), NONE);
        assert_eq!(look(30, &[1, 2, 3]), NONE);
        // 2 got its row, or went by itself
        assert_eq!(look(60, &[1, 3]), [1]);
        // 2 again, from the start
        assert_eq!(look(120, &[1, 2, 3]), [1, 3]);
        assert_eq!(look(1000, &[4]), NONE);
        assert_eq!(look(1001, &[4]), NONE);
        assert_eq!(look(1060, &[4]), [4]);
    }

    #[test]
    fn once_is_never_enough() {
        let mut orphans = Orphans::default();
        assert_eq!(orphans.look([1], Timestamp::now(), SignedDuration::ZERO), NONE);
        assert_eq!(orphans.look([1], Timestamp::now(), SignedDuration::ZERO), [1]);
    }
}
