//! Demo members and the visitor that counts who answered: what quickstart shows the product with.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};

/// A small HTTP server that answers its own name, on a port that stays its own when it is killed and comes back.
#[derive(Debug)]
pub(crate) struct DemoMember {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl DemoMember {
    pub(crate) async fn start(name: &'static str) -> anyhow::Result<Self> {
        let mut member = Self { name, address: SocketAddr::from(([127, 0, 0, 1], 0)), serving: None };
        member.revive().await?;
        Ok(member)
    }

    /// Ends it the hard way: listening socket and open connections close at once.
    pub(crate) fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }

    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address).with_context(|| format!("the demo member cannot have {}", self.address))?;
        let listener = socket.listen(1024)?;
        self.address = listener.local_addr()?;
        self.serving = Some(tokio::spawn(serve(listener, self.name)));
        Ok(())
    }
}

impl Drop for DemoMember {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(listener: TcpListener, name: &'static str) {
    // Dropped with this task: all connections end with the member.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let answer = service_fn(move |_request: Request<hyper::body::Incoming>| async move {
                    Ok::<_, Infallible>(Response::new(Body::from(format!("{name}\n"))))
                });
                connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What a run of visits saw: answers by member name, failures by cause.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Visits {
    pub(crate) answered: BTreeMap<String, u32>,
    pub(crate) failed: BTreeMap<String, u32>,
}

impl Visits {
    pub(crate) fn total(&self) -> u32 {
        self.answered.values().sum::<u32>() + self.failures()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failed.values().sum()
    }

    pub(crate) fn add(&mut self, more: Self) {
        for (name, count) in more.answered {
            *self.answered.entry(name).or_default() += count;
        }
        for (cause, count) in more.failed {
            *self.failed.entry(cause).or_default() += count;
        }
    }

    /// A line for each member with a bar, then the failures by cause.
    pub(crate) fn chart(&self) -> String {
        const WIDTH: u32 = 40;
        let most = self.answered.values().copied().max().unwrap_or(1).max(1);
        let mut lines: Vec<String> = self
            .answered
            .iter()
            .map(|(name, count)| {
                let bar = "#".repeat((count * WIDTH).div_ceil(most) as usize);
                format!("  {name:<12} {count:>5}  {bar}")
            })
            .collect();
        let total = self.total();
        lines.push(match self.failures() {
            0 => format!("  failed           0  of {total}"),
            failures => {
                let causes: Vec<String> =
                    self.failed.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
                format!("  failed       {failures:>5}  of {total}: {}", causes.join(", "))
            }
        });
        lines.join("\n")
    }
}

/// Requests one after another, each on a connection of its own, until `count` or `time` is reached.
pub(crate) async fn visit(url: &str, count: u32, time: Duration, pause: Duration) -> anyhow::Result<Visits> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()
        .context("no HTTP client")?;
    let until = Instant::now() + time;
    let mut visits = Visits::default();
    while visits.total() < count && Instant::now() < until {
        match answer(&client, url).await {
            Ok(name) => *visits.answered.entry(name).or_default() += 1,
            Err(cause) => *visits.failed.entry(cause).or_default() += 1,
        }
        tokio::time::sleep(pause).await;
    }
    Ok(visits)
}

async fn answer(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let response = client.get(url).send().await.map_err(|e| cause(&e))?;
    let status = response.status();
    if !status.is_success() {
        return Err(status.to_string());
    }
    Ok(response.text().await.map_err(|e| cause(&e))?.trim().to_owned())
}

fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "timeout".to_owned()
    } else if error.is_connect() {
        "connection refused".to_owned()
    } else {
        "connection broken".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_member_dies_and_comes_back_on_its_port() {
        octavia_client_provider();
        let mut member = DemoMember::start("solo").await.unwrap();
        let url = format!("http://{}/", member.address);
        let run = |n| visit(&url, n, Duration::from_secs(10), Duration::ZERO);
        assert_eq!(run(3).await.unwrap().answered["solo"], 3);
        member.kill();
        // The abort takes effect when the runtime polls the task: wait for the state.
        let deadline = Instant::now() + Duration::from_secs(10);
        while run(1).await.unwrap().failures() == 0 {
            assert!(Instant::now() < deadline, "still answers");
        }
        member.revive().await.unwrap();
        assert_eq!(run(2).await.unwrap().answered["solo"], 2);
    }

    #[test]
    fn charts_what_was_seen() {
        let check = |answered: &[(&str, u32)], failed: &[(&str, u32)], expected: &str| {
            let map = |pairs: &[(&str, u32)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
            assert_eq!(Visits { answered: map(answered), failed: map(failed) }.chart(), expected);
        };
        check(&[], &[], "  failed           0  of 0");
        check(
            &[("a", 40), ("b", 1)],
            &[("503 Service Unavailable", 2), ("timeout", 1)],
            "  a               40  ########################################\n  b                1  #\n  failed           3  of 44: 2 503 Service Unavailable, 1 timeout",
        );
    }

    fn octavia_client_provider() {
        // Another test may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
