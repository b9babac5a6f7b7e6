//! A database in memory that many simulations use, one after the other.

use std::sync::Arc;

use futures::FutureExt;
use octavia_store::{Store, StoreError, StoreOptions};

use crate::simulation::{Act, Outcome, Simulation};
use crate::tap::{LogLines, StoreClock, Tap};

/// Stays on the thread that opened it: while it lives, what is logged there goes into the journal.
#[derive(Debug)]
pub struct Database {
    store: Store,
    tap: Tap,
    _log: tracing::subscriber::DefaultGuard,
}

impl Database {
    pub async fn open() -> Result<Self, StoreError> {
        let tap = Tap::default();
        let options = StoreOptions {
            clock: Some(Arc::new(StoreClock(tap.clone()))),
            interceptor: Some(Arc::new(tap.clone())),
            // A refusal that the gates inject goes to the caller at once: waiting for real time would make two runs
            // of a seed differ.
            attempts: 1,
            ..StoreOptions::default()
        };
        let store = Store::connect("sqlite::memory:", options).await?;
        store.migrate().await?;
        let lines = LogLines(tap.clone());
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || lines.clone())
            .finish();
        Ok(Self { store, tap, _log: tracing::subscriber::set_default(log) })
    }

    /// Plays one seed from an empty database.
    pub async fn run(&self, seed: u64) -> Result<Outcome, StoreError> {
        Ok(Box::pin(self.simulation(seed).await?.run(seed)).await)
    }

    /// Plays one story from an empty database; at its end everything is deleted.
    pub async fn tell(&self, story: &[Act]) -> Result<Outcome, StoreError> {
        Ok(Box::pin(self.simulation(0).await?.tell(story)).await)
    }

    async fn simulation(&self, seed: u64) -> Result<Simulation, StoreError> {
        self.store.clear().await?;
        // A wake-up that nobody took is of the simulation before.
        let _ = self.store.work_signal().notified().now_or_never();
        Ok(Simulation::new(seed, self.store.clone(), self.tap.clone()))
    }
}
