//! The prober against members that behave well, badly and with malice.

mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use octavia_model::{
    Algorithm, AmphoraId, HealthMonitorId, HttpMethod, LoadBalancerId, PoolId, PoolProtocol,
};
use octavia_wire::{AmphoraSpec, HttpCheck, MemberSpec, MonitorSpec, PoolSpec, WIRE_VERSION};
use rustix::event::epoll::Event;

use super::*;
use crate::sys;

const PATIENCE: Duration = Duration::from_secs(60);

fn spec(kind: HealthMonitorType, address: SocketAddr, fall: u8) -> AmphoraSpec {
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: AmphoraId::nil(),
        load_balancer_id: LoadBalancerId::nil(),
        generation: 1,
        fence: 1,
        vips: vec![],
        listeners: vec![],
        pools: vec![PoolSpec {
            id: PoolId::nil(),
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members: vec![MemberSpec {
                id: MemberId::nil(),
                address: address.ip(),
                port: address.port(),
                weight: 1,
                backup: false,
                enabled: true,
                monitor_address: None,
                monitor_port: None,
            }],
            monitor: Some(MonitorSpec {
                id: HealthMonitorId::nil(),
                kind,
                delay: 1,
                timeout: 1,
                rise: 1,
                fall,
                http: kind.is_http().then(|| HttpCheck {
                    method: HttpMethod::Get,
                    path: "/".to_owned(),
                    http11: true,
                    host: None,
                    expected: vec![(200, 200)],
                }),
            }),
            tls: None,
        }],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}

/// For what is not about the time a check may take: as much of it as a busy machine wants.
fn patient(mut spec: AmphoraSpec) -> AmphoraSpec {
    spec.pools[0].monitor.as_mut().unwrap().timeout = 30;
    spec
}

/// A prober and the loop it lives on.
struct Rig {
    epoll: Arc<OwnedFd>,
    registry: Arc<Registry>,
    prober: Prober,
}

impl Rig {
    fn new() -> Self {
        let epoll = Arc::new(sys::epoll().unwrap());
        let registry = Arc::new(Registry::new(1).unwrap());
        let prober = Prober::new(Arc::clone(&epoll), Arc::clone(&registry), Ping::open(7), Sctp::open(7));
        let prober = prober.unwrap();
        Self { epoll, registry, prober }
    }

    fn configure(&mut self, spec: &AmphoraSpec) -> Snapshot {
        let snapshot = Snapshot::compile(spec, &self.registry).unwrap();
        self.prober.configure(&snapshot, sys::now());
        snapshot
    }

    /// Runs until so many checks are concluded since the start.
    fn run(&mut self, checks: u64) {
        let deadline = Instant::now() + PATIENCE;
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 8];
        while self.prober.next_token - FIRST_TOKEN < checks + self.prober.in_flight.len() as u64 {
            let timeout = self.prober.next_wake().map(|wake| wake.saturating_sub(sys::now()));
            let count = sys::epoll_wait(&self.epoll, &mut events, timeout).unwrap();
            for event in &events[..count] {
                self.prober.ready(event.data.u64(), sys::now());
            }
            self.prober.tick(sys::now());
            assert!(Instant::now() < deadline, "not {checks} checks in {PATIENCE:?}");
        }
    }

    fn seen(&self) -> (Health, Option<String>) {
        let member = self.registry.member(MemberId::nil());
        (member.health(), member.check())
    }
}

/// A member that does this with each connection.
fn member(behave: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || behave(stream));
        }
    });
    address
}

fn silent(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut vec![]);
}

fn rude(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

fn endless(mut stream: TcpStream) {
    while stream.write_all(b"HTTP/1.1 ").is_ok() {}
}

fn good(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    // In pieces, and without an end: the status is enough.
    for piece in ["HTT", "P/1.1 2", "00 OK\r\nX: ", "y"] {
        let _ = stream.write_all(piece.as_bytes());
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = stream.read_to_end(&mut vec![]);
}

fn early(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
    let _ = stream.read_to_end(&mut vec![]);
}

fn sick(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(b"HTTP/1.1 503 No\r\n\r\n");
}

fn ssh(mut stream: TcpStream) {
    let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n");
    let _ = stream.read_to_end(&mut vec![]);
}

fn alert(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]);
}

fn hello(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    // The rest of the record never comes.
    let _ = stream.write_all(&[22, 3, 3, 0x40, 0, 2, 0, 0]);
    let _ = stream.read_to_end(&mut vec![]);
}

fn false_records(mut stream: TcpStream) {
    while stream.write_all(&[22, 3, 3, 0, 1, 0]).is_ok() {}
}

#[test]
fn members_of_every_kind() {
    use HealthMonitorType::{Http, Https, Tcp, TlsHello};

    type Case = (HealthMonitorType, fn(TcpStream), Result<(), &'static str>);
    let cases: [Case; 22] = [
        (Tcp, silent, Ok(())),
        (Tcp, rude, Ok(())),
        (Tcp, endless, Ok(())),
        (Http, good, Ok(())),
        (Http, early, Ok(())),
        (Http, sick, Err("HTTP status 503")),
        (Http, silent, Err("no answer in time")),
        (Http, rude, Err("closed without")),
        (Http, endless, Err("not HTTP")),
        (Http, ssh, Err("not HTTP")),
        (Http, hello, Err("not HTTP")),
        (TlsHello, hello, Ok(())),
        (TlsHello, alert, Err("TLS alert 40")),
        (TlsHello, silent, Err("no answer in time")),
        (TlsHello, rude, Err("closed without")),
        (TlsHello, good, Err("not TLS")),
        (TlsHello, ssh, Err("not TLS")),
        (Https, silent, Err("no answer in time")),
        (Https, rude, Err("closed without")),
        (Https, good, Err("TLS: ")),
        (Https, alert, Err("TLS: ")),
        (Https, false_records, Err("TLS: ")),
    ];
    for (at, (kind, behave, expected)) in cases.into_iter().enumerate() {
        let mut rig = Rig::new();
        let spec = spec(kind, member(behave), 1);
        let spec = if expected == Err("no answer in time") { spec } else { patient(spec) };
        let _snapshot = rig.configure(&spec);
        assert_eq!(rig.seen().0, Health::Up, "taken for good until checked");
        rig.run(1);
        let (health, text) = rig.seen();
        match expected {
            Ok(()) => assert_eq!((health, text), (Health::Up, None), "case {at}: {kind}"),
            Err(expected) => {
                assert_eq!(health, Health::Down, "case {at}: {kind}");
                let text = text.unwrap();
                assert!(text.contains(expected), "case {at}: {kind}: {text}");
            }
        }
    }
}

#[test]
fn nobody_there_is_refused_at_once() {
    let address = "127.0.0.1:1".parse().unwrap();
    use HealthMonitorType::{Http, Https, Tcp, UdpConnect};
    for kind in [Tcp, Http, Https, UdpConnect] {
        let mut rig = Rig::new();
        let started = Instant::now();
        let _snapshot = rig.configure(&patient(spec(kind, address, 3)));
        rig.run(1);
        assert!(started.elapsed() < Duration::from_secs(20), "sooner than the timeout");
        assert_eq!(rig.seen(), (Health::Down, Some("connection refused".to_owned())));
    }
}

/// Only the word that nobody is there speaks against a member.
#[test]
fn members_that_take_datagrams() {
    for (answer, least) in [(Some(&b"here"[..]), 0), (Some(b""), 0), (None, SILENCE_MS - 100)] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (n, from) = socket.recv_from(&mut [0; 64]).unwrap();
            if let Some(answer) = answer {
                socket.send_to(answer, from).unwrap();
            }
            // Open until the check is over.
            (n, socket)
        });
        let mut rig = Rig::new();
        let _snapshot = rig.configure(&patient(spec(HealthMonitorType::UdpConnect, address, 1)));
        while rig.prober.in_flight.is_empty() {
            rig.prober.tick(sys::now());
        }
        let started = sys::now();
        rig.run(1);
        let took = sys::now() - started;
        assert_eq!(rig.seen(), (Health::Up, None));
        let (n, _socket) = thread.join().unwrap();
        assert_eq!(n, 0, "nothing is said that could be taken for a question");
        assert!(took >= least && took < 20_000, "{took} ms for {answer:?}: sooner than the timeout");
    }
}

#[test]
fn a_place_on_the_scale_survives_what_leaves_the_monitor_alone() {
    let address = member(early);
    let mut rig = Rig::new();
    let mut spec = patient(spec(HealthMonitorType::Http, address, 2));
    let _first = rig.configure(&spec);
    rig.run(1);
    let machine = rig.prober.probes[&MemberId::nil()].machine;
    assert!(machine.is_well());
    spec.generation = 2;
    spec.pools[0].members[0].weight = 9;
    let _second = rig.configure(&spec);
    assert_eq!(rig.prober.probes[&MemberId::nil()].machine, machine);
    // Another monitor: checked anew, but it stays what it was until then.
    spec.pools[0].monitor.as_mut().unwrap().fall = 3;
    let _third = rig.configure(&spec);
    assert_ne!(rig.prober.probes[&MemberId::nil()].machine, machine);
    assert_eq!(rig.seen().0, Health::Up);
    // In maintenance, or without a monitor, nobody is checked, and nothing is left behind.
    spec.pools[0].members[0].enabled = false;
    let _fourth = rig.configure(&spec);
    assert_eq!(rig.seen(), (Health::NoCheck, None));
    assert!(rig.prober.probes.is_empty() && rig.prober.wakes.is_empty() && rig.prober.in_flight.is_empty());
    assert_eq!(rig.prober.next_wake(), None);
}

#[test]
fn a_new_configuration_may_come_in_the_middle_of_a_check() {
    let mut rig = Rig::new();
    let mut spec = spec(HealthMonitorType::Http, member(silent), 1);
    let _first = rig.configure(&spec);
    while rig.prober.in_flight.is_empty() {
        rig.prober.tick(sys::now());
    }
    spec.generation = 2;
    let _second = rig.configure(&spec);
    assert_eq!(rig.prober.in_flight.len(), 1, "it goes on");
    rig.run(1);
    assert_eq!(rig.seen().0, Health::Down);
    spec.pools[0].members.clear();
    while rig.prober.in_flight.is_empty() {
        rig.prober.tick(sys::now());
    }
    let _third = rig.configure(&spec);
    assert!(rig.prober.in_flight.is_empty() && rig.prober.wakes.is_empty());
}

#[test]
fn what_this_process_lacks_is_not_the_members_fault() {
    for (error, expected) in [
        (Errno::MFILE, None),
        (Errno::NFILE, None),
        (Errno::NOBUFS, None),
        (Errno::NOMEM, None),
        (Errno::AGAIN, None),
        (Errno::NETUNREACH, Some("network unreachable")),
        (Errno::HOSTUNREACH, Some("host unreachable")),
    ] {
        let verdict = match NotStarted::from(error) {
            NotStarted::Verdict(text) => Some(text),
            NotStarted::Unable(same) => {
                assert_eq!(same, error);
                None
            }
        };
        assert_eq!(verdict.as_deref(), expected);
    }
    let mut rig = Rig::new();
    let _snapshot = rig.configure(&patient(spec(HealthMonitorType::Tcp, member(silent), 1)));
    let now = sys::now();
    rig.prober.postpone(MemberId::nil(), Errno::MFILE, now);
    assert_eq!(rig.seen(), (Health::Up, None));
    assert!(
        rig.prober.next_wake().is_some_and(|wake| wake > now && wake <= now + 1000),
        "it is checked again"
    );
    rig.run(1);
    assert_eq!(rig.seen(), (Health::Up, None));
}

/// Answers a request that comes after this, and nothing else.
fn answer_after(mut stream: TcpStream, before: &[u8]) {
    let mut seen = vec![0; before.len() + 4];
    if stream.read_exact(&mut seen).is_ok() && seen == [before, b"GET "].concat() {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    }
}

fn wants_line(stream: TcpStream) {
    let (peer, local) = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", peer.port(), local.port());
    answer_after(stream, line.as_bytes());
}

fn wants_binary(stream: TcpStream) {
    answer_after(stream, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
}

fn wants_nothing(stream: TcpStream) {
    answer_after(stream, b"");
}

#[test]
fn members_are_told_that_it_is_a_check() {
    use PoolProtocol::{Http, Proxy, ProxyV2};
    let [line, binary, nothing] = [wants_line, wants_binary, wants_nothing].map(member);
    for (protocol, checked, expected) in [
        (Proxy, line, Health::Up),
        (ProxyV2, binary, Health::Up),
        (Http, nothing, Health::Up),
        (Proxy, binary, Health::Down),
        (ProxyV2, nothing, Health::Down),
        (Http, line, Health::Down),
    ] {
        let mut rig = Rig::new();
        let mut spec = spec(HealthMonitorType::Http, checked, 1);
        if expected == Health::Up {
            spec = patient(spec);
        }
        spec.pools[0].protocol = protocol;
        rig.configure(&spec);
        rig.run(1);
        assert_eq!(rig.seen().0, expected, "{protocol} {:?}", rig.seen());
        // Checks that go elsewhere say nothing, as with HAProxy.
        let mut rig = Rig::new();
        let mut spec = patient(spec);
        spec.pools[0].members[0].monitor_port = Some(nothing.port());
        spec.pools[0].members[0].port = 1;
        rig.configure(&spec);
        rig.run(1);
        assert_eq!(rig.seen(), (Health::Up, None), "{protocol}");
    }
}
