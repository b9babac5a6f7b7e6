//! Where a body ends: follows the bytes of a message without keeping them.

use super::trailer::Name;
use super::{Framing, MAX_CHUNK_LINE, MAX_TRAILERS};

/// Follows one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(State);

/// Each exchange has two.
const _: () = assert!(size_of::<Body>() <= 24);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    Close,
    Chunked(Chunked),
}

/// Where in a chunked body we are (RFC 9112 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chunked {
    Size {
        size: u64,
        digits: u8,
    },
    /// After the size: blanks, then an extension or the end of the line.
    SizeBlank {
        size: u64,
        line: u16,
    },
    Extension {
        size: u64,
        line: u16,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart {
        total: u16,
    },
    TrailerName {
        total: u16,
        line: u16,
        name: Name,
    },
    TrailerValue {
        total: u16,
    },
    TrailerLf {
        total: u16,
    },
    EndLf,
}

/// A chunked body broke the rules: nothing after it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed: {0}")]
pub struct FramingError(pub(super) &'static str);

/// What one look at a chunked body found.
struct Step {
    /// Bytes gone through.
    len: usize,
    /// The last `data` of them are content.
    data: usize,
}

impl Body {
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Close => State::Close,
            Framing::Chunked => State::Chunked(Chunked::Size { size: 0, digits: 0 }),
        })
    }

    /// The whole body was seen. A close-delimited one is never done: its end is the connection's.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    pub fn is_chunked(&self) -> bool {
        matches!(self.0, State::Chunked(_))
    }

    /// The byte before is part of a trailer.
    pub fn is_in_trailer(&self) -> bool {
        use Chunked::{TrailerLf, TrailerName, TrailerStart, TrailerValue};
        let State::Chunked(chunked) = &self.0 else { return false };
        match chunked {
            TrailerStart { total } => *total > 0,
            TrailerName { .. } | TrailerValue { .. } | TrailerLf { .. } => true,
            _ => false,
        }
    }

    /// The end of the connection ends the body well.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.0, State::Close | State::Done)
    }

    /// How many of the next bytes are content for sure, and may be passed on unseen; then say so with
    /// [`Body::skip`].
    #[inline]
    pub fn opaque(&self) -> u64 {
        match self.0 {
            State::Length(left) | State::Chunked(Chunked::Data { left }) => left,
            State::Close => u64::MAX,
            State::Done | State::Chunked(_) => 0,
        }
    }

    /// Tells that `n` bytes, at most [`Body::opaque`], were passed on unseen.
    pub fn skip(&mut self, n: u64) {
        match &mut self.0 {
            State::Length(left) => {
                *left = left.saturating_sub(n);
                if *left == 0 {
                    self.0 = State::Done;
                }
            }
            State::Chunked(chunked @ Chunked::Data { .. }) => {
                if let Chunked::Data { left } = chunked {
                    *left = left.saturating_sub(n);
                    if *left == 0 {
                        *chunked = Chunked::DataCr;
                    }
                }
            }
            State::Done | State::Close | State::Chunked(_) => {}
        }
    }

    /// Goes through the next bytes; returns how many of them belong to the body.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        if !matches!(self.0, State::Chunked(_)) {
            let n = self.opaque().min(bytes.len() as u64);
            self.skip(n);
            return Ok(n as usize);
        }
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            at += self.step(&bytes[at..])?.len;
        }
        Ok(at)
    }

    /// Like [`Body::advance`], and appends the content to `out`, without the coding.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, FramingError> {
        if !matches!(self.0, State::Chunked(_)) {
            let n = self.advance(bytes)?;
            out.extend_from_slice(&bytes[..n]);
            return Ok(n);
        }
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            let step = self.step(&bytes[at..])?;
            at += step.len;
            out.extend_from_slice(&bytes[at - step.data..at]);
        }
        Ok(at)
    }

    /// Goes on until some content was passed, the body ended, or `bytes` (not empty) did.
    fn step(&mut self, bytes: &[u8]) -> Result<Step, FramingError> {
        use Chunked::*;
        let State::Chunked(state) = &mut self.0 else { return Ok(Step { len: 0, data: 0 }) };
        for (at, &b) in bytes.iter().enumerate() {
            *state = match *state {
                Size { size, digits } => match hex(b) {
                    Some(_) if digits == 15 => return Err(FramingError("the size has too many digits")),
                    Some(digit) => Size { size: size << 4 | digit, digits: digits + 1 },
                    None if digits == 0 => return Err(FramingError("no size")),
                    None => after_size(size, b, 0)?,
                },
                SizeBlank { size, line } => after_size(size, b, line)?,
                Extension { size, line } => match b {
                    b'\r' => SizeLf { size },
                    _ if line as usize >= MAX_CHUNK_LINE => return Err(FramingError("a long extension")),
                    _ if is_text(b) => Extension { size, line: line + 1 },
                    _ => return Err(FramingError("a control character in an extension")),
                },
                SizeLf { size } => match (b, size) {
                    (b'\n', 0) => TrailerStart { total: 0 },
                    (b'\n', _) => Data { left: size },
                    _ => return Err(FramingError("a size line does not end in CR LF")),
                },
                Data { left } => {
                    let data = left.min((bytes.len() - at) as u64);
                    self.skip(data);
                    let data = data as usize;
                    return Ok(Step { len: at + data, data });
                }
                DataCr if b == b'\r' => DataLf,
                DataLf if b == b'\n' => Size { size: 0, digits: 0 },
                DataCr | DataLf => return Err(FramingError("a chunk is longer than it said")),
                TrailerStart { total } => match b {
                    b'\r' => EndLf,
                    _ if is_token(b) => {
                        TrailerName { total: total + 1, line: 1, name: Name::new().push(0, b)? }
                    }
                    _ => return Err(FramingError("a trailer's name")),
                },
                TrailerName { total, .. } | TrailerValue { total } if total as usize >= MAX_TRAILERS => {
                    return Err(FramingError("long trailers"));
                }
                TrailerName { total, line, name } => match b {
                    b':' => {
                        name.check(line)?;
                        TrailerValue { total: total + 1 }
                    }
                    _ if is_token(b) => {
                        TrailerName { total: total + 1, line: line + 1, name: name.push(line, b)? }
                    }
                    _ => return Err(FramingError("a trailer's name")),
                },
                TrailerValue { total } => match b {
                    b'\r' => TrailerLf { total: total + 1 },
                    _ if is_text(b) => TrailerValue { total: total + 1 },
                    _ => return Err(FramingError("a control character in a trailer")),
                },
                TrailerLf { total } if b == b'\n' => TrailerStart { total: total + 1 },
                TrailerLf { .. } => return Err(FramingError("a trailer does not end in CR LF")),
                EndLf if b == b'\n' => {
                    self.0 = State::Done;
                    return Ok(Step { len: at + 1, data: 0 });
                }
                EndLf => return Err(FramingError("the body does not end in CR LF")),
            };
        }
        Ok(Step { len: bytes.len(), data: 0 })
    }
}

/// The byte after the digits of a size. Blanks there are bad style, but some old servers pad with them.
fn after_size(size: u64, b: u8, line: u16) -> Result<Chunked, FramingError> {
    match b {
        b'\r' => Ok(Chunked::SizeLf { size }),
        b';' => Ok(Chunked::Extension { size, line: line + 1 }),
        b' ' | b'\t' if line < 32 => Ok(Chunked::SizeBlank { size, line: line + 1 }),
        _ => Err(FramingError("a size is not a number")),
    }
}

fn hex(b: u8) -> Option<u64> {
    (b as char).to_digit(16).map(u64::from)
}

fn is_text(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
