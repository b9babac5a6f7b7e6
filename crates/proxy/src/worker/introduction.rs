//! Stage *introduction*: a proxy that the listener believes says whose connection it is, before anything else (PROXY
//! protocol). Nothing after that is read: it may be TLS, or a stream that nobody looks at.

use super::handshake::HANDSHAKE_MS;
use super::session::{Next, Session};
use super::sock::Io;
use super::thread::Thread;
use crate::proxy_protocol::{HEADER_MAX, read};

impl Session {
    pub(super) fn introduction(&mut self, t: &mut Thread) -> Next {
        let Some(sock) = self.client.sock_mut() else { return Next::Close };
        let scratch = &mut t.kit.scratch[..HEADER_MAX];
        let seen = match sock.peek(scratch) {
            Io::Bytes(n) => &scratch[..n],
            Io::Blocked => &[],
            Io::End | Io::Failed(_) => return Next::Close,
        };
        match read(seen) {
            Ok(Some(introduced)) => {
                // It is all there.
                if sock.recv(&mut scratch[..introduced.length]) != Io::Bytes(introduced.length) {
                    return Next::Close;
                }
                self.introduced(t, introduced.addresses)
            }
            Ok(None) if sock.has_hung_up() => Next::Close,
            Ok(None) => {
                sock.wait_more(&t.kit.epoll);
                // Set once: dribbling does not put it off.
                if !std::mem::replace(&mut self.head_timed, true) {
                    let limit = self.listener.timeouts.client_data.unwrap_or(HANDSHAKE_MS);
                    self.arm(t, Some(limit.min(HANDSHAKE_MS)));
                }
                Next::Wait
            }
            Err(error) => {
                tracing::debug!(proxy = %self.peer, %error, "a connection ends");
                self.not_introduced(t)
            }
        }
    }

    fn introduced(
        &mut self,
        t: &mut Thread,
        addresses: Option<(std::net::SocketAddr, std::net::SocketAddr)>,
    ) -> Next {
        if let Some((client, local)) = addresses {
            self.peer = std::net::SocketAddr::new(client.ip().to_canonical(), client.port());
            self.local = local;
        }
        if !self.listener.admits(self.peer.ip()) {
            self.counters(t).denied_connections.add(1);
            return Next::Close;
        }
        self.head_timed = false;
        self.arm(t, None);
        self.stage = Self::first_stage(&self.listener);
        Next::Go
    }

    /// It has not said who it is, or not in time.
    pub(super) fn not_introduced(&mut self, t: &mut Thread) -> Next {
        self.counters(t).request_errors.add(1);
        Next::Close
    }
}
