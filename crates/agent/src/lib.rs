//! The agent: the process of an amphora that holds its listening sockets and speaks with controllers.
//!
//! It takes whole specs over mutual TLS ([`rest`]), keeps the newest on disk ([`spec_file`]), opens listening sockets
//! ([`socket`]), supervises the proxy that carries the traffic ([`proxy`]), and says in signed heartbeats how it goes
//! ([`heartbeat`]). Where an amphora has interfaces of its own, it makes them as the spec wants them ([`network`]), and
//! agrees with another amphora which of them holds the VIPs ([`vrrp`]), and they tell each other where clients were sent
//! ([`sharing`]). One task ([`core`]) owns all other state, so
//! everything happens in an order. `LIFECYCLE.md` tells the life of a spec, of a socket and of the two processes.

mod accept;
mod complaints;
mod core;
mod directory;
mod door;
mod forwarding;
mod heartbeat;
mod link;
mod logs;
mod namespace;
mod netlink;
mod network;
mod predecessors;
mod proxy;
mod renewal;
mod request_ids;
mod respawn;
mod rest;
mod sharing;
mod socket;
mod spec_file;
mod sys;
mod tls;
pub mod vrrp;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::namespace::Namespace;

/// What an agent is told at its start; the rest is in `boot.json`.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The amphora's directory: `boot.json`, certificates, and everything the agent keeps.
    pub dir: PathBuf,
    /// Where the REST API listens.
    pub bind: SocketAddr,
    /// Starts a proxy: a program and its first arguments, to which `--dir DIR --threads N` is added.
    pub proxy_command: Vec<OsString>,
    /// Starts this very agent, with all its arguments: it becomes what is there when it renews itself.
    pub agent_command: Vec<OsString>,
    /// How long a proxy that another has taken over from may carry connections that do not end.
    pub drain_limit: Duration,
    /// The network namespace in which listening sockets, proxy and the spec's interfaces are; `None` = the agent's own, and
    /// specs with interfaces are refused.
    pub traffic_namespace: Option<PathBuf>,
}

/// Why an agent could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path} is not a boot configuration: {error}")]
    Boot { path: PathBuf, error: serde_json::Error },
    #[error("another agent runs in {0}")]
    Locked(PathBuf),
    #[error("cannot listen on {address}: {error}")]
    Bind { address: SocketAddr, error: io::Error },
    #[error("{path} is no network namespace to be entered: {error}")]
    Namespace { path: PathBuf, error: io::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tls::TlsError),
    #[error("no command to start a proxy with")]
    NoProxyCommand,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether an agent could start there: for one that is about to become it, and has no way back then.
pub fn check(options: &AgentOptions) -> Result<(), AgentError> {
    let directory = options.dir.canonicalize();
    let directory = directory.map_err(|error| AgentError::File { path: options.dir.clone(), error })?;
    let boot = directory::boot_config(&directory)?;
    tls::Tls::new(
        directory.join(&boot.server_cert),
        directory.join(&boot.client_ca),
        boot.controller_name.clone(),
        boot.amphora_id,
    )
    .config()?;
    options.namespace()?;
    Ok(())
}

impl AgentOptions {
    fn namespace(&self) -> Result<Option<Namespace>, AgentError> {
        let open = |path: &PathBuf| {
            Namespace::open(path).map_err(|error| AgentError::Namespace { path: path.clone(), error })
        };
        self.traffic_namespace.as_ref().map(open).transpose()
    }
}

/// Runs until SIGTERM or SIGINT, and then ends the proxy as well. On one thread: an amphora is to be small.
pub fn run(options: AgentOptions) -> Result<(), AgentError> {
    // A terminal's Ctrl-C is for the controller that was started there. Fails when run from a shell, and needs not.
    let _ = rustix::process::setsid();
    // Its memory holds the heartbeat key and a private key: no dump of it, nor of the proxy, which inherits this.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(io::Error::from)?;
    // Every listening socket is one for each traffic thread.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).map_err(io::Error::from)?;
    let inherited = renewal::inherited(options.bind);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(core::run(options, inherited))
}
