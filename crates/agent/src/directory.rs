//! The amphora's directory: who owns it, and what the agent was given in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use octavia_model::SEQ_FOR_LIFE;
use octavia_wire::{BootConfig, ProcessId, files};
use rustix::fs::FlockOperation;

use crate::AgentError;

/// Heartbeats that one start of the agent may send: three years of ten a second.
const BEATS_OF_A_START: u64 = 1 << 30;

/// The directory, held by this agent alone for as long as this lives.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: Arc<File>,
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
        Ok(Self { path, _lock: Arc::new(lock) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn boot_config(&self) -> Result<BootConfig, AgentError> {
        boot_config(&self.path)
    }

    /// The number of the first heartbeat since this start. A disk that takes or remembers nothing keeps no agent from
    /// its work: then the clock alone has to tell this start from the one before.
    pub(crate) fn first_beat(&self) -> u64 {
        let path = self.file(files::AGENT_BEATS);
        let before = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let first = first_beat(before, u64::try_from(clock.as_micros()).unwrap_or(0));
        let write = || {
            // Over what is there, which takes no space.
            let mut open = OpenOptions::new();
            let mut file = open.create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            let text = format!("{first:020}\n");
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "after a restart heartbeats may count as old if the clock is set back until then");
        }
        first
    }

    /// Replaces the files one after the other, durably; all are on the disk before the first gets its name.
    pub(crate) fn replace(&self, files: &[(&Path, &[u8])]) -> io::Result<()> {
        let new = |name: &Path| {
            let mut path = self.file(name).into_os_string();
            path.push(".new");
            PathBuf::from(path)
        };
        let written = files.iter().try_for_each(|(name, content)| {
            let mut open = OpenOptions::new();
            let mut file = open.create(true).truncate(true).write(true).mode(0o600).open(new(name))?;
            file.write_all(content)?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| {
            files.iter().try_for_each(|(name, _)| std::fs::rename(new(name), self.file(name)))
        });
        if renamed.is_err() {
            // On a full disk they are in the way.
            files.iter().for_each(|(name, _)| drop(std::fs::remove_file(new(name))));
        }
        renamed.and_then(|()| File::open(&self.path)?.sync_all())
    }

    /// Gives the proxy that has taken over the names of the one before, which is found again by its pid. In this order: what
    /// happens in between, somebody listens at the socket, and nobody is forgotten.
    pub(crate) fn promote(&self, predecessor: u32) -> io::Result<()> {
        let aside = self.file(format!("{}.{predecessor}", files::PROXY_SOCKET));
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::hard_link(self.file(files::PROXY_SOCKET), aside)?;
        for name in [files::PROXY_LOCK, files::PROXY_PID, files::PROXY_SOCKET] {
            std::fs::rename(self.file(format!("{name}{}", files::NEXT)), self.file(name))?;
        }
        Ok(())
    }

    /// Sockets of proxies beside the one that serves: of its predecessors, or of one that was to take over.
    pub(crate) fn other_sockets(&self) -> io::Result<Vec<String>> {
        let prefix = format!("{}.", files::PROXY_SOCKET);
        let names =
            std::fs::read_dir(&self.path)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with(&prefix)).collect())
    }

    /// Of a process that has ended.
    pub(crate) fn forget(&self, name: &str) {
        match std::fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, name, "file of an ended process stays");
            }
            _ => {}
        }
    }

    /// Says that no process of this amphora is left.
    pub(crate) fn leave(&self) {
        for socket in self.other_sockets().unwrap_or_default() {
            self.forget(&socket);
        }
        for name in [files::AGENT_PID, files::PROXY_PID, files::PROXY_SOCKET] {
            self.forget(name);
        }
    }
}

pub(crate) fn boot_config(directory: &Path) -> Result<BootConfig, AgentError> {
    let path = directory.join(BootConfig::FILE);
    match std::fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| AgentError::Boot { path, error }),
        Err(error) => Err(AgentError::File { path, error }),
    }
}

/// Higher than the number of any beat since the start `before`, also if the clock went back.
fn first_beat(before: Option<u64>, clock_micros: u64) -> u64 {
    let after = before.map_or(0, |before| before.saturating_add(BEATS_OF_A_START));
    // Databases have signed numbers.
    after.max(clock_micros).clamp(SEQ_FOR_LIFE, i64::MAX as u64 - BEATS_OF_A_START)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_count_on_whatever_the_clock_says() {
        let now = 1_900_000_000_000_000;
        for (before, clock, first) in [
            (None, now, now),
            (None, 0, SEQ_FOR_LIFE),
            (Some(now), 2 * now, 2 * now),
            (Some(now), now - 1, now + BEATS_OF_A_START),
            (Some(now), 0, now + BEATS_OF_A_START),
            (Some(0), 0, SEQ_FOR_LIFE),
            (Some(u64::MAX), now, i64::MAX as u64 - BEATS_OF_A_START),
        ] {
            assert_eq!(first_beat(before, clock), first, "{before:?} {clock}");
        }
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::take(dir.path()).unwrap();
        let first = directory.first_beat();
        assert!(first > now / 2 && directory.first_beat() >= first + BEATS_OF_A_START);
        let file = directory.file(files::AGENT_BEATS);
        for damage in ["", "x", "-1", "99999999999999999999999"] {
            std::fs::write(&file, damage).unwrap();
            assert!(directory.first_beat() > first, "{damage:?}");
            assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(directory.first_beat() > first);
    }

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
