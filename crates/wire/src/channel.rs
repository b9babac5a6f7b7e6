//! Frames with file descriptors over a Unix stream socket: both ends of agent ↔ proxy.
//!
//! A frame is a 4-byte big-endian length and that many bytes of JSON. Descriptors travel as `SCM_RIGHTS` with the
//! first bytes of their frame, at most [`FDS_PER_MESSAGE`] with each byte, so they are never later than the frame
//! itself; the receiver queues them, and each message says how many of them are its own. Works alike on blocking
//! and non-blocking sockets.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest frame, in bytes: an amphora of 10,000 members takes a quarter of it.
pub const MAX_FRAME: usize = 16 << 20;
/// The most descriptors that may wait for their frame: 64 listeners on 4 addresses with 16 threads.
pub const MAX_FDS: usize = 4096;
/// The kernel takes 253 a message.
const FDS_PER_MESSAGE: usize = 128;
const READ_SIZE: usize = 16 << 10;

#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("a frame of {0} bytes, more than {MAX_FRAME}")]
    TooLarge(usize),
    #[error("not a message of this version: {0}")]
    Content(#[from] serde_json::Error),
    #[error("{0} file descriptors were promised, {1} came")]
    MissingFds(usize, usize),
    #[error("more than {MAX_FDS} file descriptors, or more than this process may hold")]
    TooManyFds,
    #[error("closed in the middle of a frame")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The receiving side: bytes and descriptors in, messages out.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// Where in `bytes` the next frame starts.
    start: usize,
    fds: VecDeque<OwnedFd>,
}

impl FrameReader {
    /// Reads once; `false` = the peer closed. An error of kind `WouldBlock` = nothing there now.
    pub fn fill(&mut self, socket: impl AsFd) -> Result<bool, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_MESSAGE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut chunk = [0; READ_SIZE];
        let received =
            recvmsg(socket, &mut [IoSliceMut::new(&mut chunk)], &mut control, RecvFlags::CMSG_CLOEXEC)
                .map_err(io::Error::from)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if self.fds.len() > MAX_FDS || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ChannelError::TooManyFds);
        }
        if received.bytes == 0 {
            return if self.bytes.len() > self.start { Err(ChannelError::Truncated) } else { Ok(false) };
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(&chunk[..received.bytes]);
        Ok(true)
    }

    /// The next whole message, if it is here.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChannelError> {
        let pending = &self.bytes[self.start..];
        let Some((header, body)) = pending.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(ChannelError::TooLarge(length));
        }
        let Some(body) = body.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.start += 4 + length;
        if self.start == self.bytes.len() {
            self.bytes = Vec::new();
            self.start = 0;
        }
        Ok(Some(message))
    }

    /// The descriptors that belong to the message just taken.
    pub fn take_fds(&mut self, count: usize) -> Result<Vec<OwnedFd>, ChannelError> {
        if count > self.fds.len() {
            return Err(ChannelError::MissingFds(count, self.fds.len()));
        }
        Ok(self.fds.drain(..count).collect())
    }
}

/// One frame on its way out.
#[derive(Debug)]
pub struct FrameWriter<F> {
    bytes: Vec<u8>,
    sent: usize,
    fds: VecDeque<F>,
}

impl<F: AsFd> FrameWriter<F> {
    pub fn new<T: Serialize>(message: &T, fds: impl IntoIterator<Item = F>) -> Result<Self, ChannelError> {
        let mut bytes = vec![0; 4];
        serde_json::to_writer(&mut bytes, message)?;
        let length = bytes.len() - 4;
        if length > MAX_FRAME {
            return Err(ChannelError::TooLarge(length));
        }
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        let fds: VecDeque<F> = fds.into_iter().collect();
        if fds.len() > MAX_FDS {
            return Err(ChannelError::TooManyFds);
        }
        Ok(Self { bytes, sent: 0, fds })
    }

    /// Writes until all is sent; an error of kind `WouldBlock` = call again when the socket is writable.
    pub fn flush(&mut self, socket: impl AsFd) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            self.sent += self.write_once(socket.as_fd())?;
        }
        Ok(())
    }

    fn write_once(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let pending = &self.bytes[self.sent..];
        let now = self.fds.len().min(FDS_PER_MESSAGE);
        // While more descriptors are to come, each portion rides with one byte of its own.
        let bytes = if now < self.fds.len() { &pending[..1] } else { pending };
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().take(now).map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_MESSAGE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        self.fds.drain(..now);
        Ok(sent)
    }
}

/// A name for a Unix socket that fits into an address, which takes 108 bytes: a long path goes through an open
/// descriptor of its directory.
#[derive(Debug)]
pub struct SocketPath {
    short: PathBuf,
    _directory: Option<OwnedFd>,
}

impl SocketPath {
    const LONGEST: usize = 107;

    pub fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= Self::LONGEST {
            return Ok(Self { short: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty())?;
        let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { short, _directory: Some(directory) })
    }

    /// Good as long as `self` lives.
    pub fn as_path(&self) -> &Path {
        &self.short
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        (a, b)
    }

    fn receive(reader: &mut FrameReader, socket: &UnixStream) -> Option<Vec<u32>> {
        loop {
            if let Some(message) = reader.message().unwrap() {
                return Some(message);
            }
            match reader.fill(socket) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        for counts in [vec![0], vec![1, 0, 2], vec![128], vec![129, 1], vec![0, 300, 0, 5]] {
            let (a, b) = pair();
            b.set_nonblocking(false).unwrap();
            let null = std::fs::File::open("/dev/null").unwrap();
            let sender = std::thread::spawn({
                let counts = counts.clone();
                move || {
                    for (i, &count) in counts.iter().enumerate() {
                        let message = vec![u32::try_from(i).unwrap(); 100 + 20_000 * i];
                        FrameWriter::new(&message, std::iter::repeat_n(&null, count))
                            .unwrap()
                            .flush(&a)
                            .unwrap();
                    }
                }
            });
            let mut reader = FrameReader::default();
            for (i, &count) in counts.iter().enumerate() {
                assert_eq!(receive(&mut reader, &b).unwrap()[0], u32::try_from(i).unwrap());
                assert_eq!(reader.take_fds(count).unwrap().len(), count);
            }
            sender.join().unwrap();
            assert_eq!(receive(&mut reader, &b), None);
            assert!(matches!(reader.take_fds(1), Err(ChannelError::MissingFds(1, 0))));
        }
    }

    #[test]
    fn long_paths_are_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        for depth in [0, 10] {
            let parent = (0..depth).fold(dir.path().to_owned(), |path, _| path.join("a-rather-long-name"));
            std::fs::create_dir_all(&parent).unwrap();
            let path = SocketPath::new(&parent.join("x.sock")).unwrap();
            let listener = std::os::unix::net::UnixListener::bind(path.as_path()).unwrap();
            let path = SocketPath::new(&parent.join("x.sock")).unwrap();
            UnixStream::connect(path.as_path()).unwrap();
            listener.accept().unwrap();
        }
    }

    #[test]
    fn hostile_frames_are_refused() {
        let check = |bytes: &[u8], expected: &str| {
            let (mut a, b) = pair();
            a.write_all(bytes).unwrap();
            drop(a);
            let mut reader = FrameReader::default();
            let error = loop {
                match reader.message::<Vec<u32>>() {
                    Ok(Some(_)) => continue,
                    Ok(None) => {}
                    Err(error) => break error.to_string(),
                }
                match reader.fill(&b) {
                    Ok(true) => {}
                    Ok(false) => break "closed".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(expected), "{bytes:?}: {error}");
        };
        check(b"", "closed");
        check(b"\0\0\0\x02[]", "closed");
        check(b"\0\0", "in the middle");
        check(b"\0\0\0\x02[", "in the middle");
        check(b"\0\0\0\x02{}", "not a message");
        check(b"\0\0\0\0", "not a message");
        check(b"\x01\0\0\x01", "more than");
        check(b"\xff\xff\xff\xff", "more than");
    }
}
