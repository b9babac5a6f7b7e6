//! The networks and subnets there are, for ever.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use octavia_model::{NetworkId, SubnetId};

use crate::local::netns::Lan;
use crate::local::seed::Seed;

/// A network. All projects share it.
#[derive(Debug, Clone)]
pub(in crate::local) struct Net {
    pub(in crate::local) id: NetworkId,
    pub(in crate::local) name: &'static str,
    pub(in crate::local) external: bool,
    pub(in crate::local) mtu: u32,
    /// What plugs into it is filtered. `None` = nothing is plugged into it.
    pub(in crate::local) lan: Option<Lan>,
    pub(in crate::local) subnets: Vec<Subnet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local) struct Subnet {
    pub(in crate::local) id: SubnetId,
    pub(in crate::local) name: &'static str,
    pub(in crate::local) cidr: IpNet,
}

impl Net {
    /// Of loopback addresses.
    pub(in crate::local) fn loopback(number: u8, seed: &Seed) -> Vec<Self> {
        let net = |name: &'static str, subnet: &'static str, external, third| {
            let cidr = Ipv4Net::new_assert(Ipv4Addr::new(127, number, third, 0), 18);
            Self {
                id: typed(seed.id(&format!("network/{name}"))),
                name,
                external,
                mtu: 65536,
                lan: None,
                subnets: vec![Subnet::new(subnet, cidr.into(), seed)],
            }
        };
        vec![net("private", "private-subnet", false, 64), net("public", "public-subnet", true, 128)]
    }

    /// Of namespaces: each with a subnet of IPv4 and one of IPv6.
    pub(in crate::local) fn netns(number: u8, seed: &Seed) -> Vec<Self> {
        let net = |lan: Lan, subnet: &'static str, subnet6: &'static str, external| {
            let v4 = Subnet::new(subnet, lan.v4(number).into(), seed);
            let v6 = lan.v6(number).map(|cidr| Subnet::new(subnet6, cidr.into(), seed));
            Self {
                id: typed(seed.id(&format!("network/{}", lan.name()))),
                name: lan.name(),
                external,
                mtu: 1500,
                lan: Some(lan),
                subnets: [Some(v4), v6].into_iter().flatten().collect(),
            }
        };
        vec![
            net(Lan::Private, "private-subnet", "private-subnet-v6", false),
            net(Lan::Public, "public-subnet", "public-subnet-v6", true),
        ]
    }

    pub(in crate::local) fn subnet(&self, id: SubnetId) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
    }
}

impl Subnet {
    fn new(name: &'static str, cidr: IpNet, seed: &Seed) -> Self {
        Self { id: typed(seed.id(&format!("subnet/{name}"))), name, cidr }
    }

    pub(in crate::local) fn version(&self) -> u8 {
        if self.cidr.addr().is_ipv6() { 6 } else { 4 }
    }

    pub(in crate::local) fn gateway(&self) -> IpAddr {
        self.nth(1)
    }

    /// First and last address that is handed out: neither the network's, nor the gateway's, nor the broadcast address.
    pub(in crate::local) fn pool(&self) -> (IpAddr, IpAddr) {
        let last = match self.cidr {
            IpNet::V4(net) => Ipv4Addr::from_bits(net.broadcast().to_bits() - 1).into(),
            IpNet::V6(net) => net.broadcast().into(),
        };
        (self.nth(2), last)
    }

    pub(in crate::local) fn pool_size(&self) -> u64 {
        let (first, last) = self.pool();
        u64::try_from(bits(last) - bits(first)).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub(in crate::local) fn gives(&self, address: IpAddr) -> bool {
        let (first, last) = self.pool();
        (first..=last).contains(&address)
    }

    fn nth(&self, nth: u8) -> IpAddr {
        match self.cidr {
            IpNet::V4(net) => Ipv4Addr::from_bits(net.network().to_bits() + u32::from(nth)).into(),
            IpNet::V6(net) => Ipv6Addr::from_bits(net.network().to_bits() + u128::from(nth)).into(),
        }
    }

    /// All that are handed out, from `after` on and then from the first; `None` = from the first.
    pub(super) fn addresses_after(&self, after: Option<IpAddr>) -> impl Iterator<Item = IpAddr> + use<> {
        let (first, last) = self.pool();
        let v6 = first.is_ipv6();
        let (first, last) = (bits(first), bits(last));
        let start =
            after.map(bits).filter(|after| (first..last).contains(after)).map_or(first, |after| after + 1);
        (start..=last).chain(first..start).map(move |bits| address(v6, bits))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(v6: bool, bits: u128) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(bits).into()
    } else {
        // Of an IPv4 address come 32 bits.
        Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into()
    }
}

fn typed<T: newtype_uuid::TypedUuidKind>(id: uuid::Uuid) -> newtype_uuid::TypedUuid<T> {
    newtype_uuid::TypedUuid::from_bytes(id.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_subnets_hand_out() {
        let seed = Seed::new("seed");
        let nets = [Net::loopback(100, &seed), Net::netns(100, &seed)].concat();
        let pools: Vec<_> = nets
            .iter()
            .flat_map(|net| &net.subnets)
            .map(|subnet| {
                let (first, last) = subnet.pool();
                format!("{} {} {first} {last} {}", subnet.cidr, subnet.gateway(), subnet.pool_size())
            })
            .collect();
        assert_eq!(
            pools,
            [
                "127.100.64.0/18 127.100.64.1 127.100.64.2 127.100.127.254 16381",
                "127.100.128.0/18 127.100.128.1 127.100.128.2 127.100.191.254 16381",
                "10.100.64.0/18 10.100.64.1 10.100.64.2 10.100.127.254 16381",
                "fd64:6f63:7461:40::/64 fd64:6f63:7461:40::1 fd64:6f63:7461:40::2 fd64:6f63:7461:40:ffff:ffff:ffff:ffff 18446744073709551614",
                "10.100.128.0/18 10.100.128.1 10.100.128.2 10.100.191.254 16381",
                "fd64:6f63:7461:80::/64 fd64:6f63:7461:80::1 fd64:6f63:7461:80::2 fd64:6f63:7461:80:ffff:ffff:ffff:ffff 18446744073709551614",
            ]
        );
        let ids =
            |nets: Vec<Net>| nets.into_iter().map(|net| (net.id, net.subnets[0].id)).collect::<Vec<_>>();
        assert_eq!(
            ids(Net::loopback(100, &seed)),
            ids(Net::netns(100, &seed)),
            "the same names, the same ids"
        );
    }

    #[test]
    fn addresses_go_round() {
        let seed = Seed::new("seed");
        for net in Net::netns(100, &seed) {
            for subnet in net.subnets {
                let (first, last) = subnet.pool();
                let from = |after| subnet.addresses_after(after).next();
                assert_eq!(from(None), Some(first));
                assert_eq!(from(Some(first)), Some(subnet.nth(3)));
                assert_eq!(from(Some(last)), Some(first));
                assert_eq!(from(Some(subnet.gateway())), Some(first));
                assert!(subnet.gives(first) && subnet.gives(last) && !subnet.gives(subnet.gateway()));
            }
        }
    }
}
