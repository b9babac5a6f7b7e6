//! `trust.json`: authorities and heartbeat keys, the newest first, and what operators do to them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::files::{file_read, file_remove, file_replace, owner_as_directory};
use super::seed::random_text;

const FILE: &str = "trust.json";
const LOCK: &str = "trust.lock";
/// The only authority of before there was the file.
const CERT_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
const VERSION: u32 = 1;
const LIMIT: u64 = 1 << 20;

/// Of mode 0600. Replaced as a whole, so that nobody sees a certificate without its key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TrustFile {
    version: u32,
    /// The first issues; the others are still believed.
    pub(super) authorities: Vec<StoredAuthority>,
    /// Amphorae sign with the first; the others are still taken.
    pub(super) heartbeat_keys: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredAuthority {
    /// PEM.
    pub(super) certificate: String,
    /// PEM: PKCS#8.
    pub(super) key: String,
}

impl TrustFile {
    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Whether the file is there, or what it would be made of.
    pub(super) fn is_to_be_had(dir: &Path) -> bool {
        Self::path(dir).exists() || dir.join(CERT_FILE).exists()
    }

    /// Makes the file be there: of what there was before it, or of an authority of `make`.
    pub(super) fn ensure(
        dir: &Path,
        first_key: &str,
        make: impl FnOnce() -> Result<StoredAuthority, String>,
    ) -> Result<(), OpenError> {
        let path = Self::path(dir);
        let failed = |error| OpenError::file(&path, error);
        if !path.try_exists().map_err(failed)? {
            let authority = match before(dir)? {
                Some(authority) => authority,
                None => make().map_err(|error| failed(io::Error::other(error)))?,
            };
            let file = Self {
                version: VERSION,
                authorities: vec![authority],
                heartbeat_keys: vec![first_key.to_owned()],
            };
            file.save(dir)?;
        }
        Ok(())
    }

    pub(super) fn load(dir: &Path) -> Result<Self, OpenError> {
        let path = Self::path(dir);
        let text = file_read(&path, LIMIT).map_err(|error| OpenError::file(&path, error))?;
        let text = text.ok_or_else(|| OpenError::file(&path, io::ErrorKind::NotFound.into()))?;
        let damaged = |error: String| OpenError::Damaged { path: path.clone(), error };
        // Its own words would quote what is in the file.
        let place = |error: serde_json::Error| {
            damaged(format!("not understood at line {}, column {}", error.line(), error.column()))
        };
        let file: Self = serde_json::from_str(&text).map_err(place)?;
        if file.version != VERSION {
            return Err(damaged(format!("version {} is not known", file.version)));
        }
        Ok(file)
    }

    fn save(&self, dir: &Path) -> Result<(), OpenError> {
        let path = Self::path(dir);
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        text.and_then(|text| file_replace(&path, &text)).map_err(|error| OpenError::file(&path, error))
    }

    /// Puts a new authority and a new key before those that are there, which stay good.
    pub(super) fn roll(
        dir: &Path,
        make: impl FnOnce() -> Result<StoredAuthority, String>,
    ) -> Result<(), OpenError> {
        let _lock = lock(dir)?;
        let mut file = Self::load(dir)?;
        if file.authorities.len() > 1 {
            return Err(OpenError::Trust("the last change of authority is not finished"));
        }
        let made = make().map_err(|error| OpenError::file(&Self::path(dir), io::Error::other(error)))?;
        file.authorities.insert(0, made);
        file.heartbeat_keys.insert(0, random_text::<32>());
        file.save(dir)?;
        // Up to here a binary of before could have gone on.
        for name in [CERT_FILE, KEY_FILE] {
            file_remove(&dir.join(name)).map_err(|error| OpenError::file(&dir.join(name), error))?;
        }
        Ok(())
    }

    /// Takes all but the newest out.
    pub(super) fn finish(dir: &Path) -> Result<(), OpenError> {
        let _lock = lock(dir)?;
        let mut file = Self::load(dir)?;
        if file.authorities.len() < 2 {
            return Err(OpenError::Trust("no change of authority is under way"));
        }
        file.authorities.truncate(1);
        file.heartbeat_keys.truncate(1);
        file.save(dir)
    }
}

/// The certificate was written last: one without the other is an interrupted first start.
fn before(dir: &Path) -> Result<Option<StoredAuthority>, OpenError> {
    let read = |name: &str| {
        let path = dir.join(name);
        file_read(&path, 1 << 16).map_err(|error| OpenError::file(&path, error))
    };
    Ok(match (read(CERT_FILE)?, read(KEY_FILE)?) {
        (Some(certificate), Some(key)) => Some(StoredAuthority { certificate, key }),
        _ => None,
    })
}

/// One operator at a time.
fn lock(dir: &Path) -> Result<File, OpenError> {
    use std::os::unix::fs::OpenOptionsExt;

    let path = dir.join(LOCK);
    let open = || -> io::Result<File> {
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        owner_as_directory(&file, &path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    open().map_err(|error| OpenError::file(&path, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, chown};

    use super::*;

    #[test]
    fn what_is_wrong_with_the_file_is_said_without_its_words() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            r#"{"version": 1, "authorities": [], "heartbeat_keys": "QzX7"}"#,
            r#"{"version": 1, "authorities": ["QzX7"], "heartbeat_keys": []}"#,
            r#"{"version": "QzX7", "authorities": [], "heartbeat_keys": []}"#,
            "QzX7",
        ] {
            file_replace(&TrustFile::path(dir.path()), text.as_bytes()).unwrap();
            let said = TrustFile::load(dir.path()).err().unwrap().to_string();
            assert!(said.contains("not understood at line 1") && !said.contains("QzX7"), "{said}");
        }
    }

    /// What an operator does as root leaves the service its files.
    #[test]
    fn files_belong_to_who_keeps_the_directory() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(4711), Some(4712)).unwrap();
        let made = || Ok(StoredAuthority { certificate: String::new(), key: String::new() });
        TrustFile::ensure(dir.path(), "first", made).unwrap();
        TrustFile::roll(dir.path(), made).unwrap();
        for name in [FILE, LOCK] {
            let metadata = dir.path().join(name).metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712), "{name}");
        }
    }
}
