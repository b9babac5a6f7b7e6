//! From rows to servers and back, also when things go wrong.

use std::time::Duration;

use octavia_cloud::ServerState;
use octavia_control::{Controller, ControllerOptions, Reconciled};
use octavia_model::{AmphoraStatus, ProvisioningStatus as P, ReasonCode};
use octavia_store::OperationPage;
use octavia_wire::{BootConfig, ListenerFault};

use crate::rig::{KEY, Rig};

/// Waits for a state.
pub(crate) async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    for _ in 0..1_500 {
        if there().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn creates() {
    let rig = Rig::new().await;
    rig.cloud.facts().boot_polls = 2;
    let lb = rig.active().await;

    let graph = rig.graph(lb).await;
    assert_eq!(graph.listeners[0].statuses.provisioning, P::Active);
    assert_eq!(graph.load_balancer.applied_generation, 1);
    let (amphora, server) = rig.cloud.facts().servers.iter().map(|(id, s)| (*id, s.clone())).next().unwrap();
    let spec = server.spec.unwrap();
    assert_eq!((spec.generation, spec.amphora_id, spec.listeners.len()), (1, amphora, 1));
    let row = rig.store.amphora_fetch(amphora).await.unwrap().unwrap();
    assert_eq!((row.status, row.applied_generation), (AmphoraStatus::Allocated, 1));
    assert!(row.cert_expiration.is_some() && row.compute_id.is_some() && row.lb_network_ip.is_some());

    let boot: BootConfig = serde_json::from_slice(&server.files[BootConfig::FILE]).unwrap();
    assert_eq!((boot.amphora_id, boot.heartbeat_key.as_str()), (amphora, KEY));
    for (file, mark) in [(boot.server_cert, "PRIVATE KEY"), (boot.client_ca, "CERTIFICATE")] {
        let content = &server.files[file.to_str().unwrap()];
        assert!(String::from_utf8_lossy(content).contains(mark), "{file:?}");
    }
    let ledger = rig.store.operation_list(lb, OperationPage::First, 100).await.unwrap();
    let mut steps: Vec<&str> = ledger.iter().map(|entry| entry.kind.as_str()).collect();
    steps.reverse();
    assert_eq!(steps, ["amphora_create", "server_ensure", "spec_push", "settle"]);
    assert!(ledger.iter().all(|entry| entry.finished_at.is_some() && entry.error.is_none()));
}

#[tokio::test]
async fn agents_are_told_for_which_requests() {
    let rig = Rig::new().await;
    let ids = ["req-1", "req-2"].map(str::to_owned);
    let lb = rig.lb_create_for(&ids).await;
    rig.cloud.facts().agents_refuse = true;
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    rig.cloud.facts().agents_refuse = false;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    rig.lb_rename(lb).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    // As long as there is work for them, and no longer.
    assert_eq!(rig.cloud.facts().pushed_for, ["req-1 req-2", "req-1 req-2", ""]);
}

#[tokio::test]
async fn nothing_to_do_does_nothing() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    // not due
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::NotOurs);
    rig.cloud.facts().calls.clear();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.cloud.facts().calls, ["server_find", "info"]);
}

#[tokio::test]
async fn updates_and_deletes() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    rig.lb_rename(lb).await;
    rig.lb_rename(lb).await;
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Done);
    assert_eq!(rig.cloud.facts().servers.values().next().unwrap().spec.as_ref().unwrap().generation, 3);
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);

    rig.lb_delete(lb).await;
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Deleted);
    assert!(rig.store.lb_fetch(lb).await.unwrap().is_none());
    assert!(rig.cloud.facts().servers.is_empty() && rig.cloud.facts().vips.is_empty());
}

#[tokio::test]
async fn a_clouds_trouble_is_waited_for() {
    let rig = Rig::new().await;
    rig.cloud.facts().compute_down = true;
    let lb = rig.lb_create().await;
    for attempts in 1..4 {
        assert!(
            matches!(rig.reconcile(lb).await, Reconciled::Later(error) if error.contains("away")),
            "{attempts}"
        );
        assert_eq!(rig.statuses(lb).await.provisioning, P::PendingCreate);
    }
    // not before its time
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::NotOurs);
    rig.clock.forward(5);
    rig.cloud.facts().compute_down = false;
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Done);
    assert_eq!(rig.cloud.facts().servers.len(), 1);
}

#[tokio::test]
async fn pending_for_too_long_is_an_error_with_its_cause_and_goes_on() {
    let rig = Rig::new().await;
    rig.cloud.facts().compute_down = true;
    let lb = rig.lb_create().await;
    rig.reconcile(lb).await;
    rig.clock.forward(26 * 60);
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    let statuses = rig.statuses(lb).await;
    let reason = statuses.reason.unwrap();
    assert_eq!((statuses.provisioning, reason.code), (P::Error, ReasonCode::PendingTooLong));
    assert!(reason.text.contains("the compute service is away"), "{reason}");
    rig.cloud.facts().compute_down = false;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let statuses = rig.statuses(lb).await;
    assert_eq!((statuses.provisioning, statuses.reason), (P::Active, None));
}

#[tokio::test]
async fn a_refusal_is_an_error_at_once_and_not_for_ever() {
    let rig = Rig::new().await;
    rig.cloud.facts().compute_refuses = true;
    let lb = rig.lb_create().await;
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    let statuses = rig.statuses(lb).await;
    assert_eq!((statuses.provisioning, statuses.reason.unwrap().code), (P::Error, ReasonCode::CloudRefused));
    rig.cloud.facts().compute_refuses = false;
    rig.cloud.facts().agents_refuse = true;
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    assert_eq!(rig.statuses(lb).await.reason.unwrap().code, ReasonCode::ConfigurationRefused);
    rig.cloud.facts().agents_refuse = false;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_spares_the_rest() {
    let rig = Rig::new().await;
    let lb = rig.lb_create().await;
    let graph = rig.graph(lb).await;
    rig.cloud.facts().faults.push(ListenerFault {
        listener: graph.listeners[0].id,
        address: graph.load_balancer.vip.address,
        code: ReasonCode::PortNotPermitted,
        text: "Port 80 needs a privilege.".to_owned(),
        advice: "Use a port from 1024 up.".to_owned(),
    });
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let graph = rig.graph(lb).await;
    assert_eq!(graph.load_balancer.statuses.provisioning, P::Active);
    let listener = &graph.listeners[0].statuses;
    assert_eq!(listener.provisioning, P::Error);
    assert_eq!(listener.reason.as_ref().unwrap().code, ReasonCode::PortNotPermitted);
    // tried again under every lease, until it works
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.cloud.facts().calls_of("spec_push"), 2);
    rig.cloud.facts().faults.clear();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.graph(lb).await.listeners[0].statuses.provisioning, P::Active);
}

#[tokio::test]
async fn a_stopped_server_is_started_and_brought_up_to_date() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    for server in rig.cloud.facts().servers.values_mut() {
        server.state = ServerState::Stopped;
        server.spec = None;
    }
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let facts = rig.cloud.facts();
    let server = facts.servers.values().next().unwrap();
    assert_eq!((facts.servers.len(), server.starts), (1, 2));
    assert_eq!(server.spec.as_ref().unwrap().generation, 1);
}

#[tokio::test]
async fn a_failed_server_is_replaced() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let before = rig.cloud.facts().servers.keys().copied().next().unwrap();
    rig.cloud.facts().agents_down = true;
    rig.cloud.facts().servers.values_mut().for_each(|server| server.state = ServerState::Error);
    // the new one's agent does not answer yet
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    rig.cloud.facts().agents_down = false;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let facts = rig.cloud.facts();
    assert_eq!(facts.servers.len(), 1);
    assert!(!facts.servers.contains_key(&before));
}

#[tokio::test]
async fn an_amphora_that_neither_beats_nor_answers_is_replaced_once_silence_is_trusted() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let worker = rig.worker();
    rig.cloud.facts().agents_down = true;
    rig.clock.forward(30);
    rig.store.lb_wake(lb).await.unwrap();
    assert!(matches!(worker.reconcile_one(lb).await.unwrap(), Reconciled::Later(_)));
    assert_eq!(rig.cloud.facts().calls_of("server_delete"), 0);
    rig.clock.forward(60);
    // a worker that has just started does not trust the silence
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    assert_eq!(rig.cloud.facts().calls_of("server_delete"), 0);
    rig.store.lb_wake(lb).await.unwrap();
    assert!(matches!(worker.reconcile_one(lb).await.unwrap(), Reconciled::Later(_)));
    // it had failed before, so the replacement waits for the next attempt
    rig.cloud.facts().agents_down = false;
    rig.store.lb_wake(lb).await.unwrap();
    assert_eq!(worker.reconcile_one(lb).await.unwrap(), Reconciled::Done);
    assert_eq!(rig.cloud.facts().calls_of("server_delete"), 1);
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);
}

#[tokio::test]
async fn a_dead_workers_load_balancer_is_taken_over() {
    let mut rig = Rig::new().await;
    rig.options.lease_ttl = Duration::from_secs(1);
    let lb = rig.lb_create().await;
    rig.cloud.facts().pushes_hang = true;
    let dead = rig.worker();
    let due = rig.store.work_next_due().await.unwrap();
    let task = tokio::spawn(async move { dead.reconcile_one(lb).await });
    until("it is leased", async || rig.store.work_next_due().await.unwrap() > due).await;
    let first = rig.store.work_next_due().await.unwrap().unwrap();
    until("the push hangs", async || rig.cloud.facts().calls_of("info") > 0).await;
    // it lives longer than its first lease, for it renews it
    until("its first lease is over", async || rig.store.now().await.unwrap() > first).await;
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::NotOurs);
    task.abort();
    rig.cloud.facts().pushes_hang = false;
    until("another worker gets the lease", async || {
        rig.worker().reconcile_one(lb).await.unwrap() == Reconciled::Done
    })
    .await;
    assert_eq!(rig.cloud.facts().servers.len(), 1);
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);
}

#[tokio::test]
async fn work_is_dropped_when_the_lease_is_lost() {
    let mut rig = Rig::new().await;
    rig.options.lease_ttl = Duration::from_secs(3);
    let lb = rig.lb_create().await;
    rig.cloud.facts().pushes_hang = true;
    let slow = rig.worker();
    let task = tokio::spawn(async move { slow.reconcile_one(lb).await });
    until("the push hangs", async || rig.cloud.facts().calls_of("info") > 0).await;
    // to the database, much time has gone by: the lease is another's before it can be renewed
    rig.clock.forward(4);
    rig.cloud.facts().pushes_hang = false;
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Done);
    assert_eq!(task.await.unwrap().unwrap(), Reconciled::LeaseLost);
}

#[tokio::test]
async fn the_loop_takes_what_is_due_and_ends_cleanly() {
    let rig = Rig::new().await;
    let options = ControllerOptions { worker: Some(rig.options.clone()), ..ControllerOptions::default() };
    let controller = Controller::start(rig.parts.clone(), options);
    let mut lbs = vec![];
    for _ in 0..20 {
        lbs.push(rig.lb_create().await);
    }
    for lb in &lbs {
        until("active", async || rig.statuses(*lb).await.provisioning == P::Active).await;
    }
    rig.lb_delete(lbs[0]).await;
    until("gone", async || rig.store.lb_fetch(lbs[0]).await.unwrap().is_none()).await;
    // a server that starts slowly is left to the next controller
    rig.cloud.facts().boot_polls = u32::MAX;
    let slow = rig.lb_create().await;
    until("starting", async || rig.cloud.facts().servers.values().any(|s| s.load_balancer == Some(slow)))
        .await;
    assert!(controller.stop(Duration::from_secs(5)).await);
    assert_eq!(rig.cloud.facts().servers.len(), 20);
    rig.cloud.facts().servers.values_mut().for_each(|server| server.polls_left = 0);
    assert_eq!(
        rig.worker().reconcile_one(slow).await.unwrap(),
        Reconciled::Done,
        "the lease was given back, due at once"
    );
}

/// What hangs holds up neither the end of its process nor its load balancer.
#[tokio::test]
async fn a_stop_has_an_end() {
    let rig = Rig::new().await;
    let options = ControllerOptions { worker: Some(rig.options.clone()), ..ControllerOptions::default() };
    let controller = Controller::start(rig.parts.clone(), options);
    rig.cloud.facts().pushes_hang = true;
    let lb = rig.lb_create().await;
    until("the push hangs", async || rig.cloud.facts().calls_of("hanging_push") > 0).await;
    assert!(controller.worker().is_some());
    assert!(!controller.stop(Duration::from_millis(50)).await);
    rig.cloud.facts().pushes_hang = false;
    assert_eq!(rig.worker().reconcile_one(lb).await.unwrap(), Reconciled::Done, "the lease was given back");
}

#[tokio::test]
async fn what_happened_while_no_worker_ran_is_seen_at_the_start() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    rig.cloud.facts().servers.values_mut().for_each(|server| server.state = ServerState::Stopped);
    let options = ControllerOptions { worker: Some(rig.options.clone()), ..ControllerOptions::default() };
    let controller = Controller::start(rig.parts.clone(), options);
    until("running", async || {
        rig.cloud.facts().servers.values().all(|server| server.state != ServerState::Stopped)
    })
    .await;
    assert!(controller.stop(Duration::from_secs(5)).await);
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);
}
