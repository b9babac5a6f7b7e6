//! Records at rest: a file each, sealed by AES-256-GCM with the key of a file beside them.

use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::local::OpenError;
use crate::local::files::{dir_private, file_read, file_remove, file_replace, remains_remove};
use crate::local::seed::random_bytes;

const KEY_FILE: &str = "secrets.key";
const ENDING: &str = "sealed";
/// Bytes of a file at most: far more than a record can have.
const FILE_MAX: u64 = 1 << 20;

pub(super) struct Vault {
    dir: PathBuf,
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the vault below a directory, making it at the first start. A key is only made where nothing is sealed yet.
    pub(super) fn open(cloud_dir: &Path) -> Result<Self, OpenError> {
        let dir = cloud_dir.join("secrets");
        let failed = |error| OpenError::file(&dir, error);
        dir_private(&dir).map_err(failed)?;
        remains_remove(&dir).map_err(failed)?;
        let path = cloud_dir.join(KEY_FILE);
        let damaged = |error: &str| OpenError::Damaged { path: path.clone(), error: error.to_owned() };
        let stored = file_read(&path, 1 << 10).map_err(|error| OpenError::file(&path, error))?;
        let bytes = match stored.map(Zeroizing::new) {
            Some(text) => Zeroizing::new(
                STANDARD.decode(text.trim()).map_err(|_| damaged("it holds no key of 32 bytes in base64"))?,
            ),
            None if std::fs::read_dir(&dir).map_err(failed)?.next().is_some() => {
                return Err(damaged("it is missing, and nothing else opens what is stored"));
            }
            None => {
                let bytes = Zeroizing::new(random_bytes::<32>().to_vec());
                let text = Zeroizing::new(STANDARD.encode(&*bytes));
                file_replace(&path, text.as_bytes()).map_err(|error| OpenError::file(&path, error))?;
                bytes
            }
        };
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes);
        let key = key.map_err(|_| damaged("it holds no key of 32 bytes in base64"))?;
        Ok(Self { dir, key })
    }

    /// All records of a kind.
    pub(super) fn load<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, OpenError> {
        let failed = |error| OpenError::file(&self.dir, error);
        let mut records = vec![];
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(kind) || !name.ends_with(ENDING) {
                continue;
            }
            let text = file_read(&path, FILE_MAX).map_err(|error| OpenError::file(&path, error))?;
            let record = text.as_deref().and_then(|text| self.unseal(name, text));
            records.push(record.ok_or_else(|| OpenError::Damaged {
                path: path.clone(),
                error: format!("it does not open with the key of {KEY_FILE}"),
            })?);
        }
        Ok(records)
    }

    /// Durable when it answers.
    pub(super) fn store(&self, kind: &str, id: uuid::Uuid, record: &impl Serialize) -> std::io::Result<()> {
        let name = name(kind, id);
        let sealed = self.seal(&name, record)?;
        file_replace(&self.dir.join(&name), sealed.as_bytes())
    }

    pub(super) fn remove(&self, kind: &str, id: uuid::Uuid) -> std::io::Result<()> {
        file_remove(&self.dir.join(name(kind, id)))
    }

    /// Nonce, then what is sealed, in base64. A file that takes another's name does not open.
    fn seal(&self, name: &str, record: &impl Serialize) -> std::io::Result<String> {
        let mut bytes = Zeroizing::new(serde_json::to_vec(record)?);
        let nonce = self.key.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut *bytes);
        let nonce = nonce.map_err(|_| std::io::Error::other("it could not be sealed"))?;
        Ok(STANDARD.encode([nonce.as_ref().as_slice(), &bytes].concat()))
    }

    fn unseal<T: DeserializeOwned>(&self, name: &str, text: &str) -> Option<T> {
        let bytes = STANDARD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let plain = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

fn name(kind: &str, id: uuid::Uuid) -> String {
    format!("{kind}-{id}.{ENDING}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_open_under_their_own_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let [one, two] = [uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2)];
        vault.store("secret", one, &"words").unwrap();
        let path = |id| dir.path().join("secrets").join(name("secret", id));
        let sealed = std::fs::read(path(one)).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"words"));

        let again = Vault::open(dir.path()).unwrap();
        assert_eq!(again.load::<String>("secret").unwrap(), ["words"]);
        assert!(again.load::<String>("container").unwrap().is_empty());
        std::fs::write(path(two), &sealed).unwrap();
        assert!(matches!(again.load::<String>("secret"), Err(OpenError::Damaged { .. })));
        again.remove("secret", two).unwrap();
        again.remove("secret", two).unwrap();

        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        assert!(matches!(Vault::open(dir.path()), Err(OpenError::Damaged { .. })), "no second key is made");
    }
}
