//! Small servers to stand behind a load balancer, which can be killed and brought back on the same address.
//!
//! Each runs on a thread of its own, so that a busy test does not make its members slow. Killing drops the
//! listening socket and every connection at once, as the end of a process does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::body;

/// The response header that names the origin.
pub const ID_HEADER: &str = "x-origin";
/// A path that health monitors ask; not counted as a request.
pub const HEALTH_PATH: &str = "/health";

/// Bytes of a request body that `/echo` takes.
const ECHO_MAX: usize = 8 << 20;

/// An HTTP/1.1 server. Paths:
/// `/bytes/N` the first N bytes of [`body::pattern`] · `/delay/MS/N` the same after a while · `/echo` the request's
/// body · `/headers` the request's headers, one a line · `/status/N` · [`HEALTH_PATH`] · anything else the id.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

/// A TCP server that sends its id and a line feed, then everything it receives.
#[derive(Debug)]
pub struct EchoOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

/// An HTTP server that agrees to every upgrade, and is an [`EchoOrigin`] from there.
#[derive(Debug)]
pub struct UpgradeOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Shared {
    id: String,
    started: Instant,
    health: AtomicU16,
    requests: AtomicU64,
    connections: AtomicU64,
    checks: AtomicU64,
    /// When the last request came, in microseconds after `started`.
    last_request: AtomicU64,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Shared {
    fn new(id: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            started: Instant::now(),
            health: AtomicU16::new(200),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            checks: AtomicU64::new(0),
            last_request: AtomicU64::new(0),
        })
    }

    fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_request.store(now, Ordering::Relaxed);
    }

    fn last_request_at(&self) -> Option<Instant> {
        match self.last_request.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(self.started + Duration::from_micros(micros)),
        }
    }
}

macro_rules! common {
    ($serve:path) => {
        /// Starts on `address`; port 0 takes a free one below the ephemeral range.
        pub fn start(address: SocketAddr, id: &str) -> Result<Self> {
            let port = match address.port() {
                0 => crate::net::free_port(address.ip())?,
                port => port,
            };
            let address = SocketAddr::new(address.ip(), port);
            let mut origin = Self { address, shared: Shared::new(id), running: None };
            origin.restart()?;
            Ok(origin)
        }

        pub fn address(&self) -> SocketAddr {
            self.address
        }

        pub fn id(&self) -> &str {
            &self.shared.id
        }

        /// Requests (for TCP: connections) served since the start; health checks are not among them.
        pub fn requests(&self) -> u64 {
            self.shared.requests.load(Ordering::Relaxed)
        }

        pub fn last_request_at(&self) -> Option<Instant> {
            self.shared.last_request_at()
        }

        /// Connections accepted since the start.
        pub fn connections(&self) -> u64 {
            self.shared.connections.load(Ordering::Relaxed)
        }

        /// Ends it with every connection, as SIGKILL would end a process. Again is fine.
        pub fn kill(&mut self) {
            if let Some(running) = self.running.take() {
                let _ = running.stop.send(());
                let _ = running.thread.join();
            }
        }

        /// Listens again on the same address.
        pub fn restart(&mut self) -> Result<()> {
            self.kill();
            let listener = listen(self.address)?;
            let shared = self.shared.clone();
            self.running = Some(run(
                move |tasks, stream| {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    let shared = shared.clone();
                    tasks.spawn($serve(stream, shared));
                },
                listener,
            )?);
            Ok(())
        }
    };
}

impl Origin {
    common!(serve_http);

    /// The status that [`HEALTH_PATH`] answers from now on.
    pub fn set_health(&self, status: u16) {
        self.shared.health.store(status, Ordering::Relaxed);
    }

    /// Health checks answered since the start.
    pub fn checks(&self) -> u64 {
        self.shared.checks.load(Ordering::Relaxed)
    }
}

impl EchoOrigin {
    common!(serve_echo);
}

impl UpgradeOrigin {
    common!(serve_upgrade);
}

impl Drop for UpgradeOrigin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for EchoOrigin {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("bind {address}"))?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn run(
    accept: impl Fn(&mut JoinSet<()>, TcpStream) + Send + 'static,
    listener: std::net::TcpListener,
) -> Result<Running> {
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("origin".into()).spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            tokio::select! {
                () = accept_all(&listener, accept) => (),
                _ = stopped => (),
            }
        });
    })?;
    Ok(Running { stop, thread })
}

async fn accept_all(listener: &TcpListener, accept: impl Fn(&mut JoinSet<()>, TcpStream)) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    accept(&mut tasks, stream);
                }
                // Out of descriptors, or the connection died in the queue.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = tasks.join_next() => (),
        }
    }
}

async fn serve_http(stream: TcpStream, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .await;
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Whole> {
    let path = request.uri().path().to_owned();
    let mut words = path.trim_start_matches('/').split('/');
    let word = words.next().unwrap_or_default();
    let numbers: Vec<usize> = words.map_while(|word| word.parse().ok()).collect();
    if path == HEALTH_PATH {
        shared.checks.fetch_add(1, Ordering::Relaxed);
    } else {
        shared.count_request();
    }
    let (status, content) = match (word, numbers.as_slice()) {
        ("health", []) => (shared.health.load(Ordering::Relaxed), Bytes::from_static(b"ok\n")),
        ("bytes", [length]) => (200, body::pattern(*length)),
        ("delay", [ms, length]) => {
            tokio::time::sleep(Duration::from_millis((*ms).min(60_000) as u64)).await;
            (200, body::pattern(*length))
        }
        ("status", [status]) => (u16::try_from(*status).unwrap_or(500), Bytes::from_static(b"as asked\n")),
        ("echo", []) => match read_whole(request.into_body()).await {
            Some(content) => (200, content),
            None => (413, Bytes::new()),
        },
        ("headers", []) => (200, headers_text(&request).into()),
        _ => (200, format!("{}\n", shared.id).into()),
    };
    let mut response = Response::new(Whole(Some(content)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(id) = HeaderValue::from_str(&shared.id) {
        response.headers_mut().insert(ID_HEADER, id);
    }
    response
}

fn headers_text(request: &Request<Incoming>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text
}

async fn read_whole(mut incoming: Incoming) -> Option<Bytes> {
    let mut whole = Vec::new();
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut incoming).poll_frame(cx)).await;
        let Some(frame) = frame else { return Some(whole.into()) };
        if let Ok(data) = frame.ok()?.into_data() {
            whole.extend_from_slice(&data);
            if whole.len() > ECHO_MAX {
                return None;
            }
        }
    }
}

/// A body of one piece, with its length known.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|data| Ok(hyper::body::Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0.as_ref().map_or(0, |data| data.len() as u64))
    }
}

async fn serve_echo(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = vec![0; 64 << 10];
    let greeting = format!("{}\n", shared.id);
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    let mut counted = false;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        // A monitor connects and leaves without a byte: not a request.
        if !std::mem::replace(&mut counted, true) {
            shared.count_request();
        }
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn serve_upgrade(mut stream: TcpStream, shared: Arc<Shared>) {
    const AGREED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if head.len() < ECHO_MAX => head.push(byte),
            _ => return,
        }
    }
    if stream.write_all(AGREED).await.is_ok() {
        serve_echo(stream, shared).await;
    }
}

/// Starts `count` origins on addresses of their own behind one port: `127.0.0.1`, `127.0.0.2`, … with the ids
/// `m0`, `m1`, ….
pub fn start_many(count: u8) -> Result<Vec<Origin>> {
    (0..count)
        .map(|index| {
            let ip = std::net::Ipv4Addr::new(127, 0, 0, 1 + index);
            Origin::start(SocketAddr::from((ip, 0)), &format!("m{index}"))
        })
        .collect()
}

/// The mutex's content, whoever panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
