//! A proxy takes over from another: under load of every kind, with its counters, health and clients' members; and fails
//! to, whereupon the old one goes on.

mod load;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use octavia_model::{HealthMonitorType, ListenerId, ListenerProtocol, PoolId, PoolProtocol};
use octavia_wire::{AmphoraSpec, Heartbeat, MemberWord, PersistenceSpec, ProcessId, files, paths};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use self::load::{Load, Stream};
use crate::amphora::{Amphora, eventually, signal};
use crate::fake;
use crate::member::{Member, get};
use crate::role::UNFIT;
use crate::spec::{listener, member, monitor};

impl Amphora {
    /// Has a new binary take over, and says which proxy did from which.
    #[track_caller]
    pub(crate) fn take_over(&self) -> (ProcessId, ProcessId) {
        let before = self.proxy().unwrap();
        signal(self.agent_pid(), Signal::USR2);
        eventually("another proxy has taken over", || {
            let now = self.proxy().filter(|now| *now != before)?;
            self.info().takeover.filter(|takeover| takeover.done).map(|_| (before, now))
        })
    }

    /// Files of proxies that are to take over or have stepped aside.
    fn other_sockets(&self) -> usize {
        let names = std::fs::read_dir(self.dir()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("proxy.sock.")).count()
    }
}

/// Connections of a listener that are open.
fn conns(beat: &Heartbeat, listener: ListenerId) -> Option<u64> {
    beat.listeners.get(&listener).map(|listener| listener.stats.conns)
}

/// An HTTP listener and one of TCP, with a pool of their own each.
fn two_listeners(amphora: &Amphora, http: &[SocketAddr], tcp: &[SocketAddr]) -> AmphoraSpec {
    let mut spec = amphora.spec(amphora.free_port(), http);
    let mut pool = spec.pools[0].clone();
    pool.id = PoolId::new_v4();
    pool.protocol = PoolProtocol::Tcp;
    pool.members = tcp.iter().map(|&address| member(address)).collect();
    let mut tcp = listener(amphora.free_port(), pool.id);
    tcp.protocol = ListenerProtocol::Tcp;
    spec.listeners.push(tcp);
    spec.pools.push(pool);
    spec
}

#[test]
fn nobody_notices() {
    let amphora = Amphora::start();
    let origins: Vec<_> = (0..2).map(|_| load::origin(amphora.ip)).collect();
    let mut spec = two_listeners(&amphora, &origins, &origins);
    amphora.push(&spec).unwrap();
    let boot = amphora.info().boot;
    let addresses = [0, 1].map(|n| SocketAddr::new(amphora.ip, spec.listeners[n].port));
    let load = Load::default();
    let mut streams: Vec<_> =
        addresses.iter().map(|&address| Stream::open(address, address == addresses[0])).collect();
    let (mut told, mut gone) = (BTreeMap::new(), vec![]);
    let clients: [fn(SocketAddr, &Load); 4] =
        [load::new_connections, load::kept_connection, load::idle_connection, load::http2];
    std::thread::scope(|scope| {
        let (load, amphora) = (&load, &amphora);
        let _stop = load.stop_at_the_end();
        for client in clients {
            scope.spawn(move || client(addresses[0], load));
        }
        for round in 0..4 {
            load.wait_for_traffic();
            // Changes come and go meanwhile.
            let mut changed = spec.clone();
            let pusher = scope.spawn(move || {
                for _ in 0..5 {
                    changed.generation += 1;
                    changed.pools[0].members[0].weight = 1 + (changed.generation % 3) as u16;
                    amphora.push(&changed).unwrap();
                }
                changed
            });
            gone.push(amphora.take_over().0);
            spec = pusher.join().unwrap();
            // Streams of all ages go on.
            streams.extend(addresses.iter().map(|&address| Stream::open(address, address == addresses[0])));
            streams.iter_mut().for_each(Stream::echo);
            amphora.forget_heartbeats();
            for _ in 0..3 {
                let beat = amphora.heartbeat("a beat", |beat| !beat.listeners.is_empty());
                assert_eq!(beat.boot, boot, "round {round}");
                for (id, listener) in beat.listeners {
                    let stats = (listener.stats.totconns, listener.stats.rx, listener.stats.tx);
                    let before = told.insert(id, stats).unwrap_or_default();
                    assert!(
                        before.0 <= stats.0 && before.1 <= stats.1 && before.2 <= stats.2,
                        "{before:?} {stats:?}"
                    );
                }
            }
        }
    });
    load.assert_good();
    // What is still open is counted as such, wherever it is.
    let http = spec.listeners[0].id;
    let open = streams.iter().filter(|stream| stream.is_upgraded).count() as u64;
    amphora.heartbeat("the streams alone are open", |beat| conns(beat, http) == Some(open));
    assert!(amphora.info().predecessors > 0);
    for mut stream in streams {
        stream.echo();
        stream.end();
    }
    eventually("nothing is left of the predecessors", || {
        (amphora.info().predecessors == 0 && amphora.other_sockets() == 0).then_some(())
    });
    for gone in gone {
        // The agent was another program when it started them, and is their parent all the same.
        assert!(!std::fs::exists(format!("/proc/{}", gone.pid)).unwrap());
    }
    // Each connection and request was counted, once.
    let beat = amphora.heartbeat("nothing is open", |beat| conns(beat, spec.listeners[1].id) == Some(0));
    let stats = beat.listeners[&http].stats;
    assert_eq!((stats.totconns, stats.ereq), (load.connections.load(SeqCst) + open, 0));
}

#[test]
fn health_and_clients_members_are_handed_over() {
    let amphora = Amphora::start();
    let members: Vec<_> = (0..3).map(|n| Member::start(amphora.ip, &format!("member {n}"))).collect();
    let dead = SocketAddr::new(amphora.ip, amphora.free_port());
    let addresses: Vec<_> = members.iter().map(|member| member.address).chain([dead]).collect();
    let mut spec = amphora.spec(amphora.free_port(), &addresses);
    spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity: None, timeout: 600 });
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Tcp));
    amphora.push(&spec).unwrap();
    let down = spec.pools[0].members[3].id;
    let words = |beat: &Heartbeat| beat.pools.values().next().map(|pool| pool.members.clone());
    let settled = amphora.heartbeat("all are checked", |beat| {
        words(beat)
            .is_some_and(|words| words.iter().all(|(id, word)| (*word == MemberWord::Down) == (*id == down)))
    });
    let words_before = words(&settled);
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    let ask = |n: u8| get_from(Ipv4Addr::new(127, 200, 7, n), vip);
    let seen: Vec<_> = (1..=10).map(ask).collect();
    for _ in 0..2 {
        amphora.forget_heartbeats();
        amphora.take_over();
        for _ in 0..4 {
            assert_eq!(words(&amphora.heartbeat("a beat", |beat| beat.generation.is_some())), words_before);
        }
        assert_eq!((1..=10).map(ask).collect::<Vec<_>>(), seen);
    }
}

/// A request from this address: the member's name.
fn get_from(source: Ipv4Addr, vip: SocketAddr) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&vip.into()).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Whatever a new proxy does at its start, the old one goes on and somebody is told why.
#[test]
fn a_proxy_that_cannot_take_over_changes_nothing() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    let (boot, proxy) = (amphora.info().boot, amphora.proxy());
    for (script, reason) in [
        ("hello die\n", "did not start"),
        ("hello rave\n", "did not start"),
        ("succession mistake\n", "does not take over"),
        ("succession die\n", "does not take over"),
        ("configure refuse\n", "refuses the spec: as I like"),
        ("configure die\n", "does not take over"),
        ("configure hang-up\n", "does not take over"),
    ] {
        std::fs::write(amphora.file(fake::SCRIPT), script).unwrap();
        signal(amphora.agent_pid(), Signal::USR2);
        eventually("the new one has done it", || {
            std::fs::read_to_string(amphora.file(fake::SCRIPT)).unwrap().is_empty().then_some(())
        });
        eventually(script, || {
            assert_eq!(get(vip).unwrap(), "one");
            let report = amphora.info().takeover?;
            assert!(!report.done);
            report.text.contains(reason).then_some(())
        });
        assert_eq!((amphora.info().boot, amphora.proxy()), (boot, proxy));
        eventually("the new one is gone", || {
            let pid = ProcessId::read(&amphora.file(&format!("{}{}", files::PROXY_PID, files::NEXT)));
            pid.unwrap().is_none_or(|id| !id.is_alive().unwrap()).then_some(())
        });
        amphora.push(&spec).unwrap();
        std::fs::remove_file(amphora.file(fake::SCRIPT)).unwrap();
    }
    amphora.take_over();
    assert_eq!(get(vip).unwrap(), "one");
    assert_eq!(amphora.info().boot, boot);
}

/// The agent becomes the new binary, too; who asks it something meanwhile is answered.
#[test]
fn an_agent_renews_itself() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let starts =
        || std::fs::read_to_string(amphora.file("agent.log")).unwrap().matches("running 1 test").count();
    let (pid, stop) = (amphora.agent_pid(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !stop.load(SeqCst) {
                if let Err(error) = amphora.try_request("GET", paths::INFO, b"") {
                    return Err(format!("{error} after {asked}"));
                }
                asked += 1;
            }
            Ok(asked)
        });
        for round in 2..5 {
            amphora.take_over();
            assert_eq!((amphora.agent_pid(), starts()), (pid, round));
            spec.generation += 1;
            amphora.push(&spec).unwrap();
        }
        stop.store(true, SeqCst);
        let asked = asking.join().unwrap();
        assert!(asked.as_ref().is_ok_and(|asked| *asked > 10), "{asked:?}");
    });
    // A binary of which the agent cannot be made: only the proxy is new.
    std::fs::write(amphora.file(UNFIT), "").unwrap();
    let before = amphora.proxy();
    signal(amphora.agent_pid(), Signal::USR2);
    eventually("it is told", || {
        amphora.info().takeover.filter(|takeover| takeover.text.contains("does not start")).map(drop)
    });
    assert_ne!(amphora.proxy(), before);
    assert_eq!((amphora.info().generation, starts()), (spec.generation, 4));
    assert_eq!(get((amphora.ip, spec.listeners[0].port).into()).unwrap(), "one");
    std::fs::remove_file(amphora.file(UNFIT)).unwrap();
    amphora.take_over();
    assert_eq!(starts(), 5);
}

/// A predecessor outlives its agent, too; the next one finds it, and counts what it does.
#[test]
fn an_agent_that_dies_forgets_no_predecessor() {
    let mut amphora = Amphora::start();
    let origin = load::origin(amphora.ip);
    let spec = two_listeners(&amphora, &[origin], &[origin]);
    amphora.push(&spec).unwrap();
    let tcp = (amphora.ip, spec.listeners[1].port).into();
    let mut stream = Stream::open(tcp, false);
    let (old, new) = amphora.take_over();
    amphora.kill_agent();
    stream.echo();
    amphora.start_agent();
    eventually("both are found", || (amphora.info().predecessors == 1).then_some(()));
    assert_eq!(amphora.proxy(), Some(new));
    amphora.heartbeat("it is counted", |beat| conns(beat, spec.listeners[1].id) == Some(1));
    stream.echo();
    stream.end();
    eventually("it is done", || (amphora.info().predecessors == 0 && !old.is_alive().unwrap()).then_some(()));
    amphora.heartbeat("it is counted", |beat| conns(beat, spec.listeners[1].id) == Some(0));
    // Both end with their amphora.
    let mut stream = Stream::open(tcp, false);
    let (old, new) = amphora.take_over();
    stream.echo();
    assert!(amphora.stop_agent().success());
    assert!(!old.is_alive().unwrap() && !new.is_alive().unwrap());
    assert_eq!(amphora.other_sockets(), 0);
}

/// What does not end by itself is cut in the end.
#[test]
fn the_limit_of_a_drain() {
    let mut amphora = Amphora::prepare();
    amphora.start_agent_with_limit(Duration::from_secs(2));
    let origin = load::origin(amphora.ip);
    let spec = two_listeners(&amphora, &[origin], &[origin]);
    amphora.push(&spec).unwrap();
    let mut stream = Stream::open((amphora.ip, spec.listeners[1].port).into(), false);
    let (old, _) = amphora.take_over();
    stream.echo();
    eventually("it is cut", || (!old.is_alive().unwrap()).then_some(()));
    stream.expect_end();
    eventually("it is forgotten", || (amphora.info().predecessors == 0).then_some(()));
    amphora.heartbeat("nothing is open", |beat| conns(beat, spec.listeners[1].id) == Some(0));
}

/// An address of a listener that is removed is free, though a predecessor had it.
#[test]
fn a_port_is_free_when_its_listener_is_gone() {
    let amphora = Amphora::start();
    let origin = load::origin(amphora.ip);
    let mut spec = two_listeners(&amphora, &[origin], &[origin]);
    let port = amphora.free_port();
    let mut udp = listener(port, spec.pools[1].id);
    udp.protocol = ListenerProtocol::Udp;
    let mut pool = spec.pools[1].clone();
    (pool.id, pool.protocol) = (PoolId::new_v4(), PoolProtocol::Udp);
    pool.members.clear();
    udp.default_pool = Some(pool.id);
    spec.pools.push(pool);
    spec.listeners.push(udp);
    amphora.push(&spec).unwrap();
    let ip: IpAddr = amphora.ip;
    let mut stream = Stream::open((ip, spec.listeners[1].port).into(), false);
    amphora.take_over();
    let gone = spec.listeners.split_off(1);
    spec.generation += 1;
    amphora.push(&spec).unwrap();
    std::net::TcpListener::bind((ip, gone[0].port)).unwrap();
    std::net::UdpSocket::bind((ip, port)).unwrap();
    stream.echo();
}
