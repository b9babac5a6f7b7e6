//! The network of one amphora, of namespaces made for the test: they go with it, whatever becomes of it.
//!
//! ```text
//! management   the test, controllers, the agent
//! traffic      the amphora's interfaces
//! fabric       bridges to which these are plugged, and a router: 192.0.2.1, 2001:db8:1::1
//! far          a client behind the router: 198.51.100.9, 2001:db8:2::9
//! members      on another bridge: 10.30.0.7, 2001:db8:3::7
//! ```

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Removed when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    name: String,
}

impl Place {
    fn new(stage: &str, role: &str) -> Result<Self, String> {
        let place = Self { name: format!("{stage}-{role}") };
        ip(&format!("netns add {}", place.name))?;
        place.ip("link set lo up");
        Ok(place)
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    fn enter(&self) {
        let namespace = File::open(self.path()).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Does something there; what it starts stays there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap()
    }

    /// What ip(8) does and says there.
    #[track_caller]
    pub(crate) fn ip(&self, words: &str) -> String {
        self.try_ip(words).unwrap()
    }

    pub(crate) fn try_ip(&self, words: &str) -> Result<String, String> {
        ip(&format!("-n {} {words}", self.name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(words: &str) -> Result<String, String> {
    let output = Command::new("ip").args(words.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip(8): {error}"))?;
    if !output.status.success() {
        return Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8(output.stdout).unwrap())
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) management: Place,
    pub(crate) traffic: Place,
    pub(crate) fabric: Place,
    pub(crate) far: Place,
    pub(crate) members: Place,
}

/// To which an interface is plugged.
pub(crate) const CLIENTS: &str = "clients";
pub(crate) const MEMBERS: &str = "members";

impl Stage {
    /// With the calling thread in the management namespace. `None` = it cannot be built here, which is said.
    pub(crate) fn build() -> Option<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can make network namespaces");
            return None;
        }
        let stage = format!("oa{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let places = || {
            let place = |role| Place::new(&stage, role);
            Ok::<_, String>(Self {
                management: place("management")?,
                traffic: place("traffic")?,
                fabric: place("fabric")?,
                far: place("far")?,
                members: place("members")?,
            })
        };
        let stage =
            places().map_err(|error| eprintln!("skipped: no network namespaces here: {error}")).ok()?;
        stage.connect();
        stage.management.enter();
        Some(stage)
    }

    fn connect(&self) {
        let Self { fabric, far, members, .. } = self;
        for bridge in [CLIENTS, MEMBERS] {
            fabric.ip(&format!("link add {bridge} up type bridge forward_delay 0 mcast_snooping 0"));
        }
        fabric.within(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        });
        fabric.ip("addr add 192.0.2.1/24 dev clients");
        fabric.ip("addr add 2001:db8:1::1/64 dev clients nodad");
        self.cable("far0", far, "");
        fabric.ip("addr add 198.51.100.1/24 dev far0");
        fabric.ip("addr add 2001:db8:2::1/64 dev far0 nodad");
        far.ip("addr add 198.51.100.9/24 dev far0");
        far.ip("addr add 2001:db8:2::9/64 dev far0 nodad");
        far.ip("route add default via 198.51.100.1");
        far.ip("route add default via 2001:db8:2::1");
        self.cable("members0", members, "");
        fabric.ip("link set members0 master members");
        members.ip("addr add 10.30.0.7/24 dev members0");
        members.ip("addr add 2001:db8:3::7/64 dev members0 nodad");
    }

    /// Two interfaces of one name, one in the fabric.
    fn cable(&self, name: &str, to: &Place, options: &str) {
        let (fabric, to_name) = (&self.fabric.name, &to.name);
        ip(&format!(
            "link add {name} netns {fabric} up type veth peer name {name} netns {to_name} {options}"
        ))
        .unwrap();
        if options.is_empty() {
            to.ip(&format!("link set {name} up"));
        }
    }

    /// Gives the amphora an interface of this address; what becomes of it is the agent's matter.
    pub(crate) fn plug(&self, name: &str, mac: &str, bridge: &str) {
        self.cable(name, &self.traffic, &format!("address {mac}"));
        self.fabric.ip(&format!("link set {name} master {bridge}"));
    }

    pub(crate) fn unplug(&self, name: &str) {
        self.traffic.ip(&format!("link del {name}"));
    }
}
