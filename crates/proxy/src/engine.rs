//! The handle on the traffic threads: start, configure, drain. Everything here runs on the control thread.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use octavia_model::Transport;
use octavia_wire::{LogTarget, SocketName};

use crate::access_log::AccessLog;
use crate::snapshot::{Mode, Snapshot};
use crate::state::Registry;
use crate::sys;
use crate::udp::{self, UdpBounds};
use crate::vitals::Vitals;
use crate::worker::{Command, Going, Hub, Share, Worker};

/// How often a draining engine looks whether all connections are gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// The traffic threads of this process. Dropping it stops them at once; [`Engine::drain`] stops them gently.
#[derive(Debug)]
pub struct Engine {
    hub: Arc<Hub>,
    threads: Vec<Handle>,
    snapshot: ArcSwap<Snapshot>,
    bounds: UdpBounds,
    /// There once it has something to do.
    datagrams: Mutex<Option<udp::Handle>>,
    /// Every listening socket, for handing them to a restarted agent.
    sockets: Mutex<BTreeMap<SocketName, Arc<OwnedFd>>>,
    log: Mutex<Option<Arc<AccessLog>>>,
}

#[derive(Debug)]
struct Handle {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("a traffic thread could not be started: {0}")]
    Thread(#[source] io::Error),
    #[error("listening socket {0:?} cannot be prepared: {1}")]
    Socket(SocketName, #[source] io::Error),
    #[error("a traffic thread is gone")]
    ThreadGone,
}

impl Engine {
    /// Starts `threads` traffic threads (0 = one a core), with nothing to do yet.
    pub fn start(threads: usize) -> Result<Self, EngineError> {
        Self::start_within(threads, sys::file_limit())
    }

    /// The same, as if this process could open no more than `files` files.
    pub fn start_within(threads: usize, files: u64) -> Result<Self, EngineError> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let registry = Arc::new(Registry::new(threads).map_err(EngineError::Thread)?);
        let wakes = (0..threads).map(|_| sys::eventfd()).collect::<io::Result<_>>();
        let share = Share::of(files, threads);
        let wakes = wakes.map_err(EngineError::Thread)?;
        let hub = Arc::new(Hub { registry, wakes, share, vitals: Vitals::open() });
        let mut engine = Self {
            hub,
            threads: vec![],
            snapshot: ArcSwap::default(),
            bounds: UdpBounds::of(files),
            datagrams: Mutex::default(),
            sockets: Mutex::default(),
            log: Mutex::default(),
        };
        for index in 0..threads {
            engine.threads.push(engine.thread_start(index).map_err(EngineError::Thread)?);
        }
        Ok(engine)
    }

    /// With other bounds for UDP; before the first configuration.
    #[must_use]
    pub fn with_udp_bounds(mut self, bounds: UdpBounds) -> Self {
        self.bounds = bounds;
        self
    }

    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.hub.registry
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Takes a configuration into force: when this returns, every thread uses it for every new request.
    ///
    /// `new_sockets` are listening sockets not held yet; those held and neither new nor in `keep` are closed.
    /// Sockets of listeners the snapshot does not have are closed, too. An error leaves everything as it was.
    pub fn configure(
        &self,
        snapshot: Arc<Snapshot>,
        new_sockets: Vec<(SocketName, OwnedFd)>,
        keep: &[SocketName],
    ) -> Result<(), EngineError> {
        self.configure_with(snapshot, new_sockets, keep, vec![])
    }

    /// The same with what was opened for the access log.
    pub fn configure_with(
        &self,
        snapshot: Arc<Snapshot>,
        new_sockets: Vec<(SocketName, OwnedFd)>,
        keep: &[SocketName],
        opened: Vec<(LogTarget, OwnedFd)>,
    ) -> Result<(), EngineError> {
        let mut sockets = self.sockets_lock();
        let mut wanted = sockets.clone();
        wanted.retain(|name, _| keep.contains(name));
        wanted.extend(new_sockets.into_iter().map(|(name, fd)| (name, Arc::new(fd))));
        wanted.retain(|name, _| snapshot.listener(name.listener).is_some());
        for (&name, fd) in &wanted {
            if let Some(listener) = snapshot.listener(name.listener) {
                match name.transport {
                    Transport::Udp => udp::prepare(fd),
                    _ => sys::listening_options(fd, listener.mode != Mode::Tcp),
                }
                .map_err(|error| EngineError::Socket(name, error))?;
            }
        }
        let datagrams = self.datagrams_for(&wanted)?;
        let mut log = self.log_lock();
        let counters = self.hub.registry.log();
        let follows = AccessLog::follow(log.as_ref(), snapshot.log(), opened, self.threads(), counters);
        let follows = follows.map_err(EngineError::Thread)?;
        snapshot.inherit(&self.snapshot.load());
        self.snapshot.store(Arc::clone(&snapshot));
        // A socket the threads had under the same name gives way to the new one.
        let replaced = |name: &SocketName, fd: &Arc<OwnedFd>| {
            sockets.get(name).is_some_and(|before| !Arc::ptr_eq(before, fd))
        };
        if wanted.iter().any(|(name, fd)| replaced(name, fd)) {
            let kept = wanted.iter().filter(|(name, fd)| !replaced(name, fd));
            let kept = kept.map(|(n, fd)| (*n, Arc::clone(fd))).collect();
            self.configure_threads(&snapshot, &kept, follows.as_ref())?;
        }
        self.configure_threads(&snapshot, &wanted, follows.as_ref())?;
        // All threads have handed over what they had for it.
        let before = std::mem::replace(&mut *log, follows);
        if let Some(before) = before {
            before.end(log.as_deref());
        }
        drop(log);
        if let Some(datagrams) = &*datagrams {
            let ours = wanted.iter().filter(|(name, _)| name.transport == Transport::Udp);
            let ours = ours.map(|(name, fd)| (*name, Arc::clone(fd))).collect();
            if !datagrams.configure(snapshot, ours) {
                return Err(EngineError::ThreadGone);
            }
        }
        drop(datagrams);
        *sockets = wanted;
        self.hub.registry.prune();
        Ok(())
    }

    /// The listening sockets held, by name.
    pub fn sockets(&self) -> Vec<(SocketName, Arc<OwnedFd>)> {
        self.sockets_lock().iter().map(|(name, fd)| (*name, Arc::clone(fd))).collect()
    }

    /// Stops accepting, lets open connections finish for at most `grace`, and returns how many are still open then.
    pub fn drain(&self, grace: Duration) -> usize {
        let until = Instant::now() + grace;
        self.go(Going::Soon);
        if let Some(datagrams) = &*self.datagrams_lock() {
            datagrams.drain();
        }
        loop {
            let (sender, counts) = channel();
            self.send_all(|| Command::Count(sender.clone()));
            drop(sender);
            let open = counts.iter().sum();
            if open == 0 || Instant::now() >= until {
                return open;
            }
            std::thread::sleep(DRAIN_POLL);
        }
    }

    /// Returns when no thread accepts any more.
    fn go(&self, how: Going) {
        let (done, answers) = channel();
        self.send_all(|| Command::Go { how, done: done.clone() });
        drop(done);
        answers.iter().for_each(drop);
    }

    /// Stops accepting, for another process has the listening sockets as well; open connections go on, as `Going::InGoodTime`
    /// says. Answers to datagrams still go out.
    pub fn step_aside(&self) {
        self.go(Going::InGoodTime);
        if let Some(datagrams) = &*self.datagrams_lock() {
            datagrams.drain();
        }
        // Our copies would keep those open that the others close.
        self.sockets_lock().retain(|name, _| name.transport == Transport::Udp);
    }

    /// What processes count that were there before, and have told it to the registry, changes how many connections there may
    /// be here.
    pub(crate) fn limits_changed(&self) {
        self.hub.wakes.iter().for_each(sys::eventfd_signal);
    }

    fn thread_start(&self, index: usize) -> io::Result<Handle> {
        let (commands, receiver): (_, Receiver<Command>) = channel();
        let worker = Worker::new(index, Arc::clone(&self.hub), receiver)?;
        let thread = std::thread::Builder::new().name(format!("traffic-{index}")).spawn(|| {
            // Without its thread a listening socket swallows connections: better no process, and then a new one.
            let result = catch_unwind(AssertUnwindSafe(|| worker.run()));
            if !matches!(result, Ok(Ok(()))) {
                tracing::error!(?result, "a traffic thread broke down");
                std::process::abort();
            }
        })?;
        Ok(Handle { commands, thread: Some(thread) })
    }

    /// Gives each thread its sockets, and waits until all have taken them.
    fn configure_threads(
        &self,
        snapshot: &Arc<Snapshot>,
        sockets: &BTreeMap<SocketName, Arc<OwnedFd>>,
        log: Option<&Arc<AccessLog>>,
    ) -> Result<(), EngineError> {
        let (done, answers) = channel();
        let open = Arc::new(sockets.keys().map(|name| name.listener).collect());
        for (index, handle) in self.threads.iter().enumerate() {
            // Every socket is somebody's, also when there are more of them than threads.
            let mine = sockets.iter().filter(|(name, _)| {
                name.transport == Transport::Tcp && usize::from(name.index) % self.threads.len() == index
            });
            let command = Command::Configure {
                snapshot: Arc::clone(snapshot),
                sockets: mine.map(|(name, fd)| (*name, Arc::clone(fd))).collect(),
                open: Arc::clone(&open),
                log: log.map(Arc::clone),
                done: done.clone(),
            };
            handle.commands.send(command).map_err(|_| EngineError::ThreadGone)?;
            sys::eventfd_signal(&self.hub.wakes[index]);
        }
        drop(done);
        if answers.iter().count() == self.threads.len() { Ok(()) } else { Err(EngineError::ThreadGone) }
    }

    /// The thread for datagrams, started if there is a socket for them.
    fn datagrams_for(
        &self,
        sockets: &BTreeMap<SocketName, Arc<OwnedFd>>,
    ) -> Result<MutexGuard<'_, Option<udp::Handle>>, EngineError> {
        let mut datagrams = self.datagrams_lock();
        if datagrams.is_none() && sockets.keys().any(|name| name.transport == Transport::Udp) {
            let started = udp::Handle::start(Arc::clone(&self.hub.registry), self.bounds);
            *datagrams = Some(started.map_err(EngineError::Thread)?);
        }
        Ok(datagrams)
    }

    fn datagrams_lock(&self) -> MutexGuard<'_, Option<udp::Handle>> {
        self.datagrams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_all(&self, command: impl Fn() -> Command) {
        for (handle, wake) in self.threads.iter().zip(&self.hub.wakes) {
            // A thread that is gone has nothing to be told.
            let _ = handle.commands.send(command());
            sys::eventfd_signal(wake);
        }
    }

    fn log_lock(&self) -> MutexGuard<'_, Option<Arc<AccessLog>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sockets_lock(&self) -> MutexGuard<'_, BTreeMap<SocketName, Arc<OwnedFd>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.send_all(|| Command::Stop);
        for handle in &mut self.threads {
            if let Some(thread) = handle.thread.take() {
                let _ = thread.join();
            }
        }
        if let Some(log) = self.log_lock().take() {
            log.end(None);
            log.settle();
        }
    }
}
