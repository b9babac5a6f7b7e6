//! What the access log is written to on the amphora's machine: opened by whoever may open files, written by the proxy.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::LogTarget;
use crate::channel::SocketPath;

/// What a path leads to. Another one, once a file was renamed, or a daemon started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    device: u64,
    inode: u64,
    /// When a socket was made, or changed: the number of one that is gone is given again. That of a file is not, while it is
    /// written to.
    changed: Option<(i64, i64)>,
}

impl LogPlace {
    /// Where the target is now; `None` = nothing is there, or it is on no path. `dir` is the amphora's directory.
    pub fn of(target: &LogTarget, dir: &Path) -> Option<Self> {
        Some(Self::from(&std::fs::metadata(path(target, dir)?).ok()?))
    }

    /// Opens a target that is on a path, for appending, and so that nobody waits for it.
    pub fn open(target: &LogTarget, dir: &Path) -> io::Result<(Self, OwnedFd)> {
        let path = path(target, dir).ok_or(io::ErrorKind::InvalidInput)?;
        match target {
            LogTarget::Daemon { .. } => {
                let place = Self::from(&std::fs::metadata(&path)?);
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(SocketPath::new(&path)?.as_path())?;
                Ok((place, socket.into()))
            }
            _ => {
                let mut options = OpenOptions::new();
                options.create(true).append(true).mode(0o640);
                // Nobody may be reading a pipe.
                options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
                let file: File = options.open(path)?;
                Ok((Self::from(&file.metadata()?), file.into()))
            }
        }
    }
}

impl From<&std::fs::Metadata> for LogPlace {
    fn from(metadata: &std::fs::Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let changed = metadata.file_type().is_socket().then_some(changed);
        Self { device: metadata.dev(), inode: metadata.ino(), changed }
    }
}

fn path(target: &LogTarget, dir: &Path) -> Option<PathBuf> {
    match target {
        LogTarget::File(path) | LogTarget::Daemon { path, .. } => Some(dir.join(path)),
        LogTarget::Remote { .. } | LogTarget::Stdout => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_file_that_was_renamed_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let target = LogTarget::File("a.log".to_owned());
        assert_eq!(LogPlace::of(&target, dir.path()), None);
        let (first, fd) = LogPlace::open(&target, dir.path()).unwrap();
        File::from(fd).write_all(b"one\n").unwrap();
        let (again, fd) = LogPlace::open(&target, dir.path()).unwrap();
        File::from(fd).write_all(b"two\n").unwrap();
        assert_eq!((again, LogPlace::of(&target, dir.path())), (first, Some(first)));
        std::fs::rename(dir.path().join("a.log"), dir.path().join("a.log.1")).unwrap();
        assert_eq!(LogPlace::of(&target, dir.path()), None);
        let (second, _) = LogPlace::open(&target, dir.path()).unwrap();
        assert_ne!(first, second);
        let mut text = String::new();
        File::open(dir.path().join("a.log.1")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_daemon_that_was_started_anew_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let target = LogTarget::Daemon { path: path.to_str().unwrap().to_owned(), facility: 0 };
        LogPlace::open(&target, dir.path()).unwrap_err();
        let daemon = UnixDatagram::bind(&path).unwrap();
        let (first, fd) = LogPlace::open(&target, dir.path()).unwrap();
        UnixDatagram::from(fd).send(b"one").unwrap();
        let mut buffer = [0; 9];
        assert_eq!(daemon.recv(&mut buffer).unwrap(), 3);
        assert_eq!(LogPlace::of(&target, dir.path()), Some(first));
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        // The clock of files is some milliseconds coarse.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let _other = UnixDatagram::bind(&path).unwrap();
            if LogPlace::of(&target, dir.path()) != Some(first) {
                break;
            }
            std::fs::remove_file(&path).unwrap();
            assert!(std::time::Instant::now() < end, "it is taken for the one before");
        }
    }

    #[test]
    fn what_is_on_no_path_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LogPlace::of(&LogTarget::Stdout, dir.path()), None);
        LogPlace::open(&LogTarget::Stdout, dir.path()).unwrap_err();
    }
}
