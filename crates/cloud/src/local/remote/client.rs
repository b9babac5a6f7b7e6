//! The side that asks.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Answer, Call, Consuming, Contained, Reading, SOCKET, SecretRefusal, frame_read, frame_write};
use crate::local::cert::LocalAuthority;
use crate::local::network::Net;
use crate::local::seed::Seed;
use crate::local::settings::Settings;
use crate::local::trust_file::TrustFile;
use crate::local::{IDENTITY_PATH, OpenError, management_address};
use crate::{
    CertIssuer, CloudError, Compute, Consumer, Container, HeartbeatKey, Identity, IdentityError, Network,
    NetworkInfo, Payload, Port, PortInfo, PortRequest, Reader, RequestContext, SecretError, SecretRef,
    Secrets, SecurityRule, Server, ServerRequest, SubnetInfo, VipPort, VipRequest,
};

/// The longest that one answer takes: many servers may wait for their turn to be made.
const PATIENCE: Duration = Duration::from_secs(60);

/// The local cloud of a state directory that another process keeps. Cheap to clone.
///
/// While nobody keeps it, every question ends with an error of a dependency, and is to be asked again.
#[derive(Debug, Clone)]
pub struct LocalClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: PathBuf,
    settings: Settings,
    /// As the keeper has them, for ever.
    nets: Vec<Net>,
    authority: Arc<LocalAuthority>,
    auth_uri: String,
}

impl LocalClient {
    /// Of a cloud that was made before. `url` = where the keeper's HTTP APIs are, for what callers without a token are told;
    /// `keys` = keys of heartbeats, the newest first, instead of those that the state directory keeps.
    ///
    /// # Errors
    ///
    /// If there is no cloud in the state directory yet, or its files cannot be read.
    pub fn open(state_dir: &Path, url: &str, keys: Vec<HeartbeatKey>) -> Result<Self, OpenError> {
        let dir = state_dir.canonicalize().map_err(|error| OpenError::file(state_dir, error))?;
        let cloud_dir = dir.join("cloud");
        let settings = Settings::load(&cloud_dir)?;
        // The authority is the last of what a first start makes.
        let settings = settings.filter(|_| TrustFile::is_to_be_had(&cloud_dir));
        let settings = settings.ok_or_else(|| OpenError::NoCloud(dir.clone()))?;
        let seed = Seed::new(settings.seed.clone());
        let nets = match settings.netns {
            Some(_) => Net::netns(settings.network, &seed),
            None => Net::loopback(settings.network, &seed),
        };
        let authority =
            Arc::new(LocalAuthority::open(&cloud_dir, &settings.heartbeat_key, keys, Timestamp::now())?);
        let auth_uri = format!("{url}{IDENTITY_PATH}");
        Ok(Self(Arc::new(Inner { socket: dir.join(SOCKET), settings, nets, authority, auth_uri })))
    }

    pub fn compute(&self) -> Arc<dyn Compute> {
        Arc::new(self.clone())
    }

    pub fn network(&self) -> Arc<dyn Network> {
        Arc::new(self.clone())
    }

    pub fn identity(&self) -> Arc<dyn Identity> {
        Arc::new(self.clone())
    }

    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::new(self.clone())
    }

    pub fn cert_issuer(&self) -> Arc<dyn CertIssuer> {
        self.0.authority.clone()
    }

    /// Where this machine is to the amphorae: 127.N.0.1 or 10.N.0.1.
    pub fn management_address(&self) -> IpAddr {
        management_address(&self.0.settings)
    }

    pub fn ticket_key(&self) -> &str {
        &self.0.settings.ticket_key
    }

    /// When the certificate of the authority that issues ends.
    pub fn authority_expires_at(&self) -> Timestamp {
        self.0.authority.trust().issuing.expires_at
    }

    /// Whether amphorae have interfaces of their own, in namespaces.
    pub fn has_interfaces(&self) -> bool {
        self.0.settings.netns.is_some()
    }

    /// Whether somebody keeps the cloud.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub async fn ping(&self) -> Result<(), CloudError> {
        // Nobody has that network.
        self.ask::<Option<NetworkInfo>>(&Call::NetworkGet(NetworkId::nil())).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CloudError> {
        let answer = match tokio::time::timeout(PATIENCE, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let answer = answer.and_then(|answer| Ok(serde_json::from_slice::<Answer<T>>(&answer)?));
        match answer {
            Ok(Answer::Good(good)) => Ok(good),
            Ok(Answer::Bad(refusal)) => Err(refusal.into()),
            Err(error) => Err(CloudError::unavailable(format!(
                "the local cloud does not answer ({error}): is `octavia local serve` at work?"
            ))),
        }
    }

    async fn exchange(&self, call: &Call) -> io::Result<Zeroizing<Vec<u8>>> {
        let question = Zeroizing::new(serde_json::to_vec(call)?);
        let mut stream = UnixStream::connect(&self.0.socket).await?;
        frame_write(&mut stream, &question).await?;
        frame_read(&mut stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn ask_secret<T: DeserializeOwned>(&self, call: &Call) -> Result<T, SecretError> {
        Ok(self.ask::<Result<T, SecretRefusal>>(call).await??)
    }

    async fn consumer(&self, used: &SecretRef, consumer: Consumer, uses: bool) -> Result<(), SecretError> {
        let reference = used.text.clone();
        let resource = consumer.resource.to_owned();
        self.ask_secret(&Call::Consumer(Consuming { reference, resource, id: consumer.id, uses })).await
    }
}

#[async_trait]
impl Compute for LocalClient {
    async fn server_ensure(&self, request: &ServerRequest) -> Result<Server, CloudError> {
        self.ask(&Call::ServerEnsure(request.clone())).await
    }

    async fn server_find(&self, amphora: AmphoraId) -> Result<Option<Server>, CloudError> {
        self.ask(&Call::ServerFind(amphora)).await
    }

    async fn server_delete(&self, amphora: AmphoraId) -> Result<(), CloudError> {
        self.ask(&Call::ServerDelete(amphora)).await
    }

    async fn server_list(&self) -> Result<Vec<Server>, CloudError> {
        self.ask(&Call::ServerList).await
    }

    fn has_ports(&self) -> bool {
        self.has_interfaces()
    }

    async fn port_attach(&self, amphora: AmphoraId, port: &Port) -> Result<(), CloudError> {
        self.ask(&Call::PortAttach(amphora, port.clone())).await
    }

    async fn port_detach(&self, amphora: AmphoraId, port: PortId) -> Result<(), CloudError> {
        self.ask(&Call::PortDetach(amphora, port)).await
    }
}

#[async_trait]
impl Network for LocalClient {
    async fn subnet_get(&self, id: SubnetId) -> Result<Option<SubnetInfo>, CloudError> {
        self.ask(&Call::SubnetGet(id)).await
    }

    async fn network_get(&self, id: NetworkId) -> Result<Option<NetworkInfo>, CloudError> {
        self.ask(&Call::NetworkGet(id)).await
    }

    async fn port_get(&self, id: PortId) -> Result<Option<PortInfo>, CloudError> {
        self.ask(&Call::PortGet(id)).await
    }

    async fn security_group_exists(&self, id: SecurityGroupId) -> Result<bool, CloudError> {
        self.ask(&Call::SecurityGroupExists(id)).await
    }

    async fn qos_policy_exists(&self, id: Uuid) -> Result<bool, CloudError> {
        self.ask(&Call::QosPolicyExists(id)).await
    }

    fn subnet_holds(&self, subnet: &SubnetInfo, address: IpAddr) -> bool {
        let known = self.0.nets.iter().find_map(|net| net.subnet(subnet.id));
        known.is_some_and(|subnet| subnet.gives(address))
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        self.ask(&Call::VipEnsure(request.clone())).await
    }

    async fn vip_check(&self, request: &VipRequest) -> Result<(), CloudError> {
        self.ask(&Call::VipCheck(request.clone())).await
    }

    async fn vip_release(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        self.ask(&Call::VipRelease(load_balancer)).await
    }

    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        self.ask(&Call::VipList).await
    }

    async fn port_ensure(&self, request: &PortRequest) -> Result<Port, CloudError> {
        self.ask(&Call::PortEnsure(request.clone())).await
    }

    async fn port_find(&self, amphora: AmphoraId, network: NetworkId) -> Result<Option<Port>, CloudError> {
        self.ask(&Call::PortFind(amphora, network)).await
    }

    async fn port_list(&self, of: Option<AmphoraId>) -> Result<Vec<Port>, CloudError> {
        self.ask(&Call::PortList(of)).await
    }

    async fn port_delete(&self, port: PortId) -> Result<(), CloudError> {
        self.ask(&Call::PortDelete(port)).await
    }

    async fn security_group_ensure(
        &self,
        load_balancer: LoadBalancerId,
        rules: &[SecurityRule],
    ) -> Result<SecurityGroupId, CloudError> {
        self.ask(&Call::SecurityGroupEnsure(load_balancer, rules.to_vec())).await
    }

    async fn security_group_delete(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        self.ask(&Call::SecurityGroupDelete(load_balancer)).await
    }

    async fn security_group_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        self.ask(&Call::SecurityGroupList).await
    }
}

#[async_trait]
impl Identity for LocalClient {
    async fn verify(&self, token: &str) -> Result<RequestContext, IdentityError> {
        match self.ask::<Option<RequestContext>>(&Call::Token(token.to_owned())).await {
            Ok(Some(caller)) => Ok(caller),
            Ok(None) => Err(IdentityError::InvalidToken),
            Err(error) => Err(IdentityError::Unavailable(error.message)),
        }
    }

    fn auth_uri(&self) -> &str {
        &self.0.auth_uri
    }
}

#[async_trait]
impl Secrets for LocalClient {
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError> {
        let payload: Vec<u8> = self.ask_secret(&Call::Payload(reading(secret, reader))).await?;
        Ok(Zeroizing::new(payload))
    }

    async fn container_fetch(
        &self,
        container: &SecretRef,
        reader: Reader<'_>,
    ) -> Result<Container, SecretError> {
        let found: Contained = self.ask_secret(&Call::Container(reading(container, reader))).await?;
        let parts = found.secrets.into_iter().map(|(name, text)| Ok((name, SecretRef::parse(&text)?)));
        let secrets = parts.collect::<Result<_, SecretError>>()?;
        Ok(Container { kind: found.kind, secrets, forbidden: None })
    }

    async fn consumer_register(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        self.consumer(used, consumer, true).await
    }

    async fn consumer_unregister(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        self.consumer(used, consumer, false).await
    }
}

/// The vault asks who the caller is, and not what else is to become of the request.
fn reading(reference: &SecretRef, reader: Reader<'_>) -> Reading {
    let caller = match reader {
        Reader::Service => None,
        Reader::Caller(caller, _) | Reader::Admitting(caller, _) | Reader::Rehearsal(caller, _) => {
            Some(caller.clone())
        }
    };
    Reading { reference: reference.text.clone(), caller }
}
