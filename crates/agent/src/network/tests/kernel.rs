//! The same with the real kernel, in namespaces of the test's own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use octavia_wire::{Mac, NetworkSpec};

use super::super::diff::{Change, diff};
use super::super::netlink::Kernel;
use super::super::state::Found;
use super::super::wanted::{Vips, wanted};
use super::super::{Announce, Index, Network};
use super::{mac, several, two, words};
use crate::namespace::Namespace;

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
    let mut kernel = plugged.namespace().within(Kernel::open).unwrap().unwrap();
    let mut become_it = |spec: &NetworkSpec, vips: Vips| {
        for _ in 0..3 {
            let found = kernel.look().unwrap();
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
                kernel.change(&change).unwrap_or_else(|error| panic!("{change}: {error}"));
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
    let flags = |address: &str| {
        let line = told.lines().find(|line| line.contains(address)).unwrap();
        ["deprecated", "nodad", "noprefixroute", "tentative"].map(|flag| line.contains(flag))
    };
    assert_eq!(flags("2001:db8::10/128"), [true, true, true, false], "{told}");
    assert_eq!(flags("2001:db8::5/64"), [false, true, true, false], "{told}");
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
struct Told(Arc<Mutex<Vec<Tale>>>);

type Tale = (Mac, Vec<IpAddr>);

impl Announce for Told {
    fn announce(&mut self, _: Index, mac: Mac, addresses: &[IpAddr]) {
        self.0.lock().unwrap().push((mac, addresses.to_vec()));
    }
}

impl Told {
    fn take(&self) -> Vec<Tale> {
        let mut told = std::mem::take(&mut *self.0.lock().unwrap());
        told.sort_by_key(|(mac, _)| *mac);
        told
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
    network.place_vips(Vips::Here).unwrap_err();
    network.look();
    assert_eq!(told.take(), []);
    network.want(two());
    network.place_vips(Vips::Elsewhere).unwrap();
    assert_eq!(told.take(), own);
    for _ in 0..3 {
        network.place_vips(Vips::Here).unwrap();
        assert_eq!(told.take(), vips);
        network.place_vips(Vips::Here).unwrap();
        network.look();
        assert_eq!(told.take(), []);
        network.place_vips(Vips::Elsewhere).unwrap();
        assert!(!plugged.ip("addr show").contains("192.0.2.10"));
        assert_eq!(told.take(), []);
    }
    network.place_vips(Vips::Here).unwrap();
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
    other.place_vips(Vips::Elsewhere).unwrap_err();
    assert!(plugged.ip("addr show").contains("192.0.2.10"));
}

/// Whoever is to have the VIPs and cannot, must hear of it: another could.
#[test]
fn what_cannot_be_placed_is_said() {
    let Some(plugged) = Plugged::new("said") else { return };
    let namespace = plugged.namespace();
    let network = Network::open(&namespace, Box::new(Unannounced)).unwrap();
    let ipv6 = |refused: &str| {
        let setting = "/proc/sys/net/ipv6/conf/eth1/disable_ipv6";
        namespace.within(|| std::fs::write(setting, refused)).unwrap().unwrap();
    };
    network.want(two());
    network.place_vips(Vips::Here).unwrap();
    ipv6("1");
    let error = network.place_vips(Vips::Here).unwrap_err().to_string();
    assert!(error.starts_with("interface eth1: cannot add 2001:db8::10/128: "), "{error}");
    // Somebody else is to have them: there is nothing against it.
    network.place_vips(Vips::Elsewhere).unwrap();
    assert_ne!(network.faults(), []);
    ipv6("0");
    network.place_vips(Vips::Here).unwrap();
    plugged.ip("link del eth1");
    let error = network.place_vips(Vips::Here).unwrap_err().to_string();
    assert_eq!(error, format!("the amphora has no interface {}", mac(1)));
    network.place_vips(Vips::Elsewhere).unwrap();
}

/// Leaves it to the neighbours to ask again.
#[derive(Debug)]
struct Unannounced;

impl Announce for Unannounced {
    fn announce(&mut self, _: Index, _: Mac, _: &[IpAddr]) {}
}
