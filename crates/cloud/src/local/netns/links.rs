//! What `ip` is told, as text. Pure: what is there already is an argument, so that twice is once.
//!
//! ```text
//!  machine            fabric                host h1                 amphora
//!  octN-mgmt    ───── mgmt    ── h1-mgmt ── mgmt    ── mXXXXXXXXXXXX ── mgmt0     octN-XXXXXXXXXXXX
//!  octN-private ───── private ── h1-priv… ─ private ── pXXXXXXXXXXXX ── pXXXX…    octN-XXXXXXXXXXXX-t
//!  octN-public  ───── public  ── …          public
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::names::{HostNumber, Lan, MGMT_INTERFACE, Names, UPLINK, mgmt_mac};

/// The links that a namespace has.
pub(super) type Links = BTreeSet<String>;

/// Namespaces that are missing.
pub(super) fn namespaces_add<'a>(
    wanted: impl IntoIterator<Item = &'a str>,
    have: &BTreeSet<String>,
) -> String {
    let missing = wanted.into_iter().filter(|name| !have.contains(*name));
    missing.fold(String::new(), |mut batch, name| {
        line(&mut batch, format_args!("netns add {name}"));
        batch
    })
}

/// The machine's own ends of the networks, which are their gateways.
pub(super) fn gateways(names: Names, have: &Links) -> String {
    let mut batch = String::new();
    for lan in Lan::ALL {
        let link = names.gateway(lan);
        if !have.contains(&link) {
            let (peer, fabric) = (gateway_port(lan), names.fabric());
            line(&mut batch, format_args!("link add name {link} type veth peer name {peer} netns {fabric}"));
        }
        for address in lan.gateways(names.0) {
            let at_once = if address.addr().is_ipv6() { " nodad" } else { "" };
            line(&mut batch, format_args!("address replace {address} dev {link}{at_once}"));
        }
        line(&mut batch, format_args!("link set dev {link} up"));
    }
    batch
}

/// The bridges between machine and hosts.
pub(super) fn fabric(
    names: Names,
    hosts: impl IntoIterator<Item = HostNumber> + Clone,
    have: &Links,
) -> String {
    let mut batch = String::new();
    for lan in Lan::ALL {
        // Nobody filters here.
        bridge(&mut batch, lan, 0, have);
        enslave(&mut batch, &gateway_port(lan), lan);
        for host in hosts.clone() {
            let (port, uplink, netns) = (host_port(host, lan), uplink(lan), names.host(host));
            if !have.contains(&port) {
                line(
                    &mut batch,
                    format_args!("link add name {port} type veth peer name {uplink} netns {netns}"),
                );
                // Only then: a host that was cut off stays so.
                enslave(&mut batch, &port, lan);
            }
        }
    }
    batch
}

/// The bridges of a host, whose links to the fabric are there.
pub(super) fn host(have: &Links) -> String {
    let mut batch = String::new();
    for lan in Lan::ALL {
        // So that the rules learn from the kernel which connections are established.
        bridge(&mut batch, lan, 1, have);
        enslave(&mut batch, &uplink(lan), lan);
    }
    batch
}

/// One end on the host's bridge, the other, still down, in the namespace.
pub(super) fn cable(link: &str, lan: Lan, inner: &str, mac: &str, netns: &str, have: &Links) -> String {
    let mut batch = String::new();
    if !have.contains(link) {
        line(
            &mut batch,
            format_args!("link add name {link} type veth peer name {inner} address {mac} netns {netns}"),
        );
    }
    enslave(&mut batch, link, lan);
    batch
}

/// Of an amphora's management namespace. No route leads out of its network.
pub(super) fn server(address: Ipv4Addr, number: u8) -> String {
    let prefix = Lan::Mgmt.v4(number).prefix_len();
    format!(
        "link set dev lo up\naddress replace {address}/{prefix} dev {MGMT_INTERFACE}\nlink set dev {MGMT_INTERFACE} up\n"
    )
}

pub(super) fn mgmt_cable(link: &str, address: Ipv4Addr, netns: &str, have: &Links) -> String {
    cable(link, Lan::Mgmt, MGMT_INTERFACE, &mgmt_mac(address), netns, have)
}

/// Of a traffic namespace; the rest is its agent's.
pub(super) const TRAFFIC: &str = "link set dev lo up\n";

pub(super) fn remove(links: impl IntoIterator<Item = String>) -> String {
    links.into_iter().fold(String::new(), |mut batch, link| {
        line(&mut batch, format_args!("link delete dev {link}"));
        batch
    })
}

/// Cuts a host off, or joins it again: its ends in the fabric.
pub(super) fn host_ports_set(host: HostNumber, up: bool) -> String {
    let state = if up { "up" } else { "down" };
    Lan::ALL.iter().fold(String::new(), |mut batch, lan| {
        line(&mut batch, format_args!("link set dev {} {state}", host_port(host, *lan)));
        batch
    })
}

/// In the fabric.
pub(super) fn host_port(host: HostNumber, lan: Lan) -> String {
    format!("{host}-{}", lan.name())
}

fn gateway_port(lan: Lan) -> String {
    format!("gw-{}", lan.name())
}

pub(super) fn uplink(lan: Lan) -> String {
    format!("{UPLINK}{}", lan.name())
}

/// A bridge without an address of its own that forwards from the first moment on.
fn bridge(batch: &mut String, lan: Lan, filtered: u8, have: &Links) {
    let name = lan.name();
    if !have.contains(name) {
        line(
            batch,
            format_args!(
                "link add name {name} type bridge forward_delay 0 stp_state 0 mcast_snooping 0 \
                 nf_call_iptables {filtered} nf_call_ip6tables {filtered}"
            ),
        );
    }
    line(batch, format_args!("link set dev {name} addrgenmode none"));
    line(batch, format_args!("link set dev {name} up"));
}

fn enslave(batch: &mut String, link: &str, lan: Lan) {
    line(batch, format_args!("link set dev {link} master {} addrgenmode none", lan.name()));
    line(batch, format_args!("link set dev {link} up"));
}

fn line(batch: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(batch, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(names: &[&str]) -> Links {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_fabric_from_nothing() {
        let hosts = [HostNumber(1), HostNumber(2)];
        insta::assert_snapshot!("gateways", gateways(Names(100), &Links::new()));
        insta::assert_snapshot!("fabric", fabric(Names(100), hosts, &Links::new()));
        insta::assert_snapshot!("host", host(&links(&["up-mgmt", "up-private", "up-public"])));
        let wanted = ["oct100-fabric", "oct100-h1"];
        assert_eq!(namespaces_add(wanted, &links(&["oct100-fabric"])), "netns add oct100-h1\n");
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let gateways = gateways(Names(100), &links(&["oct100-mgmt", "oct100-private", "oct100-public"]));
        let have = ["mgmt", "private", "public", "h1-mgmt", "h1-private", "h1-public"];
        let fabric = fabric(Names(100), [HostNumber(1)], &links(&have));
        let host = host(&links(&have));
        let cable =
            cable("p1", Lan::Public, "p1", "fa:16:3e:00:00:01", "oct100-0123456789ab-t", &links(&["p1"]));
        for batch in [gateways, fabric, host, cable] {
            assert!(!batch.is_empty() && !batch.contains("add name"), "{batch}");
            assert!(!batch.contains("h1-mgmt"), "a host that was cut off stays so: {batch}");
        }
    }

    #[test]
    fn an_amphora_is_cabled() {
        let address = Ipv4Addr::new(10, 100, 0, 2);
        insta::assert_snapshot!(
            "amphora",
            [
                mgmt_cable("m0123456789ab", address, "oct100-0123456789ab", &Links::new()),
                server(address, 100),
                cable(
                    "p0123456789ab",
                    Lan::Public,
                    "p0123456789ab",
                    "fa:16:3e:00:00:01",
                    "oct100-0123456789ab-t",
                    &Links::new()
                ),
                remove(["p0123456789ab".to_owned()]),
                host_ports_set(HostNumber(2), false),
            ]
            .join("\n")
        );
    }
}
