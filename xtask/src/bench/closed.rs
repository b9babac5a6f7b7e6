//! A closed loop of requests from one thread that needs less than a proxy does, so that proxies are what it waits for.
//!
//! HTTP/1.1, in clear or over TLS. What is in a body is nobody's concern: in clear it is thrown away in the kernel.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::idle::Speech;
use super::load::{Load, Outcome};
use super::paced::{Answer, connect};

/// Later than this, an answer is a failure.
const LIMIT: Duration = Duration::from_secs(10);
/// Read at once, in bytes.
const PIECE: usize = 256 << 10;
/// Of each connection that is kept, so many answers are looked at whole; then their ends are counted.
const JUDGED: u64 = 3;

/// # Errors
/// When anything failed: an error, a status that is not good, a body of another length, an answer that never came.
pub(super) fn run(load: Load) -> Result<Outcome> {
    let tls = match load.scheme {
        "https" => match Speech::tls()? {
            Speech::Tls(config) => Some(config),
            Speech::Clear => None,
        },
        _ => None,
    };
    let close = if load.keep_alive { "" } else { "Connection: close\r\n" };
    let request = format!("GET /bytes/{} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", load.length, load.target);
    let mut run = Run {
        load,
        tls,
        request: request.into_bytes(),
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        clients: vec![],
        latencies: vec![],
        scratch: vec![0; PIECE],
    };
    run.go()
}

struct Run {
    load: Load,
    tls: Option<Arc<ClientConfig>>,
    request: Vec<u8>,
    epoll: OwnedFd,
    clients: Vec<Client>,
    /// Microseconds.
    latencies: Vec<f64>,
    scratch: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    since: Instant,
    sent: bool,
    answers: u64,
    progress: Progress,
}

/// How far an answer has come.
enum Progress {
    /// Every byte is looked at.
    Judged(Answer),
    /// Its head has not ended yet.
    Head(Vec<u8>),
    /// Bytes of the body that are still to come.
    Body(usize),
}

impl Progress {
    fn of(answers: u64, length: usize) -> Self {
        if answers < JUDGED { Self::Judged(Answer::new(length)) } else { Self::Head(vec![]) }
    }

    /// Whether the answer is whole now.
    fn take(&mut self, bytes: &[u8], length: usize) -> Result<bool> {
        let body = match self {
            Self::Judged(answer) => return answer.take(bytes),
            Self::Body(_) => bytes.len(),
            Self::Head(head) => {
                // Most come at once.
                let whole = if head.is_empty() {
                    bytes
                } else {
                    head.extend_from_slice(bytes);
                    head.as_slice()
                };
                let Some(end) = whole.windows(4).position(|four| four == b"\r\n\r\n") else {
                    if head.is_empty() {
                        head.extend_from_slice(bytes);
                    }
                    ensure!(head.len() < PIECE, "an answer's head does not end");
                    return Ok(false);
                };
                ensure!(whole.starts_with(b"HTTP/1.1 200"), "not a good answer");
                let body = whole.len() - end - 4;
                *self = Self::Body(length);
                body
            }
        };
        self.gone(body)
    }

    /// So many bytes of the body have come.
    fn gone(&mut self, bytes: usize) -> Result<bool> {
        let Self::Body(left) = self else { bail!("bytes of a body before it") };
        *left = left.checked_sub(bytes).context("bytes after an answer")?;
        Ok(*left == 0)
    }
}

impl Run {
    fn go(&mut self) -> Result<Outcome> {
        for number in 0..self.load.connections {
            let client = self.client(number as usize, JUDGED)?;
            self.clients.push(client);
            self.send(number as usize)?;
        }
        let start = Instant::now();
        let length = Duration::from_secs(self.load.seconds.into());
        let mut events = Vec::with_capacity(256);
        let mut last = start;
        while start.elapsed() < length {
            events.clear();
            let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
                Ok(0) => ensure!(last.elapsed() < LIMIT, "nothing was answered for {LIMIT:?}"),
                Ok(_) => last = Instant::now(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            for event in &events {
                let number = usize::try_from(event.data.u64())?;
                self.send(number)?;
                while self.receive(number)? {
                    self.next(number)?;
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        ensure!(!self.latencies.is_empty(), "no request was answered");
        self.latencies.sort_by(f64::total_cmp);
        let quantile = |q: usize| self.latencies[(self.latencies.len() - 1) * q / 100];
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let requests = self.latencies.len() as f64;
        Ok(Outcome { requests, seconds, p50_us: quantile(50), p99_us: quantile(99) })
    }

    /// A new connection; of its answers, so many are not looked at whole.
    fn client(&self, number: usize, judged: u64) -> Result<Client> {
        let stream = TcpStream::from(connect(self.load.target)?);
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from("bench.test")?;
                Some(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        use epoll::EventFlags as On;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.epoll, &stream, data, On::IN | On::OUT | On::RDHUP | On::ET)?;
        let answers = JUDGED - judged;
        let progress = Progress::of(answers, self.load.length);
        Ok(Client { stream, tls, since: Instant::now(), sent: false, answers, progress })
    }

    /// The answer is whole: what follows on it.
    fn next(&mut self, number: usize) -> Result<()> {
        let client = &mut self.clients[number];
        self.latencies.push(client.since.elapsed().as_secs_f64() * 1e6);
        if self.load.keep_alive {
            client.answers += 1;
            client.since = Instant::now();
            client.sent = false;
            client.progress = Progress::of(client.answers, self.load.length);
        } else {
            // Of new connections, every hundredth is looked at.
            let judged = if self.latencies.len().is_multiple_of(100) { JUDGED } else { 0 };
            self.clients[number] = self.client(number, judged)?;
        }
        self.send(number)
    }

    /// Sends the request, if that has not been done. It is short: the kernel takes it whole.
    fn send(&mut self, number: usize) -> Result<()> {
        let client = &mut self.clients[number];
        if client.sent {
            return Ok(());
        }
        if let Some(tls) = &mut client.tls {
            tls.writer().write_all(&self.request)?;
            client.sent = true;
            return flush(tls, &mut client.stream);
        }
        match rustix::net::send(&client.stream, &self.request, SendFlags::NOSIGNAL) {
            Ok(length) => {
                ensure!(length == self.request.len(), "half a request was sent");
                client.sent = true;
                Ok(())
            }
            // The connection is not made yet.
            Err(Errno::WOULDBLOCK | Errno::NOTCONN | Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("a request could not be sent"),
        }
    }

    /// Whether the answer is whole.
    fn receive(&mut self, number: usize) -> Result<bool> {
        let client = &mut self.clients[number];
        if let Some(tls) = &mut client.tls {
            return receive_tls(
                tls,
                &mut client.stream,
                &mut client.progress,
                &mut self.scratch,
                self.load.length,
            );
        }
        loop {
            let discard = matches!(client.progress, Progress::Body(_));
            let flags = if discard { RecvFlags::TRUNC } else { RecvFlags::empty() };
            let room = if let Progress::Body(left) = client.progress { left.min(PIECE) } else { PIECE };
            // What is thrown away is counted, not written.
            let read = match rustix::net::recv(&client.stream, &mut self.scratch[..room], flags) {
                Ok((0, _)) => bail!("a connection ended before the answer did"),
                Ok((_, read)) => read,
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK | Errno::NOTCONN) => return Ok(false),
                Err(error) => return Err(error).context("an answer could not be read"),
            };
            let whole = if discard {
                client.progress.gone(read)?
            } else {
                client.progress.take(&self.scratch[..read], self.load.length)?
            };
            if whole {
                return Ok(true);
            }
        }
    }
}

fn receive_tls(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    progress: &mut Progress,
    scratch: &mut [u8],
    length: usize,
) -> Result<bool> {
    loop {
        match tls.read_tls(stream) {
            Ok(0) => bail!("a connection ended before the answer did"),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("an answer could not be read"),
        }
        tls.process_new_packets()?;
        flush(tls, stream)?;
        loop {
            match tls.reader().read(scratch) {
                Ok(0) => bail!("a session ended before the answer did"),
                Ok(read) => {
                    if progress.take(&scratch[..read], length)? {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("an answer could not be read"),
            }
        }
    }
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) -> Result<()> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(_) => {}
            // There is an event when the connection is made, or takes more.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
            Err(error) => return Err(error).context("a request could not be sent"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use octavia_testkit::Origin;

    use super::super::load::Tool;
    use super::*;

    fn load(target: SocketAddr, keep_alive: bool, length: usize) -> Load {
        Load { tool: Tool::Closed, scheme: "http", target, length, keep_alive, connections: 3, seconds: 1 }
    }

    #[test]
    fn asks_again_as_soon_as_it_is_answered() {
        let origin = Origin::start(([127, 0, 0, 1], 0).into(), "one").unwrap();
        for (keep_alive, length) in [(true, 1_000), (false, 40), (true, 600_000)] {
            let outcome = run(load(origin.address(), keep_alive, length)).unwrap();
            assert!(outcome.requests > 20.0 && outcome.p50_us <= outcome.p99_us, "{outcome:?}");
            assert!((1.0..5.0).contains(&outcome.seconds), "{outcome:?}");
        }
    }

    #[test]
    fn failures_are_errors() {
        let nobody = octavia_testkit::net::free_address().unwrap();
        assert!(run(load(nobody, true, 1)).is_err());
    }

    #[test]
    fn ends_of_answers() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        let whole = [&head[..], b"abc"].concat();
        for cut in 1..whole.len() {
            let mut progress = Progress::of(JUDGED, 3);
            assert!(!progress.take(&whole[..cut], 3).unwrap(), "{cut}");
            assert!(progress.take(&whole[cut..], 3).unwrap(), "{cut}");
        }
        assert!(Progress::of(JUDGED, 2).take(&whole, 2).is_err(), "a byte too many");
        assert!(Progress::of(JUDGED, 3).take(b"HTTP/1.1 503 No\r\n\r\n", 3).is_err());
    }
}
