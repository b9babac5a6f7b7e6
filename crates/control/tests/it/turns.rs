//! No more servers in the making at once than allowed: failovers first, projects in turn, nobody stuck.

use jiff::SignedDuration;
use octavia_control::Reconciled;
use octavia_model::{AmphoraId, LoadBalancerId, ProjectId, ProvisioningStatus as P};
use octavia_store::{OperationPage, TURN_WAIT, Which};

use crate::rig::Rig;

/// Servers of one load balancer at a time, and none of them up before it is said.
async fn rig() -> Rig {
    let mut rig = Rig::new().await;
    rig.options.builds = Some(1);
    rig.options.boot_patience = SignedDuration::ZERO;
    rig.cloud.facts().boot_polls = u32::MAX;
    rig
}

async fn lb(rig: &Rig, project: &str) -> LoadBalancerId {
    rig.lb_create_as(|graph| graph.load_balancer.project_id = ProjectId::new(project)).await
}

async fn waits(rig: &Rig, lb: LoadBalancerId) -> String {
    match rig.reconcile(lb).await {
        Reconciled::Waits(cause) => cause,
        other => panic!("it does not wait: {other:?}"),
    }
}

async fn builds(rig: &Rig, lb: LoadBalancerId) {
    match rig.reconcile(lb).await {
        Reconciled::Later(text) => assert!(text.contains("is still starting"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// The servers that there are come up, and the load balancer with them.
async fn done(rig: &Rig, lb: LoadBalancerId) {
    for server in rig.cloud.facts().servers.values_mut() {
        server.polls_left = 0;
    }
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);
}

async fn amphora(rig: &Rig, lb: LoadBalancerId) -> AmphoraId {
    rig.cloud
        .facts()
        .servers
        .iter()
        .find(|(_, server)| server.load_balancer == Some(lb))
        .map(|(id, _)| *id)
        .unwrap()
}

#[tokio::test]
async fn one_after_the_other_and_people_can_see_why() {
    let rig = rig().await;
    let (first, second) = (lb(&rig, "a").await, lb(&rig, "b").await);
    builds(&rig, first).await;
    let cause = waits(&rig, second).await;
    assert!(cause.contains("number 1 of 1 that wait"), "{cause}");
    // Asking again is no failure, and no news.
    waits(&rig, second).await;
    assert_eq!(rig.cloud.facts().servers.len(), 1);
    let entries = async || rig.store.operation_list(second, OperationPage::First, 10).await.unwrap();
    let wait = entries().await.into_iter().filter(|entry| entry.kind == TURN_WAIT).collect::<Vec<_>>();
    assert!(wait.len() == 1 && wait[0].finished_at.is_none(), "{wait:?}");
    assert!(entries().await.iter().all(|entry| entry.kind != "server_ensure"));

    done(&rig, first).await;
    assert!(rig.store.work_due(10).await.unwrap().contains(&second), "it is woken");
    builds(&rig, second).await;
    let wait = entries().await.into_iter().find(|entry| entry.kind == TURN_WAIT).unwrap();
    assert!(wait.finished_at.is_some() && wait.error.is_none(), "{wait:?}");
    done(&rig, second).await;
    assert_eq!(rig.store.turn_list().await.unwrap(), []);
}

#[tokio::test]
async fn a_failover_comes_before_a_creation() {
    let rig = rig().await;
    let old = lb(&rig, "a").await;
    builds(&rig, old).await;
    done(&rig, old).await;
    let (under_way, new) = (lb(&rig, "b").await, lb(&rig, "c").await);
    builds(&rig, under_way).await;
    waits(&rig, new).await;
    let before = amphora(&rig, old).await;
    rig.store.lb_failover(old, &[P::Active], Which::All).await.unwrap();
    let cause = waits(&rig, old).await;
    assert!(cause.contains("number 1 of 2"), "{cause}");
    done(&rig, under_way).await;
    waits(&rig, new).await;
    builds(&rig, old).await;
    done(&rig, old).await;
    assert!(!rig.cloud.facts().servers.contains_key(&before));
    builds(&rig, new).await;
}

/// Whatever becomes of who is at it, the next one comes.
#[tokio::test]
async fn who_cannot_build_keeps_nobody_waiting() {
    let rig = rig().await;
    let (first, second) = (lb(&rig, "a").await, lb(&rig, "b").await);
    rig.cloud.facts().compute_refuses = true;
    assert!(matches!(rig.reconcile(first).await, Reconciled::Later(_)));
    rig.cloud.facts().compute_refuses = false;
    builds(&rig, second).await;
    // Deleted while it waits, and while it builds.
    waits(&rig, first).await;
    for lb in [first, second] {
        rig.lb_delete(lb).await;
        assert_eq!(rig.reconcile(lb).await, Reconciled::Deleted);
    }
    assert_eq!(rig.store.turn_list().await.unwrap(), []);
}
