//! The data plane without an agent: one spec, until a signal.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octavia_wire::{AmphoraSpec, LogPlace, LogTarget, SpecError};

use crate::engine::{Engine, EngineError};
use crate::snapshot::Snapshot;
use crate::{listen, sys};

/// How long open connections may take to finish after the signal.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the spec is refused: {0}")]
    Spec(#[from] SpecError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("access log {target:?} cannot be opened: {source}")]
    Log { target: LogTarget, source: io::Error },
    #[error("signals cannot be awaited: {0}")]
    Signals(#[source] io::Error),
}

/// Binds the listeners of `spec` and serves them on `threads` threads (0 = one a core) until SIGTERM or SIGINT; then
/// drains for a few seconds.
pub fn run_standalone(spec: &AmphoraSpec, threads: usize) -> Result<(), StandaloneError> {
    let signals = sys::StopSignals::block().map_err(StandaloneError::Signals)?;
    sys::raise_file_limit();
    let engine = start_standalone(spec, threads)?;
    signals.wait();
    let open = engine.drain(GRACE);
    tracing::info!(open, "stopped");
    Ok(())
}

/// An engine that serves `spec` on listening sockets of its own.
pub fn start_standalone(spec: &AmphoraSpec, threads: usize) -> Result<Engine, StandaloneError> {
    let engine = Engine::start(threads)?;
    let snapshot = Arc::new(Snapshot::compile(spec, engine.registry())?);
    for (listener, error) in snapshot.faults() {
        tracing::error!(%listener, %error, "a listener is closed for its TLS");
    }
    let mut sockets = vec![];
    let mut names = listen::socket_names(spec, engine.threads() as u16);
    names.retain(|name| snapshot.listener(name.listener).is_some());
    for name in names {
        let address = name.address;
        let socket = listen::open(&name).map_err(|source| StandaloneError::Listen { address, source })?;
        sockets.push((name, socket));
    }
    engine.configure_with(snapshot, sockets, &[], open_logs(spec)?)?;
    Ok(engine)
}

/// Paths begin in the working directory. What is opened stays, whatever becomes of its path.
fn open_logs(spec: &AmphoraSpec) -> Result<Vec<(LogTarget, OwnedFd)>, StandaloneError> {
    let targets = spec.access_log.iter().flat_map(|log| &log.targets).filter(|target| target.is_opened());
    let opened = targets.map(|target| match LogPlace::open(target, Path::new("")) {
        Ok((_, fd)) => Ok((target.clone(), fd)),
        Err(source) => Err(StandaloneError::Log { target: target.clone(), source }),
    });
    opened.collect()
}
