//! A stream of an HTTP/2 connection, as its session sees it: a client that sends one request of HTTP/1.1 and reads its
//! response, or a member that does the reverse. What goes in and out of it is moved by `mux`, or by `trunk`.

use std::sync::Arc;

use rustix::io::Errno;
use rustls_pki_types::CertificateDer;

use super::kit::{Kit, Pipe, Wire};
use super::sock::Io;
use super::stream::Stream;
use crate::http2::{self, Answer, Head, Outgoing, Trailers};
use crate::slab::Key;
use crate::tls::{ClientCertificate, Seen};

/// Of content, so much is always worth reading when none waits, in bytes: who has little to say is soon done with it,
/// whatever the other side does.
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

/// A stream of ours on a connection to a member.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) trunk: Key,
    /// `None` = it is not begun.
    pub(super) id: Option<u32>,
    pub(super) to_head: bool,
    pub(super) fate: Fate,
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// Nothing more comes, nor is anything taken.
    Gone,
    /// So it is, and the member has done nothing with it: it took no more of them.
    Refused,
    /// The same, since it takes none on this connection any more.
    Left,
}

#[derive(Debug)]
enum Whose {
    /// `None` = the connection is in clear.
    Client(Option<Proof>),
    Member(Leg),
}

#[derive(Debug)]
pub(super) struct StreamEnd {
    /// What came of the message and is not read, from `read` on.
    incoming: Vec<u8>,
    read: usize,
    /// The content is framed in chunks.
    chunked: bool,
    /// Content after that, which is in no chunk yet: what waits becomes one, however many frames it came in.
    loose: Vec<u8>,
    /// All of the message is here.
    ended: bool,
    /// Content that came, and that the other side was not told to be read.
    unread: usize,
    pub(super) outgoing: Outgoing,
    /// How much content may be sent now.
    credit: usize,
    /// More was not taken because of that.
    blocked: bool,
    whose: Whose,
}

impl StreamEnd {
    /// A client's; `buffer` is an empty one; `end` = there is no content.
    pub(super) fn of_client(head: &Head<'_>, end: bool, buffer: Vec<u8>, proof: Option<Proof>) -> Self {
        let mut incoming = buffer;
        let chunked = head.write(end, &mut incoming);
        let outgoing = Outgoing::response(head.method == b"HEAD");
        Self { chunked, ended: end, ..Self::new(incoming, outgoing, Whose::Client(proof)) }
    }

    /// A member's, which `trunk` leads to; `buffer` is an empty one, `trailers` = they are wanted.
    pub(super) fn of_member(trunk: Key, to_head: bool, trailers: bool, buffer: Vec<u8>) -> Self {
        let leg = Leg { trunk, id: None, to_head, fate: Fate::Open };
        Self::new(buffer, Outgoing::request(trailers), Whose::Member(leg))
    }

    fn new(incoming: Vec<u8>, outgoing: Outgoing, whose: Whose) -> Self {
        Self {
            incoming,
            read: 0,
            chunked: false,
            loose: vec![],
            ended: false,
            unread: 0,
            outgoing,
            credit: 0,
            blocked: false,
            whose,
        }
    }

    /// Where it is, if it is a member's.
    pub(super) fn leg(&mut self) -> Option<&mut Leg> {
        match &mut self.whose {
            Whose::Client(_) => None,
            Whose::Member(leg) => Some(leg),
        }
    }

    pub(super) fn fate(&self) -> Fate {
        match &self.whose {
            Whose::Client(_) => Fate::Open,
            Whose::Member(leg) => leg.fate,
        }
    }

    /// It does not go on; what is known of why already stays. What it said to its end is heard all the same.
    pub(super) fn fail(&mut self, with: Fate) {
        if let Whose::Member(leg) = &mut self.whose
            && leg.fate == Fate::Open
        {
            leg.fate = with;
        }
    }

    /// Takes the head of a member's response, or of an interim one; `end` = nothing comes after it.
    pub(super) fn head(&mut self, answer: &Answer<'_>, end: bool) {
        let to_head = self.leg().is_some_and(|leg| leg.to_head);
        self.chunked = answer.write(end, to_head, &mut self.incoming);
        self.ended = end;
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

    /// Whether it waited for the other side since this was asked last.
    pub(super) fn take_blocked(&mut self) -> bool {
        std::mem::take(&mut self.blocked)
    }

    pub(super) fn is_readable(&self) -> bool {
        self.read < self.incoming.len() || !self.loose.is_empty()
    }

    fn proof(&self) -> Option<&Proof> {
        match &self.whose {
            Whose::Client(proof) => proof.as_ref(),
            Whose::Member(_) => None,
        }
    }

    pub(super) fn seen(&self) -> Option<Seen<'_>> {
        let proof = self.proof()?;
        let certificate = proof.certificate.as_ref();
        Some(Seen { certificate: certificate.and_then(|der| ClientCertificate::read(der)) })
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        self.proof()?.name.as_deref()
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
        if self.fate() != Fate::Open {
            return Io::Failed(Errno::PIPE);
        }
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
            let over = match &self.whose {
                // One request is all there is.
                Whose::Client(_) => self.ended || self.outgoing.is_whole(),
                Whose::Member(leg) if !self.ended && leg.fate != Fate::Open => {
                    return Io::Failed(Errno::CONNRESET);
                }
                Whose::Member(_) => self.ended,
            };
            return if over { Io::End } else { Io::Blocked };
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
