//! The side that has the cloud.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    Answer, Call, Consuming, Contained, Reading, Refusal, SOCKET, SecretRefusal, frame_read, frame_write,
};
use crate::{
    CloudError, Compute, Consumer, Identity, IdentityError, Network, Reader, SecretError, SecretRef, Secrets,
};

/// Clients at once; more wait in the socket.
const CLIENTS_MAX: usize = 512;
/// For a question to come in whole, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers other processes at the socket of a state directory.
#[derive(Debug)]
pub struct Keeper {
    listener: UnixListener,
    services: Arc<Services>,
}

#[derive(Debug)]
pub(in crate::local) struct Services {
    pub(in crate::local) compute: Arc<dyn Compute>,
    pub(in crate::local) network: Arc<dyn Network>,
    pub(in crate::local) identity: Arc<dyn Identity>,
    pub(in crate::local) secrets: Arc<dyn Secrets>,
}

impl Keeper {
    /// In the place of a socket that is there: the caller has the state directory for itself.
    pub(in crate::local) fn bind(state_dir: &Path, services: Services) -> io::Result<Self> {
        let path = state_dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, services: Arc::new(services) })
    }

    /// Until `stopped`; what was asked by then is answered.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        let Self { listener, services } = self;
        let slots = Arc::new(Semaphore::new(CLIENTS_MAX));
        let mut clients = JoinSet::new();
        let mut stopped = std::pin::pin!(stopped);
        loop {
            let accept = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
            let (slot, accepted) = tokio::select! {
                accepted = accept => accepted,
                Some(_) = clients.join_next() => continue,
                () = &mut stopped => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let services = Arc::clone(&services);
                    clients.spawn(async move {
                        let _slot = slot;
                        services.serve(stream).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the local cloud: a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        while clients.join_next().await.is_some() {}
    }
}

impl Services {
    /// One question.
    async fn serve(&self, mut stream: UnixStream) {
        let served = async {
            let question = timeout(PATIENCE, frame_read(&mut stream)).await??;
            let Some(question) = question else { return Ok(()) };
            let answer = match serde_json::from_slice(&question) {
                Ok(call) => self.answer(call).await,
                Err(error) => told::<()>(Err(CloudError::unavailable(format!(
                    "the process that keeps the local cloud does not understand ({error}): is it of an older version?"
                )))),
            };
            timeout(PATIENCE, frame_write(&mut stream, &answer?)).await?
        };
        let served: io::Result<()> = served.await;
        if let Err(error) = served {
            tracing::debug!(%error, "the local cloud: a client was not served");
        }
    }

    async fn answer(&self, call: Call) -> io::Result<Zeroizing<Vec<u8>>> {
        let (compute, network) = (&self.compute, &self.network);
        match call {
            Call::ServerEnsure(request) => told(compute.server_ensure(&request).await),
            Call::ServerFind(amphora) => told(compute.server_find(amphora).await),
            Call::ServerDelete(amphora) => told(compute.server_delete(amphora).await),
            Call::ServerList => told(compute.server_list().await),
            Call::PortAttach(amphora, port) => told(compute.port_attach(amphora, &port).await),
            Call::PortDetach(amphora, port) => told(compute.port_detach(amphora, port).await),
            Call::SubnetGet(id) => told(network.subnet_get(id).await),
            Call::NetworkGet(id) => told(network.network_get(id).await),
            Call::PortGet(id) => told(network.port_get(id).await),
            Call::SecurityGroupExists(id) => told(network.security_group_exists(id).await),
            Call::QosPolicyExists(id) => told(network.qos_policy_exists(id).await),
            Call::VipEnsure(request) => told(network.vip_ensure(&request).await),
            Call::VipCheck(request) => told(network.vip_check(&request).await),
            Call::VipRelease(lb) => told(network.vip_release(lb).await),
            Call::VipList => told(network.vip_list().await),
            Call::PortEnsure(request) => told(network.port_ensure(&request).await),
            Call::PortFind(amphora, on) => told(network.port_find(amphora, on).await),
            Call::PortList(of) => told(network.port_list(of).await),
            Call::PortDelete(port) => told(network.port_delete(port).await),
            Call::SecurityGroupEnsure(lb, rules) => told(network.security_group_ensure(lb, &rules).await),
            Call::SecurityGroupDelete(lb) => told(network.security_group_delete(lb).await),
            Call::SecurityGroupList => told(network.security_group_list().await),
            Call::Token(token) => told(match self.identity.verify(&token).await {
                Ok(caller) => Ok(Some(caller)),
                Err(IdentityError::InvalidToken) => Ok(None),
                Err(IdentityError::Unavailable(why)) => Err(CloudError::unavailable(why)),
            }),
            Call::Payload(reading) => {
                let payload = self.payload(&reading).await;
                told_secret(payload.as_ref().map(|payload| payload.as_slice()).map_err(Clone::clone))
            }
            Call::Container(reading) => told_secret(self.container(&reading).await),
            Call::Consumer(consuming) => told_secret(self.consumer(&consuming).await),
        }
    }

    async fn payload(&self, reading: &Reading) -> Result<crate::Payload, SecretError> {
        let secret = SecretRef::parse(&reading.reference)?;
        self.secrets.payload_fetch(&secret, reading.reader()).await
    }

    async fn container(&self, reading: &Reading) -> Result<Contained, SecretError> {
        let container = SecretRef::parse(&reading.reference)?;
        let found = self.secrets.container_fetch(&container, reading.reader()).await?;
        let secrets = found.secrets.into_iter().map(|(name, secret)| (name, secret.text)).collect();
        Ok(Contained { kind: found.kind, secrets })
    }

    async fn consumer(&self, consuming: &Consuming) -> Result<(), SecretError> {
        let used = SecretRef::parse(&consuming.reference)?;
        let known = Consumer::RESOURCES.into_iter().find(|resource| *resource == consuming.resource);
        let resource = known.ok_or_else(|| CloudError::internal("no such kind of consumer"))?;
        let consumer = Consumer { resource, id: consuming.id };
        match consuming.uses {
            true => self.secrets.consumer_register(&used, consumer).await,
            false => self.secrets.consumer_unregister(&used, consumer).await,
        }
    }
}

impl Reading {
    fn reader(&self) -> Reader<'_> {
        self.caller.as_ref().map_or(Reader::Service, |caller| Reader::Caller(caller, None))
    }
}

fn told<T: Serialize>(outcome: Result<T, CloudError>) -> io::Result<Zeroizing<Vec<u8>>> {
    let answer = match outcome {
        Ok(good) => Answer::Good(good),
        Err(error) => Answer::Bad(Refusal::from(error)),
    };
    Ok(Zeroizing::new(serde_json::to_vec(&answer)?))
}

fn told_secret<T: Serialize>(outcome: Result<T, SecretError>) -> io::Result<Zeroizing<Vec<u8>>> {
    told(Ok(outcome.map_err(SecretRefusal::from)))
}
