//! Whose turn it is, when no more servers may be in the making at once than so many.
//!
//! Failovers come before everything else, for traffic waits for them. Then projects take turns: who has the fewest in the
//! making comes first, so that nobody who asks for hundreds keeps another waiting who asks for one. Then who came first.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use octavia_model::{LoadBalancerId, ProjectId, Turn};

/// Nobody waits for a load balancer whose worker has not asked for so long: it may have died.
const FORGOTTEN: SignedDuration = SignedDuration::from_secs(60);

/// Why it is not a load balancer's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Its place among those that wait, from 1.
    pub position: usize,
    pub waiting: usize,
    /// Load balancers whose servers are in the making.
    pub building: usize,
}

/// Where the load balancer is among those that wait; `None` = it does not wait.
pub fn queued(turns: &[Turn], own: LoadBalancerId, now: Timestamp) -> Option<Queue> {
    let (taken, waiting): (Vec<&Turn>, Vec<&Turn>) = turns.iter().partition(|turn| turn.taken_at.is_some());
    let alive =
        |turn: &&Turn| turn.load_balancer_id == own || now.duration_since(turn.asked_at).abs() < FORGOTTEN;
    let mut waiting: Vec<&Turn> = waiting.into_iter().filter(alive).collect();
    waiting.sort_by_key(|turn| (!turn.urgent, turn.since, turn.load_balancer_id));
    let mut shares: BTreeMap<&ProjectId, usize> = BTreeMap::new();
    for turn in &taken {
        *shares.entry(&turn.project_id).or_default() += 1;
    }
    let mut places: Vec<_> = waiting
        .into_iter()
        .map(|turn| {
            let share = shares.entry(&turn.project_id).or_default();
            *share += 1;
            ((!turn.urgent, *share, turn.since, turn.load_balancer_id), turn.load_balancer_id)
        })
        .collect();
    places.sort();
    let place = places.iter().position(|(_, id)| *id == own)?;
    Some(Queue { position: place + 1, waiting: places.len(), building: taken.len() })
}

/// Whether one that waits may begin, when servers of at most so many load balancers may be in the making.
pub fn is_its_turn(turns: &[Turn], own: LoadBalancerId, limit: usize, now: Timestamp) -> bool {
    queued(turns, own, now).is_none_or(|queue| queue.position + queue.building <= limit)
}

impl Queue {
    /// What is waited for, for people.
    pub fn cause(&self) -> String {
        let Self { position, waiting, building } = self;
        format!(
            "Servers of {building} load balancers are in the making, as many as may be at once; this one is number {position} of \
             {waiting} that wait. Failovers come first, then projects take turns."
        )
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::GenericUuid;
    use octavia_model::OperationId;
    use uuid::Uuid;

    use super::*;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn id(n: usize) -> LoadBalancerId {
        LoadBalancerId::from_untyped_uuid(Uuid::from_u128(n as u128))
    }

    /// `project[!][+]`: urgent, taken; they came one after the other, and have just asked.
    fn turns(words: &str) -> Vec<Turn> {
        let turn = |(n, word): (usize, &str)| {
            let since = start() + SignedDuration::from_secs(i64::try_from(n).unwrap());
            Turn {
                load_balancer_id: id(n),
                project_id: ProjectId::new(word.trim_end_matches(['!', '+'])),
                urgent: word.contains('!'),
                since,
                asked_at: start(),
                taken_at: word.contains('+').then_some(since),
                operation_id: OperationId::from_untyped_uuid(Uuid::nil()),
            }
        };
        words.split_whitespace().enumerate().map(turn).collect()
    }

    #[test]
    fn failovers_first_then_projects_in_turn() {
        // Positions in the order of the words; 0 = does not wait.
        for (words, wanted) in [
            ("a", vec![1]),
            ("a a a", vec![1, 2, 3]),
            ("a a a b", vec![1, 3, 4, 2]),
            ("a+ a b", vec![0, 2, 1]),
            ("a a! b", vec![3, 1, 2]),
            ("a a b! b c", vec![2, 4, 1, 5, 3]),
            ("a+ b+ a b c", vec![0, 0, 2, 3, 1]),
            ("a!+ a! b", vec![0, 1, 2]),
        ] {
            let turns = turns(words);
            let place = |n| queued(&turns, id(n), start()).map_or(0, |queue| queue.position);
            assert_eq!((0..turns.len()).map(place).collect::<Vec<_>>(), wanted, "{words}");
        }
    }

    #[test]
    fn as_many_as_may_be() {
        for (words, own, limit, its) in [
            ("a", 0, 1, true),
            ("a+ a", 1, 1, false),
            ("a+ a", 1, 2, true),
            ("a+ a a", 2, 2, false),
            ("a+ a a", 2, 3, true),
            ("a+ b+ a!", 2, 2, false),
            // One that is at it stays so, also when there may be fewer now.
            ("a+ b+", 1, 1, true),
            ("a", 0, 0, false),
        ] {
            assert_eq!(is_its_turn(&turns(words), id(own), limit, start()), its, "{words} {own} {limit}");
        }
    }

    #[test]
    fn nobody_waits_for_the_dead() {
        let mut turns = turns("a a");
        let later = start() + FORGOTTEN;
        turns[1].asked_at = later;
        let queue = queued(&turns, id(1), later).unwrap();
        assert_eq!((queue.position, queue.waiting), (1, 1));
        // Who comes back has kept its place.
        turns[0].asked_at = later;
        assert_eq!(queued(&turns, id(1), later).map(|queue| queue.position), Some(2));
        assert!(queue.cause().contains("number 1 of 1"));
    }
}
