//! Receipts of requests with a key of their own.

use std::sync::Arc;
use std::time::Duration;

use octavia_model::*;
use octavia_store::{Behalf, Duplicate, Receipt, Store, StoreError};

use crate::change::UPDATE;
use crate::databases::on_all;
use crate::sample;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn receipt(owner: &str, key: &str, made: impl ToString) -> Receipt {
    let fingerprint = "f".repeat(64);
    Receipt { owner: owner.to_owned(), key: key.to_owned(), fingerprint, made: made.to_string() }
}

fn holding(store: &Store, receipt: &Receipt) -> Store {
    store.on_behalf(Behalf { receipt: Some(Arc::new(receipt.clone())), ..Behalf::default() })
}

async fn create(store: &Store, owner: &str, key: &str) -> (LoadBalancerId, Result<(), StoreError>) {
    let graph = LoadBalancerGraph::new(sample::load_balancer("project", "lb"));
    let id = graph.load_balancer.id;
    (id, holding(store, &receipt(owner, key, id)).lb_create(&graph).await.map(drop))
}

#[tokio::test]
async fn a_receipt_is_stored_with_what_was_made_or_not_at_all() {
    on_all(|store| async move {
        let key = "a key".to_owned() + &"k".repeat(250);
        let (id, made) = create(&store, "o", &key).await;
        made.unwrap();
        let found = store.receipt_fetch("o", &key, DAY).await.unwrap();
        assert_eq!(found, Some(receipt("o", &key, id)));
        for (owner, other) in [("p", key.as_str()), ("o", "k"), ("o", &key.to_uppercase())] {
            assert_eq!(store.receipt_fetch(owner, other, DAY).await.unwrap(), None);
        }
        let (second, refused) = create(&store, "o", &key).await;
        assert!(matches!(refused, Err(StoreError::Duplicate(Duplicate::Receipt))), "{refused:?}");
        assert_eq!(store.lb_fetch(second).await.unwrap(), None);

        // Also of changes and of the catalogue; and nothing of what is refused or rehearsed.
        let add = |graph: &mut LoadBalancerGraph| {
            graph.listeners.push(sample::listener(&graph.load_balancer, 80));
            Ok::<_, ()>(())
        };
        holding(&store, &receipt("o", "change", "x")).lb_change(id, UPDATE, add).await.unwrap();
        assert!(store.receipt_fetch("o", "change", DAY).await.unwrap().is_some());
        let refuse = |_: &mut LoadBalancerGraph| Err::<(), _>("no");
        holding(&store, &receipt("o", "refused", "x")).lb_change(id, UPDATE, refuse).await.unwrap_err();
        assert_eq!(store.receipt_fetch("o", "refused", DAY).await.unwrap(), None);
        let (profile, flavor) = sample::flavor(FlavorId::new_v4());
        let keyed = holding(&store, &receipt("o", "flavor", flavor.id));
        keyed.flavor_insert(&flavor).await.unwrap_err();
        assert_eq!(store.receipt_fetch("o", "flavor", DAY).await.unwrap(), None);
        store.flavor_profile_insert(&profile).await.unwrap();
        keyed.flavor_insert(&flavor).await.unwrap();
        assert!(store.receipt_fetch("o", "flavor", DAY).await.unwrap().is_some());
        let behalf = Behalf {
            rehearses: true,
            receipt: Some(Arc::new(receipt("o", "dry", "x"))),
            ..Behalf::default()
        };
        store.on_behalf(behalf).lb_change(id, UPDATE, |_| Ok::<_, ()>(())).await.unwrap();
        assert_eq!(store.receipt_fetch("o", "dry", DAY).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn of_two_at_once_one_is_made() {
    on_all(|store| async move {
        for round in 0..10 {
            let key = format!("round {round}");
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..6 {
                let (store, key) = (store.clone(), key.clone());
                tasks.spawn(async move { create(&store, "o", &key).await });
            }
            let all = tasks.join_all().await;
            let made: Vec<_> = all.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| *id).collect();
            assert_eq!(made.len(), 1, "{all:?}");
            assert!(
                all.iter().all(|(_, outcome)| matches!(
                    outcome,
                    Ok(()) | Err(StoreError::Duplicate(Duplicate::Receipt))
                )),
                "{all:?}"
            );
            let found = store.receipt_fetch("o", &key, DAY).await.unwrap().unwrap();
            assert_eq!(found.made, made[0].to_string());
            for (id, _) in all {
                assert_eq!(store.lb_fetch(id).await.unwrap().is_some(), id == made[0]);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn receipts_expire_and_are_purged() {
    on_all(|store| async move {
        for (owner, key) in [("o", "1"), ("o", "2"), ("o", "3"), ("p", "1")] {
            create(&store, owner, key).await.1.unwrap();
        }
        let there = async || {
            let mut there = vec![];
            for (owner, key) in [("o", "1"), ("o", "2"), ("o", "3"), ("p", "1")] {
                if store.receipt_fetch(owner, key, DAY).await.unwrap().is_some() {
                    there.push(format!("{owner}{key}"));
                }
            }
            there.join(" ")
        };
        let now = store.now().await.unwrap();
        assert_eq!(store.receipts_purge(now - DAY, 3).await.unwrap(), 0);
        assert_eq!(there().await, "o1 o2 o3 p1");
        assert_eq!(store.receipts_purge(now - DAY, 2).await.unwrap(), 1);
        assert_eq!(there().await, "o2 o3 p1", "the newest of each stay");
        // Too old is none, and makes room for another.
        assert_eq!(store.receipt_fetch("o", "2", Duration::ZERO).await.unwrap(), None);
        assert_eq!(there().await, "o3 p1");
        create(&store, "o", "2").await.1.unwrap();
        assert_eq!(store.receipts_purge(store.now().await.unwrap() + DAY, 9).await.unwrap(), 3);
        assert_eq!(there().await, "");
    })
    .await;
}
