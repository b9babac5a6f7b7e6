//! A certificate with its chain and its key.

use rustls_pki_types::CertificateDer;

use crate::{CHAIN_MAX, PART_MAX, PrivateKey, TlsError, certificate, pem, pkcs12};

/// The contents of the secrets of a certificate container.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub certificate: &'a [u8],
    pub private_key: &'a [u8],
    pub intermediates: Option<&'a [u8]>,
    pub passphrase: Option<&'a [u8]>,
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// Read, whole and consistent: the key is the first certificate's. `Debug` does not show the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsBundle {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKey,
    names: Vec<String>,
}

impl TlsBundle {
    pub fn from_parts(parts: &Parts<'_>) -> Result<Self, TlsError> {
        bounded("certificate", parts.certificate)?;
        bounded("private key", parts.private_key)?;
        // A passphrase typed into a file ends with a line end that is not part of it.
        let passphrase = parts.passphrase.map(|text| text.strip_suffix(b"\n").unwrap_or(text));
        let passphrase = passphrase.map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        let key = PrivateKey::read(parts.private_key, passphrase)?;
        let own = certificate::certificates(parts.certificate, CHAIN_MAX)?;
        let more = match parts.intermediates {
            Some(bytes) if !bytes.is_empty() => {
                bounded("intermediates", bytes)?;
                certificate::certificates(bytes, CHAIN_MAX)?
            }
            _ => vec![],
        };
        Self::joined(key, own, more)
    }

    /// A secret that holds everything: PKCS#12 without a passphrase, or PEM with a certificate and a key in clear.
    pub fn from_one(bytes: &[u8]) -> Result<Self, TlsError> {
        bounded("bundle", bytes)?;
        if pkcs12::is_pkcs12(bytes) {
            let (key, certificates) = pkcs12::read(bytes)?;
            return Self::joined(key, certificates, vec![]);
        }
        if !pem::is_pem(bytes) {
            return Err(TlsError::Pkcs12);
        }
        let key = PrivateKey::read(bytes, None)?;
        Self::joined(key, certificate::certificates(bytes, CHAIN_MAX)?, vec![])
    }

    /// `own` has the key's certificate; `more` links it.
    fn joined(
        key: PrivateKey,
        mut own: Vec<CertificateDer<'static>>,
        more: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        if own.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        if own.len() + more.len() > CHAIN_MAX {
            return Err(TlsError::TooMany(CHAIN_MAX));
        }
        let fits = |der: &CertificateDer<'_>| {
            certificate::public_key(der).is_ok_and(|public| key.belongs_to(&public))
        };
        let head = own.iter().position(fits).ok_or(TlsError::Mismatch)?;
        let head = own.remove(head);
        own.extend(more);
        let names = certificate::names(&head)?;
        if names.is_empty() {
            return Err(TlsError::Nameless);
        }
        Ok(Self { chain: certificate::linked(head, own)?, key, names })
    }

    /// The certificate, its issuer, that one's issuer and so on.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Common names and DNS names of the certificate, in lower case; at least one.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

pub(crate) fn bounded(what: &'static str, bytes: &[u8]) -> Result<(), TlsError> {
    match bytes.len() {
        0 => Err(TlsError::Empty(what)),
        length if length > PART_MAX => Err(TlsError::TooLarge(what, PART_MAX)),
        _ => Ok(()),
    }
}
