//! The authority whose certificates controllers and agents show each other.

use std::path::Path;
use std::time::SystemTime;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::DnsName;

use super::OpenError;
use super::files::{file_read, file_replace};
use crate::{CertIssuer, CloudError, IssuedCert};

pub(super) const CERT_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
const AUTHORITY_DAYS: i64 = 3650;
/// Clocks of a controller and an amphora may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

pub(super) struct LocalAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    expires_at: Timestamp,
}

impl LocalAuthority {
    /// The authority in `dir`, made if there is none. The key is P-256, in a file of mode 0600.
    pub(super) fn open(dir: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let (cert_path, key_path) = (dir.join(CERT_FILE), dir.join(KEY_FILE));
        let read = |path: &Path| file_read(path, 1 << 16).map_err(|error| OpenError::file(path, error));
        let damaged = |path: &Path, error: &dyn std::fmt::Display| OpenError::Damaged {
            path: path.to_owned(),
            error: error.to_string(),
        };
        // The certificate is written last: one without the other is an interrupted first start.
        if let (Some(pem), Some(key)) = (read(&cert_path)?, read(&key_path)?) {
            let key = KeyPair::from_pem(&key).map_err(|error| damaged(&key_path, &error))?;
            let expires_at = expiry(&pem).ok_or_else(|| damaged(&cert_path, &"not a certificate"))?;
            let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|error| damaged(&cert_path, &error))?;
            return Ok(Self { issuer, pem, expires_at });
        }
        let made = Self::make(now).map_err(|error| damaged(&key_path, &error))?;
        for (path, text) in [(&key_path, made.issuer.key().serialize_pem()), (&cert_path, made.pem.clone())] {
            file_replace(path, text.as_bytes()).map_err(|error| OpenError::file(path, error))?;
        }
        Ok(made)
    }

    pub(super) const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    fn make(now: Timestamp) -> Result<Self, rcgen::Error> {
        let expires_at = now + SignedDuration::from_hours(24 * AUTHORITY_DAYS);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("octavia local authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = SystemTime::from(now - SKEW).into();
        params.not_after = SystemTime::from(expires_at).into();
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, expires_at })
    }

    fn sign(&self, name: &str, lifetime: SignedDuration, now: Timestamp) -> Result<IssuedCert, rcgen::Error> {
        let expires_at = now.saturating_add(lifetime).unwrap_or(self.expires_at).min(self.expires_at);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = SystemTime::from(now - SKEW).into();
        params.not_after = SystemTime::from(expires_at).into();
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        Ok(IssuedCert { chain, key: key.serialize_pem(), expires_at })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn expiry(pem: &str) -> Option<Timestamp> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};

    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let params = x509_parser::parse_x509_certificate(&der).ok()?.1;
    Timestamp::from_second(params.validity().not_after.timestamp()).ok()
}

#[async_trait]
impl CertIssuer for LocalAuthority {
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError> {
        if DnsName::try_from(name).is_err() || name.len() > 64 {
            return Err(CloudError::refused(format!(
                "no certificate for {name:?}: not a host name of 64 characters"
            )));
        }
        if lifetime <= SignedDuration::ZERO {
            return Err(CloudError::refused("a certificate's lifetime must be positive"));
        }
        self.sign(name, lifetime, Timestamp::now())
            .map_err(|error| CloudError::internal(format!("the local authority could not sign: {error}")))
    }

    fn authority(&self) -> &str {
        &self.pem
    }
}

impl std::fmt::Debug for LocalAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalAuthority").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
