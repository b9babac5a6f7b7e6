//! L7 policies and rules: what refers to what while they come and go, and the lists that look through them.

use octavia_model::*;
use octavia_store::{ListQuery, Settlement, Store};

use crate::change::change;
use crate::databases::on_all;
use crate::lease::leased;
use crate::sample;

/// The names of the listener's policies by position, with their rules' values.
fn policies(graph: &LoadBalancerGraph) -> String {
    let policies = graph.listener_l7policies(graph.listeners[0].id);
    let words = policies.iter().enumerate().map(|(at, policy)| {
        assert_eq!(usize::try_from(policy.position).unwrap(), at + 1);
        let rules: String = graph.l7policy_rules(policy.id).map(|rule| rule.value.as_str()).collect();
        format!("{}{rules}", policy.name)
    });
    words.collect::<Vec<_>>().join(" ")
}

fn find(graph: &LoadBalancerGraph, name: &str) -> L7PolicyId {
    graph.l7policies.iter().find(|policy| policy.name == name).unwrap().id
}

fn leave(statuses: &mut Statuses) {
    statuses.provisioning = ProvisioningStatus::PendingDelete;
}

#[tokio::test]
async fn policies_move_arrive_and_go() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        let settle = |generation| {
            let (store, lease) = (store.clone(), &lease);
            async move {
                store.lb_settle(lease, generation, &Settlement::default()).await.unwrap();
                store.lb_fetch(lb).await.unwrap().unwrap()
            }
        };
        let graph = change(&store, lb, |graph| {
            for (name, position) in [("a", 1), ("b", 1), ("c", 3)] {
                let policy = L7Policy { name: name.to_owned(), ..sample::l7policy(&graph.listeners[0]) };
                let id = policy.id;
                graph.l7rules.push(sample::l7rule(&policy, &format!("/{name}")));
                graph.l7policies.push(policy);
                graph.l7policy_place(id, position);
            }
        })
        .await;
        assert_eq!(policies(&graph), "b/b a/a c/c /private");
        // Creation orders the graph, whatever the positions are.
        assert_eq!(graph.l7policies.iter().map(|policy| policy.name.as_str()).collect::<String>(), "abc");
        let graph = settle(2).await;
        assert!(graph.l7policies.iter().all(|policy| policy.statuses.operating == OperatingStatus::Online));
        assert!(graph.l7rules.iter().all(|rule| rule.statuses.operating == OperatingStatus::Online));

        // What is disabled is in force, and off; a rule alone goes.
        change(&store, lb, |graph| {
            let (a, b) = (find(graph, "a"), find(graph, "b"));
            graph.l7policy_place(a, 99);
            graph.l7policy_mut(b).unwrap().admin_state_up = false;
            let rule = graph.l7rules.iter_mut().find(|rule| rule.l7policy_id == b).unwrap();
            leave(&mut rule.statuses);
        })
        .await;
        let graph = settle(3).await;
        assert_eq!(policies(&graph), "b c/c /private a/a");
        assert_eq!(graph.l7policy(find(&graph, "b")).unwrap().statuses.operating, OperatingStatus::Offline);

        // A policy goes with its rules, and the gap is closed.
        change(&store, lb, |graph| {
            let c = find(graph, "c");
            leave(&mut graph.l7policy_mut(c).unwrap().statuses);
        })
        .await;
        let graph = settle(4).await;
        assert_eq!(policies(&graph), "b /private a/a");
        assert_eq!(graph.l7rules.len(), 2);

        // They go with their listener.
        change(&store, lb, |graph| leave(&mut graph.listeners[0].statuses)).await;
        let graph = settle(5).await;
        assert!(graph.listeners.is_empty() && graph.l7policies.is_empty() && graph.l7rules.is_empty());
        assert_eq!(graph.pools.len(), 1);
    })
    .await;
}

/// A pool that a policy leads to is let go by an update of it, and not without its policy otherwise.
#[tokio::test]
async fn a_pool_goes_after_what_leads_to_it() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        let other = sample::pool(&graph.load_balancer);
        let redirect = |policy: &mut L7Policy, pool| {
            policy.action = L7PolicyAction::RedirectToPool;
            policy.redirect_pool_id = Some(pool);
        };
        change(&store, lb, |graph| {
            redirect(&mut graph.l7policies[0], other.id);
            graph.pools.push(other.clone());
        })
        .await;
        // In one change: another target, and the old one goes.
        let graph = change(&store, lb, |graph| {
            redirect(&mut graph.l7policies[0], graph.pools[0].id);
            graph.pools.retain(|pool| pool.id != other.id);
        })
        .await;
        assert_eq!(graph.l7policies[0].redirect_pool_id, Some(graph.pools[0].id));
        change(&store, lb, |graph| leave(&mut graph.pools[0].statuses)).await;
        store.lb_settle(&lease, 4, &Settlement::default()).await.unwrap();
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert!(graph.pools.is_empty() && graph.l7policies.is_empty() && graph.l7rules.is_empty());
        assert_eq!(graph.listeners.len(), 1);
    })
    .await;
}

async fn listeners_of(store: &Store, pool: PoolId) -> Vec<ListenerId> {
    let pools = store.pool_list(&ListQuery::default()).await.unwrap().items;
    pools.into_iter().find(|item| item.pool.id == pool).unwrap().listeners
}

/// The list of pools and the tree say the same of who uses one.
#[tokio::test]
async fn a_pools_listeners_are_those_that_lead_to_it() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let (lb, pool) = (graph.load_balancer.id, graph.pools[0].id);
        type Change = fn(&mut LoadBalancerGraph);
        let changes: [(Change, usize); 6] = [
            // A second listener, whose policy has no rule yet.
            (
                |graph| {
                    let listener = sample::listener(&graph.load_balancer, 81);
                    let policy = L7Policy {
                        action: L7PolicyAction::RedirectToPool,
                        redirect_pool_id: Some(graph.pools[0].id),
                        ..sample::l7policy(&listener)
                    };
                    graph.listeners.push(listener);
                    graph.l7policies.push(policy);
                },
                1,
            ),
            (
                |graph| {
                    let rules = ["/a", "/b"].map(|path| sample::l7rule(&graph.l7policies[1], path));
                    graph.l7rules.extend(rules);
                },
                2,
            ),
            (|graph| graph.l7policies[1].admin_state_up = false, 1),
            (|graph| graph.l7policies[1].admin_state_up = true, 2),
            (|graph| graph.listeners[0].default_pool_id = None, 1),
            // By default and by a policy, but once.
            (|graph| graph.listeners[1].default_pool_id = Some(graph.pools[0].id), 1),
        ];
        for (step, (make, count)) in changes.into_iter().enumerate() {
            let graph = change(&store, lb, make).await;
            let expected: Vec<_> = graph.pool_listeners(pool).map(|listener| listener.id).collect();
            assert_eq!(listeners_of(&store, pool).await, expected, "step {step}");
            assert_eq!(expected.len(), count, "step {step}");
        }
    })
    .await;
}
