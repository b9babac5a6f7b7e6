//! Private keys: PKCS#8, PKCS#1 and SEC 1, in clear or as encrypted PKCS#8.

use pkcs8::der::Decode;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use crate::{TlsError, pem, work};

/// A key that can sign in a handshake. `Debug` hides it; its memory is zeroed when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    der: Zeroizing<Vec<u8>>,
    form: Form,
    /// The bits of its public half.
    public: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Pkcs8,
    Pkcs1,
    Sec1,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({:?})", self.form)
    }
}

impl PrivateKey {
    /// The one key of a part, which may hold other things as well.
    pub(crate) fn read(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<Self, TlsError> {
        if !pem::is_pem(bytes) {
            return Self::from_der(bytes, passphrase);
        }
        let blocks = pem::blocks(bytes)?;
        let mut keys = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
        let block = keys.next().ok_or(TlsError::NoKey)?;
        if keys.next().is_some() {
            return Err(TlsError::ManyKeys);
        }
        let der = &block.content.0;
        if block.old_encryption {
            return Err(TlsError::OldEncryption);
        }
        match block.label {
            "ENCRYPTED PRIVATE KEY" => Self::encrypted(der, passphrase),
            "PRIVATE KEY" => Self::new(der, Form::Pkcs8),
            "RSA PRIVATE KEY" => Self::new(der, Form::Pkcs1),
            "EC PRIVATE KEY" => Self::new(der, Form::Sec1),
            _ => Err(TlsError::Key),
        }
    }

    pub(crate) fn from_der(der: &[u8], passphrase: Option<&[u8]>) -> Result<Self, TlsError> {
        if PrivateKeyInfo::from_der(der).is_ok() {
            return Self::new(der, Form::Pkcs8);
        }
        if EncryptedPrivateKeyInfo::from_der(der).is_ok() {
            return Self::encrypted(der, passphrase);
        }
        let plain = [Form::Pkcs1, Form::Sec1].into_iter().find_map(|form| Self::new(der, form).ok());
        plain.ok_or(TlsError::NoKey)
    }

    fn encrypted(der: &[u8], passphrase: Option<&[u8]>) -> Result<Self, TlsError> {
        work::check(der)?;
        let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| TlsError::Encryption)?;
        work::check_scheme(&info.encryption_algorithm)?;
        let passphrase = passphrase.ok_or(TlsError::PassphraseMissing)?;
        let plain = info.decrypt(passphrase).map_err(|_| TlsError::Passphrase)?;
        Self::new(plain.as_bytes(), Form::Pkcs8)
    }

    fn new(der: &[u8], form: Form) -> Result<Self, TlsError> {
        let mut key = Self { der: Zeroizing::new(der.to_vec()), form, public: vec![] };
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key.der());
        let signing = signing.map_err(|_| TlsError::Key)?;
        let info = signing.public_key().ok_or(TlsError::Key)?;
        let info = pkcs8::SubjectPublicKeyInfoRef::from_der(&info).map_err(|_| TlsError::Key)?;
        key.public = info.subject_public_key.raw_bytes().to_vec();
        Ok(key)
    }

    /// For a TLS stack. It must not be logged or stored in clear.
    pub fn der(&self) -> PrivateKeyDer<'_> {
        let der = self.der.as_slice();
        match self.form {
            Form::Pkcs8 => PrivatePkcs8KeyDer::from(der).into(),
            Form::Pkcs1 => PrivatePkcs1KeyDer::from(der).into(),
            Form::Sec1 => PrivateSec1KeyDer::from(der).into(),
        }
    }

    /// Whether it is the key of a certificate with this public key.
    pub(crate) fn belongs_to(&self, public: &[u8]) -> bool {
        self.public == public
    }
}
