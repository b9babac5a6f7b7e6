//! Spares: no lease is about them, and of two that want one, one gets it.

use octavia_model::{Amphora, AmphoraId, AmphoraRole, AmphoraStatus as S};
use octavia_store::{Lease, Store, StoreError};

use crate::databases::on_all;
use crate::lease::leased;
use crate::sample;

/// One that is ready.
async fn ready(store: &Store) -> Amphora {
    let id = AmphoraId::new_v4();
    store.spare_insert(id).await.unwrap();
    let mut row = store.amphora_fetch(id).await.unwrap().unwrap();
    for (was, is) in [(S::PendingCreate, S::Booting), (S::Booting, S::Ready)] {
        row.status = is;
        row.lb_network_ip = Some("127.100.0.9".parse().unwrap());
        row.cert_authority = Some("one".to_owned());
        row.cert_expiration = Some("2030-01-01T00:00:00Z".parse().unwrap());
        assert!(store.spare_update(&row, was).await.unwrap());
    }
    let stored = store.amphora_fetch(id).await.unwrap().unwrap();
    row.updated_at = stored.updated_at;
    assert_eq!(stored, row);
    row
}

#[tokio::test]
async fn change_by_the_status_that_they_have() {
    on_all(|store| async move {
        let (first, second) = (ready(&store).await, ready(&store).await);
        let (_graph, _lease) = leased(&store).await;
        let of = async |status| {
            store.spare_list(status).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(of(None).await, [first.id, second.id]);
        let leaving = Amphora { status: S::PendingDelete, ..first.clone() };
        assert!(!store.spare_update(&leaving, S::Booting).await.unwrap(), "it is not that any more");
        assert_eq!(of(Some(S::Ready)).await, [first.id, second.id]);
        assert!(store.spare_update(&leaving, S::Ready).await.unwrap());
        assert_eq!((of(Some(S::Ready)).await, of(None).await), (vec![second.id], vec![first.id, second.id]));
        let gone = Amphora { status: S::Deleted, ..leaving };
        assert!(store.spare_update(&gone, S::PendingDelete).await.unwrap());
        assert!(!store.spare_update(&gone, S::PendingDelete).await.unwrap(), "gone is gone");
        assert_eq!(of(None).await, [second.id]);
    })
    .await;
}

#[tokio::test]
async fn are_adopted_once() {
    on_all(|store| async move {
        let spare = ready(&store).await;
        let (one, two) = (leased(&store).await, leased(&store).await);
        let adopt = async |(graph, lease): &(octavia_model::LoadBalancerGraph, Lease)| {
            let lb = &graph.load_balancer;
            store.spare_adopt(lease, spare.id, AmphoraRole::Standalone, lb).await.unwrap()
        };
        let leaving = Amphora { status: S::PendingDelete, ..spare.clone() };
        let (first, second, reaped) =
            tokio::join!(adopt(&one), adopt(&two), store.spare_update(&leaving, S::Ready));
        let won = [first, second, reaped.unwrap()];
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        if won[2] {
            return assert_eq!(store.spare_list(None).await.unwrap().len(), 1);
        }
        let (graph, lease) = if first { &one } else { &two };
        let lb = &graph.load_balancer;
        let row = store.desired_load(lease).await.unwrap().amphorae.remove(0);
        let adopted = Amphora {
            load_balancer_id: Some(lb.id),
            role: Some(AmphoraRole::Standalone),
            status: S::Booting,
            ha_ip: Some(lb.vip.address),
            ha_port_id: Some(lb.vip.port_id),
            updated_at: row.updated_at,
            ..spare.clone()
        };
        assert_eq!(row, adopted);
        assert_eq!(store.spare_list(None).await.unwrap(), []);
        assert!(!store.spare_update(&leaving, S::Ready).await.unwrap(), "it is somebody's");
    })
    .await;
}

#[tokio::test]
async fn are_adopted_under_a_lease_alone() {
    on_all(|store| async move {
        let spare = ready(&store).await;
        let (graph, lease) = leased(&store).await;
        let mut late = lease.clone();
        late.epoch -= 1;
        let refused = store.spare_adopt(&late, spare.id, AmphoraRole::Standalone, &graph.load_balancer).await;
        assert!(matches!(refused, Err(StoreError::LeaseLost)), "{refused:?}");
        assert_eq!(store.spare_list(Some(S::Ready)).await.unwrap().len(), 1);
        let never = sample::amphora(graph.load_balancer.id).id;
        assert!(
            !store.spare_adopt(&lease, never, AmphoraRole::Standalone, &graph.load_balancer).await.unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn are_heard() {
    on_all(|store| async move {
        let spare = ready(&store).await;
        let at = store.now().await.unwrap();
        assert!(store.spare_heard(spare.id, at).await.unwrap());
        assert!(!store.spare_heard(AmphoraId::new_v4(), at).await.unwrap(), "there is no such spare");
        let row = store.amphora_fetch(spare.id).await.unwrap().unwrap();
        assert_eq!(row.last_heartbeat_at.map(|heard| heard.as_microsecond()), Some(at.as_microsecond()));
        assert_eq!(row.status, S::Ready);
    })
    .await;
}
