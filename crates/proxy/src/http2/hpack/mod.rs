//! HPACK (RFC 7541): header fields made short.
//!
//! What clients send is decoded with the table they fill. What we send uses none: no answer depends on another, and a
//! connection owes no memory to the answers it has given.

mod decode;
mod encode;
pub(crate) mod huffman;
mod table;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Fields, Undecodable};
pub(crate) use encode::encode_field;
pub(super) use encode::encode_status;
