//! A rig for tests: an engine with one listener, members that do as they are told, clients that read carefully.
//! Everything waits with a deadline, nothing sleeps for luck.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::{Algorithm, IdKind, ListenerProtocol, PoolProtocol};
use octavia_proxy::{Engine, MemberState, Snapshot, listen};
use octavia_wire::{AmphoraSpec, ListenerSpec, MemberSpec, PoolSpec, SocketName, TimeoutsSpec, WIRE_VERSION};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use uuid::Uuid;

/// Longer than anything takes here, unless it is stuck.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn id<K: IdKind>() -> TypedUuid<K> {
    TypedUuid::from_untyped_uuid(Uuid::new_v4())
}

/// Waits until `state` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut state: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !state() {
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An engine with one listener.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) spec: AmphoraSpec,
    pub(crate) address: SocketAddr,
}

impl Rig {
    pub(crate) fn http(members: &[&Origin]) -> Self {
        Self::start(ListenerProtocol::Http, members, |_| {})
    }

    pub(crate) fn tcp(members: &[&Origin]) -> Self {
        Self::start(ListenerProtocol::Tcp, members, |_| {})
    }

    pub(crate) fn start(
        protocol: ListenerProtocol,
        members: &[&Origin],
        tune: impl FnOnce(&mut AmphoraSpec),
    ) -> Self {
        Self::start_on(Engine::start(2).unwrap(), protocol, members, tune)
    }

    pub(crate) fn start_on(
        engine: Engine,
        protocol: ListenerProtocol,
        members: &[&Origin],
        tune: impl FnOnce(&mut AmphoraSpec),
    ) -> Self {
        let first = listen::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = socket2::SockRef::from(&first).local_addr().unwrap().as_socket().unwrap();
        let mut spec = spec(protocol, address.port(), members);
        tune(&mut spec);
        let names = listen::socket_names(&spec, engine.threads() as u16);
        let mut first = Some(first);
        let sockets: Vec<(SocketName, OwnedFd)> = names
            .into_iter()
            .map(|name| (name, first.take().unwrap_or_else(|| listen::bind(name.address).unwrap())))
            .collect();
        let rig = Self { engine, spec, address };
        rig.engine.configure(rig.compile(), sockets, &[]).unwrap();
        rig
    }

    pub(crate) fn compile(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot::compile(&self.spec, self.engine.registry()).unwrap())
    }

    /// Takes the spec as it is now into force, with the same sockets.
    pub(crate) fn reconfigure(&mut self) {
        self.spec.generation += 1;
        let keep: Vec<_> = self.engine.sockets().into_iter().map(|(name, _)| name).collect();
        self.engine.configure(self.compile(), vec![], &keep).unwrap();
    }

    pub(crate) fn listener(&mut self) -> &mut ListenerSpec {
        &mut self.spec.listeners[0]
    }

    pub(crate) fn members(&mut self) -> &mut Vec<MemberSpec> {
        &mut self.spec.pools[0].members
    }

    pub(crate) fn member_state(&self, place: usize) -> Arc<MemberState> {
        self.engine.registry().member(self.spec.pools[0].members[place].id)
    }

    pub(crate) fn stats(&self) -> octavia_wire::ListenerStats {
        self.engine.registry().listener(self.spec.listeners[0].id).stats()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Message {
        let mut client = self.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        let answer = client.answer();
        client.expect_end();
        answer
    }
}

/// One listener on loopback, and its default pool of these members.
pub(crate) fn spec(protocol: ListenerProtocol, port: u16, members: &[&Origin]) -> AmphoraSpec {
    let pool = PoolSpec {
        id: id(),
        protocol: if protocol == ListenerProtocol::Http { PoolProtocol::Http } else { PoolProtocol::Tcp },
        algorithm: Algorithm::RoundRobin,
        persistence: None,
        members: members.iter().map(|origin| member(origin.address)).collect(),
        monitor: None,
        tls: None,
    };
    let listener = ListenerSpec {
        id: id(),
        protocol,
        port,
        connection_limit: None,
        default_pool: Some(pool.id),
        insert_headers: vec![],
        timeouts: TimeoutsSpec { client_data: 8000, member_connect: 2000, member_data: 8000, tcp_inspect: 0 },
        allowed_cidrs: vec![],
        accept_proxy: vec![],
        l7policies: vec![],
        tls: None,
    };
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: id(),
        load_balancer_id: id(),
        generation: 1,
        fence: 1,
        vips: vec![Ipv4Addr::LOCALHOST.into()],
        listeners: vec![listener],
        pools: vec![pool],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}

pub(crate) fn member(address: SocketAddr) -> MemberSpec {
    MemberSpec {
        id: id(),
        address: address.ip(),
        port: address.port(),
        weight: 1,
        backup: false,
        enabled: true,
        monitor_address: None,
        monitor_port: None,
    }
}

/// A connection that is read with a deadline, message by message.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Link,
    /// Read and not used.
    rest: Vec<u8>,
}

/// In clear, or not.
#[derive(Debug)]
enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// On the side of a server.
    Served(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Link {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.get_ref(),
            Self::Served(tls) => tls.get_ref(),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::Served(tls) => tls.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::Served(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
            Self::Served(tls) => tls.flush(),
        }
    }
}

/// A head (its first line and the header lines), and the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Link::Plain(stream), rest: vec![] }
    }

    /// Shakes hands on it; why that failed, if it did.
    pub(crate) fn with_tls(self, mut session: ClientConnection) -> Result<Self, String> {
        let Link::Plain(mut tcp) = self.stream else { panic!("TLS over TLS") };
        while session.is_handshaking() {
            session.complete_io(&mut tcp).map_err(|error| error.to_string())?;
        }
        Ok(Self { stream: Link::Tls(Box::new(StreamOwned::new(session, tcp))), rest: vec![] })
    }

    /// Shakes hands on it as a server, after what was read already; why that failed, if it did.
    pub(crate) fn served(self, mut session: ServerConnection) -> Result<Self, String> {
        let Link::Plain(mut tcp) = self.stream else { panic!("TLS over TLS") };
        let mut rest = &self.rest[..];
        while !rest.is_empty() {
            session.read_tls(&mut rest).map_err(|error| error.to_string())?;
            session.process_new_packets().map_err(|error| error.to_string())?;
        }
        while session.is_handshaking() || session.wants_write() {
            session.complete_io(&mut tcp).map_err(|error| error.to_string())?;
        }
        Ok(Self { stream: Link::Served(Box::new(StreamOwned::new(session, tcp))), rest: vec![] })
    }

    pub(crate) fn session(&mut self) -> &mut ServerConnection {
        let Link::Served(tls) = &mut self.stream else { panic!("no server's TLS") };
        &mut tls.conn
    }

    pub(crate) fn tls(&mut self) -> &mut ClientConnection {
        let Link::Tls(tls) = &mut self.stream else { panic!("no TLS") };
        &mut tls.conn
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.tcp().local_addr().unwrap()
    }

    /// The same connection, for another thread to send on.
    pub(crate) fn try_clone(&self) -> Self {
        Self { stream: Link::Plain(self.tcp().try_clone().unwrap()), rest: vec![] }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Like `send`, when the other side may already have gone; `false` when it has.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Whether the other side has ended the connection, and all it said was read.
    pub(crate) fn is_over(&self) -> bool {
        let tcp = self.tcp();
        tcp.set_nonblocking(true).unwrap();
        let next = tcp.peek(&mut [0]);
        tcp.set_nonblocking(false).unwrap();
        next.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |length| length == 0)
    }

    pub(crate) fn end(&mut self) {
        match &mut self.stream {
            Link::Plain(_) => {}
            Link::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush().unwrap();
            }
            Link::Served(tls) => {
                tls.conn.send_close_notify();
                tls.flush().unwrap();
            }
        }
        self.tcp().shutdown(Shutdown::Write).unwrap();
    }

    /// Breaks the connection off, as a crash would.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads some bytes; 0 = the end. A connection that was reset has ended, too.
    fn fill(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(n) => {
                self.rest.extend_from_slice(&buffer[..n]);
                n
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => 0,
            Err(error) => panic!("no bytes: {error}; so far: {}", self.rest.escape_ascii()),
        }
    }

    /// Exactly so many bytes, or what there was before the end.
    pub(crate) fn take(&mut self, n: usize) -> Vec<u8> {
        while self.rest.len() < n && self.fill() > 0 {}
        self.rest.drain(..n.min(self.rest.len())).collect()
    }

    /// Some bytes; none = the end.
    pub(crate) fn take_some(&mut self) -> Vec<u8> {
        if self.rest.is_empty() {
            self.fill();
        }
        std::mem::take(&mut self.rest)
    }

    /// All there is, and how it ended.
    pub(crate) fn take_to_end(&mut self) -> (Vec<u8>, Result<(), ErrorKind>) {
        let mut all = std::mem::take(&mut self.rest);
        let end = self.stream.read_to_end(&mut all).map(drop).map_err(|error| error.kind());
        (all, end)
    }

    pub(crate) fn take_all(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn expect_end(&mut self) {
        let rest = self.take_all();
        assert!(rest.is_empty(), "more came: {}", rest.escape_ascii());
    }

    /// A head without its empty line; `None` when the connection ended before.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).collect::<Vec<_>>();
                return Some(String::from_utf8(head[..end].to_vec()).unwrap());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// A whole message, with the content out of its chunks; of a truncated one what there was.
    pub(crate) fn message(&mut self, has_body: bool) -> Option<Message> {
        let mut message = Message { head: self.head()?, body: vec![] };
        let request = !message.head.starts_with("HTTP/");
        if !has_body {
        } else if message.header("transfer-encoding") == Some("chunked") {
            message.body = self.chunks();
        } else if let Some(length) = message.header("content-length") {
            message.body = self.take(length.parse().unwrap());
        } else if !request {
            message.body = self.take_all();
        }
        Some(message)
    }

    /// An answer, or why none came.
    pub(crate) fn try_answer(&mut self) -> Result<Message, String> {
        let mut buffer = [0; 4096];
        while !self.rest.windows(4).any(|w| w == b"\r\n\r\n") {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the connection ended".to_owned()),
                Ok(n) => self.rest.extend_from_slice(&buffer[..n]),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(self.answer())
    }

    pub(crate) fn answer(&mut self) -> Message {
        self.message(true).expect("an answer")
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut content = vec![];
        loop {
            let line = self.line();
            let Ok(size) = usize::from_str_radix(&line, 16) else { return content };
            content.extend(self.take(size));
            let end = self.line();
            if size == 0 || !end.is_empty() {
                return content;
            }
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.windows(2).position(|w| w == b"\r\n") {
                let line = self.rest.drain(..end + 2).collect::<Vec<_>>();
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            if self.fill() == 0 {
                return String::new();
            }
        }
    }
}

/// A member: a server whose every connection is handled by a function, on a thread of its own.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    /// Of one that is dead.
    port: Option<socket2::Socket>,
}

impl Origin {
    pub(crate) fn start(handle: impl Fn(Client) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped, handle) = (Arc::clone(&connections), Arc::clone(&stop), Arc::new(handle));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(SeqCst) {
                    return;
                }
                count.fetch_add(1, SeqCst);
                let handle = Arc::clone(&handle);
                let client = Client::of(stream.unwrap());
                std::thread::spawn(move || handle(client));
            }
        });
        Self { address, connections, stop, port: None }
    }

    /// Answers every request by a function of it, on connections that are kept alive.
    pub(crate) fn http(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |mut client| {
            client.tcp().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            while let Some(request) = client.message(true) {
                if !client.try_send(answer(&request)) {
                    return;
                }
            }
        })
    }

    /// Answers every request with this text.
    pub(crate) fn says(text: &str) -> Self {
        let answer = ok(text);
        Self::http(move |_| answer.clone())
    }

    /// An address where nobody listens, and nobody else comes to listen: the port is ours.
    pub(crate) fn dead() -> Self {
        use socket2::{Domain, Socket, Type};
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = port.local_addr().unwrap().as_socket().unwrap();
        Self { address, connections: Arc::default(), stop: Arc::new(true.into()), port: Some(port) }
    }

    /// Who was dead listens.
    pub(crate) fn rise(&mut self) -> TcpListener {
        let port = self.port.take().unwrap();
        port.listen(16).unwrap();
        port.into()
    }

    /// Stops listening; connections that are open go on.
    pub(crate) fn kill(&self) {
        if !self.stop.swap(true, SeqCst) {
            // Wakes the accepting thread, which drops the socket.
            drop(TcpStream::connect(self.address));
            until("the origin is gone", || TcpStream::connect(self.address).is_err());
        }
    }

    /// Connections made to it so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A response with this content.
pub(crate) fn ok(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).into_bytes();
    answer.extend_from_slice(content);
    answer
}

/// `size` bytes that are not the same everywhere.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Content in chunks of at most `size` bytes.
pub(crate) fn chunked(content: &[u8], size: usize) -> Vec<u8> {
    let mut coded = vec![];
    for chunk in content.chunks(size) {
        coded.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        coded.extend_from_slice(chunk);
        coded.extend(b"\r\n");
    }
    coded.extend(b"0\r\n\r\n");
    coded
}
