//! What may be done to a load balancer and what it changes: pure functions over the graph.
//!
//! Each resource has the same set: `create`, `update`, `delete` take the graph and a decoded body, check, and change
//! the graph or refuse; they may run again on a fresher graph (the store retries), so ids come in as
//! arguments; times are the store's. A `*_precheck` holds what the original checks before it looks at the load balancer's status, so that of
//! two mistakes the same one is reported.

pub(crate) mod health_monitor;
pub(crate) mod l7policy;
pub(crate) mod l7rule;
pub(crate) mod listener;
pub(crate) mod load_balancer;
pub(crate) mod member;
mod persistence;
pub(crate) mod pool;
pub(crate) mod profile;
pub(crate) mod secrets;
mod tls;

use jiff::Timestamp;
use octavia_model::{ListenerId, LoadBalancerGraph, Pool, PoolId, ProvisioningStatus, Statuses, VnicType};

use crate::fault::Fault;
use crate::options::{ApiOptions, PendingWrites};

/// The store gives every new row its time; what rules write into it is never seen.
const BY_STORE: Timestamp = Timestamp::UNIX_EPOCH;

/// Root statuses under which a change below (or of) the load balancer is accepted.
pub(crate) fn change_statuses(pending_writes: PendingWrites) -> &'static [ProvisioningStatus] {
    use ProvisioningStatus::{Active, PendingCreate, PendingUpdate};
    match pending_writes {
        PendingWrites::Queue => &[Active, PendingCreate, PendingUpdate],
        PendingWrites::Reject => &[Active],
    }
}

/// Root statuses under which the load balancer may be deleted.
pub(crate) fn delete_statuses(pending_writes: PendingWrites) -> &'static [ProvisioningStatus] {
    use ProvisioningStatus::{Active, Error, PendingCreate, PendingUpdate};
    match pending_writes {
        PendingWrites::Queue => &[Active, Error, PendingCreate, PendingUpdate],
        PendingWrites::Reject => &[Active, Error],
    }
}

/// Marks an object as on its way to a changed state. One that is still being created stays so.
fn touch(statuses: &mut Statuses) {
    if statuses.provisioning.is_leaving() || statuses.provisioning == ProvisioningStatus::PendingCreate {
        return;
    }
    if statuses.provisioning == ProvisioningStatus::Error {
        statuses.reason = None;
    }
    statuses.provisioning = ProvisioningStatus::PendingUpdate;
}

/// A change below the root: the root is on its way with it.
pub(crate) fn touch_root(graph: &mut LoadBalancerGraph) {
    touch(&mut graph.load_balancer.statuses);
}

/// Marks every listener whose traffic can reach the pool, and the pool.
fn touch_pool(graph: &mut LoadBalancerGraph, pool: PoolId) {
    let users: Vec<ListenerId> = graph.pool_listeners(pool).map(|listener| listener.id).collect();
    for id in users {
        if let Some(listener) = graph.listener_mut(id) {
            touch(&mut listener.statuses);
        }
    }
    if let Some(pool) = graph.pool_mut(pool) {
        touch(&mut pool.statuses);
    }
}

/// An object on its way out takes no more changes.
fn not_leaving(statuses: &Statuses, resource: &'static str, id: impl ToString) -> Result<(), Fault> {
    if statuses.provisioning.is_leaving() {
        Err(Fault::Immutable { resource, id: id.to_string() })
    } else {
        Ok(())
    }
}

/// The pool below which something is to be changed.
fn open_pool<'g>(graph: &'g LoadBalancerGraph, id: PoolId, options: &ApiOptions) -> Result<&'g Pool, Fault> {
    let pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?;
    if change_statuses(options.pending_writes).contains(&pool.statuses.provisioning) {
        Ok(pool)
    } else {
        Err(Fault::Immutable { resource: "Pool", id: id.to_string() })
    }
}

/// What the pool's status says before the load balancer's is looked at.
pub(crate) fn pool_precheck(
    graph: &LoadBalancerGraph,
    id: PoolId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_pool(graph, id, options).map(drop)
}

/// Something the API knows and this provider's data plane does not do.
fn unsupported(graph: &LoadBalancerGraph, what: impl Into<String>) -> Fault {
    Fault::UnsupportedOption { provider: graph.load_balancer.provider.clone(), message: what.into() }
}

/// Tags as they were sent, without repetitions.
fn unique_tags(tags: &[String]) -> Vec<String> {
    let mut unique: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags {
        if !unique.contains(tag) {
            unique.push(tag.clone());
        }
    }
    unique
}

/// Tags of a new object: a repetition is a conflict, reported in the resource's own words.
fn new_tags(tags: Option<&Vec<String>>, duplicate: Fault) -> Result<Vec<String>, Fault> {
    let Some(tags) = tags else { return Ok(vec![]) };
    let unique = unique_tags(tags);
    if unique.len() == tags.len() { Ok(unique) } else { Err(duplicate) }
}

const VNIC_TYPE: VnicType = VnicType::Normal;

#[cfg(test)]
mod tests;
