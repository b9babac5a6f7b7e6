//! What workers did and are doing.

use octavia_plan::Queue;
use octavia_store::Operation;
use serde::Serialize;

use super::Time;

#[derive(Debug, Serialize)]
pub(crate) struct OperationView {
    id: String,
    kind: String,
    amphora_id: Option<String>,
    generation: u64,
    worker_id: String,
    started_at: Time,
    /// Null = under way, or its worker died.
    finished_at: Option<Time>,
    /// What it failed with.
    error: Option<String>,
    request_ids: Vec<String>,
    /// Among those that wait for their turn, from 1.
    position: Option<usize>,
    waits_for: Option<String>,
}

impl From<&Operation> for OperationView {
    fn from(operation: &Operation) -> Self {
        Self {
            id: operation.id.to_string(),
            kind: operation.kind.clone(),
            amphora_id: operation.amphora_id.map(|id| id.to_string()),
            generation: operation.generation,
            worker_id: operation.worker_id.to_string(),
            started_at: operation.started_at.into(),
            finished_at: operation.finished_at.map(Into::into),
            error: operation.error.clone(),
            request_ids: operation.request_ids.clone(),
            position: None,
            waits_for: None,
        }
    }
}

impl OperationView {
    /// Of one that waits: where it is in the queue, and why.
    pub(crate) fn queued(mut self, queue: &Queue) -> Self {
        self.position = Some(queue.position);
        self.waits_for = Some(queue.cause());
        self
    }
}
