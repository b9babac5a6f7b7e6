//! Servers that are pairs of processes on this machine: `amphorae/<id>/` is the server, the agent in it the power
//! switch.
//!
//! The directory is the only record, so a restarted controller finds every server. The agent writes `agent.pid` once
//! it holds the directory's lock; we write `start.pid` as soon as it is spawned, so that a server that is coming up
//! is not started twice. On simulated hosts the pair runs in namespaces of its own, and has cables for its ports.

mod address;
mod process;
mod server;
mod site;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use octavia_model::{AmphoraId, PortId};
use tokio::sync::OwnedMutexGuard;

use self::address::Addresses;
use self::server::{ServerDir, boot_files_check};
pub(super) use self::site::{Hosts, Site};
use super::OpenError;
use super::blocking::Blocking;
use super::files::remains_remove;
use super::netns::HostNumber;
use crate::{CloudError, Compute, Port, Server, ServerRequest, ServerState};

/// Below the state directory.
pub(super) const DIR: &str = "amphorae";

/// How long an agent may take to end itself and its proxy before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// [`Compute`] by process pairs on loopback addresses, or in namespaces.
#[derive(Debug)]
pub struct LocalCompute {
    dir: PathBuf,
    exe: PathBuf,
    addresses: Arc<Mutex<Addresses>>,
    /// One change of a server at a time.
    busy: Mutex<HashMap<AmphoraId, Arc<tokio::sync::Mutex<()>>>>,
    blocking: Blocking,
    site: Arc<Site>,
}

impl LocalCompute {
    pub(super) fn open(state_dir: &Path, number: u8, exe: &Path, site: Site) -> Result<Self, OpenError> {
        let dir = state_dir.join(DIR);
        super::files::dir_private(&dir).map_err(|error| OpenError::file(&dir, error))?;
        let mut addresses = Addresses::new(match site {
            Site::Loopback => [127, number],
            Site::Hosts(_) => [10, number],
        });
        remains_remove(&dir).map_err(|error| OpenError::file(&dir, error))?;
        for server in ServerDir::list(&dir).map_err(|error| OpenError::file(&dir, error))? {
            if let Ok(Some(address)) = server.address() {
                addresses.take(address);
            }
        }
        // Servers are started in their own directories; a bare name is for PATH.
        let exe =
            if exe.components().nth(1).is_none() { Ok(exe.to_owned()) } else { std::path::absolute(exe) };
        Ok(Self {
            dir,
            exe: exe.map_err(|error| OpenError::file(state_dir, error))?,
            addresses: Arc::new(Mutex::new(addresses)),
            busy: Mutex::default(),
            blocking: Blocking::new(4),
            site: Arc::new(site),
        })
    }

    async fn lock(&self, amphora: AmphoraId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(busy.entry(amphora).or_default())
        };
        lock.lock_owned().await
    }

    fn server_dir(&self, amphora: AmphoraId) -> ServerDir {
        ServerDir::new(&self.dir, amphora)
    }
}

#[async_trait]
impl Compute for LocalCompute {
    async fn server_ensure(&self, request: &ServerRequest) -> Result<Server, CloudError> {
        boot_files_check(&request.files)?;
        let guard = self.lock(request.amphora_id).await;
        let dir = self.server_dir(request.amphora_id);
        let (exe, addresses, site) = (self.exe.clone(), Arc::clone(&self.addresses), Arc::clone(&self.site));
        let (root, files, placement) = (self.dir.clone(), request.files.clone(), request.placement.clone());
        let runtime = tokio::runtime::Handle::current();
        self.blocking
            .run(move || {
                let _guard = guard;
                let server = site.look(&dir).map_err(|error| trouble("look at", &dir, &error))?;
                if let Some(server) = server
                    && server.state != ServerState::Stopped
                {
                    return Ok(server);
                }
                site.prepare(&root, &dir, &placement, || dir.make(&files, &addresses))?;
                site.start(&dir, &exe, &runtime).map_err(|error| trouble("start", &dir, &error))?;
                let server = site.look(&dir).map_err(|error| trouble("look at", &dir, &error))?;
                server.ok_or_else(|| CloudError::internal("the server's directory vanished"))
            })
            .await?
    }

    async fn server_find(&self, amphora: AmphoraId) -> Result<Option<Server>, CloudError> {
        let (dir, site) = (self.server_dir(amphora), Arc::clone(&self.site));
        self.blocking
            .run(move || {
                dir.log_trim();
                site.look(&dir).map_err(|error| trouble("look at", &dir, &error))
            })
            .await?
    }

    async fn server_delete(&self, amphora: AmphoraId) -> Result<(), CloudError> {
        let guard = self.lock(amphora).await;
        let dir = self.server_dir(amphora);
        if !dir.exists() {
            return Ok(());
        }
        process::end(&dir, GRACE).await.map_err(|error| trouble("end", &dir, &error))?;
        let (addresses, site) = (Arc::clone(&self.addresses), Arc::clone(&self.site));
        self.blocking
            .run(move || {
                let _guard = guard;
                let address = dir.address().ok().flatten();
                site.remove(&dir).map_err(|error| trouble("disconnect", &dir, &error))?;
                dir.remove().map_err(|error| trouble("remove", &dir, &error))?;
                if let Some(address) = address {
                    addresses.lock().unwrap_or_else(PoisonError::into_inner).give_back(address);
                }
                Ok(())
            })
            .await?
    }

    async fn server_list(&self) -> Result<Vec<Server>, CloudError> {
        let (root, site) = (self.dir.clone(), Arc::clone(&self.site));
        self.blocking
            .run(move || {
                let dirs = ServerDir::list(&root)
                    .map_err(|error| CloudError::unavailable(format!("cannot list servers: {error}")))?;
                let mut servers = Vec::with_capacity(dirs.len());
                for dir in dirs {
                    // One that was deleted meanwhile is no error.
                    servers.extend(site.look(&dir).map_err(|error| trouble("look at", &dir, &error))?);
                }
                Ok(servers)
            })
            .await?
    }

    fn has_ports(&self) -> bool {
        matches!(*self.site, Site::Hosts(_))
    }

    async fn port_attach(&self, amphora: AmphoraId, port: &Port) -> Result<(), CloudError> {
        let guard = self.lock(amphora).await;
        let dir = self.server_dir(amphora);
        let Site::Hosts(hosts) = &*self.site else {
            return Err(CloudError::internal("servers on loopback have no ports"));
        };
        let host = dir.host().map_err(|error| trouble("look at", &dir, &error))?;
        let host = host.ok_or_else(|| CloudError::unavailable(format!("amphora {amphora} has no server")))?;
        hosts.network.attach(port.id, amphora, host, guard).await
    }

    async fn port_detach(&self, amphora: AmphoraId, port: PortId) -> Result<(), CloudError> {
        let guard = self.lock(amphora).await;
        match &*self.site {
            Site::Hosts(hosts) => hosts.network.detach(port, guard).await,
            Site::Loopback => Ok(()),
        }
    }
}

/// Ends every process of the servers below the state directory.
pub(super) async fn end_all(state_dir: &Path) -> std::io::Result<()> {
    let root = state_dir.join(DIR);
    if root.try_exists()? {
        for dir in ServerDir::list(&root)? {
            process::end(&dir, GRACE).await?;
        }
    }
    Ok(())
}

/// Servers and the addresses of their agents, as far as they are known.
pub(super) fn addresses_all(state_dir: &Path) -> std::io::Result<Vec<(AmphoraId, std::net::Ipv4Addr)>> {
    let root = state_dir.join(DIR);
    if !root.try_exists()? {
        return Ok(vec![]);
    }
    let mut found = vec![];
    for dir in ServerDir::list(&root)? {
        found.extend(dir.address()?.map(|address| (dir.amphora(), address)));
    }
    Ok(found)
}

/// Servers and the hosts they are on, as far as there are hosts.
pub(super) fn hosts_all(state_dir: &Path) -> std::io::Result<Vec<(AmphoraId, HostNumber)>> {
    let root = state_dir.join(DIR);
    if !root.try_exists()? {
        return Ok(vec![]);
    }
    let mut found = vec![];
    for dir in ServerDir::list(&root)? {
        found.extend(dir.host()?.map(|host| (dir.amphora(), host)));
    }
    Ok(found)
}

fn trouble(what: &str, dir: &ServerDir, error: &std::io::Error) -> CloudError {
    CloudError::unavailable(format!("cannot {what} the server of amphora {}: {error}", dir.amphora()))
}
