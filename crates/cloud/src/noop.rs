//! A cloud where everything is there and nothing happens: for tests of clients of the API, which bring ids and
//! addresses of their own. The original's `network_noop_driver`, `compute_noop_driver` and `noop_cert_manager`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ipnet::{IpNet, Ipv4Net};
use newtype_uuid::GenericUuid;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};
use octavia_tls::{CaBundle, Crls, TlsBundle, TlsError};
use uuid::Uuid;

use crate::material::TlsMaterial;
use crate::{
    CloudError, Compute, Consumer, Container, Network, NetworkInfo, Payload, PortInfo, Reader, SecretError,
    SecretRef, Secrets, Server, ServerRequest, ServerState, SubnetInfo, VipPort, VipRequest,
};

/// 198.18.0.0/15, which RFC 2544 keeps for benchmarks: nobody is there.
const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);

/// Every network, subnet, port, security group and QoS policy is there, and every address is free.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopNetwork;

/// Another id that belongs to this one; that of the other is this one again.
fn partner(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ 0x5c5c_5c5c_5c5c_5c5c)
}

/// An address of [`POOL`] that is always the same for the id.
fn address(id: Uuid) -> IpAddr {
    let bytes = id.as_bytes();
    let [high, low] = [bytes[14], bytes[15]];
    Ipv4Addr::new(198, 18 | (bytes[13] & 1), high, low).into()
}

fn network_of(subnet: SubnetId) -> NetworkId {
    NetworkId::from_untyped_uuid(partner(subnet.into_untyped_uuid()))
}

fn subnet_of(network: NetworkId) -> SubnetId {
    SubnetId::from_untyped_uuid(partner(network.into_untyped_uuid()))
}

#[async_trait]
impl Network for NoopNetwork {
    async fn subnet_get(&self, id: SubnetId) -> Result<Option<SubnetInfo>, CloudError> {
        let (network_id, cidr) = (network_of(id), IpNet::V4(POOL));
        Ok(Some(SubnetInfo { id, network_id, name: String::new(), cidr, free: u64::from(u16::MAX) }))
    }

    async fn network_get(&self, id: NetworkId) -> Result<Option<NetworkInfo>, CloudError> {
        let subnets = vec![subnet_of(id)];
        Ok(Some(NetworkInfo { id, name: String::new(), subnets, port_security_enabled: true }))
    }

    async fn port_get(&self, id: PortId) -> Result<Option<PortInfo>, CloudError> {
        let uuid = id.into_untyped_uuid();
        let subnet = SubnetId::from_untyped_uuid(partner(uuid));
        Ok(Some(PortInfo {
            id,
            network_id: network_of(subnet),
            fixed_ips: vec![(subnet, address(uuid))],
            project_id: None,
            device_id: String::new(),
            qos_policy_id: None,
        }))
    }

    async fn security_group_exists(&self, _id: SecurityGroupId) -> Result<bool, CloudError> {
        Ok(true)
    }

    async fn qos_policy_exists(&self, _id: Uuid) -> Result<bool, CloudError> {
        Ok(true)
    }

    fn subnet_is_on(&self, _subnet: &SubnetInfo, _network: NetworkId) -> bool {
        true
    }

    fn subnet_holds(&self, _subnet: &SubnetInfo, _address: IpAddr) -> bool {
        true
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        let uuid = request.load_balancer_id.into_untyped_uuid();
        Ok(VipPort {
            port_id: request.port_id.unwrap_or_else(|| PortId::from_untyped_uuid(partner(uuid))),
            network_id: request.network_id,
            subnet_id: request.subnet_id,
            address: request.address.unwrap_or_else(|| address(uuid)),
            owned: request.port_id.is_none(),
            additional: request
                .additional
                .iter()
                .map(|wanted| {
                    let uuid = wanted.subnet_id.into_untyped_uuid();
                    (wanted.subnet_id, wanted.address.unwrap_or_else(|| address(uuid)))
                })
                .collect(),
        })
    }

    async fn vip_release(&self, _load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        Ok(())
    }

    /// Nothing is held, so nothing is left behind.
    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        Ok(vec![])
    }
}

/// Servers that are up at once, and exist in the memory of this process alone.
#[derive(Debug, Default)]
pub struct NoopCompute(Mutex<BTreeMap<AmphoraId, Server>>);

impl NoopCompute {
    fn servers(&self) -> std::sync::MutexGuard<'_, BTreeMap<AmphoraId, Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Compute for NoopCompute {
    async fn server_ensure(&self, request: &ServerRequest) -> Result<Server, CloudError> {
        let id = request.amphora_id;
        let made = || Server {
            amphora_id: id,
            compute_id: Uuid::new_v4().to_string(),
            state: ServerState::Running,
            agent: Some(SocketAddr::new(address(id.into_untyped_uuid()), 9443)),
            vip_subnet_port: Some(PortId::from_untyped_uuid(partner(id.into_untyped_uuid()))),
            ports: vec![],
            host: None,
            zone: None,
        };
        Ok(self.servers().entry(id).or_insert_with(made).clone())
    }

    async fn server_find(&self, amphora: AmphoraId) -> Result<Option<Server>, CloudError> {
        Ok(self.servers().get(&amphora).cloned())
    }

    async fn server_delete(&self, amphora: AmphoraId) -> Result<(), CloudError> {
        self.servers().remove(&amphora);
        Ok(())
    }

    async fn server_list(&self) -> Result<Vec<Server>, CloudError> {
        Ok(self.servers().values().cloned().collect())
    }
}

/// What a reference leads to that leads nowhere: one certificate, its authority, and that one's list. What somebody did
/// store is read as always, and judged.
#[derive(Debug)]
pub struct NoopSecrets {
    stored: Arc<dyn Secrets>,
    bundle: TlsBundle,
    authority: CaBundle,
    list: Crls,
}

impl NoopSecrets {
    /// With a certificate made for it.
    ///
    /// # Errors
    ///
    /// If what was made cannot be read.
    pub fn over(stored: Arc<dyn Secrets>) -> Result<Self, TlsError> {
        let made = TlsMaterial::new();
        Ok(Self {
            stored,
            bundle: TlsBundle::from_one(made.everything().as_bytes())?,
            authority: CaBundle::read(made.authority.as_bytes())?,
            list: Crls::read(made.crl.as_bytes())?,
        })
    }
}

fn or_made<T: Clone>(outcome: Result<T, SecretError>, made: &T) -> Result<T, SecretError> {
    match outcome {
        Err(SecretError::Malformed | SecretError::NotFound(_)) => Ok(made.clone()),
        known => known,
    }
}

#[async_trait]
impl Secrets for NoopSecrets {
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError> {
        self.stored.payload_fetch(secret, reader).await
    }

    async fn container_fetch(&self, of: &SecretRef, reader: Reader<'_>) -> Result<Container, SecretError> {
        self.stored.container_fetch(of, reader).await
    }

    async fn consumer_register(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        or_made(self.stored.consumer_register(used, consumer).await, &())
    }

    async fn consumer_unregister(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        self.stored.consumer_unregister(used, consumer).await
    }

    async fn bundle_fetch(&self, reference: &str, reader: Reader<'_>) -> Result<TlsBundle, SecretError> {
        or_made(self.stored.bundle_fetch(reference, reader).await, &self.bundle)
    }

    async fn ca_fetch(&self, reference: &str, reader: Reader<'_>) -> Result<CaBundle, SecretError> {
        or_made(self.stored.ca_fetch(reference, reader).await, &self.authority)
    }

    async fn crl_fetch(&self, reference: &str, reader: Reader<'_>) -> Result<Crls, SecretError> {
        or_made(self.stored.crl_fetch(reference, reader).await, &self.list)
    }
}

#[cfg(test)]
mod tests {
    use octavia_model::ProjectId;

    use super::*;

    /// Holds one secret, which is no certificate.
    #[derive(Debug)]
    struct One(Uuid);

    #[async_trait]
    impl Secrets for One {
        async fn payload_fetch(&self, secret: &SecretRef, _: Reader<'_>) -> Result<Payload, SecretError> {
            match secret.id == self.0 {
                true => Ok(Payload::new(b"open sesame".to_vec())),
                false => Err(SecretError::not_found(secret)),
            }
        }

        async fn container_fetch(&self, of: &SecretRef, _: Reader<'_>) -> Result<Container, SecretError> {
            Err(SecretError::not_found(of))
        }

        async fn consumer_register(&self, used: &SecretRef, _: Consumer) -> Result<(), SecretError> {
            Err(SecretError::not_found(used))
        }

        async fn consumer_unregister(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_reference_leads_somewhere() {
        let stored = Uuid::new_v4();
        let secrets = NoopSecrets::over(Arc::new(One(stored))).unwrap();
        let reader = Reader::Service;
        let nobody = Uuid::new_v4().to_string();
        for reference in [nobody.clone(), format!("http://k/v1/containers/{nobody}"), "x".to_owned()] {
            let bundle = secrets.bundle_fetch(&reference, reader).await.unwrap();
            assert_eq!(bundle.names(), ["www.example.test"], "{reference}");
        }
        let authority = secrets.ca_fetch(&nobody, reader).await.unwrap();
        let list = secrets.crl_fetch(&nobody, reader).await.unwrap();
        assert_eq!(list.check_signed_by(&authority), Ok(()));
        let used = SecretRef::parse(&format!("http://k/v1/secrets/{nobody}")).unwrap();
        let consumer = Consumer { resource: "listeners", id: Uuid::new_v4() };
        assert_eq!(secrets.consumer_register(&used, consumer).await, Ok(()));
        let known = format!("http://k/v1/secrets/{stored}");
        let refused = secrets.bundle_fetch(&known, reader).await;
        assert!(matches!(refused, Err(SecretError::Content(_))), "what is stored is judged: {refused:?}");
    }

    #[tokio::test]
    async fn servers_pass_the_suite() {
        crate::suite::compute_suite(&NoopCompute::default()).await;
    }

    #[tokio::test]
    async fn whatever_is_named_is_there_and_fits() {
        let network = NoopNetwork;
        let id = NetworkId::new_v4();
        let info = network.network_get(id).await.unwrap().unwrap();
        let subnet = network.subnet_get(info.subnets[0]).await.unwrap().unwrap();
        assert_eq!(subnet.network_id, id);
        let other = network.subnet_get(SubnetId::new_v4()).await.unwrap().unwrap();
        assert!(network.subnet_is_on(&other, id));
        assert!(network.subnet_holds(&other, "2001:db8::1".parse().unwrap()));
        let request = |address: Option<&str>, port_id| VipRequest {
            load_balancer_id: LoadBalancerId::new_v4(),
            project_id: ProjectId::new("p"),
            network_id: id,
            subnet_id: subnet.id,
            address: address.map(|address| address.parse().unwrap()),
            port_id,
            additional: vec![],
        };
        let free = request(None, None);
        let vip = network.vip_ensure(&free).await.unwrap();
        assert_eq!(network.vip_ensure(&free).await.unwrap(), vip);
        assert!(vip.owned && IpNet::V4(POOL).contains(&vip.address));
        let wished = network.vip_ensure(&request(Some("2001:db8::7"), None)).await.unwrap();
        assert_eq!(wished.address.to_string(), "2001:db8::7");
        let same = request(Some("2001:db8::7"), None);
        assert_eq!(network.vip_check(&same).await, Ok(()), "every address is free");
        assert_eq!(network.vip_ensure(&same).await.unwrap().address, wished.address);
        let port = PortId::new_v4();
        let brought = network.vip_ensure(&request(None, Some(port))).await.unwrap();
        assert!(brought.port_id == port && !brought.owned);
    }
}
