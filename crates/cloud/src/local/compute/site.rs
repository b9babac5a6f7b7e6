//! Where servers are: beside each other on loopback, or in namespaces on simulated hosts.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use octavia_model::AmphoraId;
use tokio::runtime::Handle;

use super::server::ServerDir;
use crate::local::netns::{Candidate, HostNumber, Netns, place, within};
use crate::local::network::LocalNetwork;
use crate::{CloudError, Placement, Server};

#[derive(Debug)]
pub(in crate::local) enum Site {
    Loopback,
    Hosts(Arc<Hosts>),
}

impl Site {
    /// `None` = there is no such server.
    pub(super) fn look(&self, dir: &ServerDir) -> io::Result<Option<Server>> {
        match (dir.look()?, self) {
            (Some(server), Self::Hosts(hosts)) => hosts.complete(dir, server).map(Some),
            (server, _) => Ok(server),
        }
    }

    /// All that an agent finds when it starts. `make` makes its directory.
    pub(super) fn prepare(
        &self,
        root: &Path,
        dir: &ServerDir,
        placement: &Placement,
        make: impl FnOnce() -> Result<(), CloudError>,
    ) -> Result<(), CloudError> {
        let Self::Hosts(hosts) = self else { return make() };
        let host = hosts.host_ensure(root, dir, placement, make)?;
        let connect = || {
            let address = dir.address()?.ok_or_else(|| io::Error::other("it has no address"))?;
            hosts.netns.server_ensure(dir.amphora(), host, address)
        };
        connect().map_err(|error: io::Error| {
            let amphora = dir.amphora();
            CloudError::unavailable(format!("cannot connect the server of amphora {amphora}: {error}"))
        })
    }

    pub(super) fn start(&self, dir: &ServerDir, exe: &Path, runtime: &Handle) -> io::Result<()> {
        match self {
            Self::Loopback => {
                let _entered = runtime.enter();
                dir.start(exe, None)
            }
            Self::Hosts(hosts) => {
                let traffic = hosts.netns.traffic_path(dir.amphora());
                within(&hosts.netns.server_netns(dir.amphora()), || {
                    let _entered = runtime.enter();
                    dir.start(exe, Some(&traffic))
                })?
            }
        }
    }

    /// What is outside the directory of a server whose processes have ended.
    pub(super) fn remove(&self, dir: &ServerDir) -> io::Result<()> {
        match self {
            Self::Loopback => Ok(()),
            Self::Hosts(hosts) => hosts.netns.server_remove(dir.amphora(), dir.host()?),
        }
    }
}

/// Simulated hosts, and the network that knows what is plugged into them.
#[derive(Debug)]
pub(in crate::local) struct Hosts {
    pub(in crate::local) netns: Netns,
    pub(in crate::local) network: Arc<LocalNetwork>,
    /// One server is placed at a time, so that two see each other.
    placing: Mutex<()>,
}

impl Hosts {
    pub(in crate::local) fn new(netns: Netns, network: Arc<LocalNetwork>) -> Self {
        Self { netns, network, placing: Mutex::default() }
    }

    /// The host that the server is on, or is put on: then `make` makes its directory first. What cannot be placed leaves
    /// nothing.
    fn host_ensure(
        &self,
        root: &Path,
        dir: &ServerDir,
        wanted: &Placement,
        make: impl FnOnce() -> Result<(), CloudError>,
    ) -> Result<HostNumber, CloudError> {
        let trouble = |error: io::Error| {
            CloudError::unavailable(format!("no host for the server of amphora {}: {error}", dir.amphora()))
        };
        let _one_at_a_time = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = dir.host().map_err(trouble)? {
            make()?;
            return Ok(host);
        }
        let mut servers: BTreeMap<HostNumber, Vec<AmphoraId>> = BTreeMap::new();
        for other in ServerDir::list(root).map_err(trouble)? {
            if let Some(host) = other.host().map_err(trouble)? {
                servers.entry(host).or_default().push(other.amphora());
            }
        }
        let candidates: Vec<_> = self
            .netns
            .hosts()
            .map_err(trouble)?
            .into_iter()
            .map(|(host, view)| Candidate {
                host,
                zone: view.zone,
                up: view.up,
                servers: servers.remove(&host).unwrap_or_default(),
            })
            .collect();
        let host = place(&candidates, wanted)?;
        make()?;
        dir.host_set(host).map_err(trouble)?;
        Ok(host)
    }

    /// Says of a server what only its host knows.
    fn complete(&self, dir: &ServerDir, mut server: Server) -> io::Result<Server> {
        let host = dir.host()?;
        server.zone = host.map(|host| self.netns.zone(host));
        server.host = host.map(|host| host.to_string());
        server.ports =
            self.network.ports_with_links(server.amphora_id, &self.netns.attached(server.amphora_id)?);
        Ok(server)
    }
}
