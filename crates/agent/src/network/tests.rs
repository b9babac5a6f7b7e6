//! A kernel that does what it is told, as far as the agent can see, and tables of what it is told; then the real one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use ipnet::IpNet;
use octavia_wire::{InterfaceSpec, Mac, NetworkSpec, RouteSpec};

use super::diff::{Change, diff};
use super::netlink::Netlink;
use super::state::{Address, Found, Link, Route, Rule};
use super::wanted::{Vips, wanted};
use super::{Announce, Index, Network};
use crate::namespace::Namespace;

fn mac(n: u8) -> Mac {
    Mac::new([0x52, 0x54, 0, 0, 0, n]).unwrap()
}

fn link(index: u32, mac: Mac) -> Link {
    Link {
        index,
        name: format!("eth{index}"),
        mac: Some(mac),
        mtu: 1500,
        up: true,
        loopback: false,
        believes_routers: false,
    }
}

fn words<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// Routes are written `DESTINATION>GATEWAY`.
fn interface(n: u8, addresses: &str, routes: &str, vips: &str) -> InterfaceSpec {
    let route = |text: &str| {
        let (destination, via) = text.split_once('>').unwrap();
        RouteSpec { destination: destination.parse().unwrap(), via: via.parse().unwrap() }
    };
    InterfaceSpec {
        mac: mac(n),
        mtu: None,
        addresses: words(addresses),
        routes: routes.split_whitespace().map(route).collect(),
        vips: words(vips),
    }
}

fn spec(interfaces: &[InterfaceSpec]) -> NetworkSpec {
    NetworkSpec { interfaces: interfaces.to_vec() }
}

/// Two interfaces: one with VIPs of both families, one to members.
fn two() -> NetworkSpec {
    spec(&[
        interface(
            1,
            "192.0.2.5/24 2001:db8::5/64",
            "0.0.0.0/0>192.0.2.1 ::/0>fe80::1 198.51.100.0/24>192.0.2.2",
            "192.0.2.10 2001:db8::10",
        ),
        interface(2, "10.0.0.5/24", "10.1.0.0/16>10.0.0.1", ""),
    ])
}

fn plugged() -> Found {
    let mut lo = link(1, mac(9));
    lo.loopback = true;
    Found { links: vec![lo, link(2, mac(1)), link(3, mac(2))], ..Found::default() }
}

impl Found {
    /// Answers whether it was to be done at all.
    fn obey(&mut self, change: &Change) {
        let at = |found: &mut Self, index: u32| {
            found.links.iter().position(|link| link.index == index).expect("a change of what is not there")
        };
        match *change {
            Change::SetMtu(index, mtu) => {
                let at = at(self, index);
                self.links[at].mtu = mtu;
            }
            Change::StopBelieving(index) => {
                let at = at(self, index);
                self.links[at].believes_routers = false;
            }
            Change::LinkUp(index) => {
                let at = at(self, index);
                self.links[at].up = true;
            }
            Change::AddAddress(address) => {
                let same = |there: &Address| there.link == address.link && there.address == address.address;
                // Of IPv6, an interface has an address once, whatever its prefix.
                let other = self.addresses.iter().any(|(there, _)| {
                    address.address.addr().is_ipv6()
                        && there.link == address.link
                        && there.address.addr() == address.address.addr()
                        && there.address != address.address
                });
                assert!(!other, "{address:?} is there with another prefix");
                self.addresses.retain(|(there, _)| !same(there));
                self.addresses.push((address, true));
            }
            Change::RemoveAddress(address) => {
                let before = self.addresses.len();
                self.addresses.retain(|(there, _)| *there != address);
                assert!(self.addresses.len() < before, "{address:?} was not there");
                // Routes whose source it was go with it.
                self.routes.retain(|route| route.source != Some(address.address.addr()));
            }
            Change::PutRoute(route) => {
                if let Some(source) = route.source {
                    let is_source = |(there, _): &(Address, bool)| there.address.addr() == source;
                    assert!(self.addresses.iter().any(is_source), "{route:?} has a strange source");
                }
                let key = |route: &Route| (route.table, route.destination, route.metric);
                self.routes.retain(|there| key(there) != key(&route));
                self.routes.push(route);
            }
            Change::RemoveRoute(route) => self.routes.retain(|there| *there != route),
            Change::AddRule(rule) => self.rules.push(rule),
            Change::RemoveRule(rule) => self.rules.retain(|there| *there != rule),
        }
    }

    /// Does what leads to this spec, and answers what that was.
    #[track_caller]
    fn become_it(&mut self, spec: &NetworkSpec, vips: Vips) -> Vec<String> {
        let mut told = vec![];
        for _ in 0..3 {
            let changes = diff(&wanted(spec, vips, self), self);
            if changes.is_empty() {
                return told;
            }
            for change in changes {
                told.push(
                    change.link().map_or_else(|| change.to_string(), |link| format!("{link}: {change}")),
                );
                self.obey(&change);
            }
        }
        panic!("it is never done: {told:#?}");
    }
}

#[test]
fn from_nothing_to_all() {
    let mut found = plugged();
    for link in &mut found.links {
        link.up = false;
        link.believes_routers = true;
    }
    let mut spec = two();
    spec.interfaces[1].mtu = Some(1450);
    let told = found.become_it(&spec, Vips::Here);
    let expected = "
        1: bring up
        2: stop believing routers
        2: bring up
        3: set MTU 1450
        3: stop believing routers
        3: bring up
        2: add 192.0.2.5/24
        2: add 2001:db8::5/64
        3: add 10.0.0.5/24
        2: put route to 192.0.2.0/24 in table 254
        2: put route to 2001:db8::/64 in table 254
        2: put route to 0.0.0.0/0 via 192.0.2.1 in table 254
        2: put route to ::/0 via fe80::1 in table 254
        2: put route to 198.51.100.0/24 via 192.0.2.2 in table 254
        2: put route to 192.0.2.0/24 in table 100
        2: put route to 0.0.0.0/0 via 192.0.2.1 in table 100
        2: put route to 198.51.100.0/24 via 192.0.2.2 in table 100
        2: put route to 2001:db8::/64 in table 101
        2: put route to ::/0 via fe80::1 in table 101
        3: put route to 10.0.0.0/24 in table 254
        3: put route to 10.1.0.0/16 via 10.0.0.1 in table 254
        add rule from 192.0.2.10 to table 100
        add rule from 2001:db8::10 to table 101
        2: add 192.0.2.10/32
        2: add 2001:db8::10/128";
    let expected: Vec<_> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(told, expected);
    assert_eq!(found.become_it(&spec, Vips::Here), [""; 0]);
    // What an amphora says by itself comes from its own address, and a VIP of IPv6 does not offer itself.
    let source = |route: &Route| route.source.map(|source| source.to_string());
    let sources: Vec<_> = found.routes.iter().filter(|route| route.table == 254).filter_map(source).collect();
    assert_eq!(
        sources,
        ["192.0.2.5", "2001:db8::5", "192.0.2.5", "2001:db8::5", "192.0.2.5", "10.0.0.5", "10.0.0.5"]
    );
    let deprecated: Vec<_> =
        found.addresses.iter().filter(|(a, _)| a.deprecated).map(|(a, _)| a.address.to_string()).collect();
    assert_eq!(deprecated, ["2001:db8::10/128"]);
    // All of it goes again, but for what others have made.
    let foreign = Address { link: 2, address: "fe80::5/64".parse().unwrap(), deprecated: false };
    found.addresses.push((foreign, false));
    found.become_it(&spec_of_nothing(), Vips::Here);
    assert_eq!(
        found,
        Found { links: found.links.clone(), addresses: vec![(foreign, false)], ..Found::default() }
    );
}

fn spec_of_nothing() -> NetworkSpec {
    NetworkSpec::default()
}

#[test]
fn vips_come_and_go() {
    let on = ["2: add 192.0.2.10/32", "2: add 2001:db8::10/128"];
    let off = ["2: remove 192.0.2.10/32", "2: remove 2001:db8::10/128"];
    let mut found = plugged();
    found.become_it(&two(), Vips::AsTheyAre);
    assert_eq!(found.become_it(&two(), Vips::Elsewhere), [""; 0]);
    assert_eq!(found.become_it(&two(), Vips::Here), on);
    // Of an agent that has just started: whoever says who has the VIPs has not spoken.
    assert_eq!(found.become_it(&two(), Vips::AsTheyAre), [""; 0]);
    assert_eq!(found.become_it(&two(), Vips::Elsewhere), off);
    // Put there by hand, with whatever prefix, on whichever interface.
    for address in ["192.0.2.10/24", "2001:db8::10/64"] {
        for link in [2, 3] {
            let address = Address { link, address: address.parse().unwrap(), deprecated: false };
            found.addresses.push((address, false));
        }
    }
    let told = found.become_it(&two(), Vips::Elsewhere);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(found.addresses.iter().all(|(address, ours)| *ours && !address.deprecated));
}

/// What is done to it, and what the agent does then.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Found), &'a [&'a str]);

/// Whatever is done to it by hand.
#[test]
fn what_was_changed_comes_back() {
    let mut whole = plugged();
    whole.become_it(&two(), Vips::Here);
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let cases: &[Case<'_>] = &[
        ("nothing", &|_| {}, &[]),
        ("an interface is set down", &|found| found.links[2].up = false, &["3: bring up"]),
        (
            "the VIP is removed",
            &|found| found.addresses.retain(|(there, _)| there.address != net("192.0.2.10/32")),
            &["2: add 192.0.2.10/32"],
        ),
        (
            "a VIP offers itself",
            &|found| {
                let vip = found.addresses.iter_mut().find(|(there, _)| there.deprecated);
                vip.unwrap().0.deprecated = false;
            },
            &["2: add 2001:db8::10/128"],
        ),
        (
            "an address has another prefix",
            &|found| {
                let own =
                    found.addresses.iter_mut().find(|(there, _)| there.address == net("2001:db8::5/64"));
                own.unwrap().0.address = net("2001:db8::5/48");
            },
            &[
                "2: remove 2001:db8::5/48",
                "2: add 2001:db8::5/64",
                // They went with it.
                "2: put route to 2001:db8::/64 in table 254",
                "2: put route to ::/0 via fe80::1 in table 254",
            ],
        ),
        (
            "a stranger's address",
            &|found| {
                let address = Address { link: 2, address: net("203.0.113.9/24"), deprecated: false };
                found.addresses.push((address, false));
            },
            &[],
        ),
        (
            "an address that was ours",
            &|found| {
                let address = Address { link: 3, address: net("203.0.113.9/24"), deprecated: false };
                found.addresses.push((address, true));
            },
            &["3: remove 203.0.113.9/24"],
        ),
        (
            "a route leads elsewhere",
            &|found| {
                let route =
                    found.routes.iter_mut().find(|r| r.table == 100 && r.destination == net("0.0.0.0/0"));
                route.unwrap().via = Some("192.0.2.66".parse().unwrap());
            },
            &["2: put route to 0.0.0.0/0 via 192.0.2.1 in table 100"],
        ),
        (
            "a route nobody wants",
            &|found| {
                let route = Route { destination: net("203.0.113.0/24"), ..found.routes[0] };
                found.routes.push(route);
            },
            &["2: remove route to 203.0.113.0/24 in table 254"],
        ),
        (
            "a second route to the same",
            &|found| {
                let via = Some("192.0.2.66".parse().unwrap());
                found.routes.push(Route { via, ..found.routes[2] });
            },
            &["2: remove route to 0.0.0.0/0 via 192.0.2.66 in table 254"],
        ),
        (
            "a rule leads elsewhere",
            &|found| found.rules[0].table = 101,
            &["add rule from 192.0.2.10 to table 100", "remove rule from 192.0.2.10 to table 101"],
        ),
        (
            "a rule is gone",
            &|found| found.rules.clear(),
            &["add rule from 192.0.2.10 to table 100", "add rule from 2001:db8::10 to table 101"],
        ),
    ];
    for (text, change, expected) in cases {
        let mut found = whole.clone();
        change(&mut found);
        assert_eq!(found.become_it(&two(), Vips::Here), *expected, "{text}");
        let sorted = |found: &Found| {
            let mut all: Vec<_> = found.addresses.iter().map(|a| format!("{a:?}")).collect();
            all.extend(found.routes.iter().map(|r| format!("{r:?}")));
            all.extend(found.rules.iter().map(|r| format!("{r:?}")));
            all.retain(|line| !line.contains("203.0.113.9"));
            all.sort();
            all
        };
        assert_eq!(sorted(&found), sorted(&whole), "{text}");
    }
}

#[test]
fn interfaces_come_and_go() {
    let mut found = plugged();
    let second = found.links.pop().unwrap();
    let first = found.links.pop().unwrap();
    assert_eq!(wanted(&two(), Vips::Here, &found).missing, [mac(1), mac(2)]);
    assert_eq!(found.become_it(&two(), Vips::Here), [""; 0]);
    found.links.push(second);
    let told = found.become_it(&two(), Vips::Here);
    assert!(told.iter().all(|change| change.starts_with("3: ")), "{told:?}");
    assert_eq!(wanted(&two(), Vips::Here, &found).missing, [mac(1)]);
    found.links.push(first);
    found.become_it(&two(), Vips::Here);
    // Which table is whose does not depend on what came first.
    let tables: Vec<_> = found.rules.iter().map(|rule| rule.table).collect();
    assert_eq!(tables, [100, 101]);
    // With the interface, the kernel forgets its addresses and routes; its rules are left.
    found.links.retain(|link| link.index != 2);
    found.addresses.retain(|(address, _)| address.link != 2);
    found.routes.retain(|route| route.link != 2);
    let told = found.become_it(&two(), Vips::Here);
    let expected = ["remove rule from 192.0.2.10 to table 100", "remove rule from 2001:db8::10 to table 101"];
    assert_eq!(told, expected);
    // A spec that knows nothing of the members' interface.
    let mut less = two();
    less.interfaces.pop();
    let expected = [
        "3: remove route to 10.0.0.0/24 in table 254",
        "3: remove route to 10.1.0.0/16 via 10.0.0.1 in table 254",
        "3: remove 10.0.0.5/24",
    ];
    assert_eq!(found.become_it(&less, Vips::Here), expected);
}

#[test]
fn of_two_with_one_address_the_one_below_is_meant() {
    let mut found = plugged();
    found.links.insert(0, link(7, mac(1)));
    found.links[1].mac = Some(mac(1));
    let spec = spec(&[interface(1, "192.0.2.5/24", "", "")]);
    found.become_it(&spec, Vips::Here);
    assert!(found.addresses.iter().all(|(address, _)| address.link == 2), "{:?}", found.addresses);
}

/// Which way what a VIP sends takes.
#[test]
fn each_vip_answers_by_the_gateway_of_its_subnet() {
    let two_subnets = "192.0.2.5/24 198.51.100.5/24";
    let two_gateways = "0.0.0.0/0>192.0.2.1 0.0.0.0/0>198.51.100.1";
    for (text, addresses, routes, vips, expected) in [
        ("its own", "192.0.2.5/24", "0.0.0.0/0>192.0.2.1", "192.0.2.10", &["192.0.2.10>192.0.2.1"][..]),
        (
            "each its own",
            two_subnets,
            two_gateways,
            "198.51.100.10 192.0.2.10",
            &["198.51.100.10>198.51.100.1", "192.0.2.10>192.0.2.1"],
        ),
        (
            "another's, for want of its own",
            two_subnets,
            "0.0.0.0/0>192.0.2.1",
            "198.51.100.10",
            &["198.51.100.10>192.0.2.1"],
        ),
        ("of a subnet the amphora is not in", "", two_gateways, "203.0.113.10", &["203.0.113.10>192.0.2.1"]),
        ("of another family", "", two_gateways, "2001:db8::10", &[]),
        ("none", "192.0.2.5/24", "", "192.0.2.10", &[]),
    ] {
        let spec = spec(&[interface(1, addresses, routes, vips)]);
        let wanted = wanted(&spec, Vips::Here, &plugged());
        let way = |Rule { source, table }: &Rule| {
            let default =
                wanted.routes.iter().find(|r| r.table == *table && r.destination.prefix_len() == 0)?;
            Some(format!("{source}>{}", default.via?))
        };
        assert_eq!(wanted.rules.iter().filter_map(way).collect::<Vec<_>>(), expected, "{text}");
        // All others leave by the first.
        let main = wanted.routes.iter().filter(|r| r.table == 254 && r.destination.prefix_len() == 0);
        assert!(main.count() <= 1);
        assert_eq!(wanted.vips.len(), words::<IpAddr>(vips).len());
    }
}

/// Each is to follow on each.
fn several() -> [NetworkSpec; 6] {
    [
        spec_of_nothing(),
        two(),
        spec(&[interface(1, "192.0.2.5/24", "0.0.0.0/0>192.0.2.1", "192.0.2.10")]),
        // The other way round.
        spec(&[interface(2, "192.0.2.5/24", "0.0.0.0/0>192.0.2.1", "192.0.2.10"), interface(1, "", "", "")]),
        // Other addresses in the same subnets; what was a VIP is an own one.
        spec(&[interface(1, "192.0.2.10/24 2001:db8::10/64", "::/0>2001:db8::1", "192.0.2.5 2001:db8::5")]),
        // The VIPs in another order.
        spec(&[interface(1, "192.0.2.5/25", "0.0.0.0/0>192.0.2.1", "2001:db8::10 192.0.2.10")]),
    ]
}

#[test]
fn any_spec_follows_on_any_other() {
    let specs = several();
    for from in &specs {
        for to in &specs {
            for vips in [Vips::Here, Vips::Elsewhere] {
                let mut found = plugged();
                found.become_it(from, Vips::Here);
                found.become_it(to, vips);
                let mut fresh = plugged();
                fresh.become_it(to, vips);
                for (address, _) in &fresh.addresses {
                    assert!(found.addresses.contains(&(*address, true)), "{from:?} {to:?}");
                }
                assert_eq!(found.addresses.len(), fresh.addresses.len(), "{from:?} {to:?}");
                assert_eq!((found.routes.len(), found.rules.len()), (fresh.routes.len(), fresh.rules.len()));
                assert!(fresh.routes.iter().all(|route| found.routes.contains(route)));
                assert!(fresh.rules.iter().all(|rule| found.rules.contains(rule)));
            }
        }
    }
}

/// A namespace with two interfaces, gone when dropped.
struct Plugged(String);

impl Plugged {
    /// `None` = it cannot be made here, which is said.
    fn new(test: &str) -> Option<Self> {
        let plugged = Self(format!("oan{}-{test}", std::process::id()));
        if let Err(error) = ip(&format!("netns add {plugged}")) {
            eprintln!("skipped: no network namespace can be made: {error}");
            return None;
        }
        let (first, second) = (mac(1), mac(2));
        plugged.ip(&format!("link add eth1 address {first} type veth peer name eth2 address {second}"));
        Some(plugged)
    }

    fn ip(&self, words: &str) -> String {
        ip(&format!("-n {self} {words}")).unwrap()
    }

    fn namespace(&self) -> Namespace {
        Namespace::open(&PathBuf::from("/run/netns").join(&self.0)).unwrap()
    }
}

impl std::fmt::Display for Plugged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {self}"));
    }
}

fn ip(words: &str) -> Result<String, String> {
    let output =
        Command::new("ip").args(words.split_whitespace()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8(output.stdout).unwrap())
}

fn as_found(found: &Found) -> BTreeSet<String> {
    let ours = found.addresses.iter().filter(|(_, ours)| *ours).map(|(address, _)| format!("{address:?}"));
    let routes = found.routes.iter().map(|route| format!("{route:?}"));
    ours.chain(routes).chain(found.rules.iter().map(|rule| format!("{rule:?}"))).collect()
}

/// What the agent takes for done is what the kernel has done: nothing differs afterwards.
#[test]
fn the_kernel_is_as_it_is_taken_for() {
    let Some(plugged) = Plugged::new("kernel") else { return };
    let mut netlink = plugged.namespace().within(Netlink::open).unwrap().unwrap();
    let mut become_it = |spec: &NetworkSpec, vips: Vips| {
        for _ in 0..3 {
            let found = netlink.look().unwrap();
            let wanted = wanted(spec, vips, &found);
            assert_eq!(wanted.missing, []);
            let mut changes = diff(&wanted, &found);
            // That is done by other means.
            changes.retain(|change| !matches!(change, Change::StopBelieving(_)));
            if changes.is_empty() {
                let placed = wanted.own.len() + wanted.vips.len();
                assert_eq!(as_found(&found).len(), placed + wanted.routes.len() + wanted.rules.len());
                return as_found(&found);
            }
            for change in changes {
                netlink.change(&change).unwrap_or_else(|error| panic!("{change}: {error}"));
            }
        }
        panic!("it is never done: {spec:?}");
    };
    let specs = several();
    for from in &specs {
        for to in &specs {
            for vips in [Vips::Here, Vips::Elsewhere] {
                become_it(from, Vips::Here);
                let after = become_it(to, vips);
                become_it(&NetworkSpec::default(), Vips::Here);
                assert_eq!(after, become_it(to, vips), "{from:?} {to:?}");
            }
        }
    }
    // As others see it.
    become_it(&two(), Vips::Here);
    let told = plugged.ip("addr show dev eth1");
    assert!(told.contains("inet6 2001:db8::10/128 scope global deprecated nodad noprefixroute"), "{told}");
    assert!(!told.contains("tentative global"), "{told}");
    let way = |from: &str, to: &str| plugged.ip(&format!("route get {to} from {from}"));
    assert!(way("192.0.2.10", "203.0.113.9").contains("via 192.0.2.1 dev eth1 table 100"));
    assert!(way("2001:db8::10", "2001:db8:f::9").contains("via fe80::1 dev eth1 table 101"));
    for (to, expected) in [
        ("203.0.113.9", "src 192.0.2.5"),
        ("192.0.2.9", "src 192.0.2.5"),
        ("10.1.2.3", "via 10.0.0.1 dev eth2 src 10.0.0.5"),
        ("2001:db8::99", "src 2001:db8::5"),
        ("2001:db8:f::9", "src 2001:db8::5"),
        // That is nearer to the VIP than to any other address.
        ("2001:db8::11", "src 2001:db8::5"),
    ] {
        let told = plugged.ip(&format!("route get {to}"));
        assert!(told.contains(expected), "{to}: {told}");
    }
}

/// Remembers what it was to tell.
#[derive(Debug, Default, Clone)]
struct Told(std::sync::Arc<std::sync::Mutex<Vec<(Mac, Vec<IpAddr>)>>>);

impl Announce for Told {
    fn announce(&mut self, _: Index, mac: Mac, addresses: &[IpAddr]) {
        self.0.lock().unwrap().push((mac, addresses.to_vec()));
    }
}

impl Told {
    fn take(&self) -> Vec<(Mac, Vec<IpAddr>)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Of the pair, whoever says who has them puts the VIPs on and takes them off.
#[test]
fn what_comes_is_announced() {
    let Some(plugged) = Plugged::new("told") else { return };
    let told = Told::default();
    let network = Network::open(&plugged.namespace(), Box::new(told.clone())).unwrap();
    let own = [(mac(1), words("192.0.2.5 2001:db8::5")), (mac(2), words("10.0.0.5"))];
    let vips = [(mac(1), words("192.0.2.10 2001:db8::10"))];
    let all = [(mac(1), words("192.0.2.5 2001:db8::5 192.0.2.10 2001:db8::10")), own[1].clone()];
    // Nothing is known of what shall be: nothing is done.
    network.place_vips(Vips::Here);
    network.look();
    assert_eq!(told.take(), []);
    network.place_vips(Vips::Elsewhere);
    network.want(two());
    assert_eq!(told.take(), own);
    for _ in 0..3 {
        network.place_vips(Vips::Here);
        assert_eq!(told.take(), vips);
        network.place_vips(Vips::Here);
        network.look();
        assert_eq!(told.take(), []);
        network.place_vips(Vips::Elsewhere);
        assert!(!plugged.ip("addr show").contains("192.0.2.10"));
        assert_eq!(told.take(), []);
    }
    network.place_vips(Vips::Here);
    told.take();
    // By hand; also what an agent before this one has made.
    plugged.ip("addr flush dev eth1 scope global");
    plugged.ip("addr flush dev eth2 scope global");
    network.look();
    assert_eq!(told.take(), all);
    let other = Network::open(&plugged.namespace(), Box::new(told.clone())).unwrap();
    other.want(two());
    assert!(plugged.ip("addr show").contains("192.0.2.10/32"));
    assert_eq!((told.take(), other.faults()), (vec![], vec![]));
    other.want(NetworkSpec::default());
    assert!(!plugged.ip("addr show").contains("192.0.2."));
    // It is not known any more what shall be.
    other.leave();
    plugged.ip("addr add 192.0.2.10/32 dev eth1");
    other.place_vips(Vips::Elsewhere);
    assert!(plugged.ip("addr show").contains("192.0.2.10"));
}
