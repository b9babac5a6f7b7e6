//! Load balancers.

use std::net::IpAddr;

use octavia_model::{ListenerId, LoadBalancer, LoadBalancerGraph, PoolId};
use serde::Serialize;

use super::listener::ListenerView;
use super::pool::PoolView;
use super::{Children, Id, IdRef, StatusView, Time};

/// Of what it shows, texts are borrowed: lists are long.
#[derive(Debug, Serialize)]
pub(crate) struct LoadBalancerView<'a> {
    id: Id,
    project_id: &'a str,
    tenant_id: &'a str,
    name: &'a str,
    description: &'a str,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    vip_address: IpAddr,
    vip_subnet_id: Id,
    vip_network_id: Id,
    vip_port_id: Id,
    vip_qos_policy_id: Option<Id>,
    vip_sg_ids: Vec<Id>,
    vip_vnic_type: &'static str,
    additional_vips: Vec<AdditionalVipView>,
    provider: &'a str,
    flavor_id: Option<Id>,
    availability_zone: Option<&'a str>,
    listeners: Children<ListenerView>,
    pools: Children<PoolView>,
    tags: &'a [String],
    created_at: Time,
    updated_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct AdditionalVipView {
    subnet_id: Id,
    ip_address: String,
    port_id: Id,
}

impl<'a> LoadBalancerView<'a> {
    pub(crate) fn flat(
        load_balancer: &'a LoadBalancer,
        listeners: impl IntoIterator<Item = ListenerId>,
        pools: impl IntoIterator<Item = PoolId>,
    ) -> Self {
        Self::new(load_balancer, Children::Ids(IdRef::all(listeners)), Children::Ids(IdRef::all(pools)))
    }

    /// As [`Self::flat`], with the reason of its status.
    pub(crate) fn one(
        load_balancer: &'a LoadBalancer,
        listeners: impl IntoIterator<Item = ListenerId>,
        pools: impl IntoIterator<Item = PoolId>,
    ) -> Self {
        let mut view = Self::flat(load_balancer, listeners, pools);
        view.statuses.with_reason(&load_balancer.statuses);
        view
    }

    /// The whole tree, as a create answers.
    pub(crate) fn graph(graph: &'a LoadBalancerGraph) -> Self {
        Self::new(
            &graph.load_balancer,
            Children::Whole(graph.listeners.iter().map(|l| ListenerView::in_graph(graph, l)).collect()),
            Children::Whole(graph.pools.iter().map(|pool| PoolView::in_graph(graph, pool)).collect()),
        )
    }

    fn new(
        load_balancer: &'a LoadBalancer,
        listeners: Children<ListenerView>,
        pools: Children<PoolView>,
    ) -> Self {
        let vip = &load_balancer.vip;
        Self {
            id: load_balancer.id.into(),
            project_id: load_balancer.project_id.as_str(),
            tenant_id: load_balancer.project_id.as_str(),
            name: &load_balancer.name,
            description: &load_balancer.description,
            admin_state_up: load_balancer.admin_state_up,
            statuses: (&load_balancer.statuses).into(),
            vip_address: vip.address,
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
            provider: &load_balancer.provider,
            flavor_id: load_balancer.flavor_id.map(Into::into),
            availability_zone: load_balancer.availability_zone.as_deref(),
            listeners,
            pools,
            tags: &load_balancer.tags,
            created_at: load_balancer.created_at.into(),
            updated_at: load_balancer.updated_at.map(Into::into),
        }
    }
}
