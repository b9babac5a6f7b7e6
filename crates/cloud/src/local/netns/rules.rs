//! What `nft` is told on a host, as text: who may send what, and who may be sent what. Pure.
//!
//! All of it is outside the amphora, on its cables, in the family `bridge`. Every frame between two cables meets
//! `leaving` (is the sender who it says it is?) and then `arriving` (does the receiver want it?). That a packet belongs to
//! a connection that is established is told by a mark, which a hook before the bridge sets: bridges know no connections
//! of their own on every kernel.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::names::{Lan, UPLINK, link_local, mgmt_mac};
use crate::{IpFamily, RuleProtocol, SecurityRule};

/// Where agents listen, and where the controller does.
const AGENT_PORT: u16 = 9443;
const HEARTBEAT_PORT: u16 = 5555;

/// What a port may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local) struct PortRules {
    pub(in crate::local) link: String,
    pub(in crate::local) mac: String,
    /// Its own addresses, and those that it may take over.
    pub(in crate::local) addresses: Vec<IpAddr>,
    /// What may come in that is no answer.
    pub(in crate::local) rules: Vec<SecurityRule>,
}

/// What an amphora's management interface may do: be asked by the controller, and send it heartbeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local) struct MgmtRules {
    pub(in crate::local) link: String,
    pub(in crate::local) address: Ipv4Addr,
}

/// The rules of a host with these cables, in place of all that it had.
pub(super) fn host(number: u8, mgmt: &[MgmtRules], ports: &[PortRules]) -> String {
    let mut script = format!(
        r#"add table inet octavia
delete table inet octavia
table inet octavia {{
  chain known {{
    type filter hook prerouting priority filter; policy accept;
    meta mark set 0
    ct state established,related meta mark set 1
  }}
}}
add table bridge octavia
delete table bridge octavia
table bridge octavia {{
  map leaving_by {{ type ifname : verdict; }}
  map arriving_by {{ type ifname : verdict; }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    jump leaving
    jump arriving
  }}
  chain leaving {{
    iifname "{UPLINK}*" return
    iifname vmap @leaving_by
    drop
  }}
  chain arriving {{
    oifname "{UPLINK}*" accept
    oifname vmap @arriving_by
    drop
  }}
}}
"#
    );
    for mgmt in mgmt {
        script.push_str(&mgmt_add(number, mgmt));
    }
    for port in ports {
        script.push_str(&port_add(port));
    }
    script
}

/// The rules of one port, in place of those it had.
pub(super) fn port_add(port: &PortRules) -> String {
    let PortRules { link, mac, addresses, rules } = port;
    let v4 = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(v4) => Some(v4.to_string()),
        IpAddr::V6(_) => None,
    });
    let v4 = v4.collect::<Vec<_>>().join(", ");
    let v6 = addresses.iter().copied().filter(IpAddr::is_ipv6).chain(link_local(mac));
    let v6: Vec<_> =
        v6.filter_map(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None }).collect();

    let mut leaving = vec![format!("ether saddr != {mac} drop")];
    leaving.push(format!("ether type arp arp saddr ether != {mac} drop"));
    if !v4.is_empty() {
        // 0.0.0.0: who asks whether an address is free (RFC 5227).
        leaving.push(format!("ether type arp arp saddr ip {{ 0.0.0.0, {v4} }} return"));
        leaving.push(format!("ether type ip ip saddr {{ {v4} }} return"));
    }
    leaving.push("icmpv6 type { nd-router-advert, nd-redirect } drop".to_owned());
    // Whose address it is that a neighbour tells of, whichever it sends from.
    for address in &v6 {
        leaving.push(format!("icmpv6 type nd-neighbor-advert @th,64,128 {:#034x} return", address.to_bits()));
    }
    leaving.push("icmpv6 type nd-neighbor-advert drop".to_owned());
    let v6 = v6.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !v6.is_empty() {
        leaving.push(format!("ether type ip6 ip6 saddr {{ {v6} }} return"));
    }
    leaving.push("ip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld2-listener-report } return".to_owned());

    let mut arriving = vec![
        "meta mark 1 accept".to_owned(),
        "ether type arp accept".to_owned(),
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept".to_owned(),
    ];
    arriving.extend(rules.iter().map(rule));
    chains(link, &leaving, &arriving)
}

fn rule(rule: &SecurityRule) -> String {
    let mut text = match rule.family {
        IpFamily::V4 => "ether type ip".to_owned(),
        IpFamily::V6 => "ether type ip6".to_owned(),
    };
    match rule.remote {
        Some(IpNet::V4(remote)) => push(&mut text, format_args!(" ip saddr {}", remote.trunc())),
        Some(IpNet::V6(remote)) => push(&mut text, format_args!(" ip6 saddr {}", remote.trunc())),
        None => {}
    }
    let protocol = match rule.protocol {
        RuleProtocol::Tcp => "tcp",
        RuleProtocol::Udp => "udp",
        RuleProtocol::Sctp => "sctp",
        RuleProtocol::Vrrp => "112",
    };
    push(&mut text, format_args!(" meta l4proto {protocol}"));
    if let (Some((first, last)), true) = (rule.ports, rule.protocol != RuleProtocol::Vrrp) {
        push(&mut text, format_args!(" th dport {first}-{last}"));
    }
    text.push_str(" accept");
    text
}

/// The rules of one management interface.
pub(super) fn mgmt_add(number: u8, mgmt: &MgmtRules) -> String {
    let MgmtRules { link, address } = mgmt;
    let mac = mgmt_mac(*address);
    let controller = Lan::Mgmt.gateways(number)[0].addr();
    let leaving = [
        format!("ether saddr != {mac} drop"),
        format!("ether type arp arp saddr ether {mac} arp saddr ip {{ 0.0.0.0, {address} }} return"),
        format!("ip saddr != {address} drop"),
        "ether type ip meta mark 1 return".to_owned(),
        format!("ip daddr {controller} udp dport {HEARTBEAT_PORT} return"),
    ];
    let arriving = [
        "meta mark 1 accept".to_owned(),
        "ether type arp accept".to_owned(),
        format!("ip saddr {controller} tcp dport {AGENT_PORT} accept"),
    ];
    chains(link, &leaving, &arriving)
}

/// Takes a cable's rules away; twice is once.
pub(super) fn remove(link: &str) -> String {
    let mut script = chains(link, &[], &[]);
    for (map, chain) in [("leaving_by", "from"), ("arriving_by", "to")] {
        push(
            &mut script,
            format_args!(
                "delete element bridge octavia {map} {{ \"{link}\" }}\nflush chain bridge octavia {chain}-{link}\ndelete chain bridge octavia {chain}-{link}\n"
            ),
        );
    }
    script
}

fn chains(link: &str, leaving: &[String], arriving: &[String]) -> String {
    let mut script = String::new();
    for (chain, rules) in [("from", leaving), ("to", arriving)] {
        push(
            &mut script,
            format_args!(
                "add chain bridge octavia {chain}-{link}\nflush chain bridge octavia {chain}-{link}\n"
            ),
        );
        for rule in rules.iter().map(String::as_str).chain(["drop"]) {
            push(&mut script, format_args!("add rule bridge octavia {chain}-{link} {rule}\n"));
        }
    }
    push(
        &mut script,
        format_args!(
            "add element bridge octavia leaving_by {{ \"{link}\" : goto from-{link} }}\n\
             add element bridge octavia arriving_by {{ \"{link}\" : goto to-{link} }}\n"
        ),
    );
    script
}

fn push(script: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = script.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_an_amphora() {
        let mgmt = MgmtRules { link: "m0123456789ab".into(), address: [10, 100, 0, 2].into() };
        let port = PortRules {
            link: "p0123456789ab".into(),
            mac: "fa:16:3e:00:00:01".into(),
            addresses: ["10.100.64.7", "10.100.64.5", "fd64:6f63:7461:40::5"]
                .map(|a| a.parse().unwrap())
                .into(),
            rules: vec![
                SecurityRule::any(IpFamily::V4, RuleProtocol::Tcp, 80),
                SecurityRule {
                    remote: Some("fd64:6f63:7461:40::9/64".parse().unwrap()),
                    ..SecurityRule::any(IpFamily::V6, RuleProtocol::Udp, 53)
                },
                SecurityRule {
                    ports: None,
                    remote: Some("10.100.64.8/32".parse().unwrap()),
                    ..SecurityRule::any(IpFamily::V4, RuleProtocol::Vrrp, 0)
                },
            ],
        };
        insta::assert_snapshot!("host_rules", host(100, &[mgmt], &[port]));
        insta::assert_snapshot!("rules_removed", remove("p0123456789ab"));
    }

    #[test]
    fn a_port_without_addresses_sends_nothing_but_neighbour_discovery() {
        let port = PortRules {
            link: "p0123456789ab".into(),
            mac: "fa:16:3e:00:00:01".into(),
            addresses: vec![],
            rules: vec![],
        };
        let script = port_add(&port);
        assert!(!script.contains("saddr { }") && !script.contains("ip saddr {"), "{script}");
    }
}
