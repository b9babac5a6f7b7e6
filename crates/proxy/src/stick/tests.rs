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
        let (mut shard, mut plain) = (Shard::new(max, &Arc::default()), Plain::default());
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
    let mut shard = Shard::new(3, &Arc::default());
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

/// What a table tells another, in messages of so many entries, from its mark on.
fn tell(from: &StickTable, to: &StickTable, mark: &mut Option<Mark>, most: usize, now: u64) -> usize {
    let mut told = 0;
    while let Some((entries, next)) = from.news(*mark, most, now) {
        assert!(entries.len() <= most);
        told += entries.len();
        to.learn_newer(&entries, now);
        *mark = Some(next);
    }
    told
}

fn pair() -> (StickTable, StickTable) {
    (StickTable::with(Secret(1, 2)), StickTable::with(Secret(1, 2)))
}

#[test]
fn news_are_told_once() {
    let (table, peer) = pair();
    let mut mark = None;
    assert_eq!(table.news(None, 9, 0), None, "nothing is no news");
    for (n, most) in [(100u32, 7), (200, 1), (300, 1_000)] {
        for client in n..n + 100 {
            table.put(table.key(client), member(1), 10, None);
        }
        assert_eq!(tell(&table, &peer, &mut mark, most, 20), 100, "{n}");
        assert_eq!(tell(&table, &peer, &mut mark, most, 20), 0, "{n}");
    }
    // What was seen again, when, and of how many that is news.
    for (now, member_of, news) in [(900, 1, 0), (1_010, 1, 100), (1_500, 1, 0), (1_600, 2, 100)] {
        for client in 100..200u32 {
            table.put(table.key(client), member(member_of), now, None);
        }
        assert_eq!(tell(&table, &peer, &mut mark, 64, now), news, "{now}");
    }
    for client in 100..400u32 {
        let expected = member(if client < 200 { 2 } else { 1 });
        assert_eq!(peer.get(peer.key(client), 1_600, None), Some(expected));
    }
    // Who begins anew has all of it, and so has who asks for another table's news.
    let strange = Mark { table: Uuid::nil(), turn: 5, until: 5 };
    for mut mark in [None, Some(strange)] {
        let (_, fresh) = pair();
        assert_eq!(tell(&table, &fresh, &mut mark, 50, 2_000), 300);
        assert_eq!(fresh.len(), 300);
    }
}

/// What one has of another does not come back to it, but a third one gets it from either.
#[test]
fn what_is_learned_does_not_go_round() {
    let ((first, second), (third, _)) = (pair(), pair());
    let (mut to_second, mut to_first, mut to_third) = (None, None, None);
    assert_eq!(tell(&second, &first, &mut to_first, 10, 5), 0);
    first.put(first.key(1u8), member(1), 5, None);
    tell(&first, &second, &mut to_second, 10, 7);
    second.put(second.key(2u8), member(2), 8, None);
    // It has asked for nothing before, and is told all.
    assert_eq!(tell(&second, &first, &mut to_first, 10, 9), 2);
    assert_eq!(first.get(first.key(1u8), 9, None), Some(member(1)));
    first.put(first.key(3u8), member(3), 9, None);
    assert_eq!(tell(&first, &second, &mut to_second, 10, 9), 1);
    assert_eq!(tell(&second, &first, &mut to_first, 10, 9), 0, "it is from there");
    assert_eq!(tell(&second, &third, &mut to_third, 1, 9), 3);
    // Who takes over goes on with it, and then it is news.
    assert_eq!(second.get(second.key(3u8), 10, None), Some(member(3)));
    assert_eq!(tell(&second, &first, &mut to_first, 10, 10), 1);
}

#[test]
fn the_newer_of_two_counts() {
    let mut shard = Shard::new(2, &Arc::default());
    shard.put(1, member(1), 50, None);
    shard.put(2, member(2), 60, None);
    // What is told, seen when; then all that is there, the oldest first, as if it were 100.
    for (key, told, seen, expected) in [
        (1, 1, 49, [(1, 1, 50), (2, 2, 40)]),
        (1, 0, 50, [(1, 1, 50), (2, 2, 40)]),
        (1, 9, 50, [(1, 9, 50), (2, 2, 40)]),
        (1, 8, 49, [(1, 9, 50), (2, 2, 40)]),
        (1, 8, 55, [(1, 8, 45), (2, 2, 40)]),
        (1, 8, 70, [(2, 2, 40), (1, 8, 30)]),
        // There is room for those who were seen last.
        (3, 3, 60, [(2, 2, 40), (1, 8, 30)]),
        (3, 3, 65, [(3, 3, 35), (1, 8, 30)]),
    ] {
        shard.learn_newer(key, member(told), seen);
        let expected = expected.map(|(key, n, age)| (key, member(n), age));
        assert_eq!(shard.told(100), expected, "{key} {told} {seen}");
    }
}

proptest! {
    /// Whatever is lost on the way, and whoever begins anew: once all is told, both know where every client goes.
    #[test]
    fn tables_agree_in_the_end(
        steps in prop::collection::vec((0..2usize, 0..6u8, 0..4u8, 1..1_500u64, 0..8u8), 1..100),
    ) {
        let mut tables = [StickTable::with(Secret(1, 2)), StickTable::with(Secret(1, 2))];
        let mut marks = [None, None];
        let mut now = 0;
        let exchange = |tables: &[StickTable; 2], marks: &mut [Option<Mark>; 2], now| {
            for from in 0..2 {
                tell(&tables[from], &tables[1 - from], &mut marks[from], 3, now);
            }
        };
        for (at, client, n, wait, what) in steps {
            now += wait;
            match what {
                // It dies, and what it knew is gone; so are the marks it had of the other one's.
                0 => {
                    exchange(&tables, &mut marks, now);
                    tables[at] = StickTable::with(Secret(1, 2));
                    marks[1 - at] = None;
                }
                1 => exchange(&tables, &mut marks, now),
                // An answer is lost: the mark stays where it was.
                2 => _ = tables[at].news(marks[at], 3, now),
                _ => tables[at].put(tables[at].key(client), member(n), now, None),
            }
        }
        now += 1;
        exchange(&tables, &mut marks, now);
        let all = |table: &StickTable| {
            let mut all: Vec<_> = table.entries(now).into_iter().map(|(key, member, _)| (key, member)).collect();
            all.sort();
            all
        };
        prop_assert_eq!(all(&tables[0]), all(&tables[1]));
    }
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
