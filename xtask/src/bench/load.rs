//! Load in one thread and a closed loop.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail};

use super::{ab, closed, h2load, wrk};
use crate::shell::found;

/// What asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// Ours: HTTP/1.1 in less time than proxies take for it, so that these are what it waits for.
    Closed,
    Wrk,
    /// Slower, but does not resume TLS sessions, as `wrk` does: each handshake is a full one.
    Ab,
    /// HTTP/2, ten requests at once on each connection.
    H2load,
}

impl Tool {
    /// # Errors
    /// When it is not installed.
    pub(super) fn require(self) -> Result<()> {
        let (program, package) = match self {
            Self::Closed => return Ok(()),
            Self::Wrk => ("wrk", "wrk"),
            Self::Ab => ("ab", "apache2-utils"),
            Self::H2load => ("h2load", "nghttp2-client"),
        };
        if !found(program) {
            bail!("{program} is missing; install it: apt-get install --no-install-recommends {package}");
        }
        Ok(())
    }
}

/// What it shall ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) tool: Tool,
    /// `http`, or `https`: certificates are not looked at.
    pub(super) scheme: &'static str,
    pub(super) target: SocketAddr,
    pub(super) length: usize,
    /// Ignored by `ab`, which makes a connection for each request, and by `h2load`, which keeps them.
    pub(super) keep_alive: bool,
    pub(super) connections: u32,
    pub(super) seconds: u32,
}

impl Load {
    pub(super) fn url(&self) -> String {
        format!("{}://{}/bytes/{}", self.scheme, self.target, self.length)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) requests: f64,
    pub(super) seconds: f64,
    /// Not a number where the tool does not tell.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// Runs the tool in `dir` (for its files).
///
/// # Errors
/// When anything failed: an error, a status that is not good, a body too short.
pub(super) fn run(dir: &Path, load: Load) -> Result<Outcome> {
    match load.tool {
        Tool::Closed => closed::run(load),
        Tool::Wrk => wrk::run(dir, load),
        Tool::Ab => ab::run(load),
        Tool::H2load => h2load::run(load),
    }
}
