//! Rules of load balancers, and the single call that makes one with everything below it
//! (`reference/api.md` §3.1, §4.1).

use std::collections::HashMap;

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::{
    AdditionalVip, FlavorId, LoadBalancer, LoadBalancerGraph, LoadBalancerId, OperatingStatus, PoolId,
    ProjectId, ProvisioningStatus, Statuses, Topology, Vip,
};
use uuid::Uuid;

use super::{
    BY_STORE, health_monitor, l7policy, l7rule, listener, member, new_tags, pool, touch, unique_tags,
};
use crate::body::Sent;
use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::listener::ListenerBody;
use crate::request::load_balancer::LoadBalancerBody;
use crate::request::pool::PoolBody;

/// What a new load balancer is made of besides its body.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) id: LoadBalancerId,
    pub(crate) project_id: ProjectId,
    pub(crate) provider: String,
    pub(crate) flavor_id: Option<FlavorId>,
    pub(crate) availability_zone: Option<String>,
    pub(crate) topology: Topology,
    pub(crate) vip: Vip,
    pub(crate) additional_vips: Vec<AdditionalVip>,
}

/// The whole tree; `fresh` gives ids.
pub(crate) fn create(
    body: LoadBalancerBody,
    origin: Origin,
    fresh: &mut dyn FnMut() -> Uuid,
    options: &ApiOptions,
) -> Result<LoadBalancerGraph, Fault> {
    let LoadBalancerBody { mut listeners, pools, .. } = body;
    let mut graph = LoadBalancerGraph::new(LoadBalancer {
        id: origin.id,
        project_id: origin.project_id,
        name: body.name.or(String::new()),
        description: body.description.or(String::new()),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(OperatingStatus::Offline),
        vip: origin.vip,
        additional_vips: origin.additional_vips,
        provider: origin.provider,
        flavor_id: origin.flavor_id,
        availability_zone: origin.availability_zone,
        topology: origin.topology,
        tags: new_tags(body.tags.get(), Fault::AlreadyExists)?,
        generation: 1,
        applied_generation: 0,
        created_at: BY_STORE,
        updated_at: None,
    });

    let pools = gather_pools(pools, &mut listeners)?;
    let mut by_name: HashMap<String, PoolId> = HashMap::new();
    for body in &pools {
        let id = TypedUuid::from_untyped_uuid(fresh());
        let name = body.name.get().cloned().unwrap_or_default();
        if by_name.insert(name.clone(), id).is_some() {
            return Err(Fault::validation(format!("More than one pool is named '{name}'.")));
        }
    }
    for body in &pools {
        let name = body.name.get().cloned().unwrap_or_default();
        create_pool(&mut graph, body, by_name[&name], fresh, options)?;
    }
    for body in &mut listeners {
        refer(&by_name, &body.default_pool, &mut body.default_pool_id)?;
        let listener = TypedUuid::from_untyped_uuid(fresh());
        listener::create(&mut graph, body, listener, options)?;
        for body in &mut body.l7policies {
            refer(&by_name, &body.redirect_pool, &mut body.redirect_pool_id)?;
            let policy = TypedUuid::from_untyped_uuid(fresh());
            l7policy::add(&mut graph, listener, body, policy)?;
            for body in &body.rules {
                l7rule::add(&mut graph, policy, body, TypedUuid::from_untyped_uuid(fresh()))?;
            }
        }
    }
    Ok(graph)
}

/// Puts the id of a pool where it is called by name.
fn refer(
    by_name: &HashMap<String, PoolId>,
    reference: &Sent<PoolBody>,
    slot: &mut Sent<PoolId>,
) -> Result<(), Fault> {
    let Some(name) = reference.get().and_then(|pool| pool.name.get()) else { return Ok(()) };
    let pool = by_name.get(name).ok_or_else(|| Fault::DetailsMissing { kind: "Pool", name: name.clone() })?;
    *slot = Sent::Value(*pool);
    Ok(())
}

/// All pool definitions, those inside listeners and their L7 policies included; there a reference by name is left.
fn gather_pools(mut pools: Vec<PoolBody>, listeners: &mut [ListenerBody]) -> Result<Vec<PoolBody>, Fault> {
    for listener in listeners {
        hoist(&mut listener.default_pool, "a listener", &mut pools)?;
        for policy in &mut listener.l7policies {
            hoist(&mut policy.redirect_pool, "an L7 policy", &mut pools)?;
        }
    }
    Ok(pools)
}

fn hoist(nested: &mut Sent<PoolBody>, parent: &str, pools: &mut Vec<PoolBody>) -> Result<(), Fault> {
    let Sent::Value(pool) = nested else { return Ok(()) };
    if pool.name.get().is_none_or(String::is_empty) {
        return Err(Fault::validation(format!("A pool inside {parent} needs a name.")));
    }
    if pool.is_definition {
        let reference = PoolBody { name: pool.name.clone(), ..PoolBody::default() };
        pools.push(std::mem::replace(pool, reference));
    }
    Ok(())
}

fn create_pool(
    graph: &mut LoadBalancerGraph,
    body: &PoolBody,
    id: PoolId,
    fresh: &mut dyn FnMut() -> Uuid,
    options: &ApiOptions,
) -> Result<(), Fault> {
    for (key, is_there) in
        [("protocol", body.protocol.value().is_some()), ("lb_algorithm", body.lb_algorithm.value().is_some())]
    {
        if !is_there {
            return Err(Fault::validation(format!("A pool definition needs '{key}'.")));
        }
    }
    pool::create(graph, body, id, options)?;
    if let Some(monitor) = &body.health_monitor {
        health_monitor::add(graph, id, monitor, TypedUuid::from_untyped_uuid(fresh()), options)?;
    }
    for member in &body.members {
        member::add(graph, id, member, TypedUuid::from_untyped_uuid(fresh()), options)?;
    }
    Ok(())
}

pub(crate) fn update(graph: &mut LoadBalancerGraph, body: &LoadBalancerBody) {
    let root = &mut graph.load_balancer;
    body.name.change(&mut root.name, String::new());
    body.description.change(&mut root.description, String::new());
    body.admin_state_up.change(&mut root.admin_state_up, false);
    body.vip.qos_policy_id.change_option(&mut root.vip.qos_policy_id);
    body.vip.sg_ids.change(&mut root.vip.sg_ids, vec![]);
    body.tags.as_ref().map(|tags| unique_tags(tags)).change_if_value(&mut root.tags);
    touch(&mut root.statuses);
}

pub(crate) fn delete_precheck(graph: &LoadBalancerGraph, cascade: bool) -> Result<(), Fault> {
    let id = graph.load_balancer.id;
    let stays = |statuses: &Statuses| !statuses.provisioning.is_leaving();
    if cascade {
        return Ok(());
    }
    if graph.listeners.iter().any(|listener| stays(&listener.statuses)) {
        return Err(Fault::validation(format!(
            "Cannot delete load balancer {id}: it has listeners, and cascade was not asked for."
        )));
    }
    if graph.pools.iter().any(|pool| stays(&pool.statuses)) {
        return Err(Fault::validation(format!(
            "Cannot delete load balancer {id}: it has pools, and cascade was not asked for."
        )));
    }
    Ok(())
}

/// Everything below leaves with the root.
pub(crate) fn delete(graph: &mut LoadBalancerGraph, cascade: bool) -> Result<(), Fault> {
    delete_precheck(graph, cascade)?;
    let leaving = ProvisioningStatus::PendingDelete;
    graph.load_balancer.statuses.provisioning = leaving;
    graph.listeners.iter_mut().for_each(|listener| listener.statuses.provisioning = leaving);
    graph.pools.iter_mut().for_each(|pool| pool.statuses.provisioning = leaving);
    graph.members.iter_mut().for_each(|member| member.statuses.provisioning = leaving);
    graph.health_monitors.iter_mut().for_each(|monitor| monitor.statuses.provisioning = leaving);
    l7policy::leave(graph, |_| true);
    Ok(())
}
