//! On whose behalf the store is written: what a request asks of its writes beside what it writes.

use std::sync::Arc;

use octavia_model::REQUEST_IDS_MAX;

use crate::group::WriteTransaction;
use crate::{Receipt, Store, StoreError};

/// What holds for all writes of one request. Meant for what the API writes, not for workers, whose writes follow a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behalf {
    /// Writes are *rehearsed*: every statement is run, so that every key, lock and quota has its say, and then all of
    /// it is taken back. Answers are those of the write; nobody is woken.
    pub rehearses: bool,
    /// The request's ids ([`octavia_model::is_request_id`]): noted with the work that the write makes.
    pub request_ids: Arc<[String]>,
    /// Stored with what the request makes.
    pub receipt: Option<Arc<Receipt>>,
}

impl Store {
    /// The same store for the writes of one request.
    #[must_use]
    pub fn on_behalf(&self, behalf: Behalf) -> Self {
        let mut store = self.clone();
        store.behalf = behalf;
        store
    }

    /// Ids of the requests that a load balancer has work for, with this one's.
    pub(crate) fn request_ids(&self, before: Option<&str>) -> Option<String> {
        let new = &self.behalf.request_ids;
        if new.is_empty() {
            return before.map(str::to_owned);
        }
        let mut ids: Vec<&str> = before.unwrap_or_default().split_whitespace().collect();
        // A caller's id may come with each of its requests.
        ids.retain(|id| !new.iter().any(|new| new == id));
        ids.extend(new.iter().map(String::as_str));
        let newest = ids.len().saturating_sub(REQUEST_IDS_MAX);
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
