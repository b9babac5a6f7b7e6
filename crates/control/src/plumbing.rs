//! Ports of amphorae whose servers have interfaces of their own: which there shall be, and what the agent makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use octavia_cloud::{
    CloudError, IpFamily, Port, PortRequest, PortRole, PortSubnet, RuleProtocol, SecurityRule,
};
use octavia_model::{
    Amphora, AmphoraId, AmphoraRole, LoadBalancerGraph, NetworkId, PortId, SubnetId, Topology, Transport,
};
use octavia_plan::peers;
use octavia_wire::{
    InterfaceSpec, Mac, NetworkSpec, RouteSpec, SHARING_PORT, SharingSpec, VrrpSpec, VrrpVersion,
};

use crate::{Parts, VrrpOptions, WorkerOptions};

/// Of VRRP; there is one virtual router on an interface.
const ROUTER_ID: u8 = 1;
/// Priorities.
const MASTER: u8 = 100;
const BACKUP: u8 = 90;

/// What an amphora got.
#[derive(Debug)]
pub(crate) struct Plumbed {
    pub(crate) network: NetworkSpec,
    pub(crate) vip_port: PortId,
    /// The amphora's own address on the VIP's subnet.
    pub(crate) vip_port_address: IpAddr,
    /// Ports on networks that nobody needs any more: to be removed when the agent has let go of them.
    pub(crate) needless: Vec<PortId>,
}

/// A port that an amphora shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    network: NetworkId,
    role: PortRole,
    subnets: Vec<SubnetId>,
}

/// Makes the load balancer's security group and the amphora's ports as they shall be, and attaches them.
pub(crate) async fn plumb(
    parts: &Parts,
    graph: &LoadBalancerGraph,
    amphorae: &[Amphora],
    amphora: &Amphora,
    options: &WorkerOptions,
) -> Result<Plumbed, CloudError> {
    let lb = &graph.load_balancer;
    let mut networks = BTreeMap::new();
    for subnet in member_subnets(graph) {
        // A subnet that is gone has no members to be reached.
        if let Some(info) = parts.network.subnet_get(subnet).await? {
            networks.insert(subnet, info.network_id);
        }
    }
    let wanted = wanted(graph, &networks);
    let there = parts.network.port_list(Some(amphora.id)).await?;
    let vips = vips(graph);
    let mut ports = vec![];
    for Wanted { network, role, subnets } in &wanted {
        let of_vip = *role == PortRole::Vip;
        let request = PortRequest {
            amphora_id: amphora.id,
            load_balancer_id: lb.id,
            network_id: *network,
            role: *role,
            subnets: subnets.iter().map(|id| PortSubnet { subnet_id: *id, address: None }).collect(),
            allowed: if of_vip { vips.clone() } else { vec![] },
            qos_policy_id: lb.vip.qos_policy_id.filter(|_| of_vip),
        };
        ports.push(parts.network.port_ensure(&request).await?);
    }
    let of_vip = ports.iter().find(|port| port.role == PortRole::Vip);
    let of_vip = of_vip.ok_or_else(|| CloudError::internal("no port for the VIP was asked for"))?;
    let own = of_vip.fixed_ips.iter().find(|ip| ip.subnet_id == lb.vip.subnet_id);
    let own = own.map(|ip| ip.address).ok_or_else(|| strange(of_vip, &"no address on the VIP's subnet"))?;
    let peers = peers(amphorae, amphora.id);
    // Rules before interfaces: nothing comes in that is not to.
    let speakers: Vec<_> = peers.iter().copied().chain([own]).collect();
    parts.network.security_group_ensure(lb.id, &rules(graph, &speakers)).await?;
    for port in &ports {
        parts.compute.port_attach(amphora.id, port).await?;
    }
    let vrrp = match lb.topology {
        Topology::ActiveStandby => {
            let key = options.tickets.as_ref().map(|root| root.sharing_key(lb.id));
            let sharing = key.map(|key| SharingSpec { port: SHARING_PORT, key });
            Some(VrrpSpec { sharing, ..router(amphora, own, peers, &vips, of_vip, options.vrrp)? })
        }
        Topology::Single => None,
    };
    let interfaces = ports.iter().map(|port| interface(port, &vips));
    Ok(Plumbed {
        vip_port: of_vip.id,
        vip_port_address: own,
        network: NetworkSpec { interfaces: interfaces.collect::<Result<_, _>>()?, vrrp },
        needless: there
            .iter()
            .map(|port| port.id)
            .filter(|id| ports.iter().all(|port| port.id != *id))
            .collect(),
    })
}

/// Takes ports away from an amphora, and gives them back.
pub(crate) async fn ports_remove(
    parts: &Parts,
    amphora: AmphoraId,
    ports: &[PortId],
) -> Result<(), CloudError> {
    for port in ports {
        parts.compute.port_detach(amphora, *port).await?;
        parts.network.port_delete(*port).await?;
    }
    Ok(())
}

/// The VIP, then the additional ones.
fn vips(graph: &LoadBalancerGraph) -> Vec<IpAddr> {
    let lb = &graph.load_balancer;
    std::iter::once(lb.vip.address).chain(lb.additional_vips.iter().map(|vip| vip.address)).collect()
}

fn member_subnets(graph: &LoadBalancerGraph) -> BTreeSet<SubnetId> {
    let there = graph.members.iter().filter(|member| !member.statuses.provisioning.is_leaving());
    there.filter_map(|member| member.subnet_id).collect()
}

/// One port for each network: of the VIP, on its subnets and those of members beside them; of members elsewhere. Members
/// that name no subnet are reached through the VIP's (`reference/amphora.md` §6).
fn wanted(graph: &LoadBalancerGraph, networks: &BTreeMap<SubnetId, NetworkId>) -> Vec<Wanted> {
    let lb = &graph.load_balancer;
    let mut subnets = vec![lb.vip.subnet_id];
    let mut others: BTreeMap<NetworkId, Vec<SubnetId>> = BTreeMap::new();
    let additional = lb.additional_vips.iter().map(|vip| vip.subnet_id);
    for subnet in additional.chain(networks.keys().copied()) {
        match networks.get(&subnet) {
            Some(network) if *network != lb.vip.network_id => {
                others.entry(*network).or_default().push(subnet)
            }
            _ if subnets.contains(&subnet) => {}
            _ => subnets.push(subnet),
        }
    }
    let vip = Wanted { network: lb.vip.network_id, role: PortRole::Vip, subnets };
    let members =
        others.into_iter().map(|(network, subnets)| Wanted { network, role: PortRole::Member, subnets });
    std::iter::once(vip).chain(members).collect()
}

/// What may come in at the VIPs: each listener's port, from those that it allows; VRRP, and where clients are sent, from the
/// other amphorae.
fn rules(graph: &LoadBalancerGraph, speakers: &[IpAddr]) -> Vec<SecurityRule> {
    let families: BTreeSet<_> = vips(graph).into_iter().map(|vip| vip.is_ipv6()).collect();
    let mut rules = vec![];
    if graph.load_balancer.topology == Topology::ActiveStandby {
        rules.extend(speakers.iter().flat_map(|speaker| {
            let family = IpFamily::of(*speaker);
            let vrrp = SecurityRule { family, protocol: RuleProtocol::Vrrp, ports: None, remote: None };
            let sharing = SecurityRule::any(family, RuleProtocol::Tcp, SHARING_PORT);
            [vrrp, sharing].map(|rule| SecurityRule { remote: Some(IpNet::from(*speaker)), ..rule })
        }));
    }
    for listener in graph.listeners.iter().filter(|listener| !listener.statuses.provisioning.is_leaving()) {
        let protocol = match listener.protocol.transport() {
            Transport::Tcp => RuleProtocol::Tcp,
            Transport::Udp => RuleProtocol::Udp,
            Transport::Sctp => RuleProtocol::Sctp,
        };
        for v6 in &families {
            let family = if *v6 { IpFamily::V6 } else { IpFamily::V4 };
            let rule = SecurityRule::any(family, protocol, listener.protocol_port);
            match listener.allowed_cidrs.as_deref() {
                None | Some([]) => rules.push(rule),
                Some(cidrs) => {
                    let of_family = cidrs.iter().filter(|cidr| cidr.addr().is_ipv6() == *v6);
                    rules.extend(of_family.map(|cidr| SecurityRule { remote: Some(*cidr), ..rule }));
                }
            }
        }
    }
    rules
}

/// The amphora's router of VRRP. The roles say who is master where both could be (`reference/amphora.md` §8).
fn router(
    amphora: &Amphora,
    source: IpAddr,
    peers: BTreeSet<IpAddr>,
    vips: &[IpAddr],
    port: &Port,
    options: VrrpOptions,
) -> Result<VrrpSpec, CloudError> {
    Ok(VrrpSpec {
        interface: mac(port)?,
        version: VrrpVersion::V3,
        router_id: ROUTER_ID,
        priority: if amphora.role == Some(AmphoraRole::Backup) { BACKUP } else { MASTER },
        advert_interval_ms: options.advert_interval_ms,
        preempt: false,
        source,
        peers: peers.into_iter().collect(),
        password: None,
        vips: vips.to_vec(),
        announce_refresh_s: options.announce_refresh_s,
        announce_refresh_count: options.announce_refresh_count,
        sharing: None,
    })
}

fn mac(port: &Port) -> Result<Mac, CloudError> {
    port.mac.parse().map_err(|error| strange(port, &format!("the MAC {:?} ({error})", port.mac)))
}

fn strange(port: &Port, what: &dyn std::fmt::Display) -> CloudError {
    CloudError::internal(format!("the network service gave port {} {what}", port.id))
}

/// How the agent shall make the port's interface.
fn interface(port: &Port, vips: &[IpAddr]) -> Result<InterfaceSpec, CloudError> {
    let mac = mac(port)?;
    let mut addresses = vec![];
    let mut routes: Vec<RouteSpec> = vec![];
    for ip in &port.fixed_ips {
        let address = IpNet::new(ip.address, ip.prefix_len);
        addresses.push(address.map_err(|_| strange(port, &format!("a prefix of {} bits", ip.prefix_len)))?);
        let all = if ip.address.is_ipv6() { "::/0" } else { "0.0.0.0/0" };
        let all: IpNet = all.parse().map_err(|_| strange(port, &all))?;
        let gateway = ip.gateway.map(|via| RouteSpec { destination: all, via });
        let host = ip
            .host_routes
            .iter()
            .map(|route| RouteSpec { destination: route.destination.trunc(), via: route.nexthop });
        for route in gateway.into_iter().chain(host) {
            // Where members are alone, nothing else is reached.
            let needless = port.role == PortRole::Member && route.destination.prefix_len() == 0;
            if !needless && !routes.contains(&route) {
                routes.push(route);
            }
        }
    }
    let vips = if port.role == PortRole::Vip { vips.to_vec() } else { vec![] };
    Ok(InterfaceSpec { mac, mtu: Some(port.mtu), addresses, routes, vips })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use newtype_uuid::{TypedUuid, TypedUuidKind};
    use octavia_cloud::{FixedIp, HostRoute};
    use octavia_model::{AdditionalVip, Listener, ListenerProtocol, LoadBalancer, ProjectId, Vip};

    use super::*;

    fn id<T: TypedUuidKind>(n: u128) -> TypedUuid<T> {
        TypedUuid::from_bytes(n.to_be_bytes())
    }

    /// On subnet 1 of network 1, and on subnet 2 with IPv6.
    fn graph(topology: Topology) -> LoadBalancerGraph {
        let vip = Vip::new("192.0.2.9".parse().unwrap(), id(1), id(1), id(9));
        let mut lb = LoadBalancer::new(id(1), ProjectId::new("p"), vip, Timestamp::UNIX_EPOCH);
        lb.topology = topology;
        lb.additional_vips = vec![AdditionalVip {
            address: "2001:db8::9".parse().unwrap(),
            subnet_id: id(2),
            network_id: id(1),
            port_id: id(9),
        }];
        LoadBalancerGraph::new(lb)
    }

    #[test]
    fn one_port_for_each_network() {
        let graph = graph(Topology::Single);
        // (members' subnets with their networks; subnets of the VIP's port, then those of others)
        for (members, vip, others) in [
            (&[][..], &[1, 2][..], &[][..]),
            (&[(1, 1), (2, 1)], &[1, 2], &[]),
            (&[(3, 1)], &[1, 2, 3], &[]),
            (&[(3, 2), (4, 3), (5, 2)], &[1, 2], &[(2, &[3, 5][..]), (3, &[4])]),
        ] {
            let networks = members.iter().map(|(subnet, network)| (id(*subnet), id(*network))).collect();
            let port = |network: u128, role, subnets: &[u128]| Wanted {
                network: id(network),
                role,
                subnets: subnets.iter().map(|n| id(*n)).collect(),
            };
            let mut expected = vec![port(1, PortRole::Vip, vip)];
            expected
                .extend(others.iter().map(|(network, subnets)| port(*network, PortRole::Member, subnets)));
            assert_eq!(wanted(&graph, &networks), expected, "{members:?}");
        }
    }

    #[test]
    fn what_is_let_in() {
        let mut graph = graph(Topology::ActiveStandby);
        let cidrs: [&[&str]; 4] = [&[], &["198.51.100.0/24"], &["0.0.0.0/0", "2001:db8::/32"], &[]];
        for (n, cidrs) in (80..).zip(cidrs) {
            let mut listener = Listener::new(id(n.into()), &graph.load_balancer, n, Timestamp::UNIX_EPOCH);
            listener.allowed_cidrs = Some(cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect());
            graph.listeners.push(listener);
        }
        graph.listeners[2].protocol = ListenerProtocol::Udp;
        graph.listeners[3].protocol = ListenerProtocol::Sctp;
        let told: Vec<_> = rules(&graph, &["192.0.2.2".parse().unwrap()])
            .iter()
            .map(|rule| {
                let remote = rule.remote.map_or("anybody".to_owned(), |remote| remote.to_string());
                let port = rule.ports.map_or(0, |(first, _)| first);
                format!("{:?} {:?} {port} {remote}", rule.family, rule.protocol)
            })
            .collect();
        assert_eq!(
            told,
            [
                "V4 Vrrp 0 192.0.2.2/32",
                "V4 Tcp 1025 192.0.2.2/32",
                "V4 Tcp 80 anybody",
                "V6 Tcp 80 anybody",
                "V4 Tcp 81 198.51.100.0/24",
                "V4 Udp 82 0.0.0.0/0",
                "V6 Udp 82 2001:db8::/32",
                "V4 Sctp 83 anybody",
                "V6 Sctp 83 anybody",
            ]
        );
        graph.load_balancer.topology = Topology::Single;
        assert_eq!(rules(&graph, &["192.0.2.2".parse().unwrap()]).len(), 7, "there is nobody to agree with");
    }

    #[test]
    fn interfaces() {
        let route = HostRoute {
            destination: "203.0.113.0/24".parse().unwrap(),
            nexthop: "192.0.2.3".parse().unwrap(),
        };
        let mut port = Port {
            id: id(7),
            amphora_id: id(1),
            load_balancer_id: id(1),
            network_id: id(1),
            role: PortRole::Vip,
            mac: "fa:16:3e:00:00:01".to_owned(),
            mtu: 1450,
            fixed_ips: vec![FixedIp {
                subnet_id: id(1),
                address: "192.0.2.2".parse().unwrap(),
                prefix_len: 24,
                gateway: Some("192.0.2.1".parse().unwrap()),
                host_routes: vec![route],
            }],
            allowed: vec![],
            qos_policy_id: None,
        };
        let vips = ["192.0.2.9".parse().unwrap()];
        let told = |spec: &InterfaceSpec| {
            let routes = spec.routes.iter().map(|route| format!("{} via {}", route.destination, route.via));
            routes.collect::<Vec<_>>()
        };
        let made = interface(&port, &vips).unwrap();
        assert_eq!(told(&made), ["0.0.0.0/0 via 192.0.2.1", "203.0.113.0/24 via 192.0.2.3"]);
        assert_eq!((made.vips, made.mtu), (vips.to_vec(), Some(1450)));
        assert_eq!(made.addresses, ["192.0.2.2/24".parse::<IpNet>().unwrap()]);
        // Where members are alone, nothing else is reached, and no VIP is there.
        port.role = PortRole::Member;
        let made = interface(&port, &vips).unwrap();
        assert_eq!((told(&made), made.vips.len()), (vec!["203.0.113.0/24 via 192.0.2.3".to_owned()], 0));
        port.mac = "none".to_owned();
        assert!(interface(&port, &vips).is_err());
    }
}
