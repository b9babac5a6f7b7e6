//! The messages of rtnetlink(7): those the agent sends, and what of the kernel's it reads; pure.

use std::net::IpAddr;

use ipnet::IpNet;
use octavia_wire::Mac;

use super::diff::Change;
use super::state::{Address, Found, Link, Route, Rule};
use crate::netlink::message::{Message, Received, attribute, ip, number};

/// The maker of what the agent makes, where routes, rules and addresses say who made them. Nobody else's number in
/// /etc/iproute2/rt_protos.
const OURS: u8 = 79;
/// Of rules: after those of the machine's own addresses, before those that all use.
const RULE_PRIORITY: u32 = 100;

const IFINFO: usize = 16;
const IFADDR: usize = 8;
const ROUTE: usize = 12;
const RULE: usize = 12;

// linux/netlink.h, linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h and linux/fib_rules.h, where libc has them not.
const IFLA_INET6_CONF: u16 = 2;
/// Places in that array of numbers.
const DEVCONF_ACCEPT_RA: usize = 3;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const RTNH_F_ONLINK: u32 = 4;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_TO_TBL: u8 = 1;
const FOREVER: u32 = u32::MAX;

/// Asks for all interfaces, addresses, routes and rules of both families; one after the other.
pub(super) fn questions() -> [Message; 4] {
    let dump = |kind, fixed| Message::new(kind, libc::NLM_F_DUMP, fixed);
    [
        dump(libc::RTM_GETLINK, &[0; IFINFO]),
        dump(libc::RTM_GETADDR, &[0; IFADDR]),
        dump(libc::RTM_GETROUTE, &[0; ROUTE]),
        dump(libc::RTM_GETRULE, &[0; RULE]),
    ]
}

/// Asks for a change; `None` = that is done by other means.
pub(super) fn order(change: &Change) -> Option<Message> {
    let create = libc::NLM_F_ACK | libc::NLM_F_CREATE;
    let message = match change {
        Change::StopBelieving(_) => return None,
        Change::SetMtu(index, mtu) => link(*index, 0).with_u32(libc::IFLA_MTU, *mtu),
        Change::LinkUp(index) => link(*index, libc::IFF_UP as u32),
        Change::AddAddress(address) => {
            let flags = libc::IFA_F_NODAD | IFA_F_NOPREFIXROUTE;
            // Preferred for no time, and valid for ever.
            let preferred = if address.deprecated { 0 } else { FOREVER };
            let lifetimes = [preferred, FOREVER, 0, 0].map(u32::to_ne_bytes).concat();
            self::address(libc::RTM_NEWADDR, create | libc::NLM_F_REPLACE, address)
                .with_u32(IFA_FLAGS, flags)
                .with(libc::IFA_CACHEINFO, &lifetimes)
                .with(IFA_PROTO, &[OURS])
        }
        Change::RemoveAddress(address) => self::address(libc::RTM_DELADDR, libc::NLM_F_ACK, address),
        Change::PutRoute(route) => {
            let message = self::route(libc::RTM_NEWROUTE, create | libc::NLM_F_REPLACE, route);
            route
                .source
                .into_iter()
                .fold(message, |message, source| message.with_ip(libc::RTA_PREFSRC, source))
        }
        Change::RemoveRoute(route) => self::route(libc::RTM_DELROUTE, libc::NLM_F_ACK, route),
        Change::AddRule(rule) => self::rule(libc::RTM_NEWRULE, create | libc::NLM_F_EXCL, rule),
        Change::RemoveRule(rule) => self::rule(libc::RTM_DELRULE, libc::NLM_F_ACK, rule),
    };
    Some(message)
}

fn family(address: IpAddr) -> u8 {
    // Small numbers, though their names are of a wider type.
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// Sets these flags, and leaves the others.
fn link(index: u32, flags: u32) -> Message {
    let fixed = [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), flags.to_ne_bytes()].concat();
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &fixed)
}

fn address(kind: u16, flags: i32, Address { link, address, .. }: &Address) -> Message {
    let scope = libc::RT_SCOPE_UNIVERSE;
    let fixed = [[family(address.addr()), address.prefix_len(), 0, scope], link.to_ne_bytes()].concat();
    Message::new(kind, flags, &fixed)
        .with_ip(libc::IFA_LOCAL, address.addr())
        .with_ip(libc::IFA_ADDRESS, address.addr())
}

fn route(kind: u16, flags: i32, route: &Route) -> Message {
    let destination = route.destination;
    let family = family(destination.addr());
    // Of IPv4, what has no gateway is for this link alone.
    let near = route.via.is_none() && destination.addr().is_ipv4();
    let scope = if near { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
    let onlink = if route.via.is_some() { RTNH_F_ONLINK } else { 0 };
    // The table is told by an attribute.
    let words = [OURS, scope, libc::RTN_UNICAST];
    let fixed = [&[family, destination.prefix_len(), 0, 0, 0], &words[..], &onlink.to_ne_bytes()].concat();
    let message = Message::new(kind, flags, &fixed)
        .with_u32(libc::RTA_TABLE, route.table)
        .with_ip(libc::RTA_DST, destination.addr())
        .with_u32(libc::RTA_OIF, route.link)
        .with_u32(libc::RTA_PRIORITY, route.metric);
    route.via.into_iter().fold(message, |message, via| message.with_ip(libc::RTA_GATEWAY, via))
}

fn rule(kind: u16, flags: i32, Rule { source, table }: &Rule) -> Message {
    let length = IpNet::from(*source).prefix_len();
    let fixed = [[family(*source), 0, length, 0], [0, 0, 0, FR_ACT_TO_TBL], [0; 4]].concat();
    Message::new(kind, flags, &fixed)
        .with_ip(FRA_SRC, *source)
        .with_u32(FRA_PRIORITY, RULE_PRIORITY)
        .with_u32(FRA_TABLE, *table)
        .with(FRA_PROTOCOL, &[OURS])
}

impl Found {
    /// Notes what a message says, if it is one of interest.
    pub(super) fn note(&mut self, message: &Received<'_>) {
        let body = message.body;
        match message.kind {
            libc::RTM_NEWLINK => self.links.extend(read_link(body)),
            libc::RTM_NEWADDR => self.addresses.extend(read_address(body)),
            libc::RTM_NEWROUTE => self.routes.extend(read_route(body)),
            libc::RTM_NEWRULE => self.rules.extend(read_rule(body)),
            _ => {}
        }
    }
}

fn read_link(body: &[u8]) -> Option<Link> {
    let (fixed, rest) = body.split_at_checked(IFINFO)?;
    let flags = number(&fixed[8..])?.cast_signed();
    let mac = attribute(rest, libc::IFLA_ADDRESS).and_then(|octets| Mac::new(octets.try_into().ok()?));
    let believes = || {
        // By family, the interface's settings, in an array.
        let inet6 = attribute(attribute(rest, libc::IFLA_AF_SPEC)?, libc::AF_INET6 as u16)?;
        let settings = attribute(inet6, IFLA_INET6_CONF)?;
        Some(number(settings.get(DEVCONF_ACCEPT_RA * 4..)?)? != 0)
    };
    let name = attribute(rest, libc::IFLA_IFNAME)?.split(|byte| *byte == 0).next()?;
    Some(Link {
        index: number(&fixed[4..])?,
        name: String::from_utf8(name.to_vec()).ok()?,
        mac,
        mtu: number(attribute(rest, libc::IFLA_MTU)?)?,
        up: flags & libc::IFF_UP != 0,
        loopback: flags & libc::IFF_LOOPBACK != 0,
        believes_routers: believes().unwrap_or(false),
    })
}

fn read_address(body: &[u8]) -> Option<(Address, bool)> {
    let (fixed, rest) = body.split_at_checked(IFADDR)?;
    // Of an address with a peer, the first is the peer's.
    let local = attribute(rest, libc::IFA_LOCAL).or_else(|| attribute(rest, libc::IFA_ADDRESS))?;
    let flags = attribute(rest, IFA_FLAGS).and_then(number).unwrap_or(fixed[2].into());
    let address = IpNet::new(ip(local)?, fixed[1]).ok()?;
    // Of IPv4 the flag is of no consequence.
    let deprecated = address.addr().is_ipv6() && flags & libc::IFA_F_DEPRECATED != 0;
    let ours = attribute(rest, IFA_PROTO) == Some(&[OURS]);
    Some((Address { link: number(&fixed[4..])?, address, deprecated }, ours))
}

/// One of ours.
fn read_route(body: &[u8]) -> Option<Route> {
    let (fixed, rest) = body.split_at_checked(ROUTE)?;
    let any = match libc::c_int::from(fixed[0]) {
        libc::AF_INET => IpAddr::from([0; 4]),
        libc::AF_INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    if fixed[5] != OURS {
        return None;
    }
    let read = |number| attribute(rest, number);
    let destination = read(libc::RTA_DST).map_or(Some(any), ip)?;
    Some(Route {
        table: read(libc::RTA_TABLE).map_or(Some(fixed[4].into()), number)?,
        destination: IpNet::new(destination, fixed[1]).ok()?,
        via: read(libc::RTA_GATEWAY).and_then(ip),
        // One that somebody has made to lead over several has none.
        link: read(libc::RTA_OIF).and_then(number).unwrap_or(0),
        source: read(libc::RTA_PREFSRC).and_then(ip),
        metric: read(libc::RTA_PRIORITY).and_then(number).unwrap_or(0),
    })
}

/// One of ours.
fn read_rule(body: &[u8]) -> Option<Rule> {
    let (fixed, rest) = body.split_at_checked(RULE)?;
    if attribute(rest, FRA_PROTOCOL) != Some(&[OURS]) {
        return None;
    }
    let table = attribute(rest, FRA_TABLE).map_or(Some(fixed[4].into()), number)?;
    Some(Rule { source: ip(attribute(rest, FRA_SRC)?)?, table })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::messages;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn changes() -> [Change; 6] {
        let v4 = Address { link: 7, address: net("192.0.2.5/24"), deprecated: false };
        let v6 = Address { link: 7, address: net("2001:db8::10/128"), deprecated: true };
        let near = Route {
            table: 254,
            destination: net("192.0.2.0/24"),
            via: None,
            link: 7,
            source: Some("192.0.2.5".parse().unwrap()),
            metric: 0,
        };
        let via = Some("fe80::1".parse().unwrap());
        let far = Route { table: 101, destination: net("::/0"), via, source: None, metric: 100, ..near };
        let rule = Rule { source: "2001:db8::10".parse().unwrap(), table: 101 };
        [
            Change::AddAddress(v4),
            Change::AddAddress(v6),
            Change::PutRoute(near),
            Change::PutRoute(far),
            Change::AddRule(rule),
            Change::LinkUp(7),
        ]
    }

    fn found_of(datagram: &[u8]) -> Found {
        let mut found = Found::default();
        messages(datagram).for_each(|message| found.note(&message));
        found
    }

    /// What the kernel says of a thing is as what is said to it to make one.
    #[test]
    fn what_is_ordered_reads_as_found() {
        let orders = changes().map(|change| order(&change).unwrap().numbered(9));
        let found = found_of(&orders.concat());
        for change in changes() {
            match change {
                Change::AddAddress(address) => {
                    let there = found.addresses.iter().find(|(found, _)| found.address == address.address);
                    // It is the kernel that takes one for deprecated when its time has come.
                    let expected = Address { deprecated: false, ..address };
                    assert_eq!(there, Some(&(expected, true)));
                }
                Change::PutRoute(route) => assert!(found.routes.contains(&route), "{route:?}"),
                Change::AddRule(rule) => assert_eq!(found.rules, [rule]),
                _ => {}
            }
        }
        let sent: Vec<_> = orders.iter().flat_map(|order| messages(order)).collect();
        assert_eq!(sent.len(), orders.len());
        assert!(sent.iter().all(|message| message.sequence == 9 && message.flags & 5 == 5));
    }

    #[test]
    fn what_others_have_made_is_not_ours() {
        let fixed = [[2, 24, 0, 0], [254, 4, 253, 1], [0; 4]].concat();
        let route = Message::new(libc::RTM_NEWROUTE, 0, &fixed).with(libc::RTA_DST, &[192, 0, 2, 0]);
        let fixed = [[2, 0, 32, 0], [100, 0, 0, 1], [0; 4]].concat();
        let rule = Message::new(libc::RTM_NEWRULE, 0, &fixed).with(FRA_SRC, &[192, 0, 2, 10]);
        let fixed = [[2, 24, 0x80, 0], 7_u32.to_ne_bytes()].concat();
        let address = Message::new(libc::RTM_NEWADDR, 0, &fixed).with(libc::IFA_LOCAL, &[192, 0, 2, 9]);
        let found = found_of(&[route, rule, address].map(|message| message.numbered(1)).concat());
        let expected = Address { link: 7, address: net("192.0.2.9/24"), deprecated: false };
        assert_eq!(found, Found { addresses: vec![(expected, false)], ..Found::default() });
    }

    #[test]
    fn what_an_interface_says_of_itself() {
        let settings = [0_u32, 64, 1500, 1].map(u32::to_ne_bytes).concat();
        let inet6 = Message::attributes().with(IFLA_INET6_CONF, &settings);
        let families = Message::attributes().with_nested(libc::AF_INET6 as u16, &inet6);
        let fixed = [[0; 4], 7_u32.to_ne_bytes(), 0x1003_u32.to_ne_bytes(), [0; 4]].concat();
        let mac = Mac::new([0x52, 0x54, 0, 0, 0, 1]).unwrap();
        let link = Message::new(libc::RTM_NEWLINK, 0, &fixed)
            .with(libc::IFLA_IFNAME, b"eth1\0")
            .with(libc::IFLA_ADDRESS, &mac.octets())
            .with_u32(libc::IFLA_MTU, 1450)
            .with_nested(libc::IFLA_AF_SPEC, &families);
        let found = found_of(&link.numbered(1));
        let expected = Link {
            index: 7,
            name: "eth1".to_owned(),
            mac: Some(mac),
            mtu: 1450,
            up: true,
            loopback: false,
            believes_routers: true,
        };
        assert_eq!(found.links, [expected]);
    }

    /// The kernel is believed, but nothing it could say breaks the agent.
    #[test]
    fn what_is_cut_off_or_changed_is_no_reason_to_fall() {
        let whole = changes().map(|change| order(&change).unwrap().numbered(1)).concat();
        for end in 0..whole.len() {
            found_of(&whole[..end]);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 4, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                found_of(&changed);
                messages(&changed).for_each(|message| {
                    message.error();
                });
            }
        }
    }

    #[test]
    fn an_error_is_told_by_its_number() {
        for (code, expected) in [(0_i32, None), (-17, Some(17)), (-1, Some(1))] {
            let order = Message::new(2, 0, &code.to_ne_bytes()).numbered(3);
            let errors: Vec<_> = messages(&order).map(|message| message.error()).collect();
            assert_eq!(errors, [expected]);
        }
        let empty = Message::new(2, 0, &[]).numbered(3);
        assert_eq!(messages(&empty).next().unwrap().error(), Some(libc::EPROTO));
    }
}
