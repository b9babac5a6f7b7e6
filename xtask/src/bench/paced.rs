//! Requests at a fixed rate, whatever becomes of those before (an open loop): what waits, waits for the client, too.
//! One thread, and a clock finer than the latencies that are to be told apart; HTTP/1.1 in clear.

mod answer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

pub(super) use self::answer::Answer;

#[derive(Debug, Clone, Copy)]
pub(super) struct Paced {
    pub(super) target: SocketAddr,
    pub(super) length: usize,
    pub(super) keep_alive: bool,
    /// Connections at once, at most: requests that find none free wait.
    pub(super) connections: usize,
    pub(super) per_second: f64,
    pub(super) time: Duration,
}

/// Microseconds from when each request was due to the last byte of its answer, in order of size.
#[derive(Debug)]
pub(super) struct Latencies(Vec<f64>);

impl Latencies {
    /// The least that `q` (0–1) of the requests did not exceed.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rank = (self.0.len() as f64 * q).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.len()
    }
}

/// Later than this, an answer is a failure.
const LIMIT: Duration = Duration::from_secs(10);

impl Paced {
    /// # Errors
    /// When anything failed: an error, a status that is not good, a body of another length, an answer that never came.
    pub(super) fn run(self) -> Result<Latencies> {
        // The kernel may otherwise let us sleep 50 µs longer than we asked to.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        Run {
            plan: self,
            request: self.request(),
            free: (0..self.connections).map(|_| None).collect(),
            busy: vec![],
            waiting: VecDeque::new(),
            latencies: vec![],
        }
        .go()
    }

    fn request(self) -> Vec<u8> {
        let close = if self.keep_alive { "" } else { "Connection: close\r\n" };
        format!("GET /bytes/{} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", self.length, self.target).into_bytes()
    }
}

struct Run {
    plan: Paced,
    request: Vec<u8>,
    /// Connections without a request; `None` = one that may yet be made.
    free: Vec<Option<OwnedFd>>,
    busy: Vec<Exchange>,
    /// When requests were due that found no connection.
    waiting: VecDeque<Instant>,
    latencies: Vec<f64>,
}

/// A request under way.
struct Exchange {
    socket: OwnedFd,
    due: Instant,
    /// The kernel has taken the request.
    sent: bool,
    answer: Answer,
}

impl Run {
    fn go(mut self) -> Result<Latencies> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let total = (self.plan.per_second * self.plan.time.as_secs_f64()).ceil() as u32;
        ensure!(total > 0, "no request in {:?} at {}/s", self.plan.time, self.plan.per_second);
        let start = Instant::now();
        let per_second = self.plan.per_second;
        let due = |number: u32| start + Duration::from_secs_f64(f64::from(number) / per_second);
        let mut next = 0;
        let mut buffer = vec![0; 256 << 10];
        while self.latencies.len() < total as usize {
            let now = Instant::now();
            while next < total && due(next) <= now {
                self.waiting.push_back(due(next));
                next += 1;
            }
            self.send_waiting()?;
            ensure!(
                now < due(total) + LIMIT,
                "{} of {total} requests were not answered",
                self.missing(total)
            );
            let until = if next < total { due(next) } else { due(total) + LIMIT };
            self.wait(until.saturating_duration_since(Instant::now()))?;
            self.receive(&mut buffer)?;
        }
        self.latencies.sort_by(f64::total_cmp);
        Ok(Latencies(self.latencies))
    }

    fn missing(&self, total: u32) -> usize {
        total as usize - self.latencies.len()
    }

    fn send_waiting(&mut self) -> Result<()> {
        while !self.waiting.is_empty()
            && let Some(socket) = self.free.pop()
            && let Some(due) = self.waiting.pop_front()
        {
            let socket = match socket {
                Some(socket) => socket,
                None => connect(self.plan.target)?,
            };
            let mut exchange = Exchange { socket, due, sent: false, answer: Answer::new(self.plan.length) };
            exchange.send(&self.request)?;
            self.busy.push(exchange);
        }
        Ok(())
    }

    /// Until something happens, but no longer than that.
    fn wait(&self, time: Duration) -> Result<()> {
        let mut watched: Vec<_> = self.busy.iter().map(Exchange::watched).collect();
        let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("poll"),
        }
    }

    /// Goes on with every request that can.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut at = 0;
        while let Some(exchange) = self.busy.get_mut(at) {
            exchange.send(&self.request)?;
            if !exchange.receive(buffer)? {
                at += 1;
                continue;
            }
            let done = self.busy.swap_remove(at);
            self.latencies.push(done.due.elapsed().as_secs_f64() * 1e6);
            self.free.push(Some(done.socket).filter(|_| self.plan.keep_alive));
        }
        Ok(())
    }
}

impl Exchange {
    fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.socket, if self.sent { PollFlags::IN } else { PollFlags::OUT })
    }

    /// Sends the request, if that has not been done. It is short: the kernel takes it whole.
    fn send(&mut self, request: &[u8]) -> Result<()> {
        if self.sent {
            return Ok(());
        }
        match rustix::net::send(&self.socket, request, SendFlags::NOSIGNAL) {
            Ok(length) => {
                ensure!(length == request.len(), "half a request was sent");
                self.sent = true;
                Ok(())
            }
            // The connection is not made yet.
            Err(Errno::WOULDBLOCK | Errno::NOTCONN | Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("a request could not be sent"),
        }
    }

    /// Whether the answer is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        if !self.sent {
            return Ok(false);
        }
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => bail!("a connection ended before the answer did"),
                Ok((length, _)) => {
                    if self.answer.take(&buffer[..length])? {
                        return Ok(true);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(error) => return Err(error).context("an answer could not be read"),
            }
        }
    }
}

/// Begins to connect; the socket does not block.
pub(super) fn connect(target: SocketAddr) -> Result<OwnedFd> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error).with_context(|| format!("connecting to {target}")),
    }
}

#[cfg(test)]
mod tests {
    use octavia_testkit::Origin;

    use super::*;

    fn plan(target: SocketAddr, keep_alive: bool, length: usize) -> Paced {
        let time = Duration::from_millis(300);
        Paced { target, length, keep_alive, connections: 4, per_second: 500.0, time }
    }

    #[test]
    fn asks_as_often_as_it_says_and_takes_its_time_for_it() {
        let origin = Origin::start(([127, 0, 0, 1], 0).into(), "one").unwrap();
        for (keep_alive, length) in [(true, 1_000), (false, 40), (true, 600_000)] {
            let start = Instant::now();
            let latencies = plan(origin.address(), keep_alive, length).run().unwrap();
            assert_eq!(latencies.count(), 150, "{keep_alive} {length}");
            assert!(start.elapsed() >= Duration::from_millis(298), "the last is due after 149 gaps of 2 ms");
            assert!(latencies.quantile(0.0) > 0.0);
            assert!(latencies.quantile(0.5) <= latencies.quantile(1.0));
        }
    }

    /// What waits for a connection has waited.
    #[test]
    fn a_server_that_is_slow_is_not_asked_less() {
        use std::io::{Read as _, Write as _};

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pause = Duration::from_millis(20);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4_096];
            while stream.read(&mut request).unwrap() > 0 {
                std::thread::sleep(pause);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!").unwrap();
            }
        });
        let plan = Paced { connections: 1, per_second: 100.0, ..plan(address, true, 1) };
        let latencies = plan.run().unwrap();
        server.join().unwrap();
        assert_eq!(latencies.count(), 30);
        // The last is due after 290 ms, and answered after thirty times 20 ms.
        assert!(latencies.quantile(1.0) >= 300e3, "{latencies:?}");
    }

    #[test]
    fn failures_are_errors() {
        let nobody = octavia_testkit::net::free_address().unwrap();
        assert!(plan(nobody, true, 1).run().is_err());
        let origin = Origin::start(([127, 0, 0, 1], 0).into(), "one").unwrap();
        let error = Paced { time: Duration::ZERO, ..plan(origin.address(), true, 1) }.run().unwrap_err();
        assert!(error.to_string().contains("no request"), "{error}");
    }

    #[test]
    fn quantiles() {
        let latencies = Latencies((1..=200).map(f64::from).collect());
        for (q, value) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert!((latencies.quantile(q) - value).abs() < 1e-9, "{q}");
        }
        assert!(Latencies(vec![]).quantile(0.5).is_nan());
    }
}
