//! Waiting for one's turn to have servers made, where only so many may be in the making at once.

use newtype_uuid::GenericUuid;
use octavia_model::{LoadBalancerGraph, OperationId};
use octavia_plan::{is_its_turn, queued};
use octavia_store::{Lease, OperationStart, StoreError, TURN_WAIT, TurnClaim};

use crate::Parts;
use crate::ledger::quietly;

/// Takes the turn, or says what is waited for; the ledger has an entry as long as that lasts.
pub(crate) async fn turn_take(
    parts: &Parts,
    lease: &Lease,
    graph: &LoadBalancerGraph,
    limit: usize,
) -> Result<Option<String>, StoreError> {
    let (lb, store) = (&graph.load_balancer, &parts.store);
    let claim = TurnClaim {
        project_id: lb.project_id.clone(),
        // What was in force once carried traffic.
        urgent: lb.applied_generation > 0,
        operation_id: OperationId::from_untyped_uuid(parts.random.uuid()),
    };
    let asked = store.turn_ask(lease, &claim, |turns, now| is_its_turn(turns, lb.id, limit, now)).await?;
    let id = asked.turn.operation_id;
    if asked.turn.taken_at.is_some() {
        if asked.just_taken && !asked.is_new {
            quietly(store.operation_finish(lease, &[(id, Ok(()))]).await)?;
        }
        return Ok(None);
    }
    if asked.is_new {
        let kind = TURN_WAIT.to_owned();
        let entry = OperationStart { id, kind, amphora_id: None, generation: lb.generation };
        quietly(store.operation_start(lease, &[entry]).await)?;
    }
    let queue = queued(&store.turn_list().await?, lb.id, parts.clock.now());
    Ok(Some(queue.map_or_else(|| "It waits for its turn.".to_owned(), |queue| queue.cause())))
}

/// Lets others come, if the load balancer's servers are made or are not made for now; those whose turn it is then are woken.
pub(crate) async fn turn_leave(
    parts: &Parts,
    lease: &Lease,
    through: bool,
    limit: usize,
) -> Result<(), StoreError> {
    let left = parts.store.turn_leave(lease, through).await?;
    if left.is_none_or(|turn| turn.taken_at.is_none()) {
        return Ok(());
    }
    let (turns, now) = (parts.store.turn_list().await?, parts.clock.now());
    for turn in turns.iter().filter(|turn| turn.taken_at.is_none()) {
        if is_its_turn(&turns, turn.load_balancer_id, limit, now) {
            parts.store.lb_wake(turn.load_balancer_id).await?;
        }
    }
    Ok(())
}
