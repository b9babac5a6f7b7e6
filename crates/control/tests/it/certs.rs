//! An authority in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use octavia_cloud::{Authority, CertIssuer, CloudError, HeartbeatKey, IssuedCert, Trust};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::rig::KEY;

pub(crate) struct TestAuthority {
    /// The one that issues first.
    issuers: Mutex<Vec<(Arc<Issuer<'static, KeyPair>>, Authority)>>,
    keys: Mutex<Vec<HeartbeatKey>>,
}

impl std::fmt::Debug for TestAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestAuthority")
    }
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let this = Self { issuers: Mutex::default(), keys: Mutex::default() };
        this.roll(KEY);
        this
    }

    /// Another authority issues from now on, and amphorae are to sign with this key; those of before are good still.
    pub(crate) fn roll(&self, key: &str) {
        let number = self.issuers.lock().unwrap().len();
        let (pair, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![]).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("test authority {number}"));
        let pem = params.self_signed(&pair).unwrap().pem();
        let authority = Authority { name: format!("authority {number}"), pem, expires_at: Timestamp::MAX };
        self.issuers.lock().unwrap().insert(0, (Arc::new(Issuer::new(params, pair)), authority));
        self.keys.lock().unwrap().insert(0, HeartbeatKey::new(key));
    }

    /// Only the newest are good.
    pub(crate) fn finish(&self) {
        self.issuers.lock().unwrap().truncate(1);
        self.keys.lock().unwrap().truncate(1);
    }
}

fn sign(
    issuer: &Issuer<'static, KeyPair>,
    of: &Authority,
    name: &str,
    lifetime: SignedDuration,
) -> IssuedCert {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let cert = params.signed_by(&key, issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(of.pem.as_bytes()).unwrap()).unwrap();
    IssuedCert {
        chain: cert.pem(),
        key: key.serialize_pem(),
        expires_at: Timestamp::now() + lifetime,
        authority: of.name.clone(),
        issuer: roots.subjects()[0].as_ref().to_vec(),
    }
}

#[async_trait]
impl CertIssuer for TestAuthority {
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError> {
        Ok(self.issue_each(name, lifetime).await?.remove(0))
    }

    async fn issue_each(&self, name: &str, lifetime: SignedDuration) -> Result<Vec<IssuedCert>, CloudError> {
        let issuers = self.issuers.lock().unwrap();
        Ok(issuers.iter().map(|(issuer, of)| sign(issuer, of, name, lifetime)).collect())
    }

    fn trust(&self) -> Arc<Trust> {
        let authorities = self.issuers.lock().unwrap();
        let mut authorities = authorities.iter().map(|(_, authority)| authority.clone());
        let mut keys = self.keys.lock().unwrap().clone().into_iter();
        Arc::new(Trust {
            issuing: authorities.next().unwrap(),
            retiring: authorities.collect(),
            heartbeat_key: keys.next().unwrap(),
            previous_keys: keys.collect(),
        })
    }
}
