//! What of this crate the compiler takes our word for.
#![allow(unsafe_code)]

mod raw;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use raw::{Link, links, receive_ipv6, send_frame};

/// A descriptor of a process that becomes readable when the process ends.
pub(crate) fn watch_process(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    watch(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Waits for a descriptor, which does not block, to become readable.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open and the same until it is dropped, and the `AsyncFd` owns it; nobody here takes it
    // out or replaces it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}

/// A descriptor that this process was started with; `None` = there is none of this number. Before anything else is
/// opened.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl looks the number up, whatever it is. That it is open shows that it is a descriptor of this process, and
    // since nothing here knows of it yet, it has no other owner.
    unsafe {
        (libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0).then(|| OwnedFd::from_raw_fd(number))
    }
}

/// SIGUSR2 and SIGHUP wait until [`allow_renewal`], also past execve(2).
pub(crate) fn block_renewal() -> io::Result<()> {
    mask_renewal(libc::SIG_BLOCK)
}

pub(crate) fn allow_renewal() -> io::Result<()> {
    mask_renewal(libc::SIG_UNBLOCK)
}

fn mask_renewal(how: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero set is a valid value to write an empty set over; the pointers live across the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR2);
        libc::sigaddset(&mut set, libc::SIGHUP);
        match libc::pthread_sigmask(how, &set, std::ptr::null_mut()) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Gives back the pages of program text and constants: most were touched only to start, or long ago. What is needed
/// again comes from the page cache.
pub(crate) fn give_back_clean_pages() -> io::Result<()> {
    for range in octavia_wire::clean_mappings(&std::fs::read_to_string("/proc/self/smaps")?) {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the mapping is private, not writable and without a page of its own, so the file has all of its
        // content, and every page that is dropped reads the same when it is touched next.
        if unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
