//! What all connections of a thread share to move bytes: the epoll instance, scratch memory, pooled buffers and
//! pipes. A connection holds none of it while it is idle.

use std::os::fd::OwnedFd;

use crate::sys;

/// Bytes read at once by copying.
pub(super) const SCRATCH: usize = 64 * 1024;
/// Bytes of content sealed at once: full records, written together.
const BULK: usize = 128 * 1024;
/// Buffers and pipes kept for the next connection that needs one, at most.
const POOLED: usize = 64;
/// A buffer that grew beyond is given back to the allocator, in bytes.
const MAX_POOLED_BUFFER: usize = 64 * 1024;

pub(super) struct Kit {
    pub(super) epoll: OwnedFd,
    /// Where bytes are read to; nobody's between two steps.
    pub(super) scratch: Box<[u8]>,
    /// The same for what is sealed or opened; empty until there is something.
    pub(super) bulk: Box<[u8]>,
    pub(super) wire: Wire,
    buffers: Vec<Vec<u8>>,
    pipes: Vec<Pipe>,
    /// So many more may be made.
    pipes_left: usize,
}

/// Where sealed bytes are between a socket and what is made of them; nobody's between two steps.
#[derive(Default)]
pub(super) struct Wire {
    input: Box<[u8]>,
    output: Box<[u8]>,
}

impl Wire {
    /// Bytes of content that fit into the output when they are sealed.
    pub(super) const CONTENT: usize = BULK;
    /// Room for content with what is around its records (at most 29 bytes each), and for a message of a handshake
    /// (64 KiB at most) with the record after it.
    const SIZE: usize = BULK + 32 * 1024;

    pub(super) fn input(&mut self) -> &mut [u8] {
        Self::made(&mut self.input)
    }

    pub(super) fn output(&mut self) -> &mut [u8] {
        Self::made(&mut self.output)
    }

    fn made(buffer: &mut Box<[u8]>) -> &mut [u8] {
        if buffer.is_empty() {
            *buffer = vec![0; Self::SIZE].into();
        }
        buffer
    }
}

/// A pipe to splice through.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    /// Bytes in it now.
    pub(super) held: usize,
}

impl Kit {
    pub(super) fn new(epoll: OwnedFd, pipes: usize) -> Self {
        Self {
            epoll,
            scratch: vec![0; SCRATCH].into(),
            bulk: Box::default(),
            wire: Wire::default(),
            buffers: vec![],
            pipes: vec![],
            pipes_left: pipes,
        }
    }

    /// Where a flow reads to, which is `large` where what it moves is sealed.
    #[inline]
    pub(super) fn copying(&mut self, large: bool) -> (&mut [u8], &mut Wire) {
        if !large {
            return (&mut self.scratch, &mut self.wire);
        }
        if self.bulk.is_empty() {
            self.bulk = vec![0; BULK].into();
        }
        (&mut self.bulk, &mut self.wire)
    }

    /// An empty buffer.
    #[inline]
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    #[inline]
    pub(super) fn buffer_put(&mut self, mut buffer: Vec<u8>) {
        if (1..=MAX_POOLED_BUFFER).contains(&buffer.capacity()) && self.buffers.len() < POOLED {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// An empty pipe; `None` when there is none left.
    pub(super) fn pipe(&mut self) -> Option<Pipe> {
        self.pipes.pop().or_else(|| {
            let left = self.pipes_left.checked_sub(1)?;
            let (read, write) = sys::pipe().ok()?;
            self.pipes_left = left;
            Some(Pipe { read, write, held: 0 })
        })
    }

    /// Takes a pipe back; one with bytes in it is closed.
    pub(super) fn pipe_put(&mut self, pipe: Pipe) {
        if pipe.held == 0 && self.pipes.len() < POOLED {
            self.pipes.push(pipe);
        } else {
            self.pipes_left += 1;
        }
    }
}
