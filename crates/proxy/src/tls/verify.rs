//! Whether a member is who it should be.

use std::fmt;
use std::sync::Arc;

use octavia_wire::{Der, TlsError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::certificate::ClientCertificate;
use super::names::Names;
use super::roots;

/// Takes every certificate for good. Then there is nothing to check a signature by, either: the key would have come with
/// it. So certificates that the library cannot read (version 1, short keys) do as well, as with the original.
#[derive(Debug)]
pub(crate) struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    pub(crate) const fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self(algorithms)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Takes certificates of these authorities that none of these lists has revoked. With lists, one of each issuer has to be
/// there and not out of date (OpenSSL's `CRL_CHECK_ALL`).
///
/// Who is an authority itself is known without another's word, unless there are lists: self-signed certificates commonly say
/// that they may sign others.
///
/// A name is looked for only if the member was asked for one, and also in the common name, as HAProxy does
/// (configuration manual 3.2 §5.2, `verify`): members are known by their addresses, which certificates do not name.
pub(super) struct Authorities {
    own: Vec<Der>,
    anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({} with {} lists)", self.anchors.len(), self.lists.len())
    }
}

impl Authorities {
    pub(super) fn new(
        authorities: &[Der],
        revocations: &[Der],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, TlsError> {
        let lists = revocations.iter().map(|der| OwnedCertRevocationList::from_der(&der.0).map(Into::into));
        let lists: Result<Vec<_>, _> = lists.collect();
        Ok(Self {
            own: authorities.to_vec(),
            anchors: roots(authorities)?.roots,
            lists: lists.map_err(|_| TlsError::Unusable("certificate revocation list"))?,
            algorithms,
        })
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = EndEntityCert::try_from(shown).map_err(refused)?;
        let named = |name: &ServerName<'_>| match name {
            ServerName::DnsName(asked) if !is_named(&certificate, shown, name, asked.as_ref()) => {
                Err(CertificateError::NotValidForName.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        };
        if self.lists.is_empty() && self.own.iter().any(|own| own.0 == **shown) {
            return match ClientCertificate::read(shown).is_some_and(|read| read.is_valid_at(now.as_secs())) {
                true => named(name),
                false => Err(CertificateError::Expired.into()),
            };
        }
        let lists: Vec<_> = self.lists.iter().collect();
        // The builder refuses an empty list, and nothing else.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.anchors,
                intermediates,
                now,
                KeyUsage::server_auth(),
                revocation,
                None,
            )
            .map_err(refused)?;
        named(name)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_named(
    certificate: &EndEntityCert<'_>,
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
    asked: &str,
) -> bool {
    if certificate.verify_is_valid_for_subject_name(name).is_ok() {
        return true;
    }
    let common = ClientCertificate::read(der).and_then(|read| read.subject.value("CN"));
    let Some(common) = common.and_then(|value| std::str::from_utf8(value).ok()) else { return false };
    let mut names = Names::default();
    names.add(&common.to_ascii_lowercase(), 0);
    !names.find(asked).is_empty()
}

/// So that the member gets to hear why, and we do.
fn refused(error: webpki::Error) -> Error {
    use webpki::Error as E;
    let known = match &error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertExpired { .. } | E::InvalidCertValidity => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::CertRevoked => CertificateError::Revoked,
        E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        E::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        _ => CertificateError::Other(OtherError(Arc::new(error))),
    };
    known.into()
}
