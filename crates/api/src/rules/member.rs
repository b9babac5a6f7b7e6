//! Rules of members (`reference/api.md` §3.4, §4.3).

use std::collections::HashSet;
use std::net::IpAddr;

use octavia_model::{
    Demand, LoadBalancerGraph, Member, MemberId, OperatingStatus, PoolId, PoolProtocol, ProvisioningStatus,
    Statuses,
};

use super::{
    BY_STORE, VNIC_TYPE, new_tags, not_leaving, open_pool, touch, touch_pool, unique_tags, unsupported,
};
use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::member::MemberBody;

/// Checks of a body that need no graph.
pub(crate) fn create_precheck(body: &MemberBody, options: &ApiOptions) -> Result<(), Fault> {
    let (address, text) = body.address.clone().required("address")?;
    if options.reserved_ips.contains(&address.to_canonical()) {
        return Err(Fault::InvalidOption { value: text, option: "member address".to_owned() });
    }
    // No flavor can allow it: there are no flavors yet.
    if body.request_sriov.or(false) {
        return Err(Fault::MemberSriov);
    }
    Ok(())
}

pub(crate) fn create(
    graph: &mut LoadBalancerGraph,
    pool: PoolId,
    body: &MemberBody,
    id: MemberId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_pool(graph, pool, options)?;
    add(graph, pool, body, id, options)?;
    touch_pool(graph, pool);
    Ok(())
}

/// Datagrams are passed on as they are: members of a pool that a listener uses have to be of an IP version that a VIP is
/// of.
fn same_ip_version(graph: &LoadBalancerGraph, pool: PoolId, address: &str) -> Result<(), Fault> {
    let protocol = graph.pool(pool).map(|pool| pool.protocol);
    let Some(protocol @ (PoolProtocol::Udp | PoolProtocol::Sctp)) = protocol else { return Ok(()) };
    let Ok(address) = address.parse::<IpAddr>() else { return Ok(()) };
    let lb = &graph.load_balancer;
    let mut vips = lb.additional_vips.iter().map(|vip| vip.address).chain([lb.vip.address]);
    if graph.pool_listeners(pool).next().is_none() || vips.any(|vip| vip.is_ipv4() == address.is_ipv4()) {
        return Ok(());
    }
    Err(unsupported(graph, format!("mixing IPv4 and IPv6 addresses of VIP and members in {protocol} pools.")))
}

/// The member itself; its pool is the caller's business.
pub(super) fn add(
    graph: &mut LoadBalancerGraph,
    pool: PoolId,
    body: &MemberBody,
    id: MemberId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    create_precheck(body, options)?;
    let (_, address) = body.address.clone().required("address")?;
    let protocol_port = body.protocol_port.required("protocol_port")?;
    let duplicate = Fault::DuplicateMember { ip: address.clone(), port: protocol_port };
    if graph.pool_members(pool).any(|other| other.address == address && other.protocol_port == protocol_port)
    {
        return Err(duplicate);
    }
    same_ip_version(graph, pool, &address)?;
    let monitored = graph.pool_health_monitor(pool).is_some_and(|m| !m.statuses.provisioning.is_leaving());
    let operating = if monitored { OperatingStatus::Offline } else { OperatingStatus::NoMonitor };
    graph.members.push(Member {
        id,
        pool_id: pool,
        load_balancer_id: graph.load_balancer.id,
        project_id: graph.load_balancer.project_id.clone(),
        name: body.name.get().cloned().unwrap_or_default(),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(operating),
        address,
        protocol_port,
        weight: body.weight.map(Some).or_null(Some(1), None),
        backup: body.backup.or(false),
        subnet_id: body.subnet_id.value(),
        monitor_address: body.monitor_address.get().map(|(_, text)| text.clone()),
        monitor_port: body.monitor_port.value(),
        vnic_type: VNIC_TYPE,
        tags: new_tags(body.tags.get(), duplicate)?,
        created_at: BY_STORE,
        updated_at: None,
    });
    Ok(())
}

pub(crate) fn update(
    graph: &mut LoadBalancerGraph,
    pool: PoolId,
    id: MemberId,
    body: &MemberBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_pool(graph, pool, options)?;
    let member = graph.member_mut(id).ok_or_else(|| Fault::not_found("Member", id))?;
    not_leaving(&member.statuses, "Member", id)?;
    body.name.change(&mut member.name, String::new());
    body.admin_state_up.change(&mut member.admin_state_up, false);
    body.weight.map(Some).change(&mut member.weight, Some(1));
    body.backup.change(&mut member.backup, false);
    body.monitor_address.as_ref().map(|(_, text)| text.clone()).change_option(&mut member.monitor_address);
    body.monitor_port.change_option(&mut member.monitor_port);
    body.tags.as_ref().map(|tags| unique_tags(tags)).change_if_value(&mut member.tags);
    touch(&mut member.statuses);
    touch_pool(graph, pool);
    Ok(())
}

pub(crate) fn delete(
    graph: &mut LoadBalancerGraph,
    pool: PoolId,
    id: MemberId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_pool(graph, pool, options)?;
    let member = graph.member_mut(id).ok_or_else(|| Fault::not_found("Member", id))?;
    not_leaving(&member.statuses, "Member", id)?;
    member.statuses.provisioning = ProvisioningStatus::PendingDelete;
    touch_pool(graph, pool);
    Ok(())
}

/// The whole membership of a pool, as one wish.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) bodies: &'a [MemberBody],
    /// Ids for those that turn out to be new; as many as bodies.
    pub(crate) ids: &'a [MemberId],
    /// Members that are not in the list stay.
    pub(crate) additive_only: bool,
}

impl Batch<'_> {
    pub(crate) fn precheck(
        &self,
        graph: &LoadBalancerGraph,
        pool: PoolId,
        options: &ApiOptions,
    ) -> Result<(), Fault> {
        for body in self.bodies {
            create_precheck(body, options)?;
        }
        let mut seen = HashSet::new();
        for body in self.bodies {
            let (address, port) = key(body)?;
            if !seen.insert((address, port)) {
                let known = graph
                    .pool_members(pool)
                    .any(|member| member.address == address && member.protocol_port == port);
                return Err(if known {
                    Fault::validation(format!("Member {address}:{port} is named more than once."))
                } else {
                    Fault::DuplicateMember { ip: address.to_owned(), port }
                });
            }
        }
        Ok(())
    }

    /// Bodies that no member of the pool answers to yet.
    pub(crate) fn new_bodies<'b>(
        &'b self,
        graph: &'b LoadBalancerGraph,
        pool: PoolId,
    ) -> impl Iterator<Item = &'b MemberBody> {
        self.bodies.iter().filter(move |body| {
            key(body).is_ok_and(|(address, port)| find(graph, pool, address, port).is_none())
        })
    }

    /// Nothing is asked for and nothing is there to be removed.
    pub(crate) fn is_idle(&self, graph: &LoadBalancerGraph, pool: PoolId) -> bool {
        self.bodies.is_empty() && (self.additive_only || graph.pool_members(pool).next().is_none())
    }

    /// What the batch takes from the quota of members. It is checked only if more members are wanted than before, and
    /// then for as many as are made less those that are sent away, though these count until they are gone. One that was
    /// on its way out and is wanted again is one more, but has its row.
    pub(crate) fn demand(&self, graph: &LoadBalancerGraph, pool: PoolId) -> Demand {
        let (mut created, mut revived, mut kept) = (0_i64, 0_i64, HashSet::new());
        for (address, port) in self.bodies.iter().filter_map(|body| key(body).ok()) {
            match find(graph, pool, address, port).and_then(|id| graph.member(id)) {
                None => created += 1,
                Some(member) => {
                    kept.insert(member.id);
                    revived += i64::from(member.statuses.provisioning.is_leaving());
                }
            }
        }
        let sent_away = graph.pool_members(pool).filter(|member| {
            !self.additive_only && !kept.contains(&member.id) && !member.statuses.provisioning.is_leaving()
        });
        let rows = created - i64::try_from(sent_away.count()).unwrap_or(i64::MAX);
        Demand { member: (rows + revived > 0).then_some(rows), ..Demand::default() }
    }

    pub(crate) fn apply(
        &self,
        graph: &mut LoadBalancerGraph,
        pool: PoolId,
        options: &ApiOptions,
    ) -> Result<(), Fault> {
        self.precheck(graph, pool, options)?;
        open_pool(graph, pool, options)?;
        let before: Vec<MemberId> = graph.pool_members(pool).map(|member| member.id).collect();
        let mut kept = HashSet::new();
        for (body, new_id) in self.bodies.iter().zip(self.ids) {
            let (address, port) = key(body)?;
            match find(graph, pool, address, port) {
                None => add(graph, pool, body, *new_id, options)?,
                Some(id) => {
                    kept.insert(id);
                    if let Some(member) = graph.member_mut(id) {
                        replace(member, body);
                    }
                }
            }
        }
        if !self.additive_only {
            for id in before.into_iter().filter(|id| !kept.contains(id)) {
                if let Some(member) = graph.member_mut(id) {
                    member.statuses.provisioning = ProvisioningStatus::PendingDelete;
                }
            }
        }
        touch_pool(graph, pool);
        Ok(())
    }
}

fn key(body: &MemberBody) -> Result<(&str, u16), Fault> {
    let (_, address) = body.address.as_ref().required("address")?;
    Ok((address, body.protocol_port.required("protocol_port")?))
}

fn find(graph: &LoadBalancerGraph, pool: PoolId, address: &str, port: u16) -> Option<MemberId> {
    graph
        .pool_members(pool)
        .find(|member| member.address == address && member.protocol_port == port)
        .map(|member| member.id)
}

/// A member that is named in a batch gets every attribute of the element, defaults included, save name, subnet and
/// tags, which change only if sent. One on its way out is wanted again.
fn replace(member: &mut Member, body: &MemberBody) {
    body.name.change(&mut member.name, String::new());
    member.admin_state_up = body.admin_state_up.or_null(true, false);
    member.weight = Some(body.weight.or(1));
    member.backup = body.backup.or(false);
    member.monitor_address = body.monitor_address.get().map(|(_, text)| text.clone());
    member.monitor_port = body.monitor_port.value();
    body.subnet_id.change_option(&mut member.subnet_id);
    body.tags.as_ref().map(|tags| unique_tags(tags)).change_if_value(&mut member.tags);
    if member.statuses.provisioning.is_leaving() {
        member.statuses.provisioning = ProvisioningStatus::PendingUpdate;
    }
    touch(&mut member.statuses);
}
