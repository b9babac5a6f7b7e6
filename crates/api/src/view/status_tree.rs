//! The status tree: what a person looks at first (`reference/api.md` §4.6). Beyond the original, it says why.

use octavia_model::{Listener, LoadBalancerGraph, Pool, PoolId};
use serde::Serialize;

use super::StatusView;

#[derive(Debug, Serialize)]
pub(crate) struct StatusTree {
    loadbalancer: LoadBalancerNode,
}

#[derive(Debug, Serialize)]
struct LoadBalancerNode {
    id: String,
    name: String,
    #[serde(flatten)]
    statuses: StatusView,
    listeners: Vec<ListenerNode>,
}

#[derive(Debug, Serialize)]
struct ListenerNode {
    id: String,
    name: String,
    #[serde(flatten)]
    statuses: StatusView,
    pools: Vec<PoolNode>,
}

#[derive(Debug, Serialize)]
struct PoolNode {
    id: String,
    name: String,
    #[serde(flatten)]
    statuses: StatusView,
    /// Spelled with an underscore here, and only here.
    health_monitor: Option<HealthMonitorNode>,
    members: Vec<MemberNode>,
}

#[derive(Debug, Serialize)]
struct HealthMonitorNode {
    id: String,
    name: String,
    r#type: &'static str,
    #[serde(flatten)]
    statuses: StatusView,
}

#[derive(Debug, Serialize)]
struct MemberNode {
    id: String,
    name: String,
    #[serde(flatten)]
    statuses: StatusView,
    address: String,
    protocol_port: u16,
}

impl StatusTree {
    /// Pools that no listener uses do not appear, L7 policies neither: of those, the pools they lead to.
    pub(crate) fn new(graph: &LoadBalancerGraph) -> Self {
        let root = &graph.load_balancer;
        Self {
            loadbalancer: LoadBalancerNode {
                id: root.id.to_string(),
                name: root.name.clone(),
                statuses: StatusView::one(&root.statuses),
                listeners: graph.listeners.iter().map(|listener| listener_node(graph, listener)).collect(),
            },
        }
    }
}

fn listener_node(graph: &LoadBalancerGraph, listener: &Listener) -> ListenerNode {
    let mut pools: Vec<PoolId> = vec![];
    for pool in listener.default_pool_id.into_iter().chain(graph.listener_redirect_pools(listener.id)) {
        if !pools.contains(&pool) {
            pools.push(pool);
        }
    }
    ListenerNode {
        id: listener.id.to_string(),
        name: listener.name.clone(),
        statuses: StatusView::one(&listener.statuses),
        pools: pools.into_iter().filter_map(|id| graph.pool(id)).map(|pool| pool_node(graph, pool)).collect(),
    }
}

fn pool_node(graph: &LoadBalancerGraph, pool: &Pool) -> PoolNode {
    PoolNode {
        id: pool.id.to_string(),
        name: pool.name.clone(),
        statuses: StatusView::one(&pool.statuses),
        health_monitor: graph.pool_health_monitor(pool.id).map(|monitor| HealthMonitorNode {
            id: monitor.id.to_string(),
            name: monitor.name.clone(),
            r#type: monitor.kind.as_str(),
            statuses: StatusView::one(&monitor.statuses),
        }),
        members: graph
            .pool_members(pool.id)
            .map(|member| MemberNode {
                id: member.id.to_string(),
                name: member.name.clone(),
                statuses: StatusView::one(&member.statuses),
                address: member.address.clone(),
                protocol_port: member.protocol_port,
            })
            .collect(),
    }
}
