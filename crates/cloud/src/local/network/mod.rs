//! Two networks of loopback addresses, a file for every port.

mod book;
mod http;
mod page;
mod request;
mod view;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use octavia_model::{LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};

use self::book::{Book, BookError, Change, Net, Port};
pub(super) use self::http::router;
use super::OpenError;
use super::blocking::Blocking;
use super::files::{dir_private, file_read, file_remove, file_replace, remains_remove};
use super::seed::Seed;
use crate::{CloudError, Network, NetworkInfo, PortInfo, SubnetInfo, VipPort, VipRequest};

/// [`Network`] on addresses of 127.N.0.0/16.
#[derive(Debug, Clone)]
pub struct LocalNetwork(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    book: Mutex<Book>,
    /// One writer at a time: no change is decided on a book that another is about to change.
    writer: Blocking,
}

impl LocalNetwork {
    pub(super) fn open(cloud_dir: &Path, number: u8, seed: &Seed) -> Result<Self, OpenError> {
        let dir = cloud_dir.join("ports");
        let failed = |error| OpenError::file(&dir, error);
        dir_private(&dir).map_err(failed)?;
        remains_remove(&dir).map_err(failed)?;
        let mut ports = vec![];
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text =
                file_read(&path, 1 << 16).map_err(|error| OpenError::file(&path, error))?.unwrap_or_default();
            let port: Port = serde_json::from_str(&text)
                .map_err(|error| OpenError::Damaged { path: path.clone(), error: error.to_string() })?;
            ports.push(port);
        }
        let book = Mutex::new(Book::new(Net::all(number, seed), ports));
        Ok(Self(Arc::new(Inner { dir, book, writer: Blocking::new(1) })))
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
                this.store(&change).map_err(|error| {
                    CloudError::unavailable(format!("the change of a port could not be stored: {error}"))
                })?;
                this.book().apply(change);
                Ok(answer)
            })
            .await?
    }

    fn store(&self, change: &Change) -> std::io::Result<()> {
        let path = |id: PortId| self.0.dir.join(format!("{id}.json"));
        match change {
            Change::Nothing => Ok(()),
            Change::Put(port) => file_replace(&path(port.id), &serde_json::to_vec(port)?),
            Change::Remove(id) => file_remove(&path(*id)),
        }
    }
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

    async fn qos_policy_exists(&self, _id: uuid::Uuid) -> Result<bool, CloudError> {
        Ok(false)
    }

    fn subnet_holds(&self, subnet: &SubnetInfo, address: IpAddr) -> bool {
        self.book().gives(subnet.id, address)
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        let request = request.clone();
        self.change(move |book, now| Ok(book.vip_ensure(&request, PortId::new_v4(), now)?)).await
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
}
