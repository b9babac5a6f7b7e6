//! One side of an exchange, the client's or a member's: a plain socket, TLS over one, or a stream of an HTTP/2 connection.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::flow::{Flow, Moved, Pumped};
use super::kit::{Kit, Wire};
use super::sock::{Io, Sock};
use super::stream::Stream;
use super::stream_end::{Fate, StreamEnd};
use super::tls::{Role, TlsSock};
use crate::tls::InWords;

/// `R` is our role in TLS.
pub(super) enum Side<R> {
    Plain(Sock),
    Tls(Box<TlsSock<R>>),
    Stream(Box<StreamEnd>),
}

impl<R: Role> Side<R> {
    /// `None` = it is that of its connection.
    pub(super) fn sock(&self) -> Option<&Sock> {
        match self {
            Self::Plain(sock) => Some(sock),
            Self::Tls(tls) => Some(tls.sock()),
            Self::Stream(_) => None,
        }
    }

    pub(super) fn sock_mut(&mut self) -> Option<&mut Sock> {
        match self {
            Self::Plain(sock) => Some(sock),
            Self::Tls(tls) => Some(tls.sock_mut()),
            Self::Stream(_) => None,
        }
    }

    #[inline]
    pub(super) fn notice(&mut self, flags: EventFlags) {
        match self {
            Self::Plain(sock) => sock.notice(flags),
            Self::Tls(tls) => tls.notice(flags),
            Self::Stream(_) => {}
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        match self {
            Self::Plain(sock) => sock.is_readable(),
            Self::Tls(tls) => tls.is_readable(),
            Self::Stream(end) => end.is_readable(),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.sock().is_some_and(Sock::is_broken)
    }

    /// Nothing has come that is not read, nothing is held, and the other side has not ended.
    pub(super) fn is_quiet(&mut self, wire: &mut Wire) -> bool {
        match self {
            Self::Plain(sock) => sock.is_quiet(),
            Self::Tls(tls) => tls.is_quiet(wire),
            Self::Stream(end) => !end.is_readable(),
        }
    }

    #[inline]
    pub(super) fn recv(&mut self, buffer: &mut [u8], wire: &mut Wire) -> Io {
        match self {
            Self::Plain(sock) => sock.recv(buffer),
            Self::Tls(tls) => tls.read(buffer, wire),
            Self::Stream(end) => end.read(buffer, wire),
        }
    }

    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8], wire: &mut Wire) -> Io {
        match self {
            Self::Plain(sock) => sock.send(bytes),
            Self::Tls(tls) => tls.write(bytes, wire),
            Self::Stream(end) => end.write(bytes, wire),
        }
    }

    /// Both in one go. Of what is sealed the first takes the second's bytes in, so that they share records.
    #[inline]
    pub(super) fn send_two(&mut self, first: &mut Vec<u8>, second: &[u8], wire: &mut Wire) -> Io {
        match self {
            Self::Plain(sock) => sock.send_two(first, second),
            Self::Tls(tls) => {
                let length = first.len();
                first.extend_from_slice(second);
                let io = tls.write(first, wire);
                first.truncate(length);
                io
            }
            Self::Stream(end) => end.write_two(first, second),
        }
    }

    /// Sends what TLS holds: `None` = it holds nothing any more.
    pub(super) fn flush(&mut self) -> Option<Io> {
        match self {
            Self::Tls(tls) => tls.flush(),
            Self::Plain(_) | Self::Stream(_) => None,
        }
    }

    /// Reads what comes and looks at none of it.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> Io {
        match self {
            Self::Plain(sock) => sock.recv(scratch),
            Self::Tls(tls) => tls.discard(scratch),
            Self::Stream(_) => Io::End,
        }
    }

    /// The next event tells when reading may go on.
    #[inline]
    pub(super) fn wait_read(&mut self, epoll: &OwnedFd) {
        match self {
            Self::Plain(sock) => sock.wait_read(epoll),
            Self::Tls(tls) => tls.wait_read(epoll),
            Self::Stream(_) => {}
        }
    }

    /// The next event tells when writing (or reading) may go on.
    pub(super) fn wait_write(&mut self, epoll: &OwnedFd) {
        match self {
            Self::Plain(sock) => sock.wait_write(epoll),
            Self::Tls(tls) => tls.wait_write(epoll),
            Self::Stream(_) => {}
        }
    }

    pub(super) fn shutdown_write(&mut self) {
        match self {
            Self::Plain(sock) => sock.shutdown_write(),
            Self::Tls(tls) => tls.shutdown_write(),
            Self::Stream(_) => {}
        }
    }

    /// What was said is not whole, and nobody shall take it for that: in clear the connection is reset when it closes; TLS
    /// ends without a goodbye.
    pub(super) fn break_off(&mut self) {
        match self {
            Self::Plain(sock) => sock.reset_on_close(),
            Self::Tls(tls) => tls.break_off(),
            Self::Stream(_) => {}
        }
    }

    /// Whether it goes on, as far as that is known of a stream alone.
    pub(super) fn fate(&self) -> Fate {
        match self {
            Self::Plain(_) | Self::Tls(_) => Fate::Open,
            Self::Stream(end) => end.fate(),
        }
    }

    /// The last that is done with it, before its socket closes.
    pub(super) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }

    /// Why nothing goes on, for people.
    pub(super) fn trouble(&self) -> String {
        let why = match self {
            Self::Plain(_) | Self::Stream(_) => None,
            Self::Tls(tls) => tls.why().map(|error| format!("TLS: {}", InWords(error))),
        };
        why.unwrap_or_else(|| self.sock().and_then(Sock::error).unwrap_or(Errno::TIMEDOUT).to_string())
    }
}

impl Flow {
    /// What is held, to one side; `Done` = nothing is held any more.
    pub(super) fn flush_to<T: Role>(&mut self, to: &mut Side<T>, kit: &mut Kit, moved: &mut Moved) -> Pumped {
        let stopped = match to {
            Side::Plain(to) => self.flush(to, kit, moved, usize::MAX, u64::MAX),
            Side::Tls(to) => self.flush(&mut **to, kit, moved, usize::MAX, u64::MAX),
            Side::Stream(to) => self.flush(&mut **to, kit, moved, usize::MAX, u64::MAX),
        };
        stopped.unwrap_or(Pumped::Done)
    }

    /// From one side to the other.
    #[inline]
    pub(super) fn pump_across<F: Role, T: Role>(
        &mut self,
        from: &mut Side<F>,
        to: &mut Side<T>,
        kit: &mut Kit,
        moved: &mut Moved,
    ) -> Pumped {
        match (from, to) {
            (Side::Plain(from), Side::Plain(to)) => self.pump(from, to, kit, moved),
            (Side::Plain(from), Side::Tls(to)) => self.pump(from, &mut **to, kit, moved),
            (Side::Tls(from), Side::Plain(to)) => self.pump(&mut **from, to, kit, moved),
            (Side::Tls(from), Side::Tls(to)) => self.pump(&mut **from, &mut **to, kit, moved),
            (Side::Stream(from), Side::Plain(to)) => self.pump(&mut **from, to, kit, moved),
            (Side::Stream(from), Side::Tls(to)) => self.pump(&mut **from, &mut **to, kit, moved),
            (Side::Plain(from), Side::Stream(to)) => self.pump(from, &mut **to, kit, moved),
            (Side::Tls(from), Side::Stream(to)) => self.pump(&mut **from, &mut **to, kit, moved),
            (Side::Stream(from), Side::Stream(to)) => self.pump(&mut **from, &mut **to, kit, moved),
        }
    }
}
