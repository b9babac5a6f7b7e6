//! What lines are written to. Everything here may wait, but not for ever: who has them written wants to end one day.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use octavia_model::AmphoraId;
use octavia_wire::LogTarget;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::syslog::Header;
use crate::sys;

/// Bytes written at once, at most.
const PIECE: usize = 64 * 1024;
/// How long one step may wait: for room, or for a daemon elsewhere.
const ROOM_MS: i64 = 100;
const REMOTE: Duration = Duration::from_secs(3);

/// What became of lines. Bytes are used up to the end of a line, except by what is a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) used: usize,
    /// Lines.
    pub(super) written: u64,
    pub(super) lost: u64,
    /// Why it does not go on for a while.
    pub(super) trouble: Option<io::Error>,
}

impl Progress {
    fn stuck(error: impl Into<io::Error>) -> Self {
        Self { trouble: Some(error.into()), ..Self::default() }
    }
}

#[derive(Debug)]
pub(super) enum Sink {
    /// A file; `None` = it is not open.
    Bytes(Option<OwnedFd>),
    Stdout(io::Stdout),
    Daemon {
        socket: Option<OwnedFd>,
        header: Header,
        message: Vec<u8>,
    },
    Remote(Remote),
}

impl Sink {
    pub(super) fn new(target: &LogTarget, amphora: AmphoraId) -> Self {
        let header = |facility: &u8| Header::new(*facility, amphora, std::process::id());
        match target {
            LogTarget::File(_) => Self::Bytes(None),
            LogTarget::Stdout => Self::Stdout(io::stdout()),
            LogTarget::Daemon { facility, .. } => {
                Self::Daemon { socket: None, header: header(facility), message: vec![] }
            }
            LogTarget::Remote { addresses, tcp, facility, retry } => Self::Remote(Remote {
                addresses: addresses.iter().map(|&address| Address { address, rests_until: None }).collect(),
                tcp: *tcp,
                retry: Duration::from_secs((*retry).into()),
                header: header(facility),
                message: vec![],
                connection: None,
            }),
        }
    }

    /// Writes to this from now on.
    pub(super) fn open(&mut self, fd: OwnedFd) {
        match self {
            Self::Bytes(open) | Self::Daemon { socket: open, .. } => *open = Some(fd),
            Self::Stdout(_) | Self::Remote(_) => {}
        }
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> Progress {
        match self {
            Self::Bytes(None) | Self::Daemon { socket: None, .. } => Progress::stuck(Errno::NOTCONN),
            Self::Bytes(Some(fd)) => write_bytes(fd.as_fd(), lines),
            Self::Stdout(stdout) => write_bytes(stdout.as_fd(), lines),
            Self::Daemon { socket: Some(socket), header, message } => {
                send_datagram(socket.as_fd(), header, first_line(lines), message)
            }
            Self::Remote(remote) => remote.write(lines),
        }
    }
}

fn write_bytes(fd: BorrowedFd<'_>, lines: &[u8]) -> Progress {
    match rustix::io::write(fd, &lines[..lines.len().min(PIECE)]) {
        Ok(used) => Progress { used, written: count(&lines[..used]), ..Progress::default() },
        Err(Errno::AGAIN) => wait(fd),
        Err(Errno::INTR) => Progress::default(),
        Err(error) => Progress::stuck(error),
    }
}

/// One line, its end included, as a datagram.
fn send_datagram(fd: BorrowedFd<'_>, header: &Header, line: &[u8], message: &mut Vec<u8>) -> Progress {
    message.clear();
    header.write(sys::wall(), message);
    message.extend_from_slice(line.trim_ascii_end());
    match sys::send(fd, message) {
        Ok(_) => Progress { used: line.len(), written: 1, ..Progress::default() },
        Err(Errno::AGAIN | Errno::NOBUFS) => wait(fd),
        // It will not be shorter the next time.
        Err(Errno::MSGSIZE) => Progress { used: line.len(), lost: 1, ..Progress::default() },
        Err(error) => Progress::stuck(error),
    }
}

/// A moment, or until there is room.
fn wait(fd: BorrowedFd<'_>) -> Progress {
    let moment = Timespec { tv_sec: 0, tv_nsec: ROOM_MS * 1_000_000 };
    // Whatever comes of it: the next try tells.
    let _ = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&moment));
    Progress::default()
}

fn first_line(lines: &[u8]) -> &[u8] {
    let length = lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |end| end + 1);
    &lines[..length]
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// A daemon elsewhere, at the first of its addresses that has not failed just now.
#[derive(Debug)]
pub(super) struct Remote {
    addresses: Vec<Address>,
    tcp: bool,
    retry: Duration,
    header: Header,
    message: Vec<u8>,
    /// And to which address.
    connection: Option<(usize, Connection)>,
}

#[derive(Debug)]
struct Address {
    address: SocketAddr,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
enum Connection {
    Datagrams(OwnedFd),
    Stream(TcpStream),
}

impl Remote {
    fn write(&mut self, lines: &[u8]) -> Progress {
        let now = Instant::now();
        let fit = |address: &Address| address.rests_until.is_none_or(|until| until <= now);
        let Some(place) = self.addresses.iter().position(fit) else {
            return Progress::stuck(Errno::CONNREFUSED);
        };
        let progress = match self.connected(place) {
            Ok((Connection::Datagrams(socket), header, message)) => {
                send_datagram(socket.as_fd(), header, first_line(lines), message)
            }
            Ok((Connection::Stream(stream), header, message)) => {
                match send_stream(stream, header, lines, message) {
                    Ok(progress) => progress,
                    Err(error) => Progress::stuck(error),
                }
            }
            Err(error) => Progress::stuck(error),
        };
        if progress.trouble.is_some() {
            self.connection = None;
            self.addresses[place].rests_until = Some(Instant::now() + self.retry);
        }
        progress
    }

    /// The connection to an address, and what it takes to write to it.
    fn connected(&mut self, place: usize) -> io::Result<(&mut Connection, &Header, &mut Vec<u8>)> {
        if self.connection.as_ref().is_none_or(|(other, _)| *other != place) {
            let address = self.addresses[place].address;
            let connection = if self.tcp {
                let stream = TcpStream::connect_timeout(&address, REMOTE)?;
                stream.set_write_timeout(Some(REMOTE))?;
                Connection::Stream(stream)
            } else {
                Connection::Datagrams(sys::connect_datagram(address)?)
            };
            self.connection = Some((place, connection));
        }
        match &mut self.connection {
            Some((_, connection)) => Ok((connection, &self.header, &mut self.message)),
            None => Err(Errno::NOTCONN.into()),
        }
    }
}

/// As many lines as fit into a piece, at least one, an end of line after each (RFC 6587 §3.4.2). When a connection breaks,
/// some may have arrived, and come again.
fn send_stream(
    stream: &mut TcpStream,
    header: &Header,
    lines: &[u8],
    message: &mut Vec<u8>,
) -> io::Result<Progress> {
    // Nothing is said there: an end would be seen by writing twice, and the first would be lost.
    match sys::peek(stream.as_fd()) {
        Err(Errno::AGAIN) => {}
        Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    message.clear();
    let (mut used, mut written) = (0, 0);
    while used < lines.len() && message.len() < PIECE {
        let line = first_line(&lines[used..]);
        header.write(sys::wall(), message);
        message.extend_from_slice(line.trim_ascii_end());
        message.push(b'\n');
        used += line.len();
        written += 1;
    }
    stream.write_all(message)?;
    Ok(Progress { used, written, ..Progress::default() })
}
