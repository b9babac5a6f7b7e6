//! A simulator that finds nothing in a store that is broken would find nothing anywhere.

use octavia_sim::{Database, Promise};

use crate::{on_a_runtime, play};

/// Seeds within which a broken promise has to show.
const SEEDS: u64 = 100;

#[test]
fn a_broken_fence_is_noticed() {
    is_noticed(Promise::Fence);
}

#[test]
fn a_broken_lease_is_noticed() {
    is_noticed(Promise::Lease);
}

/// A process breaks one promise only, and each test has a process of its own.
fn is_noticed(promise: Promise) {
    promise.break_for_good();
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
