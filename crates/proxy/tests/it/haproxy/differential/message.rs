//! Messages in a stream of bytes, by the letter of RFC 9112, and how they are told in a line.

use std::fmt::Write as _;

/// Content longer than this is told by its length.
const SHOWN: usize = 80;

/// A message, or what there is of one.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) start: &'a [u8],
    pub(super) fields: Vec<(String, &'a [u8])>,
    pub(super) content: Vec<u8>,
    trailers: Vec<(String, &'a [u8])>,
    /// Bytes of the head.
    pub(super) head: usize,
    /// All its bytes; `None` = the end is missing.
    pub(super) len: Option<usize>,
    /// Its end is that of the stream.
    pub(super) open: bool,
    /// Why nobody can say where it ends.
    pub(super) broken: Option<&'static str>,
}

/// What is known of a message by the one it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// To HEAD.
    Bare,
}

impl<'a> Message<'a> {
    /// The message at the start of `bytes`; `None` while its head is not whole.
    pub(super) fn read(bytes: &'a [u8], kind: Kind) -> Option<Self> {
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let mut lines = lines(&bytes[..head - 2]);
        let start = lines.next().unwrap_or_default();
        let mut message = Self { start, fields: lines.map(field).collect(), head, ..Self::default() };
        let rest = &bytes[head..];
        let status = message.status();
        let empty = match kind {
            Kind::Request => false,
            Kind::Response => matches!(status, 100..200 | 204 | 304),
            Kind::Bare => true,
        };
        let length = message.values("content-length").next();
        if empty {
            message.len = Some(head);
        } else if message.values("transfer-encoding").next().is_some() {
            message.read_chunks(rest);
        } else if let Some(length) = length {
            match std::str::from_utf8(length).ok().and_then(|length| length.parse::<usize>().ok()) {
                Some(length) => message.take(rest, length),
                None => message.broken = Some("length"),
            }
        } else if kind == Kind::Request {
            message.len = Some(head);
        } else {
            message.open = true;
            message.content = rest.to_vec();
        }
        Some(message)
    }

    fn take(&mut self, rest: &[u8], length: usize) {
        self.len = (length <= rest.len()).then(|| self.head + length);
        self.content = rest[..length.min(rest.len())].to_vec();
    }

    fn read_chunks(&mut self, rest: &'a [u8]) {
        let mut at = 0;
        loop {
            let Some(line) = line(&rest[at..]) else { return };
            at += line.len() + 2;
            let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            let size = std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let Some(size) = size else {
                self.broken = Some("chunk");
                return;
            };
            if size == 0 {
                break;
            }
            let data = &rest[at..];
            self.content.extend(&data[..size.min(data.len())]);
            if data.len() < size.saturating_add(2) {
                return;
            }
            if data[size..][..2] != *b"\r\n" {
                self.broken = Some("chunk");
                return;
            }
            at += size + 2;
        }
        loop {
            let Some(line) = line(&rest[at..]) else { return };
            at += line.len() + 2;
            if line.is_empty() {
                self.len = Some(self.head + at);
                return;
            }
            self.trailers.push(field(line));
        }
    }

    /// 0 of what has none.
    pub(super) fn status(&self) -> u16 {
        let text = self.start.split(|&b| b == b' ').nth(1);
        text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or_default()
    }

    /// No other response to the same request comes after it.
    pub(super) fn is_final(&self) -> bool {
        let status = self.status();
        status == 101 || !(100..200).contains(&status)
    }

    pub(super) fn target(&self) -> &'a [u8] {
        self.start.split(|&b| b == b' ').nth(1).unwrap_or_default()
    }

    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(other, _)| other == name).map(|(_, value)| *value)
    }

    /// In a line: the first line, fields by name, content, and what is wrong with it.
    pub(super) fn tell(&self) -> String {
        let mut text = self.first();
        // Refusals have words of their own.
        let ours = self.status() >= 400
            && self.values("cache-control").eq([&b"no-cache"[..]])
            && self.values("content-type").eq([&b"text/html"[..]]);
        if ours {
            text = format!("{} by the proxy", self.status());
        }
        let about = |name: &str| matches!(name, "cache-control" | "content-type" | "content-length");
        for (name, value) in sorted(&self.fields) {
            // Options of a connection are the same in any case (RFC 9110 §7.6.1).
            let value = if name == "connection" { shown(value).to_ascii_lowercase() } else { shown(value) };
            if !ours || !about(name) {
                write!(text, "; {name}: {value}").unwrap();
            }
        }
        if !self.content.is_empty() && !ours {
            write!(text, "; \"{}\"", shown(&self.content)).unwrap();
        }
        for (name, value) in sorted(&self.trailers) {
            write!(text, "; trailer {name}: {}", shown(value)).unwrap();
        }
        match self.broken {
            Some(what) => write!(text, "; (bad {what})").unwrap(),
            None if self.len.is_none() && !self.open => text.push_str("; (cut)"),
            None => {}
        }
        text
    }

    /// Without the version, if that is 1.1.
    fn first(&self) -> String {
        let text = self.start.escape_ascii().to_string();
        let text = text.strip_suffix(" HTTP/1.1").unwrap_or(&text);
        text.strip_prefix("HTTP/1.1 ").unwrap_or(text).trim_end().to_owned()
    }
}

fn sorted<'m, 'a>(fields: &'m [(String, &'a [u8])]) -> Vec<&'m (String, &'a [u8])> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

/// Bytes as a text, the longer ones by what they are made of.
pub(super) fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN {
        return bytes.escape_ascii().to_string();
    }
    if bytes.iter().all(|b| *b == bytes[0]) {
        return format!("{} times {}", bytes.len(), bytes[..1].escape_ascii());
    }
    let sum = bytes.iter().fold(0_u32, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
    format!("{}… {} bytes, {sum:08x}", bytes[..16].escape_ascii(), bytes.len())
}

/// The next line, without its end; `None` while that is missing.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|w| w == b"\r\n").map(|end| &bytes[..end])
}

fn lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let line = line(bytes)?;
        bytes = &bytes[line.len() + 2..];
        Some(line)
    })
}

/// Name and value of a header line. What has no colon is a name.
fn field(line: &[u8]) -> (String, &[u8]) {
    let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
    let name = line[..colon].escape_ascii().to_string().to_ascii_lowercase();
    (name, line.get(colon + 1..).unwrap_or_default().trim_ascii())
}

#[test]
fn messages_are_told() {
    let tell = |bytes: &str, kind| Message::read(bytes.as_bytes(), kind).map(|m| (m.tell(), m.len));
    let told = |text: &str, len| Some((text.to_owned(), len));
    assert_eq!(tell("GET / HTTP/1.1\r\nHost: a\r\n", Kind::Request), None);
    let get = "GET / HTTP/1.0\r\nX: y\r\nhost:  a \r\n\r\nmore";
    assert_eq!(tell(get, Kind::Request), told("GET / HTTP/1.0; host: a; x: y", Some(35)));
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd";
    assert_eq!(tell(sized, Kind::Response), told("200 OK; content-length: 3; \"abc\"", Some(41)));
    assert_eq!(tell(sized, Kind::Bare), told("200 OK; content-length: 3", Some(38)));
    assert_eq!(tell(&sized[..39], Kind::Response), told("200 OK; content-length: 3; \"a\"; (cut)", None));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n0\r\nT: u\r\n\r\n";
    let all = "200 OK; transfer-encoding: chunked; \"ab\"; trailer t: u";
    assert_eq!(tell(chunked, Kind::Response), told(all, Some(chunked.len())));
    let broken = chunked.replace("ab\r\n", "abc\r\n");
    let bad = "200 OK; transfer-encoding: chunked; \"ab\"; (bad chunk)";
    assert_eq!(tell(&broken, Kind::Response), told(bad, None));
    assert_eq!(tell("HTTP/1.1 204 No Content\r\n\r\nx", Kind::Response), told("204 No Content", Some(27)));
    assert_eq!(tell("HTTP/1.1 200\r\n\r\nx", Kind::Response), told("200; \"x\"", None));
}
