//! The client's side of a session.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;

use super::side::Side;
use super::sock::Sock;
use super::tls::TlsSock;
use crate::tls::Seen;

/// We are the server.
pub(super) type Client = Side<UnbufferedServerConnection>;

impl Client {
    /// Nothing of the handshake is done yet; without a session (which the library makes of any configuration that was
    /// tried before) there will be none.
    pub(super) fn tls(fd: OwnedFd, token: u64, config: &Arc<ServerConfig>) -> Self {
        match UnbufferedServerConnection::new(Arc::clone(config)) {
            Ok(session) => Self::Tls(Box::new(TlsSock::new(Sock::new(fd, token), session))),
            Err(_) => Self::Plain(Sock::new(fd, token)),
        }
    }

    /// What requests are told of its TLS; `None` = it has none.
    pub(super) fn seen(&self) -> Option<Seen<'_>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls.seen()),
            Self::Stream(end) => end.seen(),
        }
    }

    /// The server's name it asked for.
    pub(super) fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.server_name(),
            Self::Stream(end) => end.server_name(),
        }
    }
}
