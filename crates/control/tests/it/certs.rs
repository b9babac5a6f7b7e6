//! An authority in memory.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use octavia_cloud::{CertIssuer, CloudError, IssuedCert};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub(crate) struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl std::fmt::Debug for TestAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestAuthority")
    }
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

#[async_trait]
impl CertIssuer for TestAuthority {
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Ok(IssuedCert {
            chain: cert.pem(),
            key: key.serialize_pem(),
            expires_at: Timestamp::now() + lifetime,
        })
    }

    fn authority(&self) -> &str {
        &self.pem
    }
}
