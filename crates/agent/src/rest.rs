//! The REST API: a door with few paths, each limit explicit. What is asked is handed to [`crate::core`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use octavia_wire::{AgentFault, AgentInfo, AmphoraSpec, ApplyOutcome, Papers, PapersReport, paths};
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::complaints::Complaints;
use crate::door::{Guest, Room, Stage};
use crate::request_ids::{RequestIds, request_ids};
use crate::tls::Tls;

/// The largest spec, in bytes: a thousand members take a tenth of it.
const MAX_BODY: usize = 8 << 20;
/// Read of a body that is larger, so that the refusal is not lost in a reset connection.
const MAX_DISCARDED: usize = 4 * MAX_BODY;
/// The first part of a request, and the largest piece read at once.
const MAX_HEAD: usize = 32 << 10;
/// For a client that was not believed to read why: time, and pieces of what it still sends.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 16;
/// Connections accepted before those that are in get their turn.
const ACCEPTS: u64 = 16;
/// From the connection on; under pressure it ends earlier, in favour of others.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Also how long a connection may be idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// After an error of accept(2), such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What controllers ask, with the way back.
#[derive(Debug)]
pub(crate) enum Question {
    Push(Box<AmphoraSpec>, RequestIds, oneshot::Sender<Result<ApplyOutcome, AgentFault>>),
    Info(oneshot::Sender<AgentInfo>),
    /// They are in order.
    Papers(Box<Papers>, oneshot::Sender<Result<PapersReport, AgentFault>>),
}

/// Accepts, at once: who waited in the listening socket would wait for strangers. Until `closing` ends: then who comes waits
/// there, and connections end when what is asked on them is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<Tls>,
    questions: mpsc::Sender<Question>,
    mut closing: watch::Receiver<()>,
) {
    let connections = closing.clone();
    tokio::select! {
        () = accept(listener, tls, questions, connections) => {}
        _ = closing.changed() => {}
    }
}

async fn accept(
    listener: TcpListener,
    tls: Arc<Tls>,
    questions: mpsc::Sender<Question>,
    closing: watch::Receiver<()>,
) {
    let door = Arc::new(Door::default());
    for turn in 1_u64.. {
        if turn.is_multiple_of(ACCEPTS) {
            tokio::task::yield_now().await;
        }
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let (pass, sent_away) = Pass::new(&door, peer.ip(), stage_of(&tcp));
                let (door, tls, questions) = (Arc::clone(&door), Arc::clone(&tls), questions.clone());
                let closing = closing.clone();
                tokio::spawn(async move {
                    let ended = tokio::select! {
                        biased;
                        _ = sent_away => Err("sent away, so that others can come in".to_owned()),
                        ended = connection(tcp, tls, questions, pass, closing) => ended,
                    };
                    if let Err(error) = ended
                        && let Some(unsaid) = door.complain()
                    {
                        tracing::info!(%peer, error, unsaid, "a connection ended badly");
                    }
                });
            }
            Err(error) => {
                if let Some(unsaid) = door.complain() {
                    tracing::warn!(%error, unsaid, "a connection could not be accepted");
                }
                if is_exhaustion(&error) && door.shrink() {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Who came with a word, as controllers do, is not one of the silent crowd for a moment.
fn stage_of(tcp: &TcpStream) -> Stage {
    use rustix::net::{RecvFlags, recv};

    match recv(tcp, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Err(_) => Stage::Silent,
        Ok(_) => Stage::Stranger,
    }
}

/// No descriptor is left: closing some helps.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;

    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Who is in, for all connections to see.
#[derive(Debug, Default)]
struct Door {
    room: Mutex<Room<oneshot::Sender<()>>>,
    complaints: Mutex<Complaints>,
}

impl Door {
    fn room(&self) -> MutexGuard<'_, Room<oneshot::Sender<()>>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some places at once: for a connection, and for the files its handshake needs. `false` = nobody can go.
    fn shrink(&self) -> bool {
        let mut room = self.room();
        (0..4).filter(|_| room.shrink()).count() > 0
    }

    fn complain(&self) -> Option<u64> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now())
    }
}

/// One connection's place in the room, until it ends.
#[derive(Debug)]
struct Pass {
    door: Arc<Door>,
    guest: Guest,
}

impl Pass {
    /// The receiver hears when the connection has to leave.
    fn new(door: &Arc<Door>, ip: IpAddr, stage: Stage) -> (Self, oneshot::Receiver<()>) {
        let (ticket, sent_away) = oneshot::channel();
        let guest = door.room().enter(ip.into(), stage, ticket);
        (Self { door: Arc::clone(door), guest }, sent_away)
    }

    fn step(&self, stage: Stage) {
        self.door.room().step(self.guest, stage);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.door.room().leave(self.guest);
    }
}

async fn connection(
    tcp: TcpStream,
    tls: Arc<Tls>,
    questions: mpsc::Sender<Question>,
    pass: Pass,
    mut closing: watch::Receiver<()>,
) -> Result<(), String> {
    let handshake = async {
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        // Who says nothing costs no more than its descriptor.
        tcp.readable().await.map_err(|error| error.to_string())?;
        pass.step(Stage::Stranger);
        let config = tls.config().map_err(|error| format!("nobody can be served: {error}"))?;
        Ok::<_, String>(TlsAcceptor::from(config).accept(tcp).into_fallible().await)
    };
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Err(_) => return Err("no handshake in time".to_owned()),
        Ok(Err(error)) => return Err(error),
        Ok(Ok(Err((error, tcp)))) => {
            linger(tcp).await;
            return Err(error.to_string());
        }
        Ok(Ok(Ok(stream))) => stream,
    };
    pass.step(Stage::Idle);
    let peer = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = peer.iter().map(|cert| cert.clone().into_owned()).collect();
    let caller = Arc::new(Caller { questions, pass, tls, peer });
    let asked = Arc::new(Notify::new());
    let first = Arc::clone(&asked);
    let service = service_fn(move |request| {
        let caller = Arc::clone(&caller);
        asked.notify_one();
        async move { Ok::<_, Infallible>(answer(request, &caller).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        // Who has come this far may ask once.
        () = async {
            let _ = closing.changed().await;
            first.notified().await;
        } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    ended.map_err(|error| error.to_string())
}

/// Somebody who is believed, on one connection.
#[derive(Debug)]
struct Caller {
    questions: mpsc::Sender<Question>,
    pass: Pass,
    tls: Arc<Tls>,
    /// The certificate, then what links it to its authority.
    peer: Vec<CertificateDer<'static>>,
}

async fn answer(request: Request<Incoming>, caller: &Caller) -> Response<String> {
    let path = request.uri().path().to_owned();
    let (allowed, method) = match path.as_str() {
        paths::VERSION | paths::INFO => (Method::GET, request.method().clone()),
        paths::SPEC | paths::PAPERS => (Method::PUT, request.method().clone()),
        _ => return fault(StatusCode::NOT_FOUND, format!("{path} is not a path of this API")),
    };
    if method != allowed {
        let mut response =
            fault(StatusCode::METHOD_NOT_ALLOWED, format!("{path} answers {allowed}, not {method}"));
        if let Ok(value) = HeaderValue::from_str(allowed.as_str()) {
            response.headers_mut().insert(ALLOW, value);
        }
        return response;
    }
    match path.as_str() {
        paths::VERSION => json(StatusCode::OK, &serde_json::json!({ "api_version": "2.0" })),
        paths::INFO => info(caller).await,
        paths::PAPERS => papers(request, caller).await,
        _ => push(request, caller).await,
    }
}

async fn info(caller: &Caller) -> Response<String> {
    let (sender, receiver) = oneshot::channel();
    match ask(caller, Question::Info(sender), receiver).await {
        Some(info) => json(StatusCode::OK, &info),
        None => stopping(),
    }
}

async fn push(request: Request<Incoming>, caller: &Caller) -> Response<String> {
    let ids = request_ids(request.headers());
    let spec = match body::<AmphoraSpec>(request, "a spec").await {
        Ok(spec) => spec,
        Err(refused) => return refused,
    };
    let (sender, receiver) = oneshot::channel();
    outcome(ask(caller, Question::Push(Box::new(spec), ids, sender), receiver).await)
}

async fn papers(request: Request<Incoming>, caller: &Caller) -> Response<String> {
    let papers = match body::<Papers>(request, "papers").await {
        Ok(papers) => papers,
        Err(refused) => return refused,
    };
    if let Err(error) = caller.tls.examine(&papers, &caller.peer) {
        return fault(StatusCode::BAD_REQUEST, format!("these papers are not in order: {error}"));
    }
    let (sender, receiver) = oneshot::channel();
    outcome(ask(caller, Question::Papers(Box::new(papers), sender), receiver).await)
}

/// What the request brings; without it, the refusal.
async fn body<T: DeserializeOwned>(request: Request<Incoming>, what: &str) -> Result<T, Response<String>> {
    let body = match tokio::time::timeout(BODY_TIMEOUT, read(request)).await {
        Ok(body) => body?,
        Err(_) => {
            return Err(fault(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned()));
        }
    };
    serde_json::from_slice(&body)
        .map_err(|error| fault(StatusCode::BAD_REQUEST, format!("the body is not {what}: {error}")))
}

/// `None` = the agent is about to end.
fn outcome(done: Option<Result<impl Serialize, AgentFault>>) -> Response<String> {
    match done {
        Some(Ok(outcome)) => json(StatusCode::OK, &outcome),
        Some(Err(refusal)) => {
            let status = StatusCode::from_u16(refusal.http_code);
            json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &refusal)
        }
        None => stopping(),
    }
}

/// Asks the core; until it answers, the connection is not to be sent away. `None` = the agent is about to end.
async fn ask<T>(caller: &Caller, question: Question, answer: oneshot::Receiver<T>) -> Option<T> {
    caller.pass.step(Stage::Busy);
    let answer = match caller.questions.send(question).await {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    caller.pass.step(Stage::Idle);
    answer
}

async fn read(request: Request<Incoming>) -> Result<Vec<u8>, Response<String>> {
    let mut body = request.into_body();
    let mut bytes = vec![];
    let mut length = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| fault(StatusCode::BAD_REQUEST, error.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length <= MAX_BODY {
            bytes.extend_from_slice(data);
        } else {
            bytes = vec![];
        }
        if length > MAX_DISCARDED {
            break;
        }
    }
    if length <= MAX_BODY {
        return Ok(bytes);
    }
    Err(fault(StatusCode::PAYLOAD_TOO_LARGE, format!("a body is at most {MAX_BODY} bytes long")))
}

/// Lets the last words (a TLS alert) be read: closing with something unread would reset the connection, and they would
/// be lost.
async fn linger(mut tcp: TcpStream) {
    let discard = async {
        let mut chunk = [0; 4096];
        let _ = tcp.shutdown().await;
        for _ in 0..LINGER_READS {
            if !matches!(tcp.read(&mut chunk).await, Ok(1..)) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIMEOUT, discard).await;
}

fn stopping() -> Response<String> {
    fault(StatusCode::SERVICE_UNAVAILABLE, "the agent is about to end".to_owned())
}

fn fault(status: StatusCode, error: String) -> Response<String> {
    json(status, &AgentFault { error, http_code: status.as_u16() })
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<String> {
    // Maps with keys that are no text are the only thing that could fail, and there are none.
    let mut response = Response::new(serde_json::to_string(body).unwrap_or_default());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Binds the API's address.
pub(crate) async fn listen(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    TcpListener::bind(address).await?.into_std()
}
