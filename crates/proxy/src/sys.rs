//! System calls: thin, safe names over rustix, and the one socket option rustix lacks.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd as eventfd_raw};

/// A non-blocking eventfd: wakes an epoll loop from another thread.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    Ok(eventfd_raw(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)
}

pub(crate) fn eventfd_signal(fd: &OwnedFd) {
    // Fails only when the counter is full, and then it is signalled already.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

pub(crate) fn eventfd_clear(fd: &OwnedFd) {
    // Fails only when nothing was signalled.
    let _ = rustix::io::read(fd, &mut [0u8; 8]);
}

/// Makes a listening socket hand out connections only once their first bytes are here (`TCP_DEFER_ACCEPT`), or
/// after `seconds` without any.
pub(crate) fn set_defer_accept(fd: impl AsFd, seconds: libc::c_int) -> io::Result<()> {
    // SAFETY: the option's value is an int that lives across the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
