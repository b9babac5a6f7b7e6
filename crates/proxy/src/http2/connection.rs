//! One connection: what its frames mean in the order in which they come.

mod sending;

use std::collections::VecDeque;

use super::flood::{Budget, Cost};
use super::frame::{self, FrameHead, Kind, flag, setting};
use super::inflow::Inflow;
use super::peer::{FIRST_WINDOW, Settings, Window};
use super::{
    ById, CONNECTION_WINDOW, Code, Decoder, Fault, Fields, Head, MAX_BLOCK, MAX_BLOCK_FRAMES, MAX_FRAME,
    MAX_LIST, MAX_STREAMS, Malformed, PREFACE, STREAM_WINDOW, Trailers,
};

/// Streams that are over and still remembered: frames for them may be on their way.
const REMEMBERED: usize = 2 * MAX_STREAMS;

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
    stage: Stage,
    decoder: Decoder,
    streams: ById<Stream>,
    /// The client's newest stream.
    last: u32,
    /// Streams that are over, the newest last, with whether it was we who broke them off.
    over: VecDeque<(u32, bool)>,
    /// A header block that is not all there.
    block: Option<Block>,
    settings: Settings,
    /// What may be sent on all streams together.
    window: Window,
    inflow: Inflow,
    budget: Budget,
    /// The next block says that we use no table.
    table_unsaid: bool,
    /// Streams may send more than before.
    widened: bool,
    /// No new streams are taken up.
    going: bool,
    /// Requests that were the client's mistake, since this was asked last.
    mistakes: u64,
    out: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for [`PREFACE`].
    Preface,
    /// Waits for the client's settings, which come first.
    Settings,
    Open,
    /// A fault has ended it.
    Dead,
}

#[derive(Debug)]
struct Stream {
    /// The client has sent all.
    ended: bool,
    /// What the content still lacks of the length that it was said to have.
    left: Option<u64>,
    window: Window,
    inflow: Inflow,
    /// Content given out, and not yet told to be read.
    unread: u32,
}

#[derive(Debug)]
struct Block {
    stream: u32,
    end: bool,
    aim: Aim,
    bytes: Vec<u8>,
    frames: u32,
}

/// What becomes of a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Request,
    Trailers,
    /// It is read, because the next ones refer to it, and forgotten.
    Nothing,
    /// So it is, and the stream ends.
    Reset(Code),
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// Our settings are in its output.
    pub fn new() -> Self {
        let mut out = vec![];
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, MAX_STREAMS as u32),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, MAX_LIST as u32),
        ];
        frame::write_settings(&settings, &mut out);
        frame::write_window_update(0, CONNECTION_WINDOW - FIRST_WINDOW as u32, &mut out);
        Self {
            stage: Stage::Preface,
            decoder: Decoder::default(),
            streams: ById::default(),
            last: 0,
            over: VecDeque::new(),
            block: None,
            settings: Settings::new(),
            window: Window::new(FIRST_WINDOW),
            inflow: Inflow::new(CONNECTION_WINDOW),
            budget: Budget::default(),
            table_unsaid: false,
            widened: false,
            going: false,
            mistakes: 0,
            out,
        }
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
        if let Err(fault) = &result
            && self.stage != Stage::Dead
        {
            self.stage = Stage::Dead;
            frame::write_goaway(self.last, fault.code, &mut self.out);
        }
        result
    }

    fn take<'a>(&mut self, bytes: &'a [u8], fields: &'a mut Fields, now: u64) -> Result<Received<'a>, Fault> {
        let nothing = Received { used: 0, event: None };
        match self.stage {
            Stage::Dead => return Err(Fault::protocol("the connection is over")),
            Stage::Preface => {
                let there = bytes.len().min(PREFACE.len());
                if bytes[..there] != PREFACE[..there] {
                    return Err(Fault::protocol("the preface"));
                }
                if there < PREFACE.len() {
                    return Ok(nothing);
                }
                self.stage = Stage::Settings;
                return Ok(Received { used: there, event: None });
            }
            Stage::Settings | Stage::Open => {}
        }
        let Some(head) = FrameHead::read(bytes) else { return Ok(nothing) };
        self.admit(head)?;
        let end = frame::HEAD + head.length;
        let Some(payload) = bytes.get(frame::HEAD..end) else { return Ok(nothing) };
        let event = self.frame(head, payload, fields, now)?;
        Ok(Received { used: end, event })
    }

    /// Looks at a frame's head, before its payload is waited for.
    fn admit(&mut self, head: FrameHead) -> Result<(), Fault> {
        if head.length > MAX_FRAME {
            return Err(Fault::size("a frame that is too long"));
        }
        if self.stage == Stage::Settings {
            if head.kind != Some(Kind::Settings) || head.has(flag::ACK) {
                return Err(Fault::protocol("the first frame is not SETTINGS"));
            }
            self.stage = Stage::Open;
        }
        match &self.block {
            Some(block) if head.kind != Some(Kind::Continuation) || head.stream != block.stream => {
                Err(Fault::protocol("a frame within a header block"))
            }
            None if head.kind == Some(Kind::Continuation) => Err(Fault::protocol("CONTINUATION of nothing")),
            _ => Ok(()),
        }
    }

    fn frame<'a>(
        &mut self,
        head: FrameHead,
        payload: &'a [u8],
        fields: &'a mut Fields,
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        match head.kind {
            Some(Kind::Data) => self.data(head, payload, now),
            Some(Kind::Headers) => self.headers(head, payload, fields, now),
            Some(Kind::Continuation) => self.continuation(head, payload, fields, now),
            Some(Kind::RstStream) => self.rst_stream(head, payload, now),
            Some(Kind::WindowUpdate) => self.window_update(head, payload, now),
            Some(Kind::Priority) => self.priority(head, payload, now),
            Some(Kind::Settings) => self.settings(head, payload, now).map(|()| None),
            Some(Kind::Ping) => self.ping(head, payload, now).map(|()| None),
            Some(Kind::Goaway) if head.stream != 0 => Err(Fault::protocol("GOAWAY on a stream")),
            Some(Kind::Goaway) if payload.len() < 8 => Err(Fault::size("GOAWAY")),
            // It opens no more streams; those that are open go on.
            Some(Kind::Goaway) | None => self.budget.spend(Cost::Idle, now).map(|()| None),
            Some(Kind::PushPromise) => Err(Fault::protocol("PUSH_PROMISE from a client")),
        }
    }

    fn data<'a>(&mut self, head: FrameHead, payload: &'a [u8], now: u64) -> Result<Option<Event<'a>>, Fault> {
        let id = self.used(head.stream, "DATA")?;
        let length = payload.len() as u32;
        if !self.inflow.take(length) {
            return Err(Fault::flow("more content than the connection's window"));
        }
        let content = unpadded(head, payload)?;
        let end = head.has(flag::END_STREAM);
        // The end of a stream that is over is nothing, either.
        if content.is_empty() && !(end && self.streams.get(id).is_some()) {
            self.budget.spend(Cost::Idle, now)?;
        }
        let Some(stream) = self.streams.get_mut(id) else {
            self.read(length);
            return self.late(id, "DATA on a stream that has ended");
        };
        let within = stream.inflow.take(length);
        let size = content.len() as u64;
        let wrong = match &mut stream.left {
            _ if stream.ended => Some(Code::StreamClosed),
            _ if !within => Some(Code::FlowControlError),
            Some(left) if size > *left || end && size < *left => Some(Code::ProtocolError),
            Some(left) => {
                *left -= size;
                None
            }
            None => None,
        };
        stream.unread += length;
        if let Some(code) = wrong {
            return self.mistake(id, code, now);
        }
        stream.ended |= end;
        self.budget.moved(content.len());
        self.consumed(id, length - content.len() as u32);
        Ok(Some(Event::Content { stream: id, content, end }))
    }

    fn headers<'a>(
        &mut self,
        head: FrameHead,
        payload: &'a [u8],
        fields: &'a mut Fields,
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        let id = head.stream;
        if id.is_multiple_of(2) {
            return Err(Fault::protocol("HEADERS on a stream that is not the client's"));
        }
        let mut content = unpadded(head, payload)?;
        let mut circular = false;
        if head.has(flag::PRIORITY) {
            let (priority, rest) =
                content.split_first_chunk::<5>().ok_or(Fault::size("HEADERS without their priority"))?;
            circular = depends_on(priority) == id;
            content = rest;
        }
        let end = head.has(flag::END_STREAM);
        let aim = match self.streams.get(id) {
            Some(_) if circular => Aim::Reset(Code::ProtocolError),
            Some(stream) if stream.ended => Aim::Reset(Code::StreamClosed),
            Some(_) if !end => Aim::Reset(Code::ProtocolError),
            Some(_) => Aim::Trailers,
            None if id > self.last => {
                self.last = id;
                if circular {
                    Aim::Reset(Code::ProtocolError)
                } else if self.going || self.streams.len() >= MAX_STREAMS {
                    Aim::Reset(Code::RefusedStream)
                } else {
                    Aim::Request
                }
            }
            None => {
                self.late(id, "HEADERS on a stream that has ended")?;
                self.budget.spend(Cost::Idle, now)?;
                Aim::Nothing
            }
        };
        if head.has(flag::END_HEADERS) {
            return self.block_end(id, end, aim, content, fields, now);
        }
        self.block = Some(Block { stream: id, end, aim, bytes: content.to_vec(), frames: 1 });
        Ok(None)
    }

    fn continuation<'a>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        fields: &'a mut Fields,
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        let Some(mut block) = self.block.take() else {
            return Err(Fault::protocol("CONTINUATION of nothing"));
        };
        block.frames += 1;
        if block.bytes.len() + payload.len() > MAX_BLOCK || block.frames > MAX_BLOCK_FRAMES {
            return Err(Fault::flood("a header block that does not end"));
        }
        block.bytes.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            self.block = Some(block);
            return Ok(None);
        }
        self.block_end(block.stream, block.end, block.aim, &block.bytes, fields, now)
    }

    fn block_end<'a>(
        &mut self,
        id: u32,
        end: bool,
        aim: Aim,
        block: &[u8],
        fields: &'a mut Fields,
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        self.decoder
            .decode(block, fields)
            .map_err(|broken| Fault { code: Code::CompressionError, why: broken.0 })?;
        let fields = &*fields;
        match aim {
            Aim::Nothing => Ok(None),
            Aim::Reset(Code::RefusedStream) => {
                self.budget.spend(Cost::Abandoned, now)?;
                self.broken_off(id, Code::RefusedStream);
                Ok(None)
            }
            Aim::Reset(code) => self.mistake(id, code, now),
            Aim::Trailers => self.trailers(id, fields, now),
            Aim::Request if fields.is_too_large() => {
                self.budget.spend(Cost::Abandoned, now)?;
                self.mistakes += 1;
                self.too_large(id, end);
                Ok(None)
            }
            Aim::Request => match Head::read(fields, end) {
                Ok(head) => {
                    let stream = Stream {
                        ended: end,
                        left: head.content_length,
                        window: Window::new(self.settings.initial_window),
                        inflow: Inflow::new(STREAM_WINDOW),
                        unread: 0,
                    };
                    self.streams.insert(id, stream);
                    Ok(Some(Event::Request { stream: id, head, end }))
                }
                Err(Malformed(_)) => self.mistake(id, Code::ProtocolError, now),
            },
        }
    }

    fn trailers<'a>(&mut self, id: u32, fields: &'a Fields, now: u64) -> Result<Option<Event<'a>>, Fault> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        let whole = stream.left.is_none_or(|left| left == 0);
        stream.ended = true;
        match Trailers::read(fields) {
            Ok(trailers) if whole && !fields.is_too_large() => {
                Ok(Some(Event::Trailers { stream: id, trailers }))
            }
            _ => self.mistake(id, Code::ProtocolError, now),
        }
    }

    fn rst_stream<'a>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        let id = self.used(head.stream, "RST_STREAM")?;
        if payload.len() != 4 {
            return Err(Fault::size("RST_STREAM"));
        }
        let was = self.end(id, false);
        self.budget.spend(if was { Cost::Abandoned } else { Cost::Idle }, now)?;
        Ok(was.then_some(Event::Cancelled { stream: id, mistake: false }))
    }

    fn window_update<'a>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        let Ok(by) = <[u8; 4]>::try_from(payload) else { return Err(Fault::size("WINDOW_UPDATE")) };
        let by = i64::from(u32::from_be_bytes(by) & 0x7fff_ffff);
        self.budget.spend(Cost::Idle, now)?;
        if head.stream == 0 {
            if by == 0 {
                return Err(Fault::protocol("WINDOW_UPDATE by nothing"));
            }
            if !self.window.grow(by) {
                return Err(Fault::flow("a window that is too large"));
            }
            self.widened = true;
            return Ok(None);
        }
        let id = self.used(head.stream, "WINDOW_UPDATE")?;
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if by == 0 {
            return self.mistake(id, Code::ProtocolError, now);
        }
        if !stream.window.grow(by) {
            return self.mistake(id, Code::FlowControlError, now);
        }
        self.widened = true;
        Ok(None)
    }

    /// Who comes first is not for clients to say (§5.3.2); that a stream comes after itself no client can mean (RFC 7540
    /// §5.3.1).
    fn priority<'a>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: u64,
    ) -> Result<Option<Event<'a>>, Fault> {
        if head.stream == 0 {
            return Err(Fault::protocol("PRIORITY of the connection"));
        }
        self.budget.spend(Cost::Idle, now)?;
        match <&[u8; 5]>::try_from(payload) {
            Ok(priority) if depends_on(priority) == head.stream => {
                Err(Fault::protocol("PRIORITY of a stream after itself"))
            }
            Ok(_) => Ok(None),
            Err(_) if self.streams.get(head.stream).is_some() => {
                self.mistake(head.stream, Code::FrameSizeError, now)
            }
            Err(_) => Err(Fault::size("PRIORITY")),
        }
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8], now: u64) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            self.budget.spend(Cost::Idle, now)?;
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(Fault::size("SETTINGS that are acknowledged"))
            };
        }
        self.budget.spend(Cost::Answered, now)?;
        let change = self.settings.take(payload)?;
        self.table_unsaid |= change.table;
        if change.windows != 0 {
            if !self.streams.values_mut().all(|stream| stream.window.grow(change.windows)) {
                return Err(Fault::flow("a window that is too large"));
            }
            self.widened |= change.windows > 0;
        }
        frame::write_frame(Kind::Settings, flag::ACK, 0, &[], &mut self.out);
        Ok(())
    }

    fn ping(&mut self, head: FrameHead, payload: &[u8], now: u64) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("PING on a stream"));
        }
        if payload.len() != 8 {
            return Err(Fault::size("PING"));
        }
        if head.has(flag::ACK) {
            return self.budget.spend(Cost::Idle, now);
        }
        self.budget.spend(Cost::Answered, now)?;
        frame::write_frame(Kind::Ping, flag::ACK, 0, payload, &mut self.out);
        Ok(())
    }

    /// The id of a stream of the client's that was begun.
    fn used(&self, id: u32, what: &'static str) -> Result<u32, Fault> {
        if id.is_multiple_of(2) || id > self.last { Err(Fault::protocol(what)) } else { Ok(id) }
    }

    /// A frame of a stream that is over: fine if we broke it off, since the client may not have heard yet (§5.1).
    fn late<'a>(&self, id: u32, why: &'static str) -> Result<Option<Event<'a>>, Fault> {
        match self.over.iter().rev().find(|&&(over, _)| over == id) {
            Some((_, true)) => Ok(None),
            Some((_, false)) => Err(Fault { code: Code::StreamClosed, why }),
            // It was skipped, or is long over.
            None => Err(Fault::protocol(why)),
        }
    }

    /// Ends a stream that the client has misused.
    fn mistake<'a>(&mut self, id: u32, code: Code, now: u64) -> Result<Option<Event<'a>>, Fault> {
        self.mistakes += 1;
        let was = self.streams.get(id).is_some();
        self.broken_off(id, code);
        self.budget.spend(Cost::Abandoned, now)?;
        Ok(was.then_some(Event::Cancelled { stream: id, mistake: true }))
    }

    fn broken_off(&mut self, id: u32, code: Code) {
        frame::write_reset(id, code, &mut self.out);
        if !self.end(id, true) {
            self.remember(id, true);
        }
    }

    /// Answers a request whose headers are too large to be kept.
    fn too_large(&mut self, id: u32, end: bool) {
        let mut block = vec![];
        self.say_table(&mut block);
        super::hpack::encode_status(431, &mut block);
        super::hpack::encode_field(b"content-length", b"0", &mut block);
        frame::write_headers(id, &block, true, &mut self.out);
        if end {
            self.remember(id, false);
        } else {
            self.broken_off(id, Code::NoError);
        }
    }

    /// Forgets a stream; `false` = it is not open.
    fn end(&mut self, id: u32, by_us: bool) -> bool {
        let Some(stream) = self.streams.remove(id) else { return false };
        self.read(stream.unread);
        self.remember(id, by_us);
        true
    }

    fn remember(&mut self, id: u32, by_us: bool) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back((id, by_us));
    }

    fn read(&mut self, bytes: u32) {
        if bytes > 0
            && let Some(by) = self.inflow.give_back(bytes)
        {
            frame::write_window_update(0, by, &mut self.out);
        }
    }

    fn say_table(&mut self, block: &mut Vec<u8>) {
        if std::mem::take(&mut self.table_unsaid) {
            block.push(0x20);
        }
    }
}

/// The stream that another is to come after (RFC 7540 §6.3).
fn depends_on(priority: &[u8; 5]) -> u32 {
    let [a, b, c, d, _weight] = *priority;
    u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff
}

/// The payload without its padding (§6.1).
fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], Fault> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Fault::size("padding that is cut"))?;
    let content = rest.len().checked_sub(usize::from(padding));
    content.map(|length| &rest[..length]).ok_or(Fault::protocol("more padding than there is payload"))
}
