//! Messages on their way out, responses to a client and requests to a member: read as HTTP/1.1, which is what we write
//! inside, and taken apart into header blocks and content.

use std::mem::MaybeUninit;

use super::hpack::{encode_asked, encode_field, encode_status};
use crate::http1::{ADDED_HEADERS, Body, Framing, MAX_HEADERS, Response, Written};

/// Of what was sent, so much is kept before what is left is moved to the front, in bytes.
const SENT_KEPT: usize = 64 * 1024;

/// What a stream is to send, in this order.
#[derive(Debug)]
pub struct Outgoing {
    kind: Kind,
    stage: Stage,
    /// Header blocks, each with whether it is the last thing that is sent.
    blocks: Vec<(Vec<u8>, bool)>,
    content: Vec<u8>,
    /// So many bytes of `content` have gone.
    gone: usize,
    /// The lines after the last chunk; then the block made of them.
    trailers: Vec<u8>,
    /// The end was given to who sends.
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `to_head` = the request was HEAD.
    Response { to_head: bool },
    /// `trailers` = who asks wants what comes after the content, too.
    Request { trailers: bool },
}

#[derive(Debug)]
enum Stage {
    Head,
    Content(Body),
    Whole,
}

/// What we wrote is no message: cannot be, and breaks the stream off if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no message")]
pub struct Untranslatable;

impl Outgoing {
    /// A response; `to_head` = to a request that was HEAD.
    pub fn response(to_head: bool) -> Self {
        Self::new(Kind::Response { to_head })
    }

    /// A request; `trailers` = who asks wants what comes after the content of its response, too.
    pub fn request(trailers: bool) -> Self {
        Self::new(Kind::Request { trailers })
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            stage: Stage::Head,
            blocks: vec![],
            content: vec![],
            gone: 0,
            trailers: vec![],
            ended: false,
        }
    }

    /// Takes the next bytes of the message. They begin with a whole head, if they begin with one.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Untranslatable> {
        let mut rest = bytes;
        while let Stage::Head = self.stage {
            if rest.is_empty() {
                return Ok(());
            }
            rest = &rest[self.head(rest)?..];
        }
        if let Stage::Content(body) = &mut self.stage {
            let used = follow(body, rest, &mut self.content, &mut self.trailers)?;
            rest = &rest[used..];
            if body.is_done() {
                self.whole();
            }
        }
        // Nothing of ours comes after a message.
        if rest.is_empty() { Ok(()) } else { Err(Untranslatable) }
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        if let Stage::Content(_) = self.stage {
            self.whole();
        }
    }

    /// The whole message was written.
    pub fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole)
    }

    /// Bytes of content that wait.
    pub fn waiting(&self) -> usize {
        self.content.len() - self.gone
    }

    /// Nothing waits to be sent; what was not written yet may follow.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.waiting() == 0 && (self.ended || !self.is_whole())
    }

    /// The header blocks that come before all content: each with whether the stream ends with it.
    pub fn take_blocks(&mut self) -> Vec<(Vec<u8>, bool)> {
        let blocks = std::mem::take(&mut self.blocks);
        self.ended |= blocks.last().is_some_and(|&(_, end)| end);
        blocks
    }

    /// The content that waits, and whether the stream ends after it.
    pub fn content(&self) -> (&[u8], bool) {
        (&self.content[self.gone..], self.is_whole() && self.trailers.is_empty())
    }

    /// So much of [`Outgoing::content`] was sent; `end` = and so was the end.
    pub fn sent(&mut self, bytes: usize, end: bool) {
        self.gone += bytes;
        self.ended |= end;
        if self.gone == self.content.len() || self.gone > SENT_KEPT {
            self.content.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// The last header block, when all content has gone and there are trailers.
    pub fn take_trailers(&mut self) -> Option<Vec<u8>> {
        if !self.is_whole() || self.waiting() > 0 || self.trailers.is_empty() {
            return None;
        }
        self.ended = true;
        Some(std::mem::take(&mut self.trailers))
    }

    /// The end was sent.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Gives the memory of the content away.
    pub fn into_buffer(self) -> Vec<u8> {
        self.content
    }

    /// Reads a head at the start of `bytes`, and says how long it is.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Untranslatable> {
        match self.kind {
            Kind::Response { to_head } => self.answer(bytes, to_head),
            Kind::Request { trailers } => self.asked(bytes, trailers),
        }
    }

    fn asked(&mut self, bytes: &[u8], trailers: bool) -> Result<usize, Untranslatable> {
        let request = Written::read(bytes).ok_or(Untranslatable)?;
        let mut block = Vec::with_capacity(request.len);
        encode_asked(request.method, request.host, request.target, &mut block);
        request.fields().for_each(|(name, value)| encode_field(name, value, &mut block));
        if trailers {
            encode_field(b"te", b"trailers", &mut block);
        }
        self.headed(block, request.framing);
        Ok(request.len)
    }

    fn answer(&mut self, bytes: &[u8], to_head: bool) -> Result<usize, Untranslatable> {
        let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS + ADDED_HEADERS];
        let response = Response::read(bytes, &mut slots, to_head, false);
        let response = response.ok().flatten().ok_or(Untranslatable)?;
        if !response.only_chunked {
            // There is no saying that content is in another coding.
            return Err(Untranslatable);
        }
        let mut block = Vec::with_capacity(response.len);
        encode_status(response.status, &mut block);
        response.fields().for_each(|(name, value)| encode_field(name.as_bytes(), value, &mut block));
        if response.is_interim() {
            self.blocks.push((block, false));
            return Ok(response.len);
        }
        self.headed(block, response.framing);
        Ok(response.len)
    }

    /// The head is this, and content framed like that comes after it.
    fn headed(&mut self, block: Vec<u8>, framing: Framing) {
        let end = matches!(framing, Framing::None | Framing::Length(0));
        self.blocks.push((block, end));
        self.stage = if end { Stage::Whole } else { Stage::Content(Body::new(framing)) };
    }

    fn whole(&mut self) {
        self.stage = Stage::Whole;
        if !self.trailers.is_empty() {
            let mut block = vec![];
            let lines = self.trailers.split(|&b| b == b'\n');
            let fields = lines.filter_map(|line| {
                let colon = line.iter().position(|&b| b == b':')?;
                Some((&line[..colon], line[colon + 1..].trim_ascii()))
            });
            fields.for_each(|(name, value)| encode_field(name, value, &mut block));
            self.trailers = block;
        }
    }
}

/// Takes content out of its framing, and keeps the trailers. Says how many bytes are the body's.
fn follow(
    body: &mut Body,
    bytes: &[u8],
    content: &mut Vec<u8>,
    trailers: &mut Vec<u8>,
) -> Result<usize, Untranslatable> {
    let mut at = 0;
    while at < bytes.len() && !body.is_done() {
        let opaque = usize::try_from(body.opaque()).unwrap_or(usize::MAX).min(bytes.len() - at);
        if opaque > 0 {
            content.extend_from_slice(&bytes[at..at + opaque]);
            body.skip(opaque as u64);
            at += opaque;
            continue;
        }
        // What is around the chunks is short.
        body.advance(&bytes[at..=at]).map_err(|_| Untranslatable)?;
        if body.is_in_trailer() {
            trailers.push(bytes[at]);
        }
        at += 1;
    }
    Ok(at)
}
