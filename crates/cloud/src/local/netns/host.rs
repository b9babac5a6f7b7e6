//! Hosts from outside: which there are, and cutting one off.

use std::collections::BTreeSet;
use std::io;

use super::names::{HostNumber, Lan};
use super::{Netns, links, shell};

/// A simulated host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostView {
    /// `h1`, `h2`, …
    pub name: String,
    /// Its availability zone.
    pub zone: String,
    /// Whether it is linked to the others.
    pub up: bool,
    /// Its namespace, as `ip netns` knows it.
    pub netns: String,
}

impl Netns {
    /// Hosts that servers may be put on.
    pub(in crate::local) fn hosts(&self) -> io::Result<Vec<(HostNumber, HostView)>> {
        let there = self.namespaces()?;
        let fabric = self.names.fabric();
        let carriers = match there.contains(&fabric) {
            true => parse_carriers(&shell::run(Some(&fabric), "ip", &["-o", "link", "show"], "")?),
            false => BTreeSet::new(),
        };
        let view = |host: HostNumber| {
            let netns = self.names.host(host);
            let linked = carriers.contains(&links::host_port(host, Lan::Mgmt));
            let up = linked && there.contains(&netns);
            (host, HostView { name: host.to_string(), zone: self.zone(host), up, netns })
        };
        Ok(self.options.hosts().map(view).collect())
    }

    /// Cuts the host off from all others and from the machine, or joins it again.
    pub(in crate::local) fn host_set(&self, host: HostNumber, up: bool) -> io::Result<()> {
        shell::ip(Some(&self.names.fabric()), &links::host_ports_set(host, up))
    }
}

/// The links that have somebody at the other end, of lines such as `7: h1-mgmt@if2: <BROADCAST,UP,LOWER_UP> mtu …`.
fn parse_carriers(lines: &str) -> BTreeSet<String> {
    let carrier = |line: &str| {
        let mut fields = line.split(": ").skip(1);
        let (name, rest) = (fields.next()?, fields.next()?);
        let flags = rest.strip_prefix('<')?.split_once('>')?.0;
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        flags.split(',').any(|flag| flag == "LOWER_UP").then(|| name.to_owned())
    };
    lines.lines().filter_map(carrier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_who_has_a_carrier() {
        let lines = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue\n\
            5: h1-mgmt@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n\
            7: h2-mgmt@if2: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500\n\
            9: h3-mgmt@if2: <BROADCAST,MULTICAST> mtu 1500\nnonsense\n\n";
        assert_eq!(parse_carriers(lines).into_iter().collect::<Vec<_>>(), ["h1-mgmt", "lo"]);
    }
}
