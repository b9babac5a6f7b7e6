//! What happened, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use octavia_testkit::LoadReport;

/// Violations beyond these are only counted.
const SHOWN: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    counts: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Ledger {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, what: impl Into<String>) {
        self.add(what, 1);
    }

    pub(super) fn add(&self, what: impl Into<String>, count: u64) {
        *self.content().counts.entry(what.into()).or_default() += count;
    }

    pub(super) fn violation(&self, what: String) {
        self.count("violations");
        let mut content = self.content();
        if content.violations.len() < SHOWN {
            content.violations.push(what);
        }
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.content().violations.clone()
    }

    pub(super) fn requests(&self, report: &LoadReport) {
        self.add("requests through steady load balancers", report.ok + report.failed());
        self.add("requests through steady load balancers that failed", report.failed());
    }

    pub(super) fn summary(&self) -> String {
        let content = self.content();
        let width = content.counts.keys().map(String::len).max().unwrap_or(0);
        let lines = content.counts.iter().map(|(what, count)| format!("  {what:<width$}  {count:>8}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}
