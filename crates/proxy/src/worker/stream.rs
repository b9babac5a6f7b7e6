//! What a flow moves bytes between: a socket, or TLS over one.

use super::kit::{Pipe, Wire};
use super::sock::{Io, Sock};

/// One side of a flow. What is plain is spliced where that pays; what is sealed passes through our memory.
pub(super) trait Stream {
    /// The kernel can move its content without showing it to us.
    const SPLICES: bool;

    fn read(&mut self, buffer: &mut [u8], wire: &mut Wire) -> Io;

    /// `Bytes` = so many were taken; the stream may hold some of them yet.
    fn write(&mut self, bytes: &[u8], wire: &mut Wire) -> Io;

    /// Sends what is held: `None` = nothing is held any more.
    fn flush(&mut self) -> Option<Io>;

    /// How much it is worth reading for it now, in bytes; more than none.
    #[inline]
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Into a pipe that is empty.
    fn splice_in(&mut self, pipe: &mut Pipe, length: usize) -> Io;

    /// At most `length` bytes of what is in a pipe.
    fn splice_out(&mut self, pipe: &mut Pipe, length: usize) -> Io;
}

impl Stream for Sock {
    const SPLICES: bool = true;

    #[inline]
    fn read(&mut self, buffer: &mut [u8], _: &mut Wire) -> Io {
        self.recv(buffer)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8], _: &mut Wire) -> Io {
        self.send(bytes)
    }

    #[inline]
    fn flush(&mut self) -> Option<Io> {
        None
    }

    #[inline]
    fn splice_in(&mut self, pipe: &mut Pipe, length: usize) -> Io {
        self.splice_in(pipe, length)
    }

    #[inline]
    fn splice_out(&mut self, pipe: &mut Pipe, length: usize) -> Io {
        self.splice_out(pipe, length)
    }
}
