//! Header fields: which ones steer a connection, and what their values say.

use httparse::Header;

/// A header by what we do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    /// Which codings, and whether trailers, are welcome on this connection.
    Te,
    /// Of this connection only, and without use to us: dropped.
    HopByHop,
    EndToEnd,
}

#[inline]
pub(super) fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Kind::Te,
        4 if is("host") => Kind::Host,
        6 if is("expect") => Kind::Expect,
        7 if is("upgrade") => Kind::Upgrade,
        10 if is("connection") => Kind::Connection,
        10 if is("keep-alive") => Kind::HopByHop,
        14 if is("content-length") => Kind::ContentLength,
        14 if is("http2-settings") => Kind::HopByHop,
        16 if is("proxy-connection") => Kind::HopByHop,
        17 if is("transfer-encoding") => Kind::TransferEncoding,
        _ => Kind::EndToEnd,
    }
}

/// Whether `name` is `other` to readers that write every mark in a name as an underscore, and to no others.
pub(super) fn looks_like(name: &str, other: &str) -> bool {
    name.len() == other.len()
        && !name.eq_ignore_ascii_case(other)
        && name.bytes().zip(other.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// A byte of a name as CGI and its children see it.
pub(super) fn plain(b: u8) -> u8 {
    if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' }
}

/// The elements of a comma-separated list, trimmed; empty ones are left out (RFC 9110 §5.6.1).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What the `Connection` headers of a message say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Some header is named, to be dropped by us.
    pub(super) names: bool,
}

impl ConnectionOptions {
    pub(super) fn read(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names = true;
            }
        }
    }
}

/// Marks in `drop` the headers that a `Connection` header names. Those that frame or route the message are never
/// dropped on a sender's word.
#[cold]
pub(super) fn drop_named(headers: &[Header<'_>], drop: &mut u128) {
    let connections = headers.iter().filter(|h| kind(h.name) == Kind::Connection);
    for name in connections.flat_map(|h| list(h.value)) {
        for (index, header) in headers.iter().enumerate() {
            if kind(header.name) == Kind::EndToEnd && header.name.as_bytes().eq_ignore_ascii_case(name) {
                *drop |= 1 << index;
            }
        }
    }
}

/// `1*DIGIT` below 2^63.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let length = value.iter().try_fold(0u64, |length, &b| {
        b.is_ascii_digit().then(|| length.wrapping_mul(10).wrapping_add(u64::from(b - b'0')))
    })?;
    (length <= i64::MAX as u64).then_some(length)
}

/// Whether every line of a head ends in CR LF: a bare LF is a line to some readers and not to others.
#[inline]
pub(super) fn lines_end_in_crlf(head: &[u8]) -> bool {
    // Without a branch in the loop it becomes vector code.
    let bare =
        head.iter().zip(&head[1..]).fold(false, |bare, (&before, &b)| bare | (b == b'\n' && before != b'\r'));
    !bare && head.first() != Some(&b'\n')
}
