//! The store's calls, behind gates.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use newtype_uuid::GenericUuid;
use octavia_store::{Call, Clock, Interceptor, StoreError};

use crate::journal::Journal;
use crate::stage::{Gate, Gates, Verdict};

/// Stops every call before it starts and, if it changes something, after its commit. One tap serves one database for
/// many simulations, one after the other: each brings its gates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tap {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    connected: Option<(Gates, Journal)>,
    /// The director itself asks, while everybody waits.
    inspecting: bool,
    changed: Option<Call>,
}

impl Tap {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self, gates: Gates, journal: Journal) {
        *self.inner() = Inner { connected: Some((gates, journal)), ..Inner::default() };
    }

    /// From now on calls pass freely.
    pub(crate) fn disconnect(&self) {
        *self.inner() = Inner::default();
    }

    /// Asks for the director, without gates.
    pub(crate) async fn inspect<T>(&self, question: impl Future<Output = T>) -> T {
        self.inner().inspecting = true;
        let answer = question.await;
        self.inner().inspecting = false;
        answer
    }

    /// The call that changed rows since this was last asked.
    pub(crate) fn take_changed(&self) -> Option<Call> {
        self.inner().changed.take()
    }

    fn connected(&self, call: &Call) -> Option<(Gates, String)> {
        let (gates, journal) = {
            let inner = self.inner();
            inner.connected.clone().filter(|_| !inner.inspecting)?
        };
        let lb = call.load_balancer.map(|id| format!(" {}", journal.name("lb", id.into_untyped_uuid())));
        Some((gates, format!("{}{}", call.name, lb.unwrap_or_default())))
    }
}

/// Calls that change nothing: their answers need no gate, since their callers stop at the next one.
fn only_reads(name: &str) -> bool {
    const READS: [&str; 12] = [
        "now",
        "work_due",
        "work_next_due",
        "desired_load",
        "lb_fetch",
        "health_context",
        "amphora_fetch",
        "amphorae_silent",
        "lb_existing",
        "amphora_existing",
        "outbox_take",
        "operation_list",
    ];
    READS.contains(&name) || name.ends_with("_list") || name.ends_with("_parent") || name.ends_with("_stats")
}

#[async_trait]
impl Interceptor for Tap {
    async fn before(&self, call: &Call) -> Result<(), StoreError> {
        let Some((gates, what)) = self.connected(call) else { return Ok(()) };
        match gates.pass(Gate::Before, what).await {
            Verdict::Go => {
                gates.call_started();
                Ok(())
            }
            Verdict::Fault => Err(StoreError::Conflict("simulated".to_owned())),
        }
    }

    fn attempted(&self, call: &Call) {
        if let Some((gates, _)) = self.connected(call) {
            gates.call_finished();
        }
    }

    async fn after(&self, call: &Call) -> Result<(), StoreError> {
        let Some((gates, what)) = self.connected(call) else { return Ok(()) };
        if only_reads(call.name) {
            return Ok(());
        }
        self.inner().changed = Some(*call);
        match gates.pass(Gate::After, what).await {
            Verdict::Go => Ok(()),
            Verdict::Fault => {
                Err(StoreError::Conflict("simulated: the answer to a commit was lost".to_owned()))
            }
        }
    }
}

/// The simulation's clock as the store's.
#[derive(Debug, Clone)]
pub(crate) struct StoreClock(pub(crate) Tap);

impl Clock for StoreClock {
    fn now(&self) -> jiff::Timestamp {
        let inner = self.0.inner();
        inner.connected.as_ref().map_or_else(crate::start, |(gates, _)| gates.wall())
    }
}

/// What control logs, as lines of the journal.
#[derive(Debug, Clone)]
pub(crate) struct LogLines(pub(crate) Tap);

impl std::io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let connected = self.0.inner().connected.clone();
        if let Some((_, journal)) = connected {
            journal.note(format!("  log: {}", String::from_utf8_lossy(bytes).trim_end()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
