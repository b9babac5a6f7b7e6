//! What everything is called, and which addresses there are: all follow from the state directory's number N.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use newtype_uuid::GenericUuid;
use octavia_model::{AmphoraId, PortId};
use uuid::Uuid;

/// Between the prefix `octN` and the rest of a name.
const PREFIX: &str = "oct";
/// "octa" in the middle of every IPv6 address.
const GLOBAL_ID: [u16; 2] = [0x6f63, 0x7461];

/// One of the three networks: a bridge in the fabric, and one on every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local) enum Lan {
    /// Between controller and agents, for nobody else.
    Mgmt,
    Private,
    Public,
}

impl Lan {
    pub(in crate::local) const ALL: [Self; 3] = [Self::Mgmt, Self::Private, Self::Public];

    /// Also the bridge's name.
    pub(in crate::local) fn name(self) -> &'static str {
        match self {
            Self::Mgmt => "mgmt",
            Self::Private => "private",
            Self::Public => "public",
        }
    }

    fn third_octet(self) -> u8 {
        match self {
            Self::Mgmt => 0,
            Self::Private => 64,
            Self::Public => 128,
        }
    }

    pub(in crate::local) fn v4(self, number: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(10, number, self.third_octet(), 0), 18)
    }

    /// Agents need none.
    pub(in crate::local) fn v6(self, number: u8) -> Option<Ipv6Net> {
        let [a, b] = GLOBAL_ID;
        let lan = u16::from(self.third_octet());
        let unique_local = 0xfd00 | u16::from(number);
        (self != Self::Mgmt)
            .then(|| Ipv6Net::new_assert(Ipv6Addr::new(unique_local, a, b, lan, 0, 0, 0, 0), 64))
    }

    /// The gateway's addresses with their prefix: those of the machine itself.
    pub(super) fn gateways(self, number: u8) -> Vec<IpNet> {
        let v4 = self.v4(number);
        let first = Ipv4Addr::from_bits(v4.network().to_bits() + 1);
        let mut gateways = vec![IpNet::V4(Ipv4Net::new_assert(first, v4.prefix_len()))];
        if let Some(v6) = self.v6(number) {
            let first = Ipv6Addr::from_bits(v6.network().to_bits() + 1);
            gateways.push(IpNet::V6(Ipv6Net::new_assert(first, v6.prefix_len())));
        }
        gateways
    }
}

/// Everything that a state directory of this number may use of the machine's address space.
pub(super) fn claimed(number: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, number, 0, 0), 16)
}

/// A simulated host, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local) struct HostNumber(pub(in crate::local) u8);

impl std::fmt::Display for HostNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "h{}", self.0)
    }
}

impl std::str::FromStr for HostNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix('h').map(str::parse) {
            Some(Ok(number)) if Self(number).to_string() == text => Ok(Self(number)),
            _ => Err(()),
        }
    }
}

/// The names of one state directory's namespaces and links.
#[derive(Debug, Clone, Copy)]
pub(in crate::local) struct Names(pub(in crate::local) u8);

impl Names {
    pub(super) fn fabric(self) -> String {
        format!("{PREFIX}{}-fabric", self.0)
    }

    pub(super) fn host(self, host: HostNumber) -> String {
        format!("{PREFIX}{}-{host}", self.0)
    }

    /// Where the amphora's agent runs.
    pub(in crate::local) fn server(self, amphora: AmphoraId) -> String {
        format!("{PREFIX}{}-{}", self.0, short(amphora.into_untyped_uuid()))
    }

    /// Where the amphora's traffic is.
    pub(in crate::local) fn traffic(self, amphora: AmphoraId) -> String {
        format!("{}-t", self.server(amphora))
    }

    /// The machine's own end of a network.
    pub(super) fn gateway(self, lan: Lan) -> String {
        format!("{PREFIX}{}-{}", self.0, lan.name())
    }

    /// Whether a namespace or link of the machine is one of ours.
    pub(super) fn owns(self, name: &str) -> bool {
        number_of(name) == Some(self.0)
    }
}

/// Whose namespace or link of the machine that is.
pub(in crate::local) fn number_of(name: &str) -> Option<u8> {
    let (number, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let parsed: u8 = number.parse().ok()?;
    (!rest.is_empty() && parsed.to_string() == number).then_some(parsed)
}

/// Long enough that no two of a state directory share it, short enough for the name of a link (15 bytes).
fn short(id: Uuid) -> String {
    let mut text = id.simple().to_string();
    text.truncate(12);
    text
}

/// Both ends of a port's cable.
pub(in crate::local) fn port_link(port: PortId) -> String {
    format!("p{}", short(port.into_untyped_uuid()))
}

/// The host's end of an amphora's management cable.
pub(super) fn mgmt_link(amphora: AmphoraId) -> String {
    format!("m{}", short(amphora.into_untyped_uuid()))
}

/// The amphora's end.
pub(super) const MGMT_INTERFACE: &str = "mgmt0";
/// Of the links between hosts and fabric, on the host.
pub(super) const UPLINK: &str = "up-";

pub(super) fn mgmt_mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:6f:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The address that an interface makes of its MAC for itself (RFC 4291, appendix A). `None` = that is no MAC.
pub(super) fn link_local(mac: &str) -> Option<IpAddr> {
    let mut bytes = [0; 6];
    let mut parts = mac.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    let [a, b, c, d, e, f] = bytes.map(u16::from);
    let tail = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
    parts.next().is_none().then(|| Ipv6Addr::new(0xfe80, 0, 0, 0, tail[0], tail[1], tail[2], tail[3]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_names_that_the_kernel_takes() {
        let names = Names(250);
        for lan in Lan::ALL {
            assert!(names.gateway(lan).len() <= 15);
        }
        assert_eq!(port_link(PortId::new_v4()).len(), 13);
        assert_eq!(mgmt_link(AmphoraId::new_v4()).len(), 13);
        assert!(format!("h16-{}", Lan::Private.name()).len() <= 15);
    }

    #[test]
    fn knows_its_own_names() {
        let id = AmphoraId::new_v4();
        for (name, number) in [
            (Names(100).fabric(), Some(100)),
            (Names(100).host(HostNumber(3)), Some(100)),
            (Names(7).traffic(id), Some(7)),
            (Names(100).gateway(Lan::Public), Some(100)),
            ("oct100".into(), None),
            ("oct100-".into(), None),
            ("oct0100-x".into(), None),
            ("oct-x".into(), None),
            ("oct256-x".into(), None),
            ("octopus-1".into(), None),
            ("eth0".into(), None),
        ] {
            assert_eq!(number_of(&name), number, "{name}");
        }
        for (text, host) in [("h1", Ok(HostNumber(1))), ("h01", Err(())), ("1", Err(())), ("h256", Err(()))] {
            assert_eq!(text.parse(), host, "{text}");
        }
    }

    #[test]
    fn networks_do_not_overlap() {
        let v4 = Lan::ALL.map(|lan| lan.v4(100).to_string());
        assert_eq!(v4, ["10.100.0.0/18", "10.100.64.0/18", "10.100.128.0/18"]);
        let v6: Vec<_> = Lan::ALL.iter().filter_map(|lan| lan.v6(100)).map(|net| net.to_string()).collect();
        assert_eq!(v6, ["fd64:6f63:7461:40::/64", "fd64:6f63:7461:80::/64"]);
        let gateways: Vec<_> = Lan::Private.gateways(100).iter().map(ToString::to_string).collect();
        assert_eq!(gateways, ["10.100.64.1/18", "fd64:6f63:7461:40::1/64"]);
    }

    #[test]
    fn a_mac_makes_a_link_local_address() {
        for (mac, address) in [
            ("fa:16:3e:00:00:01", Some("fe80::f816:3eff:fe00:1")),
            ("02:6f:0a:64:00:02", Some("fe80::6f:aff:fe64:2")),
            ("fa:16:3e:00:00", None),
            ("fa:16:3e:00:00:01:02", None),
            ("", None),
        ] {
            assert_eq!(link_local(mac), address.map(|text| text.parse().unwrap()), "{mac}");
        }
    }
}
