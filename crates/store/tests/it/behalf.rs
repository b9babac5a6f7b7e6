//! What a request asks of its writes beside what it writes.

use octavia_model::*;
use octavia_store::{
    AvailabilityZoneChange, Behalf, ChangeError, Claim, FlavorChange, ListQuery, OperationPage,
    OperationStart, Release, Settlement, Store, StoreError, Which,
};

use crate::change::UPDATE;
use crate::databases::on_all;
use crate::lease::acquire;
use crate::sample;

/// Every row that there is to be seen.
async fn all(store: &Store) -> String {
    let query = ListQuery::default();
    let mut graphs = vec![];
    for row in store.lb_list(&query).await.unwrap().items {
        graphs.push(store.lb_fetch(row.load_balancer.id).await.unwrap());
    }
    format!(
        "{graphs:#?} {:#?} {:#?} {:#?} {:#?} {:#?} {:#?} {:#?} {:#?}",
        store.quota_list(&query).await.unwrap().items,
        store.flavor_list(&query).await.unwrap().items,
        store.flavor_profile_list(&query).await.unwrap().items,
        store.availability_zone_list(&query).await.unwrap().items,
        store.availability_zone_profile_list(&query).await.unwrap().items,
        store.amphora_list(&query).await.unwrap().items,
        store.outbox_take(100).await.unwrap(),
        store.inspect().await.unwrap(),
    )
}

#[tokio::test]
async fn what_is_rehearsed_is_judged_and_not_stored() {
    on_all(|store| async move {
        let stored = sample::create(&store, &sample::small()).await;
        let id = stored.load_balancer.id;
        let (flavor_profile, flavor) = sample::flavor(FlavorId::new_v4());
        let (zone_profile, zone) = sample::availability_zone("zone");
        store.flavor_profile_insert(&flavor_profile).await.unwrap();
        store.flavor_insert(&flavor).await.unwrap();
        store.availability_zone_profile_insert(&zone_profile).await.unwrap();
        store.availability_zone_insert(&zone).await.unwrap();
        let dry = store.on_behalf(Behalf { rehearses: true, ..Behalf::default() });
        let before = all(&store).await;
        let unchanged = async |what: &str| assert_eq!(all(&store).await, before, "{what}");

        let limit = |number| Limit::new(number).unwrap();
        let tight = Quota { load_balancer: limit(1), ..Quota::from_fn(|_| Limit::UNLIMITED) };
        // A project that nobody has heard of stays unknown.
        let graph = LoadBalancerGraph::new(sample::load_balancer("new", "lb"));
        let made = dry.lb_create_within(&graph, Some(&tight)).await.unwrap();
        assert_eq!(made.load_balancer.generation, 1);
        unchanged("create").await;
        let project = stored.load_balancer.project_id.clone();
        let graph = LoadBalancerGraph::new(sample::load_balancer(project.as_str(), "lb"));
        let full = dry.lb_create_within(&graph, Some(&tight)).await;
        assert!(matches!(full, Err(StoreError::QuotaMet(QuotaKind::LoadBalancer))), "{full:?}");
        let twice = dry.lb_create(&stored).await;
        assert!(matches!(twice, Err(StoreError::Duplicate(_))), "{twice:?}");
        unchanged("refused creates").await;

        let rename = |graph: &mut LoadBalancerGraph| {
            graph.load_balancer.name = "renamed".to_owned();
            graph.l7rules.clear();
            graph.l7policies.clear();
            graph.listeners.clear();
            graph.members.push(sample::member(&graph.pools[0], "192.0.2.99"));
            Ok::<_, ()>(())
        };
        let ((), after) = dry.lb_change(id, UPDATE, rename).await.unwrap();
        assert_eq!(after.load_balancer.name, "renamed");
        assert_eq!(after.load_balancer.generation, stored.load_balancer.generation + 1);
        let demand = |_: &LoadBalancerGraph| Demand::one(QuotaKind::Member);
        let none = Quota { member: limit(0), ..Quota::from_fn(|_| Limit::UNLIMITED) };
        let claim = Claim { project: &project, defaults: &none, demand: &demand };
        let full = dry.lb_change_within(id, UPDATE, Some(claim), |_| Ok::<_, ()>(())).await;
        assert!(matches!(full, Err(ChangeError::Store(StoreError::QuotaMet(_)))), "{full:?}");
        dry.lb_failover(id, &[ProvisioningStatus::PendingCreate], Which::All).await.unwrap();
        let refused = dry.lb_failover(id, &[ProvisioningStatus::Active], Which::All).await;
        assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
        unchanged("changes").await;

        for project in [&project, &ProjectId::new("unknown")] {
            let set = dry.quota_set(project, |limits| limits.pool = Some(limit(3))).await.unwrap();
            assert_eq!(set.pool, Some(limit(3)));
        }
        assert!(!dry.quota_reset(&ProjectId::new("unknown")).await.unwrap());
        unchanged("quotas").await;

        let (other_profile, other) = sample::flavor(FlavorId::new_v4());
        dry.flavor_profile_insert(&other_profile).await.unwrap();
        dry.flavor_insert(&other).await.unwrap_err();
        let change = FlavorChange { name: Some("n".to_owned()), ..Default::default() };
        assert_eq!(dry.flavor_update(flavor.id, &change).await.unwrap().name, "n");
        dry.flavor_profile_delete(flavor_profile.id).await.unwrap_err();
        dry.flavor_delete(flavor.id).await.unwrap();
        let change = AvailabilityZoneChange { enabled: Some(!zone.enabled), ..Default::default() };
        dry.availability_zone_update(&zone.name, &change).await.unwrap();
        dry.availability_zone_delete(&zone.name).await.unwrap();
        unchanged("the catalogue").await;

        // And the store itself stores.
        store.lb_change(id, UPDATE, rename).await.unwrap();
        assert_ne!(all(&store).await, before);
    })
    .await;
}

#[tokio::test]
async fn work_is_done_for_requests() {
    on_all(|store| async move {
        let named = |ids: &str| {
            let request_ids = ids.split(' ').map(str::to_owned).collect();
            store.on_behalf(Behalf { request_ids, ..Behalf::default() })
        };
        let graph = LoadBalancerGraph::new(sample::load_balancer("project", "lb"));
        let id = graph.load_balancer.id;
        named("req-1").lb_create(&graph).await.unwrap();
        let write = async |request: &str| {
            let rename = |graph: &mut LoadBalancerGraph| {
                graph.load_balancer.name = request.to_owned();
                Ok::<_, ()>(())
            };
            named(request).lb_change(id, UPDATE, rename).await.unwrap();
        };
        let work = async |kind: &str, settles: bool| {
            let lease = acquire(&store, id).await;
            let desired = store.desired_load(&lease).await.unwrap();
            let generation = desired.graph.load_balancer.generation;
            let step = OperationStart {
                id: OperationId::new_v4(),
                kind: kind.to_owned(),
                amphora_id: None,
                generation,
            };
            store.operation_start(&lease, &[step]).await.unwrap();
            if settles {
                store.lb_settle(&lease, generation, &Settlement::default()).await.unwrap();
            }
            let next_attempt_at = store.now().await.unwrap();
            let release = Release { next_attempt_at, attempts: u32::from(!settles), last_error: None };
            store.lease_release(&lease, release).await.unwrap();
            let noted = store.operation_list(id, OperationPage::First, 100).await.unwrap();
            let noted = noted.into_iter().find(|operation| operation.kind == kind).unwrap();
            assert_eq!(noted.request_ids, desired.request_ids, "{kind}");
            noted.request_ids.join(" ")
        };
        assert_eq!(work("first", false).await, "req-1");
        for request in ["req-2", "req-3"] {
            write(request).await;
        }
        assert_eq!(work("more", false).await, "req-1 req-2 req-3", "all are waited for");
        for request in ["req-4", "req-5", "req-6", "req-7"] {
            write(request).await;
        }
        assert_eq!(work("many", true).await, "req-2 req-3 req-4 req-5 req-6 req-7", "the newest");
        assert_eq!(work("by itself", true).await, "", "they are through");
        write("req-8").await;
        assert_eq!(work("another", true).await, "req-8");
        for request in ["req-chain req-9", "req-other req-10", "req-chain req-11"] {
            write(request).await;
        }
        let noted = work("a chain", true).await;
        assert_eq!(noted, "req-9 req-other req-10 req-chain req-11", "each once, where it was last");
        let dry = Behalf { rehearses: true, request_ids: ["req-12".to_owned()].into(), ..Behalf::default() };
        store.on_behalf(dry).lb_change(id, UPDATE, |_| Ok::<_, ()>(())).await.unwrap();
        assert_eq!(work("dry", true).await, "");
    })
    .await;
}
