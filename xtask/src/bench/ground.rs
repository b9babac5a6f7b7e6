//! What every comparison of the data plane stands on: members, certificates, a directory, and which CPU is whose.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use super::comparison::pin;
use super::members::Members;
use super::peers::Certificates;
use super::servers::{self, Cpus};

/// Connections of clients at once, where it does not matter.
const CLIENTS: u32 = 5_000;

#[derive(Debug)]
pub(super) struct Ground {
    pub(super) members: Vec<SocketAddr>,
    pub(super) certificates: Certificates,
    pub(super) cpus: Cpus,
    /// Connections of clients at once, at most.
    pub(super) clients: u32,
    _members: Members,
    dir: TempDir,
}

impl Ground {
    /// Starts so many members, which answer with so many bytes each. This process, and what it starts but for what is
    /// measured, leaves the measured CPU alone from now on.
    pub(super) fn prepare(members: u8, lengths: &[usize]) -> Result<Self> {
        let cpus = Cpus::choose();
        pin(cpus)?;
        let dir = tempfile::Builder::new().prefix("octavia-bench-").tempdir()?;
        let port = octavia_testkit::net::free_port([127, 0, 0, 2].into())?;
        let members = servers::members(members, port);
        let server = Members::start(&members, lengths)?;
        let certificates = Certificates::make(dir.path())?;
        Ok(Self { members, certificates, cpus, clients: CLIENTS, _members: server, dir })
    }

    pub(super) fn for_clients(self, clients: u32) -> Self {
        Self { clients, ..self }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }
}
