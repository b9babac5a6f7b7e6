//! HTTP/2 (RFC 9113), with clients and with members: bytes in, messages and frames out; no I/O, no clock.
//!
//! Inside, every stream speaks HTTP/1.1: a message that has passed the rules here is written as one ([`Head::write`],
//! [`Answer::write`]), and one that is to go out is read as one ([`Outgoing`]). So there is one judge of what may go on
//! to the other side, and nothing that is done with requests knows two protocols.
//!
//! [`Connection`] follows the frames of a client: it says what the client wants ([`Event`]), and has the frames that
//! answer in its output. [`Outbound`] does the same towards a member ([`Reply`]). What is alike is in [`link`]. What the
//! other side may cost without asking for anything is bounded by [`flood`].

mod answer;
mod by_id;
mod connection;
mod error;
mod flood;
mod frame;
mod head;
mod hpack;
mod inflow;
mod link;
mod outbound;
mod outgoing;
mod peer;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use connection::{Connection, Event, Received};
pub use error::{Code, Fault};
pub use head::{Head, Malformed, Trailers, write_chunk};
pub use hpack::{Decoder, Fields, Undecodable};
#[cfg(any(test, fuzzing))]
pub(crate) use hpack::{encode_field, huffman};
pub use outbound::{Outbound, Replied, Reply};
pub use outgoing::{Outgoing, Untranslatable};

pub(crate) use by_id::ById;
#[cfg(any(test, fuzzing))]
pub(crate) use frame::{Kind, flag, write_frame};

/// What a client that speaks HTTP/2 says first (§3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest payload of a frame, in bytes, either way: the least that everybody takes (§4.2).
pub const MAX_FRAME: usize = 16 * 1024;
/// Streams a client may have open at the same time.
pub const MAX_STREAMS: usize = 100;
/// In the PING whose answer says that the client has read our farewell.
const FAREWELL: &[u8; 8] = b"farewell";
/// The longest list of header fields of a message, in bytes, with 32 for each field (§6.5.2); longer requests get 431.
pub const MAX_LIST: usize = 32 * 1024;
/// The most fields of it. Cookies may come in many.
pub const MAX_FIELDS: usize = 256;
/// The longest header block as it is sent, in bytes, and the most frames it may come in: beyond, the client floods.
pub const MAX_BLOCK: usize = 32 * 1024;
pub const MAX_BLOCK_FRAMES: u32 = 16;
/// The memory clients may have us keep to make their headers shorter, in bytes (RFC 7541 §4.2).
pub const MAX_TABLE: usize = 4096;
/// Content that a client may send before it is read, in bytes: of one stream, and of all of a connection.
pub const STREAM_WINDOW: u32 = 128 * 1024;
pub const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Streams that are open on one connection to a member, at most.
pub const MEMBER_STREAMS: usize = 100;
/// Content that a member may send before it is read, in bytes, of one stream.
pub const MEMBER_WINDOW: u32 = 64 * 1024;
