//! Rows of amphorae, written by the worker that holds the lease of their load balancer.

use octavia_model::{Amphora, AmphoraId};

use crate::{Lease, Store, StoreError};

impl Store {
    /// Stores a new amphora; `created_at` is set by the store.
    pub async fn amphora_insert(&self, lease: &Lease, amphora: &Amphora) -> Result<(), StoreError> {
        let _ = (lease, amphora);
        Err(self.unbuilt())
    }

    /// Writes everything but what heartbeats write (`last_heartbeat_at`); `applied_generation` is written as given.
    pub async fn amphora_update(&self, lease: &Lease, amphora: &Amphora) -> Result<(), StoreError> {
        let _ = (lease, amphora);
        Err(self.unbuilt())
    }

    /// The amphora is gone: its row becomes `DELETED`, and is purged later.
    pub async fn amphora_delete_mark(&self, lease: &Lease, id: AmphoraId) -> Result<(), StoreError> {
        let _ = (lease, id);
        Err(self.unbuilt())
    }

    /// One amphora; `None` when absent or `DELETED`.
    pub async fn amphora_fetch(&self, id: AmphoraId) -> Result<Option<Amphora>, StoreError> {
        let _ = id;
        Err(self.unbuilt())
    }
}
