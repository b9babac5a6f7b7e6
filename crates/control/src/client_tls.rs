//! TLS towards agents: whom we believe, and with which of our certificates we show who we are.

use std::sync::Arc;

use octavia_cloud::IssuedCert;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

/// `certs` are those of one controller, of different authorities.
pub(crate) fn client_config(
    certs: &[IssuedCert],
    authorities: &str,
) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(cert?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut identities = vec![];
    for cert in certs {
        let chain = CertificateDer::pem_slice_iter(cert.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(cert.key.as_bytes())?;
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        identities.push((cert.issuer.clone(), Arc::new(certified)));
    }
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Identities(identities))))
}

/// By the name of the authority each is of, in DER. Agents that were given their authorities at different times know
/// different ones, and say in the handshake which.
#[derive(Debug)]
struct Identities(Vec<(Vec<u8>, Arc<CertifiedKey>)>);

impl Identities {
    /// The newest that the agent believes; if it does not say whom, the newest.
    fn of(&self, believed: &[&[u8]]) -> Option<&Arc<CertifiedKey>> {
        let known = self.0.iter().find(|(issuer, _)| believed.contains(&issuer.as_slice()));
        known.or(self.0.first()).map(|(_, identity)| identity)
    }
}

impl ResolvesClientCert for Identities {
    fn resolve(&self, believed: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.of(believed).filter(|identity| identity.key.choose_scheme(schemes).is_some()).cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}
