//! The client's side of a connection, which is ours towards a member: streams are begun, and what comes is what they
//! are answered with.

use super::frame::{self, Kind, setting};
use super::link::{Aim, Frame, Heard, Link, Opening, Whole};
use super::peer::FIRST_WINDOW;
use super::{Answer, Code, Fault, Fields, MAX_LIST, MEMBER_STREAMS, MEMBER_WINDOW, PREFACE, Trailers};

/// The highest id a stream may have (§5.1.1).
const LAST_ID: u32 = 0x7fff_ffff;
/// What the heads of one response may add up to, interim ones and trailers included, in bytes as they count for
/// [`MAX_LIST`].
const MAX_HEADS: usize = 2 * MAX_LIST;

/// What a member says.
#[derive(Debug)]
pub enum Reply<'a> {
    /// The head of a response, or of an interim one; `end` = nothing comes after it.
    Head { stream: u32, answer: Answer<'a>, end: bool },
    /// The next bytes of the content, which are to be told of with [`Outbound::consumed`] when they were read; `end` =
    /// the last. They may be none.
    Content { stream: u32, content: &'a [u8], end: bool },
    /// What comes after the content, at its end.
    Trailers { stream: u32, trailers: Trailers<'a> },
    /// The stream is gone: nothing more comes, nor is anything taken. `refused` = the member has done nothing with it.
    Gone { stream: u32, refused: bool },
    /// Streams above this one are gone, and nothing was done with them; there will be no new ones.
    Leaves { last: u32 },
}

/// What became of some bytes.
#[derive(Debug)]
pub struct Replied<'a> {
    /// So many of them are done with; 0 = more are needed.
    pub used: usize,
    pub reply: Option<Reply<'a>>,
}

/// The client's side of a connection.
#[derive(Debug)]
pub struct Outbound {
    link: Link,
    /// What belongs to each stream besides.
    calls: super::ById<Call>,
    /// No new streams are begun.
    leaving: bool,
}

#[derive(Debug)]
struct Call {
    to_head: bool,
    /// What its heads came to so far.
    heads: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbound {
    /// The preface and our settings are in its output. All streams together may have what each of them may: none waits
    /// for who reads another.
    pub fn new() -> Self {
        let all = MEMBER_STREAMS as u32 * MEMBER_WINDOW;
        let mut link = Link::new(true, all);
        link.out.extend_from_slice(PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, MEMBER_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, MAX_LIST as u32),
        ];
        frame::write_settings(&settings, &mut link.out);
        frame::write_window_update(0, all - FIRST_WINDOW as u32, &mut link.out);
        Self { link, calls: super::ById::default(), leaving: false }
    }

    /// Takes the next frame at the start of `bytes`. After a fault, which the member is told of, nothing more is taken.
    /// `fields` is where headers are put; `now` is in milliseconds.
    pub fn receive<'a>(
        &mut self,
        bytes: &'a [u8],
        fields: &'a mut Fields,
        now: u64,
    ) -> Result<Replied<'a>, Fault> {
        let result = self.take(bytes, fields, now);
        if let Err(fault) = &result {
            self.link.fail(*fault);
        }
        result
    }

    fn take<'a>(&mut self, bytes: &'a [u8], fields: &'a mut Fields, now: u64) -> Result<Replied<'a>, Fault> {
        let Some(Frame { head, payload, length }) = self.link.frame(bytes)? else {
            return Ok(Replied { used: 0, reply: None });
        };
        let reply = match head.kind {
            Some(Kind::Headers) => {
                let opening = Link::opening(head, payload)?;
                let aim = self.aim(&opening, now)?;
                match self.link.block(opening, aim, fields)? {
                    Some(whole) => self.headers(whole, fields, now)?,
                    None => None,
                }
            }
            Some(Kind::Continuation) => match self.link.continuation(head, payload, fields)? {
                Some(whole) => self.headers(whole, fields, now)?,
                None => None,
            },
            Some(Kind::Goaway) => {
                let last = self.link.goaway(head, payload, now)?;
                self.leaving = true;
                let gone: Vec<_> = self.link.streams.ids().filter(|&id| id > last).collect();
                gone.into_iter().for_each(|id| self.forget(id));
                Some(Reply::Leaves { last })
            }
            _ => {
                let heard = self.link.hear(head, payload, now)?;
                self.reply(heard)
            }
        };
        Ok(Replied { used: length, reply })
    }

    /// What a header block is.
    fn aim(&mut self, opening: &Opening<'_>, now: u64) -> Result<Aim, Fault> {
        let id = opening.stream;
        if id > self.link.last {
            return Err(Fault::protocol("HEADERS on a stream that nobody has begun"));
        }
        Ok(match self.link.streams.get(id) {
            Some(stream) if stream.ended => Aim::Reset(Code::StreamClosed),
            Some(stream) if !stream.headed => Aim::Head,
            Some(_) if opening.end => Aim::Trailers,
            Some(_) => Aim::Reset(Code::ProtocolError),
            None => {
                self.link.late(id, "HEADERS on a stream that has ended", now)?;
                Aim::Nothing
            }
        })
    }

    fn headers<'a>(
        &mut self,
        whole: Whole,
        fields: &'a Fields,
        now: u64,
    ) -> Result<Option<Reply<'a>>, Fault> {
        let Whole { stream: id, end, aim } = whole;
        if let Some(call) = self.calls.get_mut(id) {
            call.heads += fields.size();
            if call.heads > MAX_HEADS || fields.is_too_large() {
                return self.mistake(id, Code::ProtocolError, now);
            }
        }
        match aim {
            Aim::Nothing => Ok(None),
            Aim::Reset(code) => self.mistake(id, code, now),
            Aim::Head => self.head(id, end, fields, now),
            Aim::Trailers => self.trailers(id, fields, now),
        }
    }

    fn head<'a>(
        &mut self,
        id: u32,
        end: bool,
        fields: &'a Fields,
        now: u64,
    ) -> Result<Option<Reply<'a>>, Fault> {
        let (Some(stream), Some(call)) = (self.link.streams.get_mut(id), self.calls.get(id)) else {
            return Ok(None);
        };
        let Ok(answer) = Answer::read(fields) else { return self.mistake(id, Code::ProtocolError, now) };
        if answer.is_interim() {
            if end {
                return self.mistake(id, Code::ProtocolError, now);
            }
        } else {
            stream.headed = true;
            stream.left = answer.content(call.to_head);
            if end && stream.left.is_some_and(|left| left > 0) {
                return self.mistake(id, Code::ProtocolError, now);
            }
        }
        if end {
            self.heard_all(id);
        }
        Ok(Some(Reply::Head { stream: id, answer, end }))
    }

    fn trailers<'a>(&mut self, id: u32, fields: &'a Fields, now: u64) -> Result<Option<Reply<'a>>, Fault> {
        let Some(stream) = self.link.streams.get(id) else { return Ok(None) };
        match Trailers::read(fields) {
            Ok(trailers) if stream.left.is_none_or(|left| left == 0) => {
                self.heard_all(id);
                Ok(Some(Reply::Trailers { stream: id, trailers }))
            }
            _ => self.mistake(id, Code::ProtocolError, now),
        }
    }

    fn mistake<'a>(&mut self, id: u32, code: Code, now: u64) -> Result<Option<Reply<'a>>, Fault> {
        let heard = self.link.mistake(id, code, now)?;
        Ok(self.reply(heard))
    }

    fn reply<'a>(&mut self, heard: Heard<'a>) -> Option<Reply<'a>> {
        match heard {
            Heard::Nothing => None,
            Heard::Content { stream, content, end } => {
                if end {
                    self.heard_all(stream);
                }
                Some(Reply::Content { stream, content, end })
            }
            Heard::Gone { stream, code, mistake } => {
                self.forget(stream);
                let refused = !mistake && code == Code::RefusedStream as u32;
                Some(Reply::Gone { stream, refused })
            }
        }
    }

    fn heard_all(&mut self, id: u32) {
        self.link.heard_all(id);
        self.settle(id);
    }

    /// Forgets what belongs to a stream that is over.
    fn settle(&mut self, id: u32) {
        if self.link.streams.get(id).is_none() {
            self.calls.remove(id);
        }
    }

    fn forget(&mut self, id: u32) {
        self.link.end(id, false);
        self.calls.remove(id);
    }

    /// Another stream may be begun. Until the member has said how many it takes, there is one.
    pub fn has_room(&self) -> bool {
        let most = if self.link.is_settled() {
            MEMBER_STREAMS.min(self.link.settings.max_streams as usize)
        } else {
            1
        };
        !self.leaving && !self.link.is_dead() && self.link.last < LAST_ID && self.link.streams.len() < most
    }

    /// Begins a stream with this header block, and says its id; `end` = it has no content, `to_head` = it is a HEAD
    /// request. `None` = there is no room for it.
    pub fn open(&mut self, block: &[u8], end: bool, to_head: bool) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        let id = if self.link.last == 0 { 1 } else { self.link.last + 2 };
        self.link.add(id, MEMBER_WINDOW).said = end;
        self.calls.insert(id, Call { to_head, heads: 0 });
        self.link.send_headers(id, block, end);
        Some(id)
    }

    /// Tells that content of a stream was read: as much may come again.
    pub fn consumed(&mut self, id: u32, bytes: u32) {
        self.link.consumed(id, bytes);
    }

    /// How much content may be sent on a stream.
    pub fn room(&self, id: u32) -> usize {
        self.link.room(id)
    }

    /// Sends of `content` what there is room for, and says how much that is; `end` = nothing comes after all of it.
    pub fn send_content(&mut self, id: u32, content: &[u8], end: bool) -> usize {
        if !self.is_open(id) {
            return 0;
        }
        let sent = self.link.send_content(id, content, end);
        if end && sent == content.len() {
            self.said_all(id);
        }
        sent
    }

    /// Sends what comes after the content, at its end.
    pub fn send_trailers(&mut self, id: u32, block: &[u8]) {
        if self.is_open(id) {
            self.link.send_headers(id, block, true);
            self.said_all(id);
        }
    }

    fn said_all(&mut self, id: u32) {
        if let Some(stream) = self.link.streams.get_mut(id) {
            stream.said = true;
            if stream.ended {
                self.forget(id);
            }
        }
    }

    /// More of the request may be sent.
    fn is_open(&self, id: u32) -> bool {
        self.link.streams.get(id).is_some_and(|stream| !stream.said)
    }

    /// Nobody wants more of a stream. One whose end alone is missing ends by itself; others are broken off.
    pub fn release(&mut self, id: u32) {
        let Some(stream) = self.link.streams.get(id) else { return };
        if stream.said && stream.left == Some(0) {
            return;
        }
        // All of the response is here: the rest of the request is of no use.
        let code = if stream.ended { Code::NoError } else { Code::Cancel };
        self.link.reset(id, code);
        self.calls.remove(id);
    }

    /// Begins no new streams; those that are open go on to their end (§6.8).
    pub fn go_away(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) && !self.link.is_dead() {
            frame::write_goaway(0, Code::NoError, &mut self.link.out);
        }
    }

    /// No new streams are begun.
    pub fn is_leaving(&self) -> bool {
        self.leaving || self.link.is_dead()
    }

    /// The member has said how many streams it takes.
    pub fn is_settled(&self) -> bool {
        self.link.is_settled()
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.link.streams.len()
    }

    /// Whether some stream may send more, since this was asked last.
    pub fn take_widened(&mut self) -> bool {
        self.link.take_widened()
    }

    /// Bytes of [`Outbound::output`].
    pub fn output_len(&self) -> usize {
        self.link.out.len()
    }

    /// Frames that are to be sent: who sends them takes them out.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.link.out
    }
}
