//! The rules for the fields of a request (RFC 9113 §8), and how it goes on: as a request of HTTP/1.1.

use std::io::Write as _;

use super::Fields;
use crate::http1;

/// A message that breaks the rules of HTTP/2 itself: its stream ends (§8.1.1). A request that breaks those of HTTP is
/// answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is malformed: {0}")]
pub struct Malformed(pub &'static str);

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'f> {
    fields: &'f Fields,
    pub method: &'f [u8],
    /// `/path?query` or `*`; the authority of CONNECT.
    target: &'f [u8],
    /// What is asked for, as the client calls it.
    authority: Option<&'f [u8]>,
    /// What the content has to add up to.
    pub content_length: Option<u64>,
}

/// What of it is in fields that are none.
#[derive(Default)]
struct Pseudo<'f> {
    method: Option<&'f [u8]>,
    scheme: Option<&'f [u8]>,
    authority: Option<&'f [u8]>,
    path: Option<&'f [u8]>,
}

impl<'f> Head<'f> {
    /// `end` = nothing comes after it.
    pub fn read(fields: &'f Fields, end: bool) -> Result<Self, Malformed> {
        let mut pseudo = Pseudo::default();
        let (mut host, mut content_length, mut regular) = (None, None, false);
        for (name, value) in fields.iter() {
            if let [b':', name @ ..] = name {
                if regular {
                    return Err(Malformed("a pseudo-header after a header"));
                }
                pseudo.take(name, value)?;
                continue;
            }
            regular = true;
            check(name, value)?;
            match name {
                b"host" if host.replace(value).is_some() => return Err(Malformed("more than one host")),
                b"content-length" => {
                    let length = http1::content_length(value).ok_or(Malformed("content-length"))?;
                    if content_length.replace(length).is_some() {
                        return Err(Malformed("more than one content-length"));
                    }
                }
                _ => {}
            }
        }
        if end && content_length.is_some_and(|length| length > 0) {
            return Err(Malformed("less content than content-length says"));
        }
        let method = pseudo.method.ok_or(Malformed("no :method"))?;
        if method.is_empty() || !method.iter().all(|&b| is_token(b)) {
            return Err(Malformed(":method"));
        }
        let authority = match (pseudo.authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                return Err(Malformed("host differs from :authority"));
            }
            (authority, host) => authority.or(host),
        };
        if authority.is_some_and(|authority| !authority.iter().all(u8::is_ascii_graphic)) {
            return Err(Malformed(":authority"));
        }
        let target = pseudo.target(method)?;
        Ok(Self { fields, method, target, authority, content_length })
    }

    /// Appends it as a head of HTTP/1.1, which says how the content after it is framed: by its length if that is known,
    /// in chunks otherwise. `true` = in chunks.
    pub fn write(&self, end: bool, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.method);
        out.push(b' ');
        out.extend_from_slice(self.target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(authority) = self.authority {
            write_field(b"host", authority, out);
        }
        let mut cookies = false;
        for (name, value) in self.fields.iter() {
            match name {
                [b':', ..] | b"host" => {}
                b"cookie" => cookies = true,
                _ => write_field(name, value, out),
            }
        }
        if cookies {
            self.write_cookies(out);
        }
        let chunked = !end && self.content_length.is_none();
        if chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        } else if self.content_length.is_none() && matches!(self.method, b"POST" | b"PUT" | b"PATCH") {
            // Some servers want to be told (RFC 9110 §8.6).
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        out.extend_from_slice(b"\r\n");
        chunked
    }

    /// Clients may send cookies one by one (§8.2.3).
    fn write_cookies(&self, out: &mut Vec<u8>) {
        let mut mark: &[u8] = b"cookie: ";
        for (_, crumb) in self.fields.iter().filter(|(name, _)| *name == b"cookie") {
            out.extend_from_slice(mark);
            out.extend_from_slice(crumb);
            mark = b"; ";
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl<'f> Pseudo<'f> {
    /// `name` is without its colon.
    fn take(&mut self, name: &[u8], value: &'f [u8]) -> Result<(), Malformed> {
        let place = match name {
            b"method" => &mut self.method,
            b"scheme" => &mut self.scheme,
            b"authority" => &mut self.authority,
            b"path" => &mut self.path,
            _ => return Err(Malformed("a pseudo-header that requests do not have")),
        };
        if place.replace(value).is_some() {
            return Err(Malformed("a pseudo-header that comes twice"));
        }
        Ok(())
    }

    fn target(&self, method: &[u8]) -> Result<&'f [u8], Malformed> {
        if method == b"CONNECT" {
            return match (self.authority, self.scheme, self.path) {
                (Some(authority), None, None) if !authority.is_empty() => Ok(authority),
                _ => Err(Malformed("CONNECT with other pseudo-headers than it has")),
            };
        }
        let scheme = self.scheme.ok_or(Malformed("no :scheme"))?;
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(Malformed("a :scheme that is not served"));
        }
        let path = self.path.ok_or(Malformed("no :path"))?;
        match path {
            [b'/', ..] if path.iter().all(u8::is_ascii_graphic) => Ok(path),
            b"*" if method == b"OPTIONS" => Ok(path),
            _ => Err(Malformed(":path")),
        }
    }
}

/// The fields that come after a request's content.
#[derive(Debug, Clone, Copy)]
pub struct Trailers<'f>(&'f Fields);

impl<'f> Trailers<'f> {
    pub fn read(fields: &'f Fields) -> Result<Self, Malformed> {
        for (name, value) in fields.iter() {
            check(name, value)?;
        }
        Ok(Self(fields))
    }

    /// Appends them as those of a chunked body, without the empty line after them.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.0.iter() {
            write_field(name, value, out);
        }
    }
}

/// Appends content as one chunk.
pub fn write_chunk(content: &[u8], out: &mut Vec<u8>) {
    if !content.is_empty() {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{:x}\r\n", content.len());
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A field that is no pseudo-header (§8.2).
pub(super) fn check(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    if name.is_empty() || !name.iter().all(|&b| is_token(b) && !b.is_ascii_uppercase()) {
        return Err(Malformed("a header's name"));
    }
    let is_text = |&b: &u8| b == b'\t' || b >= b' ' && b != 0x7f;
    let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    if !value.iter().all(is_text) || is_blank(value.first()) || is_blank(value.last()) {
        return Err(Malformed("a header's value"));
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(Malformed("a header that is about a connection"))
        }
        b"te" if !value.eq_ignore_ascii_case(b"trailers") => Err(Malformed("te")),
        _ => Ok(()),
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
