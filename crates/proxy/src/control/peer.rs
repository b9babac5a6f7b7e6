//! The agent's end of the line, seen from the proxy: commands in, events out, never waiting for it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use octavia_wire::channel::{ChannelError, FrameReader, FrameWriter};
use octavia_wire::{ProxyCommand, ProxyEvent};

/// Events that may wait for an agent that does not read.
const MAX_WAITING: usize = 64;

#[derive(Debug)]
pub(super) struct Peer {
    stream: UnixStream,
    reader: FrameReader,
    waiting: VecDeque<FrameWriter<Arc<OwnedFd>>>,
}

impl Peer {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, reader: FrameReader::default(), waiting: VecDeque::new() })
    }

    /// The next command, with the descriptors it brought; `Ok(None)` = not here yet.
    pub(super) fn receive(&mut self) -> Result<Option<(ProxyCommand, Vec<OwnedFd>)>, ChannelError> {
        loop {
            if let Some(command) = self.reader.message::<ProxyCommand>()? {
                let count = match &command {
                    ProxyCommand::Configure { sockets, logs, .. } => sockets.len() + logs.len(),
                    _ => 0,
                };
                let fds = self.reader.take_fds(count)?;
                return Ok(Some((command, fds)));
            }
            match self.reader.fill(&self.stream) {
                Ok(true) => {}
                Ok(false) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn send(&mut self, event: &ProxyEvent, fds: Vec<Arc<OwnedFd>>) -> Result<(), ChannelError> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(io::Error::other("the agent does not read").into());
        }
        self.waiting.push_back(FrameWriter::new(event, fds)?);
        self.flush()
    }

    /// Sends what waits, as far as the agent takes it.
    pub(super) fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(writer) = self.waiting.front_mut() {
            match writer.flush(&self.stream) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Something waits to be sent.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
