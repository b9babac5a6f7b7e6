//! Load of what lasts: connections of HTTP/2, and streams of bytes that are held and must not break.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::body;
use crate::origin::lock;
use crate::tcp::Session;

/// Longer than an answer takes, whatever else goes on.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two blocks of a stream.
const REST: Duration = Duration::from_millis(50);
/// Bytes of a block.
const BLOCK: usize = 1_000;
/// Failures of which the text is kept.
const EXAMPLES: usize = 10;

#[derive(Debug, Clone)]
pub enum Kind {
    /// Requests for so many bytes, one after the other, on a connection of HTTP/2 until the other side says that it goes;
    /// then on another.
    Http2 { length: usize, tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)> },
    /// A stream to an [`crate::EchoOrigin`] that ends after so many blocks; then another.
    Tcp { blocks: u64 },
    /// The same to an [`crate::UpgradeOrigin`].
    Upgraded { blocks: u64 },
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that were answered well, or blocks that came back.
    pub ok: u64,
    pub connects: u64,
    pub failed: u64,
    pub examples: Vec<String>,
}

/// In the background until it is stopped or dropped.
#[derive(Debug)]
pub struct Lasting {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Worker {
    target: SocketAddr,
    kind: Kind,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

impl Lasting {
    /// So many at a time.
    pub fn start(target: SocketAddr, kind: &Kind, count: usize) -> Self {
        let worker = Worker { target, kind: kind.clone(), stop: Arc::default(), tally: Arc::default() };
        let tasks = (0..count).map(|_| tokio::spawn(worker.clone().run())).collect();
        Self { stop: worker.stop, tally: worker.tally, tasks }
    }

    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Lets what is under way end.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for task in &mut self.tasks {
            let _ = task.await;
        }
        self.tally()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Tally {
    /// `Err` with examples unless something happened and nothing failed.
    pub fn all_good(&self) -> Result<(), String> {
        match (self.ok, self.failed) {
            (0, _) => Err("nothing was answered at all".to_owned()),
            (_, 0) => Ok(()),
            (ok, failed) => Err(format!("{failed} failed beside {ok}:\n  {}", self.examples.join("\n  "))),
        }
    }
}

impl Worker {
    async fn run(self) {
        while self.is_on() {
            lock(&self.tally).connects += 1;
            let done = match &self.kind {
                Kind::Http2 { length, tls: None } => match TcpStream::connect(self.target).await {
                    Ok(tcp) => self.http2(tcp, *length).await,
                    Err(error) => Err(format!("connecting: {error}")),
                },
                Kind::Http2 { length, tls: Some((config, name)) } => {
                    self.http2_over_tls(config, name, *length).await
                }
                Kind::Tcp { blocks } => match Session::open(self.target, PATIENCE).await {
                    Ok(session) => self.echo(session, *blocks).await,
                    Err(error) => Err(error),
                },
                Kind::Upgraded { blocks } => match Session::upgrade(self.target, PATIENCE).await {
                    Ok(session) => self.echo(session, *blocks).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                self.fail(error);
                // An outage is no reason for a busy loop.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn is_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn succeed(&self) {
        lock(&self.tally).ok += 1;
    }

    fn fail(&self, error: String) {
        let mut tally = lock(&self.tally);
        tally.failed += 1;
        if tally.examples.len() < EXAMPLES {
            tally.examples.push(error);
        }
    }

    async fn echo(&self, mut session: Session, blocks: u64) -> Result<(), String> {
        for block in 0..blocks {
            if !self.is_on() {
                break;
            }
            session.echo(BLOCK, PATIENCE).await.map_err(|error| format!("block {block}: {error}"))?;
            self.succeed();
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    async fn http2_over_tls(
        &self,
        config: &Arc<rustls::ClientConfig>,
        name: &ServerName<'static>,
        length: usize,
    ) -> Result<(), String> {
        let tcp = TcpStream::connect(self.target).await.map_err(|error| format!("connecting: {error}"))?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
        let tls =
            tokio::time::timeout(PATIENCE, handshake).await.map_err(|_| "no handshake in time".to_owned())?;
        let tls = tls.map_err(|error| format!("handshake: {error}"))?;
        self.http2(tls, length).await
    }

    /// What was sent must be answered; what could not be sent, because the other side goes, is for the next connection.
    async fn http2<T>(&self, stream: T, length: usize) -> Result<(), String>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let text = |error: h2::Error| error.to_string();
        let (send, connection) = h2::client::handshake(stream).await.map_err(text)?;
        let over = tokio::spawn(connection);
        let expected = body::pattern(length);
        for number in 0.. {
            let Ok(mut send) = send.clone().ready().await else { break };
            if !self.is_on() {
                break;
            }
            let request = http::Request::get(format!("http://{}/bytes/{length}", self.target)).body(());
            let response = match send.send_request(request.map_err(|error| error.to_string())?, true) {
                Ok((response, _)) => response,
                Err(error) if error.is_go_away() => break,
                Err(error) => return Err(format!("request {number}: {error}")),
            };
            let answer = tokio::time::timeout(PATIENCE, whole(response)).await;
            let answer = answer.map_err(|_| format!("request {number}: no answer in time"))?;
            match answer.map_err(|error| format!("request {number}: {error}"))? {
                (200, content) if content == expected => self.succeed(),
                (status, content) => {
                    return Err(format!("request {number}: {status} with {} bytes", content.len()));
                }
            }
        }
        drop(send);
        let over = tokio::time::timeout(PATIENCE, over).await.map_err(|_| "it does not end".to_owned())?;
        over.map_err(|error| error.to_string())?.map_err(text)
    }
}

async fn whole(response: h2::client::ResponseFuture) -> Result<(u16, Vec<u8>), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut content = vec![];
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        content.extend_from_slice(&piece);
    }
    Ok((head.status.as_u16(), content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EchoOrigin, UpgradeOrigin};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn streams_that_break_are_counted() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut tcp = EchoOrigin::start(here, "tcp").unwrap();
        let upgraded = UpgradeOrigin::start(here, "upgraded").unwrap();
        let held = Lasting::start(tcp.address(), &Kind::Tcp { blocks: u64::MAX }, 2);
        let short = Lasting::start(upgraded.address(), &Kind::Upgraded { blocks: 2 }, 1);
        crate::wait_for("blocks", PATIENCE, async || {
            let counts = (held.tally().ok, short.tally().connects);
            if counts.0 > 4 && counts.1 > 2 { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await
        .unwrap();
        tcp.kill();
        crate::wait_for("failures", PATIENCE, async || {
            let failed = held.tally().failed;
            if failed >= 2 { Ok(()) } else { Err(failed.to_string()) }
        })
        .await
        .unwrap();
        assert!(held.stop().await.all_good().is_err());
        short.stop().await.all_good().unwrap();
    }
}
