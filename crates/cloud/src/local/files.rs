//! Files that survive a crash at any instruction: either the old content or the new is there, never half of it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Files not yet renamed into place end in this; what a crash leaves of them is overwritten, ignored or
/// removed at the next start.
pub(super) const UNFINISHED: &str = ".tmp";

/// Replaces the file at once and durably. Mode 0600.
pub(super) fn file_replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, true)?;
    parent_sync(path)
}

/// Replaces the file at once, but does not wait for the disk: for what a loss of power makes pointless. Mode 0600.
pub(super) fn file_swap(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, false)
}

fn replace(path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    owner_as_directory(&file, path)?;
    file.write_all(content)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&unfinished, path)
}

/// Whoever keeps the directory can read what another makes in it, such as root on behalf of an operator.
pub(super) fn owner_as_directory(file: &File, path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    let (directory, own) = (fs::metadata(directory)?, file.metadata()?);
    if own.uid() == directory.uid() {
        return Ok(());
    }
    match fchown(file, Some(directory.uid()), Some(directory.gid())) {
        // Whoever is not root, and writes there all the same, is trusted with it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

/// Removes the file durably; absent is fine.
pub(super) fn file_remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => parent_sync(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file, or a directory with all that is in it; absent is fine.
pub(super) fn path_remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Removes what a crash left unfinished in the directory.
pub(super) fn remains_remove(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            path_remove(&path)?;
        }
    }
    Ok(())
}

/// The file's content, `None` when there is no such file, an error when it is larger than `limit` bytes.
pub(super) fn file_read(path: &Path, limit: u64) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, limit + 1), &mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
    }
    Ok(Some(text))
}

/// A directory for our eyes only (0700), made if need be, parents too.
pub(super) fn dir_private(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        parent_sync(path)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn parent_sync(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
