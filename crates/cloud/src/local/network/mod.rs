//! Two networks, of loopback addresses or of namespaces; a file for every port, security group and QoS policy.

mod book;
mod http;
mod page;
mod ports;
mod request;
mod view;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};
use serde::de::DeserializeOwned;

use self::book::{Book, BookError, Change, Entries, Port};
pub(super) use self::book::{Net, PortWiring};
pub(super) use self::http::router;
use super::OpenError;
use super::blocking::Blocking;
use super::files::{dir_private, file_read, file_remove, file_replace, remains_remove};
use super::netns::{HostNumber, Netns};
use super::seed::Seed;
use crate::{
    CloudError, Network, NetworkInfo, PortInfo, PortRequest, SecurityRule, SubnetInfo, VipPort, VipRequest,
};

/// Directories of what is stored, below `cloud/`.
const PORTS: &str = "ports";
const GROUPS: &str = "security-groups";
const POLICIES: &str = "qos-policies";
/// A file is read up to so many bytes. A security group may have many rules.
const FILE_MAX: u64 = 16 << 20;

/// [`Network`] on addresses of 127.N.0.0/16, or of namespaces.
#[derive(Debug, Clone)]
pub struct LocalNetwork(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    book: Mutex<Book>,
    /// Where ports are attached.
    netns: Option<Netns>,
    /// Who owns the ports of amphorae.
    service_project: String,
    /// One writer at a time: no change is decided on a book that another is about to change, and cables see changes in
    /// their order.
    writer: Blocking,
    /// Attached ports whose cables have yet to learn of a change.
    stale: Mutex<BTreeSet<PortId>>,
}

impl LocalNetwork {
    pub(super) fn open(
        cloud_dir: &Path,
        number: u8,
        seed: &Seed,
        netns: Option<Netns>,
        service_project: String,
    ) -> Result<Self, OpenError> {
        let nets = match netns {
            Some(_) => Net::netns(number, seed),
            None => Net::loopback(number, seed),
        };
        let entries = Entries {
            ports: entries(&cloud_dir.join(PORTS))?,
            groups: entries(&cloud_dir.join(GROUPS))?,
            policies: entries(&cloud_dir.join(POLICIES))?,
        };
        let book = Mutex::new(Book::new(nets, entries));
        let dir = cloud_dir.to_owned();
        Ok(Self(Arc::new(Inner {
            dir,
            book,
            netns,
            service_project,
            writer: Blocking::new(1),
            stale: Mutex::default(),
        })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The book for reading; what is read may change right after.
    fn look<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.book())
    }

    /// Decides on the book, makes the change durable, then enters it.
    async fn change<T: Send + 'static, E: From<CloudError> + Send + 'static>(
        &self,
        decide: impl FnOnce(&Book, Timestamp) -> Result<(T, Change), E> + Send + 'static,
    ) -> Result<T, E> {
        let this = self.clone();
        self.0
            .writer
            .run(move || {
                let (answer, change) = decide(&this.book(), Timestamp::now())?;
                let cables = this.cables(&change);
                // The cable first: a port that was deleted is not asked for again.
                if let (Some(netns), Change::Remove(id)) = (&this.0.netns, &change) {
                    netns.port_detach(*id).map_err(|error| trouble("detached", &error))?;
                }
                this.store(&change).map_err(|error| {
                    CloudError::unavailable(format!("the change of a port could not be stored: {error}"))
                })?;
                this.book().apply(change);
                this.cables_refresh(cables)?;
                Ok(answer)
            })
            .await?
    }

    fn store(&self, change: &Change) -> std::io::Result<()> {
        let path = |kind: &str, id: &dyn std::fmt::Display| self.0.dir.join(kind).join(format!("{id}.json"));
        match change {
            Change::Nothing => Ok(()),
            Change::Put(port) => file_replace(&path(PORTS, &port.id), &serde_json::to_vec(port)?),
            Change::Remove(id) => file_remove(&path(PORTS, id)),
            Change::GroupPut(group) => {
                file_replace(&path(GROUPS, &group.load_balancer_id), &serde_json::to_vec(group)?)
            }
            Change::GroupRemove(load_balancer) => file_remove(&path(GROUPS, load_balancer)),
            Change::PolicyPut(policy) => {
                file_replace(&path(POLICIES, &policy.id), &serde_json::to_vec(policy)?)
            }
            Change::PolicyRemove(id) => file_remove(&path(POLICIES, id)),
        }
    }
}

/// What is in the files of a directory, which is made if need be.
fn entries<T: DeserializeOwned>(dir: &Path) -> Result<Vec<T>, OpenError> {
    let failed = |error| OpenError::file(dir, error);
    dir_private(dir).map_err(failed)?;
    remains_remove(dir).map_err(failed)?;
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text =
            file_read(&path, FILE_MAX).map_err(|error| OpenError::file(&path, error))?.unwrap_or_default();
        let entry = serde_json::from_str(&text)
            .map_err(|error| OpenError::Damaged { path: path.clone(), error: error.to_string() })?;
        found.push(entry);
    }
    Ok(found)
}

fn trouble(what: &str, error: &std::io::Error) -> CloudError {
    CloudError::unavailable(format!("a port could not be {what}: {error}"))
}

#[async_trait]
impl Network for LocalNetwork {
    async fn subnet_get(&self, id: SubnetId) -> Result<Option<SubnetInfo>, CloudError> {
        Ok(self.book().subnet_info(id))
    }

    async fn network_get(&self, id: NetworkId) -> Result<Option<NetworkInfo>, CloudError> {
        Ok(self.book().network_info(id))
    }

    async fn port_get(&self, id: PortId) -> Result<Option<PortInfo>, CloudError> {
        Ok(self.book().port_info(id))
    }

    async fn security_group_exists(&self, _id: SecurityGroupId) -> Result<bool, CloudError> {
        Ok(false)
    }

    async fn qos_policy_exists(&self, id: uuid::Uuid) -> Result<bool, CloudError> {
        Ok(self.book().policy(id).is_some())
    }

    fn subnet_holds(&self, subnet: &SubnetInfo, address: IpAddr) -> bool {
        self.book().gives(subnet.id, address)
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        let request = request.clone();
        self.change(move |book, now| Ok(book.vip_ensure(&request, fresh(book), now)?)).await
    }

    async fn vip_check(&self, request: &VipRequest) -> Result<(), CloudError> {
        self.book().vip_ensure(request, PortId::new_v4(), Timestamp::now())?;
        Ok(())
    }

    async fn vip_release(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        self.change(move |book, now| Ok(((), book.vip_release(load_balancer, now)))).await
    }

    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        Ok(self.book().load_balancers())
    }

    async fn port_ensure(&self, request: &PortRequest) -> Result<crate::Port, CloudError> {
        let request = request.clone();
        let project = self.0.service_project.clone();
        self.change(move |book, now| Ok(book.amphora_port_ensure(&request, fresh(book), &project, now)?))
            .await
    }

    async fn port_find(
        &self,
        amphora: AmphoraId,
        network: NetworkId,
    ) -> Result<Option<crate::Port>, CloudError> {
        let book = self.book();
        Ok(book.amphora_port(amphora, network).map(|port| book.shown(port)).transpose()?)
    }

    async fn port_list(&self, of: Option<AmphoraId>) -> Result<Vec<crate::Port>, CloudError> {
        let book = self.book();
        Ok(book.amphora_ports(of).map(|port| book.shown(port)).collect::<Result<_, _>>()?)
    }

    async fn port_delete(&self, port: PortId) -> Result<(), CloudError> {
        self.change(move |book, _| Ok(((), book.amphora_port_delete(port)?))).await
    }

    async fn security_group_ensure(
        &self,
        load_balancer: LoadBalancerId,
        rules: &[SecurityRule],
    ) -> Result<SecurityGroupId, CloudError> {
        if self.0.netns.is_none() {
            return Err(CloudError::internal("the loopback network filters nothing"));
        }
        let rules = rules.to_vec();
        self.change(move |book, now| {
            Ok(book.group_ensure(load_balancer, &rules, SecurityGroupId::new_v4(), now)?)
        })
        .await
    }

    async fn security_group_delete(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        self.change(move |book, _| Ok(((), book.group_delete(load_balancer)))).await
    }

    async fn security_group_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        Ok(self.book().groups().map(|group| group.load_balancer_id).collect())
    }
}

/// An id for a port that is not yet there.
fn fresh(book: &Book) -> PortId {
    loop {
        let id = PortId::new_v4();
        if book.is_fresh(id) {
            return id;
        }
    }
}
