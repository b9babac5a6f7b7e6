//! Listeners.

use std::collections::BTreeMap;

use octavia_model::{L7PolicyId, Listener, LoadBalancerGraph};
use serde::Serialize;

use super::l7policy::L7PolicyView;
use super::{Children, Id, IdRef, StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct ListenerView {
    id: Id,
    project_id: String,
    tenant_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    /// Absent inside the answer to a create of the whole tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    loadbalancers: Option<Vec<IdRef>>,
    protocol: &'static str,
    protocol_port: u16,
    connection_limit: Option<i32>,
    default_pool_id: Option<Id>,
    /// By position.
    l7policies: Children<L7PolicyView>,
    insert_headers: BTreeMap<String, String>,
    default_tls_container_ref: Option<String>,
    sni_container_refs: Vec<String>,
    client_ca_tls_container_ref: Option<String>,
    client_authentication: &'static str,
    client_crl_container_ref: Option<String>,
    timeout_client_data: u32,
    timeout_member_connect: u32,
    timeout_member_data: u32,
    timeout_tcp_inspect: u32,
    allowed_cidrs: Option<Vec<String>>,
    tls_ciphers: Option<String>,
    tls_versions: Option<Vec<String>>,
    alpn_protocols: Option<Vec<String>>,
    hsts_max_age: Option<u32>,
    hsts_include_subdomains: bool,
    hsts_preload: bool,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl ListenerView {
    pub(crate) fn flat(listener: &Listener, l7policies: impl IntoIterator<Item = L7PolicyId>) -> Self {
        Self {
            loadbalancers: Some(vec![IdRef::new(listener.load_balancer_id)]),
            ..Self::new(listener, Children::Ids(IdRef::all(l7policies)))
        }
    }

    pub(crate) fn one(graph: &LoadBalancerGraph, listener: &Listener) -> Self {
        let policies = graph.listener_l7policies(listener.id);
        let mut view = Self::flat(listener, policies.into_iter().map(|policy| policy.id));
        view.statuses.with_reason(&listener.statuses);
        view
    }

    pub(crate) fn in_graph(graph: &LoadBalancerGraph, listener: &Listener) -> Self {
        let policies = graph.listener_l7policies(listener.id);
        let policies = policies.into_iter().map(|policy| L7PolicyView::in_graph(graph, policy)).collect();
        Self::new(listener, Children::Whole(policies))
    }

    fn new(listener: &Listener, l7policies: Children<L7PolicyView>) -> Self {
        Self {
            id: listener.id.into(),
            project_id: listener.project_id.to_string(),
            tenant_id: listener.project_id.to_string(),
            name: listener.name.clone(),
            description: listener.description.clone(),
            admin_state_up: listener.admin_state_up,
            statuses: (&listener.statuses).into(),
            loadbalancers: None,
            protocol: listener.protocol.as_str(),
            protocol_port: listener.protocol_port,
            connection_limit: listener.connection_limit,
            default_pool_id: listener.default_pool_id.map(Into::into),
            l7policies,
            insert_headers: listener.insert_headers.clone(),
            default_tls_container_ref: listener.default_tls_container_ref.clone(),
            sni_container_refs: listener.sni_container_refs.clone(),
            client_ca_tls_container_ref: listener.client_ca_tls_container_ref.clone(),
            client_authentication: listener.client_authentication.as_str(),
            client_crl_container_ref: listener.client_crl_container_ref.clone(),
            timeout_client_data: listener.timeouts.client_data,
            timeout_member_connect: listener.timeouts.member_connect,
            timeout_member_data: listener.timeouts.member_data,
            timeout_tcp_inspect: listener.timeouts.tcp_inspect,
            allowed_cidrs: listener
                .allowed_cidrs
                .as_ref()
                .map(|cidrs| cidrs.iter().map(ToString::to_string).collect()),
            tls_ciphers: listener.tls.ciphers.clone(),
            tls_versions: listener.tls.versions.clone(),
            alpn_protocols: listener.tls.alpn_protocols.clone(),
            hsts_max_age: listener.hsts_max_age,
            hsts_include_subdomains: listener.hsts_include_subdomains,
            hsts_preload: listener.hsts_preload,
            tags: listener.tags.clone(),
            created_at: listener.created_at.into(),
            updated_at: listener.updated_at.map(Into::into),
        }
    }
}
