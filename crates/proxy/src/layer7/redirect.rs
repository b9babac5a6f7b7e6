//! Where a redirect leads.

/// An answer that sends the client elsewhere.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
    to: Box<[u8]>,
    /// The target of the request comes after it.
    with_target: bool,
}

impl Redirect {
    pub(super) fn to(location: &str, code: u16) -> Self {
        Self { code, to: visible(location.as_bytes()), with_target: false }
    }

    pub(super) fn with_target(prefix: &str, code: u16) -> Self {
        Self { code, to: visible(prefix.as_bytes()), with_target: true }
    }

    /// Appends the value of `Location`, for a request with this target: always of visible ASCII characters, so it is
    /// one line with nothing after it, whatever bytes it is made of.
    pub fn location(&self, target: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to);
        if self.with_target {
            // The server as a whole (`*`) has no path.
            push_visible(if target == b"*" { b"/" } else { target }, out);
        }
    }
}

fn visible(text: &[u8]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len());
    push_visible(text, &mut out);
    out.into()
}

/// Writes what cannot be in a URI percent-encoded (RFC 3986 §2.1).
fn push_visible(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &b in text {
        if b.is_ascii_graphic() {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
        }
    }
}
