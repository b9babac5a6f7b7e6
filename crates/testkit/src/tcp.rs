//! TCP sessions against echo origins: the greeting names the origin, and every byte must come back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::body;

/// One session: connects, reads the greeting, sends `blocks` blocks of `length` bytes, each after the one before
/// came back, and closes. Answers the origin's id.
///
/// # Errors
/// Says at which step, and after how many blocks, the session broke.
pub async fn echo_session(
    target: SocketAddr,
    blocks: usize,
    length: usize,
    timeout: Duration,
) -> Result<String, String> {
    let start = Instant::now();
    let mut session = Session::open(target, timeout).await?;
    for block in 0..blocks {
        let left = timeout.saturating_sub(start.elapsed());
        session.echo(length, left).await.map_err(|error| format!("block {block}: {error}"))?;
    }
    Ok(session.origin)
}

/// An open session, for tests that hold one while something happens to the load balancer.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
    origin: String,
}

impl Session {
    pub async fn open(target: SocketAddr, timeout: Duration) -> Result<Self, String> {
        Self::open_with(target, b"", timeout).await
    }

    /// The same over HTTP: with a request to go on as WebSocket does, which has to be granted.
    pub async fn upgrade(target: SocketAddr, timeout: Duration) -> Result<Self, String> {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        Self::open_with(target, request.as_bytes(), timeout).await
    }

    async fn open_with(target: SocketAddr, request: &[u8], timeout: Duration) -> Result<Self, String> {
        let open = async {
            let stream = TcpStream::connect(target).await.map_err(|error| format!("connecting: {error}"))?;
            let _ = stream.set_nodelay(true);
            let mut stream = BufReader::new(stream);
            stream.write_all(request).await.map_err(|error| format!("asking: {error}"))?;
            let mut line = String::new();
            while !request.is_empty() && line != "\r\n" {
                let first = line.is_empty();
                line.clear();
                stream.read_line(&mut line).await.map_err(|error| format!("answer: {error}"))?;
                if first && !line.starts_with("HTTP/1.1 101 ") || !line.ends_with("\r\n") {
                    return Err(format!("no upgrade: {line:?}"));
                }
            }
            let mut origin = String::new();
            stream.read_line(&mut origin).await.map_err(|error| format!("greeting: {error}"))?;
            match origin.strip_suffix('\n') {
                Some(origin) => Ok(Self { origin: origin.to_owned(), stream }),
                None => Err(format!("closed in the greeting after {} bytes", origin.len())),
            }
        };
        tokio::time::timeout(timeout, open).await.map_err(|_| "no greeting in time".to_owned())?
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Sends `length` bytes and reads them back at the same time.
    pub async fn echo(&mut self, length: usize, timeout: Duration) -> Result<(), String> {
        let sent = body::pattern(length);
        let mut got = vec![0; sent.len()];
        let (mut read, mut write) = tokio::io::split(&mut self.stream);
        let both = async {
            tokio::try_join!(write.write_all(&sent), read.read_exact(&mut got)).map_err(|e| e.to_string())
        };
        tokio::time::timeout(timeout, both).await.map_err(|_| "no echo in time".to_owned())??;
        if got == sent { Ok(()) } else { Err("came back changed".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EchoOrigin;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn echoes_and_notices_the_end() {
        let limit = Duration::from_secs(5);
        let mut origin = EchoOrigin::start(SocketAddr::from(([127, 0, 0, 1], 0)), "echo").unwrap();
        assert_eq!(echo_session(origin.address(), 3, 100_000, limit).await.unwrap(), "echo");
        assert_eq!(origin.requests(), 1);
        let mut held = Session::open(origin.address(), limit).await.unwrap();
        held.echo(5, limit).await.unwrap();
        origin.kill();
        assert!(held.echo(5, limit).await.is_err());
        assert!(Session::open(origin.address(), limit).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_after_an_upgrade() {
        let limit = Duration::from_secs(5);
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let origin = crate::UpgradeOrigin::start(here, "upgraded").unwrap();
        let mut session = Session::upgrade(origin.address(), limit).await.unwrap();
        assert_eq!(session.origin(), "upgraded");
        session.echo(100_000, limit).await.unwrap();
        let plain = crate::Origin::start(here, "plain").unwrap();
        let refused = Session::upgrade(plain.address(), limit).await.unwrap_err();
        assert!(refused.starts_with("no upgrade"), "{refused}");
    }
}
