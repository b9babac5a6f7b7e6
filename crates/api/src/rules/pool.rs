//! Rules of pools (`reference/api.md` §3.3).

use octavia_model::{
    LoadBalancerGraph, OperatingStatus, Pool, PoolId, PoolProtocol, ProvisioningStatus,
    SessionPersistenceType, Statuses,
};

use super::persistence::persistence;
use super::{BY_STORE, listener, new_tags, not_leaving, tls, touch, touch_pool, unique_tags, unsupported};
use crate::fault::Fault;
use crate::options::{ApiOptions, DataPlane};
use crate::request::pool::{PoolBody, SessionPersistenceBody};

pub(crate) fn create_precheck(graph: &LoadBalancerGraph, body: &PoolBody) -> Result<(), Fault> {
    if let Some(persistence) = body.session_persistence.get() {
        check_persistence(body.protocol.required("protocol")?, None, persistence)?;
    }
    let Some(id) = body.listener_id.value() else { return Ok(()) };
    let listener = graph.listener(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    if listener.default_pool_id.is_some() {
        return Err(Fault::ListenerHasPool);
    }
    Ok(())
}

/// A new pool; with `listener_id` in the body it becomes that listener's default.
pub(crate) fn create(
    graph: &mut LoadBalancerGraph,
    body: &PoolBody,
    id: PoolId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    create_precheck(graph, body)?;
    let protocol = body.protocol.required("protocol")?;
    let lb_algorithm = body.lb_algorithm.required("lb_algorithm")?;
    check_tls(body, None, body.tls_enabled.or(false), options)?;
    let session_persistence = match body.session_persistence.get() {
        Some(sent) => Some(persistence(protocol, None, sent)?),
        None => None,
    };
    let pool = Pool {
        id,
        load_balancer_id: graph.load_balancer.id,
        project_id: graph.load_balancer.project_id.clone(),
        name: body.name.get().cloned().unwrap_or_default(),
        description: body.description.get().cloned().unwrap_or_default(),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(OperatingStatus::Offline),
        protocol,
        lb_algorithm,
        session_persistence,
        tls_enabled: body.tls_enabled.or(false),
        tls_container_ref: body.tls_container_ref.get().cloned(),
        ca_tls_container_ref: body.ca_tls_container_ref.get().cloned(),
        crl_container_ref: body.crl_container_ref.get().cloned(),
        tls: tls::create(&body.tls, body.tls_enabled.or(false), &options.pool_tls),
        tags: new_tags(body.tags.get(), Fault::AlreadyExists)?,
        created_at: BY_STORE,
        updated_at: None,
    };
    if let Some(listener) = body.listener_id.value().and_then(|id| graph.listener(id)) {
        not_leaving(&listener.statuses, "Listener", listener.id)?;
        // With both ids the original skips this check; a pool its listener cannot use helps nobody.
        listener::fits(listener.protocol, &pool)?;
    }
    data_plane(graph, &pool, true, options)?;
    graph.pools.push(pool);
    if let Some(listener) = body.listener_id.value().and_then(|id| graph.listener_mut(id)) {
        listener.default_pool_id = Some(id);
        touch(&mut listener.statuses);
    }
    Ok(())
}

pub(crate) fn update_precheck(
    graph: &LoadBalancerGraph,
    id: PoolId,
    body: &PoolBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?;
    if let Some(persistence) = body.session_persistence.get() {
        check_persistence(
            pool.protocol,
            pool.session_persistence.as_ref().map(|stored| stored.kind),
            persistence,
        )?;
    }
    check_tls(body, Some(pool), true, options)
}

pub(crate) fn update(
    graph: &mut LoadBalancerGraph,
    id: PoolId,
    body: &PoolBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    update_precheck(graph, id, body, options)?;
    let mut pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?.clone();
    not_leaving(&pool.statuses, "Pool", id)?;
    body.name.change(&mut pool.name, String::new());
    body.description.change(&mut pool.description, String::new());
    body.admin_state_up.change(&mut pool.admin_state_up, false);
    body.lb_algorithm.change_if_value(&mut pool.lb_algorithm);
    body.tls_enabled.change_if_value(&mut pool.tls_enabled);
    body.tls_container_ref.change_option(&mut pool.tls_container_ref);
    body.ca_tls_container_ref.change_option(&mut pool.ca_tls_container_ref);
    body.crl_container_ref.change_option(&mut pool.crl_container_ref);
    tls::update(&mut pool.tls, &body.tls, &options.pool_tls, None);
    body.tags.as_ref().map(|tags| unique_tags(tags)).change_if_value(&mut pool.tags);
    if body.session_persistence.is_null() {
        pool.session_persistence = None;
    }
    if let Some(sent) = body.session_persistence.get() {
        pool.session_persistence = Some(persistence(pool.protocol, pool.session_persistence.as_ref(), sent)?);
    }
    let chooses = body.tls.chooses() || body.tls_enabled.value().is_some();
    data_plane(graph, &pool, chooses, options)?;
    if let Some(slot) = graph.pool_mut(id) {
        *slot = pool;
    }
    touch_pool(graph, id);
    Ok(())
}

/// The pool leaves with its members and monitor, and the listeners that had it as their default lose it at once. One
/// that an L7 policy leads to stays.
pub(crate) fn delete(graph: &mut LoadBalancerGraph, id: PoolId) -> Result<(), Fault> {
    let pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?;
    not_leaving(&pool.statuses, "Pool", id)?;
    let leads_here = |policy: &&octavia_model::L7Policy| {
        policy.redirect_pool_id == Some(id) && !policy.statuses.provisioning.is_leaving()
    };
    if let Some(policy) = graph.l7policies.iter().find(leads_here) {
        return Err(Fault::PoolInUse { pool: id, l7policy: policy.id });
    }
    touch_pool(graph, id);
    for listener in graph.listeners.iter_mut().filter(|listener| listener.default_pool_id == Some(id)) {
        listener.default_pool_id = None;
    }
    let leaving = ProvisioningStatus::PendingDelete;
    if let Some(pool) = graph.pool_mut(id) {
        pool.statuses.provisioning = leaving;
    }
    for member in graph.members.iter_mut().filter(|member| member.pool_id == id) {
        member.statuses.provisioning = leaving;
    }
    for monitor in graph.health_monitors.iter_mut().filter(|monitor| monitor.pool_id == id) {
        monitor.statuses.provisioning = leaving;
    }
    Ok(())
}

/// What the API knows about pools and the data plane does not do yet. `chooses`: how TLS shall be spoken is new.
fn data_plane(
    graph: &LoadBalancerGraph,
    pool: &Pool,
    chooses: bool,
    options: &ApiOptions,
) -> Result<(), Fault> {
    if options.data_plane == DataPlane::Anything {
        return Ok(());
    }
    if pool.protocol == PoolProtocol::Sctp && !options.carries_sctp() {
        return Err(unsupported(
            graph,
            "SCTP pools need amphorae that have interfaces of their own.".to_owned(),
        ));
    }
    let unspoken = if pool.tls_enabled && chooses { tls::unspoken(&pool.tls) } else { None };
    unspoken.map_or(Ok(()), |message| Err(unsupported(graph, message)))
}

fn check_tls(
    body: &PoolBody,
    stored: Option<&Pool>,
    strict: bool,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let ca = body.ca_tls_container_ref.merged(stored.and_then(|pool| pool.ca_tls_container_ref.clone()));
    let crl = body.crl_container_ref.merged(stored.and_then(|pool| pool.crl_container_ref.clone()));
    if crl.is_some() && ca.is_none() {
        return Err(Fault::validation("A certificate revocation list needs ca_tls_container_ref."));
    }
    body.found.check_bundles(body.tls_container_ref.get().map(String::as_str).into_iter())?;
    let sent = body.ca_tls_container_ref.get().is_some() || body.crl_container_ref.get().is_some();
    if let Some(ca) = ca.as_deref().filter(|_| sent) {
        body.found.check_authority(ca, crl.as_deref())?;
    }
    tls::check(&body.tls, strict, options)
}

fn check_persistence(
    protocol: PoolProtocol,
    stored: Option<SessionPersistenceType>,
    body: &SessionPersistenceBody,
) -> Result<(), Fault> {
    let Some(kind) = body.kind.value().or(stored) else {
        return Err(Fault::validation("Session persistence needs a type."));
    };
    let datagram = matches!(protocol, PoolProtocol::Udp | PoolProtocol::Sctp);
    if datagram && kind != SessionPersistenceType::SourceIp {
        return Err(Fault::validation(format!(
            "Session persistence of type {kind} does not go with {protocol} pools."
        )));
    }
    let udp_only = body.persistence_timeout.value().is_some_and(|timeout| timeout != 0)
        || body.persistence_granularity.get().is_some();
    if !datagram && udp_only {
        return Err(Fault::validation(
            "persistence_timeout and persistence_granularity are for UDP and SCTP pools only.",
        ));
    }
    match (kind, body.cookie_name.get()) {
        (SessionPersistenceType::AppCookie, None) => {
            Err(Fault::validation("Session persistence of type APP_COOKIE needs a cookie_name."))
        }
        (SessionPersistenceType::AppCookie, Some(name)) if !is_cookie_token(name) => {
            Err(Fault::validation("The cookie_name holds characters a cookie's name cannot have."))
        }
        (SessionPersistenceType::AppCookie, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err(Fault::validation("cookie_name is for the type APP_COOKIE only.")),
    }
}

fn is_cookie_token(name: &str) -> bool {
    !name.chars().any(|c| {
        c <= ' ' || matches!(c, '"' | '(' | ')' | ',' | '/' | ':'..='@' | '['..=']' | '{' | '}' | '\x7f')
    })
}
