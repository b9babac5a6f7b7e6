//! An HTTP/1.1 load generator that believes nothing: every response is checked for status, length, content and
//! the origin's name, and every failure is counted by its kind.
//!
//! It never retries. A reused connection that the other side closed between two requests is a failure of its own
//! kind ([`FailureKind::ReuseClosed`]): a proxy that means to close says `Connection: close` first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::Histogram;
use crate::origin::lock;

mod connection;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    KeepAlive,
    /// One connection per request, which asks for `Connection: close`.
    Short,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection sends its next request when the response is there.
    Closed,
    /// Requests per second over all connections, evenly spaced.
    Rate(f64),
}

#[derive(Debug, Clone)]
pub struct Expect {
    pub status: u16,
    /// The whole body. `None` = any body of the announced length.
    pub body: Option<Bytes>,
}

/// Whole requests, heads and bodies, by their number in the run (from 0).
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(u64) -> Bytes + Send + Sync>);

impl Script {
    pub fn new(request: impl Fn(u64) -> Bytes + Send + Sync + 'static) -> Self {
        Self(Arc::new(request))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

#[derive(Debug, Clone)]
pub struct LoadPlan {
    pub target: SocketAddr,
    pub host: String,
    pub path: String,
    /// What is sent instead of `GET path`; it says itself whether connections are kept.
    pub script: Option<Script>,
    pub mode: Mode,
    pub pace: Pace,
    pub connections: usize,
    pub expect: Expect,
    /// For one request: connect, send, and the whole response.
    pub timeout: Duration,
    /// The longest it runs, whatever else is asked.
    pub duration: Duration,
    /// The most requests it sends.
    pub requests: u64,
}

impl LoadPlan {
    /// `connections` in a closed loop asking for `/bytes/length`, for at most ten minutes.
    pub fn bytes(target: SocketAddr, mode: Mode, connections: usize, length: usize) -> Self {
        Self {
            target,
            host: target.to_string(),
            path: format!("/bytes/{length}"),
            script: None,
            mode,
            pace: Pace::Closed,
            connections,
            expect: Expect { status: 200, body: Some(crate::body::pattern(length)) },
            timeout: Duration::from_secs(10),
            duration: Duration::from_secs(600),
            requests: u64::MAX,
        }
    }

    /// `connections`, kept, in a closed loop over what `script` says; each answer has this status.
    pub fn script(target: SocketAddr, connections: usize, status: u16, script: Script) -> Self {
        let expect = Expect { status, body: None };
        Self { script: Some(script), expect, ..Self::bytes(target, Mode::KeepAlive, connections, 0) }
    }

    #[must_use]
    pub fn rate(self, per_second: f64) -> Self {
        Self { pace: Pace::Rate(per_second), ..self }
    }

    #[must_use]
    pub fn for_requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    #[must_use]
    pub fn for_duration(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }

    /// Runs in the background until stopped or one of the plan's bounds is reached.
    pub fn start(self) -> LoadHandle {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            tickets: AtomicU64::new(0),
            started: Instant::now(),
            report: Mutex::default(),
            plan: self,
        });
        let tasks =
            (0..shared.plan.connections).map(|_| tokio::spawn(connection::run(shared.clone()))).collect();
        LoadHandle { shared, tasks }
    }

    /// Runs to the plan's bounds.
    pub async fn run(self) -> LoadReport {
        self.start().finish().await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    ConnectRefused,
    ConnectOther,
    /// A new connection closed without a byte of a response.
    Closed,
    /// A reused connection closed before a byte of the response, without having said so.
    ReuseClosed,
    Reset,
    Timeout,
    /// The connection ended inside the response.
    ShortBody,
    /// Not HTTP, or bytes after the response.
    Malformed,
    Status,
    WrongBody,
}

/// One failure, with enough to look for its cause.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: FailureKind,
    /// After the start of the run.
    pub at: Duration,
    pub detail: String,
}

#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    pub ok: u64,
    pub failures: BTreeMap<FailureKind, u64>,
    /// The first of them.
    pub examples: Vec<Failure>,
    /// Of good responses, from when their requests were sent; under a rate, from when they were due.
    pub latency: Histogram,
    /// Good responses by the origin that gave them.
    pub members: BTreeMap<String, u64>,
    pub connects: u64,
    pub body_bytes: u64,
    pub elapsed: Duration,
    /// The longest time between two good responses of the whole run.
    pub longest_gap: Duration,
    last_ok: Option<Instant>,
}

impl LoadReport {
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// `Err` with kinds and examples unless there was traffic and none of it failed.
    pub fn all_good(&self) -> Result<(), String> {
        if self.ok == 0 {
            return Err("no request was answered at all".into());
        }
        if self.failed() == 0 { Ok(()) } else { Err(self.to_string()) }
    }

    fn failed_add(&mut self, failure: Failure) {
        const EXAMPLES: usize = 10;
        *self.failures.entry(failure.kind).or_default() += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(failure);
        }
    }
}

impl std::fmt::Display for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ok, {} failed in {:.1?} ({:?}), by member {:?}",
            self.ok,
            self.failed(),
            self.elapsed,
            self.latency,
            self.members
        )?;
        if !self.failures.is_empty() {
            write!(f, "\n  failures {:?}", self.failures)?;
        }
        for failure in &self.examples {
            write!(f, "\n  at {:.3?} {:?}: {}", failure.at, failure.kind, failure.detail)?;
        }
        Ok(())
    }
}

/// A run in the background. Dropping it stops the run.
#[derive(Debug)]
pub struct LoadHandle {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl LoadHandle {
    /// What happened so far.
    pub fn report(&self) -> LoadReport {
        let mut report = lock(&self.shared.report).clone();
        report.elapsed = self.shared.started.elapsed();
        report
    }

    /// Starts the report anew, and gives the one until now.
    pub fn take_report(&self) -> LoadReport {
        let mut report = lock(&self.shared.report);
        let last_ok = report.last_ok;
        let taken = std::mem::take(&mut *report);
        report.last_ok = last_ok;
        taken
    }

    /// Lets requests under way end, then reports.
    pub async fn stop(self) -> LoadReport {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits for the plan's bounds.
    pub async fn finish(mut self) -> LoadReport {
        for task in &mut self.tasks {
            let _ = task.await;
        }
        self.report()
    }
}

impl Drop for LoadHandle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Shared {
    plan: LoadPlan,
    stop: AtomicBool,
    tickets: AtomicU64,
    started: Instant,
    report: Mutex<LoadReport>,
}

impl Shared {
    /// The next request's number, and when it shall go out; `None` = no more requests.
    fn next_start(&self) -> Option<(u64, Instant)> {
        if self.stop.load(Ordering::Relaxed) || self.started.elapsed() >= self.plan.duration {
            return None;
        }
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        if ticket >= self.plan.requests {
            return None;
        }
        let at = match self.plan.pace {
            Pace::Closed => Some(self.started),
            Pace::Rate(per_second) => {
                #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
                let after = Duration::from_secs_f64(ticket as f64 / per_second.max(0.001));
                (after < self.plan.duration).then(|| self.started + after)
            }
        };
        Some((ticket, at?))
    }

    fn record(&self, took: Duration, outcome: Result<Good, (FailureKind, String)>) {
        let now = Instant::now();
        let mut report = lock(&self.report);
        match outcome {
            Ok(good) => {
                report.ok += 1;
                report.body_bytes += good.length as u64;
                report.latency.record(took);
                let since = report.last_ok.unwrap_or(self.started);
                report.longest_gap = report.longest_gap.max(now - since);
                report.last_ok = Some(now);
                if let Some(count) = report.members.get_mut(&good.origin) {
                    *count += 1;
                } else {
                    report.members.insert(good.origin, 1);
                }
            }
            Err((kind, detail)) => report.failed_add(Failure { kind, at: now - self.started, detail }),
        }
    }
}

struct Good {
    origin: String,
    length: usize,
}

#[cfg(test)]
mod tests;
