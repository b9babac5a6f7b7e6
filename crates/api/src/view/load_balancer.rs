//! Load balancers.

use octavia_model::{ListenerId, LoadBalancer, LoadBalancerGraph, PoolId};
use serde::Serialize;

use super::listener::ListenerView;
use super::pool::PoolView;
use super::{Children, Id, IdRef, StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct LoadBalancerView {
    id: Id,
    project_id: String,
    tenant_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    vip_address: String,
    vip_subnet_id: Id,
    vip_network_id: Id,
    vip_port_id: Id,
    vip_qos_policy_id: Option<Id>,
    vip_sg_ids: Vec<Id>,
    vip_vnic_type: &'static str,
    additional_vips: Vec<AdditionalVipView>,
    provider: String,
    flavor_id: Option<Id>,
    availability_zone: Option<String>,
    listeners: Children<ListenerView>,
    pools: Children<PoolView>,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct AdditionalVipView {
    subnet_id: Id,
    ip_address: String,
    port_id: Id,
}

impl LoadBalancerView {
    pub(crate) fn flat(
        load_balancer: &LoadBalancer,
        listeners: impl IntoIterator<Item = ListenerId>,
        pools: impl IntoIterator<Item = PoolId>,
    ) -> Self {
        Self::new(load_balancer, Children::Ids(IdRef::all(listeners)), Children::Ids(IdRef::all(pools)))
    }

    /// As [`Self::flat`], with the reason of its status.
    pub(crate) fn one(
        load_balancer: &LoadBalancer,
        listeners: impl IntoIterator<Item = ListenerId>,
        pools: impl IntoIterator<Item = PoolId>,
    ) -> Self {
        let mut view = Self::flat(load_balancer, listeners, pools);
        view.statuses.with_reason(&load_balancer.statuses);
        view
    }

    /// The whole tree, as a create answers.
    pub(crate) fn graph(graph: &LoadBalancerGraph) -> Self {
        Self::new(
            &graph.load_balancer,
            Children::Whole(graph.listeners.iter().map(|l| ListenerView::in_graph(graph, l)).collect()),
            Children::Whole(graph.pools.iter().map(|pool| PoolView::in_graph(graph, pool)).collect()),
        )
    }

    fn new(
        load_balancer: &LoadBalancer,
        listeners: Children<ListenerView>,
        pools: Children<PoolView>,
    ) -> Self {
        let vip = &load_balancer.vip;
        Self {
            id: load_balancer.id.into(),
            project_id: load_balancer.project_id.to_string(),
            tenant_id: load_balancer.project_id.to_string(),
            name: load_balancer.name.clone(),
            description: load_balancer.description.clone(),
            admin_state_up: load_balancer.admin_state_up,
            statuses: (&load_balancer.statuses).into(),
            vip_address: vip.address.to_string(),
            vip_subnet_id: vip.subnet_id.into(),
            vip_network_id: vip.network_id.into(),
            vip_port_id: vip.port_id.into(),
            vip_qos_policy_id: vip.qos_policy_id.map(Into::into),
            vip_sg_ids: vip.sg_ids.iter().copied().map(Into::into).collect(),
            vip_vnic_type: vip.vnic_type.as_str(),
            additional_vips: load_balancer
                .additional_vips
                .iter()
                .map(|vip| AdditionalVipView {
                    subnet_id: vip.subnet_id.into(),
                    ip_address: vip.address.to_string(),
                    port_id: vip.port_id.into(),
                })
                .collect(),
            provider: load_balancer.provider.clone(),
            flavor_id: load_balancer.flavor_id.map(Into::into),
            availability_zone: load_balancer.availability_zone.clone(),
            listeners,
            pools,
            tags: load_balancer.tags.clone(),
            created_at: load_balancer.created_at.into(),
            updated_at: load_balancer.updated_at.map(Into::into),
        }
    }
}
