//! The rules for the fields of a response (RFC 9113 §8), and how it goes on: as a response of HTTP/1.1.

use std::io::Write as _;

use super::head::{check, write_field};
use super::{Fields, Malformed};
use crate::http1;

/// The head of a response.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'f> {
    fields: &'f Fields,
    pub status: u16,
    content_length: Option<u64>,
}

impl<'f> Answer<'f> {
    pub fn read(fields: &'f Fields) -> Result<Self, Malformed> {
        let (mut status, mut content_length, mut regular) = (None, None, false);
        for (name, value) in fields.iter() {
            if name.first() == Some(&b':') {
                if regular {
                    return Err(Malformed("a pseudo-header after a header"));
                }
                if name != b":status" {
                    return Err(Malformed("a pseudo-header that responses do not have"));
                }
                if status.replace(code(value).ok_or(Malformed(":status"))?).is_some() {
                    return Err(Malformed("a pseudo-header that comes twice"));
                }
                continue;
            }
            regular = true;
            check(name, value)?;
            if name == b"content-length" {
                let length = http1::content_length(value).ok_or(Malformed("content-length"))?;
                if content_length.replace(length).is_some() {
                    return Err(Malformed("more than one content-length"));
                }
            }
        }
        match status {
            None => Err(Malformed("no :status")),
            // There is no other protocol to switch to (§8.6).
            Some(101) => Err(Malformed("101")),
            Some(status) => Ok(Self { fields, status, content_length }),
        }
    }

    /// Another head follows on.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// What the content has to add up to, if that is known; `to_head` = the request was HEAD.
    pub fn content(&self, to_head: bool) -> Option<u64> {
        if self.has_none(to_head) { Some(0) } else { self.content_length }
    }

    /// Appends it as a head of HTTP/1.1, which says how the content after it is framed: by its length if that is known,
    /// in chunks otherwise; `end` = there is none. `true` = in chunks.
    pub fn write(&self, end: bool, to_head: bool, out: &mut Vec<u8>) -> bool {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "HTTP/1.1 {} \r\n", self.status);
        let fields = self.fields.iter().filter(|(name, _)| name.first() != Some(&b':') && *name != b"te");
        fields.for_each(|(name, value)| write_field(name, value, out));
        let unsaid = self.content_length.is_none() && !self.has_none(to_head);
        if unsaid {
            let framing: &[u8] =
                if end { b"content-length: 0\r\n" } else { b"transfer-encoding: chunked\r\n" };
            out.extend_from_slice(framing);
        }
        out.extend_from_slice(b"\r\n");
        unsaid && !end
    }

    /// Its kind has no content, whatever its headers say (RFC 9110 §6.4.1).
    fn has_none(&self, to_head: bool) -> bool {
        to_head || self.is_interim() || matches!(self.status, 204 | 304)
    }
}

/// Three digits, of which the first is not zero.
fn code(value: &[u8]) -> Option<u16> {
    let &[a @ b'1'..=b'9', b, c] = value else { return None };
    let digits = [a, b, c];
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}
