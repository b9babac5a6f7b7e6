//! A switch and hosts on it, each a network namespace; all gone when the test is over, however it ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::SeqCst};

use octavia_wire::Mac;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) const INTERFACE: &str = "eth1";

pub(crate) struct Net {
    /// No other test's begin like it.
    prefix: String,
    hosts: AtomicU8,
}

pub(crate) struct Host {
    name: String,
    namespace: String,
    number: u8,
}

/// Runs `ip`, and answers what it prints.
#[track_caller]
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Net {
    /// `None` = there can be none here, and that was said.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("vrrp-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let may = rustix::process::geteuid().is_root();
        let net = Self { prefix, hosts: AtomicU8::new(0) };
        let switch = net.switch();
        if !may || !Command::new("ip").args(["netns", "add", &switch]).status().is_ok_and(|it| it.success()) {
            eprintln!("skipped: no network namespaces without root and iproute2");
            return None;
        }
        // It forwards from the beginning, and to everybody.
        ip(&format!("-n {switch} link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
        ip(&format!("-n {switch} link set br0 up"));
        Some(net)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    /// One more on the switch.
    pub(crate) fn host(&self, name: &str) -> Host {
        let number = self.hosts.fetch_add(1, SeqCst) + 1;
        let host = Host { name: name.to_owned(), namespace: format!("{}-{name}", self.prefix), number };
        let (namespace, switch, mac) = (&host.namespace, self.switch(), host.mac());
        ip(&format!("netns add {namespace}"));
        let peer = format!("peer name {name} netns {switch}");
        ip(&format!("link add {INTERFACE} netns {namespace} address {mac} type veth {peer}"));
        ip(&format!("-n {switch} link set dev {name} master br0 up"));
        ip(&format!("-n {namespace} link set lo up"));
        ip(&format!("-n {namespace} link set {INTERFACE} up"));
        ip(&format!("-n {namespace} addr add 10.9.0.{number}/24 dev {INTERFACE}"));
        ip(&format!("-n {namespace} addr add fd09::{number}/64 dev {INTERFACE} nodad"));
        host
    }

    /// Nothing comes from it any more, and nothing to it.
    pub(crate) fn unplug(&self, host: &Host) {
        ip(&format!("-n {} link set dev {} down", self.switch(), host.name));
    }

    pub(crate) fn plug(&self, host: &Host) {
        ip(&format!("-n {} link set dev {} up", self.switch(), host.name));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let Ok(names) = std::fs::read_dir("/run/netns") else { return };
        for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            if name.starts_with(&format!("{}-", self.prefix)) {
                let _ = Command::new("ip").args(["netns", "del", &name]).status();
            }
        }
    }
}

impl Host {
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn mac(&self) -> Mac {
        Mac::new([0x52, 0x54, 0, 0, 9, self.number]).unwrap()
    }

    /// Its own address, of the family of another.
    pub(crate) fn address(&self, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => Ipv4Addr::new(10, 9, 0, self.number).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, self.number.into()).into(),
        }
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        !ip(&format!("-n {} -o addr show to {address}", self.namespace)).is_empty()
    }

    /// A program that will run there.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Does something there: what it opens stays there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        let inside = || {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
                .unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap()
    }
}
