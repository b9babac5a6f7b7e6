//! What operators ask of amphorae, done by workers.

use octavia_control::Reconciled;
use octavia_model::{Amphora, AmphoraId, AmphoraStatus, LoadBalancerId, ProvisioningStatus as P, ReasonCode};
use octavia_store::{OperationPage, Which};

use crate::rig::Rig;

const STATUSES: &[P] = &[P::Active, P::Error];

fn only_server(rig: &Rig) -> AmphoraId {
    let facts = rig.cloud.facts();
    assert_eq!(facts.servers.len(), 1);
    *facts.servers.keys().next().unwrap()
}

async fn ask(rig: &Rig, lb: LoadBalancerId) -> AmphoraId {
    let old = only_server(rig);
    rig.store.lb_failover(lb, STATUSES, Which::All).await.unwrap();
    assert_eq!(rig.statuses(lb).await.provisioning, P::PendingUpdate);
    old
}

/// In force on another amphora than before, and nothing is left of that.
async fn is_replaced(rig: &Rig, lb: LoadBalancerId, old: AmphoraId) {
    let new = only_server(rig);
    assert_ne!(new, old);
    assert_eq!(rig.store.amphora_fetch(old).await.unwrap(), None);
    let row = rig.store.amphora_fetch(new).await.unwrap().unwrap();
    assert_eq!((row.status, row.to_replace), (AmphoraStatus::Allocated, false));
    let graph = rig.graph(lb).await;
    assert_eq!(graph.load_balancer.statuses.provisioning, P::Active);
    assert_eq!(graph.load_balancer.statuses.reason, None);
    assert_eq!(row.applied_generation, graph.load_balancer.generation);
}

#[tokio::test]
async fn an_amphora_is_replaced_when_another_has_booted() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let old = ask(&rig, lb).await;
    rig.cloud.facts().boot_polls = 3;
    rig.cloud.facts().calls.clear();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done, "a wish is no failure");
    is_replaced(&rig, lb, old).await;
    let calls = rig.cloud.facts().calls.clone();
    let made = calls.iter().position(|call| call == "server_ensure").unwrap();
    let ended = calls.iter().position(|call| call == "server_delete").unwrap();
    let polls = calls[made..ended].iter().filter(|call| *call == "info").count();
    assert!(polls > 3, "the old one carries the traffic until the new one answers: {calls:?}");
    assert_eq!(calls[ended + 1..].iter().filter(|call| *call == "spec_push").count(), 1);
    let ledger = rig.store.operation_list(lb, OperationPage::First, 100).await.unwrap();
    let mut steps: Vec<&str> = ledger.iter().map(|entry| entry.kind.as_str()).collect();
    steps.reverse();
    let first = steps.iter().position(|step| *step == "server_ensure").unwrap();
    let second = steps[first + 1..].iter().position(|step| *step == "server_ensure").unwrap();
    let rest = &steps[first + 1 + second..];
    assert_eq!(rest, ["server_ensure", "amphora_retire", "amphora_delete", "spec_push", "settle"]);
    // And again.
    let old = ask(&rig, lb).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    is_replaced(&rig, lb, old).await;
}

#[tokio::test]
async fn without_room_in_the_cloud_the_old_one_stays_and_the_reason_is_shown() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let old = ask(&rig, lb).await;
    rig.cloud.facts().compute_refuses = true;
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    let statuses = rig.statuses(lb).await;
    assert_eq!((statuses.provisioning, statuses.reason.unwrap().code), (P::Error, ReasonCode::CloudRefused));
    assert_eq!(only_server(&rig), old);
    // Asked for again out of ERROR, while the first wish is still open.
    ask(&rig, lb).await;
    rig.cloud.facts().compute_refuses = false;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    is_replaced(&rig, lb, old).await;
}

#[tokio::test]
async fn a_dead_amphora_is_replaced_on_demand_too() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let old = ask(&rig, lb).await;
    rig.cloud.facts().servers.clear();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    is_replaced(&rig, lb, old).await;
}

#[tokio::test]
async fn a_refresh_pushes_once_more() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let amphora = only_server(&rig);
    let fence = |rig: &Rig| rig.cloud.facts().servers[&amphora].spec.clone().unwrap().fence;
    let (before, graph) = (fence(&rig), rig.graph(lb).await);
    rig.store.amphora_refresh(amphora).await.unwrap();
    rig.cloud.facts().calls.clear();
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Done, "it is due");
    let after = fence(&rig);
    assert!(after > before);
    assert_eq!(rig.graph(lb).await, graph, "no status and no generation moves");
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(fence(&rig), after);
    let pushes = rig.cloud.facts().calls.iter().filter(|call| *call == "spec_push").count();
    assert_eq!(pushes, 1);
}

#[tokio::test]
async fn an_amphora_in_error_is_removed_and_another_made() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let old = only_server(&rig);
    let row = rig.store.amphora_fetch(old).await.unwrap().unwrap();
    rig.store.lb_wake(lb).await.unwrap();
    let worker = octavia_model::WorkerId::new_v4();
    let ttl = std::time::Duration::from_secs(30);
    let lease = rig.store.lease_acquire(lb, worker, ttl).await.unwrap().unwrap();
    let row = Amphora { status: AmphoraStatus::Error, ..row };
    rig.store.amphora_update(&lease, &row).await.unwrap();
    rig.store.amphora_discard(old).await.unwrap();
    let now = rig.parts.clock.now();
    let release = octavia_store::Release { next_attempt_at: now, attempts: 0, last_error: None };
    rig.store.lease_release(&lease, release).await.unwrap();
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Done);
    is_replaced(&rig, lb, old).await;
}
