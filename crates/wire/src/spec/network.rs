//! The interfaces of an amphora that has some of its own.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{AmphoraSpec, SpecError, VrrpFault, VrrpSpec};
use crate::Mac;

/// Of one amphora: a subnet of members has one, at most.
const INTERFACES_MAX: usize = 64;
/// Of one interface.
const ADDRESSES_MAX: usize = 64;
const ROUTES_MAX: usize = 128;
/// Of all interfaces together: each has a routing table.
pub const PLUMBED_VIPS_MAX: usize = 64;
/// Bytes of a packet; RFC 791 and RFC 8200, section 5.
const MTU_MIN: u16 = 68;
const MTU_MIN_V6: u16 = 1280;

/// The interfaces in the amphora's traffic namespace. Somebody else puts them there; the agent finds them by their
/// addresses, and makes them as they are described here. `None` in a spec = it lives on the addresses of its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    pub interfaces: Vec<InterfaceSpec>,
    /// `None` = nobody else could have the VIPs: they are here as soon as there is something to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrrp: Option<VrrpSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    pub mac: Mac,
    /// Bytes; `None` = as it is.
    pub mtu: Option<u16>,
    /// The interface's own, each with the prefix length of its subnet.
    pub addresses: Vec<IpNet>,
    /// Of two with one destination the first counts; what a VIP sends takes the one whose gateway is in the VIP's subnet, if
    /// there is one.
    pub routes: Vec<RouteSpec>,
    /// What comes from them is answered here.
    pub vips: Vec<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteSpec {
    /// `0.0.0.0/0` or `::/0` = the default route.
    pub destination: IpNet,
    /// Reached on the interface itself, whether or not one of its subnets has it.
    pub via: IpAddr,
}

/// What is wrong with interfaces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    #[error("has {0} interfaces, allowed are {INTERFACES_MAX}")]
    Interfaces(usize),
    #[error("has interface {0} twice")]
    InterfaceTwice(Mac),
    #[error("has {count} {what} on interface {mac}, allowed are {allowed}")]
    TooMany { mac: Mac, what: &'static str, count: usize, allowed: usize },
    #[error("has {0} VIPs, allowed are {PLUMBED_VIPS_MAX}")]
    Vips(usize),
    #[error("has an MTU of {mtu} on interface {mac}, allowed is {least} and more")]
    Mtu { mac: Mac, mtu: u16, least: u16 },
    #[error("has {0}, which can be no address of an interface")]
    NoAddress(IpAddr),
    #[error("has {0} with a prefix that leaves no subnet")]
    NoSubnet(IpNet),
    #[error("has {0} twice")]
    AddressTwice(IpAddr),
    #[error("has {0} as a VIP, which is none of the spec's")]
    StrangeVip(IpAddr),
    #[error("has a route to {0}, which is no network")]
    Destination(IpNet),
    #[error("has a route to {0} via {1}, which cannot be")]
    Gateway(IpNet, IpAddr),
    #[error("and its virtual router {0}")]
    Vrrp(VrrpFault),
    #[error("has a virtual router that does not have the VIPs of interface {0}")]
    VrrpVips(Mac),
    #[error("has the route to {0} via {1} twice on interface {2}")]
    RouteTwice(IpNet, IpAddr, Mac),
}

/// Whether an interface can be given it: the system's own are nobody's to give, link-local ones of IPv6 included.
fn is_unicast(address: IpAddr) -> bool {
    let good = match address {
        IpAddr::V4(v4) => v4 != Ipv4Addr::BROADCAST && v4.octets()[0] != 0,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4_mapped().is_none(),
    };
    good && !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}

/// The first and the last address of an IPv4 subnet are no host's.
fn is_host(address: IpNet) -> bool {
    match address {
        IpNet::V4(v4) => v4.prefix_len() >= 31 || (v4.addr() != v4.network() && v4.addr() != v4.broadcast()),
        IpNet::V6(_) => true,
    }
}

impl RouteSpec {
    fn check(&self) -> Result<(), NetworkFault> {
        let Self { destination, via } = *self;
        let network = destination.network();
        let local = network.is_multicast() || network.is_loopback();
        if destination != destination.trunc() || (local && destination.prefix_len() > 0) {
            return Err(NetworkFault::Destination(destination));
        }
        // Routers of IPv6 are often known by their link-local addresses alone.
        let good = is_unicast(via) || matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if good && via.is_ipv4() == network.is_ipv4() {
            Ok(())
        } else {
            Err(NetworkFault::Gateway(destination, via))
        }
    }
}

impl InterfaceSpec {
    fn check(&self) -> Result<(), NetworkFault> {
        let Self { mac, addresses, routes, vips, .. } = self;
        for (what, count, allowed) in
            [("addresses", addresses.len(), ADDRESSES_MAX), ("routes", routes.len(), ROUTES_MAX)]
        {
            if count > allowed {
                return Err(NetworkFault::TooMany { mac: *mac, what, count, allowed });
            }
        }
        let v6 = addresses.iter().map(IpNet::addr).chain(vips.iter().copied()).any(|a| a.is_ipv6());
        let least = if v6 { MTU_MIN_V6 } else { MTU_MIN };
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < least) {
            return Err(NetworkFault::Mtu { mac: *mac, mtu, least });
        }
        for address in addresses {
            if address.prefix_len() == 0 {
                return Err(NetworkFault::NoSubnet(*address));
            }
            if !is_unicast(address.addr()) || !is_host(*address) {
                return Err(NetworkFault::NoAddress(address.addr()));
            }
        }
        if let Some(vip) = vips.iter().find(|vip| !is_unicast(**vip)) {
            return Err(NetworkFault::NoAddress(*vip));
        }
        let mut seen = HashSet::new();
        for route in routes {
            route.check()?;
            if !seen.insert(route) {
                return Err(NetworkFault::RouteTwice(route.destination, route.via, *mac));
            }
        }
        Ok(())
    }
}

impl NetworkSpec {
    /// The VIPs that some interface has, in their order.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.vips).copied()
    }

    /// All VIPs go together: they are those of the interface that the routers speak on.
    fn check_vrrp(&self, vrrp: &VrrpSpec) -> Result<(), NetworkFault> {
        vrrp.check().map_err(NetworkFault::Vrrp)?;
        let own: HashSet<_> = vrrp.vips.iter().copied().collect();
        let on = self.interfaces.iter().find(|interface| interface.mac == vrrp.interface);
        let there = on.is_some_and(|on| {
            on.vips.iter().copied().collect::<HashSet<_>>() == own
                && on.addresses.iter().any(|address| address.addr() == vrrp.source)
        });
        if there && self.vips().count() == own.len() {
            Ok(())
        } else {
            Err(NetworkFault::VrrpVips(vrrp.interface))
        }
    }

    /// Checks what receivers rely on; `vips` = those of the spec.
    fn check(&self, vips: &[IpAddr]) -> Result<(), NetworkFault> {
        if self.interfaces.len() > INTERFACES_MAX {
            return Err(NetworkFault::Interfaces(self.interfaces.len()));
        }
        let count = self.vips().count();
        if count > PLUMBED_VIPS_MAX {
            return Err(NetworkFault::Vips(count));
        }
        let (mut macs, mut addresses) = (HashSet::new(), HashSet::new());
        for interface in &self.interfaces {
            if !macs.insert(interface.mac) {
                return Err(NetworkFault::InterfaceTwice(interface.mac));
            }
            interface.check()?;
            for address in interface.addresses.iter().map(IpNet::addr).chain(interface.vips.iter().copied()) {
                if !addresses.insert(address) {
                    return Err(NetworkFault::AddressTwice(address));
                }
            }
        }
        if let Some(vip) = self.vips().find(|vip| !vips.contains(vip)) {
            return Err(NetworkFault::StrangeVip(vip));
        }
        self.vrrp.as_ref().map_or(Ok(()), |vrrp| self.check_vrrp(vrrp))
    }
}

pub(super) fn check(spec: &AmphoraSpec) -> Result<(), SpecError> {
    let checked = spec.network.as_ref().map_or(Ok(()), |network| network.check(&spec.vips));
    checked.map_err(SpecError::Network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WIRE_VERSION_MIN, fixtures};

    const MAC: &str = "52:54:00:00:00:01";

    fn mac(n: u8) -> Mac {
        Mac::new([0x52, 0x54, 0, 0, 0, n]).unwrap()
    }

    fn interface(n: u8, mtu: Option<u16>, addresses: &str, routes: &str, vips: &str) -> InterfaceSpec {
        let route = |text: &str| {
            let (destination, via) = text.split_once('>').unwrap();
            RouteSpec { destination: destination.parse().unwrap(), via: via.parse().unwrap() }
        };
        InterfaceSpec {
            mac: mac(n),
            mtu,
            addresses: addresses.split_whitespace().map(|text| text.parse().unwrap()).collect(),
            routes: routes.split_whitespace().map(route).collect(),
            vips: vips.split_whitespace().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_interfaces_may_be() {
        let full = "192.0.2.5/24 2001:db8::5/64";
        let ways = "0.0.0.0/0>192.0.2.1 ::/0>fe80::1 ::/0>2001:db8::1 198.51.100.0/24>192.0.2.2";
        let vips = "192.0.2.1 2001:db8::10";
        let many =
            |count: u16, each: &dyn Fn(u16) -> String| (0..count).map(each).collect::<Vec<_>>().join(" ");
        for (text, interfaces, expected) in [
            ("none", vec![], None),
            ("bare", vec![interface(1, None, "", "", "")], None),
            ("whole", vec![interface(1, Some(1280), full, ways, vips)], None),
            (
                "two",
                vec![interface(1, Some(68), "10.0.0.2/31", "", ""), interface(2, None, full, ways, vips)],
                None,
            ),
            (
                "many interfaces",
                (0..65).map(|n| interface(n, None, "", "", "")).collect(),
                Some("the network has 65 interfaces, allowed are 64"),
            ),
            (
                "one twice",
                vec![interface(1, None, "", "", ""), interface(1, None, full, "", "")],
                Some("the network has interface 52:54:00:00:00:01 twice"),
            ),
            (
                "many addresses",
                vec![interface(1, None, &many(65, &|n| format!("10.0.{n}.5/24")), "", "")],
                Some("the network has 65 addresses on interface 52:54:00:00:00:01, allowed are 64"),
            ),
            (
                "many routes",
                vec![interface(1, None, "", &many(129, &|n| format!("10.{n}.0.0/16>192.0.2.2")), "")],
                Some("the network has 129 routes on interface 52:54:00:00:00:01, allowed are 128"),
            ),
            (
                "many VIPs",
                vec![interface(1, None, "", "", &many(65, &|n| format!("192.0.2.{n}")))],
                Some("the network has 65 VIPs, allowed are 64"),
            ),
            (
                "small packets",
                vec![interface(1, Some(67), "", "", "")],
                Some("the network has an MTU of 67 on interface 52:54:00:00:00:01, allowed is 68 and more"),
            ),
            (
                "small packets of IPv6",
                vec![interface(1, Some(1279), full, "", "")],
                Some(
                    "the network has an MTU of 1279 on interface 52:54:00:00:00:01, allowed is 1280 and more",
                ),
            ),
            (
                "no subnet",
                vec![interface(1, None, "192.0.2.5/0", "", "")],
                Some("the network has 192.0.2.5/0 with a prefix that leaves no subnet"),
            ),
            (
                "an address twice",
                vec![interface(1, None, full, "", ""), interface(2, None, "192.0.2.5/32", "", "")],
                Some("the network has 192.0.2.5 twice"),
            ),
            (
                "a VIP that is also an own address",
                vec![interface(1, None, "192.0.2.1/24", "", "192.0.2.1")],
                Some("the network has 192.0.2.1 twice"),
            ),
            (
                "another's VIP",
                vec![interface(1, None, "", "", "192.0.2.9")],
                Some("the network has 192.0.2.9 as a VIP, which is none of the spec's"),
            ),
            (
                "a route to a host in a network",
                vec![interface(1, None, "", "10.0.0.1/8>192.0.2.2", "")],
                Some("the network has a route to 10.0.0.1/8, which is no network"),
            ),
            (
                "a route to a group",
                vec![interface(1, None, "", "224.0.0.0/4>192.0.2.2", "")],
                Some("the network has a route to 224.0.0.0/4, which is no network"),
            ),
            (
                "a gateway of another family",
                vec![interface(1, None, "", "0.0.0.0/0>2001:db8::1", "")],
                Some("the network has a route to 0.0.0.0/0 via 2001:db8::1, which cannot be"),
            ),
            (
                "no gateway",
                vec![interface(1, None, "", "0.0.0.0/0>0.0.0.0", "")],
                Some("the network has a route to 0.0.0.0/0 via 0.0.0.0, which cannot be"),
            ),
            (
                "a route twice",
                vec![interface(1, None, "", "10.0.0.0/8>192.0.2.2 10.0.0.0/8>192.0.2.2", "")],
                Some(
                    "the network has the route to 10.0.0.0/8 via 192.0.2.2 twice on interface 52:54:00:00:00:01",
                ),
            ),
        ] {
            let mut spec = fixtures::spec(vec![]);
            spec.vips.push("2001:db8::10".parse().unwrap());
            spec.network = Some(NetworkSpec { interfaces, vrrp: None });
            let error = spec.validate().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected, "{text}");
            let again: AmphoraSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
            assert_eq!(again, spec);
        }
    }

    #[test]
    fn what_no_interface_can_have() {
        for address in [
            "0.0.0.0/8",
            "0.1.2.3/8",
            "127.0.0.2/8",
            "224.0.0.18/24",
            "255.255.255.255/32",
            "192.0.2.0/24",
            "192.0.2.255/24",
            "::/64",
            "::1/128",
            "ff02::1/64",
            "fe80::5/64",
            "::ffff:192.0.2.5/96",
        ] {
            let address: IpNet = address.parse().unwrap();
            let mut spec = fixtures::spec(vec![]);
            spec.network = Some(NetworkSpec {
                interfaces: vec![InterfaceSpec {
                    addresses: vec![address],
                    ..interface(1, None, "", "", "")
                }],
                vrrp: None,
            });
            let expected = Err(SpecError::Network(NetworkFault::NoAddress(address.addr())));
            assert_eq!(spec.validate(), expected);
        }
    }

    /// An older agent would leave the interfaces as they are, and say that the spec is in force.
    #[test]
    fn who_does_not_know_of_interfaces_refuses_them() {
        let network = NetworkSpec { interfaces: vec![interface(1, None, "", "", "")], vrrp: None };
        assert_eq!(AmphoraSpec::version_of(&[], &[], None), WIRE_VERSION_MIN);
        assert_eq!(AmphoraSpec::version_of(&[], &[], Some(&network)), 4);
        let json = serde_json::to_value(fixtures::spec(vec![])).unwrap();
        assert_eq!(json.get("network"), None);
        let json = serde_json::to_value(&network).unwrap();
        assert_eq!(json["interfaces"][0]["mac"], MAC);
    }
}
