//! A kernel that does what it is told, as far as the agent can see, and tables of what it is told.

mod kernel;

use std::net::IpAddr;

use ipnet::IpNet;
use octavia_wire::{InterfaceSpec, Mac, NetworkSpec, RouteSpec};

use super::diff::{Change, diff};
use super::state::{Address, Found, Link, Route, Rule};
use super::wanted::{Vips, wanted};

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
    NetworkSpec { interfaces: interfaces.to_vec(), vrrp: None }
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
fn several() -> [NetworkSpec; 7] {
    [
        spec_of_nothing(),
        two(),
        spec(&[interface(1, "192.0.2.5/24", "0.0.0.0/0>192.0.2.1", "192.0.2.10")]),
        // Two in one subnet: with the first of those, the kernel takes away all.
        spec(&[interface(1, "192.0.2.6/24 192.0.2.7/24", "0.0.0.0/0>192.0.2.1", "192.0.2.10")]),
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

/// Addresses, routes and rules out of a few, so that they meet with those that are wanted.
fn junk(seeds: &[(u8, bool)]) -> Found {
    let mut found = plugged();
    let addresses = [
        "192.0.2.5/24",
        "192.0.2.5/32",
        "192.0.2.10/32",
        "192.0.2.10/24",
        "2001:db8::10/128",
        "2001:db8::5/48",
        "10.0.0.5/24",
        "203.0.113.1/24",
        "fe80::5/64",
    ];
    let destinations = ["0.0.0.0/0", "192.0.2.0/24", "::/0", "2001:db8::/64", "203.0.113.0/24"];
    let gateways = ["192.0.2.1", "192.0.2.66", "fe80::1", "2001:db8::66"];
    for &(seed, flag) in seeds {
        let pick = |words: &[&'static str]| words[usize::from(seed / 3) % words.len()];
        let link = 2 + u32::from(seed / 5 % 2);
        match seed % 3 {
            0 => {
                let address: IpNet = pick(&addresses).parse().unwrap();
                let same = |(there, _): &(Address, bool)| {
                    there.link == link && there.address.addr() == address.addr()
                };
                if !found.addresses.iter().any(same) {
                    let deprecated = address.addr().is_ipv6() && seed % 2 == 1;
                    found.addresses.push((Address { link, address, deprecated }, flag));
                }
            }
            1 => {
                let destination: IpNet = pick(&destinations).parse().unwrap();
                let table = if flag { 254 } else { 100 + u32::from(seed % 4) };
                let via = flag.then(|| pick(&gateways).parse().unwrap());
                let metric = Route::metric(&destination);
                let route = Route { table, destination, via, link, source: None, metric };
                if !found.routes.contains(&route) {
                    found.routes.push(route);
                }
            }
            _ => {
                let source = pick(&["192.0.2.10", "2001:db8::10", "203.0.113.1"]).parse().unwrap();
                let rule = Rule { source, table: 100 + u32::from(flag) };
                if !found.rules.contains(&rule) {
                    found.rules.push(rule);
                }
            }
        }
    }
    found
}

proptest::proptest! {
    #[test]
    fn whatever_is_there_it_becomes_what_is_wanted(
        seeds in proptest::collection::vec((proptest::num::u8::ANY, proptest::bool::ANY), 0..12),
        which in 0..7_usize,
        here in proptest::bool::ANY,
    ) {
        let spec = &several()[which];
        let vips = if here { Vips::Here } else { Vips::Elsewhere };
        let mut found = junk(&seeds);
        let strangers = found.addresses.clone();
        found.become_it(spec, vips);
        let wanted = wanted(spec, vips, &found);
        for (address, ours) in strangers {
            let placed = wanted.placed.contains(&address.address.addr());
            let stays = found.addresses.contains(&(address, ours));
            proptest::prop_assert!(stays || ours || placed, "{:?} was a stranger's", address);
        }
        for (address, ours) in &found.addresses {
            let is_wanted = wanted.own.iter().chain(&wanted.vips).any(|wanted| wanted == address);
            proptest::prop_assert!(is_wanted || (!ours && !wanted.placed.contains(&address.address.addr())));
        }
        proptest::prop_assert!(wanted.routes.iter().all(|route| found.routes.contains(route)));
        proptest::prop_assert_eq!(wanted.routes.len(), found.routes.len());
        proptest::prop_assert_eq!(wanted.rules.len(), found.rules.len());
    }
}
