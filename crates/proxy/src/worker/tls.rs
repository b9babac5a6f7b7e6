//! TLS over a socket: rustls without buffers of its own. Sealed bytes are read into the thread's memory and opened there,
//! and what is sealed is made there and sent at once; a connection owns bytes only while they are part of a record whose
//! rest has not come, or while the other side does not read.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::Error;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus, WriteTraffic};
use rustls_pki_types::CertificateDer;

use super::kit::{Pipe, Wire};
use super::sock::{Io, Sock};
use super::stream::Stream;
use crate::tls::{ClientCertificate, Seen, Visit};

/// What may be read beyond what is asked for: a record and what is around it.
const RECORD: usize = 17 * 1024;
/// Reads in a row that bring nothing but the wrapping, at most: records may be empty, but not for ever.
const IDLE_READS: u32 = 16;

/// Sealed bytes of the other side that a handshake may take.
const HANDSHAKE_MAX: usize = 256 << 10;

/// Which of the two that shake hands we are.
pub(super) trait Role {
    type Data;

    fn process<'c, 'i>(&'c mut self, sealed: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn is_handshaking(&self) -> bool;

    /// The library has something to say.
    fn wants_write(&self) -> bool;

    /// What came out of the handshake (RFC 7301).
    fn protocol(&self) -> Option<&[u8]>;
}

impl Role for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, sealed: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(sealed)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }

    fn protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol()
    }
}

impl Role for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, sealed: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(sealed)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }

    fn protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol()
    }
}

pub(super) struct TlsSock<R> {
    sock: Sock,
    session: R,
    /// The beginning of a record, or of a message of several.
    partial: Vec<u8>,
    /// Opened and not taken, from `taken` on.
    clear: Vec<u8>,
    taken: usize,
    /// Sealed and not sent, from `sent` on.
    sealed: Vec<u8>,
    sent: usize,
    /// The other side has said that nothing more comes.
    ended: bool,
    /// Nothing can be read or written any more.
    dead: bool,
    why: Option<Box<Error>>,
    /// What the handshake with a client has brought.
    visit: Visit,
    /// Sealed bytes that the handshake took.
    shaken: usize,
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

impl TlsSock<UnbufferedServerConnection> {
    /// The client's certificate, if it has shown one.
    pub(super) fn certificate(&self) -> Option<CertificateDer<'static>> {
        Some(self.session.peer_certificates()?.first()?.clone().into_owned())
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        let certificates = self.session.peer_certificates();
        Seen { certificate: certificates.and_then(|all| ClientCertificate::read(all.first()?)) }
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        self.visit.asked.as_deref()
    }

    /// As [`TlsSock::handshake`]; notes the name that the client asks for.
    pub(super) fn welcome(&mut self, wire: &mut Wire) -> Shake {
        std::mem::replace(&mut self.visit, Visit::new()).resume();
        let shake = self.handshake(wire);
        self.visit = Visit::pause();
        shake
    }
}

impl TlsSock<UnbufferedClientConnection> {
    /// What the library has to say first is held, and goes out with the first handshake.
    pub(super) fn greeting(sock: Sock, session: UnbufferedClientConnection) -> Self {
        let mut made = Self::new(sock, session);
        made.open(&mut [], |content| content);
        made
    }

    /// Sends bytes of what goes before TLS.
    pub(super) fn send_before(&mut self, bytes: &[u8]) -> Io {
        self.sock.send(bytes)
    }
}

impl<R: Role> TlsSock<R> {
    pub(super) fn new(sock: Sock, session: R) -> Self {
        Self {
            sock,
            session,
            partial: vec![],
            clear: vec![],
            taken: 0,
            sealed: vec![],
            sent: 0,
            ended: false,
            dead: false,
            why: None,
            visit: Visit::new(),
            shaken: 0,
            goodbye: false,
            shutting: false,
        }
    }

    pub(super) fn sock(&self) -> &Sock {
        &self.sock
    }

    pub(super) fn sock_mut(&mut self) -> &mut Sock {
        &mut self.sock
    }

    /// Whether this protocol came out of the handshake.
    pub(super) fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        self.session.protocol() == Some(protocol)
    }

    pub(super) fn notice(&mut self, flags: EventFlags) {
        self.sock.notice(flags);
    }

    /// Reading may yield something.
    pub(super) fn is_readable(&self) -> bool {
        self.taken < self.clear.len() || !self.ended && self.sock.is_readable()
    }

    /// What the library found wrong.
    pub(super) fn why(&self) -> Option<&Error> {
        self.why.as_deref()
    }

    /// Nothing has come that is not read, nothing is held, and the other side has not ended. What comes between two
    /// messages, such as tickets, is read.
    pub(super) fn is_quiet(&mut self, wire: &mut Wire) -> bool {
        if self.clear.is_empty() && !self.ended && !self.dead && self.sock.is_readable() {
            // Whatever became of it shows below.
            let _ = self.pull(&mut [], wire);
        }
        let holds = !(self.clear.is_empty() && self.partial.is_empty() && self.sealed.is_empty());
        !holds && !self.ended && !self.dead && self.sock.is_quiet()
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
            if self.shaken > HANDSHAKE_MAX {
                self.dead = true;
                return Shake::Refused;
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
        if self.session.is_handshaking() {
            self.shaken += read;
        }
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
        let _ = self.flush();
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
            let UnbufferedStatus { mut discard, state } = self.session.process(&mut input[used..]);
            let go_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = match record {
                            Ok(record) => record,
                            Err(error) => {
                                self.dead = true;
                                self.why = Some(Box::new(error));
                                break;
                            }
                        };
                        discard += record.discard;
                        let kept = take(record.payload);
                        if !kept.is_empty() {
                            self.clear.extend_from_slice(kept);
                        }
                    }
                    !self.dead
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
                // Early data is offered to nobody (`ServerConfig::max_early_data_size` is 0).
                Ok(_) => false,
                Err(error) => {
                    self.dead = true;
                    // What comes after the first is about the alert.
                    self.why.get_or_insert_with(|| Box::new(error));
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
    fn ready<T>(&mut self, act: impl FnOnce(&mut WriteTraffic<'_, R::Data>) -> Option<T>) -> Option<T> {
        let mut partial = std::mem::take(&mut self.partial);
        let used = self.open(&mut partial, |content| content);
        let mut done = None;
        if !self.dead {
            let UnbufferedStatus { state, .. } = self.session.process(&mut partial[used..]);
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

    /// What was said is not whole: it ends without a goodbye.
    pub(super) fn break_off(&mut self) {
        self.goodbye = true;
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

impl<R: Role> Stream for TlsSock<R> {
    const SPLICES: bool = false;

    fn read(&mut self, buffer: &mut [u8], wire: &mut Wire) -> Io {
        // Who takes nothing any more may have said why before.
        let _ = self.flush();
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use rustls::{ClientConfig, ServerConfig, ServerConnection};
    use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};

    use super::*;
    use crate::tls::AnyCertificate;

    /// A session with a member, and its other end.
    fn pair(wire: &mut Wire) -> (TlsSock<UnbufferedClientConnection>, ServerConnection, UnixStream) {
        let own = rcgen::generate_simple_self_signed(vec!["m.example".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![own.cert.der().clone()], key.into()).unwrap();
        let verifier = AnyCertificate::new(provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let config = Arc::new(config.with_no_client_auth());

        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let name = ServerName::try_from("m.example").unwrap();
        let session = UnbufferedClientConnection::new(config, name).unwrap();
        let mut near = TlsSock::greeting(Sock::new(near.into(), 1), session);
        let mut member = ServerConnection::new(Arc::new(server)).unwrap();
        while near.handshake(wire) != Shake::Done || member.is_handshaking() {
            // Nothing, as often as not.
            let _ = member.read_tls(&mut far);
            member.process_new_packets().unwrap();
            say(&mut member, &mut far);
            near.notice(EventFlags::IN | EventFlags::OUT);
        }
        (near, member, far)
    }

    fn say(member: &mut ServerConnection, far: &mut UnixStream) {
        while member.wants_write() {
            member.write_tls(far).unwrap();
        }
    }

    #[test]
    fn what_was_said_before_the_end_is_heard() {
        let mut wire = Wire::default();
        let (mut near, mut member, mut far) = pair(&mut wire);
        // More than the member takes; it answers, and is gone.
        while let Io::Bytes(_) = near.write(&[0; 50_000], &mut wire) {}
        member.writer().write_all(b"too much").unwrap();
        say(&mut member, &mut far);
        drop(far);
        near.notice(EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::HUP);
        assert!(matches!(near.write(b"x", &mut wire), Io::Failed(_)));
        let mut answer = [0; 100];
        assert_eq!(near.read(&mut answer, &mut wire), Io::Bytes(8));
        assert_eq!(&answer[..8], b"too much");
        assert!(matches!(near.read(&mut answer, &mut wire), Io::Failed(_)), "it has not said goodbye");
    }
}
