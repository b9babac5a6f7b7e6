//! Whether this machine can do it, and which numbers are free on it.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;

use super::{names, shell};
use crate::local::OpenError;

/// A program, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables")];
/// There when the kernel tells a bridge's rules of connections.
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
/// Says 0 where new links may have addresses of IPv6.
const WITHOUT_V6: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// Whether there can be namespaces, bridges and rules.
///
/// # Errors
///
/// With all that is missing.
pub(in crate::local) fn check() -> Result<(), OpenError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let root = rustix::process::geteuid().is_root();
    let filtered = || {
        if root && !Path::new(BRIDGE_FILTER).exists() {
            // Where it is a module; what counts is whether it is there then.
            let _ = shell::run(None, "modprobe", &["br_netfilter"], "");
        }
        Path::new(BRIDGE_FILTER).exists()
    };
    let v6 = fs::read_to_string(WITHOUT_V6).is_ok_and(|text| text.trim_end() == "0");
    let missing = missing(root, found, filtered(), v6);
    if missing.is_empty() { Ok(()) } else { Err(OpenError::NetnsUnusable(missing.join("; "))) }
}

fn missing(root: bool, found: impl Fn(&str) -> bool, filtered: bool, v6: bool) -> Vec<String> {
    let mut missing = vec![];
    if !root {
        missing.push("it is not run as root".to_owned());
    }
    for (program, package) in PROGRAMS.iter().filter(|(program, _)| !found(program)) {
        missing.push(format!("the program {program} is not there (Debian package {package})"));
    }
    if !filtered {
        missing.push("the kernel has no bridge filter (module br_netfilter)".to_owned());
    }
    if !v6 {
        missing.push("IPv6 is switched off (net.ipv6.conf.default.disable_ipv6)".to_owned());
    }
    missing
}

/// Numbers that belong to namespaces or links of this machine, whoever made them.
pub(in crate::local) fn reserved() -> BTreeSet<u8> {
    let links = shell::links(None).unwrap_or_default();
    let namespaces = shell::namespaces(|_| false).unwrap_or_default();
    links.iter().chain(&namespaces).filter_map(|name| names::number_of(name)).collect()
}

/// A route of this machine that leads into the number's addresses and is not the number's own.
pub(in crate::local) fn overlap(number: u8) -> Option<Ipv4Net> {
    let table = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    overlap_in(&table, number)
}

/// The kernel's table: `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, addresses in hexadecimal of the host's
/// byte order. The default route leads everywhere and counts for nothing.
fn overlap_in(table: &str, number: u8) -> Option<Ipv4Net> {
    let ours = names::claimed(number);
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let address = |at: usize| {
            let bits = u32::from_str_radix(fields.get(at)?, 16).ok()?;
            Some(Ipv4Addr::from(bits.to_ne_bytes()))
        };
        let route = Ipv4Net::with_netmask(address(1)?, address(7)?).ok()?;
        let meets = route.contains(&ours.network()) || ours.contains(&route.network());
        let own = names::number_of(fields[0]) == Some(number);
        (meets && !own && route.prefix_len() > 0).then_some(route)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_all_that_is_missing() {
        assert!(missing(true, |_| true, true, true).is_empty());
        let all = missing(false, |_| false, false, false).join("; ");
        for word in ["root", "program ip ", "program tc ", "program nft ", "nftables", "br_netfilter", "IPv6"]
        {
            assert!(all.contains(word), "{all}");
        }
        assert_eq!(missing(true, |program| program != "nft", true, true).len(), 1);
    }

    #[test]
    fn finds_routes_in_the_way() {
        let hex = |a, b, c, d| format!("{:08X}", u32::from_ne_bytes([a, b, c, d]));
        let line = |link: &str, to: String, mask: String| {
            format!("{link}\t{to}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n")
        };
        let table = [
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n".to_owned(),
            line("eth0", hex(0, 0, 0, 0), hex(0, 0, 0, 0)),
            line("eth0", hex(10, 101, 3, 0), hex(255, 255, 255, 0)),
            line("oct102-mgmt", hex(10, 102, 0, 0), hex(255, 255, 192, 0)),
            line("oct103-mgmt", hex(10, 104, 0, 0), hex(255, 255, 192, 0)),
            line("tun0", hex(10, 112, 0, 0), hex(255, 240, 0, 0)),
            "garbage\n".to_owned(),
        ]
        .concat();
        for (number, route) in [
            (100, None),
            (101, Some("10.101.3.0/24")),
            (102, None),
            (104, Some("10.104.0.0/18")),
            (120, Some("10.112.0.0/12")),
        ] {
            assert_eq!(overlap_in(&table, number), route.map(|text| text.parse().unwrap()), "{number}");
        }
        assert_eq!(overlap_in("", 100), None);
    }
}
