//! How long operations take; run by hand: `cargo test -p octavia-store --test it -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use octavia_model::*;
use octavia_store::{Release, Settlement, Store, StoreOptions};

use crate::change::UPDATE;
use crate::databases;
use crate::lease::acquire;
use crate::sample;

const ROUNDS: u32 = 300;

async fn timed<F: Future<Output = ()>>(name: &str, operation: impl Fn(u32) -> F) {
    let mut took = vec![];
    for round in 0..ROUNDS {
        let start = Instant::now();
        operation(round).await;
        took.push(start.elapsed());
    }
    took.sort();
    let sum: Duration = took.iter().sum();
    println!(
        "  {name:<16} least {:>8.0?}  median {:>8.0?}  mean {:>8.0?}  p99 {:>8.0?}",
        took[0],
        took[took.len() / 2],
        sum / ROUNDS,
        took[took.len() * 99 / 100]
    );
}

async fn weigh(store: &Store, lb: LoadBalancerId, round: u32) {
    let weight = |graph: &mut LoadBalancerGraph| {
        graph.members[0].weight = Some(u16::try_from(round % 256).unwrap());
        graph.members[0].statuses.provisioning = ProvisioningStatus::PendingUpdate;
        Ok::<_, ()>(())
    };
    store.lb_change(lb, UPDATE, weight).await.unwrap();
}

#[tokio::test]
#[ignore = "measures"]
async fn speed() {
    for database in databases::all().await {
        println!("{}", database.name);
        let store = database.store(StoreOptions::default()).await;
        let lb = store.lb_create(&sample::small()).await.unwrap().load_balancer.id;
        let lease = acquire(&store, lb).await;
        timed("lb_create", |_| async {
            store.lb_create(&sample::small()).await.unwrap();
        })
        .await;
        timed("lb_change", |round| weigh(&store, lb, round)).await;
        timed("lb_fetch", |_| async {
            store.lb_fetch(lb).await.unwrap();
        })
        .await;
        timed("desired_load", |_| async {
            store.desired_load(&lease).await.unwrap();
        })
        .await;
        let (store, lease) = (&store, &lease);
        timed("change, settle", |round| async move {
            weigh(store, lb, round).await;
            let generation = store.desired_load(lease).await.unwrap().graph.load_balancer.generation;
            store.lb_settle(lease, generation, &Settlement::default()).await.unwrap();
        })
        .await;
        timed("settle again", |_| async {
            let generation = 2 * u64::from(ROUNDS) + 1;
            store.lb_settle(lease, generation, &Settlement::default()).await.unwrap();
        })
        .await;
        let amphora = sample::amphora(lb);
        store.amphora_insert(lease, &amphora).await.unwrap();
        timed("amphora_update", |_| async {
            store.amphora_update(lease, &amphora).await.unwrap();
        })
        .await;
        let next = store.now().await.unwrap() - SignedDuration::from_secs(1);
        store
            .lease_release(lease, Release { next_attempt_at: next, attempts: 0, last_error: None })
            .await
            .unwrap();
        timed("acquire, release", |_| async {
            let lease = acquire(store, lb).await;
            let release = Release { next_attempt_at: next, attempts: 0, last_error: None };
            store.lease_release(&lease, release).await.unwrap();
        })
        .await;
        timed("work_due", |_| async {
            store.work_due(10).await.unwrap();
        })
        .await;
        timed("clear", |_| async {
            store.clear().await.unwrap();
        })
        .await;
    }
}
