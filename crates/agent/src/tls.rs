//! TLS towards controllers: who we prove to be, and whom we believe.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use octavia_model::AmphoraId;
use octavia_wire::Papers;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ParsedCertificate, ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::time::Instant;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::complaints::Complaints;

/// Sessions remembered for resumption: a handful of controllers.
const SESSIONS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path} is of no use: {error}")]
    Pem { path: PathBuf, error: rustls_pki_types::pem::Error },
    #[error("who brings these papers would not be believed by them: {0}")]
    Stranger(Error),
    #[error("no client could be believed: {0}")]
    Authority(#[from] VerifierBuilderError),
    #[error(transparent)]
    Rustls(#[from] Error),
}

/// The server's side of TLS, made anew whenever its files change.
pub(crate) struct Tls {
    cert_path: PathBuf,
    authority_path: PathBuf,
    controller_name: String,
    amphora: AmphoraId,
    provider: Arc<CryptoProvider>,
    current: Mutex<Option<Current>>,
}

/// A configuration and the files it was made of. It is used again as long as they are equal, for it remembers sessions.
struct Current {
    cert: Vec<u8>,
    authority: Vec<u8>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert_path", &self.cert_path).finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(
        cert_path: PathBuf,
        authority_path: PathBuf,
        controller_name: String,
        amphora: AmphoraId,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self { cert_path, authority_path, controller_name, amphora, provider, current: Mutex::default() }
    }

    /// Whether one could go on with these papers. Else nobody could bring better ones: so whoever brings them, with this
    /// certificate, has to be believed by them, too.
    pub(crate) fn examine(&self, papers: &Papers, peer: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        let authority = papers.client_ca.as_bytes();
        self.build(papers.server_cert.as_bytes(), authority)?;
        let own = CertificateDer::from_pem_slice(papers.server_cert.as_bytes());
        let own = own.map_err(|error| TlsError::Pem { path: self.cert_path.clone(), error })?;
        let name = ServerName::try_from(self.amphora.to_string())
            .map_err(|_| Error::from(CertificateError::BadEncoding))?;
        verify_server_name(&ParsedCertificate::try_from(&own)?, &name)?;
        let (peer, intermediates) = peer.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.believed(authority)?
            .verify_client_cert(peer, intermediates, UnixTime::now())
            .map_err(TlsError::Stranger)
            .map(drop)
    }

    /// For one accepted connection. Certificate, key and authority are read each time, so whoever renews them only
    /// has to replace the files.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| TlsError::File { path: path.clone(), error })
        };
        let (cert, authority) = (read(&self.cert_path)?, read(&self.authority_path)?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_ref().filter(|c| c.cert == cert && c.authority == authority) {
            return Ok(Arc::clone(&current.config));
        }
        let config = Arc::new(self.build(&cert, &authority)?);
        *current = Some(Current { cert, authority, config: Arc::clone(&config) });
        Ok(config)
    }

    fn build(&self, cert: &[u8], authority: &[u8]) -> Result<ServerConfig, TlsError> {
        let chain = CertificateDer::pem_slice_iter(cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem(&self.cert_path))?;
        let key = PrivateKeyDer::from_pem_slice(cert).map_err(pem(&self.cert_path))?;
        let verifier = self.believed(authority)?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, key)?;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Whom to believe with these authorities.
    fn believed(&self, authorities: &[u8]) -> Result<Controllers, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(authorities) {
            roots.add(root.map_err(pem(&self.authority_path))?)?;
        }
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        let (name, complaints) = (self.controller_name.clone(), Mutex::default());
        Ok(Controllers { chain: chain.build()?, name, complaints })
    }
}

fn pem(path: &Path) -> impl FnOnce(rustls_pki_types::pem::Error) -> TlsError + use<> {
    let path = path.to_owned();
    move |error| TlsError::Pem { path, error }
}

/// Believes whoever the authority signed for *and* carries the controllers' name: the same authority signs for
/// amphorae, and no amphora shall command another.
#[derive(Debug)]
struct Controllers {
    chain: Arc<dyn ClientCertVerifier>,
    name: String,
    complaints: Mutex<Complaints>,
}

impl ClientCertVerifier for Controllers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let name = common_name(end_entity).ok_or(CertificateError::BadEncoding)?;
        if name == self.name {
            return Ok(verified);
        }
        let unsaid = self.complaints.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now());
        if let Some(unsaid) = unsaid {
            let expected = &self.name;
            tracing::warn!(name, expected, unsaid, "a client certificate of another name is refused");
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// The one common name of a certificate; several are as good as none.
fn common_name(cert: &CertificateDer<'_>) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    let mut names = cert.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}
