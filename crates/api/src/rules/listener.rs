//! Rules of listeners (`reference/api.md` §3.2).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use octavia_model::{
    ClientAuthentication, Listener, ListenerId, ListenerProtocol, LoadBalancerGraph, OperatingStatus, PoolId,
    ProvisioningStatus, Statuses, Timeouts, Tls,
};

use super::{BY_STORE, l7policy, new_tags, not_leaving, tls, touch, touch_pool, unique_tags, unsupported};
use crate::fault::Fault;
use crate::options::{ApiOptions, DataPlane};
use crate::request::listener::ListenerBody;

const HTTP_HEADERS: &[&str] = &[
    "X-Forwarded-For",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-IP",
    "X-Client-IP",
    "X-Real-IP",
];

const TLS_CLIENT_HEADERS: &[&str] = &[
    "X-SSL-Client-Verify",
    "X-SSL-Client-Has-Cert",
    "X-SSL-Client-DN",
    "X-SSL-Client-CN",
    "X-SSL-Issuer",
    "X-SSL-Client-SHA1",
    "X-SSL-Client-Not-Before",
    "X-SSL-Client-Not-After",
];

pub(crate) fn create_precheck(graph: &LoadBalancerGraph, body: &ListenerBody) -> Result<(), Fault> {
    let protocol = body.protocol.required("protocol")?;
    match body.default_pool_id.value() {
        Some(pool) => default_pool(graph, protocol, pool),
        None => Ok(()),
    }
}

pub(crate) fn create(
    graph: &mut LoadBalancerGraph,
    body: &ListenerBody,
    id: ListenerId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    create_precheck(graph, body)?;
    let protocol = body.protocol.required("protocol")?;
    let protocol_port = body.protocol_port.required("protocol_port")?;
    let insert_headers = body.insert_headers.get().cloned().unwrap_or_default();
    if transport_only(protocol) && has_server_cert(body) {
        return Err(Fault::validation(format!("{protocol} listeners take no TLS certificates.")));
    }
    check_insert_headers(protocol, &insert_headers)?;
    check_allowed(protocol, body, options)?;
    create_tls(protocol, body, options)?;
    check_hsts(
        protocol,
        body.hsts_max_age.value(),
        body.hsts_include_subdomains.or(false),
        body.hsts_preload.or(false),
    )?;
    let mut allowed_cidrs = body.allowed_cidrs.get().cloned().unwrap_or_default();
    allowed_cidrs.sort_unstable();
    allowed_cidrs.dedup();
    check_cidrs(graph, &allowed_cidrs)?;
    if let Some(other) = graph.listeners.iter().find(|other| {
        other.protocol_port == protocol_port && other.protocol.transport() == protocol.transport()
    }) {
        return Err(Fault::PortClash { protocol: other.protocol.as_str(), port: protocol_port });
    }
    let clash = Fault::PortClash { protocol: protocol.as_str(), port: protocol_port };
    let tags = new_tags(body.tags.get(), clash)?;
    if protocol == ListenerProtocol::Sctp && !options.carries_sctp() {
        return Err(unsupported(
            graph,
            "SCTP listeners need amphorae that have interfaces of their own.".to_owned(),
        ));
    }
    check_clear(graph, protocol, body, options)?;
    let tls = tls::create(&body.tls, protocol == ListenerProtocol::TerminatedHttps, &options.listener_tls);
    check_spoken(graph, protocol, &tls, options)?;
    let default_pool_id = body.default_pool_id.value();
    if let Some(pool) = default_pool_id.and_then(|pool| graph.pool_mut(pool)) {
        touch(&mut pool.statuses);
    }
    let default = options.default_timeouts;
    graph.listeners.push(Listener {
        id,
        load_balancer_id: graph.load_balancer.id,
        project_id: graph.load_balancer.project_id.clone(),
        name: body.name.get().cloned().unwrap_or_default(),
        description: body.description.get().cloned().unwrap_or_default(),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(OperatingStatus::Offline),
        protocol,
        protocol_port,
        connection_limit: body.connection_limit.map(Some).or_null(Some(-1), None),
        default_pool_id,
        insert_headers,
        timeouts: Timeouts {
            client_data: body.timeouts.client_data.or(default.client_data),
            member_connect: body.timeouts.member_connect.or(default.member_connect),
            member_data: body.timeouts.member_data.or(default.member_data),
            tcp_inspect: body.timeouts.tcp_inspect.or(default.tcp_inspect),
        },
        allowed_cidrs: (!allowed_cidrs.is_empty()).then_some(allowed_cidrs),
        tls,
        default_tls_container_ref: body.default_tls_container_ref.get().cloned(),
        sni_container_refs: body.sni_container_refs.get().cloned().unwrap_or_default(),
        client_ca_tls_container_ref: body.client_ca_tls_container_ref.get().cloned(),
        client_crl_container_ref: body.client_crl_container_ref.get().cloned(),
        client_authentication: body.client_authentication.or(ClientAuthentication::None),
        hsts_max_age: body.hsts_max_age.value(),
        hsts_include_subdomains: body.hsts_include_subdomains.or(false),
        hsts_preload: body.hsts_preload.or(false),
        tags,
        created_at: BY_STORE,
        updated_at: None,
    });
    Ok(())
}

pub(crate) fn update_precheck(
    graph: &LoadBalancerGraph,
    id: ListenerId,
    body: &ListenerBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let listener = graph.listener(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    if let Some(pool) = body.default_pool_id.value() {
        default_pool(graph, listener.protocol, pool)?;
    }
    if let Some(headers) = body.insert_headers.get() {
        if transport_only(listener.protocol) && !headers.is_empty() {
            return Err(Fault::validation(format!("{} listeners insert no headers.", listener.protocol)));
        }
        check_insert_headers(listener.protocol, headers)?;
    }
    update_tls(listener, body, options)?;
    check_hsts(
        listener.protocol,
        body.hsts_max_age.merged(listener.hsts_max_age),
        body.hsts_include_subdomains.value().unwrap_or(false),
        body.hsts_preload.value().unwrap_or(false),
    )?;
    check_cidrs(graph, body.allowed_cidrs.get().map_or(&[], Vec::as_slice))
}

pub(crate) fn update(
    graph: &mut LoadBalancerGraph,
    id: ListenerId,
    body: &ListenerBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    update_precheck(graph, id, body, options)?;
    if let Some(listener) = graph.listener(id) {
        check_clear(graph, listener.protocol, body, options)?;
    }
    if let Some(listener) = graph.listener(id).filter(|_| body.tls.chooses()) {
        let mut after = listener.tls.clone();
        tls::update(&mut after, &body.tls, &options.listener_tls, None);
        check_spoken(graph, listener.protocol, &after, options)?;
    }
    let listener = graph.listener_mut(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    not_leaving(&listener.statuses, "Listener", id)?;
    let before = listener.default_pool_id;
    body.name.change(&mut listener.name, String::new());
    body.description.change(&mut listener.description, String::new());
    body.admin_state_up.change(&mut listener.admin_state_up, false);
    body.connection_limit.map(Some).change(&mut listener.connection_limit, Some(-1));
    body.default_pool_id.change_option(&mut listener.default_pool_id);
    body.insert_headers.change(&mut listener.insert_headers, BTreeMap::new());
    body.default_tls_container_ref.change_option(&mut listener.default_tls_container_ref);
    body.sni_container_refs.change(&mut listener.sni_container_refs, vec![]);
    body.client_ca_tls_container_ref.change_option(&mut listener.client_ca_tls_container_ref);
    body.client_crl_container_ref.change_option(&mut listener.client_crl_container_ref);
    body.client_authentication.change(&mut listener.client_authentication, ClientAuthentication::None);
    let default = options.default_timeouts;
    body.timeouts.client_data.change(&mut listener.timeouts.client_data, default.client_data);
    body.timeouts.member_connect.change(&mut listener.timeouts.member_connect, default.member_connect);
    body.timeouts.member_data.change(&mut listener.timeouts.member_data, default.member_data);
    body.timeouts.tcp_inspect.change(&mut listener.timeouts.tcp_inspect, default.tcp_inspect);
    body.allowed_cidrs.change_option(&mut listener.allowed_cidrs);
    if listener.allowed_cidrs.as_ref().is_some_and(Vec::is_empty) {
        listener.allowed_cidrs = None;
    }
    let defaults = &options.listener_tls;
    tls::update(&mut listener.tls, &body.tls, defaults, Some(defaults.alpn_protocols.clone()));
    body.hsts_max_age.change_option(&mut listener.hsts_max_age);
    body.hsts_include_subdomains.change(&mut listener.hsts_include_subdomains, false);
    body.hsts_preload.change(&mut listener.hsts_preload, false);
    body.tags.as_ref().map(|tags| unique_tags(tags)).change_if_value(&mut listener.tags);
    touch(&mut listener.statuses);
    let after = listener.default_pool_id;
    if before != after {
        for pool in [before, after].into_iter().flatten() {
            touch_pool(graph, pool);
        }
    }
    Ok(())
}

/// The listener leaves with its L7 policies.
pub(crate) fn delete(graph: &mut LoadBalancerGraph, id: ListenerId) -> Result<(), Fault> {
    let listener = graph.listener_mut(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    not_leaving(&listener.statuses, "Listener", id)?;
    listener.statuses.provisioning = ProvisioningStatus::PendingDelete;
    l7policy::leave(graph, |policy| policy.listener_id == id);
    Ok(())
}

/// A pool may become a listener's default if it is there to stay and speaks a fitting protocol.
fn default_pool(graph: &LoadBalancerGraph, protocol: ListenerProtocol, pool: PoolId) -> Result<(), Fault> {
    if protocol == ListenerProtocol::Prometheus {
        return Err(Fault::ChildlessListener(protocol.to_string()));
    }
    let pool = graph.pool(pool).ok_or_else(|| Fault::not_found("Pool", pool))?;
    fits(protocol, pool)?;
    not_leaving(&pool.statuses, "Pool", pool.id)
}

pub(super) fn fits(protocol: ListenerProtocol, pool: &octavia_model::Pool) -> Result<(), Fault> {
    if protocol.accepts_pool(pool.protocol) {
        return Ok(());
    }
    Err(Fault::validation(format!(
        "The pool protocol '{}' is invalid while the listener protocol is '{protocol}'.",
        pool.protocol
    )))
}

const fn transport_only(protocol: ListenerProtocol) -> bool {
    matches!(protocol, ListenerProtocol::Udp | ListenerProtocol::Sctp)
}

fn check_insert_headers(protocol: ListenerProtocol, headers: &BTreeMap<String, String>) -> Result<(), Fault> {
    if headers.is_empty() {
        return Ok(());
    }
    let option = |value: &str, option: String| Err(Fault::InvalidOption { value: value.to_owned(), option });
    if !matches!(protocol, ListenerProtocol::Http | ListenerProtocol::TerminatedHttps) {
        return option("insert-headers", format!("a {protocol} protocol listener."));
    }
    for name in headers.keys() {
        if TLS_CLIENT_HEADERS.contains(&name.as_str()) {
            if protocol == ListenerProtocol::Http {
                return option(name, "HTTP protocol listener.".to_owned());
            }
        } else if !HTTP_HEADERS.contains(&name.as_str()) {
            return option(name, "insert_headers".to_owned());
        }
    }
    Ok(())
}

fn has_server_cert(body: &ListenerBody) -> bool {
    body.default_tls_container_ref.get().is_some()
        || body.sni_container_refs.get().is_some_and(|refs| !refs.is_empty())
}

/// Whether the operator lets users have such a listener.
fn check_allowed(protocol: ListenerProtocol, body: &ListenerBody, options: &ApiOptions) -> Result<(), Fault> {
    let refused = |value: &str| Err(Fault::DisabledOption { option: "protocol", value: value.to_owned() });
    match protocol {
        ListenerProtocol::TerminatedHttps if !options.allow_tls_terminated_listeners => {
            refused(protocol.as_str())
        }
        ListenerProtocol::Prometheus if !options.allow_prometheus_listeners => refused(protocol.as_str()),
        ListenerProtocol::Prometheus if !options.allow_tls_terminated_listeners && has_server_cert(body) => {
            refused("PROMETHEUS with TLS")
        }
        _ => Ok(()),
    }
}

fn create_tls(protocol: ListenerProtocol, body: &ListenerBody, options: &ApiOptions) -> Result<(), Fault> {
    let server_cert = has_server_cert(body);
    let client_ca = body.client_ca_tls_container_ref.get().is_some();
    let client_crl = body.client_crl_container_ref.get().is_some();
    let terminates = protocol == ListenerProtocol::TerminatedHttps;
    let capable = terminates || (protocol == ListenerProtocol::Prometheus && server_cert);
    if !capable && (server_cert || client_ca || client_crl) {
        return Err(Fault::validation(format!(
            "Certificate references are given, but {protocol} listeners do not terminate TLS."
        )));
    }
    if client_ca && !server_cert {
        return Err(Fault::validation(
            "A client CA reference needs a server certificate reference beside it.",
        ));
    }
    if terminates && !server_cert {
        return Err(Fault::validation(
            "A TERMINATED_HTTPS listener needs default_tls_container_ref or sni_container_refs.",
        ));
    }
    if !client_ca && body.client_authentication.or(ClientAuthentication::None) != ClientAuthentication::None {
        return Err(client_authentication_needs_ca());
    }
    if client_crl && !client_ca {
        return Err(crl_needs_ca());
    }
    check_references(body, body.client_ca_tls_container_ref.get(), body.client_crl_container_ref.get())?;
    tls::check(&body.tls, capable, options)
}

fn update_tls(listener: &Listener, body: &ListenerBody, options: &ApiOptions) -> Result<(), Fault> {
    let protocol = listener.protocol;
    let refs = has_server_cert(body)
        || body.client_ca_tls_container_ref.get().is_some()
        || body.client_crl_container_ref.get().is_some();
    let capable = match protocol {
        ListenerProtocol::TerminatedHttps => true,
        ListenerProtocol::Prometheus => has_server_cert(body),
        _ => false,
    };
    if refs && !capable {
        return Err(Fault::validation(format!(
            "Certificate references are given, but {protocol} listeners do not terminate TLS."
        )));
    }
    let ca = body.client_ca_tls_container_ref.merged(listener.client_ca_tls_container_ref.clone());
    if ca.is_none() && body.client_authentication.or(ClientAuthentication::None) != ClientAuthentication::None
    {
        return Err(client_authentication_needs_ca());
    }
    if ca.is_none() && body.client_crl_container_ref.get().is_some() {
        return Err(crl_needs_ca());
    }
    let crl = body.client_crl_container_ref.merged(listener.client_crl_container_ref.clone());
    check_references(body, ca.as_ref(), crl.as_ref())?;
    tls::check(&body.tls, true, options)
}

/// PROMETHEUS listeners may have certificates, as far as the API goes; the data plane answers them in clear.
fn check_clear(
    graph: &LoadBalancerGraph,
    protocol: ListenerProtocol,
    body: &ListenerBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let secured = protocol == ListenerProtocol::Prometheus && has_server_cert(body);
    if !secured || options.data_plane == DataPlane::Anything {
        return Ok(());
    }
    Err(unsupported(graph, "PROMETHEUS listeners with TLS are not available yet.".to_owned()))
}

/// What a listener that terminates TLS offers must be something that is spoken here.
fn check_spoken(
    graph: &LoadBalancerGraph,
    protocol: ListenerProtocol,
    tls: &Tls,
    options: &ApiOptions,
) -> Result<(), Fault> {
    if protocol != ListenerProtocol::TerminatedHttps || options.data_plane == DataPlane::Anything {
        return Ok(());
    }
    tls::unspoken(tls).map_or(Ok(()), |message| Err(unsupported(graph, message)))
}

/// The references that were sent; of authority and list also the stored one, when the other was sent.
fn check_references(body: &ListenerBody, ca: Option<&String>, crl: Option<&String>) -> Result<(), Fault> {
    let sni = body.sni_container_refs.get().into_iter().flatten();
    body.found.check_bundles(sni.chain(body.default_tls_container_ref.get()).map(String::as_str))?;
    let sent =
        body.client_ca_tls_container_ref.get().is_some() || body.client_crl_container_ref.get().is_some();
    match ca {
        Some(ca) if sent => body.found.check_authority(ca, crl.map(String::as_str)),
        _ => Ok(()),
    }
}

fn client_authentication_needs_ca() -> Fault {
    Fault::validation("Client authentication needs client_ca_tls_container_ref.")
}

fn crl_needs_ca() -> Fault {
    Fault::validation("A certificate revocation list needs client_ca_tls_container_ref.")
}

fn check_hsts(
    protocol: ListenerProtocol,
    max_age: Option<u32>,
    include_subdomains: bool,
    preload: bool,
) -> Result<(), Fault> {
    if max_age.is_some() && protocol != ListenerProtocol::TerminatedHttps {
        return Err(Fault::validation("HSTS is for TERMINATED_HTTPS listeners only."));
    }
    if (include_subdomains || preload) && max_age.is_none() {
        return Err(Fault::validation("hsts_include_subdomains and hsts_preload need hsts_max_age."));
    }
    Ok(())
}

fn check_cidrs(graph: &LoadBalancerGraph, cidrs: &[IpNet]) -> Result<(), Fault> {
    if cidrs.is_empty() {
        return Ok(());
    }
    let root = &graph.load_balancer;
    if !root.vip.sg_ids.is_empty() {
        return Err(Fault::validation("allowed_cidrs cannot be combined with vip_sg_ids."));
    }
    let vips: Vec<IpAddr> =
        std::iter::once(root.vip.address).chain(root.additional_vips.iter().map(|vip| vip.address)).collect();
    for cidr in cidrs {
        if !vips.iter().any(|vip| vip.is_ipv4() == cidr.addr().is_ipv4()) {
            return Err(Fault::validation(format!(
                "The IP version of {cidr} matches no VIP address of the load balancer."
            )));
        }
    }
    Ok(())
}
