//! Frames made by hand.

use std::net::SocketAddr;

use crate::rig::Client;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const BOTH: u8 = 5;

/// GET and POST of http://a/.
pub(super) const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
pub(super) const POST: &[u8] = b"\x83\x86\x84\x41\x01a";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of one that ends something.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A connection on which the client has said what comes first, with these settings.
pub(super) fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Client {
    let mut client = Client::connect(address);
    client.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &self::settings(settings)].concat());
    client
}

pub(super) fn settings(of: &[(u16, u32)]) -> Vec<u8> {
    let one = |&(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &of.iter().flat_map(one).collect::<Vec<_>>())
}

/// The next frame; `None` = the connection ended.
pub(super) fn next(client: &mut Client) -> Option<Frame> {
    let head = client.take(9);
    let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = &head[..] else { return None };
    let payload = client.take(u32::from_be_bytes([0, l0, l1, l2]) as usize);
    Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
}

/// The next frame of this type.
#[track_caller]
pub(super) fn find(client: &mut Client, kind: u8) -> Frame {
    loop {
        let frame = next(client).expect("a frame");
        if frame.kind == kind {
            return frame;
        }
    }
}

/// The content of a stream to its end, without a word about windows.
pub(super) fn content(client: &mut Client, stream: u32) -> Vec<u8> {
    let mut content = vec![];
    loop {
        let frame = next(client).expect("a frame");
        if frame.stream != stream {
            continue;
        }
        assert!(matches!(frame.kind, DATA | HEADERS), "{frame:?}");
        if frame.kind == DATA {
            content.extend(frame.payload);
        }
        if frame.flags & END_STREAM != 0 {
            return content;
        }
    }
}
