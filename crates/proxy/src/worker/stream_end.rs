//! A stream of an HTTP/2 connection, as its session sees it: a client that sends one request of HTTP/1.1 and reads its
//! response. What goes in and out of it is moved by `mux`.

use std::sync::Arc;

use rustix::io::Errno;
use rustls_pki_types::CertificateDer;

use super::kit::{Kit, Pipe, Wire};
use super::sock::Io;
use super::stream::Stream;
use crate::http2::{self, Head, Outgoing, Trailers};
use crate::tls::{ClientCertificate, Seen};

/// Of content, so much is always worth reading when none waits, in bytes: a member whose answer is short is soon done
/// with it, whatever its client does.
const LEAST: usize = 4 * 1024;

/// Of what was read, so much is kept before what is left is moved to the front, in bytes.
const READ_KEPT: usize = 32 * 1024;

/// What a connection's TLS tells requests.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    /// The client's.
    pub(super) certificate: Option<Arc<CertificateDer<'static>>>,
    /// The server's name it asked for.
    pub(super) name: Option<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct StreamEnd {
    /// What came of the request and is not read, from `read` on.
    incoming: Vec<u8>,
    read: usize,
    /// The content is framed in chunks.
    chunked: bool,
    /// Content after that, which is in no chunk yet: what waits becomes one, however many frames it came in.
    loose: Vec<u8>,
    /// All of the request is here.
    ended: bool,
    /// Content that came, and that the client was not told to be read.
    unread: usize,
    pub(super) outgoing: Outgoing,
    /// How much content may be sent now.
    credit: usize,
    /// More was not taken because of that.
    blocked: bool,
    /// `None` = the connection is in clear.
    proof: Option<Proof>,
}

impl StreamEnd {
    /// `buffer` is an empty one; `end` = there is no content.
    pub(super) fn new(head: &Head<'_>, end: bool, buffer: Vec<u8>, proof: Option<Proof>) -> Self {
        let mut incoming = buffer;
        let chunked = head.write(end, &mut incoming);
        Self {
            incoming,
            read: 0,
            chunked,
            loose: vec![],
            ended: end,
            unread: 0,
            outgoing: Outgoing::new(head.method == b"HEAD"),
            credit: 0,
            blocked: false,
            proof,
        }
    }

    /// Takes content in; `end` = the last.
    pub(super) fn push(&mut self, content: &[u8], end: bool) {
        self.unread += content.len();
        if self.read > READ_KEPT {
            self.incoming.drain(..self.read);
            self.read = 0;
        }
        if self.chunked && self.is_readable() {
            self.loose.extend_from_slice(content);
        } else if self.chunked {
            http2::write_chunk(content, &mut self.incoming);
        } else {
            self.incoming.extend_from_slice(content);
        }
        if end {
            self.end(None);
        }
    }

    /// Nothing comes after what is here, but for these. Where the length of the content was said there is no place for
    /// them.
    pub(super) fn end(&mut self, trailers: Option<&Trailers<'_>>) {
        self.ended = true;
        self.frame();
        if self.chunked {
            self.incoming.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                trailers.write(&mut self.incoming);
            }
            self.incoming.extend_from_slice(b"\r\n");
        }
    }

    /// Puts what is loose into a chunk.
    fn frame(&mut self) {
        http2::write_chunk(&self.loose, &mut self.incoming);
        self.loose.clear();
    }

    /// How much content was read since this was asked last.
    pub(super) fn take_read(&mut self) -> u32 {
        let left = (self.incoming.len() - self.read + self.loose.len()).min(self.unread);
        let read = self.unread - left;
        self.unread = left;
        // No more than fits into a window.
        read as u32
    }

    pub(super) fn allow(&mut self, credit: usize) {
        self.credit = credit;
    }

    /// Whether it waited for its client since this was asked last.
    pub(super) fn take_blocked(&mut self) -> bool {
        std::mem::take(&mut self.blocked)
    }

    pub(super) fn is_readable(&self) -> bool {
        self.read < self.incoming.len() || !self.loose.is_empty()
    }

    pub(super) fn seen(&self) -> Option<Seen<'_>> {
        let proof = self.proof.as_ref()?;
        let certificate = proof.certificate.as_ref();
        Some(Seen { certificate: certificate.and_then(|der| ClientCertificate::read(der)) })
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        self.proof.as_ref()?.name.as_deref()
    }

    /// Takes both.
    pub(super) fn write_two(&mut self, first: &[u8], second: &[u8]) -> Io {
        match self.put(first) {
            Io::Bytes(_) => {}
            other => return other,
        }
        match self.put(second) {
            Io::Bytes(n) => Io::Bytes(first.len() + n),
            other => other,
        }
    }

    /// Gives its memory back.
    pub(super) fn recycle(self, kit: &mut Kit) {
        kit.buffer_put(self.incoming);
        kit.buffer_put(self.loose);
        kit.buffer_put(self.outgoing.into_buffer());
    }

    /// All is taken: how much is written is decided when it is read.
    fn put(&mut self, bytes: &[u8]) -> Io {
        match self.outgoing.write(bytes) {
            Ok(()) => Io::Bytes(bytes.len()),
            Err(_) => Io::Failed(Errno::PROTO),
        }
    }
}

impl Stream for StreamEnd {
    const SPLICES: bool = false;

    fn read(&mut self, buffer: &mut [u8], _: &mut Wire) -> Io {
        if self.read == self.incoming.len() {
            self.frame();
        }
        let left = &self.incoming[self.read..];
        if left.is_empty() {
            // One request is all there is.
            return if self.ended || self.outgoing.is_whole() { Io::End } else { Io::Blocked };
        }
        let n = left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.read += n;
        if self.read == self.incoming.len() {
            self.incoming.clear();
            self.read = 0;
        }
        Io::Bytes(n)
    }

    fn write(&mut self, bytes: &[u8], _: &mut Wire) -> Io {
        self.put(bytes)
    }

    fn flush(&mut self) -> Option<Io> {
        let waiting = self.outgoing.waiting();
        if waiting == 0 || waiting < self.credit || self.outgoing.is_whole() {
            return None;
        }
        self.blocked = true;
        Some(Io::Blocked)
    }

    fn room(&self) -> usize {
        self.credit.saturating_sub(self.outgoing.waiting()).max(LEAST)
    }

    fn splice_in(&mut self, _: &mut Pipe, _: usize) -> Io {
        Io::Failed(Errno::INVAL)
    }

    fn splice_out(&mut self, _: &mut Pipe, _: usize) -> Io {
        Io::Failed(Errno::INVAL)
    }
}
