//! Many seeds, and that a seed says everything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use octavia_sim::{Database, Outcome};

use crate::{on_a_runtime, play};

/// Seeds played if nothing is said. Continuous integration plays 2,000.
const SEEDS: u64 = 200;
const THREADS: usize = 2;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_seed_breaks_an_invariant() {
    if let Some(seed) = variable("OCTAVIA_SIM_SEED") {
        let outcome = play(seed);
        println!("{}", outcome.log.join("\n"));
        assert!(outcome.broken.is_none(), "{}", outcome.report());
        return;
    }
    let seeds = variable("OCTAVIA_SIM_SEEDS").unwrap_or(SEEDS);
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let outcomes: Vec<Vec<Outcome>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| play_many(&next, seeds))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut broken: Vec<Outcome> = vec![];
    let (mut events, mut slowest) = (0, None);
    for outcome in outcomes.into_iter().flatten() {
        events += outcome.events;
        slowest = slowest.max(Some((outcome.converged_after, outcome.seed)));
        if outcome.broken.is_some() {
            broken.push(outcome);
        }
    }
    println!("{seeds} seeds, {events} events in {:.1?}; slowest convergence: {slowest:?}", started.elapsed());
    broken.sort_by_key(|outcome| outcome.log.len());
    for outcome in broken.iter().skip(1) {
        println!("seed {} broke {}", outcome.seed, outcome.broken.as_deref().unwrap_or_default());
    }
    // The shortest log is the easiest to read.
    if let Some(outcome) = broken.first() {
        panic!("{} of {seeds} seeds broke an invariant; the shortest:\n{}", broken.len(), outcome.report());
    }
}

fn play_many(next: &AtomicU64, seeds: u64) -> Vec<Outcome> {
    on_a_runtime(async || {
        let mut database = Database::open().await.unwrap();
        let mut outcomes = vec![];
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return outcomes;
            }
            let mut outcome = database.run(seed).await.unwrap();
            if outcome.broken.is_none() {
                outcome.log = vec![];
            } else {
                // Whatever went wrong, the next seed starts clean.
                database = Database::open().await.unwrap();
            }
            outcomes.push(outcome);
        }
    })
}

#[test]
fn the_same_seed_plays_the_same_on_a_new_and_on_a_used_database() {
    on_a_runtime(async || {
        let used = Database::open().await.unwrap();
        for seed in 0..10 {
            let first = used.run(seed).await.unwrap();
            let second = Database::open().await.unwrap().run(seed).await.unwrap();
            for (at, (a, b)) in first.log.iter().zip(&second.log).enumerate() {
                assert_eq!(a, b, "seed {seed}, line {at}");
            }
            assert_eq!(first.log.len(), second.log.len());
        }
    });
}
