//! What shall be in the namespace, of a spec and the interfaces that are there; pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use octavia_wire::{InterfaceSpec, Mac, NetworkSpec};

use super::state::{Address, FIRST_TABLE, Found, Index, MAIN, Route, Rule};

/// Whether this amphora is the one that has the VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vips {
    /// Nobody has said yet: they stay as they are.
    AsTheyAre,
    Here,
    Elsewhere,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Interfaces, each with its MTU if that is to be a certain one.
    pub(crate) links: Vec<(Index, Option<u32>)>,
    pub(crate) own: Vec<Address>,
    pub(crate) vips: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<Rule>,
    /// Addresses that are the spec's to place, whoever made them.
    pub(crate) placed: BTreeSet<IpAddr>,
    /// Addresses that are neither made nor removed.
    pub(crate) left: BTreeSet<IpAddr>,
    /// Interfaces that are not there.
    pub(crate) missing: Vec<Mac>,
}

/// How the namespace of this spec shall be.
pub(crate) fn wanted(spec: &NetworkSpec, vips: Vips, found: &Found) -> Wanted {
    let mut wanted = Wanted::default();
    // Also of interfaces that are not there: the others' tables shall not change when they come.
    let mut tables = FIRST_TABLE..;
    for interface in &spec.interfaces {
        wanted.placed.extend(interface.addresses.iter().map(IpNet::addr));
        wanted.placed.extend(&interface.vips);
        let tables: Vec<_> = interface.vips.iter().copied().zip(&mut tables).collect();
        let Some(link) = found.link(interface.mac) else {
            wanted.missing.push(interface.mac);
            continue;
        };
        wanted.links.push((link.index, interface.mtu.map(u32::from)));
        wanted.add(link.index, interface, &tables, vips);
    }
    if vips == Vips::AsTheyAre {
        wanted.left = spec.vips().collect();
    }
    wanted
}

impl Wanted {
    fn add(&mut self, link: Index, interface: &InterfaceSpec, tables: &[(IpAddr, u32)], vips: Vips) {
        for &address in &interface.addresses {
            self.own.push(Address { link, address, deprecated: false });
        }
        for subnet in subnets(interface) {
            let source = interface.addresses.iter().find(|own| own.trunc() == subnet).map(IpNet::addr);
            self.route(MAIN, subnet, None, link, source);
        }
        for route in &interface.routes {
            let source = source_towards(interface, route.via);
            self.route(MAIN, route.destination, Some(route.via), link, source);
        }
        for &(vip, table) in tables {
            if vips == Vips::Here {
                self.vips.push(Address { link, address: vip.into(), deprecated: vip.is_ipv6() });
            }
            self.answer(vip, table, link, interface);
        }
    }

    /// The table by which what comes from a VIP is sent.
    fn answer(&mut self, vip: IpAddr, table: u32, link: Index, interface: &InterfaceSpec) {
        let subnet = subnets(interface).find(|subnet| subnet.contains(&vip));
        if let Some(subnet) = subnet {
            self.route(table, subnet, None, link, None);
        }
        let near = |via: &IpAddr| subnet.is_some_and(|subnet| subnet.contains(via));
        let routes = || interface.routes.iter().filter(|route| route.via.is_ipv4() == vip.is_ipv4());
        let (first, then) = (routes().filter(|r| near(&r.via)), routes().filter(|r| !near(&r.via)));
        for route in first.chain(then) {
            self.route(table, route.destination, Some(route.via), link, None);
        }
        if self.routes.iter().any(|route| route.table == table) {
            self.rules.push(Rule { source: vip, table });
        }
    }

    /// Unless there is one to this destination already.
    fn route(
        &mut self,
        table: u32,
        destination: IpNet,
        via: Option<IpAddr>,
        link: Index,
        source: Option<IpAddr>,
    ) {
        if !self.routes.iter().any(|route| route.table == table && route.destination == destination) {
            let metric = Route::metric(&destination);
            self.routes.push(Route { table, destination, via, link, source, metric });
        }
    }
}

/// The subnets in which an interface has neighbours.
fn subnets(interface: &InterfaceSpec) -> impl Iterator<Item = IpNet> {
    interface
        .addresses
        .iter()
        .map(IpNet::trunc)
        .filter(|subnet| subnet.prefix_len() < subnet.max_prefix_len())
}

/// From which of its addresses an interface speaks with those behind a gateway: one in the gateway's subnet, or any of its
/// family.
fn source_towards(interface: &InterfaceSpec, via: IpAddr) -> Option<IpAddr> {
    let own = || interface.addresses.iter().filter(|own| own.addr().is_ipv4() == via.is_ipv4());
    own().find(|own| own.contains(&via)).or_else(|| own().next()).map(IpNet::addr)
}
