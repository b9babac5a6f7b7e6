//! Stage *handshake*: agrees with the client on keys, and finds out who it is if the listener wants to know.

use super::client::Client;
use super::session::{Next, Session, Stage};
use super::thread::Thread;
use super::tls::Shake;

/// How long a handshake may take, in milliseconds: with a client less if the listener waits less for its bytes, with a
/// member as long as making the connection may, if that has a limit.
pub(super) const HANDSHAKE_MS: u32 = 10_000;

impl Session {
    pub(super) fn handshake(&mut self, t: &mut Thread) -> Next {
        let Client::Tls(tls) = &mut self.client else { return Next::Close };
        match tls.welcome(&mut t.kit.wire) {
            Shake::Done => {
                self.head_timed = false;
                if tls.has_agreed_on(b"h2") {
                    return self.multiplex_begin(t, vec![]);
                }
                self.stage = Stage::Head;
                Next::Go
            }
            Shake::Wait => {
                self.client.wait_read(&t.kit.epoll);
                // Set once: dribbling does not put it off.
                if !self.head_timed {
                    self.head_timed = true;
                    let limit = self.listener.timeouts.client_data.unwrap_or(HANDSHAKE_MS);
                    self.arm(t, Some(limit.min(HANDSHAKE_MS)));
                }
                Next::Wait
            }
            Shake::Refused => {
                self.counters(t).request_errors.add(1);
                // So that it gets to read why.
                self.say_goodbye(t)
            }
            Shake::Gone => Next::Close,
        }
    }
}
