//! System calls under names of our own: thin over rustix, and the one socket option rustix lacks.
//! Interrupted calls are tried again here and nowhere else.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll, eventfd as eventfd_raw};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType, ipproto,
};
use rustix::pipe::{PipeFlags, SpliceFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Bytes a pipe for `splice` holds. Measured on loopback: smaller ones cost more system calls, larger ones gain
/// little more, and an unprivileged user's share of pipe memory (64 MiB) is soon spent on them.
pub(crate) const PIPE_SIZE: usize = 256 << 10;

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

/// Milliseconds of the monotonic clock, a few milliseconds coarse and for that almost free.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Milliseconds since 1970, as coarse.
pub(crate) fn wall() -> u64 {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    // A clock before 1970 is wrong in any case.
    u64::try_from(time.tv_sec).unwrap_or_default() * 1000 + time.tv_nsec as u64 / 1_000_000
}

pub(crate) fn epoll() -> io::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}

/// Waits for events for at most `timeout` milliseconds; `None` = for ever.
pub(crate) fn epoll_wait(
    epoll: &OwnedFd,
    events: &mut [epoll::Event],
    timeout: Option<u64>,
) -> Result<usize, Errno> {
    let timeout =
        timeout.map(|ms| Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as i64 });
    match epoll::wait(epoll, events, timeout.as_ref()) {
        Err(Errno::INTR) => Ok(0),
        result => result,
    }
}

#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::net::recv(fd, &mut *buffer, RecvFlags::empty()).map(|(n, _)| n))
}

/// Looks whether something can be read, without waiting for it, and leaves it there.
pub(crate) fn peek(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    peek_into(fd, &mut [0u8; 1])
}

/// The same, and what it is.
pub(crate) fn peek_into(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    retry_on_intr(|| rustix::net::recv(fd, &mut *buffer, flags).map(|(n, _)| n))
}

#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL))
}

#[inline]
pub(crate) fn send_two(fd: BorrowedFd<'_>, first: &[u8], second: &[u8]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::io::writev(fd, &[IoSlice::new(first), IoSlice::new(second)]))
}

/// The same, with word that more follows at once, so that it need not leave alone.
#[inline]
pub(crate) fn send_two_of_more(fd: BorrowedFd<'_>, first: &[u8], second: &[u8]) -> Result<usize, Errno> {
    let parts = [IoSlice::new(first), IoSlice::new(second)];
    let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
    retry_on_intr(|| rustix::net::sendmsg(fd, &parts, &mut SendAncillaryBuffer::default(), flags))
}

/// Moves at most `length` bytes between a socket and a pipe.
#[inline]
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> Result<usize, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    retry_on_intr(|| rustix::pipe::splice(from, None, to, None, length, flags))
}

/// A non-blocking pipe of [`PIPE_SIZE`], or as large as the system lets it be: (read end, write end).
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    // Past the user's share of pipe memory the default size has to do.
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_SIZE);
    Ok((read, write))
}

#[inline]
pub(crate) fn accept(listening: &OwnedFd) -> Result<(OwnedFd, SocketAddr), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, address) = retry_on_intr(|| rustix::net::acceptfrom_with(listening, flags))?;
    let address = address.and_then(|a| SocketAddr::try_from(a).ok()).ok_or(Errno::CONNABORTED)?;
    Ok((fd, address))
}

/// Starts to connect; the first write tells whether it worked.
pub(crate) fn connect(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
    match rustix::net::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error),
    }
}

/// A socket that exchanges datagrams with this address alone.
pub(crate) fn connect_datagram(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    rustix::net::connect(&fd, &address)?;
    Ok(fd)
}

/// A datagram, and whose it is.
pub(crate) fn recv_from(fd: &OwnedFd, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Errno> {
    let (n, _, from) = retry_on_intr(|| rustix::net::recvfrom(fd, &mut *buffer, RecvFlags::DONTWAIT))?;
    Ok((n, from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(Errno::AFNOSUPPORT)?))
}

pub(crate) fn send_to(fd: &OwnedFd, bytes: &[u8], to: SocketAddr) -> Result<usize, Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    retry_on_intr(|| rustix::net::sendto(fd, bytes, flags, &to))
}

/// Prepares a socket for the datagrams of all the clients of an address.
pub(crate) fn datagram_options(fd: &OwnedFd, buffer: usize) -> io::Result<()> {
    if rustix::net::sockopt::socket_type(fd)? != SocketType::DGRAM {
        return Err(Errno::PROTOTYPE.into());
    }
    // The system may know a lower bound; that will do.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(fd, buffer);
    Ok(())
}

/// Closing the socket resets its connection, whatever has not been sent.
pub(crate) fn reset_on_close(fd: BorrowedFd<'_>) {
    // A connection that does not let itself be told just ends.
    let _ = rustix::net::sockopt::set_socket_linger(fd, Some(std::time::Duration::ZERO));
}

/// Our end of a connection.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    SocketAddr::try_from(rustix::net::getsockname(fd)?)
}

/// Whether a connection that was started is made.
pub(crate) fn has_peer(fd: BorrowedFd<'_>) -> bool {
    rustix::net::getpeername(fd).is_ok()
}

/// Whether connections accepted on this socket send at a pace of their own choosing (BBR), by a timer for each packet.
pub(crate) fn is_paced(listening: &OwnedFd) -> bool {
    rustix::net::sockopt::tcp_congestion(listening).is_ok_and(|name| name.starts_with("bbr"))
}

/// The error a connection died of, if any; clears it.
pub(crate) fn socket_error(fd: BorrowedFd<'_>) -> Option<Errno> {
    rustix::net::sockopt::socket_error(fd).ok()?.err()
}

pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) {
    // Fails only when the connection is gone, and that shows at the next read.
    let _ = rustix::net::shutdown(fd, Shutdown::Write);
}

/// Prepares a listening socket for traffic: connections inherit the options. With `first_bytes`, connections are
/// handed out only once their first bytes are here, or after some seconds without any.
pub(crate) fn listening_options(fd: &OwnedFd, first_bytes: bool) -> io::Result<()> {
    rustix::net::sockopt::set_tcp_nodelay(fd, true)?;
    set_defer_accept(fd, if first_bytes { 5 } else { 0 })
}

/// `TCP_DEFER_ACCEPT`; 0 seconds = off.
fn set_defer_accept(fd: impl AsFd, seconds: libc::c_int) -> io::Result<()> {
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

/// Allows as many open files as the hard limit does: every connection takes two.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it, connections beyond the soft limit wait in the backlog.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// How many files this process may have open.
pub(crate) fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The signals that ask this process to end: blocked in every thread, so that one can wait for them.
pub(crate) struct StopSignals(libc::sigset_t);

impl StopSignals {
    /// Blocks SIGTERM and SIGINT in this thread, and in those it starts from now on.
    pub(crate) fn block() -> io::Result<Self> {
        // SAFETY: an all-zero set is a valid value to write an empty set over; the pointers live across the calls.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
                0 => Ok(Self(set)),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Readable once one of them has come.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the set lives across the call; a descriptor that is returned is ours alone.
        unsafe {
            match libc::signalfd(-1, &self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        }
    }

    /// Waits until one of them comes.
    pub(crate) fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both pointers live across the call.
        while unsafe { libc::sigwait(&self.0, &mut signal) } != 0 {}
    }
}

/// A system call outside the filter ends the process with a line that says which it was.
pub(crate) fn log_refused_calls() -> io::Result<()> {
    extern "C" fn refused(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid siginfo to a handler that asks for it, for SIGSYS with these fields; write
        // and _exit may be called in a handler, and nothing here allocates.
        unsafe {
            let mut line = *b"system call      is outside the filter: the process ends\n";
            let mut number = (*info).si_syscall().unsigned_abs();
            for place in (12..16).rev() {
                line[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
            libc::write(2, line.as_ptr().cast(), line.len());
            libc::_exit(128 + libc::SIGSYS);
        }
    }
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = refused;
    // SAFETY: an all-zero sigaction is a valid value to fill in; the handler is as SA_SIGINFO wants it.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
