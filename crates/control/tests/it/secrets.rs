//! Certificates on their way from the key manager to amphorae, and what happens when they cannot be had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use octavia_cloud::{CloudError, Consumer, Container, Payload, Reader, SecretError, SecretRef, Secrets};
use octavia_control::Reconciled;
use octavia_model::{ProvisioningStatus as P, ReasonCode};
use octavia_store::OperationPage;
use octavia_wire::{AmphoraSpec, PoolTlsSpec, TlsSpec};
use uuid::Uuid;

use crate::rig::Rig;

/// Secrets by id; cheap to clone, clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeSecrets(Arc<Mutex<Vault>>);

#[derive(Debug, Default)]
pub(crate) struct Vault {
    secrets: BTreeMap<Uuid, Vec<u8>>,
    down: bool,
}

impl FakeSecrets {
    fn vault(&self) -> MutexGuard<'_, Vault> {
        self.0.lock().unwrap()
    }

    pub(crate) fn keep(&self, text: String) -> String {
        let id = Uuid::new_v4();
        self.vault().secrets.insert(id, text.into_bytes());
        format!("http://keys/v1/secrets/{id}")
    }

    /// Keeps a new certificate for this name, with its key; answers its reference, and the key.
    pub(crate) fn bundle(&self, name: &str) -> (String, Vec<u8>) {
        self.large_bundle(name, 0)
    }

    /// The same of so many bytes more.
    fn large_bundle(&self, name: &str, more: usize) -> (String, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let ballast = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; more]);
        params.custom_extensions = if more > 0 { vec![ballast] } else { vec![] };
        let text = format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        (self.keep(text), key.serialize_der())
    }
}

/// An authority in one text.
fn authority() -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
}

#[async_trait]
impl Secrets for FakeSecrets {
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError> {
        assert!(matches!(reader, Reader::Service), "nobody else is here");
        let vault = self.vault();
        if vault.down {
            return Err(CloudError::unavailable("the key manager is away").into());
        }
        let found = vault.secrets.get(&secret.id).cloned();
        found.map(Payload::new).ok_or_else(|| SecretError::not_found(secret))
    }

    async fn container_fetch(&self, of: &SecretRef, _: Reader<'_>) -> Result<Container, SecretError> {
        Err(SecretError::not_found(of))
    }

    async fn consumer_register(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
        Ok(())
    }

    async fn consumer_unregister(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
        Ok(())
    }
}

fn pushed(rig: &Rig) -> Option<AmphoraSpec> {
    rig.cloud.facts().servers.values().next().and_then(|server| server.spec.clone())
}

fn tls(spec: &AmphoraSpec) -> &TlsSpec {
    spec.listeners.iter().find_map(|listener| listener.tls.as_ref()).unwrap()
}

#[tokio::test]
async fn they_go_to_the_amphora_and_nowhere_else() {
    let rig = Rig::new().await;
    let (first, second) = (rig.secrets.bundle("a.example"), rig.secrets.bundle("B.example"));
    let lb = rig.lb_create_secure(&[&first.0, &second.0]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    let certificates = &tls(&spec).identity.as_ref().unwrap().certificates;
    let keys: Vec<_> = certificates.iter().map(|certificate| certificate.key.reveal()).collect();
    assert_eq!(keys, [&first.1, &second.1]);
    let names: Vec<_> = certificates.iter().flat_map(|certificate| &certificate.names).collect();
    assert!(
        names.contains(&&"a.example".to_owned()) && names.contains(&&"b.example".to_owned()),
        "{names:?}"
    );
    assert_eq!(rig.graph(lb).await.listeners[1].statuses.provisioning, P::Active);

    let shown = format!("{spec:?}{:?}", tls(&spec));
    let rows = rig.store.dump().await.unwrap();
    let ledger = rig.store.operation_list(lb, OperationPage::First, 100).await.unwrap();
    for key in keys {
        let bytes = format!("{:?}", &key[40..60]);
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
        let text = Payload::new(serde_json::to_vec(&certificates[0].key).unwrap());
        let text = String::from_utf8_lossy(&text[60..90]).into_owned();
        assert!(!rows.contains(&text) && !format!("{ledger:?}").contains(&text));
    }
}

#[tokio::test]
async fn what_is_gone_is_told_and_the_rest_goes_on() {
    let rig = Rig::new().await;
    let (reference, _) = rig.secrets.bundle("a.example");
    let lb = rig.lb_create_secure(&[&reference]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let kept = std::mem::take(&mut rig.secrets.vault().secrets);
    rig.lb_rename(lb).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    assert_eq!((spec.generation, spec.listeners.len()), (2, 2), "the change is in force");
    assert!(tls(&spec).identity.is_none());
    let graph = rig.graph(lb).await;
    assert_eq!(graph.load_balancer.statuses.provisioning, P::Active);
    assert_eq!(graph.listeners[0].statuses.provisioning, P::Active);
    let statuses = &graph.listeners[1].statuses;
    let reason = statuses.reason.as_ref().unwrap();
    assert_eq!((statuses.provisioning, reason.code), (P::Error, ReasonCode::SecretUnreadable));
    assert!(reason.text.contains(&reference) && reason.text.contains("There is no secret"), "{reason}");
    // It is looked at again under every lease, until it is there.
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    rig.secrets.vault().secrets = kept;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert!(tls(&pushed(&rig).unwrap()).identity.is_some());
    assert_eq!(rig.graph(lb).await.listeners[1].statuses.provisioning, P::Active);
}

#[tokio::test]
async fn a_key_manager_that_is_away_is_waited_for() {
    let rig = Rig::new().await;
    let (reference, _) = rig.secrets.bundle("a.example");
    let lb = rig.lb_create_secure(&[&reference]).await;
    rig.secrets.vault().down = true;
    let Reconciled::Later(why) = rig.reconcile(lb).await else { panic!("it was not needed") };
    assert!(why.contains(&reference) && why.contains("the key manager is away"), "{why}");
    assert_eq!(pushed(&rig), None);
    assert_eq!(rig.statuses(lb).await.provisioning, P::PendingCreate, "nothing is wrong with it");
    rig.secrets.vault().down = false;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert!(tls(&pushed(&rig).unwrap()).identity.is_some());
    assert_eq!(rig.statuses(lb).await.provisioning, P::Active);
}

/// What users store is bounded for each secret; how often they refer to it is, too.
#[tokio::test]
async fn there_is_room_for_so_much() {
    let rig = Rig::new().await;
    let (large, _) = rig.secrets.large_bundle("a.example", 180_000);
    // Often is once.
    let lb = rig.lb_create_secure(&[large.as_str(); 50]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(tls(&pushed(&rig).unwrap()).identity.as_ref().unwrap().certificates.len(), 1);
    assert_eq!(rig.graph(lb).await.listeners[1].statuses.provisioning, P::Active);

    let rig = Rig::new().await;
    let all: Vec<_> = (0..24).map(|_| rig.secrets.large_bundle("a.example", 180_000).0).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let lb = rig.lb_create_secure(&all).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    assert_eq!((spec.validate(), spec.listeners.len()), (Ok(()), 2), "the rest is in force");
    let graph = rig.graph(lb).await;
    assert_eq!(graph.listeners[0].statuses.provisioning, P::Active);
    let statuses = &graph.listeners[1].statuses;
    let reason = statuses.reason.as_ref().unwrap();
    assert_eq!((statuses.provisioning, reason.code), (P::Error, ReasonCode::SecretUnreadable));
    assert!(reason.text.contains("there is no room"), "{reason}");
}

/// An update may take the last reference away.
#[tokio::test]
async fn without_a_certificate_the_rest_goes_on() {
    let rig = Rig::new().await;
    let lb = rig.lb_create_secure(&[]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    assert_eq!((spec.validate(), spec.listeners.len()), (Ok(()), 2));
    let graph = rig.graph(lb).await;
    assert_eq!(graph.listeners[0].statuses.provisioning, P::Active);
    let statuses = &graph.listeners[1].statuses;
    let reason = statuses.reason.as_ref().unwrap();
    assert_eq!((statuses.provisioning, reason.code), (P::Error, ReasonCode::ConfigurationRefused));
    assert!(reason.text.contains("refers to no certificate"), "{reason}");
}

fn pool_tls(spec: &AmphoraSpec) -> &PoolTlsSpec {
    spec.pools.iter().find_map(|pool| pool.tls.as_ref()).unwrap()
}

#[tokio::test]
async fn what_pools_refer_to_goes_along() {
    let rig = Rig::new().await;
    let (own, key) = rig.secrets.bundle("lb.example");
    let ca = authority();
    let authority = rig.secrets.keep(ca.pem());
    let lb = rig
        .lb_create_encrypting(|pool| {
            pool.tls_container_ref = Some(own.clone());
            pool.ca_tls_container_ref = Some(authority.clone());
        })
        .await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    let tls = pool_tls(&spec);
    let identity = tls.identity.as_ref().unwrap();
    assert!(tls.verify && tls.is_ready() && identity.revocations.is_empty());
    assert_eq!(identity.certificate.as_ref().unwrap().key.reveal(), key);
    assert_eq!(identity.authorities[0].0, **ca.der());
    assert!(!format!("{spec:?}").contains(format!("{:?}", &key[40..60]).trim_matches(['[', ']'])));

    // Gone: it is told on the listener that leads there, and everything else goes on.
    let kept = std::mem::take(&mut rig.secrets.vault().secrets);
    rig.lb_rename(lb).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    assert_eq!((spec.generation, &pool_tls(&spec).identity), (2, &None));
    let graph = rig.graph(lb).await;
    assert_eq!(graph.load_balancer.statuses.provisioning, P::Active);
    let statuses = &graph.listeners[0].statuses;
    let reason = statuses.reason.as_ref().unwrap();
    assert_eq!((statuses.provisioning, reason.code), (P::Error, ReasonCode::SecretUnreadable));
    let pool = graph.pools[0].id.to_string();
    assert!(reason.text.contains(&pool) && reason.text.contains(&own), "{reason}");

    rig.secrets.vault().secrets = kept;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert!(pool_tls(&pushed(&rig).unwrap()).is_ready());
    assert_eq!(rig.graph(lb).await.listeners[0].statuses.provisioning, P::Active);

    // Away: it is waited for.
    rig.secrets.vault().down = true;
    rig.lb_rename(lb).await;
    let Reconciled::Later(why) = rig.reconcile(lb).await else { panic!("it was not needed") };
    assert!(why.contains(&format!("pool {pool}")) && why.contains("the key manager is away"), "{why}");
}

#[tokio::test]
async fn pools_that_refer_to_nothing_need_no_key_manager() {
    let rig = Rig::new().await;
    rig.secrets.vault().down = true;
    let lb = rig.lb_create_encrypting(|_| ()).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let spec = pushed(&rig).unwrap();
    assert!(pool_tls(&spec).is_ready() && !pool_tls(&spec).verify);
    // A list says nothing without an authority; an API that lets it in alone has it passed over.
    let lb = rig
        .lb_create_encrypting(|pool| pool.crl_container_ref = Some("http://keys/v1/secrets/1".to_owned()))
        .await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
}
