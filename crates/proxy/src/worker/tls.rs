//! TLS over a client's socket: rustls without buffers of its own. Sealed bytes are read into the thread's memory and
//! opened there, and what is sealed is made there and sent at once; a connection owns bytes only while they are part of
//! a record whose rest has not come, or while its client does not read.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus, WriteTraffic};

use super::kit::{Pipe, Wire};
use super::sock::{Io, Sock};
use super::stream::Stream;
use crate::tls::{ClientCertificate, Seen};

/// What may be read beyond what is asked for: a record and what is around it.
const RECORD: usize = 17 * 1024;
/// Reads in a row that bring nothing but the wrapping, at most: records may be empty, but not for ever.
const IDLE_READS: u32 = 16;

pub(super) struct TlsSock {
    sock: Sock,
    session: UnbufferedServerConnection,
    /// The beginning of a record, or of a message of several.
    partial: Vec<u8>,
    /// Opened and not taken, from `taken` on.
    clear: Vec<u8>,
    taken: usize,
    /// Sealed and not sent, from `sent` on.
    sealed: Vec<u8>,
    sent: usize,
    /// The client has said that nothing more comes.
    ended: bool,
    /// Nothing can be read or written any more.
    dead: bool,
    /// We have said that nothing more comes.
    goodbye: bool,
    /// The socket's stream ends once all is sent.
    shutting: bool,
}

/// How far a handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shake {
    Done,
    Wait,
    /// The other side does not speak TLS as we do, or shows no certificate it should; it has been told.
    Refused,
    /// The other side is gone.
    Gone,
}

impl TlsSock {
    pub(super) fn new(fd: OwnedFd, token: u64, session: UnbufferedServerConnection) -> Self {
        Self {
            sock: Sock::new(fd, token),
            session,
            partial: vec![],
            clear: vec![],
            taken: 0,
            sealed: vec![],
            sent: 0,
            ended: false,
            dead: false,
            goodbye: false,
            shutting: false,
        }
    }

    pub(super) fn sock(&self) -> &Sock {
        &self.sock
    }

    pub(super) fn notice(&mut self, flags: EventFlags) {
        self.sock.notice(flags);
    }

    /// Reading may yield something.
    pub(super) fn is_readable(&self) -> bool {
        self.taken < self.clear.len() || !self.ended && self.sock.is_readable()
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        let certificates = self.session.peer_certificates();
        Seen { certificate: certificates.and_then(|all| ClientCertificate::read(all.first()?)) }
    }

    /// Goes on with the handshake. What comes after it is kept for the first read.
    pub(super) fn handshake(&mut self, wire: &mut Wire) -> Shake {
        loop {
            match self.flush() {
                None | Some(Io::Blocked) => {}
                Some(_) => return Shake::Gone,
            }
            if !self.session.is_handshaking() {
                return Shake::Done;
            }
            match self.pull(&mut [], wire) {
                Ok(_) => {}
                Err(Io::Blocked) => return Shake::Wait,
                Err(_) if self.dead => return Shake::Refused,
                Err(_) => return Shake::Gone,
            }
        }
    }

    /// Reads once from the socket, and opens what came: into `out` first, what is more is kept. `Ok` = so many bytes are
    /// in `out`.
    fn pull(&mut self, out: &mut [u8], wire: &mut Wire) -> Result<usize, Io> {
        let held = self.partial.len();
        let input = wire.input();
        let end = (held + out.len() + RECORD).min(input.len());
        if held == end {
            // No message is as long as that.
            self.dead = true;
            return Err(Io::Failed(Errno::MSGSIZE));
        }
        let read = match self.sock.recv(&mut input[held..end]) {
            Io::Bytes(n) => n,
            // An end that the other side has not announced may be a cut.
            Io::End => return Err(Io::Failed(Errno::CONNRESET)),
            other => return Err(other),
        };
        input[..held].copy_from_slice(&self.partial);
        let mut filled = 0;
        let used = self.open(&mut input[..held + read], |content| {
            let fits = content.len().min(out.len() - filled);
            out[filled..filled + fits].copy_from_slice(&content[..fits]);
            filled += fits;
            &content[fits..]
        });
        let rest = &input[used.min(held + read)..held + read];
        if rest.is_empty() {
            self.partial = vec![];
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
        if let Some(Io::Failed(error)) = self.flush() {
            return Err(Io::Failed(error));
        }
        if self.dead && filled == 0 { Err(Io::Failed(Errno::PROTO)) } else { Ok(filled) }
    }

    /// Opens records until one is not whole: `take` gets their content, and returns what of it shall be kept. What the
    /// library wants to say goes to the sealed bytes. Answers how many bytes were used.
    fn open(&mut self, input: &mut [u8], mut take: impl for<'r> FnMut(&'r [u8]) -> &'r [u8]) -> usize {
        let mut used = 0;
        loop {
            // After an error there may be an alert to send; what led to it must not be looked at again.
            if self.dead && !self.session.wants_write() {
                return used;
            }
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut input[used..]);
            let go_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let Ok(record) = record else {
                            self.dead = true;
                            break;
                        };
                        discard += record.discard;
                        let kept = take(record.payload);
                        if !kept.is_empty() {
                            self.clear.extend_from_slice(kept);
                        }
                    }
                    !self.dead
                }
                // Offered to nobody (`ServerConfig::max_early_data_size` is 0).
                Ok(ConnectionState::ReadEarlyData(mut early)) => {
                    while early.next_record().is_some() {}
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    let at = self.sealed.len();
                    if let Err(EncodeError::InsufficientSize(size)) = message.encode(&mut []) {
                        self.sealed.resize(at + size.required_size, 0);
                        let encoded = message.encode(&mut self.sealed[at..]).unwrap_or(0);
                        self.sealed.truncate(at + encoded);
                    }
                    true
                }
                // It is held, and goes out before anything else does.
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    transmit.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    true
                }
                Ok(_) => false,
                Err(_) => {
                    self.dead = true;
                    true
                }
            };
            used += discard;
            if !go_on {
                return used;
            }
        }
    }

    /// Seals `bytes`, at most as many as [`Wire::CONTENT`], and sends them.
    fn put(&mut self, bytes: &[u8], wire: &mut Wire) -> Io {
        match self.flush() {
            None => {}
            Some(other) => return other,
        }
        if !self.sock.is_writable() {
            return Io::Blocked;
        }
        if self.dead || self.goodbye {
            return Io::Failed(Errno::PIPE);
        }
        let bytes = &bytes[..bytes.len().min(Wire::CONTENT)];
        let sealed = self.ready(|traffic| traffic.encrypt(bytes, wire.output()).ok());
        let Some(length) = sealed else {
            self.dead = true;
            return Io::Failed(Errno::PROTO);
        };
        let output = &wire.output()[..length];
        if !self.sealed.is_empty() {
            self.sealed.extend_from_slice(output);
            return match self.flush() {
                Some(Io::Failed(error)) => Io::Failed(error),
                _ => Io::Bytes(bytes.len()),
            };
        }
        let sent = match self.sock.send(output) {
            Io::Bytes(n) => n,
            Io::Blocked => 0,
            other => return other,
        };
        if sent < length {
            self.sealed.extend_from_slice(&output[sent..]);
        }
        Io::Bytes(bytes.len())
    }

    /// Says that nothing more comes from us; what is held goes out before.
    fn say_goodbye(&mut self) {
        if self.goodbye || self.dead || self.session.is_handshaking() {
            return;
        }
        self.goodbye = true;
        let mut alert = [0; 64];
        let length = self.ready(|traffic| traffic.queue_close_notify(&mut alert).ok()).unwrap_or(0);
        self.sealed.extend_from_slice(&alert[..length]);
    }

    /// Does something that the library does only after all it has to say itself, such as a change of keys it was asked
    /// for. `None` = it cannot be done any more.
    ///
    /// What is here of a message that is not whole is shown to the library each time: it remembers where it was.
    fn ready<T>(
        &mut self,
        act: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> Option<T>,
    ) -> Option<T> {
        let mut partial = std::mem::take(&mut self.partial);
        let used = self.open(&mut partial, |content| content);
        let mut done = None;
        if !self.dead {
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut partial[used..]);
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
                done = act(&mut traffic);
            }
        }
        partial.drain(..used);
        self.partial = partial;
        done
    }

    /// Ends our stream, once all that is held is sent.
    pub(super) fn shutdown_write(&mut self) {
        self.say_goodbye();
        self.shutting = true;
        // Whatever became of it: there is nothing else to say.
        let _ = self.flush();
    }

    /// The last that is done with it.
    pub(super) fn close(&mut self) {
        self.say_goodbye();
        let _ = self.flush();
    }

    /// Reads what comes and looks at none of it.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> Io {
        match self.flush() {
            Some(Io::Failed(error)) => Io::Failed(error),
            _ => self.sock.recv(scratch),
        }
    }

    /// What is held wants to go out, whatever else is awaited.
    pub(super) fn wait_read(&mut self, epoll: &OwnedFd) {
        if self.sealed.is_empty() { self.sock.wait_read(epoll) } else { self.sock.wait_write(epoll) }
    }

    pub(super) fn wait_write(&mut self, epoll: &OwnedFd) {
        self.sock.wait_write(epoll);
    }
}

impl Stream for TlsSock {
    const SPLICES: bool = false;

    fn read(&mut self, buffer: &mut [u8], wire: &mut Wire) -> Io {
        if let Some(Io::Failed(error)) = self.flush() {
            return Io::Failed(error);
        }
        for _ in 0..IDLE_READS {
            let left = &self.clear[self.taken..];
            if !left.is_empty() {
                let n = left.len().min(buffer.len());
                buffer[..n].copy_from_slice(&left[..n]);
                self.taken += n;
                if self.taken == self.clear.len() {
                    (self.clear, self.taken) = (vec![], 0);
                }
                return Io::Bytes(n);
            }
            if self.ended {
                return Io::End;
            }
            if self.dead {
                return Io::Failed(Errno::PROTO);
            }
            match self.pull(buffer, wire) {
                Ok(0) => {}
                Ok(n) => return Io::Bytes(n),
                Err(io) => return io,
            }
        }
        self.dead = true;
        Io::Failed(Errno::PROTO)
    }

    fn write(&mut self, bytes: &[u8], wire: &mut Wire) -> Io {
        self.put(bytes, wire)
    }

    fn flush(&mut self) -> Option<Io> {
        while self.sent < self.sealed.len() {
            match self.sock.send(&self.sealed[self.sent..]) {
                Io::Bytes(n) => self.sent += n,
                other => return Some(other),
            }
        }
        if self.sealed.capacity() > 0 {
            (self.sealed, self.sent) = (vec![], 0);
        }
        if std::mem::take(&mut self.shutting) {
            self.sock.shutdown_write();
        }
        None
    }

    fn splice_in(&mut self, _: &mut Pipe, _: usize) -> Io {
        Io::Failed(Errno::INVAL)
    }

    fn splice_out(&mut self, _: &mut Pipe, _: usize) -> Io {
        Io::Failed(Errno::INVAL)
    }
}
