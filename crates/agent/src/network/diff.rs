//! The changes that lead from what is there to what is wanted; pure.

use std::fmt::{Display, Formatter};
use std::net::IpAddr;

use super::state::{Address, Found, Index, Route, Rule};
use super::wanted::Wanted;

/// Done twice, it is as done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    SetMtu(Index, u32),
    /// Takes no addresses and routes from strangers any more.
    StopBelieving(Index),
    LinkUp(Index),
    /// In place of what is there under this address.
    AddAddress(Address),
    RemoveAddress(Address),
    /// In place of another to the same destination.
    PutRoute(Route),
    RemoveRoute(Route),
    AddRule(Rule),
    RemoveRule(Rule),
}

impl Change {
    /// The interface it is about; rules are about none.
    pub(crate) fn link(&self) -> Option<Index> {
        match self {
            Self::SetMtu(link, _) | Self::StopBelieving(link) | Self::LinkUp(link) => Some(*link),
            Self::AddAddress(address) | Self::RemoveAddress(address) => Some(address.link),
            Self::PutRoute(route) | Self::RemoveRoute(route) => Some(route.link),
            Self::AddRule(_) | Self::RemoveRule(_) => None,
        }
    }

    /// One of the family it is about; interfaces are of both.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::SetMtu(..) | Self::StopBelieving(_) | Self::LinkUp(_) => None,
            Self::AddAddress(address) | Self::RemoveAddress(address) => Some(address.address.addr()),
            Self::PutRoute(route) | Self::RemoveRoute(route) => Some(route.destination.addr()),
            Self::AddRule(rule) | Self::RemoveRule(rule) => Some(rule.source),
        }
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let route = |f: &mut Formatter<'_>, word: &str, route: &Route| {
            write!(f, "{word} route to {}", route.destination)?;
            route.via.map_or(Ok(()), |via| write!(f, " via {via}"))?;
            write!(f, " in table {}", route.table)
        };
        match self {
            Self::SetMtu(_, mtu) => write!(f, "set MTU {mtu}"),
            Self::StopBelieving(_) => f.write_str("stop believing routers"),
            Self::LinkUp(_) => f.write_str("bring up"),
            Self::AddAddress(address) => write!(f, "add {}", address.address),
            Self::RemoveAddress(address) => write!(f, "remove {}", address.address),
            Self::PutRoute(put) => route(f, "put", put),
            Self::RemoveRoute(removed) => route(f, "remove", removed),
            Self::AddRule(rule) => write!(f, "add rule from {} to table {}", rule.source, rule.table),
            Self::RemoveRule(rule) => write!(f, "remove rule from {} to table {}", rule.source, rule.table),
        }
    }
}

/// In this order: a VIP that is not to be here goes first, one that is comes when all is ready for it; nothing is taken
/// away that is still used.
pub(crate) fn diff(wanted: &Wanted, found: &Found) -> Vec<Change> {
    let mut changes = vec![];
    for link in &found.links {
        let of_spec = wanted.links.iter().find(|(index, _)| *index == link.index);
        if let Some((_, Some(mtu))) = of_spec
            && *mtu != link.mtu
        {
            changes.push(Change::SetMtu(link.index, *mtu));
        }
        // Before it is up: then it hears none.
        if of_spec.is_some() && link.believes_routers {
            changes.push(Change::StopBelieving(link.index));
        }
        // What an amphora says to itself goes over the loopback interface.
        if !link.up && (of_spec.is_some() || link.loopback) {
            changes.push(Change::LinkUp(link.index));
        }
    }
    let addresses = || wanted.own.iter().chain(&wanted.vips);
    let same_place = |a: &Address, b: &Address| a.link == b.link && a.address == b.address;
    let surplus = |placed: bool| {
        let there = found.addresses.iter();
        let named = |address: &Address| wanted.placed.contains(&address.address.addr());
        let left = |address: &Address| wanted.left.contains(&address.address.addr());
        there.filter(move |(address, ours)| {
            let named = named(address);
            let surplus = if placed { named } else { !named && *ours };
            surplus && !left(address) && !addresses().any(|wanted| same_place(wanted, address))
        })
    };
    changes.extend(surplus(true).map(|(address, _)| Change::RemoveAddress(*address)));
    let lacks = |address: &&Address| !found.addresses.iter().any(|(there, _)| there == *address);
    changes.extend(wanted.own.iter().filter(lacks).map(|address| Change::AddAddress(*address)));
    let routes = wanted.routes.iter().filter(|route| !found.routes.contains(route));
    changes.extend(routes.map(|route| Change::PutRoute(*route)));
    let rules = wanted.rules.iter().filter(|rule| !found.rules.contains(rule));
    changes.extend(rules.map(|rule| Change::AddRule(*rule)));
    changes.extend(wanted.vips.iter().filter(lacks).map(|address| Change::AddAddress(*address)));
    let rules = found.rules.iter().filter(|rule| !wanted.rules.contains(rule));
    changes.extend(rules.map(|rule| Change::RemoveRule(*rule)));
    // One that another is put in the place of is gone by then.
    let replaced = |route: &Route| {
        let mut puts = wanted.routes.iter().filter(|wanted| !found.routes.contains(wanted));
        puts.any(|put| {
            (put.table, put.destination, put.metric) == (route.table, route.destination, route.metric)
        })
    };
    let routes = found.routes.iter().filter(|route| !wanted.routes.contains(route) && !replaced(route));
    changes.extend(routes.map(|route| Change::RemoveRoute(*route)));
    changes.extend(surplus(false).map(|(address, _)| Change::RemoveAddress(*address)));
    changes
}
