//! The directory as it is now, and the file that keeps what was made.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::directory::{Directory, Made, Refused};
use crate::local::OpenError;
use crate::local::files::{file_read, file_replace};

const FILE: &str = "directory.json";
const VERSION: u32 = 1;
/// Of the file, in bytes: as many things as there may be, each with texts as long as they may be.
const FILE_MAX: u64 = 64 << 20;

/// Of mode 0600: it holds passwords as salted hashes.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    #[serde(flatten)]
    made: Made,
}

/// Readers take the directory as it is, whole; writers come one after the other.
#[derive(Debug)]
pub(super) struct Register {
    path: PathBuf,
    current: RwLock<Arc<Directory>>,
    writing: Mutex<()>,
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum ChangeError {
    Refused(Refused),
    File(io::Error),
}

impl Register {
    pub(super) fn open(cloud_dir: &Path, mut directory: Directory) -> Result<Self, OpenError> {
        let path = cloud_dir.join(FILE);
        if let Some(text) = file_read(&path, FILE_MAX).map_err(|error| OpenError::file(&path, error))? {
            let damaged = |error: String| OpenError::Damaged { path: path.clone(), error };
            let content: Content = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
            if content.version != VERSION {
                return Err(damaged(format!("version {} is not known", content.version)));
            }
            directory.add(content.made);
        }
        Ok(Self { path, current: RwLock::new(Arc::new(directory)), writing: Mutex::new(()) })
    }

    pub(super) fn now(&self) -> Arc<Directory> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Durable before it is seen. Blocks.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Directory) -> Result<T, Refused>,
    ) -> Result<T, ChangeError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut directory = Directory::clone(&self.now());
        let answer = change(&mut directory).map_err(ChangeError::Refused)?;
        let content = Content { version: VERSION, made: directory.made() };
        serde_json::to_vec(&content)
            .map_err(io::Error::from)
            .and_then(|text| file_replace(&self.path, &text))
            .map_err(ChangeError::File)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        Ok(answer)
    }
}
