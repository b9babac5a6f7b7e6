//! Rules of health monitors (`reference/api.md` §3.5).

use octavia_model::{
    HealthMonitor, HealthMonitorId, HealthMonitorType, HttpMethod, LoadBalancerGraph, OperatingStatus,
    PoolId, PoolProtocol, ProvisioningStatus, Statuses,
};

use super::{BY_STORE, new_tags, not_leaving, open_pool, touch, touch_pool, unique_tags};
use crate::body::Sent;
use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::health_monitor::HealthMonitorBody;

const DEFAULT_PATH: &str = "/";
const DEFAULT_CODES: &str = "200";
const DEFAULT_FALL: u8 = 3;

pub(crate) fn create_precheck(
    graph: &LoadBalancerGraph,
    pool: PoolId,
    body: &HealthMonitorBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let kind = body.kind.required("type")?;
    if kind == HealthMonitorType::Ping && !options.allow_ping_health_monitors {
        return Err(Fault::DisabledOption { option: "type", value: kind.to_string() });
    }
    let pool = graph.pool(pool).ok_or_else(|| Fault::not_found("Pool", pool))?;
    fits(kind, pool.protocol)?;
    udp_delay(kind, body.delay.value(), options)
}

pub(crate) fn create(
    graph: &mut LoadBalancerGraph,
    pool: PoolId,
    body: &HealthMonitorBody,
    id: HealthMonitorId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_pool(graph, pool, options)?;
    add(graph, pool, body, id, options)?;
    touch_pool(graph, pool);
    Ok(())
}

/// The monitor itself; its pool is the caller's business.
pub(super) fn add(
    graph: &mut LoadBalancerGraph,
    pool: PoolId,
    body: &HealthMonitorBody,
    id: HealthMonitorId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    create_precheck(graph, pool, body, options)?;
    let kind = body.kind.required("type")?;
    // On a create only values count: a null is as good as absent.
    http_only(kind, body, |sent| matches!(sent, Presence::Value))?;
    check_domain(body.domain_name.get(), body.http_version.value())?;
    if graph.pool_health_monitor(pool).is_some() {
        return Err(Fault::DuplicateHealthMonitor);
    }
    let http = kind.is_http();
    graph.health_monitors.push(HealthMonitor {
        id,
        pool_id: pool,
        load_balancer_id: graph.load_balancer.id,
        project_id: graph.load_balancer.project_id.clone(),
        name: body.name.get().cloned().unwrap_or_default(),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(OperatingStatus::Offline),
        kind,
        delay: body.delay.required("delay")?,
        timeout: body.timeout.required("timeout")?,
        max_retries: body.max_retries.required("max_retries")?,
        max_retries_down: body.max_retries_down.or(DEFAULT_FALL),
        http_method: http.then(|| body.http_method.or(HttpMethod::Get)),
        url_path: http.then(|| body.url_path.clone().or(DEFAULT_PATH.to_owned())),
        expected_codes: http.then(|| body.expected_codes.clone().or(DEFAULT_CODES.to_owned())),
        http_version: body.http_version.value(),
        domain_name: body.domain_name.get().cloned(),
        tags: new_tags(body.tags.get(), Fault::DuplicateHealthMonitor)?,
        created_at: BY_STORE,
        updated_at: None,
    });
    Ok(())
}

pub(crate) fn update_precheck(
    graph: &LoadBalancerGraph,
    id: HealthMonitorId,
    body: &HealthMonitorBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let monitor = find(graph, id)?;
    let nulls = [
        ("delay", body.delay.is_null()),
        ("timeout", body.timeout.is_null()),
        ("max_retries", body.max_retries.is_null()),
    ];
    if let Some((key, _)) = nulls.iter().find(|(_, is_null)| *is_null) {
        return Err(Fault::InvalidOption { value: "None".to_owned(), option: (*key).to_owned() });
    }
    http_only(monitor.kind, body, |sent| !matches!(sent, Presence::Absent))?;
    let version = body.http_version.merged(monitor.http_version);
    check_domain(body.domain_name.merged(monitor.domain_name.clone()).as_ref(), version)?;
    udp_delay(monitor.kind, body.delay.value(), options)
}

pub(crate) fn update(
    graph: &mut LoadBalancerGraph,
    id: HealthMonitorId,
    body: &HealthMonitorBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    update_precheck(graph, id, body, options)?;
    let pool = find(graph, id)?.pool_id;
    open_pool(graph, pool, options)?;
    let monitor = find_mut(graph, id)?;
    not_leaving(&monitor.statuses, "Health Monitor", id)?;
    body.name.change(&mut monitor.name, String::new());
    body.admin_state_up.change(&mut monitor.admin_state_up, false);
    body.delay.change_if_value(&mut monitor.delay);
    body.timeout.change_if_value(&mut monitor.timeout);
    body.max_retries.change_if_value(&mut monitor.max_retries);
    body.max_retries_down.change(&mut monitor.max_retries_down, DEFAULT_FALL);
    body.http_method.map(Some).change(&mut monitor.http_method, Some(HttpMethod::Get));
    body.url_path.clone().map(Some).change(&mut monitor.url_path, Some(DEFAULT_PATH.to_owned()));
    body.expected_codes.clone().map(Some).change(&mut monitor.expected_codes, Some(DEFAULT_CODES.to_owned()));
    body.http_version.change_option(&mut monitor.http_version);
    body.domain_name.change_option(&mut monitor.domain_name);
    body.tags.as_ref().map(|tags| unique_tags(tags)).change_if_value(&mut monitor.tags);
    touch(&mut monitor.statuses);
    touch_pool(graph, pool);
    Ok(())
}

pub(crate) fn delete(
    graph: &mut LoadBalancerGraph,
    id: HealthMonitorId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    let pool = find(graph, id)?.pool_id;
    open_pool(graph, pool, options)?;
    let monitor = find_mut(graph, id)?;
    not_leaving(&monitor.statuses, "Health Monitor", id)?;
    monitor.statuses.provisioning = ProvisioningStatus::PendingDelete;
    touch_pool(graph, pool);
    Ok(())
}

pub(crate) fn find(graph: &LoadBalancerGraph, id: HealthMonitorId) -> Result<&HealthMonitor, Fault> {
    graph
        .health_monitors
        .iter()
        .find(|monitor| monitor.id == id)
        .ok_or_else(|| Fault::not_found("Health Monitor", id))
}

fn find_mut(graph: &mut LoadBalancerGraph, id: HealthMonitorId) -> Result<&mut HealthMonitor, Fault> {
    graph
        .health_monitors
        .iter_mut()
        .find(|monitor| monitor.id == id)
        .ok_or_else(|| Fault::not_found("Health Monitor", id))
}

fn fits(kind: HealthMonitorType, protocol: PoolProtocol) -> Result<(), Fault> {
    if kind.fits_pool(protocol) {
        return Ok(());
    }
    Err(Fault::validation(format!("Health monitors of type {kind} do not go with {protocol} pools.")))
}

fn udp_delay(kind: HealthMonitorType, delay: Option<u32>, options: &ApiOptions) -> Result<(), Fault> {
    let least = options.udp_connect_min_interval;
    if kind == HealthMonitorType::UdpConnect && delay.is_some_and(|delay| delay < least) {
        return Err(Fault::validation(format!(
            "The delay of an UDP-CONNECT health monitor must be at least {least} seconds."
        )));
    }
    Ok(())
}

enum Presence {
    Absent,
    Null,
    Value,
}

fn presence<T>(sent: &Sent<T>) -> Presence {
    match sent {
        Sent::Absent => Presence::Absent,
        Sent::Null => Presence::Null,
        Sent::Value(_) => Presence::Value,
    }
}

/// Attributes that only monitors of HTTP have.
fn http_only(
    kind: HealthMonitorType,
    body: &HealthMonitorBody,
    counts: impl Fn(Presence) -> bool,
) -> Result<(), Fault> {
    if kind.is_http() {
        return Ok(());
    }
    let attributes = [
        ("http_method", presence(&body.http_method)),
        ("url_path", presence(&body.url_path)),
        ("expected_codes", presence(&body.expected_codes)),
    ];
    for (name, sent) in attributes {
        if counts(sent) {
            return Err(Fault::InvalidOption {
                value: name.to_owned(),
                option: format!("health monitors of type {kind}"),
            });
        }
    }
    Ok(())
}

fn check_domain(domain: Option<&String>, version: Option<f32>) -> Result<(), Fault> {
    match (domain, version) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Fault::validation("domain_name needs http_version.")),
        (Some(_), Some(version)) if version < 1.1 => {
            Err(Fault::validation("domain_name needs http_version 1.1."))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}
