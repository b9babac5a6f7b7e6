//! Addresses: networks, subnets, ports.

use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;
use octavia_model::{LoadBalancerId, NetworkId, PortId, ProjectId, SecurityGroupId, SubnetId};

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
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipRequest {
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub network_id: NetworkId,
    pub subnet_id: SubnetId,
    /// A free address of the subnet if `None`.
    pub address: Option<IpAddr>,
    /// A port the user brought.
    pub port_id: Option<PortId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipPort {
    pub port_id: PortId,
    pub network_id: NetworkId,
    pub subnet_id: SubnetId,
    pub address: IpAddr,
    /// We made the port.
    pub owned: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetInfo {
    pub id: SubnetId,
    pub network_id: NetworkId,
    pub name: String,
    pub cidr: IpNet,
    /// Addresses that can still be handed out.
    pub free: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    pub id: NetworkId,
    pub name: String,
    pub subnets: Vec<SubnetId>,
    pub port_security_enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    pub id: PortId,
    pub network_id: NetworkId,
    pub fixed_ips: Vec<(SubnetId, IpAddr)>,
    /// Whose it is: to other projects it is not there. `None` = anybody's.
    pub project_id: Option<ProjectId>,
    /// Empty = bound to nothing.
    pub device_id: String,
    pub qos_policy_id: Option<uuid::Uuid>,
}
