//! The directory that holds everything an `all-in-one` must not forget, and the lock on it.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

/// A state directory that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the directory (mode 0700) if it is not there, and takes its lock.
    ///
    /// Fails when another process holds it: two controllers on one embedded cloud would fight over processes.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create the state directory {}", path.display()))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot use the state directory {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} private", path.display()))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .with_context(|| format!("cannot open the lock in {}", path.display()))?;
        if let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            anyhow::bail!(
                "{} is in use by another octavia ({error}): stop it, or give another --state-dir",
                path.display()
            );
        }
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn belongs_to_one_process_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/state");
        let first = StateDir::open(&path).unwrap();
        assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let error = StateDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(first);
        StateDir::open(&path).unwrap();
    }
}
