//! What the proxy has in the amphora's directory: a lock, a pid file, a socket.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use octavia_wire::channel::SocketPath;
use octavia_wire::{ProcessId, files};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::ProxyError;

/// The directory, held by this proxy alone for as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    _lock: File,
}

impl Directory {
    /// Takes the directory, leaves the pid file in it and listens there. Done while there still are privileges: later
    /// the directory may be out of reach. `next` = by the names of one that is to take over from another.
    pub(super) fn take(path: &Path, next: bool) -> Result<(Self, UnixListener), ProxyError> {
        let suffix = if next { files::NEXT } else { "" };
        let file = |name: &str| path.join(format!("{name}{suffix}"));
        let file_error = |name: &str| {
            let path = file(name);
            move |error| ProxyError::File { path, error }
        };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(file(files::PROXY_LOCK))
            .map_err(file_error(files::PROXY_LOCK))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(ProxyError::Locked(path.to_owned())),
            Err(error) => return Err(file_error(files::PROXY_LOCK)(error.into())),
        }
        ProcessId::current()
            .and_then(|id| id.write(&file(files::PROXY_PID)))
            .map_err(file_error(files::PROXY_PID))?;
        let listener = listen(&file(files::PROXY_SOCKET)).map_err(file_error(files::PROXY_SOCKET))?;
        Ok((Self { _lock: lock }, listener))
    }
}

/// Replaces the socket that a proxy before this one left.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let short = SocketPath::new(path)?;
    let listener = UnixListener::bind(short.as_path())?;
    std::fs::set_permissions(short.as_path(), Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_stale_socket_gives_way_and_a_living_proxy_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (first, listener) = Directory::take(dir.path(), false).unwrap();
        let path = dir.path().join(files::PROXY_SOCKET);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        assert!(matches!(Directory::take(dir.path(), false), Err(ProxyError::Locked(_))));
        UnixStream::connect(&path).unwrap();
        // One that is to take over has names of its own.
        let (next, _) = Directory::take(dir.path(), true).unwrap();
        assert!(matches!(Directory::take(dir.path(), true), Err(ProxyError::Locked(_))));
        drop(next);
        UnixStream::connect(&path).unwrap();
        drop((first, listener));
        assert!(UnixStream::connect(&path).is_err(), "stale");
        let (_second, _listener) = Directory::take(dir.path(), false).unwrap();
        UnixStream::connect(&path).unwrap();
    }
}
