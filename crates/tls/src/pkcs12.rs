//! PKCS#12 (RFC 7292) without a passphrase, in the forms that OpenSSL and others write: encrypted with the empty one
//! (PBES2, and the old 3DES and RC2), or not encrypted, with a MAC or without.

use p12_keystore::Pkcs12Archive;
use rustls_pki_types::CertificateDer;

use crate::{PrivateKey, TlsError, certificate, work};

/// Bytes of a file at most; one with a long chain has a quarter of it. What is in an encrypted part cannot be looked
/// through before it is decrypted: there the library's own bounds hold, and this one.
pub(crate) const FILE_MAX: usize = 64 << 10;

pub(crate) fn is_pkcs12(bytes: &[u8]) -> bool {
    // PFX ::= SEQUENCE { version INTEGER (3), …
    let after = match bytes {
        [0x30, 0x80, after @ ..] => after,
        [0x30, length, after @ ..] if *length < 0x80 => after,
        [0x30, 0x81, _, after @ ..] | [0x30, 0x82, _, _, after @ ..] | [0x30, 0x83, _, _, _, after @ ..] => {
            after
        }
        _ => return false,
    };
    after.starts_with(&[0x02, 0x01, 0x03, 0x30])
}

/// The key, and the certificates in the order of the file.
pub(crate) fn read(bytes: &[u8]) -> Result<(PrivateKey, Vec<CertificateDer<'static>>), TlsError> {
    if bytes.len() > FILE_MAX {
        return Err(TlsError::TooLarge("PKCS#12 bundle", FILE_MAX));
    }
    work::check_no_scrypt(bytes)?;
    work::check(bytes)?;
    let archive = Pkcs12Archive::from_pkcs12(bytes, "").map_err(|_| TlsError::Pkcs12)?;
    let key = match archive.keys.as_slice() {
        [only] => PrivateKey::from_der(only.key.as_der(), None)?,
        [] => return Err(TlsError::NoKey),
        _ => return Err(TlsError::ManyKeys),
    };
    if archive.certs.len() > crate::CHAIN_MAX {
        return Err(TlsError::TooMany(crate::CHAIN_MAX));
    }
    let certificates = archive.certs.iter().map(|bag| {
        let der = bag.cert.as_der();
        certificate::parse(der).map(|_| CertificateDer::from(der.to_vec()))
    });
    Ok((key, certificates.collect::<Result<_, _>>()?))
}
