//! What happened, in order: the event log of one simulation, and what was found broken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::stage::Gates;

/// The log of one simulation. Ids are shown by short names in order of appearance, so that two runs compare equal
/// line by line and a reader can follow.
#[derive(Debug, Clone)]
pub struct Journal {
    gates: Gates,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<String>,
    broken: Vec<String>,
    names: BTreeMap<Uuid, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Journal {
    pub fn new(gates: Gates) -> Self {
        Self { gates, inner: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A short name such as `lb1`, the same whenever asked.
    pub fn name(&self, prefix: &'static str, id: Uuid) -> String {
        let mut inner = self.inner();
        if let Some(name) = inner.names.get(&id) {
            return name.clone();
        }
        let count = inner.counts.entry(prefix).or_default();
        *count += 1;
        let name = format!("{prefix}{count}");
        inner.names.insert(id, name.clone());
        name
    }

    pub fn note(&self, line: impl AsRef<str>) {
        let now = self.gates.now();
        let millis = now.as_millisecond() - crate::START_MILLIS;
        let line = format!("{:>5}.{:03} {}", millis / 1000, millis % 1000, line.as_ref());
        self.inner().lines.push(line);
    }

    /// An invariant does not hold; the simulation ends.
    pub fn broken(&self, invariant: impl Into<String>) {
        let invariant = invariant.into();
        self.note(format!("BROKEN {invariant}"));
        self.inner().broken.push(invariant);
    }

    pub fn first_broken(&self) -> Option<String> {
        self.inner().broken.first().cloned()
    }

    pub fn lines(&self) -> Vec<String> {
        self.inner().lines.clone()
    }
}
