//! Members that cost next to nothing, so that what is measured is what everything waits for: one thread of this process,
//! answers made before.
//!
//! With nginx as the members, `wrk` and they needed more of their core for a request than a proxy of its own: proxies were
//! idle between requests, and going to sleep and being woken was a large part of what was measured.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use octavia_testkit::body;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv, send,
    socket_with, sockopt,
};

/// Answers of at least this many bytes go from a file, without being copied.
const FILE_MIN: usize = 32 << 10;
/// A longer head is a mistake, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// Each address completes so many connections before they are taken.
const BACKLOG: i32 = 4096;

/// `GET /bytes/N` on every address, until it is dropped.
#[derive(Debug)]
pub(super) struct Members {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Members {
    /// They answer with so many bytes, for every length that is given; the new thread runs where this one does.
    pub(super) fn start(addresses: &[SocketAddr], lengths: &[usize]) -> Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let mut answers = HashMap::new();
        for length in lengths {
            let contents = [Content::of(*length, false)?, Content::of(*length, true)?].map(Arc::new);
            answers.insert(format!("GET /bytes/{length} ").into_bytes(), contents);
        }
        let mut run = Run { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, places: vec![], answers };
        run.add(Place::Stop(Arc::clone(&stop)), epoll::EventFlags::IN)?;
        for address in addresses {
            let socket =
                listening(*address).with_context(|| format!("a member cannot listen at {address}"))?;
            run.add(Place::Listening(socket), epoll::EventFlags::IN)?;
        }
        let thread = std::thread::Builder::new().name("members".into()).spawn(move || {
            if let Err(error) = run.go() {
                eprintln!("xtask: the members are gone: {error}");
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listening(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A whole answer, head and body.
#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Content {
    /// `last` = the connection ends with it.
    fn of(length: usize, last: bool) -> Result<Self> {
        let close = if last { "Connection: close\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nServer: member\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
             Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"{length:x}\"\r\nAccept-Ranges: bytes\r\n{close}\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(&body::pattern(length));
        let mut file = None;
        if bytes.len() >= FILE_MIN {
            let made = memfd_create("answer", MemfdFlags::CLOEXEC)?;
            let mut written = 0;
            while written < bytes.len() {
                written += rustix::io::write(&made, &bytes[written..])?;
            }
            file = Some(made);
        }
        Ok(Self { bytes, file })
    }
}

/// What an event is about; where it is in the table is its number.
enum Place {
    Free,
    Stop(Arc<OwnedFd>),
    Listening(OwnedFd),
    Connection(Connection),
}

struct Connection {
    socket: OwnedFd,
    /// Of the next request, until its head is whole.
    head: Vec<u8>,
    /// What is on its way, and how many bytes of it have gone.
    answer: Option<(Arc<Content>, usize)>,
    /// This request is the last.
    closes: bool,
}

/// By how a request begins: what is answered on a connection that goes on, and on one that ends with it.
type Answers = HashMap<Vec<u8>, [Arc<Content>; 2]>;

struct Run {
    epoll: OwnedFd,
    places: Vec<Place>,
    answers: Answers,
}

impl Run {
    fn add(&mut self, place: Place, flags: epoll::EventFlags) -> io::Result<()> {
        let number = self.places.iter().position(|place| matches!(place, Place::Free));
        let number = number.unwrap_or_else(|| {
            self.places.push(Place::Free);
            self.places.len() - 1
        });
        let fd = match &place {
            Place::Free => return Ok(()),
            Place::Stop(fd) => fd.as_fd(),
            Place::Listening(socket) => socket.as_fd(),
            Place::Connection(connection) => connection.socket.as_fd(),
        };
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(number as u64), flags)?;
        self.places[number] = place;
        Ok(())
    }

    fn go(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        let mut scratch = vec![0; HEAD_MAX];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                match self.places.get_mut(number) {
                    None | Some(Place::Free) => {}
                    Some(Place::Stop(_)) => return Ok(()),
                    Some(Place::Listening(_)) => self.accept(number)?,
                    Some(Place::Connection(connection)) => {
                        if connection.go_on(&self.answers, &mut scratch).is_err() {
                            self.places[number] = Place::Free;
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self, number: usize) -> io::Result<()> {
        use epoll::EventFlags as On;
        loop {
            let Some(Place::Listening(socket)) = self.places.get(number) else { return Ok(()) };
            let socket = match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let connection = Connection { socket, head: vec![], answer: None, closes: false };
            self.add(Place::Connection(connection), On::IN | On::OUT | On::RDHUP | On::ET)?;
        }
    }
}

/// The connection is at its end.
#[derive(Debug)]
struct Over;

impl From<Errno> for Over {
    fn from(_: Errno) -> Self {
        Self
    }
}

impl Connection {
    fn go_on(&mut self, answers: &Answers, scratch: &mut [u8]) -> Result<(), Over> {
        loop {
            if let Some((content, sent)) = &mut self.answer {
                match put(&self.socket, content, *sent) {
                    Ok(bytes) => *sent += bytes,
                    Err(Errno::WOULDBLOCK) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                if *sent < content.bytes.len() {
                    continue;
                }
                if self.closes {
                    return Err(Over);
                }
                self.answer = None;
            }
            let read = match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((0, _)) => return Err(Over),
                Ok((read, _)) => read,
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // Nobody asks again before the answer has come, so that a head ends where a read does.
            let head = if self.head.is_empty() && scratch[..read].ends_with(b"\r\n\r\n") {
                &scratch[..read]
            } else {
                self.head.extend_from_slice(&scratch[..read]);
                &self.head
            };
            if !head.ends_with(b"\r\n\r\n") {
                if head.len() > HEAD_MAX {
                    return Err(Over);
                }
                continue;
            }
            let Some(asked) = asked(head, answers) else { return Err(Over) };
            self.closes = closes(head);
            self.answer = Some((Arc::clone(&asked[usize::from(self.closes)]), 0));
            self.head.clear();
        }
    }
}

fn put(socket: &OwnedFd, content: &Content, sent: usize) -> rustix::io::Result<usize> {
    match &content.file {
        Some(file) => {
            let mut from = sent as u64;
            sendfile(socket, file, Some(&mut from), content.bytes.len() - sent)
        }
        None => send(socket, &content.bytes[sent..], SendFlags::NOSIGNAL),
    }
}

fn asked<'a>(head: &[u8], answers: &'a Answers) -> Option<&'a [Arc<Content>; 2]> {
    let method = head.iter().position(|byte| *byte == b' ')? + 1;
    let target = method + head[method..].iter().position(|byte| *byte == b' ')? + 1;
    answers.get(&head[..target])
}

/// Whether the client wants no other answer on this connection (RFC 9112 §9.3).
fn closes(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let old = lines.next().is_some_and(|line| line.ends_with("HTTP/1.0"));
    let mut options = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("connection").then(|| value.trim().to_ascii_lowercase())
    });
    if old { !options.any(|value| value == "keep-alive") } else { options.any(|value| value == "close") }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn answer_whole_on_kept_and_on_new_connections() {
        let addresses = [octavia_testkit::net::free_address().unwrap()];
        let members = Members::start(&addresses, &[40, 300_000]).unwrap();
        let ask = |stream: &mut TcpStream, length: usize, pieces: &[&str]| {
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
            }
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
            let mut content = vec![0; length];
            stream.read_exact(&mut content).unwrap();
            assert_eq!(content, body::pattern(length));
        };
        let mut stream = TcpStream::connect(addresses[0]).unwrap();
        ask(&mut stream, 40, &["GET /bytes/40 HTTP/1.1\r\nHost: a\r\n\r\n"]);
        ask(&mut stream, 300_000, &["GET /bytes/300000 HT", "TP/1.1\r\nHost: a\r\n", "\r\n"]);
        ask(&mut stream, 40, &["GET /bytes/40 HTTP/1.1\r\nConnection: close\r\n\r\n"]);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it was to be closed");
        // Something else is asked for.
        let mut stream = TcpStream::connect(addresses[0]).unwrap();
        stream.write_all(b"GET /bytes/41 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        drop(members);
        assert!(TcpStream::connect(addresses[0]).is_err(), "nobody listens any more");
    }

    #[test]
    fn last_requests() {
        for (head, last) in [
            ("GET / HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nCONNECTION: Close\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
        ] {
            assert_eq!(closes(head.as_bytes()), last, "{head}");
        }
    }
}
