//! A small data centre of network namespaces on one machine: three networks, some hosts, amphorae on the hosts.
//!
//! The *fabric* is a namespace with a bridge for each network. A *host* is a namespace with bridges of its own, each
//! linked to the fabric's by one cable: cut those, and the host is lost. An amphora is two namespaces, one for its agent
//! (on the network `mgmt`) and one for its traffic, which knows no way to the first; its cables end on the bridges of its
//! host, where rules hold that it cannot reach. The machine itself is the gateway of every network.
//!
//! All of it follows from the state directory's number and from what is stored there; the kernel is the record of what
//! has been made. Everything here blocks.

mod check;
mod host;
mod links;
mod names;
mod place;
mod rules;
mod shape;
mod shell;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use octavia_model::{AmphoraId, PortId};

pub(super) use self::check::{check, overlap, reserved};
pub use self::host::HostView;
pub(super) use self::names::{HostNumber, Lan, Names, port_link};
pub(super) use self::place::{Candidate, place};
use self::rules::{MgmtRules, PortRules};
pub(super) use self::shell::{path, within};
use super::OpenError;
use super::network::PortWiring;

/// How long hosts remember connections that are over, in seconds, below `/proc/sys/net/netfilter`: short, or those of a
/// load test fill the table, and nobody gets in.
const MEMORY: &[(&str, u32)] = &[
    ("nf_conntrack_tcp_timeout_time_wait", 5),
    ("nf_conntrack_tcp_timeout_fin_wait", 30),
    ("nf_conntrack_tcp_timeout_close_wait", 30),
    ("nf_conntrack_udp_timeout", 10),
    ("nf_conntrack_udp_timeout_stream", 60),
];

/// At most so many: their names must fit into those of links.
pub const HOSTS_MAX: u8 = 16;

/// What the data centre is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetnsOptions {
    /// 1 to [`HOSTS_MAX`]. Hosts of an earlier start that are more than these keep what they have, and get no more.
    pub hosts: u8,
    /// Availability zones `zone-1`, `zone-2`, …, over which the hosts are spread in turn. At least 1.
    pub zones: u8,
}

impl Default for NetnsOptions {
    fn default() -> Self {
        Self { hosts: 3, zones: 3 }
    }
}

impl NetnsOptions {
    pub(super) fn hosts(self) -> impl Iterator<Item = HostNumber> + Clone {
        (1..=self.hosts.clamp(1, HOSTS_MAX)).map(HostNumber)
    }

    pub(super) fn zone(self, host: HostNumber) -> String {
        format!("zone-{}", (host.0.max(1) - 1) % self.zones.max(1) + 1)
    }
}

/// The namespaces of one state directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Netns {
    names: Names,
    options: NetnsOptions,
}

impl Netns {
    /// Makes what is missing of fabric and hosts, on a machine that passed the [`check`]. Rules come with [`Netns::rules_restore`].
    pub(super) fn open(number: u8, options: NetnsOptions) -> Result<Self, OpenError> {
        let this = Self { names: Names(number), options };
        // A second time, if an `ip` that a killed controller had started was still at it.
        this.ensure().or_else(|_| this.ensure()).map_err(OpenError::NetnsTrouble)?;
        Ok(this)
    }

    /// To look and to remove only: makes nothing.
    pub(super) fn existing(number: u8, options: NetnsOptions) -> Self {
        Self { names: Names(number), options }
    }

    fn ensure(&self) -> io::Result<()> {
        let Self { names, options } = *self;
        let fabric = names.fabric();
        let wanted: Vec<_> = options.hosts().map(|host| names.host(host)).collect();
        let wanted = wanted.iter().map(String::as_str).chain([fabric.as_str()]);
        // Nobody else is at work yet.
        let there = self.namespaces_tidied(|_| true)?;
        shell::ip(None, &links::namespaces_add(wanted, &there))?;
        shell::ip(None, &links::gateways(names, &shell::links(None)?))?;
        shell::ip(Some(&fabric), &links::fabric(names, options.hosts(), &shell::links(Some(&fabric))?))?;
        for host in options.hosts() {
            let netns = names.host(host);
            shell::ip(Some(&netns), &links::host(&shell::links(Some(&netns))?))?;
        }
        Ok(())
    }

    /// Ours.
    fn namespaces(&self) -> io::Result<BTreeSet<String>> {
        self.namespaces_tidied(|_| false)
    }

    /// Ours; what an `ip netns add` that was killed has left of these is removed.
    fn namespaces_tidied(&self, these: impl Fn(&str) -> bool) -> io::Result<BTreeSet<String>> {
        let mut namespaces = shell::namespaces(|name| self.names.owns(name) && these(name))?;
        namespaces.retain(|name| self.names.owns(name));
        Ok(namespaces)
    }

    /// Hosts that are there, also those of an earlier start.
    fn hosts_there(&self) -> io::Result<Vec<HostNumber>> {
        let namespaces = self.namespaces()?;
        Ok((1..=HOSTS_MAX)
            .map(HostNumber)
            .filter(|host| namespaces.contains(&self.names.host(*host)))
            .collect())
    }

    /// Where the controller is, for agents.
    pub(super) fn controller(&self) -> IpAddr {
        Lan::Mgmt.gateways(self.names.0)[0].addr()
    }

    pub(super) fn zone(&self, host: HostNumber) -> String {
        self.options.zone(host)
    }

    /// The file that is the namespace of the amphora's traffic.
    pub(super) fn traffic_path(&self, amphora: AmphoraId) -> std::path::PathBuf {
        path(&self.names.traffic(amphora))
    }

    /// The namespace where its agent runs.
    pub(super) fn server_netns(&self, amphora: AmphoraId) -> String {
        self.names.server(amphora)
    }

    /// Loads the rules of every host anew, for the cables that are there: what a crash left unruled has rules again.
    pub(super) fn rules_restore(
        &self,
        servers: &[(AmphoraId, Ipv4Addr)],
        ports: &[PortWiring],
    ) -> io::Result<()> {
        for host in self.hosts_there()? {
            let netns = self.names.host(host);
            let have = shell::links(Some(&netns))?;
            let mgmt: Vec<_> = servers
                .iter()
                .map(|(amphora, address)| mgmt_rules(*amphora, *address))
                .filter(|mgmt| have.contains(&mgmt.link))
                .collect();
            let ports: Vec<_> =
                ports.iter().map(port_rules).filter(|port| have.contains(&port.link)).collect();
            shell::nft(&netns, &rules::host(self.names.0, &mgmt, &ports))?;
            within(&netns, memory_shorten)?;
        }
        for wiring in ports.iter().filter(|wiring| wiring.ingress.is_some() || wiring.egress.is_some()) {
            if let Some(on) = self.host_of(&port_link(wiring.port_id))? {
                self.limits_set(&on, wiring)?;
            }
        }
        Ok(())
    }

    /// Gives the amphora its two namespaces on the host and its management interface.
    pub(super) fn server_ensure(
        &self,
        amphora: AmphoraId,
        host: HostNumber,
        address: Ipv4Addr,
    ) -> io::Result<()> {
        let names = self.names;
        let (on, server, traffic) = (names.host(host), names.server(amphora), names.traffic(amphora));
        let there = self.namespaces_tidied(|name| name == server || name == traffic)?;
        shell::ip(None, &links::namespaces_add([server.as_str(), traffic.as_str()], &there))?;
        let mgmt = mgmt_rules(amphora, address);
        // Before the cable: nothing is ever sent without rules.
        shell::nft(&on, &rules::mgmt_add(names.0, &mgmt))?;
        let have = shell::links(Some(&on))?;
        shell::ip(Some(&on), &links::mgmt_cable(&mgmt.link, address, &server, &have))?;
        shell::ip(Some(&server), &links::server(address, names.0))?;
        shell::ip(Some(&traffic), links::TRAFFIC)
    }

    /// Removes the amphora's namespaces, cables and rules. Whatever still runs there keeps a namespace without links.
    pub(super) fn server_remove(&self, amphora: AmphoraId, host: Option<HostNumber>) -> io::Result<()> {
        let names = self.names;
        let (server, traffic) = (names.server(amphora), names.traffic(amphora));
        let there = self.namespaces_tidied(|name| name == server || name == traffic)?;
        let mut cables = BTreeSet::from([names::mgmt_link(amphora)]);
        if there.contains(&traffic) {
            cables.extend(ports_of(&traffic)?);
        }
        if let Some(on) = host.map(|host| names.host(host)).filter(|on| there.contains(on)) {
            let have = shell::links(Some(&on))?;
            shell::ip(Some(&on), &links::remove(cables.iter().filter(|link| have.contains(*link)).cloned()))?;
            shell::nft(&on, &cables.iter().map(|link| rules::remove(link)).collect::<String>())?;
        }
        let gone = [traffic, names.server(amphora)].into_iter().filter(|netns| there.contains(netns));
        shell::ip(None, &gone.map(|netns| format!("netns delete {netns}\n")).collect::<String>())
    }

    /// The cables of ports that the amphora has. None if it has no namespace.
    pub(super) fn attached(&self, amphora: AmphoraId) -> io::Result<BTreeSet<String>> {
        match ports_of(&self.names.traffic(amphora)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            outcome => outcome,
        }
    }

    /// Runs a cable from the host to the amphora's traffic, with rules and limits.
    pub(super) fn port_attach(&self, host: HostNumber, wiring: &PortWiring) -> io::Result<()> {
        let on = self.names.host(host);
        let traffic = self.names.traffic(wiring.amphora_id);
        let rules = port_rules(wiring);
        shell::nft(&on, &rules::port_add(&rules))?;
        let have = shell::links(Some(&on))?;
        let link = &rules.link;
        shell::ip(Some(&on), &links::cable(link, wiring.lan, link, &wiring.mac, &traffic, &have))?;
        self.limits_set(&on, wiring)
    }

    /// Brings rules and limits up to date, if the port is attached.
    pub(super) fn port_refresh(&self, wiring: &PortWiring) -> io::Result<()> {
        match self.host_of(&port_link(wiring.port_id))? {
            Some(on) => {
                shell::nft(&on, &rules::port_add(&port_rules(wiring)))?;
                self.limits_set(&on, wiring)
            }
            None => Ok(()),
        }
    }

    fn limits_set(&self, on: &str, wiring: &PortWiring) -> io::Result<()> {
        let link = port_link(wiring.port_id);
        shell::tc(on, &shape::batch(&link, wiring.ingress))?;
        shell::tc(&self.names.traffic(wiring.amphora_id), &shape::batch(&link, wiring.egress))
    }

    pub(super) fn port_detach(&self, port: PortId) -> io::Result<()> {
        let link = port_link(port);
        match self.host_of(&link)? {
            Some(on) => {
                shell::ip(Some(&on), &links::remove([link.clone()]))?;
                shell::nft(&on, &rules::remove(&link))
            }
            None => Ok(()),
        }
    }

    /// The namespace of the host where a cable ends.
    fn host_of(&self, link: &str) -> io::Result<Option<String>> {
        for host in self.hosts_there()? {
            let netns = self.names.host(host);
            if shell::links(Some(&netns))?.contains(link) {
                return Ok(Some(netns));
            }
        }
        Ok(None)
    }

    /// Removes every namespace and link of the state directory.
    pub(super) fn remove(&self) -> io::Result<()> {
        // The other end of each goes with it.
        let mut gateways = shell::links(None)?;
        gateways.retain(|link| self.names.owns(link));
        shell::ip(None, &links::remove(gateways))?;
        // A namespace lives as long as a process is in it, and its links with it.
        for netns in self.namespaces()? {
            let mut there = shell::links(Some(&netns))?;
            there.retain(|link| link != "lo");
            for link in there {
                // One end may have taken the other along, and what the kernel made stays.
                let _ = shell::ip(Some(&netns), &links::remove([link]));
            }
            shell::ip(None, &format!("netns delete {netns}\n"))?;
        }
        Ok(())
    }
}

/// In the namespace of the current thread. Some containers forbid it, and the rest works without.
fn memory_shorten() {
    for (name, seconds) in MEMORY {
        if let Err(error) =
            std::fs::write(Path::new("/proc/sys/net/netfilter").join(name), seconds.to_string())
        {
            tracing::warn!(name, %error, "many short connections may fill a host's table of connections");
        }
    }
}

fn ports_of(traffic: &str) -> io::Result<BTreeSet<String>> {
    let mut links = shell::links(Some(traffic))?;
    links.retain(|link| link.starts_with('p'));
    Ok(links)
}

fn mgmt_rules(amphora: AmphoraId, address: Ipv4Addr) -> MgmtRules {
    MgmtRules { link: names::mgmt_link(amphora), address }
}

fn port_rules(wiring: &PortWiring) -> PortRules {
    PortRules {
        link: port_link(wiring.port_id),
        mac: wiring.mac.clone(),
        addresses: wiring.addresses.clone(),
        rules: wiring.rules.clone(),
    }
}
