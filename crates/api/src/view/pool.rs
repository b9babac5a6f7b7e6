//! Pools.

use octavia_model::{HealthMonitorId, ListenerId, LoadBalancerGraph, MemberId, Pool, SessionPersistence};
use serde::Serialize;

use super::health_monitor::HealthMonitorView;
use super::member::MemberView;
use super::{Children, Id, IdRef, StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct PoolView {
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
    listeners: Vec<IdRef>,
    protocol: &'static str,
    lb_algorithm: &'static str,
    session_persistence: Option<SessionPersistenceView>,
    /// Absent, not null, when the pool has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    healthmonitor_id: Option<Id>,
    /// Only inside the answer to a create of the whole tree, and then null when the pool has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    healthmonitor: Option<Option<HealthMonitorView>>,
    members: Children<MemberView>,
    tls_enabled: bool,
    tls_container_ref: Option<String>,
    ca_tls_container_ref: Option<String>,
    crl_container_ref: Option<String>,
    tls_ciphers: Option<String>,
    tls_versions: Option<Vec<String>>,
    alpn_protocols: Option<Vec<String>>,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct SessionPersistenceView {
    r#type: &'static str,
    cookie_name: Option<String>,
    persistence_timeout: Option<i32>,
    persistence_granularity: Option<String>,
}

impl From<&SessionPersistence> for SessionPersistenceView {
    fn from(persistence: &SessionPersistence) -> Self {
        Self {
            r#type: persistence.kind.as_str(),
            cookie_name: persistence.cookie_name.clone(),
            persistence_timeout: persistence.persistence_timeout,
            persistence_granularity: persistence.persistence_granularity.clone(),
        }
    }
}

impl PoolView {
    pub(crate) fn flat(
        pool: &Pool,
        listeners: impl IntoIterator<Item = ListenerId>,
        members: impl IntoIterator<Item = MemberId>,
        health_monitor: Option<HealthMonitorId>,
    ) -> Self {
        Self {
            loadbalancers: Some(vec![IdRef::new(pool.load_balancer_id)]),
            healthmonitor_id: health_monitor.map(Into::into),
            ..Self::new(pool, IdRef::all(listeners), Children::Ids(IdRef::all(members)))
        }
    }

    pub(crate) fn one(graph: &LoadBalancerGraph, pool: &Pool) -> Self {
        let mut view = Self::flat(
            pool,
            graph.pool_listeners(pool.id).map(|listener| listener.id),
            graph.pool_members(pool.id).map(|member| member.id),
            graph.pool_health_monitor(pool.id).map(|monitor| monitor.id),
        );
        view.statuses.with_reason(&pool.statuses);
        view
    }

    pub(crate) fn in_graph(graph: &LoadBalancerGraph, pool: &Pool) -> Self {
        let listeners = graph.pool_listeners(pool.id).map(|listener| listener.id);
        let members = graph.pool_members(pool.id).map(MemberView::flat).collect();
        Self {
            healthmonitor: Some(graph.pool_health_monitor(pool.id).map(HealthMonitorView::in_graph)),
            ..Self::new(pool, IdRef::all(listeners), Children::Whole(members))
        }
    }

    fn new(pool: &Pool, listeners: Vec<IdRef>, members: Children<MemberView>) -> Self {
        Self {
            id: pool.id.into(),
            project_id: pool.project_id.to_string(),
            tenant_id: pool.project_id.to_string(),
            name: pool.name.clone(),
            description: pool.description.clone(),
            admin_state_up: pool.admin_state_up,
            statuses: (&pool.statuses).into(),
            loadbalancers: None,
            listeners,
            protocol: pool.protocol.as_str(),
            lb_algorithm: pool.lb_algorithm.as_str(),
            session_persistence: pool.session_persistence.as_ref().map(Into::into),
            healthmonitor_id: None,
            healthmonitor: None,
            members,
            tls_enabled: pool.tls_enabled,
            tls_container_ref: pool.tls_container_ref.clone(),
            ca_tls_container_ref: pool.ca_tls_container_ref.clone(),
            crl_container_ref: pool.crl_container_ref.clone(),
            tls_ciphers: pool.tls.ciphers.clone(),
            tls_versions: pool.tls.versions.clone(),
            alpn_protocols: pool.tls.alpn_protocols.clone(),
            tags: pool.tags.clone(),
            created_at: pool.created_at.into(),
            updated_at: pool.updated_at.map(Into::into),
        }
    }
}
