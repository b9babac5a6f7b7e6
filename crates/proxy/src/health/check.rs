//! One check of one member over TCP or UDP: connect, perhaps shake hands, perhaps ask, look at the first bytes of the answer.
//! Nothing here blocks; what comes back is bounded.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use octavia_model::HealthMonitorType;
use octavia_wire::{HttpCheck, MonitorSpec};
use rustix::io::Errno;
use rustls::{ClientConfig, ClientConnection};

use super::http::{self, Answer};
use super::http2;
use super::tls::{self, Hello};
use crate::proxy_protocol::ProxyProtocol;
use crate::sys;
use crate::tls::InWords;

/// The most read of an answer, in bytes; of a TLS handshake, which brings certificates, in bytes of ciphertext.
const MAX_ANSWER: usize = 16 << 10;
const MAX_CIPHERTEXT: usize = 256 << 10;
const READ_SIZE: usize = 4 << 10;

/// Why a check failed, for people.
pub(super) type Verdict = Result<(), String>;

#[derive(Debug)]
pub(super) struct Check {
    socket: OwnedFd,
    address: SocketAddr,
    connected: bool,
    /// How it says that it is a check, before all else.
    proxy_protocol: Option<ProxyProtocol>,
    /// What of that is not sent yet.
    preface: Vec<u8>,
    dialog: Dialog,
}

/// What happens once there is a connection.
#[derive(Debug)]
enum Dialog {
    /// Nothing more.
    Connect,
    /// A datagram is sent, and nobody says that nobody is there.
    Datagram {
        answered: bool,
    },
    Hello {
        exchange: Exchange,
    },
    Http {
        exchange: Exchange,
        check: HttpCheck,
    },
    /// Keys are agreed on, and nothing more.
    Handshake {
        secure: Secure,
    },
    Https {
        secure: Secure,
        check: HttpCheck,
    },
}

/// An exchange over TLS.
#[derive(Debug)]
struct Secure {
    tls: Box<ClientConnection>,
    /// What is asked once keys are agreed on.
    request: Vec<u8>,
    /// The same in HTTP/2, if the member chooses that.
    request_http2: Vec<u8>,
    seen: Vec<u8>,
    ciphertext: usize,
}

/// Bytes to send, bytes seen.
#[derive(Debug)]
struct Exchange {
    to_send: Vec<u8>,
    sent: usize,
    seen: Vec<u8>,
}

/// How far a step got.
enum Step {
    /// Something moved: go on.
    Moved,
    /// The socket has to become ready first.
    Blocked,
    /// The member closed.
    Closed,
}

/// Why a check did not get under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// That is the verdict already.
    Verdict(String),
    /// This process lacks something: it says nothing of the member.
    Unable(Errno),
}

impl From<String> for NotStarted {
    fn from(text: String) -> Self {
        Self::Verdict(text)
    }
}

impl From<Errno> for NotStarted {
    fn from(error: Errno) -> Self {
        match error {
            // Again: all ports for datagrams are taken.
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC | Errno::AGAIN => {
                Self::Unable(error)
            }
            error => Self::Verdict(describe(error)),
        }
    }
}

impl Check {
    /// Starts to connect.
    pub(super) fn start(
        monitor: &MonitorSpec,
        address: SocketAddr,
        proxy_protocol: Option<ProxyProtocol>,
        secured: Option<&Arc<ClientConfig>>,
        tls: &mut Option<Arc<ClientConfig>>,
    ) -> Result<Self, NotStarted> {
        let dialog = Dialog::new(monitor, address, secured, tls)?;
        let socket = match dialog {
            // As the original's does, it says nothing that a program could take for a question.
            Dialog::Datagram { .. } => {
                let socket = sys::connect_datagram(address)?;
                sys::send(socket.as_fd(), &[])?;
                socket
            }
            _ => sys::connect(address)?,
        };
        Ok(Self { socket, address, connected: false, proxy_protocol, preface: vec![], dialog })
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Goes on as far as the socket lets it; `None` = not done.
    pub(super) fn advance(&mut self) -> Option<Verdict> {
        if !self.connected {
            if let Some(error) = sys::socket_error(self.socket.as_fd()) {
                return Some(Err(describe(error)));
            }
            if !sys::has_peer(self.socket.as_fd()) {
                return None;
            }
            self.connected = true;
            if let Some(version) = self.proxy_protocol {
                match sys::local_address(self.socket.as_fd()) {
                    Ok(local) => version.write_check(local, self.address, &mut self.preface),
                    Err(error) => return Some(Err(describe(error))),
                }
            }
        }
        while !self.preface.is_empty() {
            match sys::send(self.socket.as_fd(), &self.preface) {
                Ok(n) => drop(self.preface.drain(..n)),
                Err(Errno::AGAIN) => return None,
                Err(error) => return Some(Err(describe(error))),
            }
        }
        loop {
            if let Some(verdict) = self.dialog.verdict(self.address) {
                return Some(verdict);
            }
            match self.dialog.step(&self.socket) {
                Ok(Step::Moved) => {}
                Ok(Step::Blocked) => return None,
                Ok(Step::Closed) => {
                    let verdict = self.dialog.verdict(self.address);
                    return Some(
                        verdict.unwrap_or_else(|| Err("closed without a complete answer".to_owned())),
                    );
                }
                Err(text) => return Some(Err(text)),
            }
        }
    }
}

impl Dialog {
    /// `secured` is how traffic is, where the check shall be like it; `tls` is for all others.
    fn new(
        monitor: &MonitorSpec,
        address: SocketAddr,
        secured: Option<&Arc<ClientConfig>>,
        tls: &mut Option<Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        let connection = || {
            let config = match (secured, tls) {
                (Some(config), _) => config,
                (None, Some(config)) => &*config,
                (None, tls) => tls.insert(tls::config().map_err(|error| error.to_string())?),
            };
            tls::connection(config, address).map_err(|error| error.to_string())
        };
        let http = || {
            let check = monitor.http.clone().ok_or("an HTTP monitor without a request")?;
            Ok::<_, String>((http::request(&check, address)?, check))
        };
        Ok(match monitor.kind {
            HealthMonitorType::Http if secured.is_none() => {
                let (request, check) = http()?;
                Self::Http { exchange: Exchange::new(request), check }
            }
            HealthMonitorType::Http | HealthMonitorType::Https => {
                let (request, check) = http()?;
                let request_http2 = http2::request(&check, address)?;
                Self::Https { secure: Secure::new(connection()?, request, request_http2), check }
            }
            HealthMonitorType::Tcp | HealthMonitorType::TlsHello if secured.is_some() => {
                Self::Handshake { secure: Secure::new(connection()?, vec![], vec![]) }
            }
            HealthMonitorType::TlsHello => {
                let mut hello = vec![];
                connection()?.write_tls(&mut hello).map_err(|error| error.to_string())?;
                Self::Hello { exchange: Exchange::new(hello) }
            }
            HealthMonitorType::UdpConnect => Self::Datagram { answered: false },
            _ => Self::Connect,
        })
    }

    /// What can be said by what was seen.
    fn verdict(&self, address: SocketAddr) -> Option<Verdict> {
        let (answer, check) = match self {
            Self::Connect => return Some(Ok(())),
            Self::Datagram { answered } => return answered.then_some(Ok(())),
            Self::Hello { exchange } => {
                return match tls::hello(&exchange.seen) {
                    Hello::Server => Some(Ok(())),
                    Hello::Alert(description) => Some(Err(format!("TLS alert {description}"))),
                    Hello::NotTls => Some(Err("the answer is not TLS".to_owned())),
                    Hello::Incomplete => None,
                };
            }
            Self::Handshake { secure } => {
                // Our last word has to be sent, too, for the member to agree.
                let done = !secure.tls.is_handshaking() && !secure.tls.wants_write();
                return done.then_some(Ok(()));
            }
            Self::Http { exchange, check } => (http::answer(&exchange.seen), check),
            Self::Https { secure, check } if secure.speaks_http2() => {
                (http2::answer(check, address, &secure.seen), check)
            }
            Self::Https { secure, check } => (http::answer(&secure.seen), check),
        };
        match answer {
            Answer::Refused => Some(Err("the request was refused".to_owned())),
            Answer::Status(status) => Some(http::judge(check, status)),
            Answer::NotHttp => Some(Err("the answer is not HTTP".to_owned())),
            Answer::Incomplete => None,
        }
    }

    fn step(&mut self, socket: &OwnedFd) -> Result<Step, String> {
        match self {
            Self::Connect => Ok(Step::Moved),
            Self::Datagram { answered } => match sys::recv(socket.as_fd(), &mut [0]) {
                Ok(_) => {
                    *answered = true;
                    Ok(Step::Moved)
                }
                Err(Errno::AGAIN) => Ok(Step::Blocked),
                Err(error) => Err(describe(error)),
            },
            Self::Hello { exchange } | Self::Http { exchange, .. } => exchange.step(socket),
            Self::Handshake { secure } | Self::Https { secure, .. } => secure.step(socket),
        }
    }
}

impl Exchange {
    fn new(to_send: Vec<u8>) -> Self {
        Self { to_send, sent: 0, seen: vec![] }
    }

    fn step(&mut self, socket: &OwnedFd) -> Result<Step, String> {
        if self.sent < self.to_send.len() {
            return match sys::send(socket.as_fd(), &self.to_send[self.sent..]) {
                Ok(n) => {
                    self.sent += n;
                    Ok(Step::Moved)
                }
                Err(Errno::AGAIN) => Ok(Step::Blocked),
                Err(error) => Err(describe(error)),
            };
        }
        let mut chunk = [0; READ_SIZE];
        match sys::recv(socket.as_fd(), &mut chunk) {
            Ok(0) => Ok(Step::Closed),
            Ok(n) => {
                self.seen.extend_from_slice(&chunk[..n]);
                if self.seen.len() > MAX_ANSWER {
                    Err("the answer has no end".to_owned())
                } else {
                    Ok(Step::Moved)
                }
            }
            Err(Errno::AGAIN) => Ok(Step::Blocked),
            Err(error) => Err(describe(error)),
        }
    }
}

impl Secure {
    fn new(tls: ClientConnection, request: Vec<u8>, request_http2: Vec<u8>) -> Self {
        Self { tls: Box::new(tls), request, request_http2, seen: vec![], ciphertext: 0 }
    }

    fn speaks_http2(&self) -> bool {
        self.tls.alpn_protocol() == Some(b"h2")
    }

    /// Sends what TLS wants sent, or reads what has come.
    fn step(&mut self, socket: &OwnedFd) -> Result<Step, String> {
        if self.speaks_http2() && !self.request_http2.is_empty() {
            self.request = std::mem::take(&mut self.request_http2);
        }
        let tls = &mut self.tls;
        if !tls.is_handshaking() && !self.request.is_empty() {
            tls.writer().write_all(&self.request).map_err(|error| error.to_string())?;
            self.request.clear();
        }
        let blocked = |result: io::Result<usize>| match result {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(Errno::from_io_error(&error).map_or_else(|| error.to_string(), describe)),
        };
        if tls.wants_write() {
            return Ok(match blocked(tls.write_tls(&mut Socket(socket)))? {
                Some(_) => Step::Moved,
                None => Step::Blocked,
            });
        }
        let Some(n) = blocked(tls.read_tls(&mut Socket(socket)))? else { return Ok(Step::Blocked) };
        self.ciphertext += n;
        if self.ciphertext > MAX_CIPHERTEXT {
            return Err("the answer has no end".to_owned());
        }
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // So that the member can tell why, too; whether it hears it changes nothing.
                let _ = tls.write_tls(&mut Socket(socket));
                return Err(format!("TLS: {}", InWords(&error)));
            }
        };
        let mut chunk = [0; READ_SIZE];
        // A peer that closes without close_notify is an error only if its answer is not whole; that shows in it.
        while let Ok(read @ 1..) = tls.reader().read(&mut chunk) {
            let room = MAX_ANSWER.saturating_sub(self.seen.len());
            self.seen.extend_from_slice(&chunk[..read.min(room)]);
        }
        Ok(if n == 0 || state.peer_has_closed() { Step::Closed } else { Step::Moved })
    }
}

/// A socket as rustls reads and writes it.
struct Socket<'a>(&'a OwnedFd);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(sys::recv(self.0.as_fd(), buffer)?)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(sys::send(self.0.as_fd(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For people: no numbers of errors.
pub(super) fn describe(error: Errno) -> String {
    match error {
        Errno::CONNREFUSED => "connection refused".to_owned(),
        Errno::CONNRESET => "connection reset".to_owned(),
        Errno::HOSTUNREACH => "host unreachable".to_owned(),
        Errno::NETUNREACH => "network unreachable".to_owned(),
        Errno::TIMEDOUT => "connection timed out".to_owned(),
        error => error.to_string(),
    }
}
