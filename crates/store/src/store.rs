//! The handle, its connections and its clock.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{StoreError, StoreOptions};

/// Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    signal: Arc<Notify>,
}

impl Store {
    /// Connects, without touching the schema. URLs: `sqlite::memory:` (private to this store and its clones),
    /// `sqlite:///path/file.db?mode=rwc`, `postgres://user:password@host/database`,
    /// `mysql://user:password@host/database`.
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let _ = (url, options);
        Err(Self { signal: Arc::default() }.unbuilt())
    }

    /// Brings the schema to this version's, from nothing or from any earlier one.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Err(self.unbuilt())
    }

    /// Removes every row. For tests that reuse a database.
    pub async fn clear(&self) -> Result<(), StoreError> {
        Err(self.unbuilt())
    }

    /// The database's clock, or [`StoreOptions::clock`], in whole microseconds.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        Err(self.unbuilt())
    }

    /// Notified when something in this process made work due. A hint: other processes' writes are found by
    /// [`Store::work_next_due`] and [`Store::work_due`].
    pub fn work_signal(&self) -> Arc<Notify> {
        self.signal.clone()
    }

    pub(crate) fn unbuilt(&self) -> StoreError {
        StoreError::Conflict("this operation is not built yet".to_owned())
    }
}
