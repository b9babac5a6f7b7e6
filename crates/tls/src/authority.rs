//! Authorities that certificates are checked against, and what they revoked.

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::bundle::bounded;
use crate::{AUTHORITIES_MAX, CHAIN_MAX, TlsError, certificate, pem};

/// Certificates of authorities; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaBundle(Vec<CertificateDer<'static>>);

impl CaBundle {
    pub fn read(bytes: &[u8]) -> Result<Self, TlsError> {
        bounded("certificate authority", bytes)?;
        let found = certificate::certificates(bytes, AUTHORITIES_MAX)?;
        // Of a bundle one is enough, as for who verifies by it.
        let is_usable = |der: &CertificateDer<'_>| webpki::anchor_from_trusted_cert(der).is_ok();
        if found.iter().any(is_usable) { Ok(Self(found)) } else { Err(TlsError::Authority) }
    }

    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

/// Certificate revocation lists; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crls(Vec<CertificateRevocationListDer<'static>>);

impl Crls {
    pub fn read(bytes: &[u8]) -> Result<Self, TlsError> {
        bounded("certificate revocation list", bytes)?;
        let mut found = vec![];
        if pem::is_pem(bytes) {
            for block in pem::blocks(bytes)?.into_iter().filter(|block| block.label == "X509 CRL") {
                found.push(block.content.0.to_vec());
            }
        } else if parse(bytes).is_ok() {
            found.push(bytes.to_vec());
        }
        if found.is_empty() {
            return Err(TlsError::NoCrl);
        }
        if found.len() > CHAIN_MAX {
            return Err(TlsError::TooMany(CHAIN_MAX));
        }
        for der in &found {
            verifiable(der, &parse(der)?)?;
        }
        Ok(Self(found.into_iter().map(CertificateRevocationListDer::from).collect()))
    }

    pub fn lists(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.0
    }

    /// Whether each is an authority's own.
    pub fn check_signed_by(&self, authorities: &CaBundle) -> Result<(), TlsError> {
        for der in &self.0 {
            let list = parse(der)?;
            let signed = authorities.0.iter().any(|authority| {
                certificate::parse(authority).is_ok_and(|authority| {
                    authority.subject().as_raw() == list.issuer().as_raw()
                        && list.verify_signature(authority.public_key()).is_ok()
                })
            });
            if !signed {
                return Err(TlsError::CrlForeign);
            }
        }
        Ok(())
    }
}

/// Whether certificates can be verified by it, which is what it is for; said here, to its owner, and not by the listener
/// that is to do it.
fn verifiable(der: &[u8], list: &CertificateRevocationList<'_>) -> Result<(), TlsError> {
    match webpki::OwnedCertRevocationList::from_der(der) {
        Ok(_) => Ok(()),
        Err(_) if list.version().is_none() || list.extensions().is_empty() => Err(TlsError::CrlVersion),
        Err(webpki::Error::UnsupportedDeltaCrl) => Err(TlsError::CrlDelta),
        Err(_) => Err(TlsError::CrlUnsupported),
    }
}

/// One list and nothing after it.
fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, TlsError> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        _ => Err(TlsError::Crl),
    }
}
