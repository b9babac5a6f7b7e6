//! A non-blocking socket that remembers what it knows of its readiness, so that no system call is made in vain.
//!
//! It is registered with epoll (edge-triggered) only when an operation would have blocked: many short connections
//! never are.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::kit::Pipe;
use crate::sys;

#[derive(Debug)]
pub(super) struct Sock {
    fd: OwnedFd,
    token: u64,
    /// Reading may yield something.
    readable: bool,
    /// Writing may take something.
    writable: bool,
    /// The other side has ended its stream: a short read does not mean that nothing is left to see.
    hung_up: bool,
    /// The connection is broken in both directions.
    broken: bool,
    registered: EventFlags,
}

/// What became of a read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Io {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now: wait for the event.
    Blocked,
    /// The other side ended its stream; of reads only.
    End,
    Failed(Errno),
}

impl Sock {
    /// A socket of which nothing is known: it is tried.
    pub(super) fn new(fd: OwnedFd, token: u64) -> Self {
        let registered = EventFlags::empty();
        Self { fd, token, readable: true, writable: true, hung_up: false, broken: false, registered }
    }

    /// A connection that was just started: writing is tried, reading would be in vain.
    pub(super) fn connecting(fd: OwnedFd, token: u64) -> Self {
        Self { readable: false, ..Self::new(fd, token) }
    }

    /// Takes note of an epoll event.
    #[inline]
    pub(super) fn notice(&mut self, flags: EventFlags) {
        let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        self.broken |= broken;
        self.hung_up |= broken || flags.contains(EventFlags::RDHUP);
        self.readable |= self.hung_up || flags.contains(EventFlags::IN);
        self.writable |= broken || flags.contains(EventFlags::OUT);
    }

    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Writing may take something.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    #[inline]
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> Io {
        if !self.readable {
            return Io::Blocked;
        }
        let result = sys::recv(self.fd.as_fd(), buffer);
        self.after_read(result, buffer.len())
    }

    /// Reads, and leaves it there.
    pub(super) fn peek(&mut self, buffer: &mut [u8]) -> Io {
        if !self.readable {
            return Io::Blocked;
        }
        match sys::peek_into(self.fd.as_fd(), buffer) {
            Ok(0) => Io::End,
            Ok(n) => Io::Bytes(n),
            Err(Errno::AGAIN) => {
                self.readable = false;
                Io::Blocked
            }
            Err(error) => Io::Failed(error),
        }
    }

    /// The next event tells when there is more than was seen.
    pub(super) fn wait_more(&mut self, epoll: &OwnedFd) {
        self.readable = false;
        self.wait_read(epoll);
    }

    /// The other side says nothing more.
    pub(super) fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Nothing has come that is not read, and the other side has not ended.
    pub(super) fn is_quiet(&mut self) -> bool {
        if self.readable {
            self.readable = sys::peek(self.fd.as_fd()) != Err(Errno::AGAIN);
        }
        !self.readable
    }

    /// Into a pipe that is empty.
    #[inline]
    pub(super) fn splice_in(&mut self, pipe: &mut Pipe, length: usize) -> Io {
        if !self.readable {
            return Io::Blocked;
        }
        let result = sys::splice(self.fd.as_fd(), pipe.write.as_fd(), length);
        pipe.held += result.unwrap_or(0);
        // A pipe may be full of small pieces: a short count says nothing of the socket.
        self.after_read(result, 0)
    }

    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8]) -> Io {
        if !self.writable {
            return Io::Blocked;
        }
        let result = sys::send(self.fd.as_fd(), bytes);
        self.after_write(result, bytes.len())
    }

    #[inline]
    pub(super) fn send_two(&mut self, first: &[u8], second: &[u8]) -> Io {
        if !self.writable {
            return Io::Blocked;
        }
        let result = sys::send_two(self.fd.as_fd(), first, second);
        self.after_write(result, first.len() + second.len())
    }

    /// The same, when something follows at once.
    #[inline]
    pub(super) fn send_two_of_more(&mut self, first: &[u8], second: &[u8]) -> Io {
        if !self.writable {
            return Io::Blocked;
        }
        let result = sys::send_two_of_more(self.fd.as_fd(), first, second);
        self.after_write(result, first.len() + second.len())
    }

    /// At most `length` bytes of what is in a pipe.
    #[inline]
    pub(super) fn splice_out(&mut self, pipe: &mut Pipe, length: usize) -> Io {
        if !self.writable {
            return Io::Blocked;
        }
        let length = pipe.held.min(length);
        let result = sys::splice(pipe.read.as_fd(), self.fd.as_fd(), length);
        pipe.held -= result.unwrap_or(0);
        self.after_write(result, length)
    }

    /// The next event tells when reading may go on.
    pub(super) fn wait_read(&mut self, epoll: &OwnedFd) {
        self.register(epoll, EventFlags::IN | EventFlags::RDHUP | EventFlags::ET);
    }

    /// The next event tells when writing (or reading) may go on.
    pub(super) fn wait_write(&mut self, epoll: &OwnedFd) {
        self.register(epoll, EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET);
    }

    pub(super) fn shutdown_write(&self) {
        sys::shutdown_write(self.fd.as_fd());
    }

    /// When it closes, what is not sent is lost, and the other side learns that something went wrong.
    pub(super) fn reset_on_close(&self) {
        sys::reset_on_close(self.fd.as_fd());
    }

    /// Whether a connection that was started is made.
    pub(super) fn has_peer(&self) -> bool {
        sys::has_peer(self.fd.as_fd())
    }

    /// The error the connection died of.
    pub(super) fn error(&self) -> Option<Errno> {
        sys::socket_error(self.fd.as_fd())
    }

    #[inline]
    fn register(&mut self, epoll: &OwnedFd, flags: EventFlags) {
        if self.registered.contains(flags) {
            return;
        }
        let data = EventData::new_u64(self.token);
        let result = if self.registered.is_empty() {
            epoll::add(epoll, &self.fd, data, flags)
        } else {
            epoll::modify(epoll, &self.fd, data, flags)
        };
        // Out of kernel memory: the connection's timer ends it.
        if result.is_ok() {
            self.registered = flags;
        }
    }

    #[inline]
    fn after_read(&mut self, result: Result<usize, Errno>, asked: usize) -> Io {
        match result {
            Ok(0) => Io::End,
            Ok(n) => {
                self.readable = n >= asked || self.hung_up;
                Io::Bytes(n)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Io::Blocked
            }
            Err(error) => Io::Failed(error),
        }
    }

    #[inline]
    fn after_write(&mut self, result: Result<usize, Errno>, asked: usize) -> Io {
        match result {
            Ok(n) => {
                self.writable = n >= asked;
                Io::Bytes(n)
            }
            Err(Errno::AGAIN) => {
                self.writable = false;
                Io::Blocked
            }
            Err(error) => Io::Failed(error),
        }
    }
}
