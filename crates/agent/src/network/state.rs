//! What a network namespace is made of, as far as the agent cares.

use std::net::IpAddr;

use ipnet::IpNet;
use octavia_wire::Mac;

/// The kernel's number of an interface, for as long as that lives.
pub(crate) type Index = u32;

/// Where all look that no rule sends elsewhere.
pub(crate) const MAIN: u32 = 254;
/// The first VIP's routing table; the next ones follow.
pub(crate) const FIRST_TABLE: u32 = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: Index,
    pub(crate) name: String,
    /// `None` = it is no Ethernet.
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    /// Takes addresses and routes from whoever says that he is a router (RFC 4861).
    pub(crate) believes_routers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) link: Index,
    pub(crate) address: IpNet,
    /// Not chosen as the source of new connections (RFC 6724, rule 3): a VIP of IPv6. Those of IPv4 are not chosen since
    /// routes name their source.
    pub(crate) deprecated: bool,
}

/// To `destination`, by its rule's or the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) table: u32,
    pub(crate) destination: IpNet,
    /// `None` = neighbours.
    pub(crate) via: Option<IpAddr>,
    pub(crate) link: Index,
    /// Of packets that have none yet.
    pub(crate) source: Option<IpAddr>,
    pub(crate) metric: u32,
}

impl Route {
    /// What of several routes to one destination is looked at first. Those of other makers, such as routers that
    /// announce themselves, come later.
    pub(crate) const fn metric(destination: &IpNet) -> u32 {
        match destination {
            IpNet::V4(_) => 0,
            // 0 would be the default, 1024.
            IpNet::V6(_) => 100,
        }
    }
}

/// What `source` sends is routed by `table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) source: IpAddr,
    pub(crate) table: u32,
}

/// What is there. Routes and rules of other makers are not among it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) links: Vec<Link>,
    /// With whether the agent made it.
    pub(crate) addresses: Vec<(Address, bool)>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<Rule>,
}

impl Found {
    /// The interface of this address; of several, such as one and what was made upon it, the first.
    pub(crate) fn link(&self, mac: Mac) -> Option<&Link> {
        let links = self.links.iter().filter(|link| link.mac == Some(mac) && !link.loopback);
        links.min_by_key(|link| link.index)
    }
}
