//! Addresses: networks, subnets, ports.

use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, ProjectId, SecurityGroupId, SubnetId};

use crate::CloudError;

/// The service that hands out addresses (Neutron; the embedded local networks).
#[async_trait]
pub trait Network: Send + Sync + std::fmt::Debug {
    async fn subnet_get(&self, id: SubnetId) -> Result<Option<SubnetInfo>, CloudError>;
    async fn network_get(&self, id: NetworkId) -> Result<Option<NetworkInfo>, CloudError>;
    async fn port_get(&self, id: PortId) -> Result<Option<PortInfo>, CloudError>;
    async fn security_group_exists(&self, id: SecurityGroupId) -> Result<bool, CloudError>;
    async fn qos_policy_exists(&self, id: uuid::Uuid) -> Result<bool, CloudError>;

    /// Whether the subnet is one of the network's.
    fn subnet_is_on(&self, subnet: &SubnetInfo, network: NetworkId) -> bool {
        subnet.network_id == network
    }

    /// Whether an address is one that the subnet gives to ports: of IPv4 neither the first nor the last, of IPv6 not the
    /// first (RFC 4291 §2.6.1).
    fn subnet_holds(&self, subnet: &SubnetInfo, address: IpAddr) -> bool {
        let reserved = match subnet.cidr {
            IpNet::V4(net) => {
                net.prefix_len() < 31 && (address == net.network() || address == net.broadcast())
            }
            IpNet::V6(net) => net.prefix_len() < 127 && address == net.network(),
        };
        subnet.cidr.contains(&address) && !reserved
    }

    /// Takes the address for a load balancer's VIP, or returns the one it already has. The caller has resolved
    /// network and subnet; an address in use by someone else is [`octavia_model::Blame::Caller`].
    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError>;

    /// Whether [`Network::vip_ensure`] would refuse this now, with the same error; nothing is taken. Who can only find out
    /// by taking says that all is well.
    async fn vip_check(&self, _request: &VipRequest) -> Result<(), CloudError> {
        Ok(())
    }

    /// Gives the address back if we took it; a port that the user brought stays, unbound. Absent = fine.
    async fn vip_release(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError>;

    /// Load balancers that hold a VIP port, for finding orphans.
    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError>;

    /// Makes the amphora's port on the network, or changes the one that is there until it is as requested: the
    /// addresses it has on subnets that stay, stay. What is attached already follows at once.
    async fn port_ensure(&self, _request: &PortRequest) -> Result<Port, CloudError> {
        Err(without_ports())
    }

    /// `Ok(None)` = surely not there.
    async fn port_find(&self, _amphora: AmphoraId, _network: NetworkId) -> Result<Option<Port>, CloudError> {
        Ok(None)
    }

    /// The ports of one amphora, or of all, for finding orphans.
    async fn port_list(&self, _of: Option<AmphoraId>) -> Result<Vec<Port>, CloudError> {
        Ok(vec![])
    }

    /// Gives the port and its addresses back, detached if it was not. Absent = fine. Only of ports of amphorae: any other
    /// is [`octavia_model::Blame::Caller`].
    async fn port_delete(&self, _port: PortId) -> Result<(), CloudError> {
        Ok(())
    }

    /// Makes the load balancer's own security group have exactly these rules. It holds on every port that was ensured with
    /// the load balancer's id, before and after. There, nothing comes in that neither is an answer nor has a rule.
    async fn security_group_ensure(
        &self,
        _load_balancer: LoadBalancerId,
        _rules: &[SecurityRule],
    ) -> Result<SecurityGroupId, CloudError> {
        Err(without_ports())
    }

    /// Absent = fine. Ports that it held on let nothing in any more.
    async fn security_group_delete(&self, _load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        Ok(())
    }

    /// Load balancers that have a security group of their own, for finding orphans.
    async fn security_group_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        Ok(vec![])
    }
}

fn without_ports() -> CloudError {
    CloudError::internal("this network has no ports for amphorae")
}

/// What an amphora's port on one network shall be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PortRequest {
    pub amphora_id: AmphoraId,
    /// Whose security group holds on a [`PortRole::Vip`] port.
    pub load_balancer_id: LoadBalancerId,
    pub network_id: NetworkId,
    pub role: PortRole,
    /// One address each, and no two on one subnet; not empty.
    pub subnets: Vec<PortSubnet>,
    /// Addresses that it may use besides its own: the load balancer's VIPs.
    pub allowed: Vec<IpAddr>,
    /// How fast it may be.
    pub qos_policy_id: Option<uuid::Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PortSubnet {
    pub subnet_id: SubnetId,
    /// A free one of the subnet if `None`.
    pub address: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortRole {
    /// On the VIP's network: takes the load balancer's traffic (the original's *base* or *vrrp* port).
    Vip,
    /// On a network of members only: nothing comes in but answers.
    Member,
}

/// A port of an amphora.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    pub id: PortId,
    pub amphora_id: AmphoraId,
    pub load_balancer_id: LoadBalancerId,
    pub network_id: NetworkId,
    pub role: PortRole,
    /// Six bytes in hexadecimal, with colons, in lower case.
    pub mac: String,
    /// In bytes, without the link's own header.
    pub mtu: u16,
    /// In the order of the request.
    pub fixed_ips: Vec<FixedIp>,
    pub allowed: Vec<IpAddr>,
    pub qos_policy_id: Option<uuid::Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FixedIp {
    pub subnet_id: SubnetId,
    pub address: IpAddr,
    /// Of the subnet.
    pub prefix_len: u8,
    pub gateway: Option<IpAddr>,
    pub host_routes: Vec<HostRoute>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostRoute {
    pub destination: IpNet,
    pub nexthop: IpAddr,
}

/// What may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SecurityRule {
    pub family: IpFamily,
    pub protocol: RuleProtocol,
    /// First and last. `None` = all; of VRRP, which has none, always.
    pub ports: Option<(u16, u16)>,
    /// Who sends, of the same family. `None` = anybody.
    pub remote: Option<IpNet>,
}

impl SecurityRule {
    /// One port for everybody.
    pub fn any(family: IpFamily, protocol: RuleProtocol, port: u16) -> Self {
        Self { family, protocol, ports: Some((port, port)), remote: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpFamily {
    V4,
    V6,
}

impl IpFamily {
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv6() { Self::V6 } else { Self::V4 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleProtocol {
    Tcp,
    Udp,
    Sctp,
    /// Between the amphorae of a load balancer.
    Vrrp,
}

/// How fast one direction may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BandwidthLimit {
    /// Kilobits (1000 bits) a second; 0 is taken as 1.
    pub kbps: u32,
    /// How much may be sent at once, in kilobits. `None` = what suits the rate.
    pub burst_kbit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VipRequest {
    pub load_balancer_id: LoadBalancerId,
    #[serde(with = "crate::project_text")]
    pub project_id: ProjectId,
    pub network_id: NetworkId,
    pub subnet_id: SubnetId,
    /// A free address of the subnet if `None`.
    pub address: Option<IpAddr>,
    /// A port the user brought.
    pub port_id: Option<PortId>,
    /// More addresses, of other subnets of the network, on the same port. One that the user brought has them already.
    pub additional: Vec<PortSubnet>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VipPort {
    pub port_id: PortId,
    pub network_id: NetworkId,
    pub subnet_id: SubnetId,
    pub address: IpAddr,
    /// We made the port.
    pub owned: bool,
    /// Those that were asked for, in that order.
    pub additional: Vec<(SubnetId, IpAddr)>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SubnetInfo {
    pub id: SubnetId,
    pub network_id: NetworkId,
    pub name: String,
    pub cidr: IpNet,
    /// Addresses that can still be handed out.
    pub free: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetworkInfo {
    pub id: NetworkId,
    pub name: String,
    pub subnets: Vec<SubnetId>,
    pub port_security_enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PortInfo {
    pub id: PortId,
    pub network_id: NetworkId,
    pub fixed_ips: Vec<(SubnetId, IpAddr)>,
    /// Whose it is: to other projects it is not there. `None` = anybody's.
    #[serde(with = "crate::project_text::option")]
    pub project_id: Option<ProjectId>,
    /// Empty = bound to nothing.
    pub device_id: String,
    pub qos_policy_id: Option<uuid::Uuid>,
}
