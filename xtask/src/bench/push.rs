//! The agent's part towards a proxy: opens its listening sockets, pushes it specs, and waits until they are in force.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use octavia_wire::channel::{FrameReader, FrameWriter, SocketPath};
use octavia_wire::{AmphoraSpec, ProxyCommand, ProxyEvent, SocketName, files};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::servers::{Server, on_cpu};

/// For one answer.
const LIMIT: Duration = Duration::from_secs(60);
const BACKLOG: i32 = 4_096;

/// The line to a proxy's control socket.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    reader: FrameReader,
}

/// A spec on its way: what was made before the clock runs.
#[derive(Debug)]
pub(super) struct Push {
    generation: u64,
    frame: FrameWriter<OwnedFd>,
}

/// Starts a proxy that waits for its agent, in a directory of its own.
pub(super) fn proxy(dir: &Path, binary: &Path, cpu: usize) -> Result<(Server, Line)> {
    let home = dir.join("amphora");
    std::fs::create_dir_all(&home)?;
    let mut command = on_cpu(cpu, binary);
    command.arg("proxy").arg("--dir").arg(&home).args(["--threads", "1"]);
    let socket = home.join(files::PROXY_SOCKET);
    let server = Server::start_until(command, &dir.join("amphora.log"), || dial(&socket).is_ok())?;
    let stream = dial(&socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok((server, Line { stream, reader: FrameReader::default() }))
}

fn dial(socket: &Path) -> Result<UnixStream> {
    Ok(UnixStream::connect(SocketPath::new(socket)?.as_path())?)
}

impl Push {
    /// The spec with the listening sockets that the proxy does not hold yet, and the names of those it does.
    pub(super) fn new(
        spec: AmphoraSpec,
        sockets: Vec<(SocketName, OwnedFd)>,
        keep: Vec<SocketName>,
    ) -> Result<Self> {
        let generation = spec.generation;
        let (sockets, fds): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
        let command =
            ProxyCommand::Configure { spec: Box::new(spec), sockets, logs: vec![], keep, request_ids: None };
        Ok(Self { generation, frame: FrameWriter::new(&command, fds)? })
    }
}

impl Line {
    /// Pushes a spec; how long it took from its first byte until every thread uses it.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) fn push(&mut self, mut push: Push) -> Result<Duration> {
        let start = Instant::now();
        push.frame.flush(&self.stream)?;
        loop {
            match self.event()? {
                ProxyEvent::Applied { generation, .. } if generation == push.generation => {
                    return Ok(start.elapsed());
                }
                ProxyEvent::Changed => {}
                other => bail!("generation {} was pushed, and the answer is {other:?}", push.generation),
            }
        }
    }

    fn event(&mut self) -> Result<ProxyEvent> {
        loop {
            if let Some(event) = self.reader.message()? {
                return Ok(event);
            }
            if !self.reader.fill(&self.stream).context("the proxy's answer")? {
                bail!("the proxy closed its socket");
            }
        }
    }
}

/// Listening sockets of all listeners, for one traffic thread.
pub(super) fn sockets(spec: &AmphoraSpec) -> Result<Vec<(SocketName, OwnedFd)>> {
    SocketName::wanted(spec, 1).map(|name| Ok((name, listen(name.address)?))).collect()
}

fn listen(address: SocketAddr) -> Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address).with_context(|| address.to_string())?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
