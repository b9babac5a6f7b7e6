//! Seeds. `OCTAVIA_SIM_SEED=n` plays one and prints its log; `OCTAVIA_SIM_SEEDS=n` says how many are played.
//!
//! With the feature `breakable` the store breaks a promise, and the only test is whether that is noticed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(not(feature = "breakable"))]
mod cloud;
#[cfg(not(feature = "breakable"))]
mod found;
#[cfg(not(feature = "breakable"))]
mod seeds;
#[cfg(feature = "breakable")]
mod self_test;

use octavia_sim::{Database, Outcome};

fn on_a_runtime<T>(work: impl AsyncFnOnce() -> T) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work())
}

/// Plays one seed on a database of its own.
fn play(seed: u64) -> Outcome {
    on_a_runtime(async || Database::open().await.unwrap().run(seed).await.unwrap())
}
