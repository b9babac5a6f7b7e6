//! On whose behalf the store is written: what a request asks of its writes beside what it writes.

use std::sync::Arc;

use crate::group::WriteTransaction;
use crate::{Receipt, Store, StoreError};

/// What holds for all writes of one request. Meant for what the API writes, not for workers, whose writes follow a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behalf {
    /// Writes are *rehearsed*: every statement is run, so that every key, lock and quota has its say, and then all of
    /// it is taken back. Answers are those of the write; nobody is woken.
    pub rehearses: bool,
    /// The request's id, at most 40 characters, without blanks: noted with the work that the write makes.
    pub request_id: Option<Arc<str>>,
    /// Stored with what the request makes.
    pub receipt: Option<Arc<Receipt>>,
}

/// Ids of requests kept with one load balancer: the newest.
const REQUESTS_MAX: usize = 5;

impl Store {
    /// The same store for the writes of one request.
    #[must_use]
    pub fn on_behalf(&self, behalf: Behalf) -> Self {
        let mut store = self.clone();
        store.behalf = behalf;
        store
    }

    /// The requests that a load balancer has work for, with this one.
    pub(crate) fn request_ids(&self, before: Option<&str>) -> Option<String> {
        let Some(new) = &self.behalf.request_id else { return before.map(str::to_owned) };
        let mut ids: Vec<&str> = before.unwrap_or_default().split_whitespace().collect();
        ids.push(new);
        let newest = ids.len().saturating_sub(REQUESTS_MAX);
        Some(ids.split_off(newest).join(" "))
    }

    /// [`Behalf::rehearses`].
    pub const fn rehearses(&self) -> bool {
        self.behalf.rehearses
    }

    /// Ends a transaction of a request.
    pub(crate) async fn conclude(&self, tx: WriteTransaction) -> Result<(), StoreError> {
        if self.behalf.rehearses {
            return Ok(tx.rollback().await?);
        }
        if let Some(receipt) = &self.behalf.receipt {
            self.receipt_write(&tx, receipt).await?;
        }
        Ok(tx.commit().await?)
    }
}
