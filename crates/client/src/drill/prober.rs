//! Attempts through a VIP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::attempts::{Attempt, Outcome};

/// What an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probing {
    /// `GET /` on a connection of its own.
    Http,
    /// A connection that is accepted, and nothing else.
    Connection,
}

impl Probing {
    /// For a listener's protocol; `None` = it cannot be tried from here.
    pub(crate) fn of(protocol: &str) -> Option<Self> {
        match protocol {
            "HTTP" | "PROMETHEUS" => Some(Self::Http),
            "TCP" | "HTTPS" | "TERMINATED_HTTPS" => Some(Self::Connection),
            _ => None,
        }
    }
}

/// How attempts are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probes {
    pub(crate) kind: Probing,
    pub(crate) address: SocketAddr,
    /// From the beginning of one to that of the next, whatever becomes of them.
    pub(crate) every: Duration,
    /// How long one may take.
    pub(crate) patience: Duration,
}

/// Attempts that go on until [`Prober::end`]. Dropping it ends them, too.
#[derive(Debug)]
pub(crate) struct Prober {
    asked: watch::Sender<bool>,
    task: JoinHandle<Vec<Attempt>>,
}

impl Prober {
    pub(crate) fn start(probes: Probes) -> Self {
        let (asked, stop) = watch::channel(false);
        Self { asked, task: tokio::spawn(probes.go_on(stop)) }
    }

    /// All attempts, one at least, also those that have not ended yet.
    ///
    /// # Errors
    ///
    /// If the task failed.
    pub(crate) async fn end(self) -> io::Result<Vec<Attempt>> {
        // An error means that it has ended by itself.
        let _ = self.asked.send(true);
        self.task.await.map_err(io::Error::other)
    }
}

impl Probes {
    async fn go_on(self, mut stop: watch::Receiver<bool>) -> Vec<Attempt> {
        let (start, mut under_way, mut done) = (Instant::now(), JoinSet::new(), vec![]);
        under_way.spawn(self.attempt(start));
        let mut due = interval(self.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        due.reset();
        loop {
            tokio::select! {
                _ = due.tick() => drop(under_way.spawn(self.attempt(start))),
                Some(ended) = under_way.join_next() => done.extend(ended.ok()),
                // Also when nobody is left to ask.
                _ = stop.changed() => break,
            }
        }
        while let Some(ended) = under_way.join_next().await {
            done.extend(ended.ok());
        }
        done
    }

    async fn attempt(self, start: Instant) -> Attempt {
        let begun = start.elapsed();
        let outcome = match timeout(self.patience, self.ask()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => outcome_of(&error),
            Err(_) => Outcome::Silence,
        };
        Attempt { begun, took: start.elapsed() - begun, outcome }
    }

    async fn ask(self) -> io::Result<Outcome> {
        let mut stream = TcpStream::connect(self.address).await?;
        if self.kind == Probing::Connection {
            return Ok(Outcome::Answered);
        }
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: octavia-drill\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut head).await?;
        Ok(if head[9] == b'5' { Outcome::Unserved } else { Outcome::Answered })
    }
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Outcome::Refused,
        io::ErrorKind::TimedOut => Outcome::Silence,
        _ => Outcome::Broken,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::drill::Summary;

    /// Of the only attempt, which fails or does not, when a server says this and closes the connection, or says nothing for
    /// ever.
    async fn seen(kind: Probing, says: Option<&'static str>) -> Option<Outcome> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probes = Probes {
            kind,
            address: listener.local_addr().unwrap(),
            every: Duration::from_secs(3600),
            patience: Duration::from_millis(if says.is_some() { 10_000 } else { 50 }),
        };
        let prober = Prober::start(probes);
        let (mut stream, _) = listener.accept().await.unwrap();
        if let Some(says) = says {
            if kind == Probing::Http {
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
            }
            stream.write_all(says.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        let attempts = prober.end().await.unwrap();
        assert_eq!(attempts.len(), 1);
        Summary::of(attempts).failed.keys().next().copied()
    }

    #[tokio::test]
    async fn what_clients_see() {
        use Outcome::{Broken, Silence, Unserved};
        for (kind, says, wanted) in [
            (Probing::Http, Some("HTTP/1.1 200 OK\r\n\r\n"), None),
            (Probing::Http, Some("HTTP/1.1 404 Not Found\r\n\r\n"), None),
            (Probing::Http, Some("HTTP/1.1 503 Service Unavailable\r\n\r\n"), Some(Unserved)),
            (Probing::Http, Some("HTTP/1"), Some(Broken)),
            (Probing::Http, None, Some(Silence)),
            (Probing::Connection, Some(""), None),
        ] {
            assert_eq!(seen(kind, says).await, wanted, "{kind:?} {says:?}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (every, patience) = (Duration::from_millis(5), Duration::from_secs(10));
        let prober = Prober::start(Probes { kind: Probing::Connection, address: nobody, every, patience });
        let attempts = prober.end().await.unwrap();
        assert!(!attempts.is_empty());
        assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Refused), "{attempts:?}");
    }
}
