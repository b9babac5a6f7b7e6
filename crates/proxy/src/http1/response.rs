//! Response heads from members.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::affinity::Affinity;
use super::field::{self, ConnectionOptions, Kind};
use super::{Framing, HeaderSlots, MAX_HEAD};

/// A response head that may be forwarded.
#[derive(Debug)]
pub struct Response<'h, 'b> {
    pub status: u16,
    pub reason: &'b str,
    pub framing: Framing,
    /// The member would take another request on this connection.
    pub keep_alive: bool,
    /// Bytes of the head.
    pub len: usize,
    pub(super) headers: &'h [Header<'b>],
    /// One bit a header: not forwarded.
    pub(super) drop: u128,
    /// The bits of `Transfer-Encoding`, for a client that does not know it.
    pub(super) transfer_encoding: u128,
    /// Chunked is the only coding of the body.
    pub only_chunked: bool,
    /// A cookie of ours that goes along.
    pub(super) affinity: Option<Affinity>,
}

/// Why a member's answer cannot be used: the client gets 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response is malformed: {0}")]
pub struct BadResponse(pub &'static str);

const TOO_LARGE: BadResponse = BadResponse("the head is too large");

impl<'h, 'b> Response<'h, 'b> {
    /// Reads the head at the start of `bytes`; `None` when it is not complete yet. `to_head` = the request was HEAD;
    /// `upgrade` = the request asked for another protocol.
    pub fn parse(
        bytes: &'b [u8],
        slots: &'h mut HeaderSlots<'b>,
        to_head: bool,
        upgrade: bool,
    ) -> Result<Option<Self>, BadResponse> {
        let response = Self::read(bytes, slots, to_head, upgrade)?;
        let length = response.as_ref().map_or(bytes.len() + 1, |response| response.len);
        if length > MAX_HEAD { Err(TOO_LARGE) } else { Ok(response) }
    }

    /// The same for one of our own writing, which may be longer than what a member sends.
    pub fn read(
        bytes: &'b [u8],
        slots: &'h mut [MaybeUninit<Header<'b>>],
        to_head: bool,
        upgrade: bool,
    ) -> Result<Option<Self>, BadResponse> {
        let mut raw = httparse::Response::new(&mut []);
        let status = ParserConfig::default().parse_response_with_uninit_headers(&mut raw, bytes, slots);
        let len = match status {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
            Err(_) => return Err(BadResponse("syntax of the head")),
        };
        let status = raw.code.unwrap_or_default();
        let headers: &'h [Header<'b>] = raw.headers;
        let http11 = raw.version == Some(1);

        let mut drop = 0;
        let mut connection = ConnectionOptions::default();
        let mut length = None;
        let mut transfer_encoding = 0;
        let (mut chunked, mut chunked_once, mut only_chunked) = (false, false, true);
        let mut length_bits = 0;
        for (index, header) in headers.iter().enumerate() {
            let bit = 1u128 << index;
            match field::kind(header.name) {
                Kind::EndToEnd | Kind::Host | Kind::Expect => {}
                Kind::Connection => {
                    connection.read(header.value);
                    drop |= bit;
                }
                Kind::ContentLength => {
                    let value = field::content_length(header.value).ok_or(BadResponse("Content-Length"))?;
                    match length.replace(value) {
                        None => length_bits |= bit,
                        Some(before) if before == value => drop |= bit,
                        Some(_) => return Err(BadResponse("two values of Content-Length")),
                    }
                }
                Kind::TransferEncoding => {
                    for coding in field::list(header.value) {
                        chunked = coding.eq_ignore_ascii_case(b"chunked");
                        if chunked && chunked_once {
                            // Some readers would take it off twice (RFC 9112 §6.1 forbids it).
                            return Err(BadResponse("chunked twice"));
                        }
                        chunked_once |= chunked;
                        only_chunked &= chunked;
                    }
                    transfer_encoding |= bit;
                }
                // Which protocols there are, 426 has to say (RFC 9110 §15.5.22).
                Kind::Upgrade if matches!(status, 101 | 426) => {}
                Kind::Upgrade | Kind::Te | Kind::HopByHop => drop |= bit,
            }
        }
        if connection.names {
            field::drop_named(headers, &mut drop);
        }
        let mut keep_alive = !connection.close && (http11 || connection.keep_alive);
        let framing = match status {
            ..=99 => return Err(BadResponse("status below 100")),
            101 if upgrade => Framing::None,
            101 => return Err(BadResponse("101 without a request to upgrade")),
            _ if to_head || status < 200 || status == 204 || status == 304 => Framing::None,
            _ if transfer_encoding != 0 && !http11 => {
                return Err(BadResponse("Transfer-Encoding in HTTP/1.0"));
            }
            _ if chunked => Framing::Chunked,
            _ if transfer_encoding != 0 => Framing::Close,
            _ => length.map_or(Framing::Close, Framing::Length),
        };
        if transfer_encoding != 0 && length.is_some() {
            // The length is a lie or an attack: it is not passed on, nor is the connection trusted again.
            drop |= length_bits;
            keep_alive = false;
        }
        if status < 200 || status == 204 {
            // They never have a body; a client that believes a header instead would take the next answer for it
            // (RFC 9110 §8.6, RFC 9112 §6.1).
            drop |= length_bits | transfer_encoding;
            keep_alive &= transfer_encoding == 0 && length.is_none_or(|length| length == 0);
        }
        if framing == Framing::Close {
            keep_alive = false;
        }
        Ok(Some(Self {
            status,
            reason: raw.reason.unwrap_or_default(),
            framing,
            keep_alive,
            len,
            headers,
            drop,
            transfer_encoding,
            only_chunked,
            affinity: None,
        }))
    }

    /// The headers that go on over another protocol, whatever frames the body.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        let drop = self.drop | self.transfer_encoding;
        let going = self.headers.iter().enumerate().filter(move |(index, header)| {
            drop >> index & 1 == 0 && field::kind(header.name) != Kind::Upgrade
        });
        going.map(|(_, header)| (header.name, header.value))
    }

    /// An interim response: the real one follows on.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}
