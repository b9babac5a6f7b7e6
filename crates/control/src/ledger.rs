//! Writes down for people what is done and how it ends. Nothing decides by it, so its troubles stop nothing.

use newtype_uuid::GenericUuid;
use octavia_model::OperationId;
use octavia_plan::Step;
use octavia_store::{Lease, OperationStart, StoreError};

use crate::Parts;
use crate::executor::StepError;

/// Notes the steps of a batch before they run; the ids are for [`finish`].
pub(crate) async fn start(
    parts: &Parts,
    lease: &Lease,
    generation: u64,
    steps: &[Step],
) -> Result<Vec<OperationId>, StoreError> {
    let entry = |step: &Step| OperationStart {
        id: OperationId::from_untyped_uuid(parts.random.uuid()),
        kind: step.name().to_owned(),
        amphora_id: step.amphora(),
        generation,
    };
    let entries: Vec<OperationStart> = steps.iter().map(entry).collect();
    quietly(parts.store.operation_start(lease, &entries).await)?;
    Ok(entries.into_iter().map(|entry| entry.id).collect())
}

/// Notes how they ended.
pub(crate) async fn finish(
    parts: &Parts,
    lease: &Lease,
    ids: &[OperationId],
    results: &[Result<(), StepError>],
) -> Result<(), StoreError> {
    let outcome = |result: &Result<(), StepError>| result.as_ref().copied().map_err(ToString::to_string);
    let outcomes: Vec<_> = ids.iter().copied().zip(results.iter().map(outcome)).collect();
    quietly(parts.store.operation_finish(lease, &outcomes).await)
}

/// A lost lease is the one trouble that counts: whoever holds it now writes the ledger.
fn quietly(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::LeaseLost) => Err(StoreError::LeaseLost),
        Err(error) => {
            tracing::debug!(%error, "the ledger has a gap");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
