//! The amphora's directory: who owns it, and what the agent was given in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use octavia_wire::{BootConfig, ProcessId, files};
use rustix::fs::FlockOperation;

use crate::AgentError;

/// The directory, held by this agent alone for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes the directory and leaves the agent's pid file in it.
    pub(crate) fn take(path: &Path) -> Result<Self, AgentError> {
        let file_error = |error| AgentError::File { path: path.to_owned(), error };
        // The proxy is given this path, and has a working directory of its own.
        let path = path.canonicalize().map_err(file_error)?;
        let lock_path = path.join(files::AGENT_LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| AgentError::File { path: lock_path.clone(), error })?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(AgentError::Locked(path)),
            Err(error) => return Err(AgentError::File { path: lock_path, error: error.into() }),
        }
        let pid_path = path.join(files::AGENT_PID);
        let pid = ProcessId::current().and_then(|id| id.write(&pid_path));
        pid.map_err(|error| AgentError::File { path: pid_path, error })?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn boot_config(&self) -> Result<BootConfig, AgentError> {
        let path = self.file(BootConfig::FILE);
        match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| AgentError::Boot { path, error }),
            Err(error) => Err(AgentError::File { path, error }),
        }
    }

    /// Says that no process of this amphora is left.
    pub(crate) fn leave(&self) {
        for name in [files::AGENT_PID, files::PROXY_PID, files::PROXY_SOCKET] {
            match std::fs::remove_file(self.file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, name, "file of an ended process stays");
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_agents_in_one_directory_are_impossible() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::take(dir.path()).unwrap();
        assert!(matches!(Directory::take(dir.path()), Err(AgentError::Locked(_))));
        assert!(ProcessId::read(&first.file(files::AGENT_PID)).unwrap().unwrap().is_alive().unwrap());
        drop(first);
        Directory::take(dir.path()).unwrap();
    }

    #[test]
    fn a_broken_boot_configuration_says_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::take(dir.path()).unwrap();
        assert!(matches!(directory.boot_config(), Err(AgentError::File { .. })));
        for json in ["", "{}", "[]", "{\"amphora_id\": 7}"] {
            std::fs::write(directory.file(BootConfig::FILE), json).unwrap();
            let error = directory.boot_config().unwrap_err().to_string();
            assert!(error.contains("boot.json is not a boot configuration"), "{error}");
        }
    }
}
