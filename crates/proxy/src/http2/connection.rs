//! The server's side of a connection: what its frames mean in the order in which they come.

use super::flood::Cost;
use super::frame::{self, Kind, setting};
use super::link::{Aim, Frame, Heard, Link, Opening, Whole};
use super::peer::FIRST_WINDOW;
use super::{
    CONNECTION_WINDOW, Code, FAREWELL, Fault, Fields, Head, MAX_LIST, MAX_STREAMS, Malformed, PREFACE,
    STREAM_WINDOW, Trailers,
};

/// What a client wants.
#[derive(Debug)]
pub enum Event<'a> {
    /// A new stream; `end` = it has no content.
    Request { stream: u32, head: Head<'a>, end: bool },
    /// The next bytes of a request's content, which are to be told of with [`Connection::consumed`] when they were read;
    /// `end` = the last. They may be none.
    Content { stream: u32, content: &'a [u8], end: bool },
    /// What comes after the content, at its end.
    Trailers { stream: u32, trailers: Trailers<'a> },
    /// The stream is gone, by the client's wish or by its mistake: nothing more goes to it.
    Cancelled { stream: u32, mistake: bool },
}

/// What became of some bytes.
#[derive(Debug)]
pub struct Received<'a> {
    /// So many of them are done with; 0 = more are needed.
    pub used: usize,
    pub event: Option<Event<'a>>,
}

/// The server's side of a connection.
#[derive(Debug)]
pub struct Connection {
    /// Waits for [`PREFACE`].
    preface_awaited: bool,
    link: Link,
    /// No new streams are taken up.
    going: bool,
    /// The client was told that none are to come.
    farewell: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// Our settings are in its output.
    pub fn new() -> Self {
        let mut link = Link::new(false, CONNECTION_WINDOW);
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, MAX_STREAMS as u32),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, MAX_LIST as u32),
        ];
        frame::write_settings(&settings, &mut link.out);
        frame::write_window_update(0, CONNECTION_WINDOW - FIRST_WINDOW as u32, &mut link.out);
        Self { preface_awaited: true, link, going: false, farewell: false }
    }

    /// Takes the next frame at the start of `bytes`. After a fault, which the client is told of, nothing more is taken.
    /// `fields` is where headers are put; `now` is in milliseconds.
    pub fn receive<'a>(
        &mut self,
        bytes: &'a [u8],
        fields: &'a mut Fields,
        now: u64,
    ) -> Result<Received<'a>, Fault> {
        let result = self.take(bytes, fields, now);
        if let Err(fault) = &result {
            self.link.fail(*fault);
        }
        result
    }

    fn take<'a>(&mut self, bytes: &'a [u8], fields: &'a mut Fields, now: u64) -> Result<Received<'a>, Fault> {
        if self.preface_awaited && !self.link.is_dead() {
            let there = bytes.len().min(PREFACE.len());
            if bytes[..there] != PREFACE[..there] {
                return Err(Fault::protocol("the preface"));
            }
            self.preface_awaited = there < PREFACE.len();
            return Ok(Received { used: if self.preface_awaited { 0 } else { there }, event: None });
        }
        let Some(Frame { head, payload, length }) = self.link.frame(bytes)? else {
            return Ok(Received { used: 0, event: None });
        };
        let event = match head.kind {
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
            // It opens no more streams; those that are open go on.
            Some(Kind::Goaway) => self.link.goaway(head, payload, now).map(|_| None)?,
            _ => event(self.link.hear(head, payload, now)?),
        };
        Ok(Received { used: length, event })
    }

    /// What a header block is.
    fn aim(&mut self, opening: &Opening<'_>, now: u64) -> Result<Aim, Fault> {
        let (id, circular) = (opening.stream, opening.circular);
        Ok(match self.link.streams.get(id) {
            Some(_) if circular => Aim::Reset(Code::ProtocolError),
            Some(stream) if stream.ended => Aim::Reset(Code::StreamClosed),
            Some(_) if !opening.end => Aim::Reset(Code::ProtocolError),
            Some(_) => Aim::Trailers,
            None if id > self.link.last => {
                self.link.last = id;
                if circular {
                    Aim::Reset(Code::ProtocolError)
                } else if self.going || self.link.streams.len() >= MAX_STREAMS {
                    Aim::Reset(Code::RefusedStream)
                } else {
                    Aim::Head
                }
            }
            None => {
                self.link.late(id, "HEADERS on a stream that has ended", now)?;
                self.link.budget.spend(Cost::Idle, now)?;
                Aim::Nothing
            }
        })
    }

    fn headers<'a>(
        &mut self,
        whole: Whole,
        fields: &'a Fields,
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        let Whole { stream: id, end, aim } = whole;
        match aim {
            Aim::Nothing => Ok(None),
            Aim::Reset(Code::RefusedStream) => {
                self.link.budget.spend(Cost::Abandoned, now)?;
                self.link.break_off(id, Code::RefusedStream);
                Ok(None)
            }
            Aim::Reset(code) => self.mistake(id, code, now),
            Aim::Trailers => self.trailers(id, fields, now),
            Aim::Head if fields.is_too_large() => {
                self.link.budget.spend(Cost::Abandoned, now)?;
                self.link.mistakes += 1;
                self.too_large(id, end);
                Ok(None)
            }
            Aim::Head => match Head::read(fields, end) {
                Ok(head) => {
                    let stream = self.link.add(id, STREAM_WINDOW);
                    (stream.headed, stream.ended, stream.left) = (true, end, head.content_length);
                    Ok(Some(Event::Request { stream: id, head, end }))
                }
                Err(Malformed(_)) => self.mistake(id, Code::ProtocolError, now),
            },
        }
    }

    fn trailers<'a>(&mut self, id: u32, fields: &'a Fields, now: u64) -> Result<Option<Event<'a>>, Fault> {
        let Some(stream) = self.link.streams.get_mut(id) else { return Ok(None) };
        let whole = stream.left.is_none_or(|left| left == 0);
        stream.ended = true;
        match Trailers::read(fields) {
            Ok(trailers) if whole && !fields.is_too_large() => {
                Ok(Some(Event::Trailers { stream: id, trailers }))
            }
            _ => self.mistake(id, Code::ProtocolError, now),
        }
    }

    fn mistake<'a>(&mut self, id: u32, code: Code, now: u64) -> Result<Option<Event<'a>>, Fault> {
        self.link.mistake(id, code, now).map(event)
    }

    /// Answers a request whose headers are too large to be kept.
    fn too_large(&mut self, id: u32, end: bool) {
        let mut block = vec![];
        super::hpack::encode_status(431, &mut block);
        super::hpack::encode_field(b"content-length", b"0", &mut block);
        self.link.send_headers(id, &block, true);
        if end {
            self.link.remember(id, false);
        } else {
            self.link.break_off(id, Code::NoError);
        }
    }

    /// Tells that content of a stream was read: as much may come again.
    pub fn consumed(&mut self, id: u32, bytes: u32) {
        self.link.consumed(id, bytes);
    }

    /// Sends a header block; `end` = nothing comes after it.
    pub fn send_headers(&mut self, id: u32, block: &[u8], end: bool) {
        if self.link.streams.get(id).is_some() {
            self.link.send_headers(id, block, end);
            if end {
                self.answered(id);
            }
        }
    }

    /// How much content may be sent on a stream.
    pub fn room(&self, id: u32) -> usize {
        self.link.room(id)
    }

    /// Sends of `content` what there is room for, and says how much that is; `end` = nothing comes after all of it.
    pub fn send_content(&mut self, id: u32, content: &[u8], end: bool) -> usize {
        let is_open = self.link.streams.get(id).is_some();
        let sent = self.link.send_content(id, content, end);
        if is_open && end && sent == content.len() {
            self.answered(id);
        }
        sent
    }

    /// The response is out. If the request is not all here, nobody needs the rest of it (§8.1).
    fn answered(&mut self, id: u32) {
        self.link.budget.answered();
        if self.link.streams.get(id).is_some_and(|stream| !stream.ended) {
            self.link.break_off(id, Code::NoError);
        } else {
            self.link.end(id, false);
        }
    }

    /// Breaks a stream off.
    pub fn reset(&mut self, id: u32, code: Code) {
        self.link.reset(id, code);
    }

    /// Takes up no new streams; those that are open go on to their end (§6.8).
    pub fn go_away(&mut self) {
        if !std::mem::replace(&mut self.going, true) && !self.link.is_dead() {
            frame::write_goaway(self.link.last, Code::NoError, &mut self.link.out);
        }
    }

    /// Tells the client that it is to open no more streams (§6.8). Those that it opens before it knows are taken up: that it
    /// knows, its answer to a PING says.
    pub fn say_farewell(&mut self) {
        if !self.going && !std::mem::replace(&mut self.farewell, true) && !self.link.is_dead() {
            frame::write_goaway(i32::MAX as u32, Code::NoError, &mut self.link.out);
            frame::write_frame(Kind::Ping, 0, 0, FAREWELL, &mut self.link.out);
        }
    }

    /// The client knows that it is to open no more streams. One may still be on its way, overtaken by the word.
    pub fn is_heard(&self) -> bool {
        self.farewell && self.link.farewell_heard
    }

    /// No new streams are taken up.
    pub fn is_going(&self) -> bool {
        self.going || self.link.is_dead()
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.link.streams.len()
    }

    /// The client has not said yet what comes first, or is in the middle of a header block.
    pub fn is_halfway(&self) -> bool {
        self.preface_awaited || self.link.is_halfway()
    }

    /// Nothing more of the request comes.
    pub fn has_ended(&self, id: u32) -> bool {
        self.link.streams.get(id).is_none_or(|stream| stream.ended)
    }

    /// Whether some stream may send more, since this was asked last.
    pub fn take_widened(&mut self) -> bool {
        self.link.take_widened()
    }

    /// Requests that were mistakes of the client's, since this was asked last.
    pub fn take_mistakes(&mut self) -> u64 {
        std::mem::take(&mut self.link.mistakes)
    }

    /// Bytes of [`Connection::output`].
    pub fn output_len(&self) -> usize {
        self.link.out.len()
    }

    /// Frames that are to be sent: who sends them takes them out.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.link.out
    }
}

fn event(heard: Heard<'_>) -> Option<Event<'_>> {
    match heard {
        Heard::Nothing => None,
        Heard::Content { stream, content, end } => Some(Event::Content { stream, content, end }),
        Heard::Gone { stream, mistake, .. } => Some(Event::Cancelled { stream, mistake }),
    }
}
