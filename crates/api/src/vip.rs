//! Where a new load balancer's address comes from: the resolution of `reference/api.md` §3.1 over what the network
//! service knows.

use std::net::IpAddr;

use octavia_cloud::{Network, NetworkInfo, PortInfo, PortSubnet, SubnetInfo, VipPort};
use octavia_model::{AdditionalVip, NetworkId, PortId, ProjectId, SecurityGroupId, SubnetId, Vip, VnicType};

use crate::fault::Fault;
use crate::options::VipOptions;
use crate::request::load_balancer::VipBody;

/// A place for a VIP, not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VipPlace {
    pub(crate) network_id: NetworkId,
    pub(crate) subnet: SubnetInfo,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port_id: Option<PortId>,
    pub(crate) qos_policy_id: Option<uuid::Uuid>,
    /// More addresses on the same port.
    pub(crate) additional: Vec<PortSubnet>,
}

impl VipPlace {
    /// What rules can judge before the address is taken: its IP version is already right.
    pub(crate) fn provisional(&self) -> Vip {
        Vip {
            address: self.address.unwrap_or_else(|| self.subnet.cidr.addr()),
            subnet_id: self.subnet.id,
            network_id: self.network_id,
            port_id: self.port_id.unwrap_or_else(PortId::nil),
            qos_policy_id: self.qos_policy_id,
            sg_ids: vec![],
            vnic_type: VnicType::Normal,
            owned: self.port_id.is_none(),
        }
    }

    pub(crate) fn taken(&self, port: &VipPort) -> Vip {
        Vip {
            address: port.address,
            subnet_id: port.subnet_id,
            network_id: port.network_id,
            port_id: port.port_id,
            owned: port.owned,
            ..self.provisional()
        }
    }
}

pub(crate) async fn resolve(
    network: &dyn Network,
    body: &VipBody,
    project: &ProjectId,
    options: &VipOptions,
) -> Result<VipPlace, Fault> {
    check_ways(body, options)?;
    let mut place = if let Some(port) = body.port_id.value() {
        on_port(network, body, port, project).await?
    } else if let Some(id) = body.network_id.value() {
        on_network(network, body, id).await?
    } else if let Some(id) = body.subnet_id.value() {
        let subnet = subnet_get(network, id).await?;
        VipPlace {
            network_id: subnet.network_id,
            subnet,
            address: body.address.value(),
            port_id: None,
            qos_policy_id: None,
            additional: vec![],
        }
    } else {
        let allowed = ways(body, options).filter(|way| way.allowed).map(|way| way.key);
        let allowed: Vec<_> = allowed.collect();
        return Err(Fault::validation(format!("VIP must contain one of: {}.", allowed.join(", "))));
    };
    if let Some(address) = place.address {
        check_address(network, &place.subnet, address)?;
    }
    let wanted = body.additional.iter().map(|a| PortSubnet { subnet_id: a.subnet_id, address: a.address });
    place.additional = wanted.collect();
    if body.qos_policy_id.is_sent() {
        place.qos_policy_id = body.qos_policy_id.value();
    }
    Ok(place)
}

/// One way to say where the VIP shall be.
struct Way {
    key: &'static str,
    used: bool,
    allowed: bool,
}

fn ways(body: &VipBody, options: &VipOptions) -> impl Iterator<Item = Way> {
    let way = |key, used, allowed| Way { key, used, allowed };
    [
        way("vip_port_id", body.port_id.value().is_some(), options.allow_port_id),
        way("vip_network_id", body.network_id.value().is_some(), options.allow_network_id),
        way("vip_subnet_id", body.subnet_id.value().is_some(), options.allow_subnet_id),
    ]
    .into_iter()
}

fn check_ways(body: &VipBody, options: &VipOptions) -> Result<(), Fault> {
    match ways(body, options).find(|way| way.used && !way.allowed) {
        Some(way) => Err(Fault::validation(format!("This deployment does not let {} be chosen.", way.key))),
        None => Ok(()),
    }
}

/// Whether the deployment lets VIPs be on this network; `listed` = an availability zone's own list has it.
pub(crate) fn check_network(network: NetworkId, listed: bool, options: &VipOptions) -> Result<(), Fault> {
    let allowed = listed || options.networks.is_empty() || options.networks.contains(&network);
    if allowed && !options.denied_networks.contains(&network) {
        return Ok(());
    }
    Err(Fault::validation(format!("This deployment does not let VIPs be on network {network}.")))
}

fn check_address(network: &dyn Network, subnet: &SubnetInfo, address: IpAddr) -> Result<(), Fault> {
    if network.subnet_holds(subnet, address) {
        return Ok(());
    }
    Err(Fault::validation(format!("Subnet {} gives no port the address {address}.", subnet.id)))
}

/// Additional VIPs are on other subnets of the same network, and on the VIP's port, which is not known yet.
pub(crate) async fn additional(
    network: &dyn Network,
    body: &VipBody,
    place: &VipPlace,
) -> Result<Vec<AdditionalVip>, Fault> {
    let mut used = vec![place.subnet.id];
    let mut vips = vec![];
    for additional in &body.additional {
        let subnet = subnet_get(network, additional.subnet_id).await?;
        if used.contains(&subnet.id) {
            return Err(Fault::validation("Every VIP must be on a subnet of its own."));
        }
        if !network.subnet_is_on(&subnet, place.network_id) {
            return Err(Fault::validation("All VIP subnets must belong to the same network."));
        }
        if let Some(address) = additional.address {
            check_address(network, &subnet, address)?;
        }
        used.push(subnet.id);
        vips.push(AdditionalVip {
            address: additional.address.unwrap_or_else(|| subnet.cidr.addr()),
            subnet_id: subnet.id,
            network_id: place.network_id,
            port_id: place.port_id.unwrap_or_else(PortId::nil),
        });
    }
    Ok(vips)
}

pub(crate) async fn check_security_groups(
    network: &dyn Network,
    ids: &[SecurityGroupId],
) -> Result<(), Fault> {
    for id in ids {
        if !network.security_group_exists(*id).await? {
            return Err(Fault::ReferenceNotFound { resource: "Security Group", id: id.to_string() });
        }
    }
    Ok(())
}

pub(crate) async fn check_qos_policy(network: &dyn Network, id: uuid::Uuid) -> Result<(), Fault> {
    if network.qos_policy_exists(id).await? {
        return Ok(());
    }
    Err(Fault::ReferenceNotFound { resource: "qos_policy", id: id.to_string() })
}

pub(crate) async fn subnet_get(network: &dyn Network, id: SubnetId) -> Result<SubnetInfo, Fault> {
    let found = network.subnet_get(id).await?;
    found.ok_or_else(|| Fault::ReferenceNotFound { resource: "Subnet", id: id.to_string() })
}

async fn on_port(
    network: &dyn Network,
    body: &VipBody,
    id: PortId,
    project: &ProjectId,
) -> Result<VipPlace, Fault> {
    let seen = |port: &PortInfo| port.project_id.as_ref().is_none_or(|owner| owner == project);
    let port = network.port_get(id).await?.filter(seen);
    let port = port.ok_or_else(|| Fault::ReferenceNotFound { resource: "Port", id: id.to_string() })?;
    if !port.device_id.is_empty() {
        return Err(Fault::validation(format!("VIP port {id} is already used by another device.")));
    }
    let found = if let Some(subnet) = body.subnet_id.value() {
        subnet_get(network, subnet).await?;
        let first = port.fixed_ips.iter().find(|(on, _)| *on == subnet);
        first.ok_or_else(|| format!("VIP port {id} has no address on subnet {subnet}."))
    } else if let Some(address) = body.address.value() {
        let same = port.fixed_ips.iter().find(|(_, ip)| *ip == address);
        same.ok_or_else(|| format!("VIP port {id} does not own the address {address}."))
    } else {
        match port.fixed_ips.as_slice() {
            [only] => Ok(only),
            [] => Err(format!("VIP port {id} has no address.")),
            _ => Err(format!(
                "VIP port {id} has several addresses; choose one by vip_subnet_id or vip_address."
            )),
        }
    };
    let (subnet, address) = *found.map_err(Fault::Validation)?;
    Ok(VipPlace {
        network_id: port.network_id,
        subnet: subnet_get(network, subnet).await?,
        address: Some(address),
        port_id: Some(id),
        qos_policy_id: port.qos_policy_id,
        additional: vec![],
    })
}

async fn on_network(network: &dyn Network, body: &VipBody, id: NetworkId) -> Result<VipPlace, Fault> {
    let found = network.network_get(id).await?;
    let info = found.ok_or_else(|| Fault::ReferenceNotFound { resource: "Network", id: id.to_string() })?;
    let subnet = match body.subnet_id.value() {
        Some(subnet) => {
            let subnet = subnet_get(network, subnet).await?;
            if !network.subnet_is_on(&subnet, id) {
                return Err(Fault::validation(format!(
                    "Subnet {} does not belong to network {id}.",
                    subnet.id
                )));
            }
            subnet
        }
        None => choose_subnet(network, &info, body.address.value()).await?,
    };
    Ok(VipPlace {
        network_id: id,
        subnet,
        address: body.address.value(),
        port_id: None,
        qos_policy_id: None,
        additional: vec![],
    })
}

/// The subnet that holds the wished address; else the first IPv4 one with a free address, else the first with one.
async fn choose_subnet(
    network: &dyn Network,
    info: &NetworkInfo,
    address: Option<IpAddr>,
) -> Result<SubnetInfo, Fault> {
    if info.subnets.is_empty() {
        return Err(Fault::validation(format!("Network {} has no subnets.", info.id)));
    }
    let mut subnets = vec![];
    for id in &info.subnets {
        if let Some(subnet) = network.subnet_get(*id).await? {
            subnets.push(subnet);
        }
    }
    if let Some(address) = address {
        let holding = subnets.into_iter().find(|subnet| network.subnet_holds(subnet, address));
        return holding.ok_or_else(|| {
            Fault::validation(format!(
                "Network {} has no subnet that gives a port the address {address}.",
                info.id
            ))
        });
    }
    subnets.retain(|subnet| subnet.free > 0);
    let index = subnets.iter().position(|subnet| subnet.cidr.addr().is_ipv4()).unwrap_or(0);
    if index >= subnets.len() {
        return Err(Fault::validation(format!("No subnet of network {} has a free address left.", info.id)));
    }
    Ok(subnets.swap_remove(index))
}
