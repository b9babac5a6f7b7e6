//! Quotas: never more than allowed, whoever asks at the same time, and never less than is free.

use std::sync::Arc;
use std::time::Duration;

use octavia_model::*;
use octavia_store::{ChangeError, Claim, ListError, ListQuery, Settlement, Store, StoreError, StoreOptions};

use crate::change::UPDATE;
use crate::databases::{self, on_all};
use crate::lease::acquire;
use crate::sample;

const UNLIMITED: Quota<Limit> = Quota {
    load_balancer: Limit::UNLIMITED,
    listener: Limit::UNLIMITED,
    pool: Limit::UNLIMITED,
    member: Limit::UNLIMITED,
    health_monitor: Limit::UNLIMITED,
    l7policy: Limit::UNLIMITED,
    l7rule: Limit::UNLIMITED,
};

fn limit(number: i32) -> Limit {
    Limit::new(number).unwrap()
}

fn project() -> ProjectId {
    ProjectId::new("project")
}

async fn set(store: &Store, change: impl Fn(&mut OwnLimits)) {
    store.quota_set(&project(), change).await.unwrap();
}

fn met(error: &StoreError) -> Option<QuotaKind> {
    if let StoreError::QuotaMet(kind) = error { Some(*kind) } else { None }
}

/// Adds a member under the quota; what was met if there is no room.
async fn add_member(store: &Store, lb: LoadBalancerId, address: &str) -> Option<QuotaKind> {
    let project = project();
    let demand = |_: &LoadBalancerGraph| Demand::one(QuotaKind::Member);
    let claim = Claim { project: &project, defaults: &UNLIMITED, demand: &demand };
    let add = |graph: &mut LoadBalancerGraph| {
        let member = sample::member(&graph.pools[0], address);
        graph.members.push(member);
        Ok::<_, ()>(())
    };
    match store.lb_change_within(lb, UPDATE, Some(claim), add).await {
        Ok(_) => None,
        Err(ChangeError::Store(error)) => Some(met(&error).unwrap_or_else(|| panic!("{error:?}"))),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn records_are_set_reset_and_listed() {
    on_all(|store| async move {
        let (p, q) = (project(), ProjectId::new("q"));
        assert_eq!(store.quota_fetch(&p).await.unwrap(), None);
        assert!(!store.quota_reset(&p).await.unwrap());
        let limits = store.quota_set(&p, |limits| limits.pool = Some(limit(3))).await.unwrap();
        assert_eq!(limits, OwnLimits { pool: Some(limit(3)), ..OwnLimits::default() });
        let limits = store.quota_set(&p, |limits| limits.l7rule = Some(limit(Limit::MAX))).await.unwrap();
        assert_eq!(store.quota_fetch(&p).await.unwrap(), Some(limits));
        assert_eq!((limits.pool, limits.l7rule), (Some(limit(3)), Some(limit(Limit::MAX))));
        // One that creates something has a record too.
        store
            .lb_create_within(&LoadBalancerGraph::new(sample::load_balancer("q", "")), Some(&UNLIMITED))
            .await
            .unwrap();
        assert_eq!(store.quota_fetch(&q).await.unwrap(), Some(OwnLimits::default()));

        let listed = |query: ListQuery| {
            let store = store.clone();
            async move {
                let page = store.quota_list(&query).await.unwrap();
                page.items.into_iter().map(|row| row.project_id.to_string()).collect::<Vec<_>>().join(" ")
            }
        };
        let query = ListQuery::default;
        assert_eq!(listed(query()).await, "project q");
        assert_eq!(listed(ListQuery { project: Some(q.clone()), ..query() }).await, "q");
        assert_eq!(listed(ListQuery { limit: Some(1), ..query() }).await, "project");
        assert_eq!(listed(ListQuery { marker: Some("project".to_owned()), ..query() }).await, "q");
        let unknown = store.quota_list(&ListQuery { marker: Some("x".to_owned()), ..query() }).await;
        assert!(matches!(unknown, Err(ListError::UnknownMarker(_))), "{unknown:?}");

        assert!(store.quota_reset(&p).await.unwrap());
        assert!(store.quota_reset(&p).await.unwrap(), "a reset one is still a record");
        assert_eq!(store.quota_fetch(&p).await.unwrap(), Some(OwnLimits::default()));
        for odd in ["a\0b", &"x".repeat(300)] {
            let odd = ProjectId::new(odd);
            assert_eq!(store.quota_fetch(&odd).await.unwrap(), None);
            assert!(!store.quota_reset(&odd).await.unwrap());
        }
    })
    .await;
}

/// What counts is what has a row: from its create until it is settled away.
#[tokio::test]
async fn objects_count_until_they_are_gone() {
    on_all(|store| async move {
        // A tree has two members.
        set(&store, |limits| limits.member = Some(limit(3))).await;
        let graph = store.lb_create_within(&sample::small(), Some(&UNLIMITED)).await.unwrap();
        let lb = graph.load_balancer.id;
        assert_eq!(add_member(&store, lb, "127.0.0.3").await, None);
        assert_eq!(add_member(&store, lb, "127.0.0.4").await, Some(QuotaKind::Member));
        let whole = store.lb_create_within(&sample::small(), Some(&UNLIMITED)).await.unwrap_err();
        assert_eq!(met(&whole), Some(QuotaKind::Member));
        // Other projects, and callers for whom quotas do not count, are not concerned.
        let mut other = sample::small();
        other.load_balancer.project_id = ProjectId::new("other");
        other.members.iter_mut().for_each(|member| member.project_id = ProjectId::new("other"));
        store.lb_create_within(&other, Some(&UNLIMITED)).await.unwrap();
        let uncounted = store.lb_create(&sample::small()).await.unwrap().load_balancer.id;
        let uncounted = acquire(&store, uncounted).await;
        store.lb_deleted(&uncounted).await.unwrap();

        // On its way out, it counts; gone, it does not.
        let leave = |graph: &mut LoadBalancerGraph| {
            graph.members[0].statuses.provisioning = ProvisioningStatus::PendingDelete;
            Ok::<_, ()>(())
        };
        let ((), graph) = store.lb_change(lb, UPDATE, leave).await.unwrap();
        assert_eq!(add_member(&store, lb, "127.0.0.4").await, Some(QuotaKind::Member));
        let lease = acquire(&store, lb).await;
        let failed = sample::reason("no");
        store.lb_fail(&lease, graph.load_balancer.generation, failed).await.unwrap();
        assert_eq!(add_member(&store, lb, "127.0.0.4").await, Some(QuotaKind::Member), "a failed delete");
        store.lb_settle(&lease, graph.load_balancer.generation, &Settlement::default()).await.unwrap();
        assert_eq!(add_member(&store, lb, "127.0.0.4").await, None);
        assert_eq!(add_member(&store, lb, "127.0.0.5").await, Some(QuotaKind::Member));

        // A limit below what there is takes nothing away; none at all is none again.
        set(&store, |limits| limits.member = Some(limit(1))).await;
        assert_eq!(add_member(&store, lb, "127.0.0.5").await, Some(QuotaKind::Member));
        assert_eq!(store.lb_fetch(lb).await.unwrap().unwrap().members.len(), 3);
        store.quota_reset(&project()).await.unwrap();
        assert_eq!(add_member(&store, lb, "127.0.0.5").await, None);

        // The whole tree goes, though the load balancer's row is kept for a while.
        set(&store, |limits| {
            limits.member = Some(limit(2));
            limits.load_balancer = Some(limit(1));
        })
        .await;
        let full = store.lb_create_within(&sample::small(), Some(&UNLIMITED)).await.unwrap_err();
        assert_eq!(met(&full), Some(QuotaKind::LoadBalancer), "the first of both");
        store.lb_deleted(&lease).await.unwrap();
        store.lb_create_within(&sample::small(), Some(&UNLIMITED)).await.unwrap();
    })
    .await;
}

/// The quota is looked at before the load balancer's status, and nothing is stored of what it refuses.
#[tokio::test]
async fn a_quota_refuses_first() {
    on_all(|store| async move {
        set(&store, |limits| limits.listener = Some(limit(1))).await;
        let graph = store.lb_create_within(&sample::small(), Some(&UNLIMITED)).await.unwrap();
        let (id, project) = (graph.load_balancer.id, project());
        let active = octavia_store::Accept { statuses: &[ProvisioningStatus::Active], ..UPDATE };
        let nothing = |_: &mut LoadBalancerGraph| Ok::<_, ()>(());
        for (kind, expected) in [(QuotaKind::Listener, true), (QuotaKind::Pool, false)] {
            let demand = |_: &LoadBalancerGraph| Demand::one(kind);
            let claim = Claim { project: &project, defaults: &UNLIMITED, demand: &demand };
            let refused = store.lb_change_within(id, active, Some(claim), nothing).await.unwrap_err();
            let is_met = matches!(refused, ChangeError::Store(StoreError::QuotaMet(_)));
            assert_eq!(is_met, expected, "{refused:?}");
            assert!(is_met || matches!(refused, ChangeError::Refused(_)), "{refused:?}");
            let hint = store.quota_check(&project, &Demand::one(kind), &UNLIMITED).await;
            assert_eq!(hint.is_err(), expected);
        }
        assert_eq!(store.lb_fetch(id).await.unwrap().unwrap(), graph);
    })
    .await;
}

/// 200 creates at once, room for 50.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_exceed() {
    const ROOM: usize = 50;
    // All of them wait for eight connections, and then for each other.
    let options = StoreOptions { timeout: Duration::from_secs(60), ..StoreOptions::default() };
    for database in databases::all().await {
        eprintln!("on {}", database.name);
        let store = database.store(options.clone()).await;
        let room = i32::try_from(ROOM).unwrap();
        // As a configured default: no record is there when they start.
        let defaults = Arc::new(Quota { load_balancer: limit(room), member: limit(room), ..UNLIMITED });

        let creates = (0..200).map(|_| {
            let (store, defaults) = (store.clone(), defaults.clone());
            tokio::spawn(async move {
                let lb = LoadBalancerGraph::new(sample::load_balancer("project", ""));
                store.lb_create_within(&lb, Some(&*defaults)).await
            })
        });
        let mut made = vec![];
        for create in creates.collect::<Vec<_>>() {
            match create.await.unwrap() {
                Ok(graph) => made.push(graph.load_balancer.id),
                Err(error) => assert_eq!(met(&error), Some(QuotaKind::LoadBalancer), "{error:?}"),
            }
        }
        assert_eq!(made.len(), ROOM, "{}", database.name);

        // Members below several load balancers of one project.
        for lb in &made[..10] {
            let pool = |graph: &mut LoadBalancerGraph| {
                graph.pools.push(sample::pool(&graph.load_balancer));
                Ok::<_, ()>(())
            };
            store.lb_change(*lb, UPDATE, pool).await.unwrap();
        }
        let adds = (0..200u16).map(|n| {
            let (store, defaults, lb) = (store.clone(), defaults.clone(), made[usize::from(n) % 10]);
            tokio::spawn(async move {
                let project = project();
                let demand = |_: &LoadBalancerGraph| Demand::one(QuotaKind::Member);
                let claim = Claim { project: &project, defaults: &defaults, demand: &demand };
                let add = |graph: &mut LoadBalancerGraph| {
                    let member = sample::member(&graph.pools[0], &format!("127.0.0.{n}"));
                    graph.members.push(member);
                    Ok::<_, ()>(())
                };
                store.lb_change_within(lb, UPDATE, Some(claim), add).await
            })
        });
        let mut added = 0;
        for add in adds.collect::<Vec<_>>() {
            match add.await.unwrap() {
                Ok(_) => added += 1,
                Err(ChangeError::Store(error)) => {
                    assert_eq!(met(&error), Some(QuotaKind::Member), "{error:?}")
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        let mut stored = 0;
        for lb in &made {
            stored += store.lb_fetch(*lb).await.unwrap().unwrap().members.len();
        }
        assert_eq!((added, stored), (ROOM, ROOM), "{}", database.name);
    }
}
