//! Desired state: what is written comes back, and only under its conditions.

use octavia_model::*;
use octavia_store::{Accept, ChangeError, Duplicate, ListQuery, Store, StoreError, TagFilter};

use crate::databases::on_all;
use crate::sample;

pub(crate) const UPDATE: Accept = Accept {
    statuses: &[
        ProvisioningStatus::Active,
        ProvisioningStatus::PendingCreate,
        ProvisioningStatus::PendingUpdate,
    ],
    root_status_after: Some(ProvisioningStatus::PendingUpdate),
};

#[tokio::test]
async fn every_attribute_comes_back() {
    on_all(|store| async move {
        for graph in
            [sample::small(), sample::maximal(), LoadBalancerGraph::new(sample::load_balancer("p", ""))]
        {
            let stored = sample::create(&store, &graph).await;
            let fetched = store.lb_fetch(graph.load_balancer.id).await.unwrap().unwrap();
            assert_eq!(fetched, stored);
            let mut expected = graph.clone();
            expected.load_balancer.generation = 1;
            assert_eq!(without_times(fetched), without_times(expected));
        }
        assert_eq!(store.lb_fetch(LoadBalancerId::new_v4()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_load_balancer_is_shown_as_lists_show_it() {
    on_all(|store| async move {
        for graph in
            [sample::small(), sample::maximal(), LoadBalancerGraph::new(sample::load_balancer("p", ""))]
        {
            let id = sample::create(&store, &graph).await.load_balancer.id;
            let more = change(&store, id, |graph| {
                graph.pools.extend([sample::pool(&graph.load_balancer), sample::pool(&graph.load_balancer)]);
                graph.listeners.push(sample::listener(&graph.load_balancer, 81));
            })
            .await;
            let shown = store.lb_show(id).await.unwrap().unwrap();
            let query =
                ListQuery { filters: vec![("id".to_owned(), vec![id.to_string()])], ..ListQuery::default() };
            assert_eq!(store.lb_list(&query).await.unwrap().items, std::slice::from_ref(&shown));
            assert_eq!(shown.load_balancer, more.load_balancer);
            assert_eq!(shown.pools, more.pools.iter().map(|pool| pool.id).collect::<Vec<_>>());
        }
        assert_eq!(store.lb_show(LoadBalancerId::new_v4()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn imported_load_balancers_are_as_they_were() {
    on_all(|store| async move {
        let mut graphs = vec![];
        for graph in [sample::small(), sample::maximal()] {
            let id = sample::create(&store, &graph).await.load_balancer.id;
            let mut graph = change(&store, id, |graph| graph.load_balancer.name = "changed".to_owned()).await;
            graph.load_balancer.applied_generation = 1;
            graphs.push(graph);
        }
        let tagged = ListQuery {
            tags: TagFilter { tags: vec!["ü".to_owned()], ..TagFilter::default() },
            ..ListQuery::default()
        };
        let before = store.pool_list(&tagged).await.unwrap();
        assert_eq!(before.items.len(), 1);
        let zone = graphs[1].load_balancer.availability_zone.take();
        let flavor = graphs[1].load_balancer.flavor_id.take();
        assert!(zone.is_some() && flavor.is_some(), "they are kept elsewhere");

        store.clear().await.unwrap();
        let twice = [graphs.clone(), graphs.clone()].concat();
        let error = store.lb_import(&twice).await.unwrap_err();
        assert!(matches!(error, StoreError::Duplicate(Duplicate::LoadBalancer)), "{error}");
        store.lb_import(&graphs).await.unwrap();
        for graph in &graphs {
            let id = graph.load_balancer.id;
            assert_eq!(store.lb_fetch(id).await.unwrap().as_ref(), Some(graph));
            assert!(store.work_due(10).await.unwrap().contains(&id));
        }
        assert_eq!(store.pool_list(&tagged).await.unwrap(), before);
        store.lb_import(&[]).await.unwrap();
    })
    .await;
}

pub(crate) fn without_times(mut graph: LoadBalancerGraph) -> LoadBalancerGraph {
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    (graph.load_balancer.created_at, graph.load_balancer.updated_at) = (epoch, None);
    graph.listeners.iter_mut().for_each(|c| (c.created_at, c.updated_at) = (epoch, None));
    graph.pools.iter_mut().for_each(|c| (c.created_at, c.updated_at) = (epoch, None));
    graph.members.iter_mut().for_each(|c| (c.created_at, c.updated_at) = (epoch, None));
    graph.health_monitors.iter_mut().for_each(|c| (c.created_at, c.updated_at) = (epoch, None));
    graph.l7policies.iter_mut().for_each(|c| (c.created_at, c.updated_at) = (epoch, None));
    graph.l7rules.iter_mut().for_each(|c| (c.created_at, c.updated_at) = (epoch, None));
    graph
}

/// Applies the change and checks that what is answered is what is stored.
pub(crate) async fn change(
    store: &Store,
    id: LoadBalancerId,
    change: impl Fn(&mut LoadBalancerGraph),
) -> LoadBalancerGraph {
    let change = |graph: &mut LoadBalancerGraph| {
        change(graph);
        Ok::<_, ()>(())
    };
    let ((), graph) = store.lb_change(id, UPDATE, change).await.unwrap();
    assert_eq!(store.lb_fetch(id).await.unwrap().unwrap(), graph);
    graph
}

#[tokio::test]
async fn a_change_writes_the_difference() {
    on_all(|store| async move {
        let small = sample::small();
        let id = small.load_balancer.id;
        store.lb_create(&small).await.unwrap();

        let lb = small.load_balancer.clone();
        let graph = change(&store, id, |graph| {
            let pool = sample::pool(&lb);
            graph.listeners[0].default_pool_id = Some(pool.id);
            graph.listeners[0].tags = vec!["one".to_owned(), "one".to_owned()];
            graph.members.remove(0);
            graph.members.push(sample::member(&pool, "127.0.0.1"));
            graph.health_monitors.clear();
            graph.pools.push(pool);
        })
        .await;
        assert_eq!(graph.load_balancer.generation, 2);
        assert_eq!(graph.load_balancer.statuses.provisioning, ProvisioningStatus::PendingUpdate);
        assert!(graph.listeners[0].updated_at.is_some() && graph.pools[0].updated_at.is_none());

        // The pool goes that the listener had first; every row is replaced.
        let graph = change(&store, id, |graph| {
            let pool = graph.pools[1].id;
            graph.pools.retain(|p| p.id == pool);
            graph.members.retain(|m| m.pool_id == pool);
            graph.load_balancer.tags = vec!["t".to_owned()];
            graph.load_balancer.vip.sg_ids = vec![SecurityGroupId::new_v4()];
        })
        .await;
        assert_eq!((graph.load_balancer.generation, graph.pools.len(), graph.members.len()), (3, 1, 1));

        // Everything below goes.
        let graph =
            change(&store, id, |graph| *graph = LoadBalancerGraph::new(graph.load_balancer.clone())).await;
        assert_eq!(graph.load_balancer.generation, 4);
    })
    .await;
}

#[tokio::test]
async fn a_change_needs_its_conditions() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let id = graph.load_balancer.id;
        let nothing = |_: &mut LoadBalancerGraph| Ok::<_, &str>(());
        let active = Accept { statuses: &[ProvisioningStatus::Active], root_status_after: None };
        let pending = Accept { statuses: &[ProvisioningStatus::PendingCreate], root_status_after: None };

        let refused = store.lb_change(id, active, nothing).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Refused(ProvisioningStatus::PendingCreate)), "{refused:?}");
        let absent = store.lb_change(LoadBalancerId::new_v4(), pending, nothing).await.unwrap_err();
        assert!(matches!(absent, ChangeError::NotFound), "{absent:?}");
        let rejected = store.lb_change(id, pending, |graph| {
            graph.load_balancer.name = "other".to_owned();
            Err::<(), _>("no")
        });
        let rejected = rejected.await.unwrap_err();
        assert!(matches!(rejected, ChangeError::Rejected("no")), "{rejected:?}");
        // Nothing differs, nothing was asked for: no generation.
        let (_, same) = store.lb_change(id, pending, nothing).await.unwrap();
        assert_eq!(same, graph);
        assert_eq!(store.lb_fetch(id).await.unwrap().unwrap(), graph);

        // Once deletion is asked for, only deletion may be.
        let delete = Accept {
            statuses: &[ProvisioningStatus::PendingCreate, ProvisioningStatus::PendingDelete],
            root_status_after: Some(ProvisioningStatus::PendingDelete),
        };
        store.lb_change(id, delete, nothing).await.unwrap();
        let anything = Accept { statuses: ProvisioningStatus::ALL, ..UPDATE };
        let refused = store.lb_change(id, anything, nothing).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Refused(ProvisioningStatus::PendingDelete)), "{refused:?}");
        store.lb_change(id, delete, nothing).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_must_be_unique_is() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let again = store.lb_create(&graph).await.unwrap_err();
        assert!(matches!(again, StoreError::Duplicate(Duplicate::LoadBalancer)), "{again:?}");
        type Break = fn(&mut LoadBalancerGraph);
        let cases: [(Duplicate, Break); 3] = [
            (Duplicate::ListenerPort, |graph| {
                // On its way out, a listener still has its port; HTTP and TCP share a transport.
                graph.listeners[0].statuses.provisioning = ProvisioningStatus::PendingDelete;
                let mut tcp = sample::listener(&graph.load_balancer, 80);
                tcp.protocol = ListenerProtocol::Tcp;
                graph.listeners.push(tcp);
            }),
            (Duplicate::MemberAddress, |graph| {
                graph.members.push(sample::member(&graph.pools[0], "127.0.0.1"))
            }),
            (Duplicate::HealthMonitor, |graph| {
                graph.health_monitors.push(sample::health_monitor(&graph.pools[0]))
            }),
        ];
        let id = graph.load_balancer.id;
        for (key, break_it) in cases {
            let breaking = |graph: &mut LoadBalancerGraph| {
                break_it(graph);
                Ok::<_, ()>(())
            };
            let error = store.lb_change(id, UPDATE, breaking).await.unwrap_err();
            assert!(
                matches!(error, ChangeError::Store(StoreError::Duplicate(k)) if k == key),
                "{key:?}: {error:?}"
            );
        }
        assert_eq!(store.lb_fetch(id).await.unwrap().unwrap(), graph);
        change(&store, id, |graph| {
            let mut udp = sample::listener(&graph.load_balancer, 80);
            udp.protocol = ListenerProtocol::Udp;
            graph.listeners.push(udp);
            // Text decides: another writing is another address, and so is another case.
            graph.members.push(sample::member(&graph.pools[0], "FD00::1"));
            graph.members.push(sample::member(&graph.pools[0], "fd00::1"));
        })
        .await;
    })
    .await;
}

/// Ten writers, one load balancer: all succeed, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_come_one_after_the_other() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let id = graph.load_balancer.id;
        let writers: Vec<_> = (0..10u16)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    for round in 0..3 {
                        let add = |graph: &mut LoadBalancerGraph| {
                            let listener = sample::listener(&graph.load_balancer, 1000 + 10 * n + round);
                            graph.listeners.push(listener);
                            Ok::<_, ()>(())
                        };
                        store.lb_change(id, UPDATE, add).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let graph = store.lb_fetch(id).await.unwrap().unwrap();
        assert_eq!((graph.load_balancer.generation, graph.listeners.len()), (31, 31));
    })
    .await;
}
