//! A load balancer's tree, as one amphora shall run it.
//!
//! What is rendered follows the original's configuration templates (`reference/amphora.md` §9): a disabled load
//! balancer has no listeners, a disabled listener is absent, a disabled pool is absent and references to it are
//! dropped, what is being deleted is absent; everything else is there, whatever its provisioning status.

mod layer7;
mod sorry;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use octavia_model::{
    AmphoraId, HealthMonitor, HttpMethod, Listener, ListenerId, ListenerProtocol, LoadBalancerGraph, Member,
    Pool, PoolId, PoolProtocol, SessionPersistence, SessionPersistenceType, Transport,
};
use octavia_wire::{
    AccessLogSpec, AmphoraSpec, HttpCheck, IdentitySpec, InsertHeader, ListenerSpec, LogFormatSpec,
    LogTarget, MemberSpec, MonitorSpec, PROXIES_MAX, PersistenceSpec, PoolIdentitySpec, PoolSpec,
    TimeoutsSpec, TlsFault,
};

pub use self::sorry::{SORRY_TAG, SorryPage, SorryPages};
use crate::codes::expected_codes;

/// A listener believes proxies of the network after it, in CIDR notation.
const ACCEPT_PROXY_TAG: &str = "octavia:accept_proxy=";
/// Seconds a client of UDP or SCTP is remembered for if its pool does not say.
const IPVS_PERSISTENCE: u32 = 360;

/// What the references of listeners and pools lead to, or why that cannot be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    pub listeners: BTreeMap<ListenerId, Result<IdentitySpec, TlsFault>>,
    pub pools: BTreeMap<PoolId, Result<PoolIdentitySpec, TlsFault>>,
}

impl Identities {
    /// Of nothing.
    pub const fn new() -> Self {
        Self { listeners: BTreeMap::new(), pools: BTreeMap::new() }
    }
}

/// What an operator chooses for all amphorae.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecOptions {
    /// Connections at once to a listener that has no limit of its own, from 1; `None` = any number.
    pub default_connection_limit: Option<u32>,
    /// `None` = finished requests and connections are told of nowhere.
    pub access_log: Option<AccessLogOptions>,
    /// For clients whose request no member can take.
    pub sorry_pages: Arc<SorryPages>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogOptions {
    pub format: LogFormatSpec,
    pub targets: Vec<LogTarget>,
}

/// Compiles the tree for one amphora. The same arguments give the same spec; `fence` is the epoch of the lease under which
/// it will be pushed. [`terminating`] listeners and [`encrypting`] pools want an identity: without one they go on with
/// what the amphora has for them.
pub fn compile(
    graph: &LoadBalancerGraph,
    amphora: AmphoraId,
    fence: u64,
    identities: &Identities,
    options: &SpecOptions,
) -> AmphoraSpec {
    let lb = &graph.load_balancer;
    let listeners: Vec<ListenerSpec> =
        running(graph).map(|l| listener(graph, l, identities.listeners.get(&l.id), options)).collect();
    let reachable: BTreeSet<PoolId> = listeners.iter().flat_map(ListenerSpec::pools).collect();
    let pools = graph.pools.iter().filter(|p| reachable.contains(&p.id));
    let pools: Vec<_> = pools.map(|p| pool(graph, p, identities.pools.get(&p.id))).collect();
    AmphoraSpec {
        version: AmphoraSpec::version_of(&listeners, &pools, None),
        amphora_id: amphora,
        load_balancer_id: lb.id,
        generation: lb.generation,
        fence,
        vips: std::iter::once(lb.vip.address).chain(lb.additional_vips.iter().map(|v| v.address)).collect(),
        listeners,
        pools,
        access_log: options.access_log.as_ref().map(|log| AccessLogSpec {
            project_id: lb.project_id.to_string(),
            format: log.format.clone(),
            targets: log.targets.clone(),
        }),
        sorry_pages: options.sorry_pages.used(running(graph)),
        network: None,
        tickets: None,
    }
}

/// The listeners that terminate TLS: what they refer to is needed.
pub fn terminating(graph: &LoadBalancerGraph) -> impl Iterator<Item = &Listener> {
    running(graph).filter(|listener| listener.protocol == ListenerProtocol::TerminatedHttps)
}

/// The pools that speak TLS with their members and that some listener leads to: what they refer to is needed.
pub fn encrypting(graph: &LoadBalancerGraph) -> impl Iterator<Item = &Pool> {
    let options = SpecOptions::default();
    let listeners = running(graph).map(|l| listener(graph, l, None, &options));
    let reachable: BTreeSet<PoolId> = listeners.flat_map(|l| l.pools().collect::<Vec<_>>()).collect();
    graph.pools.iter().filter(move |pool| encrypts(pool) && reachable.contains(&pool.id))
}

fn running(graph: &LoadBalancerGraph) -> impl Iterator<Item = &Listener> {
    let up = graph.load_balancer.admin_state_up;
    graph.listeners.iter().filter(move |listener| up && listener_runs(listener))
}

fn listener_runs(listener: &Listener) -> bool {
    listener.admin_state_up && !listener.statuses.provisioning.is_leaving()
}

/// UDP and SCTP go as they are, as with the original.
fn encrypts(pool: &Pool) -> bool {
    pool.tls_enabled && !is_of_datagrams(pool.protocol)
}

fn is_of_datagrams(protocol: PoolProtocol) -> bool {
    matches!(protocol, PoolProtocol::Udp | PoolProtocol::Sctp)
}

fn pool_runs(pool: &Pool) -> bool {
    pool.admin_state_up && !pool.statuses.provisioning.is_leaving()
}

fn listener(
    graph: &LoadBalancerGraph,
    listener: &Listener,
    identity: Option<&Result<IdentitySpec, TlsFault>>,
    options: &SpecOptions,
) -> ListenerSpec {
    let timeouts = listener.timeouts;
    ListenerSpec {
        id: listener.id,
        protocol: listener.protocol,
        port: listener.protocol_port,
        connection_limit: connection_limit(listener, options),
        default_pool: default_pool(graph, listener),
        insert_headers: insert_headers(listener),
        timeouts: TimeoutsSpec {
            client_data: timeouts.client_data,
            member_connect: timeouts.member_connect,
            member_data: timeouts.member_data,
            tcp_inspect: timeouts.tcp_inspect,
        },
        allowed_cidrs: listener.allowed_cidrs.clone().unwrap_or_default(),
        accept_proxy: accept_proxy(listener),
        l7policies: layer7::policies(graph, listener),
        tls: (listener.protocol == ListenerProtocol::TerminatedHttps).then(|| tls::tls(listener, identity)),
    }
}

/// By tags; one that names no network counts for nothing, and neither does what is more than a spec may have.
fn accept_proxy(listener: &Listener) -> Vec<IpNet> {
    if listener.protocol.transport() != Transport::Tcp {
        return vec![];
    }
    let networks = listener.tags.iter().filter_map(|tag| tag.strip_prefix(ACCEPT_PROXY_TAG));
    networks.filter_map(|network| network.parse().ok()).take(PROXIES_MAX).collect()
}

/// A PROMETHEUS listener answers by itself.
fn default_pool(graph: &LoadBalancerGraph, listener: &Listener) -> Option<PoolId> {
    let leads = listener.protocol != ListenerProtocol::Prometheus;
    listener.default_pool_id.filter(|id| leads && graph.pool(*id).is_some_and(pool_runs))
}

/// Without one of its own (-1 to the API) a listener has the deployment's; 0 is "as the process allows" to HAProxy.
fn connection_limit(listener: &Listener, options: &SpecOptions) -> Option<u32> {
    match listener.connection_limit.and_then(|limit| u32::try_from(limit).ok()) {
        None => options.default_connection_limit,
        Some(limit) => Some(limit).filter(|limit| *limit > 0),
    }
}

/// A header is inserted when its value is the word `true`, in any case; only where the proxy reads HTTP.
fn insert_headers(listener: &Listener) -> Vec<InsertHeader> {
    if !matches!(listener.protocol, ListenerProtocol::Http | ListenerProtocol::TerminatedHttps) {
        return vec![];
    }
    let asked = |name: &str| {
        listener.insert_headers.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    let told =
        |header: &InsertHeader| listener.protocol == ListenerProtocol::TerminatedHttps || !header.is_of_tls();
    InsertHeader::ALL.iter().copied().filter(told).filter(|header| asked(header.name())).collect()
}

fn pool(
    graph: &LoadBalancerGraph,
    pool: &Pool,
    identity: Option<&Result<PoolIdentitySpec, TlsFault>>,
) -> PoolSpec {
    PoolSpec {
        id: pool.id,
        protocol: pool.protocol,
        algorithm: pool.lb_algorithm,
        persistence: pool.session_persistence.as_ref().and_then(|stored| persistence(pool.protocol, stored)),
        members: graph
            .pool_members(pool.id)
            .filter(|m| !m.statuses.provisioning.is_leaving())
            .filter_map(member)
            .collect(),
        monitor: graph
            .pool_health_monitor(pool.id)
            .filter(|hm| hm.admin_state_up && !hm.statuses.provisioning.is_leaving())
            .map(monitor),
        tls: encrypts(pool).then(|| tls::pool_tls(pool, identity)),
    }
}

/// `None` for a cookie without a name, which no client ever brings; the API does not let one in.
fn persistence(protocol: PoolProtocol, stored: &SessionPersistence) -> Option<PersistenceSpec> {
    // As the original has IPVS and HAProxy do it.
    let default = if is_of_datagrams(protocol) { IPVS_PERSISTENCE } else { 0 };
    let timeout = stored.persistence_timeout.and_then(|seconds| seconds.try_into().ok());
    match stored.kind {
        SessionPersistenceType::SourceIp => Some(PersistenceSpec::SourceIp {
            granularity: stored.persistence_granularity.as_deref().and_then(|mask| mask.parse().ok()),
            timeout: timeout.filter(|seconds| *seconds > 0).unwrap_or(default),
        }),
        SessionPersistenceType::HttpCookie => Some(PersistenceSpec::HttpCookie),
        SessionPersistenceType::AppCookie => {
            let name = stored.cookie_name.clone().filter(|name| !name.is_empty())?;
            Some(PersistenceSpec::AppCookie { name })
        }
    }
}

/// `None` for an address that is none; the API does not let one in.
fn member(member: &Member) -> Option<MemberSpec> {
    Some(MemberSpec {
        id: member.id,
        address: member.address.parse().ok()?,
        port: member.protocol_port,
        weight: member.weight.unwrap_or(1),
        backup: member.backup,
        enabled: member.admin_state_up,
        monitor_address: member.monitor_address.as_deref().and_then(|a| a.parse().ok()),
        monitor_port: member.monitor_port,
    })
}

fn monitor(hm: &HealthMonitor) -> MonitorSpec {
    MonitorSpec {
        id: hm.id,
        kind: hm.kind,
        delay: hm.delay,
        timeout: hm.timeout,
        rise: hm.max_retries.clamp(1, 10),
        fall: hm.max_retries_down.clamp(1, 10),
        http: hm.kind.is_http().then(|| http_check(hm)),
    }
}

fn http_check(hm: &HealthMonitor) -> HttpCheck {
    let http11 = hm.http_version.is_some_and(|version| version > 1.05);
    HttpCheck {
        method: hm.http_method.unwrap_or(HttpMethod::Get),
        path: hm.url_path.clone().unwrap_or_else(|| "/".to_owned()),
        http11,
        host: hm.domain_name.clone().filter(|_| http11),
        expected: hm
            .expected_codes
            .as_deref()
            .and_then(|text| expected_codes(text).ok())
            .unwrap_or_else(|| vec![(200, 200)]),
    }
}
