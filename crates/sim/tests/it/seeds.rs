//! Many seeds, and that a seed says everything.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use octavia_sim::{Database, Outcome};

use crate::{on_a_runtime, play};

/// Seeds played if nothing is said. Continuous integration plays 2,000.
const SEEDS: u64 = 200;
const THREADS: usize = 2;
/// What the seeds have to reach, as it shows in the log: a simulation in which nothing happens proves nothing.
const REACHED: &[&str] = &[
    "is KILLED",
    " FAILS",
    "ANSWER LOST",
    "is frozen",
    "the clock jumps",
    "OUTAGE",
    "LeaseLost",
    "lb_fail",
    "pending_expire lb",
    "replacing an amphora",
    "Deleted",
    "giving back an address",
    "vip_port_record",
    "statuses_apply",
    "lb_wake",
    "lease_renew",
    "faults=1",
    "AddressLost",
    "ServerVanishes",
    "not possible while",
    "FAILOVER_ASKED",
    "the configuration of amphora",
];
/// The same for [`MANY`] seeds.
const RARELY_REACHED: &[&str] = &["a newer generation", "removing a server", "has a newer spec"];
const MANY: u64 = 1000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What many seeds came to.
#[derive(Default)]
struct Sum {
    events: usize,
    /// The longest time to convergence, and whose it was.
    slowest: Option<(jiff::SignedDuration, u64)>,
    /// In how many seeds each of [`REACHED`], then each of [`RARELY_REACHED`] shows.
    reached: Vec<usize>,
    broken: Vec<Outcome>,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.events += outcome.events;
        self.slowest = self.slowest.max(Some((outcome.converged_after, outcome.seed)));
        self.reached.resize(REACHED.len() + RARELY_REACHED.len(), 0);
        for (count, text) in self.reached.iter_mut().zip(REACHED.iter().chain(RARELY_REACHED)) {
            *count += usize::from(outcome.log.iter().any(|line| line.contains(text)));
        }
        if outcome.broken.is_some() {
            self.broken.push(outcome);
        }
    }
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
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| play_many(&next, seeds, &sum));
        }
    });
    let mut sum = sum.into_inner().unwrap();
    let (events, slowest) = (sum.events, sum.slowest);
    println!("{seeds} seeds, {events} events in {:.1?}; slowest convergence: {slowest:?}", started.elapsed());
    for (count, text) in sum.reached.iter().zip(REACHED.iter().chain(RARELY_REACHED)) {
        println!("{count:>6} seeds reached {text:?}");
    }
    sum.broken.sort_by_key(|outcome| outcome.log.len());
    for outcome in sum.broken.iter().skip(1) {
        println!("seed {} broke {}", outcome.seed, outcome.broken.as_deref().unwrap_or_default());
    }
    // The shortest log is the easiest to read.
    if let Some(outcome) = sum.broken.first() {
        panic!(
            "{} of {seeds} seeds broke an invariant; the shortest:\n{}",
            sum.broken.len(),
            outcome.report()
        );
    }
    let required = match seeds {
        MANY.. => REACHED.len() + RARELY_REACHED.len(),
        SEEDS.. => REACHED.len(),
        _ => 0,
    };
    let all = REACHED.iter().chain(RARELY_REACHED).zip(&sum.reached).take(required);
    let missed: Vec<_> = all.filter(|(_, count)| **count == 0).map(|(text, _)| text).collect();
    assert!(missed.is_empty(), "no seed reached {missed:?}");
}

fn play_many(next: &AtomicU64, seeds: u64, sum: &Mutex<Sum>) {
    on_a_runtime(async || {
        let mut database = Database::open().await.unwrap();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let outcome = database.run(seed).await.unwrap();
            if outcome.broken.is_some() {
                // Whatever went wrong, the next seed starts clean.
                database = Database::open().await.unwrap();
            }
            sum.lock().unwrap().add(outcome);
        }
    });
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
