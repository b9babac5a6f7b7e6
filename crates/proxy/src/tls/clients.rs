//! Whether a client is who it says, and until when that holds.

use std::sync::Arc;

use octavia_model::ClientAuthentication;
use octavia_wire::{IdentitySpec, TlsError, TlsSpec};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use super::certificate::{ClientCertificate, next_update};
use super::{roots, visit};

/// Bytes of authorities' names that clients are told of in a handshake, at most: with more they are told none, and choose by
/// themselves. No message has room for more than 64 KiB of them, and nobody looks whether they fit.
const NAMES_MAX: usize = 16 << 10;

/// As with the original, a list that is out of date counts for nothing, and so does the certificate of an authority
/// that none is there of.
pub(super) fn verifier(
    spec: &TlsSpec,
    identity: &IdentitySpec,
    crypto: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if spec.client_authentication == ClientAuthentication::None {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let roots = roots(&identity.client_authorities)?;
    let lists = identity.client_revocations.iter();
    let lists: Vec<_> = lists.map(|der| CertificateRevocationListDer::from(der.0.clone())).collect();
    let named: usize = roots.subjects().iter().map(|name| name.as_ref().len() + 2).sum();
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto);
    if named > NAMES_MAX {
        builder = builder.clear_root_hint_subjects();
    }
    if !lists.is_empty() {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if spec.client_authentication == ClientAuthentication::Optional {
        builder = builder.allow_unauthenticated();
    }
    let inner = builder.build().map_err(|_| TlsError::Unusable("certificate revocation list"))?;
    // Of a list whose end cannot be read nobody knows how long it counts.
    let lists = identity.client_revocations.iter().map(|der| next_update(&der.0).unwrap_or(0));
    Ok(Arc::new(Remembering { inner, lists_until: lists.min().unwrap_or(visit::FOREVER) }))
}

/// Notes how long what it has verified holds: a session may be resumed for so long, and nobody looks at the certificate
/// again then.
#[derive(Debug)]
struct Remembering {
    inner: Arc<dyn ClientCertVerifier>,
    /// When the first of the revocation lists is out of date: then nobody is let in any more.
    lists_until: u64,
}

impl ClientCertVerifier for Remembering {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(shown, intermediates, now)?;
        // Those in between may not all have been needed; they are good for as long as most others.
        let all = std::iter::once(shown).chain(intermediates);
        let ends = all.map(|der| ClientCertificate::read(der).and_then(|read| read.ends()).unwrap_or(0));
        visit::holds_until(ends.fold(self.lists_until, u64::min));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
