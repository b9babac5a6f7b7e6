//! The network namespace in which traffic lives, apart from the one in which controllers are spoken with.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Stays what it is while this lives, whatever becomes of its name.
#[derive(Debug, Clone)]
pub(crate) struct Namespace(Arc<File>);

impl Namespace {
    /// Opens it, and makes sure that it can be entered.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let namespace = Self(Arc::new(File::open(path)?));
        namespace.within(|| ())?;
        Ok(namespace)
    }

    /// Does something inside, on a thread that lives for it: what it opens and starts there belongs there for good.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let done = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("inside".to_owned());
            thread.spawn_scoped(scope, inside).map(std::thread::ScopedJoinHandle::join)
        });
        done?.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Does something where traffic lives: inside the namespace, or right here if there is none.
pub(crate) fn within<T: Send>(
    namespace: Option<&Namespace>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    match namespace {
        Some(namespace) => namespace.within(work),
        None => Ok(work()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_namespace_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Namespace::open(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        Namespace::open(Path::new("/proc/self/exe")).unwrap_err();
        Namespace::open(Path::new("/proc/self/ns/uts")).unwrap_err();
    }

    #[test]
    fn the_thread_that_asked_stays_where_it_is() {
        let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let before = here();
        let Ok(namespace) = Namespace::open(Path::new("/proc/thread-self/ns/net")) else {
            // Without the privilege, there is nothing to be seen.
            return;
        };
        assert_eq!(namespace.within(here).unwrap(), before);
        assert_eq!(within(None, here).unwrap(), before);
        assert_eq!(here(), before);
    }
}
