//! An amphora with interfaces of its own, in a namespace: the agent makes them what the spec says, and keeps them so.

mod datagrams;
mod sctp;
mod stage;

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use octavia_model::{HealthMonitorType, ReasonCode};
use octavia_wire::{AgentInfo, AmphoraSpec, InterfaceSpec, MemberWord, NetworkSpec, RouteSpec, paths};
use rustix::process::Signal;

use self::stage::{CLIENTS, MEMBERS, Place, Stage};
use crate::amphora::{Amphora, eventually, signal};
use crate::fake::SCRIPT;
use crate::member::{Member, PEER, get};
use crate::spec::monitor;

const CLIENTS_MAC: &str = "52:54:00:00:00:01";
const MEMBERS_MAC: &str = "52:54:00:00:00:02";
const VIPS: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];

fn interface(mac: &str, addresses: &[&str], routes: &[(&str, &str)], vips: &[&str]) -> InterfaceSpec {
    let route = |(destination, via): &(&str, &str)| RouteSpec {
        destination: destination.parse().unwrap(),
        via: via.parse().unwrap(),
    };
    InterfaceSpec {
        mac: mac.parse().unwrap(),
        mtu: Some(1400),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        routes: routes.iter().map(route).collect(),
        vips: vips.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn to_clients() -> InterfaceSpec {
    let routes = [("0.0.0.0/0", "192.0.2.1"), ("::/0", "2001:db8:1::1")];
    interface(CLIENTS_MAC, &["192.0.2.5/24", "2001:db8:1::5/64"], &routes, &VIPS)
}

fn to_members() -> InterfaceSpec {
    interface(MEMBERS_MAC, &["10.30.0.5/24", "2001:db8:3::5/64"], &[], &[])
}

/// One that serves members on port 80, a privileged one, of both VIPs.
fn spec(amphora: &Amphora, members: &[SocketAddr], interfaces: &[InterfaceSpec]) -> AmphoraSpec {
    let mut spec = amphora.spec(80, members);
    spec.vips = VIPS.map(|vip| vip.parse().unwrap()).to_vec();
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Tcp));
    spec.network = Some(NetworkSpec { interfaces: interfaces.to_vec(), vrrp: None });
    spec
}

fn amphora_on(stage: &Stage) -> Amphora {
    let mut amphora = Amphora::prepare();
    amphora.traffic = Some(stage.traffic.path());
    amphora.start_agent();
    amphora
}

/// The members say who asks.
fn members_on(stage: &Stage) -> [Member; 2] {
    let ips: [IpAddr; 2] = ["10.30.0.7", "2001:db8:3::7"].map(|ip| ip.parse().unwrap());
    ips.map(|ip| stage.members.within(|| Member::start(ip, PEER)))
}

/// Through each VIP, from a place, until it is answered: the amphora's addresses that the members have seen.
#[track_caller]
fn served(place: &Place) {
    for vip in VIPS {
        let address = SocketAddr::new(vip.parse().unwrap(), 80);
        let mut seen = std::collections::BTreeSet::new();
        eventually("both members answer", || {
            let answer = place.within(|| get(address));
            match answer {
                Ok(peer) => drop(seen.insert(peer)),
                // Until the checks have found them.
                Err(error) => assert!(!error.contains("refused"), "{vip}: {error}"),
            }
            (seen.len() == 2).then_some(())
        });
        let expected = ["10.30.0.5", "2001:db8:3::5"].map(str::to_owned);
        assert!(seen.iter().eq(&expected), "{seen:?}");
    }
}

fn has(place: &Place, what: &str, text: &str) -> bool {
    place.ip(what).contains(text)
}

/// Waits until ip(8) tells of it.
#[track_caller]
fn comes(stage: &Stage, what: &str, text: &str) {
    eventually(text, || has(&stage.traffic, what, text).then_some(()));
}

fn namespace(path: impl AsRef<Path>) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[test]
fn interfaces_are_used_as_soon_as_they_are_there() {
    let Some(stage) = Stage::build() else { return };
    let members = members_on(&stage);
    let amphora = amphora_on(&stage);
    let addresses = members.each_ref().map(|member| member.address);
    let mut spec = spec(&amphora, &addresses, &[to_clients(), to_members()]);
    // Needs a socket of the proxy's own, and so its privileges there.
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Ping));
    let outcome = amphora.push(&spec).unwrap();
    let faults: Vec<_> = outcome.faults.iter().map(|fault| (fault.code, fault.address.to_string())).collect();
    assert_eq!(faults, VIPS.map(|vip| (ReasonCode::InterfaceMissing, vip.to_owned())));
    let missing: Vec<_> = amphora.info().interfaces.into_iter().map(|fault| fault.mac.unwrap()).collect();
    assert_eq!(missing, [CLIENTS_MAC, MEMBERS_MAC].map(|mac| mac.parse().unwrap()));
    amphora.heartbeat("the missing interface is told of", |beat| beat.faults.len() == 2);

    stage.plug("eth1", CLIENTS_MAC, CLIENTS);
    amphora.heartbeat("the VIPs are there", |beat| beat.faults.is_empty());
    assert_eq!(amphora.info().interfaces.len(), 1);
    stage.plug("eth2", MEMBERS_MAC, MEMBERS);
    amphora.heartbeat("both members are up", |beat| {
        let words = beat.pools.values().flat_map(|pool| pool.members.values());
        words.filter(|word| **word == MemberWord::Up).count() == 2
    });
    assert_eq!(amphora.info().interfaces, []);
    // A neighbour, and one behind a router.
    served(&stage.fabric);
    served(&stage.far);
    assert!(has(&stage.traffic, "link show eth2", "mtu 1400"));
    let settings = "/proc/sys/net/ipv6/conf/eth1/accept_ra";
    assert_eq!(stage.traffic.within(|| std::fs::read_to_string(settings).unwrap()), "0\n");
    // Nothing of it is where controllers are.
    let here = stage.management.ip("-o addr show");
    assert!(here.lines().all(|line| line.contains(" lo ")), "{here}");
    assert!(!amphora.file("spec.json.corrupt").exists());
}

#[test]
fn what_is_done_by_hand_is_undone() {
    let Some(stage) = Stage::build() else { return };
    stage.plug("eth1", CLIENTS_MAC, CLIENTS);
    stage.plug("eth2", MEMBERS_MAC, MEMBERS);
    let members = members_on(&stage);
    let mut amphora = amphora_on(&stage);
    let addresses = members.each_ref().map(|member| member.address);
    let outcome = amphora.push(&spec(&amphora, &addresses, &[to_clients(), to_members()])).unwrap();
    assert_eq!(outcome.faults, []);
    served(&stage.far);
    let proxy = amphora.proxy().unwrap();
    for round in ["first", "after a restart", "after a take-over"] {
        for (deed, what, text) in [
            ("addr del 192.0.2.10/32 dev eth1", "addr show dev eth1", "192.0.2.10/32"),
            ("addr del 2001:db8:1::10/128 dev eth1", "addr show dev eth1", "2001:db8:1::10/128"),
            ("addr del 192.0.2.5/24 dev eth1", "addr show dev eth1", "192.0.2.5/24"),
            ("addr del 2001:db8:3::5/64 dev eth2", "addr show dev eth2", "2001:db8:3::5/64"),
            ("addr flush dev eth2", "addr show dev eth2", "10.30.0.5/24"),
            ("route flush table 100", "route show table 100", "default via 192.0.2.1"),
            ("-6 route flush table 101", "-6 route show table 101", "default via 2001:db8:1::1"),
            ("route del default", "route show", "default via 192.0.2.1"),
            (
                "-6 route replace default via 2001:db8:1::66 metric 100 proto 79",
                "-6 route show",
                "2001:db8:1::1 ",
            ),
            ("rule del from 192.0.2.10", "rule show", "from 192.0.2.10"),
            ("-6 rule del from 2001:db8:1::10", "-6 rule show", "from 2001:db8:1::10"),
            ("link set eth1 down", "link show eth1", ",UP"),
            ("link set eth2 mtu 1300", "link show eth2", "mtu 1400"),
        ] {
            // What it takes away may just be on its way back from the deed before.
            eventually(deed, || stage.traffic.try_ip(deed).ok());
            comes(&stage, what, text);
        }
        // What others do with their own is theirs.
        stage.traffic.ip("addr replace 203.0.113.9/24 dev eth2");
        stage.traffic.ip("route replace 203.0.114.0/24 via 203.0.113.1");
        served(&stage.far);
        served(&stage.fabric);
        assert!(
            has(&stage.traffic, "addr show", "203.0.113.9/24") && has(&stage.traffic, "addr show", "fe80::")
        );
        assert!(has(&stage.traffic, "route show", "203.0.114.0/24"));
        match round {
            "first" => {
                amphora.kill_agent();
                // Nobody is needed for what is there.
                stage.traffic.ip("addr del 192.0.2.5/24 dev eth1");
                served(&stage.far);
                amphora.start_agent();
                assert_eq!(amphora.proxy(), Some(proxy));
                comes(&stage, "addr show dev eth1", "192.0.2.5/24");
            }
            "after a restart" => {
                amphora.forget_heartbeats();
                signal(amphora.agent_pid(), Signal::USR2);
                eventually("another proxy and another agent are there", || {
                    let info = amphora.try_request("GET", paths::INFO, b"").ok()?.1;
                    let info: AgentInfo = serde_json::from_slice(&info).ok()?;
                    info.takeover.filter(|takeover| takeover.done)
                });
                let next = amphora.proxy().unwrap();
                assert_ne!(next, proxy);
                assert_eq!(namespace(format!("/proc/{}/ns/net", next.pid)), namespace(stage.traffic.path()));
            }
            _ => {}
        }
    }
    // A proxy that is killed comes back where it was.
    amphora.kill_proxy();
    served(&stage.far);
    // Whoever ends it leaves no VIP behind that refuses.
    assert!(amphora.stop_agent().success());
    for vip in VIPS {
        assert!(!has(&stage.traffic, "addr show", vip), "{vip}");
    }
    assert!(has(&stage.traffic, "addr show", "192.0.2.5/24"));
}

/// Where nobody serves yet, nobody is sent.
#[test]
fn vips_come_when_the_proxy_has_a_spec() {
    let Some(stage) = Stage::build() else { return };
    stage.plug("eth1", CLIENTS_MAC, CLIENTS);
    let mut amphora = Amphora::prepare();
    amphora.traffic = Some(stage.traffic.path());
    let dies = "configure die\n".repeat(5);
    std::fs::write(amphora.file(SCRIPT), dies).unwrap();
    amphora.start_agent();
    let fault = amphora.push(&spec(&amphora, &[], &[to_clients()])).unwrap_err();
    assert_eq!(fault.http_code, 503, "{fault}");
    let addresses = stage.traffic.ip("-o addr show dev eth1");
    assert_ne!(std::fs::read(amphora.file(SCRIPT)).unwrap(), b"", "it has come into force meanwhile");
    assert!(addresses.contains("192.0.2.5/24") && !addresses.contains(VIPS[0]), "{addresses}");
    comes(&stage, "addr show dev eth1", VIPS[0]);
    assert_eq!(std::fs::read(amphora.file(SCRIPT)).unwrap(), b"");
}

#[test]
fn another_spec_wants_other_interfaces() {
    let Some(stage) = Stage::build() else { return };
    stage.plug("eth1", CLIENTS_MAC, CLIENTS);
    stage.plug("eth2", MEMBERS_MAC, MEMBERS);
    let near = stage.fabric.within(|| Member::start("192.0.2.1".parse().unwrap(), PEER));
    let far = members_on(&stage);
    let amphora = amphora_on(&stage);
    let addresses = [near.address, far[0].address];
    let mut spec = spec(&amphora, &addresses, &[to_clients(), to_members()]);
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    let vip = SocketAddr::new(VIPS[0].parse().unwrap(), 80);
    // Members see the amphora's own address, also those to which the VIP is nearer.
    for expected in ["192.0.2.5", "10.30.0.5"] {
        eventually(expected, || (stage.far.within(|| get(vip)).as_deref() == Ok(expected)).then_some(()));
    }
    stage.traffic.ip("addr add 203.0.113.9/24 dev eth2");

    // Without the members' interface, and with one more address; the other member serves on.
    spec.generation += 1;
    spec.pools[0].members.truncate(1);
    let mut clients = to_clients();
    clients.addresses.push("192.0.2.6/24".parse().unwrap());
    spec.network = Some(NetworkSpec { interfaces: vec![clients.clone()], vrrp: None });
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    let addresses = stage.traffic.ip("-o addr show");
    for (text, there) in [
        ("10.30.0.5/24", false),
        ("2001:db8:3::5/64", false),
        ("192.0.2.5/24", true),
        ("192.0.2.6/24", true),
        ("203.0.113.9/24", true),
        ("192.0.2.10/32", true),
    ] {
        assert_eq!(addresses.contains(text), there, "{text} in {addresses}");
    }
    assert!(!has(&stage.traffic, "route show", "10.30.0.0/24"));
    let served = || (stage.far.within(|| get(vip)).as_deref() == Ok("192.0.2.5")).then_some(());
    eventually("by the member that is left", served);

    // Unplugged, plugged again under another name; its address is what counts.
    stage.unplug("eth1");
    amphora.heartbeat("the interface is missed", |beat| {
        beat.faults.iter().any(|fault| fault.code == ReasonCode::InterfaceMissing)
    });
    stage.plug("other", CLIENTS_MAC, CLIENTS);
    amphora.heartbeat("and missed no more", |beat| beat.faults.is_empty());
    eventually("as before", served);

    // What the kernel refuses is told of; the rest is done, and that, too, when it can be.
    let allow_v6 = |allowed: bool| {
        let refused = if allowed { "0" } else { "1" };
        let setting = "/proc/sys/net/ipv6/conf/other/disable_ipv6";
        stage.traffic.within(|| std::fs::write(setting, refused).unwrap());
    };
    allow_v6(false);
    let beat = amphora.heartbeat("IPv6 does not work", |beat| !beat.faults.is_empty());
    let [fault] = &beat.faults[..] else { panic!("{:?}", beat.faults) };
    assert_eq!(fault.address.to_string(), VIPS[1]);
    assert!(fault.text.starts_with("interface other: cannot add 2001:db8:1::5/64: "), "{}", fault.text);
    eventually("IPv4 does", served);
    allow_v6(true);
    amphora.heartbeat("both do", |beat| beat.faults.is_empty());

    // One VIP less.
    spec.generation += 1;
    spec.vips.pop();
    clients.vips.pop();
    spec.network = Some(NetworkSpec { interfaces: vec![clients], vrrp: None });
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    assert!(has(&stage.traffic, "addr show", VIPS[0]) && !has(&stage.traffic, "addr show", VIPS[1]));
    assert!(!has(&stage.traffic, "-6 rule show", VIPS[1]));

    // A spec that knows of no interfaces: they are nobody's any more.
    spec.generation += 1;
    spec.network = None;
    amphora.push(&spec).unwrap();
    let left = stage.traffic.ip("-o addr show dev other");
    assert!(!left.contains("192.0.2.") && left.contains("fe80::"), "{left}");
    assert!(
        !has(&stage.traffic, "rule show", "proto 79")
            && !has(&stage.traffic, "route show table all", "proto 79")
    );
}

/// An agent of the machine's own network does not touch interfaces, and says so.
#[test]
fn without_a_namespace_there_are_no_interfaces() {
    let amphora = Amphora::start();
    let mut spec = amphora.spec(amphora.free_port(), &[]);
    spec.network = Some(NetworkSpec::default());
    let fault = amphora.push(&spec).unwrap_err();
    assert_eq!(fault.http_code, 400);
    assert!(fault.error.contains("no namespace"), "{}", fault.error);
    let spec = AmphoraSpec { network: None, ..spec };
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    assert_eq!(amphora.info().amphora_id, amphora.id);
}
