//! A simulator that finds nothing in a store that is broken would find nothing anywhere.

use octavia_sim::Database;

use crate::{on_a_runtime, play};

/// Seeds within which a broken promise has to show.
const SEEDS: u64 = 100;

#[test]
fn a_broken_promise_is_noticed() {
    let found = on_a_runtime(async || {
        for seed in 0..SEEDS {
            let database = Database::open().await.unwrap();
            let outcome = database.run(seed).await.unwrap();
            if let Some(broken) = outcome.broken {
                return Some((seed, broken));
            }
        }
        None
    });
    let (seed, broken) = found.expect("the store breaks a promise, and nobody noticed");
    assert!(broken.starts_with("I3") || broken.starts_with("I4") || broken.starts_with("I5"), "{broken}");
    assert_eq!(play(seed).broken, Some(broken), "and it shows again");
}
