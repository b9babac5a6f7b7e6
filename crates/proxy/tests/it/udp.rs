//! Datagrams through a VIP: who gets them, how answers come back, what becomes of sessions.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use octavia_model::{Algorithm, ListenerProtocol, PoolProtocol, Transport};
use octavia_proxy::{Engine, Health, ListenerState, UdpBounds, listen};
use octavia_wire::{AmphoraSpec, PersistenceSpec, SocketName};

use crate::rig::{Origin, Rig, member, spec, until};

/// The longest datagram there is over IPv4.
const LONGEST: usize = 65_507;
const PATIENCE: Duration = Duration::from_secs(10);
const BOUNDS: UdpBounds = UdpBounds { sessions: 4_096, timeout: Duration::from_secs(300) };

/// A member that answers each datagram with its name and what it was sent.
struct Echo {
    address: SocketAddr,
    got: Arc<AtomicUsize>,
    /// Says nothing.
    mute: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    fn start(name: u8) -> Self {
        Self::start_at(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn start_at(name: u8, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let (got, mute, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let (count, silent, ended) = (Arc::clone(&got), Arc::clone(&mute), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !ended.load(SeqCst) {
                let Ok((n, from)) = socket.recv_from(&mut buffer[1..]) else { continue };
                count.fetch_add(1, SeqCst);
                buffer[0] = name;
                // One without room for the name comes back as it is.
                let answer = if n == LONGEST { &buffer[1..=n] } else { &buffer[..=n] };
                if !silent.load(SeqCst) {
                    let _ = socket.send_to(answer, from);
                }
            }
        });
        Self { address, got, mute, stop, thread: Some(thread) }
    }

    fn got(&self) -> usize {
        self.got.load(SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn echoes(count: u8) -> Vec<Echo> {
    (0..count).map(|n| Echo::start(b'a' + n)).collect()
}

/// An address that no other test process uses, nor any test of TCP: ports of 127.0.0.1 come and go.
fn vip(net: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, net, high, low)
}

/// An engine with one UDP listener over these members.
fn rig(members: &[Echo], bounds: UdpBounds, tune: impl FnOnce(&mut AmphoraSpec)) -> Rig {
    let engine = Engine::start(2).unwrap().with_udp_bounds(bounds);
    let fd = listen::bind_datagram(SocketAddr::from((vip(98), 0))).unwrap();
    let address = socket2::SockRef::from(&fd).local_addr().unwrap().as_socket().unwrap();
    let mut spec = spec(ListenerProtocol::Udp, address.port(), &[]);
    spec.vips = vec![address.ip()];
    spec.pools[0].protocol = PoolProtocol::Udp;
    spec.pools[0].members = members.iter().map(|echo| member(echo.address)).collect();
    tune(&mut spec);
    let name = SocketName { listener: spec.listeners[0].id, address, index: 0, transport: Transport::Udp };
    assert_eq!(listen::socket_names(&spec, 2), [name]);
    let rig = Rig { engine, spec, address };
    rig.engine.configure(rig.compile(), vec![(name, fd)], &[]).unwrap();
    rig
}

/// A client with a port of its own, which hears the VIP alone.
struct Client {
    socket: UdpSocket,
    asked: Cell<u8>,
}

impl Client {
    fn new(rig: &Rig) -> Self {
        Self::at(rig, Ipv4Addr::LOCALHOST)
    }

    fn at(rig: &Rig, address: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(rig.address).unwrap();
        Self { socket, asked: Cell::new(0) }
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send(bytes).unwrap();
    }

    fn hear(&self, patience: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let n = self.socket.recv(&mut buffer).ok()?;
        buffer.truncate(n);
        Some(buffer)
    }

    /// Who answers what is asked now.
    fn try_ask(&self, patience: Duration) -> Option<u8> {
        let number = self.asked.get().wrapping_add(1);
        self.asked.set(number);
        self.send(&[number]);
        loop {
            // Others are late answers to questions before.
            match self.hear(patience)?[..] {
                [who, n] if n == number => return Some(who),
                _ => {}
            }
        }
    }

    fn ask(&self) -> u8 {
        self.try_ask(PATIENCE).expect("an answer")
    }

    /// Asks until this one answers: what is sent to one that is gone is lost.
    fn ask_until(&self, who: u8) {
        until("it answers", || self.try_ask(Duration::from_millis(50)) == Some(who));
    }
}

/// Waits until all that clients have sent so far is in the relay's hands.
fn taken(rig: &Rig) {
    let socket = UdpSocket::from(rig.engine.sockets()[0].1.try_clone().unwrap());
    until("all is taken", || socket.peek_from(&mut [0]).is_err());
}

fn listener(rig: &Rig) -> Arc<ListenerState> {
    rig.engine.registry().listener(rig.spec.listeners[0].id)
}

#[test]
fn new_clients_are_spread_by_weight() {
    use Algorithm::{LeastConnections, RoundRobin, SourceIp, SourceIpPort};
    for (algorithm, weights, expected) in [
        (RoundRobin, [1, 1, 1], Some([20, 20, 20])),
        (RoundRobin, [4, 1, 1], Some([40, 10, 10])),
        (RoundRobin, [1, 0, 1], Some([30, 0, 30])),
        (LeastConnections, [1, 1, 1], Some([20, 20, 20])),
        (LeastConnections, [2, 1, 1], Some([30, 15, 15])),
        // All of one address.
        (SourceIp, [1, 1, 1], None),
        (SourceIpPort, [0, 0, 1], Some([0, 0, 60])),
    ] {
        let members = echoes(3);
        let rig = rig(&members, BOUNDS, |spec| {
            spec.pools[0].algorithm = algorithm;
            for (member, weight) in spec.pools[0].members.iter_mut().zip(weights) {
                member.weight = weight;
            }
        });
        let clients: Vec<_> = (0..60).map(|_| Client::new(&rig)).collect();
        let mut counts = BTreeMap::from([(b'a', 0), (b'b', 0), (b'c', 0)]);
        for client in &clients {
            let who = client.ask();
            *counts.entry(who).or_default() += 1;
            assert_eq!(client.ask(), who, "a session stays with its member");
        }
        let counts: Vec<_> = counts.into_values().collect();
        match expected {
            Some(expected) => assert_eq!(counts, expected, "{algorithm} {weights:?}"),
            None => assert!(counts.contains(&60), "{algorithm}: {counts:?}"),
        }
        let stats = rig.stats();
        assert_eq!((stats.conns, stats.totconns, stats.ereq), (60, 60, 0));
        until("every byte is counted", || (rig.stats().rx, rig.stats().tx) == (120, 240));
        for (place, count) in counts.iter().enumerate() {
            let state = rig.member_state(place);
            assert_eq!((state.active(), state.total_connections(), state.errors()), (*count, *count, 0));
        }
    }
}

#[test]
fn datagrams_of_every_size_come_through_whole() {
    let members = echoes(1);
    let rig = rig(&members, BOUNDS, |_| {});
    let client = Client::new(&rig);
    for length in [0, 1, 2, 508, 1_472, 1_473, 9_000, LONGEST - 1, LONGEST, 0] {
        let sent: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        client.send(&sent);
        let answer = client.hear(PATIENCE).expect("an answer");
        if length == LONGEST {
            assert!(answer == sent, "{length}");
        } else {
            assert!(answer[0] == b'a' && answer[1..] == sent, "{length}");
        }
    }
    assert_eq!(rig.stats().totconns, 1);
}

/// Where IPVS could not lead.
#[test]
fn a_member_of_the_other_ip_version() {
    let members = [Echo::start_at(b'a', SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))];
    let rig = rig(&members, BOUNDS, |_| {});
    assert_eq!(Client::new(&rig).ask(), b'a');
}

/// The clients are connected, so the kernel hands them nothing that comes from elsewhere.
#[test]
fn answers_come_from_where_questions_went() {
    let members = echoes(2);
    let mut rig = rig(&members, BOUNDS, |_| {});
    // Another VIP with the same port: each answers for itself.
    let second = SocketAddr::from((vip(97), rig.address.port()));
    let fd = listen::bind_datagram(second).unwrap();
    rig.spec.vips.push(second.ip());
    let names: Vec<_> = rig.engine.sockets().into_iter().map(|(name, _)| name).collect();
    let name = SocketName { address: second, ..names[0] };
    rig.engine.configure(rig.compile(), vec![(name, fd)], &names).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for vip in [rig.address, second, rig.address] {
        socket.send_to(b"x", vip).unwrap();
        assert_eq!(socket.recv_from(&mut [0; 8]).unwrap().1, vip);
    }
    assert_eq!(rig.stats().totconns, 2, "one client, two sessions");
}

#[test]
fn clients_come_back_by_address() {
    let members = echoes(3);
    let sticky = |granularity: Option<IpAddr>, timeout| {
        move |spec: &mut AmphoraSpec| {
            spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity, timeout });
        }
    };
    let clients = |rig: &Rig| {
        let at = |last| Client::at(rig, Ipv4Addr::new(127, 0, 0, last)).ask();
        (1..=3).cycle().take(12).map(at).collect::<Vec<_>>()
    };
    let told = clients(&rig(&members, BOUNDS, sticky(None, 360)));
    assert_eq!(told, b"abc".repeat(4));
    let mask = IpAddr::from([255, 255, 255, 0]);
    let told = clients(&rig(&members, BOUNDS, sticky(Some(mask), 360)));
    assert_eq!(told, b"a".repeat(12));
    // For as long as it has a session that goes on, it is not forgotten.
    let rig = rig(&members, BOUNDS, sticky(None, 2));
    let (client, started) = (Client::new(&rig), Instant::now());
    while started.elapsed() < Duration::from_secs(3) {
        assert_eq!(client.ask(), b'a');
    }
    assert_eq!(Client::new(&rig).ask(), b'a');
}

#[test]
fn sessions_end_when_they_are_silent() {
    let members = echoes(2);
    let rig = rig(&members, UdpBounds { timeout: Duration::from_millis(300), ..BOUNDS }, |_| {});
    let (one, other) = (Client::new(&rig), Client::new(&rig));
    assert_eq!((one.ask(), other.ask()), (b'a', b'b'));
    assert_eq!(rig.stats().conns, 2);
    until("both are gone", || rig.stats().conns == 0);
    assert_eq!((rig.member_state(0).active(), rig.member_state(1).active()), (0, 0));
    // The same client, another session.
    assert_eq!((other.ask(), rig.stats().totconns), (b'a', 3));
}

#[test]
fn members_that_cannot_go_on_are_left() {
    let members = echoes(2);
    let mut rig = rig(&members, BOUNDS, |_| {});
    let (one, other) = (Client::new(&rig), Client::new(&rig));
    let both = |expected: &[u8; 2]| assert_eq!([one.ask(), other.ask()], *expected);
    both(b"ab");
    // Found down, and up again: who has moved stays.
    rig.member_state(0).set_health(Health::Down);
    both(b"bb");
    rig.member_state(0).set_health(Health::Up);
    both(b"bb");
    assert_eq!((rig.member_state(0).active(), rig.member_state(1).active()), (0, 2));
    // Drained: what is there stays, nothing new comes.
    rig.members()[1].weight = 0;
    rig.reconfigure();
    both(b"bb");
    assert_eq!(Client::new(&rig).ask(), b'a');
    // In maintenance.
    rig.members()[1].enabled = false;
    rig.reconfigure();
    both(b"aa");
    // Gone; another pool member moves to another address.
    rig.members()[1].enabled = true;
    rig.members()[1].weight = 1;
    rig.members().remove(0);
    rig.reconfigure();
    both(b"bb");
    rig.members()[0].port = members[0].address.port();
    rig.reconfigure();
    both(b"aa");
    // Nobody can.
    rig.members()[0].enabled = false;
    rig.reconfigure();
    one.send(b"lost");
    taken(&rig);
    rig.members()[0].enabled = true;
    rig.reconfigure();
    both(b"aa");
}

#[test]
fn a_configuration_disturbs_no_session_whose_member_stays() {
    let mut members = echoes(3);
    let mut rig = rig(&members, BOUNDS, |_| {});
    let clients: Vec<_> = (0..9).map(|_| Client::new(&rig)).collect();
    let before: Vec<_> = clients.iter().map(Client::ask).collect();
    members.push(Echo::start(b'd'));
    rig.members().push(member(members[3].address));
    rig.members().reverse();
    rig.spec.pools[0].algorithm = Algorithm::SourceIp;
    rig.members()[2].weight = 7;
    rig.listener().connection_limit = Some(1);
    rig.reconfigure();
    assert_eq!(clients.iter().map(Client::ask).collect::<Vec<_>>(), before);
    assert_eq!((rig.stats().conns, rig.stats().totconns), (9, 9));
}

/// Where nobody listens the kernel says so, and the next datagram goes to another member.
#[test]
fn a_refusal_moves_the_session() {
    let mut members = echoes(2);
    let rig = rig(&members, BOUNDS, |_| {});
    let (one, other) = (Client::new(&rig), Client::new(&rig));
    assert_eq!((one.ask(), other.ask()), (b'a', b'b'));
    drop(members.remove(0));
    one.ask_until(b'b');
    assert!(rig.member_state(0).errors() > 0, "it counts against the member");
    assert_eq!((one.ask(), other.ask()), (b'b', b'b'));
    // The last one is tried again and again, and serves when it is back.
    let last = members.remove(0).address;
    one.send(b"x");
    until("it was refused", || rig.member_state(1).errors() > 0);
    let _back = Echo::start_at(b'c', last);
    one.ask_until(b'c');
}

#[test]
fn who_gets_in() {
    let members = echoes(1);
    let mut rig = rig(&members, BOUNDS, |spec| {
        spec.listeners[0].connection_limit = Some(2);
        spec.listeners[0].allowed_cidrs = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let clients = [Client::new(&rig), Client::new(&rig), Client::new(&rig)];
    let stranger = Client::at(&rig, Ipv4Addr::new(127, 0, 0, 9));
    assert_eq!((clients[0].ask(), clients[1].ask()), (b'a', b'a'));
    assert!(rig.engine.snapshot().listeners().next().unwrap().is_full());
    clients[2].send(b"refused");
    stranger.send(b"refused");
    // One thread takes them one after the other.
    assert_eq!((clients[0].ask(), rig.stats().totconns), (b'a', 2));
    rig.listener().connection_limit = None;
    rig.reconfigure();
    assert_eq!(clients[2].ask(), b'a');
    stranger.send(b"refused");
    assert_eq!((clients[0].ask(), rig.stats().totconns, members[0].got()), (b'a', 3, 5));
    // Who is not allowed any more has no session any more.
    rig.listener().allowed_cidrs = vec!["127.0.0.9/32".parse().unwrap()];
    rig.reconfigure();
    assert_eq!((stranger.ask(), rig.stats().conns), (b'a', 1));
}

/// Made-up sources displace each other, not who has shown himself; files stay bounded.
#[test]
fn a_flood_of_sources() {
    const SESSIONS: usize = 64;
    let members = echoes(2);
    let rig = rig(&members, UdpBounds { sessions: SESSIONS, ..BOUNDS }, |_| {});
    let honest = Client::new(&rig);
    let mine = honest.ask();
    assert_eq!(honest.ask(), mine);
    // One that was only answered is as good as one that is made up.
    let once = Client::new(&rig);
    once.ask();
    let mut ports = HashSet::new();
    for round in 0..40 {
        let flood: Vec<_> = (0..100).map(|_| Client::at(&rig, Ipv4Addr::new(127, 0, 1, 1 + round))).collect();
        for client in &flood {
            ports.insert(client.socket.local_addr().unwrap());
            client.send(b"flood");
        }
        until("all are taken", || rig.stats().totconns as usize >= 2 + 100 * (usize::from(round) + 1));
        assert!(rig.stats().conns as usize <= SESSIONS);
    }
    assert!(ports.len() >= 3_000, "{} sources", ports.len());
    let before = rig.stats().totconns;
    assert_eq!((honest.ask(), rig.stats().totconns), (mine, before), "its session is still there");
    once.ask();
    assert_eq!(rig.stats().totconns, before + 1);
    let active = rig.member_state(0).active() + rig.member_state(1).active();
    assert_eq!((rig.stats().conns, active), (SESSIONS as u64, SESSIONS as u64));
}

/// What claims to come from the VIP itself would go round for ever.
#[test]
fn no_datagram_goes_round() {
    let members = echoes(1);
    let rig = rig(&members, BOUNDS, |_| {});
    let vip = &rig.engine.sockets()[0].1;
    let forged = UdpSocket::from(vip.try_clone().unwrap());
    forged.send_to(b"round and round", rig.address).unwrap();
    assert_eq!(Client::new(&rig).ask(), b'a');
    assert_eq!((rig.stats().totconns, members[0].got()), (1, 1));
}

/// One port for both, each with its own members; a listener that goes takes its sessions with it.
#[test]
fn tcp_beside_udp() {
    let members = echoes(1);
    let origin = Origin::says("hello");
    let mut rig = rig(&members, BOUNDS, |_| {});
    let mut tcp = spec(ListenerProtocol::Http, rig.address.port(), &[&origin]);
    rig.spec.listeners.append(&mut tcp.listeners);
    rig.spec.pools.append(&mut tcp.pools);
    let keep: Vec<_> = rig.engine.sockets().into_iter().map(|(name, _)| name).collect();
    let names = listen::socket_names(&rig.spec, 2).into_iter().filter(|name| !keep.contains(name));
    let sockets: Vec<_> = names.map(|name| (name, listen::open(&name).unwrap())).collect();
    assert_eq!(sockets.len(), 2);
    rig.engine.configure(rig.compile(), sockets, &keep).unwrap();
    let client = Client::new(&rig);
    assert_eq!((client.ask(), rig.get("/").text()), (b'a', "hello"));
    let state = listener(&rig);
    rig.spec.listeners.remove(0);
    rig.reconfigure();
    assert_eq!((state.stats().conns, rig.get("/").text()), (0, "hello"));
    client.send(b"x");
    assert_eq!(client.socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// What clients have sent waits for the next process; what members say still goes out.
#[test]
fn a_drained_engine_takes_nothing_more() {
    let members = echoes(1);
    let rig = rig(&members, BOUNDS, |_| {});
    let client = Client::new(&rig);
    assert_eq!(client.ask(), b'a');
    members[0].mute.store(true, SeqCst);
    let (_, socket) = rig.engine.sockets().remove(0);
    let socket = UdpSocket::from(socket.try_clone().unwrap());
    rig.engine.drain(Duration::ZERO);
    until("it takes nothing more", || {
        client.send(b"later");
        socket.peek_from(&mut [0; 8]).is_ok()
    });
}
