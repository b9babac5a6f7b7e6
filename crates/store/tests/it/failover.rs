//! What operators ask of amphorae survives whatever workers write at the same time.

use octavia_model::{Amphora, AmphoraId, AmphoraStatus, LoadBalancerId, ProvisioningStatus as P};
use octavia_store::{AmphoraError, ChangeError, Lease, Settlement, Store, Which};

use crate::databases::on_all;
use crate::sample;

const STATUSES: &[P] = &[P::Active, P::Error];

/// A load balancer with two amphorae that were allocated long ago, in force, and its lease.
async fn in_service(store: &Store) -> (LoadBalancerId, [AmphoraId; 2], Lease) {
    let (graph, lease) = crate::lease::leased(store).await;
    let lb = graph.load_balancer.id;
    let rows = [sample::amphora(lb), sample::amphora(lb)];
    for row in &rows {
        store.amphora_insert(&lease, row).await.unwrap();
    }
    store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
    (lb, rows.map(|row| row.id), lease)
}

async fn fetch(store: &Store, id: AmphoraId) -> Amphora {
    store.amphora_fetch(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn marks_and_moves_the_generation_together() {
    on_all(async |store| {
        let (lb, [first, second], lease) = in_service(&store).await;
        let seen = store.desired_load(&lease).await.unwrap();
        let status = async || store.lb_fetch(lb).await.unwrap().unwrap().load_balancer;
        let marks = async || [fetch(&store, first).await.to_replace, fetch(&store, second).await.to_replace];

        store.lb_failover(lb, STATUSES, Which::One(second)).await.unwrap();
        assert_eq!(marks().await, [false, true]);
        let root = status().await;
        assert_eq!((root.statuses.provisioning, root.generation), (P::PendingUpdate, 2));
        // On its way already.
        let again = store.lb_failover(lb, STATUSES, Which::All).await;
        assert!(matches!(again, Err(ChangeError::Refused(P::PendingUpdate))), "{again:?}");
        assert_eq!(marks().await, [false, true]);

        // A worker that has not seen it yet takes nothing back.
        for row in &seen.amphorae {
            assert!(!row.to_replace);
            store.amphora_update(&lease, row).await.unwrap();
        }
        assert_eq!(marks().await, [false, true]);

        store.lb_settle(&lease, 2, &Settlement::default()).await.unwrap();
        store.lb_failover(lb, STATUSES, Which::All).await.unwrap();
        assert_eq!((marks().await, status().await.generation), ([true, true], 3));
        let absent = store.lb_failover(LoadBalancerId::new_v4(), STATUSES, Which::All).await;
        assert!(matches!(absent, Err(ChangeError::NotFound)), "{absent:?}");
    })
    .await;
}

#[tokio::test]
async fn a_refresh_is_for_the_next_lease() {
    on_all(async |store| {
        let (lb, [amphora, other], lease) = in_service(&store).await;
        let before = store.lb_fetch(lb).await.unwrap();
        store.amphora_refresh(amphora).await.unwrap();
        assert_eq!(fetch(&store, amphora).await.refresh_after, Some(lease.epoch));
        assert_eq!(fetch(&store, other).await.refresh_after, None);
        assert_eq!(store.lb_fetch(lb).await.unwrap(), before, "nothing moves");
        // Also where the holder says that there is nothing to do.
        let now = store.now().await.unwrap();
        let hour = jiff::SignedDuration::from_hours(1);
        let release = octavia_store::Release { next_attempt_at: now + hour, attempts: 0, last_error: None };
        store.lease_release(&lease, release).await.unwrap();
        assert_eq!(store.work_due(10).await.unwrap(), [lb]);
        let absent = store.amphora_refresh(AmphoraId::new_v4()).await;
        assert!(matches!(absent, Err(AmphoraError::NotFound)), "{absent:?}");
    })
    .await;
}

#[tokio::test]
async fn only_what_is_in_error_is_discarded() {
    on_all(async |store| {
        let (_, [amphora, other], lease) = in_service(&store).await;
        let allocated = store.amphora_discard(amphora).await;
        assert!(matches!(allocated, Err(AmphoraError::Refused(AmphoraStatus::Allocated))), "{allocated:?}");
        let row = fetch(&store, amphora).await;
        store.amphora_update(&lease, &Amphora { status: AmphoraStatus::Error, ..row.clone() }).await.unwrap();
        store.amphora_discard(amphora).await.unwrap();
        assert_eq!(fetch(&store, amphora).await.status, AmphoraStatus::PendingDelete);
        let again = store.amphora_discard(amphora).await;
        assert!(matches!(again, Err(AmphoraError::Refused(AmphoraStatus::PendingDelete))), "{again:?}");

        // Of no load balancer: no worker would come, so it is gone at once, and its server an orphan.
        let alone =
            Amphora { status: AmphoraStatus::Error, load_balancer_id: None, ..fetch(&store, other).await };
        store.amphora_update(&lease, &alone).await.unwrap();
        store.amphora_discard(other).await.unwrap();
        assert_eq!(store.amphora_fetch(other).await.unwrap(), None);
        assert!(store.amphora_existing(&[other]).await.unwrap().is_empty());
        let absent = store.amphora_discard(other).await;
        assert!(matches!(absent, Err(AmphoraError::NotFound)), "{absent:?}");
        let refresh = store.amphora_refresh(other).await;
        assert!(matches!(refresh, Err(AmphoraError::NotFound)), "{refresh:?}");
    })
    .await;
}
