//! The book of addresses, without I/O: what there is, who has what, and what a request would write.

mod amphora;
mod net;
mod port;
mod qos;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, ProjectId, SubnetId};
use uuid::Uuid;

pub(in crate::local) use self::amphora::{Group, PortWiring};
pub(in crate::local) use self::net::{Net, Subnet};
pub(in crate::local) use self::port::{AmphoraPort, Fixed, NewPort, Port, PortUpdate, Wish};
pub(in crate::local) use self::qos::{Direction, LimitRule, Policy};
use crate::{CloudError, NetworkInfo, PortInfo, SubnetInfo, VipPort, VipRequest};

/// Why the book cannot do what it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::local) enum BookError {
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
    AddressOutside { address: IpAddr, subnet: SubnetId, first: IpAddr, last: IpAddr },
    #[error("address {0} is in no subnet of network {1}")]
    AddressElsewhere(IpAddr, NetworkId),
    #[error("a port has at least one address, and one of a subnet at most")]
    AddressesUnfit,
    #[error("nothing can be attached to network {0}")]
    NetworkWithoutPorts(NetworkId),
    #[error("QoS policy {0} does not exist")]
    PolicyUnknown(Uuid),
    #[error("QoS policy {0} is in use by port {1}")]
    PolicyInUse(Uuid, PortId),
    #[error("no such rule can be: {0}")]
    RuleUnfit(String),
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

/// What a request comes to: nothing, or files to write first.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::local) enum Change {
    Nothing,
    Put(Box<Port>),
    Remove(PortId),
    GroupPut(Box<Group>),
    GroupRemove(LoadBalancerId),
    PolicyPut(Box<Policy>),
    PolicyRemove(Uuid),
}

/// All that was stored.
#[derive(Debug, Default)]
pub(in crate::local) struct Entries {
    pub(in crate::local) ports: Vec<Port>,
    pub(in crate::local) groups: Vec<Group>,
    pub(in crate::local) policies: Vec<Policy>,
}

#[derive(Debug)]
pub(in crate::local) struct Book {
    nets: Vec<Net>,
    ports: BTreeMap<PortId, Port>,
    by_address: BTreeMap<IpAddr, PortId>,
    by_load_balancer: BTreeMap<LoadBalancerId, PortId>,
    by_amphora: BTreeMap<(AmphoraId, NetworkId), PortId>,
    groups: BTreeMap<LoadBalancerId, Group>,
    policies: BTreeMap<Uuid, Policy>,
    /// The last address handed out of a subnet: the search goes on behind it, so that a released one rests.
    last: BTreeMap<SubnetId, IpAddr>,
}

impl Book {
    /// Ports whose subnets are none of `nets` are left out.
    pub(in crate::local) fn new(nets: Vec<Net>, entries: Entries) -> Self {
        let Entries { mut ports, groups, policies } = entries;
        let mut book = Self {
            nets,
            ports: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_load_balancer: BTreeMap::new(),
            by_amphora: BTreeMap::new(),
            groups: BTreeMap::new(),
            policies: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        ports.sort_by_key(|port| port.created_at);
        for port in ports {
            let fits = |fixed: &Fixed| {
                book.subnet(fixed.subnet_id).is_some_and(|subnet| subnet.cidr.contains(&fixed.address))
            };
            if port.fixed_ips.iter().all(fits) {
                book.apply(Change::Put(Box::new(port)));
            }
        }
        book.groups.extend(groups.into_iter().map(|group| (group.load_balancer_id, group)));
        book.policies.extend(policies.into_iter().map(|policy| (policy.id, policy)));
        book
    }

    pub(in crate::local) fn apply(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Put(port) => {
                let before: Vec<_> =
                    self.forget(port.id).into_iter().flat_map(|port| port.fixed_ips).collect();
                for fixed in &port.fixed_ips {
                    self.by_address.insert(fixed.address, port.id);
                    if !before.contains(fixed) {
                        self.last.insert(fixed.subnet_id, fixed.address);
                    }
                }
                if let Some(load_balancer) = port.load_balancer_id {
                    self.by_load_balancer.insert(load_balancer, port.id);
                }
                if let Some(amphora) = &port.amphora {
                    self.by_amphora.insert((amphora.amphora_id, port.network_id), port.id);
                }
                self.ports.insert(port.id, *port);
            }
            Change::Remove(id) => drop(self.forget(id)),
            Change::GroupPut(group) => drop(self.groups.insert(group.load_balancer_id, *group)),
            Change::GroupRemove(load_balancer) => drop(self.groups.remove(&load_balancer)),
            Change::PolicyPut(policy) => drop(self.policies.insert(policy.id, *policy)),
            Change::PolicyRemove(id) => drop(self.policies.remove(&id)),
        }
    }

    fn forget(&mut self, id: PortId) -> Option<Port> {
        let port = self.ports.remove(&id)?;
        for fixed in &port.fixed_ips {
            self.by_address.remove(&fixed.address);
        }
        if let Some(load_balancer) = port.load_balancer_id {
            self.by_load_balancer.remove(&load_balancer);
        }
        if let Some(amphora) = &port.amphora {
            self.by_amphora.remove(&(amphora.amphora_id, port.network_id));
        }
        Some(port)
    }

    pub(in crate::local) fn nets(&self) -> &[Net] {
        &self.nets
    }

    pub(in crate::local) fn net(&self, id: NetworkId) -> Option<&Net> {
        self.nets.iter().find(|net| net.id == id)
    }

    fn subnet(&self, id: SubnetId) -> Option<&Subnet> {
        self.nets.iter().find_map(|net| net.subnet(id))
    }

    pub(in crate::local) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    pub(in crate::local) fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(&id)
    }

    /// Whether a port of that id would have a MAC of its own, and a link: both are made of parts of the id.
    pub(in crate::local) fn is_fresh(&self, id: PortId) -> bool {
        let of = |id| (port::mac_address(id), crate::local::netns::port_link(id));
        let (mac, link) = of(id);
        !self.ports.keys().any(|other| {
            let (other_mac, other_link) = of(*other);
            mac == other_mac || link == other_link
        })
    }

    /// Addresses in use of what the subnet hands out.
    pub(in crate::local) fn used(&self, subnet: &Subnet) -> u64 {
        let (first, last) = subnet.pool();
        self.by_address.range(first..=last).count() as u64
    }

    pub(in crate::local) fn load_balancers(&self) -> Vec<LoadBalancerId> {
        self.by_load_balancer.keys().copied().collect()
    }

    pub(in crate::local) fn subnet_info(&self, id: SubnetId) -> Option<SubnetInfo> {
        let net = self.nets.iter().find(|net| net.subnet(id).is_some())?;
        net.subnet(id).map(|subnet| SubnetInfo {
            id,
            network_id: net.id,
            name: subnet.name.into(),
            cidr: subnet.cidr,
            free: subnet.pool_size() - self.used(subnet),
        })
    }

    /// Whether the address may become a port's, in use or not.
    pub(in crate::local) fn gives(&self, id: SubnetId, address: IpAddr) -> bool {
        self.subnet(id).is_some_and(|subnet| subnet.gives(address))
    }

    pub(in crate::local) fn network_info(&self, id: NetworkId) -> Option<NetworkInfo> {
        self.net(id).map(|net| NetworkInfo {
            id,
            name: net.name.into(),
            subnets: net.subnets.iter().map(|subnet| subnet.id).collect(),
            port_security_enabled: net.lan.is_some(),
        })
    }

    pub(in crate::local) fn port_info(&self, id: PortId) -> Option<PortInfo> {
        self.port(id).map(|port| PortInfo {
            id,
            network_id: port.network_id,
            fixed_ips: port.fixed_ips.iter().map(|fixed| (fixed.subnet_id, fixed.address)).collect(),
            project_id: Some(ProjectId::new(&port.project_id)),
            device_id: port.device_id.clone(),
            qos_policy_id: port.qos_policy_id,
        })
    }

    /// The port of the load balancer's VIP, as it is or shall be. `id` is for a port that must be made.
    pub(in crate::local) fn vip_ensure(
        &self,
        request: &VipRequest,
        id: PortId,
        now: Timestamp,
    ) -> Result<(VipPort, Change), BookError> {
        let load_balancer = request.load_balancer_id;
        let additional = request
            .additional
            .iter()
            .map(|wanted| Wish { subnet_id: Some(wanted.subnet_id), address: wanted.address });
        let there = self.by_load_balancer.get(&load_balancer).and_then(|id| self.port(*id));
        if let Some(there) = there {
            if let Some(vip) = there.vip(&request.additional) {
                return Ok((vip, Change::Nothing));
            }
            // The VIP stays; of the others, what is there and what is missing.
            let net = self.net(there.network_id).ok_or(BookError::NetworkUnknown(there.network_id))?;
            let first =
                there.fixed_ips.first().filter(|_| there.owned).ok_or(BookError::PortElsewhere(there.id))?;
            let first = Wish { subnet_id: Some(first.subnet_id), address: Some(first.address) };
            let wishes: Vec<_> = std::iter::once(first).chain(additional).collect();
            let fixed_ips = self.fixed_ips_choose(net, &wishes, &there.fixed_ips)?;
            let port = Port { fixed_ips, ..there.changed(now) };
            let vip = port.vip(&request.additional).ok_or(BookError::AddressesUnfit)?;
            return Ok((vip, Change::Put(Box::new(port))));
        }
        let port = match request.port_id {
            Some(id) => Port {
                device_id: device_id(load_balancer),
                device_owner: DEVICE_OWNER.into(),
                load_balancer_id: Some(load_balancer),
                ..self.port_to_bind(id, request)?.changed(now)
            },
            None => {
                let first = Wish { subnet_id: Some(request.subnet_id), address: request.address };
                Port {
                    load_balancer_id: Some(load_balancer),
                    owned: true,
                    ..self.port_new(
                        &NewPort {
                            network_id: request.network_id,
                            fixed_ips: std::iter::once(first).chain(additional).collect(),
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
                }
            }
        };
        let vip = port.vip(&request.additional).ok_or(BookError::PortElsewhere(port.id))?;
        Ok((vip, Change::Put(Box::new(port))))
    }

    /// With the address that becomes the VIP first.
    fn port_to_bind(&self, id: PortId, request: &VipRequest) -> Result<Port, BookError> {
        // What another project has is not there for this one.
        let own = |port: &&Port| port.project_id == request.project_id.as_str();
        let port = self.port(id).filter(own).ok_or(BookError::PortUnknown(id))?;
        if !port.device_id.is_empty() {
            return Err(BookError::PortInUse(id, port.device_id.clone()));
        }
        let fits = |fixed: &Fixed| {
            fixed.subnet_id == request.subnet_id
                && request.address.is_none_or(|address| address == fixed.address)
        };
        let at = port.fixed_ips.iter().position(fits).filter(|_| port.network_id == request.network_id);
        let mut bound = port.clone();
        bound.fixed_ips.swap(0, at.ok_or(BookError::PortElsewhere(id))?);
        Ok(bound)
    }

    pub(in crate::local) fn vip_release(&self, load_balancer: LoadBalancerId, now: Timestamp) -> Change {
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

    pub(in crate::local) fn port_new(
        &self,
        request: &NewPort,
        id: PortId,
        now: Timestamp,
    ) -> Result<Port, BookError> {
        let net = self.net(request.network_id).ok_or(BookError::NetworkUnknown(request.network_id))?;
        Ok(Port {
            id,
            network_id: net.id,
            fixed_ips: self.fixed_ips_choose(net, &request.fixed_ips, &[])?,
            project_id: request.project_id.clone(),
            name: request.name.clone(),
            description: request.description.clone(),
            admin_state_up: request.admin_state_up,
            device_id: request.device_id.clone(),
            device_owner: request.device_owner.clone(),
            load_balancer_id: None,
            owned: false,
            amphora: None,
            qos_policy_id: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        })
    }

    /// The port as a user wants it. What carries a VIP belongs to its load balancer, what an amphora has to that.
    pub(in crate::local) fn port_update(
        &self,
        id: PortId,
        update: &PortUpdate,
        now: Timestamp,
    ) -> Result<Port, BookError> {
        let port = self.port(id).ok_or(BookError::PortUnknown(id))?;
        let ours = port.load_balancer_id.is_some() || port.amphora.is_some();
        if ours && (update.device_id.is_some() || update.device_owner.is_some()) {
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

    /// As a user deletes it.
    pub(in crate::local) fn port_delete(&self, id: PortId) -> Result<Change, BookError> {
        let port = self.port(id).ok_or(BookError::PortUnknown(id))?;
        match (port.load_balancer_id, &port.amphora) {
            (None, None) => Ok(Change::Remove(id)),
            _ => Err(BookError::PortInUse(id, port.device_id.clone())),
        }
    }

    /// The addresses that are wished for, or one of each version. What is in `have` is kept where it fits.
    fn fixed_ips_choose(&self, net: &Net, wishes: &[Wish], have: &[Fixed]) -> Result<Vec<Fixed>, BookError> {
        let of_each_version = |version| {
            let subnet = net.subnets.iter().find(|subnet| subnet.version() == version)?;
            Some(Wish { subnet_id: Some(subnet.id), address: None })
        };
        let wishes = match wishes {
            [] => [4, 6].into_iter().filter_map(of_each_version).collect(),
            wishes => wishes.to_vec(),
        };
        let mut chosen: Vec<Fixed> = vec![];
        for wish in wishes {
            let subnet = subnet_of(net, wish)?;
            if chosen.iter().any(|fixed| fixed.subnet_id == subnet.id) {
                return Err(BookError::AddressesUnfit);
            }
            let kept = have.iter().find(|fixed| {
                fixed.subnet_id == subnet.id && wish.address.is_none_or(|address| address == fixed.address)
            });
            let address = match (kept, wish.address) {
                (Some(kept), _) => kept.address,
                (None, Some(address)) => self.address_check(subnet, address)?,
                (None, None) => self.address_next(subnet)?,
            };
            chosen.push(Fixed { subnet_id: subnet.id, address });
        }
        if chosen.is_empty() { Err(BookError::AddressesUnfit) } else { Ok(chosen) }
    }

    fn address_check(&self, subnet: &Subnet, address: IpAddr) -> Result<IpAddr, BookError> {
        if !subnet.gives(address) {
            let (first, last) = subnet.pool();
            return Err(BookError::AddressOutside { address, subnet: subnet.id, first, last });
        }
        if self.by_address.contains_key(&address) {
            return Err(BookError::AddressInUse(address));
        }
        Ok(address)
    }

    fn address_next(&self, subnet: &Subnet) -> Result<IpAddr, BookError> {
        subnet
            .addresses_after(self.last.get(&subnet.id).copied())
            .find(|address| !self.by_address.contains_key(address))
            .ok_or(BookError::Exhausted(subnet.id))
    }
}

/// The subnet that is named, or that the address is of, or the first one.
fn subnet_of(net: &Net, wish: Wish) -> Result<&Subnet, BookError> {
    match (wish.subnet_id, wish.address) {
        (Some(id), _) => net.subnet(id).ok_or(BookError::SubnetUnknown(id, net.id)),
        (None, Some(address)) => {
            let found = net.subnets.iter().find(|subnet| subnet.cidr.contains(&address));
            found.ok_or(BookError::AddressElsewhere(address, net.id))
        }
        (None, None) => net.subnets.first().ok_or(BookError::NetworkUnknown(net.id)),
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
    use crate::local::seed::Seed;

    fn book() -> Book {
        Book::new(Net::loopback(100, &Seed::new("seed")), Entries::default())
    }

    fn request(book: &Book) -> VipRequest {
        VipRequest {
            load_balancer_id: LoadBalancerId::new_v4(),
            project_id: ProjectId::new("p"),
            network_id: book.nets()[0].id,
            subnet_id: book.nets()[0].subnets[0].id,
            address: None,
            port_id: None,
            additional: vec![],
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
        let net = book.nets()[0].subnets[0].clone();
        assert_eq!(
            (net.pool().0.to_string(), net.pool().1.to_string()),
            ("127.100.64.2".into(), "127.100.127.254".into())
        );
        let first = request(&book);
        let address = take(&mut book, &first).address;
        assert_eq!(address.to_string(), "127.100.64.2");
        book.apply(book.vip_release(first.load_balancer_id, Timestamp::UNIX_EPOCH));
        assert_eq!(book.subnet_info(net.id).unwrap().free, net.pool_size());

        for (address, given) in [
            ("127.100.64.0", false),
            ("127.100.64.1", false),
            ("127.100.64.2", true),
            ("127.100.127.254", true),
            ("127.100.127.255", false),
            ("127.100.128.2", false),
            ("fd00::2", false),
        ] {
            assert_eq!(book.gives(net.id, address.parse().unwrap()), given, "{address}");
        }

        let mut seen = std::collections::BTreeSet::new();
        for count in 1..=net.pool_size() {
            let request = request(&book);
            let vip = take(&mut book, &request);
            assert!(seen.insert(vip.address));
            assert_eq!(vip.address == address, count == net.pool_size(), "rests until all others are taken");
        }
        assert_eq!(book.subnet_info(net.id).unwrap().free, 0);
        let error = book.vip_ensure(&request(&book), PortId::new_v4(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error, BookError::Exhausted(net.id));
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
        let again = Book::new(
            book.nets().to_vec(),
            Entries { ports: book.ports().cloned().collect(), ..Entries::default() },
        );
        for request in &requests {
            let ensure =
                |book: &Book| book.vip_ensure(request, PortId::new_v4(), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(ensure(&book), ensure(&again));
            assert_eq!(ensure(&again).1, Change::Nothing);
        }
    }
}
