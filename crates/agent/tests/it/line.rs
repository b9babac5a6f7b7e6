//! The line between agent and proxy, with the test as the agent: also a confused or hostile one.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;

use octavia_model::{AmphoraId, LoadBalancerId, Transport};
use octavia_wire::channel::{FrameReader, FrameWriter};
use octavia_wire::{AmphoraSpec, ProxyCommand, ProxyEvent, ProxyReport, SocketName, files};

use crate::amphora::{PATIENCE, eventually, signal};
use crate::member::{Member, get};
use crate::role::start_proxy;

/// A proxy without an agent.
struct Proxy {
    dir: tempfile::TempDir,
    child: Child,
}

impl Proxy {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = start_proxy(dir.path());
        Self { dir, child }
    }

    fn connect(&self) -> Line {
        let path = self.dir.path().join(files::PROXY_SOCKET);
        let stream = eventually("the proxy listens", || UnixStream::connect(&path).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line { stream, reader: FrameReader::default() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Line {
    stream: UnixStream,
    reader: FrameReader,
}

impl Line {
    /// Sends a command; answers the event that is not `Changed`.
    #[track_caller]
    fn ask(&mut self, command: &ProxyCommand, fds: Vec<OwnedFd>) -> ProxyEvent {
        FrameWriter::new(command, fds).unwrap().flush(&self.stream).unwrap();
        loop {
            match self.reader.message().unwrap() {
                Some(ProxyEvent::Changed) => {}
                Some(event) => return event,
                None => assert!(self.reader.fill(&self.stream).unwrap(), "closed"),
            }
        }
    }

    #[track_caller]
    fn hello(&mut self) -> (uuid::Uuid, u64, Vec<SocketName>) {
        match self.ask(&ProxyCommand::Hello, vec![]) {
            ProxyEvent::Hello { boot, generation, sockets, .. } => {
                assert_eq!(self.reader.take_fds(sockets.len()).unwrap().len(), sockets.len());
                (boot, generation, sockets)
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn report(&mut self) -> ProxyReport {
        match self.ask(&ProxyCommand::Report, vec![]) {
            ProxyEvent::Report(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    /// The proxy hangs up.
    #[track_caller]
    fn expect_cut(mut self) {
        while matches!(self.reader.fill(&self.stream), Ok(true)) {}
    }
}

fn spec(address: SocketAddr, member: SocketAddr) -> AmphoraSpec {
    crate::spec::spec(AmphoraId::nil(), LoadBalancerId::nil(), address.ip(), address.port(), &[member])
}

fn configure(spec: &AmphoraSpec, sockets: Vec<SocketName>, keep: Vec<SocketName>) -> ProxyCommand {
    ProxyCommand::Configure { spec: Box::new(spec.clone()), sockets, keep, logs: vec![], request_ids: None }
}

fn listening() -> (SocketAddr, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener.local_addr().unwrap(), listener.into())
}

#[test]
fn a_proxy_keeps_what_it_has_whatever_the_agent_says() {
    let localhost: IpAddr = "127.0.0.1".parse().unwrap();
    let member = Member::start(localhost, "one");
    let proxy = Proxy::start();
    let mut line = proxy.connect();
    let (boot, generation, sockets) = line.hello();
    assert_eq!((generation, sockets), (0, vec![]));
    assert_eq!(line.report(), ProxyReport::default());

    let (address, fd) = listening();
    let good = spec(address, member.address);
    let name = SocketName { listener: good.listeners[0].id, address, index: 0, transport: Transport::Tcp };
    let applied = line.ask(&configure(&good, vec![name], vec![]), vec![fd]);
    assert_eq!(applied, ProxyEvent::Applied { generation: 1, fence: 1 });
    assert_eq!(get(address).unwrap(), "one");
    assert_eq!(line.report().listeners[&name.listener].stats.totconns, 1);

    // A bad spec is refused whole, new sockets and all.
    let mut bad = AmphoraSpec { generation: 2, ..good.clone() };
    bad.pools.clear();
    let (_, fd) = listening();
    let other = SocketName { index: 1, ..name };
    match line.ask(&configure(&bad, vec![other], vec![]), vec![fd]) {
        ProxyEvent::Refused { generation: 2, error, .. } => assert!(error.contains("names pool"), "{error}"),
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(line.hello(), (boot, 1, vec![name]));

    // Whoever talks nonsense is cut off, and nothing else happens.
    for nonsense in [
        &b"\xff\xff\xff\xff"[..],
        b"\0\0\0\x02{}",
        b"\0\0\0\x04null",
        b"\0\0\0\x16{\"command\":\"explode!\"}",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut line = proxy.connect();
        line.stream.write_all(nonsense).unwrap();
        line.expect_cut();
    }
    let line = proxy.connect();
    let promised = configure(&good, vec![name, other], vec![]);
    FrameWriter::new(&promised, Vec::<OwnedFd>::new()).unwrap().flush(&line.stream).unwrap();
    line.expect_cut();
    let half = proxy.connect();
    (&half.stream).write_all(b"\0\0").unwrap();
    drop(half);
    assert_eq!(get(address).unwrap(), "one");

    // A new agent takes the place of the old one.
    let old = proxy.connect();
    let mut new = proxy.connect();
    assert_eq!(new.hello(), (boot, 1, vec![name]));
    old.expect_cut();
    // It lets a listener go.
    let applied = new
        .ask(&configure(&AmphoraSpec { generation: 3, listeners: vec![], ..good }, vec![], vec![]), vec![]);
    assert_eq!(applied, ProxyEvent::Applied { generation: 3, fence: 1 });
    assert!(get(address).unwrap_err().contains("refused"));
}

#[test]
fn what_is_no_listening_socket_does_no_harm() {
    let localhost: IpAddr = "127.0.0.1".parse().unwrap();
    let member = Member::start(localhost, "one");
    let proxy = Proxy::start();
    let mut line = proxy.connect();
    let (address, fd) = listening();
    let good = spec(address, member.address);
    let name = SocketName { listener: good.listeners[0].id, address, index: 0, transport: Transport::Tcp };
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    match line.ask(&configure(&good, vec![name], vec![]), vec![null]) {
        ProxyEvent::Refused { error, .. } => assert!(error.contains("listening socket"), "{error}"),
        unexpected => panic!("{unexpected:?}"),
    }
    let applied = line.ask(&configure(&good, vec![name], vec![]), vec![fd]);
    assert_eq!(applied, ProxyEvent::Applied { generation: 1, fence: 1 });
    assert_eq!(get(address).unwrap(), "one");
}

#[test]
fn an_agent_that_does_not_read_is_cut_off_and_traffic_goes_on() {
    let localhost: IpAddr = "127.0.0.1".parse().unwrap();
    let member = Member::start(localhost, "one");
    let proxy = Proxy::start();
    let mut line = proxy.connect();
    let (address, fd) = listening();
    let mut large = spec(address, member.address);
    for _ in 0..2_000 {
        large.pools[0].members.push(crate::spec::member(member.address));
    }
    let name = SocketName { listener: large.listeners[0].id, address, index: 0, transport: Transport::Tcp };
    line.ask(&configure(&large, vec![name], vec![]), vec![fd]);
    line.stream.set_nonblocking(true).unwrap();
    let cut = eventually("it is cut off", || {
        let mut question = FrameWriter::new(&ProxyCommand::Report, Vec::<OwnedFd>::new()).unwrap();
        match question.flush(&line.stream) {
            Ok(()) => None,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => Some(error),
        }
    });
    assert_eq!(cut.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(get(address).unwrap(), "one");
    // One that reads gets it whole.
    assert_eq!(proxy.connect().report().pools[&large.pools[0].id].members.len(), 2_001);
}

#[test]
fn a_proxy_ends_when_it_is_asked_to() {
    for by_signal in [false, true] {
        let mut proxy = Proxy::start();
        let mut line = proxy.connect();
        line.hello();
        if by_signal {
            // The harness's own thread does not block the signal, so how it ends is not the proxy's choice here.
            signal(proxy.child.id(), rustix::process::Signal::TERM);
        } else {
            let drain = ProxyCommand::Drain { seconds: 1 };
            FrameWriter::new(&drain, Vec::<OwnedFd>::new()).unwrap().flush(&line.stream).unwrap();
        }
        let status = eventually("it ends", || proxy.child.try_wait().unwrap());
        assert!(by_signal || status.success(), "{status}");
        line.expect_cut();
    }
}

#[test]
fn a_second_proxy_gives_up() {
    let proxy = Proxy::start();
    let boot = proxy.connect().hello().0;
    let mut second = start_proxy(proxy.dir.path());
    assert!(!second.wait().unwrap().success());
    assert_eq!(proxy.connect().hello().0, boot);
}
