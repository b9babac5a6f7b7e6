//! The book of addresses, without I/O: what there is, who has what, and what a request would write.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use octavia_model::{LoadBalancerId, NetworkId, PortId, ProjectId, SubnetId};
use serde::{Deserialize, Serialize};

use crate::local::seed::Seed;
use crate::local::time;
use crate::{CloudError, NetworkInfo, PortInfo, SubnetInfo, VipPort, VipRequest};

/// A network with its one subnet. Both are shared by all projects.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) id: NetworkId,
    pub(super) name: &'static str,
    pub(super) external: bool,
    pub(super) subnet_id: SubnetId,
    pub(super) subnet_name: &'static str,
    pub(super) cidr: Ipv4Net,
}

impl Net {
    pub(super) fn all(number: u8, seed: &Seed) -> Vec<Self> {
        let net = |name: &'static str, subnet_name: &'static str, external, third| Self {
            id: typed(seed.id(&format!("network/{name}"))),
            name,
            external,
            subnet_id: typed(seed.id(&format!("subnet/{subnet_name}"))),
            subnet_name,
            cidr: Ipv4Net::new_assert(Ipv4Addr::new(127, number, third, 0), 18),
        };
        vec![net("private", "private-subnet", false, 64), net("public", "public-subnet", true, 128)]
    }

    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 1)
    }

    /// First and last address that is handed out: neither the network's, nor the gateway's, nor the broadcast address.
    pub(super) fn pool(&self) -> (Ipv4Addr, Ipv4Addr) {
        (
            Ipv4Addr::from_bits(self.cidr.network().to_bits() + 2),
            Ipv4Addr::from_bits(self.cidr.broadcast().to_bits() - 1),
        )
    }

    pub(super) fn pool_size(&self) -> u64 {
        let (first, last) = self.pool();
        u64::from(last.to_bits() - first.to_bits()) + 1
    }
}

fn typed<T: newtype_uuid::TypedUuidKind>(id: uuid::Uuid) -> newtype_uuid::TypedUuid<T> {
    newtype_uuid::TypedUuid::from_bytes(id.into_bytes())
}

/// A port with its one address, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port {
    pub(super) id: PortId,
    pub(super) network_id: NetworkId,
    pub(super) subnet_id: SubnetId,
    pub(super) address: Ipv4Addr,
    pub(super) project_id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) admin_state_up: bool,
    pub(super) device_id: String,
    pub(super) device_owner: String,
    /// The load balancer whose VIP it carries.
    pub(super) load_balancer_id: Option<LoadBalancerId>,
    /// Made for that load balancer, and to go with it.
    pub(super) owned: bool,
    #[serde(with = "time")]
    pub(super) created_at: Timestamp,
    #[serde(with = "time")]
    pub(super) updated_at: Timestamp,
    pub(super) revision: u32,
}

impl Port {
    /// From the id, so that it is as stable.
    pub(super) fn mac_address(&self) -> String {
        let bytes = self.id.as_bytes();
        format!("fa:16:3e:{:02x}:{:02x}:{:02x}", bytes[13], bytes[14], bytes[15])
    }

    fn vip(&self) -> VipPort {
        VipPort {
            port_id: self.id,
            network_id: self.network_id,
            subnet_id: self.subnet_id,
            address: self.address.into(),
            owned: self.owned,
        }
    }

    fn changed(&self, now: Timestamp) -> Self {
        Self { updated_at: now, revision: self.revision + 1, ..self.clone() }
    }
}

/// What a user may say of a new port.
#[derive(Debug, Clone)]
pub(super) struct PortRequest {
    pub(super) network_id: NetworkId,
    pub(super) subnet_id: Option<SubnetId>,
    pub(super) address: Option<IpAddr>,
    pub(super) project_id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) admin_state_up: bool,
    pub(super) device_id: String,
    pub(super) device_owner: String,
}

/// What a user may change of a port; `None` = as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct PortUpdate {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) admin_state_up: Option<bool>,
    pub(super) device_id: Option<String>,
    pub(super) device_owner: Option<String>,
}

/// Why the book cannot do what it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BookError {
    #[error("network {0} does not exist")]
    NetworkUnknown(NetworkId),
    #[error("subnet {0} is not one of network {1}")]
    SubnetUnknown(SubnetId, NetworkId),
    #[error("port {0} does not exist")]
    PortUnknown(PortId),
    #[error("port {0} is in use by {1}")]
    PortInUse(PortId, String),
    #[error("port {0} is on another network or subnet, or has another address")]
    PortElsewhere(PortId),
    #[error("address {0} is in use")]
    AddressInUse(IpAddr),
    #[error("address {address} is not one that subnet {subnet} hands out ({first} to {last})")]
    AddressOutside { address: IpAddr, subnet: SubnetId, first: Ipv4Addr, last: Ipv4Addr },
    #[error("no address is free in subnet {0}")]
    Exhausted(SubnetId),
}

impl From<BookError> for CloudError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Exhausted(_) => Self::unavailable(error.to_string()),
            _ => Self::refused(error.to_string()),
        }
    }
}

/// What a request comes to: nothing, or a file to write first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Put(Box<Port>),
    Remove(PortId),
}

#[derive(Debug)]
pub(super) struct Book {
    nets: Vec<Net>,
    ports: BTreeMap<PortId, Port>,
    by_address: BTreeMap<Ipv4Addr, PortId>,
    by_load_balancer: BTreeMap<LoadBalancerId, PortId>,
    /// The last address handed out of a subnet: the search goes on behind it, so that a released one rests.
    last: BTreeMap<SubnetId, Ipv4Addr>,
}

impl Book {
    /// Ports whose subnet is none of `nets` are left out.
    pub(super) fn new(nets: Vec<Net>, mut ports: Vec<Port>) -> Self {
        let mut book = Self {
            nets,
            ports: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_load_balancer: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        ports.sort_by_key(|port| port.created_at);
        for port in ports {
            if book.net_of_subnet(port.subnet_id).is_some_and(|net| net.cidr.contains(&port.address)) {
                book.apply(Change::Put(Box::new(port)));
            }
        }
        book
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Put(port) => {
                self.forget(port.id);
                if self.by_address.insert(port.address, port.id).is_none() {
                    self.last.insert(port.subnet_id, port.address);
                }
                if let Some(load_balancer) = port.load_balancer_id {
                    self.by_load_balancer.insert(load_balancer, port.id);
                }
                self.ports.insert(port.id, *port);
            }
            Change::Remove(id) => self.forget(id),
        }
    }

    fn forget(&mut self, id: PortId) {
        let Some(port) = self.ports.remove(&id) else { return };
        self.by_address.remove(&port.address);
        if let Some(load_balancer) = port.load_balancer_id {
            self.by_load_balancer.remove(&load_balancer);
        }
    }

    pub(super) fn nets(&self) -> &[Net] {
        &self.nets
    }

    pub(super) fn net(&self, id: NetworkId) -> Option<&Net> {
        self.nets.iter().find(|net| net.id == id)
    }

    pub(super) fn net_of_subnet(&self, id: SubnetId) -> Option<&Net> {
        self.nets.iter().find(|net| net.subnet_id == id)
    }

    pub(super) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    pub(super) fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(&id)
    }

    pub(super) fn used(&self, net: &Net) -> u64 {
        let (first, last) = net.pool();
        self.by_address.range(first..=last).count() as u64
    }

    pub(super) fn load_balancers(&self) -> Vec<LoadBalancerId> {
        self.by_load_balancer.keys().copied().collect()
    }

    pub(super) fn subnet_info(&self, id: SubnetId) -> Option<SubnetInfo> {
        self.net_of_subnet(id).map(|net| SubnetInfo {
            id,
            network_id: net.id,
            name: net.subnet_name.into(),
            cidr: IpNet::V4(net.cidr),
            free: net.pool_size() - self.used(net),
        })
    }

    /// Whether the address may become a port's, in use or not.
    pub(super) fn gives(&self, id: SubnetId, address: IpAddr) -> bool {
        self.net_of_subnet(id).is_some_and(|net| {
            let (first, last) = net.pool();
            (IpAddr::V4(first)..=IpAddr::V4(last)).contains(&address)
        })
    }

    pub(super) fn network_info(&self, id: NetworkId) -> Option<NetworkInfo> {
        self.net(id).map(|net| NetworkInfo {
            id,
            name: net.name.into(),
            subnets: vec![net.subnet_id],
            port_security_enabled: false,
        })
    }

    pub(super) fn port_info(&self, id: PortId) -> Option<PortInfo> {
        self.port(id).map(|port| PortInfo {
            id,
            network_id: port.network_id,
            fixed_ips: vec![(port.subnet_id, port.address.into())],
            project_id: Some(ProjectId::new(&port.project_id)),
            device_id: port.device_id.clone(),
            qos_policy_id: None,
        })
    }

    /// The port of the load balancer's VIP, as it is or shall be. `id` is for a port that must be made.
    pub(super) fn vip_ensure(
        &self,
        request: &VipRequest,
        id: PortId,
        now: Timestamp,
    ) -> Result<(VipPort, Change), BookError> {
        let load_balancer = request.load_balancer_id;
        if let Some(port) = self.by_load_balancer.get(&load_balancer).and_then(|id| self.port(*id)) {
            return Ok((port.vip(), Change::Nothing));
        }
        let port = match request.port_id {
            Some(id) => Port {
                device_id: device_id(load_balancer),
                device_owner: DEVICE_OWNER.into(),
                load_balancer_id: Some(load_balancer),
                ..self.port_to_bind(id, request)?.changed(now)
            },
            None => Port {
                load_balancer_id: Some(load_balancer),
                owned: true,
                ..self.port_new(
                    &PortRequest {
                        network_id: request.network_id,
                        subnet_id: Some(request.subnet_id),
                        address: request.address,
                        project_id: request.project_id.to_string(),
                        name: format!("octavia-lb-{load_balancer}"),
                        description: String::new(),
                        admin_state_up: true,
                        device_id: device_id(load_balancer),
                        device_owner: DEVICE_OWNER.into(),
                    },
                    id,
                    now,
                )?
            },
        };
        Ok((port.vip(), Change::Put(Box::new(port))))
    }

    fn port_to_bind(&self, id: PortId, request: &VipRequest) -> Result<&Port, BookError> {
        // What another project has is not there for this one.
        let own = |port: &&Port| port.project_id == request.project_id.as_str();
        let port = self.port(id).filter(own).ok_or(BookError::PortUnknown(id))?;
        if !port.device_id.is_empty() {
            return Err(BookError::PortInUse(id, port.device_id.clone()));
        }
        if port.network_id != request.network_id
            || port.subnet_id != request.subnet_id
            || request.address.is_some_and(|address| address != port.address)
        {
            return Err(BookError::PortElsewhere(id));
        }
        Ok(port)
    }

    pub(super) fn vip_release(&self, load_balancer: LoadBalancerId, now: Timestamp) -> Change {
        match self.by_load_balancer.get(&load_balancer).and_then(|id| self.port(*id)) {
            None => Change::Nothing,
            Some(port) if port.owned => Change::Remove(port.id),
            Some(port) => Change::Put(Box::new(Port {
                device_id: String::new(),
                device_owner: String::new(),
                load_balancer_id: None,
                ..port.changed(now)
            })),
        }
    }

    pub(super) fn port_new(
        &self,
        request: &PortRequest,
        id: PortId,
        now: Timestamp,
    ) -> Result<Port, BookError> {
        let net = self.net(request.network_id).ok_or(BookError::NetworkUnknown(request.network_id))?;
        if let Some(subnet) = request.subnet_id
            && subnet != net.subnet_id
        {
            return Err(BookError::SubnetUnknown(subnet, net.id));
        }
        Ok(Port {
            id,
            network_id: net.id,
            subnet_id: net.subnet_id,
            address: match request.address {
                Some(address) => self.address_check(net, address)?,
                None => self.address_next(net)?,
            },
            project_id: request.project_id.clone(),
            name: request.name.clone(),
            description: request.description.clone(),
            admin_state_up: request.admin_state_up,
            device_id: request.device_id.clone(),
            device_owner: request.device_owner.clone(),
            load_balancer_id: None,
            owned: false,
            created_at: now,
            updated_at: now,
            revision: 1,
        })
    }

    /// The port as a user wants it. What carries a VIP belongs to its load balancer.
    pub(super) fn port_update(
        &self,
        id: PortId,
        update: &PortUpdate,
        now: Timestamp,
    ) -> Result<Port, BookError> {
        let port = self.port(id).ok_or(BookError::PortUnknown(id))?;
        if port.load_balancer_id.is_some() && (update.device_id.is_some() || update.device_owner.is_some()) {
            return Err(BookError::PortInUse(id, port.device_id.clone()));
        }
        let or = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
        Ok(Port {
            name: or(&update.name, &port.name),
            description: or(&update.description, &port.description),
            admin_state_up: update.admin_state_up.unwrap_or(port.admin_state_up),
            device_id: or(&update.device_id, &port.device_id),
            device_owner: or(&update.device_owner, &port.device_owner),
            ..port.changed(now)
        })
    }

    pub(super) fn port_delete(&self, id: PortId) -> Result<Change, BookError> {
        let port = self.port(id).ok_or(BookError::PortUnknown(id))?;
        match port.load_balancer_id {
            Some(_) => Err(BookError::PortInUse(id, port.device_id.clone())),
            None => Ok(Change::Remove(id)),
        }
    }

    fn address_check(&self, net: &Net, address: IpAddr) -> Result<Ipv4Addr, BookError> {
        let (first, last) = net.pool();
        match address {
            IpAddr::V4(v4) if (first..=last).contains(&v4) => {
                if self.by_address.contains_key(&v4) {
                    Err(BookError::AddressInUse(address))
                } else {
                    Ok(v4)
                }
            }
            _ => Err(BookError::AddressOutside { address, subnet: net.subnet_id, first, last }),
        }
    }

    fn address_next(&self, net: &Net) -> Result<Ipv4Addr, BookError> {
        let (first, last) = net.pool();
        let start = match self.last.get(&net.subnet_id) {
            Some(previous) if (first..last).contains(previous) => previous.to_bits() + 1,
            _ => first.to_bits(),
        };
        (start..=last.to_bits())
            .chain(first.to_bits()..start)
            .map(Ipv4Addr::from_bits)
            .find(|address| !self.by_address.contains_key(address))
            .ok_or(BookError::Exhausted(net.subnet_id))
    }
}

const DEVICE_OWNER: &str = "Octavia";

fn device_id(load_balancer: LoadBalancerId) -> String {
    format!("lb-{load_balancer}")
}

#[cfg(test)]
mod tests {
    use octavia_model::ProjectId;

    use super::*;

    fn book() -> Book {
        Book::new(Net::all(100, &Seed::new("seed")), vec![])
    }

    fn request(book: &Book) -> VipRequest {
        VipRequest {
            load_balancer_id: LoadBalancerId::new_v4(),
            project_id: ProjectId::new("p"),
            network_id: book.nets()[0].id,
            subnet_id: book.nets()[0].subnet_id,
            address: None,
            port_id: None,
        }
    }

    fn take(book: &mut Book, request: &VipRequest) -> VipPort {
        let (vip, change) = book.vip_ensure(request, PortId::new_v4(), Timestamp::UNIX_EPOCH).unwrap();
        book.apply(change);
        vip
    }

    #[test]
    fn hands_out_every_address_once_and_lets_released_ones_rest() {
        let mut book = book();
        let net = book.nets()[0].clone();
        assert_eq!(
            (net.pool().0.to_string(), net.pool().1.to_string()),
            ("127.100.64.2".into(), "127.100.127.254".into())
        );
        let first = request(&book);
        let address = take(&mut book, &first).address;
        assert_eq!(address.to_string(), "127.100.64.2");
        book.apply(book.vip_release(first.load_balancer_id, Timestamp::UNIX_EPOCH));
        assert_eq!(book.subnet_info(net.subnet_id).unwrap().free, net.pool_size());

        for (address, given) in [
            ("127.100.64.0", false),
            ("127.100.64.1", false),
            ("127.100.64.2", true),
            ("127.100.127.254", true),
            ("127.100.127.255", false),
            ("127.100.128.2", false),
            ("fd00::2", false),
        ] {
            assert_eq!(book.gives(net.subnet_id, address.parse().unwrap()), given, "{address}");
        }

        let mut seen = std::collections::BTreeSet::new();
        for count in 1..=net.pool_size() {
            let request = request(&book);
            let vip = take(&mut book, &request);
            assert!(seen.insert(vip.address));
            assert_eq!(vip.address == address, count == net.pool_size(), "rests until all others are taken");
        }
        assert_eq!(book.subnet_info(net.subnet_id).unwrap().free, 0);
        let error = book.vip_ensure(&request(&book), PortId::new_v4(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error, BookError::Exhausted(net.subnet_id));
    }

    #[test]
    fn refuses_addresses_that_are_not_to_have() {
        let mut book = book();
        let taken = request(&book);
        take(&mut book, &taken);
        for (address, good) in [
            ("127.100.64.0", false),
            ("127.100.64.1", false),
            ("127.100.64.2", false),
            ("127.100.64.3", true),
            ("127.100.127.254", true),
            ("127.100.127.255", false),
            ("127.100.128.2", false),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("::1", false),
        ] {
            let request = VipRequest { address: Some(address.parse().unwrap()), ..request(&book) };
            let outcome = book.vip_ensure(&request, PortId::new_v4(), Timestamp::UNIX_EPOCH);
            assert_eq!(outcome.is_ok(), good, "{address}");
        }
    }

    #[test]
    fn is_the_same_after_reading_it_again() {
        let mut book = book();
        let requests: Vec<_> = (0..5).map(|_| request(&book)).collect();
        for request in &requests {
            take(&mut book, request);
        }
        let again = Book::new(book.nets().to_vec(), book.ports().cloned().collect());
        for request in &requests {
            let ensure =
                |book: &Book| book.vip_ensure(request, PortId::new_v4(), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(ensure(&book), ensure(&again));
            assert_eq!(ensure(&again).1, Change::Nothing);
        }
    }
}
