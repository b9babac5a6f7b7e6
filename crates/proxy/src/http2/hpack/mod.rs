//! HPACK (RFC 7541): header fields made short.
//!
//! What the other side sends is decoded with the table it fills. What we send uses none: no message depends on another,
//! and a connection owes no memory to those it has sent.

mod decode;
mod encode;
pub(crate) mod huffman;
mod table;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Fields, Undecodable};
pub(crate) use encode::encode_field;
pub(super) use encode::{encode_asked, encode_status};
