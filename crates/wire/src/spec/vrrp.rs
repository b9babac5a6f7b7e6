//! Which of an amphora pair holds the VIPs, and how they agree on it (`reference/amphora.md` §8).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::SharingSpec;
use crate::Mac;

/// Of one virtual router.
const PEERS_MAX: usize = 16;
/// They fit into one packet on any link.
const VIPS_MAX: usize = 64;
/// As many bytes as version 2 has room for.
const PASSWORD_MAX: usize = 8;

/// One router of a virtual router: the VIPs are on the interface of one of them, the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpSpec {
    /// The interface the VIPs are on, and that the peers are reached through.
    pub interface: Mac,
    pub version: VrrpVersion,
    /// 1-255; the original's is 1.
    pub router_id: u8,
    /// 1-254; the original's are 100 and 90.
    pub priority: u8,
    /// Milliseconds. Of version 3 hundredths of seconds up to 40,950; of version 2 whole seconds up to 255,000. Nobody is
    /// heard for three to four of them before another one is master.
    pub advert_interval_ms: u32,
    /// Whether it takes the VIPs from a master of lower priority. The original's amphorae do not.
    #[serde(default)]
    pub preempt: bool,
    /// The interface's own address.
    pub source: IpAddr,
    /// The other routers' own addresses, of the same family; none = there is none yet.
    pub peers: Vec<IpAddr>,
    /// Of version 2 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<VrrpPassword>,
    /// All that the master holds; those of the source's family, which is at least one, are told to peers.
    pub vips: Vec<IpAddr>,
    /// Seconds after which the master announces again where the VIPs are; 0 = only when it has become master.
    #[serde(default = "refresh_s")]
    pub announce_refresh_s: u32,
    /// How often each time; 1-16.
    #[serde(default = "refresh_count")]
    pub announce_refresh_count: u8,
    /// How routers tell each other where clients were sent; `None` = they do not, as of before there was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<SharingSpec>,
}

/// The original's `vrrp_garp_refresh_interval`.
const fn refresh_s() -> u32 {
    5
}

/// The original's `vrrp_garp_refresh_count`.
const fn refresh_count() -> u8 {
    2
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum VrrpVersion {
    /// RFC 3768, IPv4 alone: what the original's amphorae speak there.
    V2,
    /// RFC 9568.
    V3,
}

impl From<VrrpVersion> for u8 {
    fn from(version: VrrpVersion) -> Self {
        match version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        }
    }
}

impl TryFrom<u8> for VrrpVersion {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            _ => Err("VRRP has the versions 2 and 3"),
        }
    }
}

/// What routers of version 2 show each other, in clear; the original's has 7 characters. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct VrrpPassword(Zeroizing<String>);

impl VrrpPassword {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// For packets; it must not be logged, or stored where others can read it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for VrrpPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VrrpPassword(<secret>)")
    }
}

impl Serialize for VrrpPassword {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for VrrpPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What is wrong with a virtual router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VrrpFault {
    #[error("has the router id 0, allowed are 1-255")]
    RouterId,
    #[error("has the priority {0}, allowed are 1-254")]
    Priority(u8),
    #[error("advertises every {interval_ms} ms, allowed are multiples of {unit_ms} up to {most_ms}")]
    Interval { interval_ms: u32, unit_ms: u32, most_ms: u32 },
    #[error("is of version 2, which has no IPv6")]
    Family,
    #[error("has a password, which version 3 has not")]
    PasswordUnused,
    #[error("has a password of {0} bytes, allowed are 1-{PASSWORD_MAX}")]
    Password(usize),
    #[error("has {count} {what}, allowed are up to {allowed}")]
    TooMany { what: &'static str, count: usize, allowed: usize },
    #[error("has the {0} {1}, which is no address of one interface")]
    NoAddress(&'static str, IpAddr),
    #[error("has the {0} {1} twice, or as something else")]
    Twice(&'static str, IpAddr),
    #[error("has the peer {0}, which is not of the family of its own address")]
    Peer(IpAddr),
    #[error("has no VIP of the family of its own address")]
    NoVip,
    #[error("announces {0} times, allowed are 1-16")]
    Announcements(u8),
    #[error("shares its tables at port 0")]
    SharingPort,
}

impl VrrpSpec {
    /// What is used where nobody says otherwise: 0.6 to 0.8 s of silence make another master.
    pub const ADVERT_INTERVAL_MS: u32 = 200;

    /// Checks what receivers rely on.
    pub fn check(&self) -> Result<(), VrrpFault> {
        if self.router_id == 0 {
            return Err(VrrpFault::RouterId);
        }
        if !(1..=254).contains(&self.priority) {
            return Err(VrrpFault::Priority(self.priority));
        }
        self.check_version()?;
        if !(1..=16).contains(&self.announce_refresh_count) {
            return Err(VrrpFault::Announcements(self.announce_refresh_count));
        }
        if self.sharing.as_ref().is_some_and(|sharing| sharing.port == 0) {
            return Err(VrrpFault::SharingPort);
        }
        for (what, count, allowed) in
            [("peers", self.peers.len(), PEERS_MAX), ("VIPs", self.vips.len(), VIPS_MAX)]
        {
            if count > allowed {
                return Err(VrrpFault::TooMany { what, count, allowed });
            }
        }
        let is_of_family = |address: &&IpAddr| address.is_ipv4() == self.source.is_ipv4();
        if let Some(peer) = self.peers.iter().find(|peer| !is_of_family(peer)) {
            return Err(VrrpFault::Peer(*peer));
        }
        if !self.vips.iter().any(|vip| is_of_family(&vip)) {
            return Err(VrrpFault::NoVip);
        }
        let peers = self.peers.iter().map(|peer| ("peer", *peer));
        let vips = self.vips.iter().map(|vip| ("VIP", *vip));
        let mut seen = std::collections::HashSet::new();
        for (what, address) in std::iter::once(("source", self.source)).chain(peers).chain(vips) {
            if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
                return Err(VrrpFault::NoAddress(what, address));
            }
            if !seen.insert(address) {
                return Err(VrrpFault::Twice(what, address));
            }
        }
        Ok(())
    }

    fn check_version(&self) -> Result<(), VrrpFault> {
        let (unit_ms, most_ms) = match self.version {
            VrrpVersion::V2 => (1_000, 255_000),
            VrrpVersion::V3 => (10, 40_950),
        };
        let interval_ms = self.advert_interval_ms;
        if !interval_ms.is_multiple_of(unit_ms) || !(unit_ms..=most_ms).contains(&interval_ms) {
            return Err(VrrpFault::Interval { interval_ms, unit_ms, most_ms });
        }
        match (self.version, &self.password) {
            (VrrpVersion::V2, _) if self.source.is_ipv6() => Err(VrrpFault::Family),
            (VrrpVersion::V2, Some(password)) if !(1..=PASSWORD_MAX).contains(&password.reveal().len()) => {
                Err(VrrpFault::Password(password.reveal().len()))
            }
            (VrrpVersion::V3, Some(_)) => Err(VrrpFault::PasswordUnused),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use octavia_model::LoadBalancerId;

    use super::*;
    use crate::TicketRoot;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn spec() -> VrrpSpec {
        VrrpSpec {
            interface: "52:54:00:00:00:01".parse().unwrap(),
            version: VrrpVersion::V3,
            router_id: 1,
            priority: 100,
            advert_interval_ms: VrrpSpec::ADVERT_INTERVAL_MS,
            preempt: false,
            source: ip("192.0.2.2"),
            peers: vec![ip("192.0.2.3")],
            password: None,
            vips: vec![ip("192.0.2.9"), ip("2001:db8::9")],
            announce_refresh_s: 5,
            announce_refresh_count: 2,
            sharing: None,
        }
    }

    fn v2() -> VrrpSpec {
        let password = Some(VrrpPassword::new("secret7".to_owned()));
        VrrpSpec { version: VrrpVersion::V2, advert_interval_ms: 1_000, password, ..spec() }
    }

    fn sharing(port: u16) -> Option<SharingSpec> {
        Some(SharingSpec { port, key: TicketRoot::new(&[1; 32]).sharing_key(LoadBalancerId::nil()) })
    }

    fn ips(count: u8) -> Vec<IpAddr> {
        (0..count).map(|n| IpAddr::from([192, 0, 2, 100 + n])).collect()
    }

    #[test]
    fn what_routers_may_be() {
        let every =
            |interval_ms, unit_ms, most_ms| Some(VrrpFault::Interval { interval_ms, unit_ms, most_ms });
        let password = |text: &str| Some(VrrpPassword::new(text.to_owned()));
        let v6 = VrrpSpec { source: ip("2001:db8::2"), peers: vec![ip("2001:db8::3")], ..spec() };
        for (text, spec, expected) in [
            ("version 3", spec(), None),
            ("version 2", v2(), None),
            ("IPv6", v6.clone(), None),
            ("alone", VrrpSpec { peers: vec![], ..spec() }, None),
            (
                "largest",
                VrrpSpec { router_id: 255, priority: 254, vips: ips(64), peers: vec![], ..spec() },
                None,
            ),
            ("router 0", VrrpSpec { router_id: 0, ..spec() }, Some(VrrpFault::RouterId)),
            ("priority 0", VrrpSpec { priority: 0, ..spec() }, Some(VrrpFault::Priority(0))),
            ("an owner's", VrrpSpec { priority: 255, ..spec() }, Some(VrrpFault::Priority(255))),
            ("slow 3", VrrpSpec { advert_interval_ms: 40_950, ..spec() }, None),
            ("slower 3", VrrpSpec { advert_interval_ms: 40_960, ..spec() }, every(40_960, 10, 40_950)),
            ("odd 3", VrrpSpec { advert_interval_ms: 105, ..spec() }, every(105, 10, 40_950)),
            ("never 3", VrrpSpec { advert_interval_ms: 0, ..spec() }, every(0, 10, 40_950)),
            ("slow 2", VrrpSpec { advert_interval_ms: 255_000, ..v2() }, None),
            ("slower 2", VrrpSpec { advert_interval_ms: 256_000, ..v2() }, every(256_000, 1_000, 255_000)),
            ("fast 2", VrrpSpec { advert_interval_ms: 200, ..v2() }, every(200, 1_000, 255_000)),
            ("never 2", VrrpSpec { advert_interval_ms: 0, ..v2() }, every(0, 1_000, 255_000)),
            (
                "IPv6 of version 2",
                VrrpSpec { version: VrrpVersion::V2, advert_interval_ms: 1_000, ..v6.clone() },
                Some(VrrpFault::Family),
            ),
            ("open", VrrpSpec { password: None, ..v2() }, None),
            ("long", VrrpSpec { password: password("12345678"), ..v2() }, None),
            ("too long", VrrpSpec { password: password("123456789"), ..v2() }, Some(VrrpFault::Password(9))),
            ("empty", VrrpSpec { password: password(""), ..v2() }, Some(VrrpFault::Password(0))),
            ("unused", VrrpSpec { password: password("1"), ..spec() }, Some(VrrpFault::PasswordUnused)),
            (
                "announced never",
                VrrpSpec { announce_refresh_count: 0, ..spec() },
                Some(VrrpFault::Announcements(0)),
            ),
            (
                "announced often",
                VrrpSpec { announce_refresh_count: 17, ..spec() },
                Some(VrrpFault::Announcements(17)),
            ),
            ("sharing", VrrpSpec { sharing: sharing(1025), ..spec() }, None),
            ("sharing nowhere", VrrpSpec { sharing: sharing(0), ..spec() }, Some(VrrpFault::SharingPort)),
            (
                "many peers",
                VrrpSpec { peers: ips(17), ..spec() },
                Some(VrrpFault::TooMany { what: "peers", count: 17, allowed: 16 }),
            ),
            (
                "many VIPs",
                VrrpSpec { vips: ips(65), ..spec() },
                Some(VrrpFault::TooMany { what: "VIPs", count: 65, allowed: 64 }),
            ),
            (
                "mixed peers",
                VrrpSpec { peers: vec![ip("192.0.2.3"), ip("2001:db8::3")], ..spec() },
                Some(VrrpFault::Peer(ip("2001:db8::3"))),
            ),
            ("no VIP", VrrpSpec { vips: vec![], ..spec() }, Some(VrrpFault::NoVip)),
            ("other VIPs", VrrpSpec { vips: vec![ip("2001:db8::9")], ..spec() }, Some(VrrpFault::NoVip)),
            (
                "its own peer",
                VrrpSpec { peers: vec![ip("192.0.2.2")], ..spec() },
                Some(VrrpFault::Twice("peer", ip("192.0.2.2"))),
            ),
            (
                "the VIP as its own",
                VrrpSpec { vips: vec![ip("192.0.2.2")], ..spec() },
                Some(VrrpFault::Twice("VIP", ip("192.0.2.2"))),
            ),
            (
                "a group",
                VrrpSpec { peers: vec![ip("224.0.0.18")], ..spec() },
                Some(VrrpFault::NoAddress("peer", ip("224.0.0.18"))),
            ),
            (
                "any",
                VrrpSpec { source: ip("0.0.0.0"), ..spec() },
                Some(VrrpFault::NoAddress("source", ip("0.0.0.0"))),
            ),
            (
                "itself",
                VrrpSpec { vips: vec![ip("127.0.0.1")], ..spec() },
                Some(VrrpFault::NoAddress("VIP", ip("127.0.0.1"))),
            ),
        ] {
            assert_eq!(spec.check().err(), expected, "{text}");
        }
    }

    #[test]
    fn as_it_crosses_the_wire() {
        for spec in [spec(), v2(), VrrpSpec { sharing: sharing(1026), ..spec() }] {
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<VrrpSpec>(&text).unwrap(), spec);
        }
        let least = r#"{"interface": "52:54:00:00:00:01", "version": 3, "router_id": 1, "priority": 100,
            "advert_interval_ms": 200, "source": "192.0.2.2", "peers": ["192.0.2.3"],
            "vips": ["192.0.2.9", "2001:db8::9"]}"#;
        assert_eq!(serde_json::from_str::<VrrpSpec>(least).unwrap(), spec());
        let other = least.replace("\"version\": 3", "\"version\": 4");
        assert!(serde_json::from_str::<VrrpSpec>(&other).is_err());
    }

    #[test]
    fn passwords_are_hidden() {
        let shown = format!("{:?}", v2());
        assert!(shown.contains("<secret>") && !shown.contains("secret7"), "{shown}");
    }
}
