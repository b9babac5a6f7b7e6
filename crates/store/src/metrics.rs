//! What the store counts of its operations, by their names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::StoreError;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct StoreMetrics {
    operations: Family<Labels<1>, Counter>,
    retries: Family<Labels<1>, Counter>,
    errors: Family<Labels<2>, Counter>,
}

impl StoreMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_operations",
            "Operations on the database, with all their tries, by name",
            self.operations.clone(),
        );
        registry.register(
            "store_retries",
            "Tries after the database refused because of concurrent writers, by operation",
            self.retries.clone(),
        );
        registry.register(
            "store_errors",
            "Operations that failed because of the database, by operation and kind of error",
            self.errors.clone(),
        );
    }

    pub(crate) fn begun(&self, operation: &'static str) {
        self.operations.get_or_create(&[("operation", operation)]).inc();
    }

    pub(crate) fn tried_again(&self, operation: &'static str) {
        self.retries.get_or_create(&[("operation", operation)]).inc();
    }

    /// Refusals for a reason, such as a quota, are no errors of the database.
    pub(crate) fn failed(&self, operation: &'static str, error: Option<&StoreError>) {
        let kind = match error {
            Some(StoreError::Conflict(_)) => "conflict",
            Some(StoreError::Database(_)) => "database",
            Some(StoreError::Corrupt { .. }) => "corrupt",
            Some(
                StoreError::LeaseLost
                | StoreError::Duplicate(_)
                | StoreError::QuotaMet(_)
                | StoreError::Missing(_)
                | StoreError::Url(_),
            )
            | None => return,
        };
        self.errors.get_or_create(&[("operation", operation), ("kind", kind)]).inc();
    }
}
