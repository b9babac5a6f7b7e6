//! Which fields may come after a body. Some readers merge trailers into the head, as if they had been there when it
//! was judged; so what steers a message, says who the client is, or is set by us may not come late (RFC 9110 §6.5.1).

use super::{FramingError, field};

/// Names that are refused, in order. In lower case, as names are compared; a star stands for any rest.
///
/// Framing and connection, routing, what modifies a request, authentication and cookies, what controls a response,
/// the format of the content, and what [`InsertHeader`](octavia_wire::InsertHeader) sets. `Proxy-Status`
/// (RFC 9209 §2), `Proxy-Authentication-Info` (RFC 7615 §4), `Content-Digest` (RFC 9530 §2) and their like may come
/// late by definition, so prefixes are few.
pub(crate) const REFUSED: [&str; 41] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "if-*",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-client-ip",
    "x-forwarded-*",
    "x-real-ip",
    "x-ssl-client-*",
    "x-ssl-issuer",
];

const NOT_LATE: FramingError = FramingError("a field that must not come as a trailer");

/// A name as far as it is known: which of [`REFUSED`] begin like it. They are neighbours, since the list is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    first: u8,
    end: u8,
}

impl Name {
    pub(super) const fn new() -> Self {
        Self { first: 0, end: REFUSED.len() as u8 }
    }

    /// Takes the byte of the name that comes after `at` others.
    pub(super) fn push(self, at: u16, byte: u8) -> Result<Self, FramingError> {
        let Self { mut first, mut end } = self;
        let byte = field::plain(byte);
        let fits = |index: u8| letter(index, at) == Some(byte);
        while first < end && !fits(first) {
            first += 1;
        }
        while first < end && !fits(end - 1) {
            end -= 1;
        }
        if first < end && letter(first, at + 1) == Some(b'*') {
            Err(NOT_LATE)
        } else {
            Ok(Self { first, end })
        }
    }

    /// The name has ended after `len` bytes.
    pub(super) fn check(self, len: u16) -> Result<(), FramingError> {
        // The shortest of those that begin alike is the first.
        let refused = self.first < self.end && letter(self.first, len).is_none();
        if refused { Err(NOT_LATE) } else { Ok(()) }
    }
}

fn letter(index: u8, at: u16) -> Option<u8> {
    REFUSED[usize::from(index)].as_bytes().get(usize::from(at)).copied()
}

#[cfg(test)]
mod tests {
    use octavia_wire::InsertHeader;

    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(REFUSED.is_sorted());
        for name in REFUSED {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(name.strip_suffix('*').unwrap_or(name).bytes().all(fits), "{name}");
        }
    }

    fn is_refused(name: &str) -> bool {
        let mut known = Name::new();
        for (at, byte) in name.bytes().enumerate() {
            match known.push(at as u16, byte) {
                Ok(next) => known = next,
                Err(_) => return true,
            }
        }
        known.check(name.len() as u16).is_err()
    }

    #[test]
    fn names() {
        let listed = REFUSED.map(|name| name.replace('*', "any"));
        let inserted = InsertHeader::ALL.iter().map(|header| header.name().to_owned());
        for name in listed.into_iter().chain(inserted) {
            assert!(is_refused(&name), "{name}");
            assert!(is_refused(&name.to_uppercase()), "{name} in upper case");
            assert!(is_refused(&name.replace('-', "_")), "{name} with underscores");
            assert!(is_refused(&name.replace('-', ".")), "{name} with dots");
            assert!(!is_refused(&format!("x{name}")), "{name} with something before it");
            let longer = format!("{name}-x");
            let by_prefix =
                REFUSED.iter().filter_map(|name| name.strip_suffix('*')).any(|p| name.starts_with(p));
            assert!(by_prefix || name.starts_with("X-") || !is_refused(&longer), "{longer}");
        }
        for name in [
            "a",
            "agent",
            "Authentication-Info",
            "Content-Digest",
            "Content-MD5",
            "ETag",
            "Grpc-Message",
            "Grpc-Status",
            "If",
            "Link",
            "Proxy-Authentication-Info",
            "Proxy-Status",
            "Repr-Digest",
            "Server-Timing",
            "Signature",
            "t",
            "X-Amz-Checksum-Crc32",
            "X-Forwarde",
            "X-Forwarded",
            "x-amz-trailer-signature",
            "z",
        ] {
            assert!(!is_refused(name), "{name}");
        }
    }
}
