//! The connection to the proxy: one question at a time, and what it says unasked.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octavia_wire::channel::{ChannelError, FrameReader, FrameWriter, SocketPath};
use octavia_wire::{ProxyCommand, ProxyEvent, SocketName};
use tokio::io::Interest;
use tokio::net::UnixStream;
use uuid::Uuid;

/// Longer than any answer takes: a proxy that is silent for so long is sick.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the proxy does not answer within {ANSWER_TIMEOUT:?}")]
    Silent,
    #[error("the proxy closed the connection")]
    Closed,
    #[error("the proxy answers what was not asked: {0}")]
    Unexpected(&'static str),
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Channel(error.into())
    }
}

/// What a proxy says first.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) boot: Uuid,
    /// Which of those that go on with each other's totals it is.
    pub(crate) process: Uuid,
    pub(crate) threads: u16,
    /// `(fence, generation)` it runs.
    pub(crate) running: (u64, u64),
    pub(crate) sockets: Vec<(SocketName, OwnedFd)>,
    /// It takes descriptors for access logs.
    pub(crate) logs: bool,
    /// It shares its stick tables.
    pub(crate) shares: bool,
}

#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    reader: FrameReader,
    changed: bool,
}

impl Link {
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        let path = SocketPath::new(path)?;
        let stream = UnixStream::connect(path.as_path()).await?;
        Ok(Self { stream, reader: FrameReader::default(), changed: false })
    }

    /// The process at the other end, as the kernel knows it.
    pub(crate) fn peer_pid(&self) -> io::Result<u32> {
        let pid = self.stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
        pid.ok_or_else(|| io::Error::other("a peer without a pid"))
    }

    /// Nothing of it is of use any more.
    pub(crate) fn hang_up(&self) {
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }

    pub(crate) async fn ask(
        &mut self,
        command: &ProxyCommand,
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<ProxyEvent, LinkError> {
        let exchange = async {
            let mut writer = FrameWriter::new(command, fds)?;
            loop {
                self.stream.writable().await?;
                match self.stream.try_io(Interest::WRITABLE, || writer.flush(&self.stream)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    result => break result?,
                }
            }
            loop {
                match self.event().await? {
                    ProxyEvent::Changed => self.changed = true,
                    answer => return Ok(answer),
                }
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or(Err(LinkError::Silent))
    }

    pub(crate) async fn hello(&mut self) -> Result<Hello, LinkError> {
        match self.ask(&ProxyCommand::Hello, vec![]).await? {
            ProxyEvent::Hello {
                boot, threads, generation, fence, sockets, logs, process, shares, ..
            } => {
                let fds = self.reader.take_fds(sockets.len())?;
                let sockets = sockets.into_iter().zip(fds).collect();
                let process = if process.is_nil() { boot } else { process };
                Ok(Hello { boot, process, threads, running: (fence, generation), sockets, logs, shares })
            }
            _ => Err(LinkError::Unexpected("no hello")),
        }
    }

    /// Waits until the proxy says that a status changed, or is gone. May be dropped and called again at any time.
    pub(crate) async fn changed(&mut self) -> Result<(), LinkError> {
        while !self.changed {
            match self.event().await? {
                ProxyEvent::Changed => self.changed = true,
                _ => return Err(LinkError::Unexpected("an answer without a question")),
            }
        }
        self.changed = false;
        Ok(())
    }

    async fn event(&mut self) -> Result<ProxyEvent, LinkError> {
        loop {
            if let Some(event) = self.reader.message()? {
                return Ok(event);
            }
            self.stream.readable().await?;
            let reader = &mut self.reader;
            let filled = self.stream.try_io(Interest::READABLE, || match reader.fill(&self.stream) {
                Err(ChannelError::Io(error)) => Err(error),
                result => Ok(result),
            });
            match filled {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Err(LinkError::Closed),
                Ok(Err(error)) => return Err(error.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
