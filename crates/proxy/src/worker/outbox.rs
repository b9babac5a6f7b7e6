//! Frames on their way into a socket.

use super::kit::Wire;
use super::side::Side;
use super::sock::Io;
use super::tls::Role;

/// Frames that wait for the other side, in bytes: with more, no stream sends content.
pub(super) const BACKLOG: usize = 128 * 1024;
/// With more of them, no frames are read that might want to be answered.
pub(super) const FULL: usize = BACKLOG + 64 * 1024;
/// A buffer that grew beyond is given back to the allocator, in bytes.
const KEPT: usize = 4 * 1024;

/// What became of the frames that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    All,
    Blocked,
    Gone,
}

/// How far the output of a connection is sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// So much of it.
    sent: usize,
    /// TLS holds some of it that the socket has not taken.
    held: bool,
}

impl Outbox {
    /// Bytes that wait, of `output` in all.
    pub(super) fn backlog(&self, output: usize) -> usize {
        output - self.sent
    }

    /// The socket has all of it.
    pub(super) fn is_sent(&self, output: usize) -> bool {
        self.backlog(output) == 0 && !self.held
    }

    pub(super) fn flush<R: Role>(
        &mut self,
        output: &mut Vec<u8>,
        side: &mut Side<R>,
        wire: &mut Wire,
    ) -> Flushed {
        while self.sent < output.len() {
            match side.send(&output[self.sent..], wire) {
                Io::Bytes(n) => self.sent += n,
                Io::Blocked => {
                    if self.sent > BACKLOG / 2 {
                        output.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Flushed::Blocked;
                }
                Io::End | Io::Failed(_) => return Flushed::Gone,
            }
        }
        output.clear();
        if output.capacity() > KEPT {
            *output = vec![];
        }
        self.sent = 0;
        let held = side.flush();
        self.held = held.is_some();
        match held {
            None => Flushed::All,
            Some(Io::Blocked) => Flushed::Blocked,
            Some(_) => Flushed::Gone,
        }
    }
}
