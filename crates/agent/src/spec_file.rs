//! The durable spec: what the agent goes back to when it, or the machine, starts again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use octavia_wire::{AgentFault, AmphoraSpec, files};

#[derive(Debug)]
pub(crate) struct SpecFile {
    path: PathBuf,
}

/// The spec could not be stored, so nothing of it was done.
#[derive(Debug, thiserror::Error)]
#[error("the spec could not be stored, nothing was changed: {path}: {error}")]
pub(crate) struct StoreError {
    path: PathBuf,
    error: io::Error,
}

impl From<StoreError> for AgentFault {
    fn from(error: StoreError) -> Self {
        let full = matches!(error.error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { error: error.to_string(), http_code: if full { 507 } else { 500 } }
    }
}

impl SpecFile {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { path: directory.join(files::SPEC) }
    }

    /// The stored spec. One that cannot be read, or would not be accepted if it were pushed, is set aside for people
    /// to look at: the controller will push again. Whatever the disk does, an agent starts.
    pub(crate) fn load(&self) -> Option<AmphoraSpec> {
        let error = match std::fs::read(&self.path) {
            Ok(json) => match understand(&json) {
                Ok(spec) => return Some(spec),
                Err(error) => error,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        let aside = self.sibling("corrupt");
        tracing::error!(%error, path = %self.path.display(), aside = %aside.display(), "the stored spec is of no use");
        if let Err(error) = std::fs::rename(&self.path, aside) {
            tracing::error!(%error, "it stays where it is");
        }
        None
    }

    /// When this returns, the spec survives a loss of power; when it fails, the one before it does.
    pub(crate) fn store(&self, spec: &AmphoraSpec) -> Result<(), StoreError> {
        let new = self.sibling("new");
        let store = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(spec)?)?;
            file.sync_all()?;
            self.keep_old()?;
            std::fs::rename(&new, &self.path)?;
            self.sync_directory()
        };
        store().map_err(|error| {
            // Half a spec helps nobody, least of all on a full disk.
            let _ = std::fs::remove_file(&new);
            StoreError { path: self.path.clone(), error }
        })
    }

    /// The same, and nothing of what was stored before is kept: there is no going back.
    pub(crate) fn store_alone(&self, spec: &AmphoraSpec) -> Result<(), StoreError> {
        self.store(spec)?;
        remove_if_there(&self.sibling("old"))
            .and_then(|()| self.sync_directory())
            .map_err(|error| StoreError { path: self.path.clone(), error })
    }

    /// Keeps what is stored under another name: to go back there must need no space.
    fn keep_old(&self) -> io::Result<()> {
        let old = self.sibling("old");
        remove_if_there(&old)?;
        if let Err(error) = std::fs::hard_link(&self.path, &old)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "the spec before is not kept: it would be written again");
        }
        Ok(())
    }

    /// Goes back to what was stored before the last [`store`](Self::store).
    pub(crate) fn restore(&self, before: Option<&AmphoraSpec>) -> Result<(), StoreError> {
        let there = match before {
            Some(_) => std::fs::rename(self.sibling("old"), &self.path),
            None => remove_if_there(&self.path),
        };
        match (there, before) {
            (Err(error), Some(spec)) if error.kind() == io::ErrorKind::NotFound => self.store(spec),
            (there, _) => there
                .and_then(|()| self.sync_directory())
                .map_err(|error| StoreError { path: self.path.clone(), error }),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(suffix);
        path.into()
    }
}

fn understand(json: &[u8]) -> Result<AmphoraSpec, String> {
    let spec: AmphoraSpec = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    spec.validate().map_err(|error| error.to_string())?;
    Ok(spec)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use octavia_model::{AmphoraId, LoadBalancerId};
    use octavia_wire::WIRE_VERSION;

    use super::*;

    fn spec(generation: u64) -> AmphoraSpec {
        AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: AmphoraId::nil(),
            load_balancer_id: LoadBalancerId::nil(),
            generation,
            fence: 1,
            vips: vec![],
            listeners: vec![],
            pools: vec![],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        }
    }

    #[test]
    fn the_last_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = SpecFile::new(dir.path());
        assert_eq!(file.load(), None);
        file.store(&spec(1)).unwrap();
        file.store(&spec(2)).unwrap();
        assert_eq!(SpecFile::new(dir.path()).load(), Some(spec(2)));
        file.restore(Some(&spec(1))).unwrap();
        assert_eq!(file.load(), Some(spec(1)));
        file.restore(None).unwrap();
        assert_eq!(file.load(), None);
    }

    #[test]
    fn what_is_stored_alone_has_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = SpecFile::new(dir.path());
        file.store(&spec(1)).unwrap();
        file.store(&spec(2)).unwrap();
        file.store_alone(&spec(3)).unwrap();
        assert_eq!(file.load(), Some(spec(3)));
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["spec.json"]);
    }

    #[test]
    fn the_useless_is_set_aside() {
        let valid = serde_json::to_string(&spec(1)).unwrap();
        for content in [
            "",
            "{",
            "[]",
            "null",
            &valid[..valid.len() - 1],
            &valid.replace(&format!("\"version\":{WIRE_VERSION}"), "\"version\":99"),
            &"[".repeat(100_000),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = SpecFile::new(dir.path());
            std::fs::write(dir.path().join("spec.json"), content).unwrap();
            assert_eq!(file.load(), None);
            assert_eq!(std::fs::read_to_string(dir.path().join("spec.json.corrupt")).unwrap(), content);
            assert_eq!(file.load(), None);
        }
    }

    #[test]
    fn whatever_is_in_the_way_an_agent_starts() {
        let dir = tempfile::tempdir().unwrap();
        let file = SpecFile::new(dir.path());
        let (spec_path, aside) = (dir.path().join("spec.json"), dir.path().join("spec.json.corrupt"));
        // A directory instead of a file gives way.
        std::fs::create_dir(&spec_path).unwrap();
        assert_eq!(file.load(), None);
        file.store(&spec(1)).unwrap();
        assert_eq!(file.load(), Some(spec(1)));
        // What was set aside before, and cannot be replaced.
        std::fs::write(&spec_path, "{").unwrap();
        std::fs::write(aside.join("x"), "").unwrap();
        assert_eq!(file.load(), None);
        file.store(&spec(2)).unwrap();
        assert_eq!(file.load(), Some(spec(2)));
    }

    #[test]
    fn a_full_disk_changes_nothing_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = SpecFile::new(dir.path());
        file.store(&spec(1)).unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("spec.json.new")).unwrap();
        let fault = AgentFault::from(file.store(&spec(2)).unwrap_err());
        assert_eq!(fault.http_code, 507);
        assert!(fault.error.contains("nothing was changed"), "{}", fault.error);
        assert_eq!(file.load(), Some(spec(1)));
        assert!(!dir.path().join("spec.json.new").is_symlink(), "nothing half written stays");
    }

    #[test]
    fn going_back_needs_no_space() {
        let dir = tempfile::tempdir().unwrap();
        let file = SpecFile::new(dir.path());
        for generation in 1..=3 {
            file.store(&spec(generation)).unwrap();
        }
        std::os::unix::fs::symlink("/dev/full", dir.path().join("spec.json.new")).unwrap();
        file.restore(Some(&spec(2))).unwrap();
        assert_eq!(file.load(), Some(spec(2)));
        // What was kept is gone; with space, it is written again.
        file.restore(Some(&spec(1))).unwrap_err();
        assert_eq!(file.load(), Some(spec(2)));
        file.restore(Some(&spec(1))).unwrap();
        assert_eq!(file.load(), Some(spec(1)));
    }
}
