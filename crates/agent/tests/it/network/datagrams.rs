//! UDP that the kernel forwards: to whom, and what disturbs it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use octavia_model::{Algorithm, HealthMonitorType, ListenerProtocol, PoolProtocol, ReasonCode};
use octavia_wire::{AmphoraSpec, Heartbeat, ListenerStats, MemberWord, NetworkSpec, PersistenceSpec};

use super::stage::{CLIENTS, MEMBERS, Place, Stage};
use super::{CLIENTS_MAC, MEMBERS_MAC, VIPS, amphora_on, to_clients, to_members};
use crate::amphora::{Amphora, eventually};
use crate::member::Member;
use crate::spec::monitor;

const PORT: u16 = 53;
/// The amphora's own addresses towards members.
pub(super) const OWN: [&str; 2] = ["10.30.0.5", "2001:db8:3::5"];
/// Nothing on the way takes longer, and whoever is not served says nothing.
const SILENCE: Duration = Duration::from_millis(300);

/// Answers its name and who asks, until dropped.
struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    fn start(place: &Place, ip: &str, name: &'static str) -> Self {
        Self::start_at(place, SocketAddr::new(ip.parse().unwrap(), 0), name)
    }

    fn start_at(place: &Place, address: SocketAddr, name: &'static str) -> Self {
        let socket = place.within(|| UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let mut datagram = [0; 64];
                if let Ok((_, from)) = socket.recv_from(&mut datagram) {
                    socket.send_to(format!("{name} {}", from.ip()).as_bytes(), from).unwrap();
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A client's socket: with the VIP it is one flow.
struct Flow(UdpSocket);

impl Flow {
    fn open(place: &Place, from: &str, vip: &str) -> Self {
        let vip = SocketAddr::new(vip.parse().unwrap(), PORT);
        let from: IpAddr = from.parse().unwrap();
        let socket = place.within(|| UdpSocket::bind((from, 0)).unwrap());
        socket.connect(vip).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        Self(socket)
    }

    /// Sends a datagram: who answers, and from where that was asked; or what went wrong.
    fn ask(&self) -> Result<(String, String), ErrorKind> {
        let ask = || {
            self.0.send(b"who?")?;
            let mut answer = [0; 64];
            let length = self.0.recv(&mut answer)?;
            Ok(String::from_utf8(answer[..length].to_vec()).unwrap())
        };
        let answer: String = ask().map_err(|error: std::io::Error| error.kind())?;
        let (name, asked_from) = answer.split_once(' ').unwrap();
        Ok((name.to_owned(), asked_from.to_owned()))
    }

    /// The same of one that is served; the first datagram may wait for neighbours to be found.
    #[track_caller]
    fn served(&self) -> (String, String) {
        let mut last = None;
        for _ in 0..10 {
            match self.ask() {
                Ok(answer) => return answer,
                Err(error) => last = Some(error),
            }
        }
        panic!("no answer: {last:?}")
    }

    #[track_caller]
    fn name(&self) -> String {
        self.served().0
    }
}

pub(super) const FAR: [&str; 2] = ["198.51.100.9", "2001:db8:2::9"];

/// New flows from far away: how many of them each member has.
#[track_caller]
fn dealt(stage: &Stage, family: usize, flows: usize) -> (Vec<Flow>, BTreeMap<String, usize>) {
    let flows: Vec<_> = (0..flows).map(|_| Flow::open(&stage.far, FAR[family], VIPS[family])).collect();
    let mut counts = BTreeMap::new();
    for flow in &flows {
        let (name, asked_from) = flow.served();
        assert_eq!(asked_from, OWN[family]);
        *counts.entry(name).or_default() += 1;
    }
    (flows, counts)
}

pub(super) fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// A listener of UDP, and members that are not checked, each with its weight.
fn spec(amphora: &Amphora, members: &[(&Echo, u16)]) -> AmphoraSpec {
    let addresses: Vec<_> = members.iter().map(|(member, _)| member.address).collect();
    let mut spec = amphora.spec(PORT, &addresses);
    spec.vips = VIPS.map(|vip| vip.parse().unwrap()).to_vec();
    spec.listeners[0].protocol = ListenerProtocol::Udp;
    spec.pools[0].protocol = PoolProtocol::Udp;
    for (member, (_, weight)) in spec.pools[0].members.iter_mut().zip(members) {
        member.weight = *weight;
    }
    spec.network = Some(NetworkSpec { interfaces: vec![to_clients(), to_members()], vrrp: None });
    spec
}

pub(super) fn plugged() -> Option<Stage> {
    let stage = Stage::build()?;
    stage.plug("eth1", CLIENTS_MAC, CLIENTS);
    stage.plug("eth2", MEMBERS_MAC, MEMBERS);
    Some(stage)
}

pub(super) fn nft(place: &Place, words: &str) -> String {
    let run = || std::process::Command::new("nft").args(words.split_whitespace()).output().unwrap();
    let output = place.within(run);
    assert!(output.status.success(), "nft {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn stats(beat: &Heartbeat, spec: &AmphoraSpec) -> Option<ListenerStats> {
    beat.listeners.get(&spec.listeners[0].id).map(|report| report.stats)
}

#[test]
fn members_get_their_share_and_keep_their_flows() {
    let Some(stage) = plugged() else { return };
    let v4 = ["a", "b", "c"].map(|name| Echo::start(&stage.members, "10.30.0.7", name));
    let v6 = ["x", "y"].map(|name| Echo::start(&stage.members, "2001:db8:3::7", name));
    let [a, b, c] = v4.each_ref();
    let mut amphora = amphora_on(&stage);
    let mut spec = spec(&amphora, &[(a, 3), (b, 1), (c, 0), (&v6[0], 1), (&v6[1], 1)]);
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    let (flows, counted) = dealt(&stage, 0, 16);
    assert_eq!(counted, counts(&[("a", 12), ("b", 4)]));
    let (flows_v6, counted) = dealt(&stage, 1, 8);
    assert_eq!(counted, counts(&[("x", 4), ("y", 4)]));
    // From next door, too, and nobody is told the way around.
    assert_eq!(Flow::open(&stage.fabric, "192.0.2.1", VIPS[0]).served().1, OWN[0]);

    // 25 flows: 4 bytes there, and more back, each with 28 or 48 of IP and UDP.
    let beat = amphora.heartbeat("what was forwarded is told", |beat| {
        stats(beat, &spec).is_some_and(|stats| (stats.totconns, stats.conns) == (25, 25))
    });
    let told = stats(&beat, &spec).unwrap();
    assert!(told.rx >= 17 * 32 + 8 * 52 && told.tx > told.rx, "{told:?}");

    let names = |flows: &[Flow]| flows.iter().map(Flow::name).collect::<Vec<_>>();
    let before = names(&flows);
    // b is drained, c comes.
    spec.generation += 1;
    spec.pools[0].members[1].weight = 0;
    spec.pools[0].members[2].weight = 3;
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    assert_eq!(names(&flows), before);
    assert_eq!(dealt(&stage, 0, 8).1, counts(&[("a", 4), ("c", 4)]));
    // Another listener comes and a goes: whoever was with b stays, whoever was with a goes elsewhere.
    spec.generation += 1;
    let mut other = spec.listeners[0].clone();
    (other.id, other.port) = (octavia_model::ListenerId::new_v4(), PORT + 1);
    spec.listeners.push(other);
    spec.pools[0].members.remove(0);
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    let moved: Vec<_> = before.iter().map(|name| if name == "a" { "c" } else { name.as_str() }).collect();
    assert_eq!(names(&flows), moved);
    assert_eq!(names(&flows_v6), ["x", "y"].repeat(4));

    // Who serves without the proxy, without the agent, and with new ones.
    let moved = names(&flows);
    amphora.kill_proxy();
    assert_eq!(names(&flows), moved);
    amphora.kill_agent();
    assert_eq!(names(&flows), moved);
    assert_eq!(dealt(&stage, 0, 2).1, counts(&[("c", 2)]));
    let ruleset = nft(&stage.traffic, "list table inet octavia");
    amphora.forget_heartbeats();
    amphora.start_agent();
    let beat = amphora.heartbeat("flows are counted", |beat| stats(beat, &spec).is_some());
    assert!(stats(&beat, &spec).unwrap().totconns < 25, "with the boot of the proxy");
    assert_eq!(names(&flows), moved);

    // What others do to the rules is undone; nothing of theirs is.
    nft(&stage.traffic, "add table inet others");
    nft(&stage.traffic, "delete table inet octavia");
    eventually("the rules are there again", || {
        nft(&stage.traffic, "list ruleset").contains("table inet octavia").then_some(())
    });
    let again = nft(&stage.traffic, "list table inet octavia");
    let rules = |ruleset: &str| ruleset.lines().filter(|line| line.contains("dnat")).count();
    assert_eq!(rules(&again), rules(&ruleset));
    assert_eq!(names(&flows), moved);

    // Without listeners the namespace forwards nothing.
    spec.generation += 1;
    spec.listeners.clear();
    spec.pools.clear();
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    assert_eq!(nft(&stage.traffic, "list tables").trim(), "table inet others");
    let forwarding = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(stage.traffic.within(forwarding), "0\n");
    eventually("nobody is there", || (flows[0].ask() == Err(ErrorKind::ConnectionRefused)).then_some(()));
}

#[test]
fn who_is_let_in_and_who_is_remembered() {
    let Some(stage) = plugged() else { return };
    stage.far.ip("addr add 198.51.100.10/24 dev far0");
    let members = ["a", "b"].map(|name| Echo::start(&stage.members, "10.30.0.7", name));
    let [a, b] = members.each_ref();
    let mut amphora = amphora_on(&stage);
    let mut spec = spec(&amphora, &[(a, 1), (b, 1)]);
    spec.pools[0].persistence =
        Some(PersistenceSpec::SourceIp { granularity: Some([255, 255, 255, 0].into()), timeout: 360 });
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    let name = |place: &Place, from: &str| Flow::open(place, from, VIPS[0]).name();
    let far = name(&stage.far, FAR[0]);
    let near = name(&stage.fabric, "192.0.2.1");
    assert_ne!(far, near, "in turn");
    for _ in 0..3 {
        assert_eq!(name(&stage.far, "198.51.100.10"), far, "of the same network");
        assert_eq!(name(&stage.fabric, "192.0.2.1"), near);
    }
    // They come back though their member is drained, others are not sent there, and an agent that is new knows it, too.
    spec.generation += 1;
    let place = if far == "a" { 0 } else { 1 };
    spec.pools[0].members[place].weight = 0;
    amphora.push(&spec).unwrap();
    amphora.kill_agent();
    amphora.forget_heartbeats();
    amphora.start_agent();
    amphora.heartbeat("it forwards", |beat| stats(beat, &spec).is_some());
    assert_eq!(name(&stage.far, FAR[0]), far);
    assert_eq!(name(&stage.fabric, "192.0.2.1"), near);
    // In maintenance nobody is with it; whoever was sent elsewhere stays there.
    spec.generation += 1;
    spec.pools[0].members[place].enabled = false;
    amphora.push(&spec).unwrap();
    assert_eq!(name(&stage.far, FAR[0]), near);
    spec.generation += 1;
    (spec.pools[0].members[place].enabled, spec.pools[0].members[place].weight) = (true, 1);
    amphora.push(&spec).unwrap();
    assert_eq!(name(&stage.far, FAR[0]), near);

    // By a hash of the address: whoever it is meets the same one, and without a table.
    spec.generation += 1;
    spec.pools[0].persistence = None;
    spec.pools[0].algorithm = Algorithm::SourceIp;
    amphora.push(&spec).unwrap();
    let first = name(&stage.far, FAR[0]);
    assert!((0..6).all(|_| name(&stage.far, FAR[0]) == first));
    spec.generation += 1;
    spec.pools[0].algorithm = Algorithm::SourceIpPort;
    amphora.push(&spec).unwrap();
    let (_, counted) = dealt(&stage, 0, 32);
    assert_eq!(counted.len(), 2, "{counted:?}");

    // Only so many at once.
    spec.generation += 1;
    spec.listeners[0].port += 1;
    amphora.push(&spec).unwrap();
    spec.generation += 1;
    spec.listeners[0].port -= 1;
    spec.listeners[0].connection_limit = Some(3);
    amphora.push(&spec).unwrap();
    let (held, _) = dealt(&stage, 0, 3);
    assert_eq!(Flow::open(&stage.far, FAR[0], VIPS[0]).ask(), Err(ErrorKind::WouldBlock));
    assert!(held.iter().all(|flow| !flow.name().is_empty()));
    amphora.heartbeat("it is full", |beat| {
        beat.listeners.values().any(|report| report.status == octavia_wire::ListenerWord::Full)
    });

    // Only from there; whose flow is open already is shut out, too.
    spec.generation += 1;
    spec.listeners[0].connection_limit = None;
    spec.listeners[0].allowed_cidrs = vec!["192.0.2.0/24".parse().unwrap(), "192.0.2.0/25".parse().unwrap()];
    amphora.push(&spec).unwrap();
    assert_eq!(held[0].ask(), Err(ErrorKind::WouldBlock));
    let _ = name(&stage.fabric, "192.0.2.1");

    // Nobody there: it is said.
    spec.generation += 1;
    spec.pools[0].members.clear();
    amphora.push(&spec).unwrap();
    eventually("it is refused", || {
        let asked = Flow::open(&stage.fabric, "192.0.2.1", VIPS[0]).ask();
        (asked == Err(ErrorKind::ConnectionRefused)).then_some(())
    });
}

#[test]
fn flows_leave_members_that_are_down() {
    let Some(stage) = plugged() else { return };
    for kind in [HealthMonitorType::UdpConnect, HealthMonitorType::Tcp] {
        let mut members = ["a", "b"].map(|name| Some(Echo::start(&stage.members, "10.30.0.7", name)));
        let addresses = members.each_ref().map(|member| member.as_ref().unwrap().address);
        // For the checks of TCP.
        let mut tcp = addresses.map(|at| Some(stage.members.within(|| Member::start_at(at, "tcp"))));
        let amphora = amphora_on(&stage);
        let echoes = members.each_ref().map(|member| (member.as_ref().unwrap(), 1));
        let mut spec = spec(&amphora, &echoes);
        spec.pools[0].monitor = Some(monitor(kind));
        spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity: None, timeout: 360 });
        assert_eq!(amphora.push(&spec).unwrap().faults, []);
        let flow = Flow::open(&stage.far, FAR[0], VIPS[0]);
        let first = flow.name();
        let place = if first == "a" { 0 } else { 1 };
        match kind {
            HealthMonitorType::Tcp => drop(tcp[place].take()),
            _ => drop(members[place].take()),
        }
        let word = |beat: &Heartbeat| {
            let words = beat.pools.values().flat_map(|pool| &pool.members);
            words.filter(|(_, word)| **word == MemberWord::Down).count()
        };
        amphora.heartbeat("one is down", |beat| word(beat) == 1);
        // The rules were changed before it was told.
        let second = flow.name();
        assert_ne!(first, second, "{kind}");
        assert_eq!(Flow::open(&stage.far, FAR[0], VIPS[0]).name(), second);

        let at = addresses[place];
        match kind {
            HealthMonitorType::Tcp => tcp[place] = Some(stage.members.within(|| Member::start_at(at, "tcp"))),
            _ => {
                members[place] = Some(Echo::start_at(&stage.members, at, if place == 0 { "a" } else { "b" }))
            }
        }
        amphora.heartbeat("both are up", |beat| !beat.pools.is_empty() && word(beat) == 0);
        assert_eq!(flow.name(), second, "what goes well stays");
        let near = Flow::open(&stage.fabric, "192.0.2.1", VIPS[0]).name();
        let nearer = Flow::open(&stage.fabric, "192.0.2.1", VIPS[0]).name();
        assert_eq!(near, nearer);
    }
}

/// An image without `nft` says so, and serves what needs none.
#[test]
fn without_nft_it_is_said() {
    let Some(stage) = plugged() else { return };
    let member = stage.members.within(|| Member::start("10.30.0.7".parse().unwrap(), "tcp"));
    let echo = Echo::start(&stage.members, "10.30.0.7", "a");
    let mut amphora = Amphora::prepare();
    amphora.traffic = Some(stage.traffic.path());
    let deaf = amphora.dir().join("nft");
    std::fs::write(&deaf, "#!/bin/sh\necho it is broken >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&deaf, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    amphora.start_agent_on_path(amphora.dir().to_owned().as_path());
    let mut spec = spec(&amphora, &[(&echo, 1)]);
    let http = amphora.spec(80, &[member.address]);
    spec.listeners.extend(http.listeners);
    spec.pools.extend(http.pools);
    let faults = amphora.push(&spec).unwrap().faults;
    let told: Vec<_> = faults.iter().map(|fault| (fault.code, fault.address.to_string())).collect();
    assert_eq!(told, VIPS.map(|vip| (ReasonCode::NotForwarded, vip.to_owned())));
    assert!(faults[0].text.contains("it is broken"), "{}", faults[0].text);
    let beat = amphora.heartbeat("it is told", |beat| beat.faults.len() == 2 && !beat.listeners.is_empty());
    assert_eq!(stats(&beat, &spec), None);
    let web = SocketAddr::new(VIPS[0].parse().unwrap(), 80);
    eventually("the other listener serves", || stage.far.within(|| crate::member::get(web)).ok());
    // It is mended.
    std::fs::remove_file(&deaf).unwrap();
    amphora.heartbeat("no faults", |beat| beat.faults.is_empty() && stats(beat, &spec).is_some());
    assert_eq!(Flow::open(&stage.far, FAR[0], VIPS[0]).name(), "a");
}
