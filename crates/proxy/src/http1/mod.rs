//! HTTP/1.1 message core: bytes in, facts and bytes out; no I/O, no clock.
//!
//! Strict where two readers could disagree about where a message ends (RFC 9112 §11.2): what could smuggle a
//! request is refused, never repaired. Heads are read by `httparse` and judged here; what goes on to the other side
//! is always written anew by [`write_request`] and [`write_response`].

mod affinity;
mod answer;
mod body;
mod field;
mod request;
mod response;
mod rewrite;
#[cfg(test)]
mod tests;
mod trailer;
pub(crate) mod value;
mod written;

use std::mem::MaybeUninit;

pub use affinity::{AFFINITY_COOKIE, Affinity};
pub use answer::{Answer, write_answer, write_exposition_head};
pub use body::{Body, FramingError};
pub(crate) use field::content_length;
pub use request::{Refusal, Request};
pub use response::{BadResponse, Response};
pub use rewrite::{ClientSide, Forwarding, write_request, write_response};
#[cfg(any(test, fuzzing))]
pub(crate) use trailer::REFUSED as REFUSED_TRAILERS;
pub use written::Written;

/// The longest head, in bytes.
pub const MAX_HEAD: usize = 32 * 1024;
/// The most header lines of a head.
pub const MAX_HEADERS: usize = 100;
/// Header lines that [`write_response`] adds, at most: two that keep a client with its member, HSTS, `Connection` twice.
pub const ADDED_HEADERS: usize = 5;
/// The longest request target and the longest header line, in bytes.
pub const MAX_LINE: usize = 16 * 1024;
/// The longest line of a chunked body before data (size and extensions), in bytes.
pub const MAX_CHUNK_LINE: usize = 1024;
/// The longest trailer section, in bytes, and so the longest line of it: gRPC tells the details of errors there.
pub const MAX_TRAILERS: usize = 8 * 1024;

/// Room for the header lines of one head; on the caller's stack, never initialised.
pub type HeaderSlots<'b> = [MaybeUninit<httparse::Header<'b>>; MAX_HEADERS];

/// Empty slots for one parse.
pub const fn header_slots<'b>() -> HeaderSlots<'b> {
    [const { MaybeUninit::uninit() }; MAX_HEADERS]
}

/// How the end of a message's body is known (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    Length(u64),
    Chunked,
    /// The body ends with the connection; of responses only.
    Close,
}

/// Whether `bytes` might hold a whole head, when `seen` bytes of them are known not to: saves parsing again for
/// every few bytes of a slow sender.
pub fn may_be_complete(bytes: &[u8], seen: usize) -> bool {
    let tail = &bytes[seen.saturating_sub(3)..];
    tail.windows(2).any(|w| w == b"\n\n") || tail.windows(3).any(|w| w == b"\n\r\n")
}
