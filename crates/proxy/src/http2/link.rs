//! What both sides of a connection do alike with the frames that come: their order, header blocks, windows, what is
//! answered by itself. Streams begin with the client, so each side says what their heads mean to it.

mod sending;

use std::collections::VecDeque;

use super::flood::{Budget, Cost};
use super::frame::{self, FrameHead, Kind, flag};
use super::inflow::Inflow;
use super::peer::{FIRST_WINDOW, Settings, Window};
use super::{
    ById, Code, Decoder, FAREWELL, Fault, Fields, MAX_BLOCK, MAX_BLOCK_FRAMES, MAX_FRAME, MAX_STREAMS,
};

/// Streams that are over and still remembered: frames for them may be on their way.
const REMEMBERED: usize = 2 * MAX_STREAMS;

#[derive(Debug)]
pub(super) struct Link {
    /// It is we who begin streams.
    ours: bool,
    /// The other side's settings, which come first, are here.
    settled: bool,
    /// A fault has ended it.
    dead: bool,
    decoder: Decoder,
    pub(super) streams: ById<Stream>,
    /// The newest stream.
    pub(super) last: u32,
    /// Streams that are over, the newest last, with whether it was we who broke them off.
    over: VecDeque<(u32, bool)>,
    /// A header block that is not all there.
    block: Option<Block>,
    pub(super) settings: Settings,
    /// What may be sent on all streams together.
    window: Window,
    inflow: Inflow,
    pub(super) budget: Budget,
    /// The next block says that we use no table.
    table_unsaid: bool,
    /// Streams may send more than before.
    widened: bool,
    /// Streams that were the other side's mistake, since this was asked last.
    pub(super) mistakes: u64,
    /// A [`FAREWELL`] was answered.
    pub(super) farewell_heard: bool,
    pub(super) out: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// Its head has come: content may.
    pub(super) headed: bool,
    /// The other side has sent all.
    pub(super) ended: bool,
    /// We have.
    pub(super) said: bool,
    /// What the content still lacks of the length that it was said to have.
    pub(super) left: Option<u64>,
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
pub(super) enum Aim {
    Head,
    Trailers,
    /// It is read, because the next ones refer to it, and forgotten.
    Nothing,
    /// So it is, and the stream ends.
    Reset(Code),
}

/// A frame that is all there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) head: FrameHead,
    pub(super) payload: &'a [u8],
    /// Of all of it, in bytes.
    pub(super) length: usize,
}

/// The beginning of a header block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) stream: u32,
    pub(super) end: bool,
    /// It says that its stream comes after itself.
    pub(super) circular: bool,
    whole: bool,
    content: &'a [u8],
}

/// A header block that was decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) stream: u32,
    pub(super) end: bool,
    pub(super) aim: Aim,
}

/// What a frame says, where that is the same for both sides.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    Nothing,
    Content {
        stream: u32,
        content: &'a [u8],
        end: bool,
    },
    /// The stream is gone, by the other side's wish, or by its mistake.
    Gone {
        stream: u32,
        code: u32,
        mistake: bool,
    },
}

impl Link {
    /// `inflow` = what may come on all streams together; `ours` = it is we who begin them.
    pub(super) fn new(ours: bool, inflow: u32) -> Self {
        Self {
            ours,
            settled: false,
            dead: false,
            decoder: Decoder::default(),
            streams: ById::default(),
            last: 0,
            over: VecDeque::new(),
            block: None,
            settings: Settings::new(),
            window: Window::new(FIRST_WINDOW),
            inflow: Inflow::new(inflow),
            budget: Budget::default(),
            table_unsaid: false,
            widened: false,
            mistakes: 0,
            farewell_heard: false,
            out: vec![],
        }
    }

    /// The next frame at the start of `bytes`; `None` = it is not all there.
    pub(super) fn frame<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>, Fault> {
        if self.dead {
            return Err(Fault::protocol("the connection is over"));
        }
        let Some(head) = FrameHead::read(bytes) else { return Ok(None) };
        self.admit(head)?;
        let length = frame::HEAD + head.length;
        Ok(bytes.get(frame::HEAD..length).map(|payload| Frame { head, payload, length }))
    }

    /// Ends the connection, which the other side is told of; nothing more is taken.
    pub(super) fn fail(&mut self, fault: Fault) {
        if !std::mem::replace(&mut self.dead, true) {
            // Of the other side's streams.
            let last = if self.ours { 0 } else { self.last };
            frame::write_goaway(last, fault.code, &mut self.out);
        }
    }

    /// Looks at a frame's head, before its payload is waited for.
    fn admit(&mut self, head: FrameHead) -> Result<(), Fault> {
        if head.length > MAX_FRAME {
            return Err(Fault::size("a frame that is too long"));
        }
        if !self.settled {
            if head.kind != Some(Kind::Settings) || head.has(flag::ACK) {
                return Err(Fault::protocol("the first frame is not SETTINGS"));
            }
            self.settled = true;
        }
        match &self.block {
            Some(block) if head.kind != Some(Kind::Continuation) || head.stream != block.stream => {
                Err(Fault::protocol("a frame within a header block"))
            }
            None if head.kind == Some(Kind::Continuation) => Err(Fault::protocol("CONTINUATION of nothing")),
            _ => Ok(()),
        }
    }

    /// Takes a frame that means the same on either side.
    pub(super) fn hear<'a>(
        &mut self,
        head: FrameHead,
        payload: &'a [u8],
        now: u64,
    ) -> Result<Heard<'a>, Fault> {
        match head.kind {
            Some(Kind::Data) => self.data(head, payload, now),
            Some(Kind::RstStream) => self.rst_stream(head, payload, now),
            Some(Kind::WindowUpdate) => self.window_update(head, payload, now),
            Some(Kind::Priority) => self.priority(head, payload, now),
            Some(Kind::Settings) => self.settings(head, payload, now).map(|()| Heard::Nothing),
            Some(Kind::Ping) => self.ping(head, payload, now).map(|()| Heard::Nothing),
            Some(Kind::PushPromise) => Err(Fault::protocol("PUSH_PROMISE, which nobody has asked for")),
            // The sides take the first three themselves.
            Some(Kind::Headers | Kind::Continuation | Kind::Goaway) | None => {
                self.budget.spend(Cost::Idle, now).map(|()| Heard::Nothing)
            }
        }
    }

    fn data<'a>(&mut self, head: FrameHead, payload: &'a [u8], now: u64) -> Result<Heard<'a>, Fault> {
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
            self.late(id, "DATA on a stream that has ended", now)?;
            return Ok(Heard::Nothing);
        };
        let within = stream.inflow.take(length);
        let size = content.len() as u64;
        let wrong = match &mut stream.left {
            _ if stream.ended => Some(Code::StreamClosed),
            _ if !within => Some(Code::FlowControlError),
            _ if !stream.headed => Some(Code::ProtocolError),
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
        if end {
            self.heard_all(id);
        }
        Ok(Heard::Content { stream: id, content, end })
    }

    /// Reads what comes before a header block; the side says what it aims at.
    pub(super) fn opening<'a>(head: FrameHead, payload: &'a [u8]) -> Result<Opening<'a>, Fault> {
        let stream = head.stream;
        if stream.is_multiple_of(2) {
            return Err(Fault::protocol("HEADERS on a stream that is not the client's"));
        }
        let mut content = unpadded(head, payload)?;
        let mut circular = false;
        if head.has(flag::PRIORITY) {
            let (priority, rest) =
                content.split_first_chunk::<5>().ok_or(Fault::size("HEADERS without their priority"))?;
            circular = depends_on(priority) == stream;
            content = rest;
        }
        let (end, whole) = (head.has(flag::END_STREAM), head.has(flag::END_HEADERS));
        Ok(Opening { stream, end, circular, whole, content })
    }

    /// Takes the beginning of a header block; says what it is when it is all there, and its fields are in `fields`.
    pub(super) fn block(
        &mut self,
        opening: Opening<'_>,
        aim: Aim,
        fields: &mut Fields,
    ) -> Result<Option<Whole>, Fault> {
        let Opening { stream, end, whole, content, .. } = opening;
        if whole {
            self.decode(content, fields)?;
            return Ok(Some(Whole { stream, end, aim }));
        }
        self.block = Some(Block { stream, end, aim, bytes: content.to_vec(), frames: 1 });
        Ok(None)
    }

    /// The same for what comes after.
    pub(super) fn continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        fields: &mut Fields,
    ) -> Result<Option<Whole>, Fault> {
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
        self.decode(&block.bytes, fields)?;
        Ok(Some(Whole { stream: block.stream, end: block.end, aim: block.aim }))
    }

    fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Fault> {
        let decoded = self.decoder.decode(block, fields);
        decoded.map_err(|broken| Fault { code: Code::CompressionError, why: broken.0 })
    }

    /// Adds a stream whose window towards us is `inflow`.
    pub(super) fn add(&mut self, id: u32, inflow: u32) -> &mut Stream {
        let stream = Stream {
            headed: false,
            ended: false,
            said: false,
            left: None,
            window: Window::new(self.settings.initial_window),
            inflow: Inflow::new(inflow),
            unread: 0,
        };
        self.last = self.last.max(id);
        self.streams.insert(id, stream)
    }

    /// The other side has sent all of a stream.
    pub(super) fn heard_all(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.ended = true;
        if stream.said {
            self.end(id, false);
        }
    }

    fn rst_stream<'a>(&mut self, head: FrameHead, payload: &[u8], now: u64) -> Result<Heard<'a>, Fault> {
        let id = self.used(head.stream, "RST_STREAM")?;
        let Ok(code) = <[u8; 4]>::try_from(payload) else { return Err(Fault::size("RST_STREAM")) };
        if !self.end(id, false) {
            return self.budget.spend(Cost::Idle, now).map(|()| Heard::Nothing);
        }
        if !self.ours {
            self.budget.spend(Cost::Abandoned, now)?;
        }
        Ok(Heard::Gone { stream: id, code: u32::from_be_bytes(code), mistake: false })
    }

    fn window_update<'a>(&mut self, head: FrameHead, payload: &[u8], now: u64) -> Result<Heard<'a>, Fault> {
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
            return Ok(Heard::Nothing);
        }
        let id = self.used(head.stream, "WINDOW_UPDATE")?;
        let Some(stream) = self.streams.get_mut(id) else { return Ok(Heard::Nothing) };
        if by == 0 {
            return self.mistake(id, Code::ProtocolError, now);
        }
        if !stream.window.grow(by) {
            return self.mistake(id, Code::FlowControlError, now);
        }
        self.widened = true;
        Ok(Heard::Nothing)
    }

    /// Who comes first is not for others to say (§5.3.2); that a stream comes after itself nobody can mean (RFC 7540
    /// §5.3.1).
    fn priority<'a>(&mut self, head: FrameHead, payload: &[u8], now: u64) -> Result<Heard<'a>, Fault> {
        if head.stream == 0 {
            return Err(Fault::protocol("PRIORITY of the connection"));
        }
        self.budget.spend(Cost::Idle, now)?;
        match <&[u8; 5]>::try_from(payload) {
            Ok(priority) if depends_on(priority) == head.stream => {
                Err(Fault::protocol("PRIORITY of a stream after itself"))
            }
            Ok(_) => Ok(Heard::Nothing),
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
        let change = self.settings.take(payload, self.ours)?;
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
            self.farewell_heard |= payload == FAREWELL;
            return self.budget.spend(Cost::Idle, now);
        }
        self.budget.spend(Cost::Answered, now)?;
        frame::write_frame(Kind::Ping, flag::ACK, 0, payload, &mut self.out);
        Ok(())
    }

    /// The last stream that the other side takes up.
    pub(super) fn goaway(&mut self, head: FrameHead, payload: &[u8], now: u64) -> Result<u32, Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("GOAWAY on a stream"));
        }
        let last = payload.first_chunk::<8>().ok_or(Fault::size("GOAWAY"))?;
        self.budget.spend(Cost::Idle, now)?;
        let [a, b, c, d, ..] = *last;
        Ok(u32::from_be_bytes([a & 0x7f, b, c, d]))
    }

    /// The id of a stream that was begun.
    fn used(&self, id: u32, what: &'static str) -> Result<u32, Fault> {
        if id.is_multiple_of(2) || id > self.last { Err(Fault::protocol(what)) } else { Ok(id) }
    }

    /// A frame of a stream that is over: fine if we broke it off, since the other side may not have heard yet (§5.1).
    /// Of our own many may end in the time that this takes.
    pub(super) fn late(&mut self, id: u32, why: &'static str, now: u64) -> Result<(), Fault> {
        if self.ours {
            return self.budget.spend(Cost::Idle, now);
        }
        match self.over.iter().rev().find(|&&(over, _)| over == id) {
            Some((_, true)) => Ok(()),
            Some((_, false)) => Err(Fault { code: Code::StreamClosed, why }),
            // It was skipped, or is long over.
            None => Err(Fault::protocol(why)),
        }
    }

    /// Ends a stream that the other side has misused.
    pub(super) fn mistake<'a>(&mut self, id: u32, code: Code, now: u64) -> Result<Heard<'a>, Fault> {
        self.mistakes += 1;
        let was = self.streams.get(id).is_some();
        self.break_off(id, code);
        if !self.ours {
            self.budget.spend(Cost::Abandoned, now)?;
        }
        let gone = Heard::Gone { stream: id, code: code as u32, mistake: true };
        Ok(if was { gone } else { Heard::Nothing })
    }

    pub(super) fn break_off(&mut self, id: u32, code: Code) {
        frame::write_reset(id, code, &mut self.out);
        if !self.end(id, true) {
            self.remember(id, true);
        }
    }

    /// Forgets a stream; `false` = it is not open.
    pub(super) fn end(&mut self, id: u32, by_us: bool) -> bool {
        let Some(stream) = self.streams.remove(id) else { return false };
        self.read(stream.unread);
        self.remember(id, by_us);
        true
    }

    pub(super) fn remember(&mut self, id: u32, by_us: bool) {
        if self.ours {
            return;
        }
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

    /// The other side's settings have not come, or it is in the middle of a header block.
    pub(super) fn is_halfway(&self) -> bool {
        self.block.is_some() || !self.settled || self.dead
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
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
