//! The control thread: takes the agent's commands, runs the health checks, says when something changed, ends the
//! process when asked to. One loop, nothing in it waits.
//!
//! The agent may go and come back: traffic does not care, and a new connection replaces the old one.

mod directory;
mod peer;
mod succession;

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use octavia_wire::channel::ChannelError;
use octavia_wire::{AmphoraSpec, LogTarget, ProxyCommand, ProxyEvent, SocketName};
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use uuid::Uuid;

use self::directory::Directory;
use self::peer::Peer;
use self::succession::Departure;
use crate::engine::{Engine, EngineError};
use crate::health::{Ping, Prober, Sctp};
use crate::report::report;
use crate::snapshot::Snapshot;
use crate::{privilege, sys};

/// How long open connections may go on after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Events taken from the kernel at once.
const EVENTS: usize = 64;

const LISTENER: u64 = 0;
const AGENT: u64 = 1;
const CHANGED: u64 = 2;
const STOP: u64 = 3;

/// What a proxy is told at its start; the rest comes from its agent.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// The amphora's directory.
    pub dir: PathBuf,
    /// Takes over from the proxy that runs there, which does not end for it: goes by other names until its agent gives it
    /// those of the other.
    pub next: bool,
    /// Threads that carry traffic; 0 = one a core.
    pub threads: u16,
    /// Give up privileges and system calls that are not needed. Off for debugging only.
    pub sandbox: bool,
}

/// Why a proxy could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("another proxy runs in {0}")]
    Locked(PathBuf),
    #[error("privileges cannot be given up: {0}")]
    Privilege(#[from] privilege::PrivilegeError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for ProxyError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Serves until SIGTERM, SIGINT or the agent's word.
pub fn run(options: ProxyOptions) -> Result<(), ProxyError> {
    // A session of its own, so that it outlives whoever started it; already its leader when started by hand.
    let _ = rustix::process::setsid();
    sys::raise_file_limit();
    end_on_panic();
    let signals = sys::StopSignals::block()?.descriptor()?;
    let (_directory, listener) = Directory::take(&options.dir, options.next)?;
    let boot = Uuid::new_v4();
    let (cookie, _) = boot.as_u64_pair();
    let (ping, sctp) = (Ping::open(cookie), Sctp::open(cookie));
    if options.sandbox {
        privilege::drop_all()?;
    }
    // Started after that, traffic threads have no privileges either.
    let engine = Engine::start(options.threads.into())?;
    if let Err(error) = sys::give_back_clean_pages() {
        tracing::debug!(%error, "pages used at the start stay");
    }
    if options.sandbox {
        privilege::confine()?;
    }
    let mut control = Control::new(engine, boot, listener, signals, ping, sctp)?;
    tracing::info!(%boot, next = options.next, threads = control.engine.threads(), sandbox = options.sandbox, "proxy started");
    let grace = control.serve()?;
    let open = control.engine.drain(grace);
    tracing::info!(open, "proxy ends");
    Ok(())
}

/// A thread that is gone would leave its listening sockets to nobody. Better to end at once: the agent starts another
/// proxy, and connections wait for it in the same sockets.
fn end_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

#[derive(Debug)]
struct Control {
    epoll: Arc<OwnedFd>,
    engine: Engine,
    /// This very process.
    process: Uuid,
    /// What its totals count from: its start, or that of the first of those whose totals it goes on with.
    boot: Uuid,
    listener: UnixListener,
    _signals: OwnedFd,
    prober: Prober,
    agent: Option<Peer>,
    /// The agent shall be told that something changed.
    news: bool,
    /// Another process has taken over.
    departure: Option<Departure>,
}

impl Control {
    fn new(
        engine: Engine,
        boot: Uuid,
        listener: UnixListener,
        signals: OwnedFd,
        ping: Ping,
        sctp: Sctp,
    ) -> Result<Self, ProxyError> {
        let epoll = Arc::new(sys::epoll()?);
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &signals, EventData::new_u64(STOP), EventFlags::IN)?;
        let changed = engine.registry().changed();
        epoll::add(&epoll, changed, EventData::new_u64(CHANGED), EventFlags::IN)?;
        let prober = Prober::new(Arc::clone(&epoll), Arc::clone(engine.registry()), ping, sctp)?;
        Ok(Self {
            epoll,
            engine,
            process: boot,
            boot,
            listener,
            _signals: signals,
            prober,
            agent: None,
            news: false,
            departure: None,
        })
    }

    /// Until it is asked to end; returns how long open connections may go on then.
    fn serve(&mut self) -> Result<Duration, ProxyError> {
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        loop {
            let wakes = [self.prober.next_wake(), self.departure.as_ref().map(Departure::next_look)];
            let timeout = wakes.into_iter().flatten().min().map(|wake| wake.saturating_sub(sys::now()));
            let count = sys::epoll_wait(&self.epoll, &mut events, timeout)?;
            for event in &events[..count] {
                let token = event.data.u64();
                let ended = match token {
                    STOP => Some(STOP_GRACE),
                    LISTENER => {
                        self.accept();
                        None
                    }
                    AGENT => self.agent_ready(),
                    CHANGED => {
                        self.engine.registry().changed_clear();
                        self.news = true;
                        None
                    }
                    token => {
                        self.prober.ready(token, sys::now());
                        None
                    }
                };
                if let Some(grace) = ended {
                    return Ok(grace);
                }
            }
            self.prober.tick(sys::now());
            self.tell_news();
            if self.is_done() {
                return Ok(Duration::ZERO);
            }
        }
    }

    /// A new agent takes the place of the old one.
    fn accept(&mut self) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                tracing::warn!(%error, "the agent could not be let in");
                return;
            }
        };
        self.agent = None;
        let watched = Peer::new(stream).and_then(|peer| {
            epoll::add(&self.epoll, &peer, EventData::new_u64(AGENT), EventFlags::IN)?;
            Ok(peer)
        });
        match watched {
            Ok(peer) => self.agent = Some(peer),
            Err(error) => tracing::warn!(%error, "the agent could not be let in"),
        }
    }

    /// Reads and answers commands; `Some` = end.
    fn agent_ready(&mut self) -> Option<Duration> {
        match self.converse() {
            Ok(end) => end,
            Err(error) => {
                tracing::info!(%error, "the agent is gone");
                self.agent = None;
                None
            }
        }
    }

    fn converse(&mut self) -> Result<Option<Duration>, ChannelError> {
        if let Some(agent) = &mut self.agent {
            agent.flush()?;
        }
        while let Some(agent) = &mut self.agent
            && let Some((command, fds)) = agent.receive()?
        {
            let (event, fds) = match command {
                ProxyCommand::Hello => self.hello(),
                ProxyCommand::Configure { spec, sockets, keep, logs, request_ids } => {
                    let mut fds = fds.into_iter();
                    let sockets = sockets.into_iter().zip(fds.by_ref()).collect();
                    let logs = logs.into_iter().zip(fds).collect();
                    (self.configure(&spec, sockets, &keep, logs, request_ids.as_deref()), vec![])
                }
                ProxyCommand::Report => (self.report(), vec![]),
                ProxyCommand::Drain { seconds } => return Ok(Some(Duration::from_secs(seconds.into()))),
                other => (self.succession(other), vec![]),
            };
            self.send(&event, fds)?;
        }
        self.watch_agent();
        Ok(None)
    }

    fn hello(&self) -> (ProxyEvent, Vec<Arc<OwnedFd>>) {
        let snapshot = self.engine.snapshot();
        let (sockets, fds) = self.engine.sockets().into_iter().unzip();
        let hello = ProxyEvent::Hello {
            boot: self.boot,
            pid: std::process::id(),
            threads: u16::try_from(self.engine.threads()).unwrap_or(u16::MAX),
            generation: snapshot.generation(),
            fence: snapshot.fence(),
            sockets,
            logs: true,
            process: self.process,
            shares: true,
        };
        (hello, fds)
    }

    fn configure(
        &mut self,
        spec: &AmphoraSpec,
        sockets: Vec<(SocketName, OwnedFd)>,
        keep: &[SocketName],
        logs: Vec<(LogTarget, OwnedFd)>,
        request_ids: Option<&str>,
    ) -> ProxyEvent {
        let (generation, fence) = (spec.generation, spec.fence);
        let compiled = Snapshot::compile(spec, self.engine.registry()).map_err(|error| error.to_string());
        if let Ok(Some(error)) = compiled.as_ref().map(Snapshot::fault) {
            tracing::error!(generation, fence, request_ids, %error, "the configuration would lose listeners");
            let faults = compiled.iter().flat_map(Snapshot::faults);
            let faults = faults.filter_map(|(listener, error)| spec.tls_fault(*listener, error)).collect();
            return ProxyEvent::Refused { generation, error: error.to_string(), faults };
        }
        let configured = compiled.and_then(|snapshot| {
            let snapshot = Arc::new(snapshot);
            let configured = self.engine.configure_with(Arc::clone(&snapshot), sockets, keep, logs);
            configured.map(|()| snapshot).map_err(|error| error.to_string())
        });
        match configured {
            Ok(snapshot) => {
                self.prober.configure(&snapshot, sys::now());
                tracing::info!(generation, fence, request_ids, "configuration in force");
                ProxyEvent::Applied { generation, fence }
            }
            Err(error) => {
                tracing::error!(generation, fence, request_ids, error, "the configuration is refused");
                ProxyEvent::Refused { generation, error, faults: vec![] }
            }
        }
    }

    fn report(&self) -> ProxyEvent {
        let open: HashSet<_> = self.engine.sockets().iter().map(|(name, _)| name.listener).collect();
        ProxyEvent::Report(Box::new(report(&self.engine.snapshot(), &open)))
    }

    fn tell_news(&mut self) {
        // Of one that has stepped aside nobody waits for news.
        if !self.news || self.departure.is_some() {
            return;
        }
        // One word is enough, however much changed while the agent did not listen.
        match &self.agent {
            None => self.news = false,
            Some(agent) if agent.is_behind() => {}
            Some(_) => {
                self.news = false;
                if let Err(error) = self.send(&ProxyEvent::Changed, vec![]) {
                    tracing::info!(%error, "the agent is gone");
                    self.agent = None;
                }
                self.watch_agent();
            }
        }
    }

    fn send(&mut self, event: &ProxyEvent, fds: Vec<Arc<OwnedFd>>) -> Result<(), ChannelError> {
        self.agent.as_mut().map_or(Ok(()), |agent| agent.send(event, fds))
    }

    /// Waits for room in the agent's socket only while something waits to be sent.
    fn watch_agent(&mut self) {
        let Some(agent) = &self.agent else { return };
        let mut interest = EventFlags::IN;
        interest.set(EventFlags::OUT, agent.is_behind());
        if let Err(error) = epoll::modify(&self.epoll, agent.as_fd(), EventData::new_u64(AGENT), interest) {
            tracing::error!(%error, "the agent cannot be watched");
            self.agent = None;
        }
    }
}
