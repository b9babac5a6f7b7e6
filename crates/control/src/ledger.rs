//! Writes down for people what is done and how it ends. Nothing decides by it, so its troubles stop nothing.
//!
//! What takes long is noted when it begins, so that one can see what is waited for; the rest, which is nearly all,
//! is noted together when the lease is given back: a write costs more than most steps.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::join;
use newtype_uuid::GenericUuid;
use octavia_model::OperationId;
use octavia_plan::Step;
use octavia_store::{Lease, OperationRecord, OperationStart, StoreError};

use crate::Parts;
use crate::executor::StepError;

/// Steps that take longer are noted while they run.
const LONG: Duration = Duration::from_millis(500);

type Results = Vec<Result<(), StepError>>;

/// The entries of one lease.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    parts: &'a Parts,
    lease: &'a Lease,
    records: Vec<OperationRecord>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(parts: &'a Parts, lease: &'a Lease) -> Self {
        Self { parts, lease, records: vec![] }
    }

    /// Runs a batch and notes its steps.
    pub(crate) async fn note(
        &mut self,
        generation: u64,
        steps: &[Step],
        batch: impl Future<Output = Results>,
    ) -> Result<Results, StoreError> {
        if steps.contains(&Step::LoadBalancerDelete) {
            // Nothing can be written under this lease afterwards.
            self.flush().await?;
            return Ok(batch.await);
        }
        let entry = |step: &Step| OperationStart {
            id: OperationId::from_untyped_uuid(self.parts.random.uuid()),
            kind: step.name().to_owned(),
            amphora_id: step.amphora(),
            generation,
        };
        let entries: Vec<OperationStart> = steps.iter().map(entry).collect();
        let started_at = self.parts.clock.now();
        match select(pin!(batch), self.parts.clock.sleep(LONG)).await {
            Either::Left((results, _)) => {
                let finished_at = self.parts.clock.now();
                let record = |(step, result): (OperationStart, &Result<(), StepError>)| OperationRecord {
                    step,
                    started_at,
                    finished_at,
                    outcome: outcome(result),
                };
                // Of who waits for its turn there is one entry as long as it does.
                let noted = entries.into_iter().zip(&results).filter(|(_, result)| !is_wait(result));
                self.records.extend(noted.map(record));
                Ok(results)
            }
            Either::Right(((), batch)) => {
                // Side by side: the batch may hold what the database needs to go on.
                let (results, noted) = join!(batch, self.note_start(&entries));
                noted?;
                let ids = entries.iter().map(|entry| entry.id);
                let outcomes: Vec<_> = ids.zip(results.iter().map(outcome)).collect();
                quietly(self.parts.store.operation_finish(self.lease, &outcomes).await)?;
                Ok(results)
            }
        }
    }

    async fn note_start(&mut self, entries: &[OperationStart]) -> Result<(), StoreError> {
        self.flush().await?;
        quietly(self.parts.store.operation_start(self.lease, entries).await)
    }

    /// Writes what was noted and is not written yet.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        let records = std::mem::take(&mut self.records);
        quietly(self.parts.store.operation_record(self.lease, &records).await)
    }
}

fn is_wait(result: &Result<(), StepError>) -> bool {
    matches!(result, Err(StepError::Waits(_)))
}

fn outcome(result: &Result<(), StepError>) -> Result<(), String> {
    result.as_ref().copied().map_err(ToString::to_string)
}

/// A lost lease is the one trouble that counts: whoever holds it now writes the ledger.
pub(crate) fn quietly(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::LeaseLost) => Err(StoreError::LeaseLost),
        Err(error) => {
            tracing::debug!(%error, "the ledger has a gap");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
