//! A request's head as [`write_request`](super::write_request) has written it, read back to go on in other words.

use super::{Framing, field};

/// The head of a request of our own writing: what it says was judged before.
#[derive(Debug, Clone, Copy)]
pub struct Written<'b> {
    pub method: &'b [u8],
    pub target: &'b [u8],
    pub host: &'b [u8],
    pub framing: Framing,
    /// Bytes of the head.
    pub len: usize,
    lines: &'b [u8],
}

impl<'b> Written<'b> {
    /// `None` = it is none, or not whole.
    pub fn read(bytes: &'b [u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 2;
        let (line, lines) = split(&bytes[..end])?;
        let mut words = line.split(|&b| b == b' ');
        let (method, target) = (words.next()?, words.next()?);
        let (mut host, mut framing) = (None, Framing::None);
        for (name, value) in fields(lines) {
            match field::kind(std::str::from_utf8(name).ok()?) {
                field::Kind::Host => host = Some(value),
                field::Kind::ContentLength => framing = Framing::Length(field::content_length(value)?),
                field::Kind::TransferEncoding => framing = Framing::Chunked,
                _ => {}
            }
        }
        Some(Self { method, target, host: host?, framing, len: end + 2, lines })
    }

    /// The headers that are no matter of one connection, without `Host`.
    pub fn fields(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        use field::Kind::{ContentLength, EndToEnd, Expect};
        let stays = |name: &[u8]| {
            let name = std::str::from_utf8(name).unwrap_or_default();
            matches!(field::kind(name), EndToEnd | ContentLength | Expect)
        };
        fields(self.lines).filter(move |&(name, _)| stays(name))
    }
}

fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let (line, after) = split(rest)?;
        rest = after;
        let colon = line.iter().position(|&b| b == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// The first line, and what is after it.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.windows(2).position(|two| two == b"\r\n")?;
    Some((&text[..end], &text[end + 2..]))
}
