//! How generations end.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use octavia_model::*;
use octavia_store::{Accept, OperationPage, OperationStart, Settled, Settlement};

use crate::change::{UPDATE, change};
use crate::databases::on_all;
use crate::lease::{acquire, leased};
use crate::sample;

fn provisioning(graph: &LoadBalancerGraph) -> Vec<ProvisioningStatus> {
    let root = [&graph.load_balancer.statuses].into_iter();
    root.chain(graph.listeners.iter().map(|c| &c.statuses))
        .chain(graph.pools.iter().map(|c| &c.statuses))
        .chain(graph.members.iter().map(|c| &c.statuses))
        .chain(graph.health_monitors.iter().map(|c| &c.statuses))
        .chain(graph.l7policies.iter().map(|c| &c.statuses))
        .chain(graph.l7rules.iter().map(|c| &c.statuses))
        .map(|statuses| statuses.provisioning)
        .collect()
}

#[tokio::test]
async fn what_is_on_its_way_arrives() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        assert_eq!(store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap(), Settled::Done);
        let settled = store.lb_fetch(lb).await.unwrap().unwrap();
        assert_eq!(provisioning(&settled), vec![ProvisioningStatus::Active; 8]);
        assert_eq!(settled.load_balancer.applied_generation, 1);
        assert_eq!(settled.health_monitors[0].statuses.operating, OperatingStatus::Online);
        let desired = store.desired_load(&lease).await.unwrap();
        assert_eq!((desired.pending_since, desired.last_error), (None, None));
        // Again: nothing is written.
        store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
        assert_eq!(store.lb_fetch(lb).await.unwrap().unwrap(), settled);
        let events = store.outbox_take(10).await.unwrap();
        let events: Vec<_> = events.iter().map(|e| (e.event.as_str(), e.generation)).collect();
        assert_eq!(events, [("create.start", 1), ("settled", 1)]);

        // The generation moves on: nothing is settled.
        change(&store, lb, |graph| graph.members[0].weight = Some(7)).await;
        let moved = store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
        assert_eq!(moved, Settled::GenerationMoved);
        let moved = store.lb_fail(&lease, 1, sample::reason("old")).await.unwrap();
        assert_eq!(moved, Settled::GenerationMoved);
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert_eq!(graph.load_balancer.statuses.provisioning, ProvisioningStatus::PendingUpdate);
        assert_eq!(graph.load_balancer.applied_generation, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_on_its_way_out_goes() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        change(&store, lb, |graph| {
            graph.health_monitors[0].statuses.provisioning = ProvisioningStatus::PendingDelete;
            graph.members[0].statuses.provisioning = ProvisioningStatus::PendingDelete;
            graph.members[1].statuses.operating = OperatingStatus::Error;
        })
        .await;
        store.lb_settle(&lease, 2, &Settlement::default()).await.unwrap();
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert!(graph.health_monitors.is_empty());
        let members: Vec<_> =
            graph.members.iter().map(|m| (m.address.as_str(), m.statuses.operating)).collect();
        assert_eq!(members, [("127.0.0.2", OperatingStatus::NoMonitor)]);

        change(&store, lb, |graph| graph.pools[0].statuses.provisioning = ProvisioningStatus::PendingDelete)
            .await;
        store.lb_settle(&lease, 3, &Settlement::default()).await.unwrap();
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert!(graph.pools.is_empty() && graph.members.is_empty());
        assert_eq!(graph.listeners[0].default_pool_id, None);

        change(&store, lb, |graph| {
            graph.listeners[0].statuses.provisioning = ProvisioningStatus::PendingDelete
        })
        .await;
        store.lb_settle(&lease, 4, &Settlement::default()).await.unwrap();
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert_eq!(provisioning(&graph), [ProvisioningStatus::Active]);
        assert_eq!(graph.load_balancer.generation, 4);
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_is_in_error_alone() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        let listener = graph.listeners[0].id;
        let fault = |text| Settlement { listener_faults: BTreeMap::from([(listener, sample::reason(text))]) };
        store.lb_settle(&lease, 1, &fault("port 80")).await.unwrap();
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        use ProvisioningStatus::{Active, Error};
        assert_eq!(provisioning(&graph), [Active, Error, Active, Active, Active, Active, Active, Active]);
        assert_eq!(graph.listeners[0].statuses.reason, Some(sample::reason("port 80")));
        // Seen again, otherwise, and gone.
        for (settlement, status, reason) in [
            (fault("port 80"), Error, Some("port 80")),
            (fault("other"), Error, Some("other")),
            (Settlement::default(), Active, None),
        ] {
            store.lb_settle(&lease, 1, &settlement).await.unwrap();
            let listener = &store.lb_fetch(lb).await.unwrap().unwrap().listeners[0];
            assert_eq!(listener.statuses.provisioning, status);
            assert_eq!(listener.statuses.reason, reason.map(sample::reason));
        }
    })
    .await;
}

#[tokio::test]
async fn bad_news_of_the_data_plane_keeps_its_reason() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
        change(&store, lb, |graph| {
            let statuses = &mut graph.load_balancer.statuses;
            statuses.operating = OperatingStatus::Degraded;
            statuses.reason = Some(sample::reason("a member is down"));
        })
        .await;
        assert_eq!(store.lb_settle(&lease, 2, &Settlement::default()).await.unwrap(), Settled::Done);
        let statuses = store.lb_fetch(lb).await.unwrap().unwrap().load_balancer.statuses;
        assert_eq!(statuses.provisioning, ProvisioningStatus::Active);
        assert_eq!(statuses.operating, OperatingStatus::Degraded);
        assert_eq!(statuses.reason, Some(sample::reason("a member is down")));
    })
    .await;
}

#[tokio::test]
async fn failure_is_a_state_to_leave() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        change(&store, lb, |graph| {
            graph.members[0].statuses.provisioning = ProvisioningStatus::PendingDelete
        })
        .await;
        assert_eq!(store.lb_fail(&lease, 2, sample::reason("cloud")).await.unwrap(), Settled::Done);
        let failed = store.lb_fetch(lb).await.unwrap().unwrap();
        use ProvisioningStatus::{Active, Error, PendingDelete};
        assert_eq!(provisioning(&failed), [Error, Error, Error, PendingDelete, Error, Error, Error, Error]);
        assert_eq!(failed.load_balancer.statuses.reason, Some(sample::reason("cloud")));
        let desired = store.desired_load(&lease).await.unwrap();
        assert_eq!(desired.pending_since, Some(graph.load_balancer.created_at));
        store.lb_settle(&lease, 2, &Settlement::default()).await.unwrap();
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert_eq!(provisioning(&graph), vec![Active; 7]);
        assert_eq!(graph.load_balancer.statuses.reason, None);
    })
    .await;
}

#[tokio::test]
async fn pending_does_not_last_for_ever() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        let delete = Accept { root_status_after: Some(ProvisioningStatus::PendingDelete), ..UPDATE };
        store.lb_change(lb, delete, |_| Ok::<_, ()>(())).await.unwrap();
        let since = store.desired_load(&lease).await.unwrap().pending_since.unwrap();
        assert!(store.pending_expire(since).await.unwrap().is_empty());
        let later = since + SignedDuration::from_micros(1);
        assert_eq!(store.pending_expire(later).await.unwrap(), [lb]);
        assert!(store.pending_expire(later).await.unwrap().is_empty());
        let desired = store.desired_load(&lease).await.unwrap();
        let statuses = &desired.graph.load_balancer.statuses;
        assert_eq!(statuses.provisioning, ProvisioningStatus::Error);
        assert_eq!(statuses.reason.as_ref().unwrap().code, ReasonCode::PendingTooLong);
        // Still a deletion.
        assert!(desired.deleting);
        assert_eq!(
            store.lb_settle(&lease, 2, &Settlement::default()).await.unwrap(),
            Settled::GenerationMoved
        );
    })
    .await;
}

/// `pending_since` is the first of the wishes on their way; a new one out of `ERROR`, or to delete, begins anew.
#[tokio::test]
async fn pending_since_the_first_wish() {
    on_all(|store| async move {
        use ProvisioningStatus::{Error, PendingCreate, PendingDelete, PendingUpdate};
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        let since = || async { store.desired_load(&lease).await.unwrap().pending_since.unwrap() };
        let ask = |status| {
            let accept = Accept {
                statuses: &[PendingCreate, PendingUpdate, PendingDelete, Error],
                root_status_after: Some(status),
            };
            let store = store.clone();
            async move { store.lb_change(lb, accept, |_| Ok::<_, ()>(())).await.unwrap() }
        };
        let created = since().await;
        ask(PendingUpdate).await;
        assert_eq!(since().await, created);
        store.lb_fail(&lease, 2, sample::reason("cloud")).await.unwrap();
        assert_eq!(since().await, created);
        ask(PendingUpdate).await;
        let updated = since().await;
        assert!(updated > created);
        ask(PendingDelete).await;
        let deleted = since().await;
        assert!(deleted > updated);
        ask(PendingDelete).await;
        assert_eq!(since().await, deleted);
        store.lb_fail(&lease, 5, sample::reason("cloud")).await.unwrap();
        ask(PendingDelete).await;
        assert!(since().await > deleted);
    })
    .await;
}

/// However busy a load balancer is, what is kept for people does not grow without end.
#[tokio::test]
async fn ledger_and_outbox_are_bounded() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let (_, other) = leased(&store).await;
        for lease in [&lease, &other] {
            for generation in 1..=5 {
                let id = OperationId::new_v4();
                let step = OperationStart { id, kind: "step".to_owned(), amphora_id: None, generation };
                store.operation_start(lease, &[step]).await.unwrap();
            }
        }
        assert_eq!(store.records_trim(5, 2).await.unwrap(), 0);
        assert_eq!(store.records_trim(3, 1).await.unwrap(), 2 + 2 + 1);
        let left = store.operation_list(graph.load_balancer.id, OperationPage::First, 10).await.unwrap();
        assert_eq!(left.iter().map(|step| step.generation).collect::<Vec<_>>(), [5, 4, 3], "the newest stay");
        let told = store.outbox_take(10).await.unwrap();
        assert_eq!(told.iter().map(|entry| entry.load_balancer_id).collect::<Vec<_>>(), [other.lb]);
        assert_eq!(store.records_trim(3, 1).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn deleted_is_gone_and_later_purged() {
    on_all(|store| async move {
        let mut graph = sample::maximal();
        graph.load_balancer.statuses.provisioning = ProvisioningStatus::PendingDelete;
        let graph = sample::create(&store, &graph).await;
        let lb = graph.load_balancer.id;
        let lease = acquire(&store, lb).await;
        let amphora = sample::amphora(lb);
        store.amphora_insert(&lease, &amphora).await.unwrap();
        let other = store.lb_create(&sample::small()).await.unwrap().load_balancer.id;
        let existing = store.lb_existing(&[lb, other, LoadBalancerId::new_v4()]).await.unwrap();
        assert_eq!(existing, [lb, other].into());
        assert_eq!(store.amphora_existing(&[amphora.id]).await.unwrap(), [amphora.id].into());

        store.lb_deleted(&lease).await.unwrap();
        assert_eq!(store.lb_fetch(lb).await.unwrap(), None);
        assert_eq!(store.amphora_fetch(amphora.id).await.unwrap(), None);
        assert_eq!(store.listener_parent(graph.listeners[0].id).await.unwrap(), None);
        assert_eq!(store.lb_existing(&[lb, other]).await.unwrap(), [other].into());
        assert!(store.amphora_existing(&[amphora.id]).await.unwrap().is_empty());
        assert!(store.lease_acquire(lb, WorkerId::new_v4(), crate::lease::TTL).await.unwrap().is_none());
        store.lb_wake(lb).await.unwrap();
        assert_eq!(store.work_due(10).await.unwrap(), [other]);

        let now = store.now().await.unwrap();
        assert_eq!(store.deleted_purge(now - SignedDuration::from_secs(60)).await.unwrap(), 0);
        assert_eq!(store.deleted_purge(now + SignedDuration::from_secs(60)).await.unwrap(), 2);
        assert!(store.lb_fetch(other).await.unwrap().is_some());
        assert!(store.outbox_take(10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn amphorae_ledger_and_outbox() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        let mut amphora = Amphora {
            compute_id: Some("server".to_owned()),
            lb_network_ip: Some("127.100.0.9".parse().unwrap()),
            vrrp_ip: Some("::1".parse().unwrap()),
            ha_ip: Some("127.100.64.1".parse().unwrap()),
            vrrp_port_id: Some(PortId::new_v4()),
            ha_port_id: Some(PortId::new_v4()),
            vrrp_interface: Some("eth1".to_owned()),
            vrrp_id: Some(1),
            vrrp_priority: Some(100),
            cert_expiration: Some("2030-01-01T00:00:00Z".parse().unwrap()),
            cert_authority: Some("one".to_owned()),
            cached_zone: Some("nova".to_owned()),
            image_id: Some(uuid::Uuid::new_v4()),
            compute_flavor: Some("m1".to_owned()),
            ..sample::amphora(lb)
        };
        store.amphora_insert(&lease, &amphora).await.unwrap();
        let stored = store.amphora_fetch(amphora.id).await.unwrap().unwrap();
        amphora.created_at = stored.created_at;
        assert_eq!(stored, amphora);
        (amphora.status, amphora.applied_generation) = (AmphoraStatus::Booting, 9);
        amphora.role = None;
        store.amphora_update(&lease, &amphora).await.unwrap();
        let stored = store.desired_load(&lease).await.unwrap().amphorae;
        amphora.updated_at = stored[0].updated_at;
        assert!(amphora.updated_at.is_some());
        assert_eq!(stored, [amphora.clone()]);
        // Who writes the one leaves the other.
        amphora.cert_expiration = Some("2031-01-01T00:00:00Z".parse().unwrap());
        amphora.cert_authority = Some("another".to_owned());
        let until = amphora.cert_expiration.unwrap();
        store.amphora_papers(&lease, amphora.id, "another", until).await.unwrap();
        let late = Amphora { cert_authority: None, cert_expiration: None, ..amphora.clone() };
        store.amphora_update(&lease, &late).await.unwrap();
        let stored = store.amphora_fetch(amphora.id).await.unwrap().unwrap();
        amphora.updated_at = stored.updated_at;
        assert_eq!(stored, amphora);
        store.amphora_delete_mark(&lease, amphora.id).await.unwrap();
        assert!(store.desired_load(&lease).await.unwrap().amphorae.is_empty());
        // Gone is gone.
        store.amphora_update(&lease, &amphora).await.unwrap();
        assert_eq!(store.amphora_fetch(amphora.id).await.unwrap(), None);

        let operation = |kind: &str| octavia_store::OperationStart {
            id: OperationId::new_v4(),
            kind: kind.to_owned(),
            amphora_id: Some(amphora.id),
            generation: 1,
        };
        let steps = [operation("a"), operation("b"), operation("c")];
        store.operation_start(&lease, &steps).await.unwrap();
        store.operation_start(&lease, &[]).await.unwrap();
        let outcomes = [(steps[0].id, Ok(())), (steps[1].id, Err("boom".to_owned()))];
        store.operation_finish(&lease, &outcomes).await.unwrap();
        let listed = store.operation_list(lb, OperationPage::First, 10).await.unwrap();
        let mut listed: Vec<_> =
            listed.iter().map(|o| (o.kind.as_str(), o.finished_at.is_some(), o.error.as_deref())).collect();
        listed.sort_unstable();
        assert_eq!(listed, [("a", true, None), ("b", true, Some("boom")), ("c", false, None)]);

        let (started_at, finished_at) =
            (amphora.created_at, amphora.created_at + SignedDuration::from_millis(3));
        let record = |kind: &str, outcome| octavia_store::OperationRecord {
            step: operation(kind),
            started_at,
            finished_at,
            outcome,
        };
        let records = [record("d", Ok(())), record("e", Err("bang".to_owned()))];
        store.operation_record(&lease, &records).await.unwrap();
        store.operation_record(&lease, &[]).await.unwrap();
        let listed = store.operation_list(lb, OperationPage::First, 10).await.unwrap();
        for record in &records {
            let entry = listed.iter().find(|entry| entry.id == record.step.id).unwrap();
            assert_eq!((entry.started_at, entry.finished_at), (started_at, Some(finished_at)));
            assert_eq!(entry.error, record.outcome.clone().err());
        }

        let entries = store.outbox_take(10).await.unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(store.outbox_take(10).await.unwrap(), entries);
        store.outbox_ack(&[entries[0].id]).await.unwrap();
        assert!(store.outbox_take(10).await.unwrap().is_empty());
    })
    .await;
}
