//! The client's end of a session: a plain socket, or TLS over one.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;

use super::flow::{Flow, Moved, Pumped};
use super::kit::{Kit, Wire};
use super::sock::{Io, Sock};
use super::stream::Stream;
use super::tls::TlsSock;
use crate::tls::Seen;

pub(super) enum Client {
    Plain(Sock),
    Tls(Box<TlsSock>),
}

impl Client {
    /// Nothing of the handshake is done yet; without a session (which the library makes of any configuration that was
    /// tried before) there will be none.
    pub(super) fn tls(fd: OwnedFd, token: u64, config: &Arc<ServerConfig>) -> Self {
        match UnbufferedServerConnection::new(Arc::clone(config)) {
            Ok(session) => Self::Tls(Box::new(TlsSock::new(fd, token, session))),
            Err(_) => Self::Plain(Sock::new(fd, token)),
        }
    }

    #[inline]
    pub(super) fn notice(&mut self, flags: EventFlags) {
        match self {
            Self::Plain(sock) => sock.notice(flags),
            Self::Tls(tls) => tls.notice(flags),
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        match self {
            Self::Plain(sock) => sock.is_readable(),
            Self::Tls(tls) => tls.is_readable(),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Plain(sock) => sock.is_broken(),
            Self::Tls(tls) => tls.sock().is_broken(),
        }
    }

    /// What requests are told of its TLS; `None` = it has none.
    pub(super) fn seen(&self) -> Option<Seen<'_>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls.seen()),
        }
    }

    #[inline]
    pub(super) fn recv(&mut self, buffer: &mut [u8], wire: &mut Wire) -> Io {
        match self {
            Self::Plain(sock) => sock.recv(buffer),
            Self::Tls(tls) => tls.read(buffer, wire),
        }
    }

    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8], wire: &mut Wire) -> Io {
        match self {
            Self::Plain(sock) => sock.send(bytes),
            Self::Tls(tls) => tls.write(bytes, wire),
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
        }
    }

    /// Reads what comes and looks at none of it.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> Io {
        match self {
            Self::Plain(sock) => sock.recv(scratch),
            Self::Tls(tls) => tls.discard(scratch),
        }
    }

    /// The next event tells when reading may go on.
    #[inline]
    pub(super) fn wait_read(&mut self, epoll: &OwnedFd) {
        match self {
            Self::Plain(sock) => sock.wait_read(epoll),
            Self::Tls(tls) => tls.wait_read(epoll),
        }
    }

    /// The next event tells when writing (or reading) may go on.
    pub(super) fn wait_write(&mut self, epoll: &OwnedFd) {
        match self {
            Self::Plain(sock) => sock.wait_write(epoll),
            Self::Tls(tls) => tls.wait_write(epoll),
        }
    }

    pub(super) fn shutdown_write(&mut self) {
        match self {
            Self::Plain(sock) => sock.shutdown_write(),
            Self::Tls(tls) => tls.shutdown_write(),
        }
    }

    /// The last that is done with it, before its socket closes.
    pub(super) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }
}

impl Flow {
    /// From the client to a member.
    #[inline]
    pub(super) fn pump_up(
        &mut self,
        from: &mut Client,
        to: &mut Sock,
        kit: &mut Kit,
        moved: &mut Moved,
    ) -> Pumped {
        match from {
            Client::Plain(sock) => self.pump(sock, to, kit, moved),
            Client::Tls(tls) => self.pump(&mut **tls, to, kit, moved),
        }
    }

    /// From a member to the client.
    #[inline]
    pub(super) fn pump_down(
        &mut self,
        from: &mut Sock,
        to: &mut Client,
        kit: &mut Kit,
        moved: &mut Moved,
    ) -> Pumped {
        match to {
            Client::Plain(sock) => self.pump(from, sock, kit, moved),
            Client::Tls(tls) => self.pump(from, &mut **tls, kit, moved),
        }
    }
}
