//! Frames (RFC 9113 §4, §6): their heads, and how ours are written.

use super::{Code, MAX_FRAME};

/// Bytes before a frame's payload.
pub(super) const HEAD: usize = 9;

/// Types of frames; others are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 0x0,
    Headers = 0x1,
    Priority = 0x2,
    RstStream = 0x3,
    Settings = 0x4,
    PushPromise = 0x5,
    Ping = 0x6,
    Goaway = 0x7,
    WindowUpdate = 0x8,
    Continuation = 0x9,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::Goaway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            _ => return None,
        })
    }
}

pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    /// `None` = of a type that is not known.
    pub(super) kind: Option<Kind>,
    flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    /// `None` = it is not all there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A setting of either side (§6.5.2).
pub(super) mod setting {
    pub(in crate::http2) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(in crate::http2) const ENABLE_PUSH: u16 = 0x2;
    pub(in crate::http2) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(in crate::http2) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(in crate::http2) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(in crate::http2) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
}

/// Appends the head of a frame with a payload of `length` bytes, at most [`MAX_FRAME`].
pub(super) fn write_head(kind: Kind, flags: u8, stream: u32, length: usize, out: &mut Vec<u8>) {
    debug_assert!(length <= MAX_FRAME);
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    out.extend_from_slice(&[l0, l1, l2, kind as u8, flags, s0, s1, s2, s3]);
}

/// Appends a frame.
pub(crate) fn write_frame(kind: Kind, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    write_head(kind, flags, stream, payload.len(), out);
    out.extend_from_slice(payload);
}

pub(super) fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    write_head(Kind::Settings, 0, 0, settings.len() * 6, out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn write_reset(stream: u32, code: Code, out: &mut Vec<u8>) {
    write_frame(Kind::RstStream, 0, stream, &(code as u32).to_be_bytes(), out);
}

pub(super) fn write_window_update(stream: u32, by: u32, out: &mut Vec<u8>) {
    write_frame(Kind::WindowUpdate, 0, stream, &by.to_be_bytes(), out);
}

/// `last` = the highest stream that was, or may yet be, taken up.
pub(super) fn write_goaway(last: u32, code: Code, out: &mut Vec<u8>) {
    write_head(Kind::Goaway, 0, 0, 8, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Appends a header block as one frame, or as many as it takes.
pub(super) fn write_headers(stream: u32, block: &[u8], end_stream: bool, out: &mut Vec<u8>) {
    let (first, mut rest) = block.split_at(block.len().min(MAX_FRAME));
    let end = |rest: &[u8]| if rest.is_empty() { flag::END_HEADERS } else { 0 };
    let flags = end(rest) | if end_stream { flag::END_STREAM } else { 0 };
    write_frame(Kind::Headers, flags, stream, first, out);
    while !rest.is_empty() {
        let (next, after) = rest.split_at(rest.len().min(MAX_FRAME));
        rest = after;
        write_frame(Kind::Continuation, end(rest), stream, next, out);
    }
}
