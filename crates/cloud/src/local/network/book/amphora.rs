//! Ports of amphorae, the security groups that hold on them, and what both come to on a cable.

use std::net::IpAddr;

use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId};
use serde::{Deserialize, Serialize};

use super::{AmphoraPort, Book, BookError, Change, DEVICE_OWNER, Fixed, NewPort, Port, Wish};
use crate::local::netns::Lan;
use crate::{BandwidthLimit, FixedIp, PortRequest, PortRole, SecurityRule};

/// The security group of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::local) struct Group {
    pub(in crate::local) id: SecurityGroupId,
    pub(in crate::local) load_balancer_id: LoadBalancerId,
    pub(in crate::local) rules: Vec<SecurityRule>,
    #[serde(with = "crate::local::time")]
    pub(in crate::local) created_at: Timestamp,
    #[serde(with = "crate::local::time")]
    pub(in crate::local) updated_at: Timestamp,
    pub(in crate::local) revision: u32,
}

impl Group {
    /// The same for the same place, for as long as the group lives.
    pub(in crate::local) fn rule_id(&self, at: usize) -> uuid::Uuid {
        use newtype_uuid::GenericUuid as _;

        uuid::Uuid::from_u128(self.id.into_untyped_uuid().as_u128() ^ (at as u128 + 1))
    }
}

/// What a cable must know of its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local) struct PortWiring {
    pub(in crate::local) port_id: PortId,
    pub(in crate::local) amphora_id: AmphoraId,
    pub(in crate::local) lan: Lan,
    pub(in crate::local) mac: String,
    /// Its own, and those that it may take over.
    pub(in crate::local) addresses: Vec<IpAddr>,
    pub(in crate::local) rules: Vec<SecurityRule>,
    /// How fast the amphora may send, and be sent to.
    pub(in crate::local) egress: Option<BandwidthLimit>,
    pub(in crate::local) ingress: Option<BandwidthLimit>,
}

impl Book {
    /// The amphora's port as it is or shall be. `id` is for one that must be made, `project` its owner.
    pub(in crate::local) fn amphora_port_ensure(
        &self,
        request: &PortRequest,
        id: PortId,
        project: &str,
        now: Timestamp,
    ) -> Result<(crate::Port, Change), BookError> {
        let net = self.net(request.network_id).ok_or(BookError::NetworkUnknown(request.network_id))?;
        if net.lan.is_none() {
            return Err(BookError::NetworkWithoutPorts(net.id));
        }
        if request.subnets.is_empty() {
            return Err(BookError::AddressesUnfit);
        }
        if let Some(policy) = request.qos_policy_id
            && self.policy(policy).is_none()
        {
            return Err(BookError::PolicyUnknown(policy));
        }
        let wishes: Vec<_> = request
            .subnets
            .iter()
            .map(|wanted| Wish { subnet_id: Some(wanted.subnet_id), address: wanted.address })
            .collect();
        let amphora = AmphoraPort {
            amphora_id: request.amphora_id,
            load_balancer_id: request.load_balancer_id,
            role: request.role,
            allowed: request.allowed.clone(),
        };
        let port = match self.amphora_port(request.amphora_id, net.id) {
            Some(there) => {
                let fixed_ips = self.fixed_ips_choose(net, &wishes, &there.fixed_ips)?;
                let wanted = Port {
                    fixed_ips,
                    amphora: Some(amphora),
                    name: port_name(request),
                    qos_policy_id: request.qos_policy_id,
                    ..there.clone()
                };
                if wanted == *there {
                    return Ok((self.shown(there)?, Change::Nothing));
                }
                wanted.changed(now)
            }
            None => Port {
                amphora: Some(amphora),
                qos_policy_id: request.qos_policy_id,
                ..self.port_new(
                    &NewPort {
                        network_id: net.id,
                        fixed_ips: wishes,
                        project_id: project.to_owned(),
                        name: port_name(request),
                        description: String::new(),
                        admin_state_up: true,
                        device_id: request.amphora_id.to_string(),
                        device_owner: DEVICE_OWNER.into(),
                    },
                    id,
                    now,
                )?
            },
        };
        Ok((self.shown(&port)?, Change::Put(Box::new(port))))
    }

    pub(in crate::local) fn amphora_port(&self, amphora: AmphoraId, network: NetworkId) -> Option<&Port> {
        self.by_amphora.get(&(amphora, network)).and_then(|id| self.port(*id))
    }

    /// Those of one amphora, or of all.
    pub(in crate::local) fn amphora_ports(&self, of: Option<AmphoraId>) -> impl Iterator<Item = &Port> {
        let wanted = move |amphora: AmphoraId| of.is_none_or(|of| of == amphora);
        self.by_amphora
            .iter()
            .filter(move |((amphora, _), _)| wanted(*amphora))
            .filter_map(|(_, id)| self.port(*id))
    }

    /// Absent is fine; a port that is no amphora's is not ours to delete.
    pub(in crate::local) fn amphora_port_delete(&self, id: PortId) -> Result<Change, BookError> {
        match self.port(id) {
            None => Ok(Change::Nothing),
            Some(port) if port.amphora.is_some() => Ok(Change::Remove(id)),
            Some(port) => Err(BookError::PortInUse(id, port.device_id.clone())),
        }
    }

    /// The port as the traits know it.
    pub(in crate::local) fn shown(&self, port: &Port) -> Result<crate::Port, BookError> {
        let amphora = port.amphora.as_ref().ok_or(BookError::PortUnknown(port.id))?;
        let net = self.net(port.network_id).ok_or(BookError::NetworkUnknown(port.network_id))?;
        let fixed_ip = |Fixed { subnet_id, address }: &Fixed| {
            let subnet = net.subnet(*subnet_id).ok_or(BookError::SubnetUnknown(*subnet_id, net.id))?;
            Ok(FixedIp {
                subnet_id: *subnet_id,
                address: *address,
                prefix_len: subnet.cidr.prefix_len(),
                gateway: Some(subnet.gateway()),
                host_routes: vec![],
            })
        };
        Ok(crate::Port {
            id: port.id,
            amphora_id: amphora.amphora_id,
            load_balancer_id: amphora.load_balancer_id,
            network_id: net.id,
            role: amphora.role,
            mac: port.mac_address(),
            mtu: u16::try_from(net.mtu).unwrap_or(u16::MAX),
            fixed_ips: port.fixed_ips.iter().map(fixed_ip).collect::<Result<_, _>>()?,
            allowed: amphora.allowed.clone(),
            qos_policy_id: port.qos_policy_id,
        })
    }

    /// What the port comes to on its cable. `None` = it has none.
    pub(in crate::local) fn wiring(&self, id: PortId) -> Option<PortWiring> {
        let port = self.port(id)?;
        let amphora = port.amphora.as_ref()?;
        let policy = port.qos_policy_id.and_then(|id| self.policy(id));
        let limit = |direction| policy.and_then(|policy| policy.limit(direction));
        let rules = self.group_of(port).map_or(vec![], |group| group.rules.clone());
        Some(PortWiring {
            port_id: id,
            amphora_id: amphora.amphora_id,
            lan: self.net(port.network_id)?.lan?,
            mac: port.mac_address(),
            addresses: port
                .fixed_ips
                .iter()
                .map(|fixed| fixed.address)
                .chain(amphora.allowed.iter().copied())
                .collect(),
            rules,
            egress: limit(super::Direction::Egress),
            ingress: limit(super::Direction::Ingress),
        })
    }

    pub(in crate::local) fn group(&self, load_balancer: LoadBalancerId) -> Option<&Group> {
        self.groups.get(&load_balancer)
    }

    /// The group that holds on the port.
    pub(in crate::local) fn group_of(&self, port: &Port) -> Option<&Group> {
        let amphora = port.amphora.as_ref().filter(|amphora| amphora.role == PortRole::Vip)?;
        self.group(amphora.load_balancer_id)
    }

    pub(in crate::local) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// `id` is for a group that must be made.
    pub(in crate::local) fn group_ensure(
        &self,
        load_balancer: LoadBalancerId,
        rules: &[SecurityRule],
        id: SecurityGroupId,
        now: Timestamp,
    ) -> Result<(SecurityGroupId, Change), BookError> {
        let mismatch = |rule: &&SecurityRule| {
            let other = rule.remote.is_some_and(|remote| crate::IpFamily::of(remote.addr()) != rule.family);
            other || rule.ports.is_some_and(|(first, last)| first > last)
        };
        if let Some(rule) = rules.iter().find(mismatch) {
            return Err(BookError::RuleUnfit(format!("{rule:?}")));
        }
        let group = match self.group(load_balancer) {
            Some(there) if there.rules == rules => return Ok((there.id, Change::Nothing)),
            Some(there) => Group {
                rules: rules.to_vec(),
                updated_at: now,
                revision: there.revision + 1,
                ..there.clone()
            },
            None => Group {
                id,
                load_balancer_id: load_balancer,
                rules: rules.to_vec(),
                created_at: now,
                updated_at: now,
                revision: 1,
            },
        };
        Ok((group.id, Change::GroupPut(Box::new(group))))
    }

    pub(in crate::local) fn group_delete(&self, load_balancer: LoadBalancerId) -> Change {
        match self.group(load_balancer) {
            Some(_) => Change::GroupRemove(load_balancer),
            None => Change::Nothing,
        }
    }
}

/// As the original calls them.
fn port_name(request: &PortRequest) -> String {
    match request.role {
        PortRole::Vip => format!("octavia-lb-vrrp-{}", request.amphora_id),
        PortRole::Member => format!("octavia-lb-member-{}", request.amphora_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::network::book::{Entries, Net};
    use crate::local::seed::Seed;
    use crate::{IpFamily, PortSubnet, RuleProtocol};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn book() -> Book {
        Book::new(Net::netns(100, &Seed::new("seed")), Entries::default())
    }

    fn request(book: &Book, subnets: &[usize]) -> PortRequest {
        let net = &book.nets()[0];
        PortRequest {
            amphora_id: AmphoraId::new_v4(),
            load_balancer_id: LoadBalancerId::new_v4(),
            network_id: net.id,
            role: PortRole::Vip,
            subnets: subnets
                .iter()
                .map(|at| PortSubnet { subnet_id: net.subnets[*at].id, address: None })
                .collect(),
            allowed: vec!["10.100.64.99".parse().unwrap()],
            qos_policy_id: None,
        }
    }

    fn ensure(book: &mut Book, request: &PortRequest) -> crate::Port {
        let (port, change) = book.amphora_port_ensure(request, PortId::new_v4(), "owner", NOW).unwrap();
        book.apply(change);
        port
    }

    fn addresses(port: &crate::Port) -> Vec<String> {
        port.fixed_ips.iter().map(|fixed| fixed.address.to_string()).collect()
    }

    #[test]
    fn a_port_becomes_what_is_asked_for_and_keeps_what_it_can() {
        let mut book = book();
        let mut wanted = request(&book, &[0]);
        let first = ensure(&mut book, &wanted);
        assert_eq!(addresses(&first), ["10.100.64.2"]);
        assert_eq!(ensure(&mut book, &wanted), first);

        wanted.subnets = request(&book, &[1, 0]).subnets;
        let both = ensure(&mut book, &wanted);
        assert_eq!(
            (both.id, addresses(&both)),
            (first.id, vec!["fd64:6f63:7461:40::2".into(), "10.100.64.2".into()])
        );
        assert_eq!((both.fixed_ips[0].prefix_len, both.fixed_ips[1].prefix_len), (64, 18));

        wanted.subnets =
            vec![PortSubnet { address: Some("10.100.64.7".parse().unwrap()), ..wanted.subnets[1] }];
        assert_eq!(addresses(&ensure(&mut book, &wanted)), ["10.100.64.7"]);
        let nets = book.nets().to_vec();
        assert_eq!(nets[0].subnets.iter().map(|subnet| book.used(subnet)).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(book.amphora_ports(Some(wanted.amphora_id)).count(), 1);

        let change = book.amphora_port_delete(first.id).unwrap();
        book.apply(change);
        assert_eq!(book.amphora_port_delete(first.id), Ok(Change::Nothing));
        assert_eq!(book.amphora_ports(None).count(), 0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let book = book();
        let good = request(&book, &[0]);
        let elsewhere = PortSubnet { subnet_id: book.nets()[1].subnets[0].id, address: None };
        let outside = PortSubnet { address: Some("10.100.64.1".parse().unwrap()), ..good.subnets[0] };
        for (what, bad) in [
            ("no network", PortRequest { network_id: NetworkId::new_v4(), ..good.clone() }),
            ("no subnet", PortRequest { subnets: vec![], ..good.clone() }),
            ("a subnet twice", request(&book, &[0, 0])),
            ("another network's subnet", PortRequest { subnets: vec![elsewhere], ..good.clone() }),
            ("the gateway's address", PortRequest { subnets: vec![outside], ..good.clone() }),
            ("no policy", PortRequest { qos_policy_id: Some(uuid::Uuid::new_v4()), ..good.clone() }),
        ] {
            assert!(book.amphora_port_ensure(&bad, PortId::new_v4(), "owner", NOW).is_err(), "{what}");
        }
        let loopback = Book::new(Net::loopback(100, &Seed::new("seed")), Entries::default());
        let refused = loopback.amphora_port_ensure(&request(&loopback, &[0]), PortId::new_v4(), "owner", NOW);
        assert_eq!(refused, Err(BookError::NetworkWithoutPorts(loopback.nets()[0].id)));
        let v6 = SecurityRule {
            remote: Some("10.0.0.0/8".parse().unwrap()),
            ..SecurityRule::any(IpFamily::V6, RuleProtocol::Tcp, 80)
        };
        assert!(book.group_ensure(LoadBalancerId::new_v4(), &[v6], SecurityGroupId::new_v4(), NOW).is_err());
    }

    #[test]
    fn a_group_holds_on_ports_of_its_load_balancer_that_take_traffic() {
        let mut book = book();
        let vip = request(&book, &[0]);
        let member = PortRequest {
            network_id: book.nets()[1].id,
            subnets: vec![PortSubnet { subnet_id: book.nets()[1].subnets[0].id, address: None }],
            role: PortRole::Member,
            ..vip.clone()
        };
        let (vip, member) = (ensure(&mut book, &vip), ensure(&mut book, &member));
        let rules = [SecurityRule::any(IpFamily::V4, RuleProtocol::Tcp, 80)];
        let id = SecurityGroupId::new_v4();
        let (made, change) = book.group_ensure(vip.load_balancer_id, &rules, id, NOW).unwrap();
        book.apply(change);
        assert_eq!(made, id);
        let again = book.group_ensure(vip.load_balancer_id, &rules, SecurityGroupId::new_v4(), NOW);
        assert_eq!(again, Ok((id, Change::Nothing)));
        let wiring = book.wiring(vip.id).unwrap();
        assert_eq!((wiring.rules.as_slice(), wiring.lan), (rules.as_slice(), Lan::Private));
        assert_eq!(wiring.addresses.len(), 2, "its own and the VIP");
        assert_eq!(book.wiring(member.id).unwrap().rules, []);
        book.apply(book.group_delete(vip.load_balancer_id));
        assert_eq!(book.wiring(vip.id).unwrap().rules, []);
        assert_eq!(book.group_delete(vip.load_balancer_id), Change::Nothing);
    }
}
