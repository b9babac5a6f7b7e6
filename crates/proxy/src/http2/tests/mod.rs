//! Frames in, and what is made of them, as lines: `> ` is what the client wants, `< ` are our frames.

mod connection;
mod floods;
mod head;
mod outbound;
mod outgoing;

use super::*;
use crate::http2::hpack::encode_field;

/// A header block.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![];
    fields.iter().for_each(|(name, value)| encode_field(name.as_bytes(), value.as_bytes(), &mut out));
    out
}

pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
pub(super) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

pub(super) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    write_frame(kind, flags, stream, payload, &mut out);
    out
}

pub(super) const END_STREAM: u8 = flag::END_STREAM;
pub(super) const END_HEADERS: u8 = flag::END_HEADERS;
pub(super) const BOTH: u8 = flag::END_STREAM | flag::END_HEADERS;

pub(super) fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(Kind::Headers, flags, stream, &block(fields))
}

pub(super) fn data(flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    frame(Kind::Data, flags, stream, content)
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(Kind::RstStream, 0, stream, &[0, 0, 0, 8])
}

pub(super) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &by.to_be_bytes())
}

pub(super) fn settings(of: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = vec![];
    for (name, value) in of {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(Kind::Settings, 0, 0, &payload)
}

/// A connection after both sides have said what comes first, and what became of it.
pub(super) struct Talk {
    pub(super) core: Connection,
    fields: Fields,
    pub(super) now: u64,
    lines: Vec<String>,
}

impl Talk {
    pub(super) fn new() -> Self {
        let mut talk = Self { core: Connection::new(), fields: Fields::default(), now: 1, lines: vec![] };
        talk.say(PREFACE);
        talk.say(&settings(&[]));
        let first = talk.lines();
        assert_eq!(
            first,
            ["< SETTINGS 3:100 4:131072 6:32768", "< WINDOW_UPDATE 0 458753", "< SETTINGS ack",]
        );
        talk
    }

    /// The client says these bytes; `false` = the connection is over.
    pub(super) fn say(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            match self.core.receive(bytes, &mut self.fields, self.now) {
                Ok(Received { used: 0, .. }) => {
                    assert!(bytes.len() <= MAX_FRAME + 9);
                    return true;
                }
                Ok(Received { used, event }) => {
                    bytes = &bytes[used..];
                    self.lines.extend(event.map(|event| format!("> {}", said(&event))));
                }
                Err(_) => return false,
            }
        }
    }

    /// What has become of it since this was asked last.
    pub(super) fn lines(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.extend(frames(&std::mem::take(self.core.output())));
        lines
    }
}

fn said(event: &Event<'_>) -> String {
    let end = |end: bool| if end { " end" } else { "" };
    match event {
        Event::Request { stream, head, end: ends } => {
            let method = String::from_utf8_lossy(head.method);
            format!("request {stream} {method}{}", end(*ends))
        }
        Event::Content { stream, content, end: ends } => {
            format!("content {stream} {}{}", content.len(), end(*ends))
        }
        Event::Trailers { stream, trailers } => {
            let mut out = vec![];
            trailers.write(&mut out);
            format!("trailers {stream} {}", out.escape_ascii())
        }
        Event::Cancelled { stream, .. } => format!("cancelled {stream}"),
    }
}

/// Our frames, one a line.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = vec![];
    while !bytes.is_empty() {
        let length = usize::from(bytes[1]) << 8 | usize::from(bytes[2]) | usize::from(bytes[0]) << 16;
        let (kind, flags) = (bytes[3], bytes[4]);
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let stream = number(&bytes[5..]);
        let payload = &bytes[9..9 + length];
        bytes = &bytes[9 + length..];
        let end = if matches!(kind, 0 | 1) && flags & 1 != 0 { " end" } else { "" };
        lines.push(match kind {
            0 => format!("< DATA {stream} {length}{end}"),
            1 => format!("< HEADERS {stream}{end}{}", if flags & 4 == 0 { " more" } else { "" }),
            3 => format!("< RST_STREAM {stream} {}", code(number(payload))),
            4 if flags & 1 != 0 => "< SETTINGS ack".to_owned(),
            4 => {
                let all = payload.chunks(6).map(|one| format!(" {}:{}", one[1], number(&one[2..])));
                format!("< SETTINGS{}", all.collect::<String>())
            }
            6 => format!("< PING {}", payload.escape_ascii()),
            7 => format!("< GOAWAY {} {}", number(payload), code(number(&payload[4..]))),
            8 => format!("< WINDOW_UPDATE {stream} {}", number(payload)),
            9 => format!("< CONTINUATION {stream}{}", if flags & 4 == 0 { " more" } else { "" }),
            other => panic!("a frame of type {other}"),
        });
    }
    lines
}

fn code(number: u32) -> &'static str {
    match number {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        2 => "INTERNAL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        7 => "REFUSED_STREAM",
        8 => "CANCEL",
        9 => "COMPRESSION_ERROR",
        11 => "ENHANCE_YOUR_CALM",
        _ => panic!("error code {number}"),
    }
}

/// What becomes of these frames of a client.
#[track_caller]
pub(super) fn check(frames: &[Vec<u8>], expected: &[&str]) {
    let mut talk = Talk::new();
    talk.say(&frames.concat());
    assert_eq!(talk.lines(), expected);
    // It is the same when it comes byte by byte: only whole frames are looked at.
    let (mut slow, mut held) = (Talk::new(), vec![]);
    for byte in frames.concat() {
        held.push(byte);
        let Ok(Received { used, event }) = slow.core.receive(&held, &mut slow.fields, slow.now) else {
            break;
        };
        slow.lines.extend(event.map(|event| format!("> {}", said(&event))));
        held.drain(..used);
    }
    assert_eq!(slow.lines(), expected);
}
