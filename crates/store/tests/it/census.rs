//! Numbers for operators.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use octavia_model::*;
use octavia_store::{Census, Clock, Release, Settlement, StoreMetrics, StoreOptions};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::databases::{self, on_all};
use crate::lease::acquire;
use crate::sample;

#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn load_balancers_are_counted_by_their_statuses() {
    for database in databases::all().await {
        let hand = Arc::new(Hand(Mutex::new(Timestamp::from_second(1_700_000_000).unwrap())));
        let options = StoreOptions { clock: Some(hand.clone()), ..StoreOptions::default() };
        let store = database.store(options).await;
        assert_eq!(store.census().await.unwrap(), Census::default());

        let mut ids = vec![];
        for _ in 0..3 {
            ids.push(store.lb_create(&sample::small()).await.unwrap().load_balancer.id);
        }
        let offline = OperatingStatus::Offline;
        let created = store.census().await.unwrap();
        assert_eq!(created.statuses, [(ProvisioningStatus::PendingCreate, offline, 3)]);
        assert_eq!((created.due, created.oldest_pending), (3, 0));

        *hand.0.lock().unwrap() += SignedDuration::from_secs(7);
        // One is done, one is being worked on, one is pending still.
        let lease = acquire(&store, ids[0]).await;
        store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
        let next = hand.now() + SignedDuration::from_secs(30);
        let release = Release { next_attempt_at: next, attempts: 0, last_error: None };
        store.lease_release(&lease, release).await.unwrap();
        let held = acquire(&store, ids[1]).await;
        let census = store.census().await.unwrap();
        let count = |wanted: ProvisioningStatus| {
            let matching = census.statuses.iter().filter(|(status, ..)| *status == wanted);
            matching.map(|(.., count)| count).sum::<u64>()
        };
        assert_eq!(count(ProvisioningStatus::Active), 1);
        assert_eq!(count(ProvisioningStatus::PendingCreate), 2);
        assert_eq!((census.due, census.oldest_pending), (1, 7));
        assert_eq!((census.leases, census.leases_run_out), (vec![(held.owner, 1)], 0));

        // Its owner dies.
        *hand.0.lock().unwrap() = held.until;
        let census = store.census().await.unwrap();
        assert_eq!((census.leases, census.leases_run_out), (vec![], 1));
        let taken = acquire(&store, ids[1]).await;
        assert_ne!(taken.epoch, held.epoch);
        let census = store.census().await.unwrap();
        assert_eq!((census.leases, census.leases_run_out), (vec![(taken.owner, 1)], 0));
    }
}

#[tokio::test]
async fn the_database_answers() {
    on_all(|store| async move { store.ping().await.unwrap() }).await;
}

#[tokio::test]
async fn operations_retries_and_errors_are_counted_by_name() {
    let metrics = StoreMetrics::default();
    let trouble = Arc::new(crate::frame::Trouble::default());
    let options = StoreOptions {
        metrics: metrics.clone(),
        interceptor: Some(trouble.clone()),
        attempts: 3,
        ..StoreOptions::default()
    };
    let store = databases::all().await[0].store(options).await;
    store.ping().await.unwrap();
    trouble.refuse(2);
    store.ping().await.unwrap();
    trouble.refuse(3);
    store.ping().await.unwrap_err();
    store.lb_create(&sample::small()).await.unwrap();
    let (mut registry, mut text) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    for line in [
        "store_operations_total{operation=\"ping\"} 3",
        "store_operations_total{operation=\"lb_create\"} 1",
        "store_retries_total{operation=\"ping\"} 4",
        "store_errors_total{operation=\"ping\",kind=\"conflict\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(!text.contains("store_errors_total{operation=\"lb_create\""), "{text}");
}
