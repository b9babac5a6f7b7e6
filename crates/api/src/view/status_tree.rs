//! The status tree: what a person looks at first (`reference/api.md` §4.6).

use octavia_model::{Listener, LoadBalancerGraph, Pool};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct StatusTree {
    loadbalancer: LoadBalancerNode,
}

#[derive(Debug, Serialize)]
struct LoadBalancerNode {
    id: String,
    name: String,
    operating_status: &'static str,
    provisioning_status: &'static str,
    listeners: Vec<ListenerNode>,
}

#[derive(Debug, Serialize)]
struct ListenerNode {
    id: String,
    name: String,
    operating_status: &'static str,
    provisioning_status: &'static str,
    pools: Vec<PoolNode>,
}

#[derive(Debug, Serialize)]
struct PoolNode {
    id: String,
    name: String,
    provisioning_status: &'static str,
    operating_status: &'static str,
    /// Spelled with an underscore here, and only here.
    health_monitor: Option<HealthMonitorNode>,
    members: Vec<MemberNode>,
}

#[derive(Debug, Serialize)]
struct HealthMonitorNode {
    id: String,
    name: String,
    r#type: &'static str,
    provisioning_status: &'static str,
    operating_status: &'static str,
}

#[derive(Debug, Serialize)]
struct MemberNode {
    id: String,
    name: String,
    operating_status: &'static str,
    provisioning_status: &'static str,
    address: String,
    protocol_port: u16,
}

impl StatusTree {
    /// Pools that no listener uses do not appear.
    pub(crate) fn new(graph: &LoadBalancerGraph) -> Self {
        let root = &graph.load_balancer;
        Self {
            loadbalancer: LoadBalancerNode {
                id: root.id.to_string(),
                name: root.name.clone(),
                operating_status: root.statuses.operating.as_str(),
                provisioning_status: root.statuses.provisioning.as_str(),
                listeners: graph.listeners.iter().map(|listener| listener_node(graph, listener)).collect(),
            },
        }
    }
}

fn listener_node(graph: &LoadBalancerGraph, listener: &Listener) -> ListenerNode {
    let pool = listener.default_pool_id.and_then(|id| graph.pool(id));
    ListenerNode {
        id: listener.id.to_string(),
        name: listener.name.clone(),
        operating_status: listener.statuses.operating.as_str(),
        provisioning_status: listener.statuses.provisioning.as_str(),
        pools: pool.into_iter().map(|pool| pool_node(graph, pool)).collect(),
    }
}

fn pool_node(graph: &LoadBalancerGraph, pool: &Pool) -> PoolNode {
    PoolNode {
        id: pool.id.to_string(),
        name: pool.name.clone(),
        provisioning_status: pool.statuses.provisioning.as_str(),
        operating_status: pool.statuses.operating.as_str(),
        health_monitor: graph.pool_health_monitor(pool.id).map(|monitor| HealthMonitorNode {
            id: monitor.id.to_string(),
            name: monitor.name.clone(),
            r#type: monitor.kind.as_str(),
            provisioning_status: monitor.statuses.provisioning.as_str(),
            operating_status: monitor.statuses.operating.as_str(),
        }),
        members: graph
            .pool_members(pool.id)
            .map(|member| MemberNode {
                id: member.id.to_string(),
                name: member.name.clone(),
                operating_status: member.statuses.operating.as_str(),
                provisioning_status: member.statuses.provisioning.as_str(),
                address: member.address.clone(),
                protocol_port: member.protocol_port,
            })
            .collect(),
    }
}
