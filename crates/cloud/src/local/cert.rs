//! The authorities whose certificates controllers and agents show each other, and the keys of heartbeats: `trust.json`.
//!
//! An operator changes the file from outside (`octavia trust`) while controllers are at work: it is looked at whenever
//! somebody asks, and read when it is another one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::DnsName;

use super::OpenError;
use super::trust_file::{StoredAuthority, TrustFile};
use crate::{Authority, CertIssuer, CloudError, HeartbeatKey, IssuedCert, Trust};

const AUTHORITY_DAYS: i64 = 3650;
/// Clocks of a controller and an amphora may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Cheap to ask; whoever holds one sees what operators change.
pub(super) struct LocalAuthority {
    dir: PathBuf,
    /// Given by an operator in the place of the file's own; the newest first.
    keys: Vec<HeartbeatKey>,
    read: Mutex<Read>,
}

/// What was read last, and of which file.
struct Read {
    stamp: Option<Stamp>,
    trust: Arc<Trust>,
    /// The one that issues first.
    issuers: Arc<[LocalIssuer]>,
}

/// Tells a file that was put in the place of another.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    length: u64,
}

struct LocalIssuer {
    issuer: Issuer<'static, KeyPair>,
    authority: Authority,
    /// DER.
    subject: Vec<u8>,
}

impl LocalAuthority {
    /// The authorities of `dir`, of which one is made if there is none. `first_key` is the key of heartbeats then;
    /// `keys`, if there are any, are used instead of the file's.
    pub(super) fn open(
        dir: &Path,
        first_key: &str,
        keys: Vec<HeartbeatKey>,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        TrustFile::ensure(dir, first_key, || made(now))?;
        let read = Mutex::new(read(dir, &keys)?);
        Ok(Self { dir: dir.to_owned(), keys, read })
    }

    /// What the file says now. One that is of no use changes nothing.
    fn current(&self) -> (Arc<Trust>, Arc<[LocalIssuer]>) {
        let mut current = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if Stamp::of(&TrustFile::path(&self.dir)) != current.stamp {
            match read(&self.dir, &self.keys) {
                Ok(now) => *current = now,
                Err(error) => {
                    tracing::error!(%error, "authorities and heartbeat keys stay as they were");
                    // Said once for each file.
                    current.stamp = Stamp::of(&TrustFile::path(&self.dir));
                }
            }
        }
        (Arc::clone(&current.trust), Arc::clone(&current.issuers))
    }
}

/// A new authority; its key is P-256.
pub(super) fn made(now: Timestamp) -> Result<StoredAuthority, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let mut params = CertificateParams::default();
    // No two have the same name: agents tell by it whom they believe.
    let name = format!("octavia local authority {}", super::seed::random_text::<6>());
    params.distinguished_name = common_name(&name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = SystemTime::from(now - SKEW).into();
    params.not_after = SystemTime::from(now + SignedDuration::from_hours(24 * AUTHORITY_DAYS)).into();
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?.pem();
    Ok(StoredAuthority { certificate, key: key.serialize_pem() })
}

fn read(dir: &Path, keys: &[HeartbeatKey]) -> Result<Read, OpenError> {
    let path = TrustFile::path(dir);
    let damaged =
        |error: &dyn std::fmt::Display| OpenError::Damaged { path: path.clone(), error: error.to_string() };
    // Before the content: whoever replaces it in between is read once more.
    let stamp = Stamp::of(&path);
    let file = TrustFile::load(dir)?;
    let issuers = file.authorities.iter().map(LocalIssuer::of).collect::<Result<Vec<_>, _>>();
    let issuers = issuers.map_err(|error| damaged(&error))?;
    let mut authorities = issuers.iter().map(|issuer| issuer.authority.clone());
    let issuing = authorities.next().ok_or_else(|| damaged(&"no authority is in it"))?;
    let of_file = || file.heartbeat_keys.iter().map(|key| HeartbeatKey::new(key.as_str())).collect();
    let mut keys = if keys.is_empty() { of_file() } else { keys.to_vec() };
    if keys.is_empty() {
        return Err(damaged(&"no heartbeat key is in it"));
    }
    let heartbeat_key = keys.remove(0);
    let trust = Trust { issuing, retiring: authorities.collect(), heartbeat_key, previous_keys: keys };
    Ok(Read { stamp, trust: Arc::new(trust), issuers: issuers.into() })
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            length: metadata.len(),
        })
    }
}

impl LocalIssuer {
    fn of(stored: &StoredAuthority) -> Result<Self, String> {
        let key = KeyPair::from_pem(&stored.key).map_err(|error| error.to_string())?;
        let (authority, subject) =
            understood(&stored.certificate).ok_or_else(|| "not a certificate".to_owned())?;
        let issuer = Issuer::from_ca_cert_pem(&stored.certificate, key).map_err(|error| error.to_string())?;
        Ok(Self { issuer, authority, subject })
    }

    fn sign(&self, name: &str, lifetime: SignedDuration, now: Timestamp) -> Result<IssuedCert, rcgen::Error> {
        let last = self.authority.expires_at;
        let expires_at = now.saturating_add(lifetime).unwrap_or(last).min(last);
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
        Ok(IssuedCert {
            chain,
            key: key.serialize_pem(),
            expires_at,
            authority: self.authority.name.clone(),
            issuer: self.subject.clone(),
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

/// The authority whose certificate it is, and its subject in DER.
fn understood(pem: &str) -> Option<(Authority, Vec<u8>)> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    use sha2::Digest;

    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let cert = x509_parser::parse_x509_certificate(&der).ok()?.1;
    let expires_at = Timestamp::from_second(cert.validity().not_after.timestamp()).ok()?;
    let digest = sha2::Sha256::digest(&der);
    let name = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let subject = cert.subject().as_raw().to_vec();
    Some((Authority { name, pem: pem.to_owned(), expires_at }, subject))
}

/// The authorities and keys in the file of `dir`.
pub(super) fn trust_read(dir: &Path) -> Result<Trust, OpenError> {
    read(dir, &[]).map(|read| Trust::clone(&read.trust))
}

fn check(name: &str, lifetime: SignedDuration) -> Result<(), CloudError> {
    if DnsName::try_from(name).is_err() || name.len() > 64 {
        return Err(CloudError::refused(format!(
            "no certificate for {name:?}: not a host name of 64 characters"
        )));
    }
    if lifetime <= SignedDuration::ZERO {
        return Err(CloudError::refused("a certificate's lifetime must be positive"));
    }
    Ok(())
}

fn sign_all(
    issuers: &[LocalIssuer],
    name: &str,
    lifetime: SignedDuration,
) -> Result<Vec<IssuedCert>, CloudError> {
    check(name, lifetime)?;
    let now = Timestamp::now();
    let signed = issuers.iter().map(|issuer| issuer.sign(name, lifetime, now)).collect::<Result<_, _>>();
    signed.map_err(|error| CloudError::internal(format!("the local authority could not sign: {error}")))
}

#[async_trait]
impl CertIssuer for LocalAuthority {
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError> {
        let (_, issuers) = self.current();
        let issued = sign_all(issuers.get(..1).unwrap_or_default(), name, lifetime)?.pop();
        issued.ok_or_else(|| CloudError::internal("there is no authority"))
    }

    async fn issue_each(&self, name: &str, lifetime: SignedDuration) -> Result<Vec<IssuedCert>, CloudError> {
        let (_, issuers) = self.current();
        sign_all(&issuers, name, lifetime)
    }

    fn trust(&self) -> Arc<Trust> {
        self.current().0
    }
}

impl std::fmt::Debug for LocalAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalAuthority").field("dir", &self.dir).finish_non_exhaustive()
    }
}
