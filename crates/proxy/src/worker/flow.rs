//! One direction of a connection: bytes from a source to a sink, as far as the message goes.
//!
//! Small pieces are copied through the thread's scratch memory. Content that is known to be large goes through a
//! pipe by `splice`, and never enters the process.

use super::kit::{Kit, Pipe};
use super::sock::Io;
use super::stream::Stream;
use crate::http1::Body;
use crate::sys::PIPE_SIZE;

/// Content of at least this many bytes is spliced.
const SPLICE_MIN: u64 = 32 * 1024;
/// A read of this many bytes says that a stream of unknown length is a large one.
const BULK_READ: usize = 16 * 1024;
/// A spliced read below says that a stream of unknown length is not a large one any more.
const SPLICE_TRICKLE: usize = 4 * 1024;
/// Bytes moved before other connections get their turn.
const TURN: usize = 1 << 20;
/// What goes out in one packet on any interface. On a connection that the kernel paces, each further packet of a write
/// costs a timer, which is dearer than all the rest: such a connection gets one at a time, others in between.
const PACKET: usize = 60 * 1024;
/// Bytes after which a paced connection has found its pace: until then it takes what it gets.
const WARM_UP: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) body: Body,
    /// Take the content out of its chunks.
    pub(super) unchunk: bool,
    /// Bytes read beyond the end of the message.
    pub(super) excess: Vec<u8>,
    /// Bytes the sink did not take yet, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
    pipe: Option<Pipe>,
    /// A stream of unknown length that fills its reads.
    bulk: bool,
    /// The source has ended.
    ended: bool,
    /// Bytes written so far.
    written: u64,
    /// Bytes that the sink's connection holds back, to leave with what is written next.
    ahead: usize,
    pace: Pace,
}

/// How the sink's connection sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    AsItCan,
    /// Paced by the kernel, and new.
    New,
    /// Paced by the kernel.
    Found,
}

/// Why a flow stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// All of the message has gone to the sink.
    Done,
    /// Waits for the source.
    Source,
    /// Waits for the sink.
    Sink,
    /// Could go on, but others want to, too.
    Again,
    /// The source ended before the message did.
    Truncated,
    SourceFailed,
    SinkFailed,
    Malformed,
}

/// Bytes that went in and out of a flow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Moved {
    pub(super) fn is_some(self) -> bool {
        self.read > 0 || self.written > 0
    }
}

impl Flow {
    pub(super) fn new(body: Body, pace: Pace) -> Self {
        Self {
            body,
            unchunk: false,
            excess: vec![],
            pending: vec![],
            sent: 0,
            pipe: None,
            bulk: false,
            ended: false,
            written: 0,
            ahead: 0,
            pace,
        }
    }

    /// The whole message has gone to the sink.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        (self.ended || self.body.is_done()) && self.is_flushed()
    }

    /// Nothing is held that the sink has not got.
    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.sent == self.pending.len() && self.pipe.as_ref().is_none_or(|pipe| pipe.held == 0)
    }

    /// Puts a filled buffer in line for the sink, of which `sent` bytes have gone already. The bytes have been
    /// accounted for in the body.
    pub(super) fn push(&mut self, buffer: Vec<u8>, sent: usize, kit: &mut Kit) {
        if self.sent == self.pending.len() {
            kit.buffer_put(std::mem::replace(&mut self.pending, buffer));
            self.sent = sent;
        } else {
            self.pending.extend_from_slice(&buffer[sent..]);
            kit.buffer_put(buffer);
        }
    }

    /// So many bytes were sent before what [`fill`](Self::fill) took, and wait for it.
    pub(super) fn sent_ahead(&mut self, bytes: usize) {
        self.ahead = bytes;
    }

    /// The source will say nothing more.
    pub(super) fn source_ended(&mut self) {
        self.ended = true;
    }

    /// Moves what can be moved now.
    pub(super) fn pump<F: Stream, T: Stream>(
        &mut self,
        from: &mut F,
        to: &mut T,
        kit: &mut Kit,
        moved: &mut Moved,
    ) -> Pumped {
        let before = moved.written;
        let pumped = self.pump_turn(from, to, kit, moved);
        self.written += moved.written - before;
        pumped
    }

    fn pump_turn<F: Stream, T: Stream>(
        &mut self,
        from: &mut F,
        to: &mut T,
        kit: &mut Kit,
        moved: &mut Moved,
    ) -> Pumped {
        let paced = match self.pace {
            Pace::AsItCan => false,
            Pace::New => self.written >= WARM_UP,
            Pace::Found => true,
        };
        let packet = PACKET.saturating_sub(std::mem::take(&mut self.ahead)).max(PACKET / 4);
        let (piece, turn) = if paced { (packet, packet) } else { (usize::MAX, TURN) };
        let end = moved.written + turn as u64;
        loop {
            if let Some(stop) = self.flush(to, kit, moved, piece, end) {
                return stop;
            }
            if self.ended || self.body.is_done() {
                return Pumped::Done;
            }
            if moved.written >= end {
                return Pumped::Again;
            }
            if let Some(stop) = self.take(from, to, kit, moved, turn) {
                return stop;
            }
        }
    }

    /// Takes what is there of large content, before the head has gone out, so that they leave together. `true` = there
    /// is some, and the next [`pump`](Self::pump) sends it.
    pub(super) fn fill<F: Stream>(&mut self, from: &mut F, kit: &mut Kit, moved: &mut Moved) -> bool {
        if !(self.is_flushed() && self.is_large()) {
            return false;
        }
        self.pipe = self.pipe.take().or_else(|| kit.pipe());
        // What is wrong with the source shows again when nothing is left in the pipe.
        self.pipe.is_some() && self.take_spliced(from, kit, moved).is_none() && !self.is_flushed()
    }

    /// Gives held resources back to the thread.
    pub(super) fn recycle(&mut self, kit: &mut Kit) {
        kit.buffer_put(std::mem::take(&mut self.pending));
        kit.buffer_put(std::mem::take(&mut self.excess));
        self.sent = 0;
        if let Some(pipe) = self.pipe.take() {
            kit.pipe_put(pipe);
        }
    }

    /// Writes what is held; out of a pipe in pieces, as long as less than `end` is written.
    #[inline]
    pub(super) fn flush<T: Stream>(
        &mut self,
        to: &mut T,
        kit: &mut Kit,
        moved: &mut Moved,
        piece: usize,
        end: u64,
    ) -> Option<Pumped> {
        while self.sent < self.pending.len() {
            match to.write(&self.pending[self.sent..], &mut kit.wire) {
                Io::Bytes(n) => {
                    self.sent += n;
                    moved.written += n as u64;
                }
                Io::Blocked => return Some(Pumped::Sink),
                Io::End | Io::Failed(_) => return Some(Pumped::SinkFailed),
            }
        }
        if self.pending.capacity() > 0 {
            kit.buffer_put(std::mem::take(&mut self.pending));
            self.sent = 0;
        }
        if let Some(pipe) = &mut self.pipe {
            while pipe.held > 0 {
                if moved.written >= end {
                    return Some(Pumped::Again);
                }
                match to.splice_out(pipe, piece) {
                    Io::Bytes(n) => moved.written += n as u64,
                    Io::Blocked => return Some(Pumped::Sink),
                    Io::End | Io::Failed(_) => return Some(Pumped::SinkFailed),
                }
            }
        }
        match to.flush() {
            None => None,
            Some(Io::Blocked) => Some(Pumped::Sink),
            Some(_) => Some(Pumped::SinkFailed),
        }
    }

    /// Reads once, and writes at once what was copied; of what is sealed no more than `most`.
    #[inline]
    fn take<F: Stream, T: Stream>(
        &mut self,
        from: &mut F,
        to: &mut T,
        kit: &mut Kit,
        moved: &mut Moved,
        most: usize,
    ) -> Option<Pumped> {
        let opaque = self.body.opaque();
        let sealed = !(F::SPLICES && T::SPLICES);
        if !sealed && self.is_large() {
            self.pipe = self.pipe.take().or_else(|| kit.pipe());
            // Without a pipe to be had, large content is copied, too.
            if self.pipe.is_some() {
                return self.take_spliced(from, kit, moved);
            }
        }
        // What is not chunked must not be read beyond its end: the rest stays in the socket.
        let known = opaque > 0 && opaque != u64::MAX && !self.unchunk;
        let limit = if known { usize::try_from(opaque).unwrap_or(usize::MAX) } else { usize::MAX };
        let limit = if sealed { limit.min(most) } else { limit };
        let limit = limit.min(to.room());
        let (buffer, wire) = kit.copying(sealed);
        let limit = limit.min(buffer.len());
        let n = match from.read(&mut buffer[..limit], wire) {
            Io::Bytes(n) => n,
            other => return self.stopped(other),
        };
        moved.read += n as u64;
        self.bulk = opaque == u64::MAX && n >= BULK_READ;
        if self.unchunk {
            let mut content = kit.buffer();
            let (buffer, _) = kit.copying(sealed);
            let Ok(used) = self.body.decode(&buffer[..n], &mut content) else {
                return Some(Pumped::Malformed);
            };
            self.excess.extend_from_slice(&buffer[used..n]);
            self.push(content, 0, kit);
            return None;
        }
        let Ok(used) = self.body.advance(&buffer[..n]) else { return Some(Pumped::Malformed) };
        self.excess.extend_from_slice(&buffer[used..n]);
        let (sent, failed) = match to.write(&buffer[..used], wire) {
            Io::Bytes(sent) => (sent, false),
            Io::Blocked => (0, false),
            Io::End | Io::Failed(_) => (0, true),
        };
        moved.written += sent as u64;
        if sent < used {
            let mut rest = kit.buffer();
            rest.extend_from_slice(&kit.copying(sealed).0[sent..used]);
            self.push(rest, 0, kit);
        }
        // What did not go out is held all the same: a message that was not delivered is not done.
        failed.then_some(Pumped::SinkFailed)
    }

    /// Whether the next bytes are worth a pipe.
    #[inline]
    pub(super) fn is_large(&self) -> bool {
        match self.body.opaque() {
            0 => false,
            _ if self.unchunk => false,
            u64::MAX => self.bulk,
            // The rest of what began in a pipe goes through it, too.
            opaque => opaque >= SPLICE_MIN || self.pipe.is_some() && !self.body.is_chunked(),
        }
    }

    fn take_spliced<F: Stream>(&mut self, from: &mut F, kit: &mut Kit, moved: &mut Moved) -> Option<Pumped> {
        let pipe = self.pipe.as_mut()?;
        let length = self.body.opaque().min(PIPE_SIZE as u64) as usize;
        match from.splice_in(pipe, length) {
            Io::Bytes(n) => {
                moved.read += n as u64;
                self.body.skip(n as u64);
                self.bulk = n >= SPLICE_TRICKLE;
                None
            }
            other => {
                if let Some(pipe) = self.pipe.take() {
                    kit.pipe_put(pipe);
                }
                self.stopped(other)
            }
        }
    }

    fn stopped(&mut self, by: Io) -> Option<Pumped> {
        match by {
            Io::Bytes(_) => None,
            Io::Blocked => Some(Pumped::Source),
            Io::End if self.body.ends_with_connection() => {
                self.ended = true;
                None
            }
            Io::End => Some(Pumped::Truncated),
            Io::Failed(_) => Some(Pumped::SourceFailed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::http1::Framing;
    use crate::sys;
    use crate::worker::sock::Sock;

    #[test]
    fn a_message_whose_sink_failed_is_not_done() {
        let mut kit = Kit::new(sys::epoll().unwrap(), 0);
        let (mut client, from) = UnixStream::pair().unwrap();
        let (to, gone) = UnixStream::pair().unwrap();
        drop(gone);
        client.write_all(b"2\r\nhi\r\n0\r\n\r\nGET / HT").unwrap();
        let (mut from, mut to) = (Sock::new(from.into(), 1), Sock::new(to.into(), 2));
        let mut flow = Flow::new(Body::new(Framing::Chunked), Pace::AsItCan);
        assert_eq!(flow.pump(&mut from, &mut to, &mut kit, &mut Moved::default()), Pumped::SinkFailed);
        assert!(
            !flow.is_done(),
            "or what came after it would be taken for a new request, without its beginning"
        );
    }
}
