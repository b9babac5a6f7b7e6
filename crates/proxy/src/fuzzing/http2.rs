//! Frames of clients: whatever comes in whatever pieces, what goes on is one request of HTTP/1.1 for each stream, and
//! what is answered is frames.

use crate::http1::{self, Body, Framing, MAX_HEAD};
use crate::http2::{
    ById, Connection, Decoder, Event, Fields, Head, MAX_FIELDS, MAX_FRAME, MAX_LIST, MAX_STREAMS, PREFACE,
    encode_field, huffman, write_chunk,
};

/// `data` as the frames after those that come first.
pub fn frames(data: &[u8]) -> bool {
    let whole = Talk::of(data, |_| usize::MAX);
    assert_eq!(Talk::of(data, |_| 1), whole, "byte by byte");
    let chance = |at: usize| 1 + usize::from(data[at / 2] ^ data[at]) % 40;
    assert_eq!(Talk::of(data, chance), whole, "in pieces");
    assert_frames(&whole.out);
    whole.requests > 0
}

/// `data` as a header block.
pub fn block(data: &[u8]) -> bool {
    let mut text = vec![];
    if huffman::decode(data, &mut text).is_ok() {
        let mut again = vec![];
        huffman::encode(&text, &mut again);
        assert_eq!(again, data, "there is one way to write it");
    }
    let mut fields = Fields::default();
    if Decoder::default().decode(data, &mut fields).is_err() {
        return false;
    }
    assert!(fields.len() <= MAX_FIELDS);
    let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    assert!(size <= MAX_LIST);
    let mut out = vec![];
    fields.iter().for_each(|(name, value)| encode_field(name, value, &mut out));
    let mut again = Fields::default();
    Decoder::default().decode(&out, &mut again).unwrap();
    let lower = |(name, value): (&[u8], &[u8])| (name.to_ascii_lowercase(), value.to_vec());
    assert!(fields.iter().map(lower).eq(again.iter().map(lower)));
    !fields.is_empty()
}

/// All that came of it.
#[derive(Debug, PartialEq, Eq)]
struct Talk {
    out: Vec<u8>,
    requests: usize,
    content: usize,
    cancelled: usize,
    failed: bool,
}

/// What a stream has brought.
struct Stream {
    /// As it goes to a member; `None` = it is refused.
    body: Option<Body>,
    chunked: bool,
}

impl Talk {
    fn of(data: &[u8], size: impl Fn(usize) -> usize) -> Self {
        let mut core = Connection::new();
        let mut fields = Fields::default();
        let mut talk = Self { out: vec![], requests: 0, content: 0, cancelled: 0, failed: false };
        let mut streams = ById::default();
        let mut held = [&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        let mut at = 0;
        loop {
            let mut used = 0;
            loop {
                match core.receive(&held[used..], &mut fields, 0) {
                    Ok(received) if received.used == 0 => break,
                    Ok(received) => {
                        used += received.used;
                        talk.event(received.event, &mut core, &mut streams);
                    }
                    Err(_) => {
                        talk.failed = true;
                        assert!(core.receive(&held[used..], &mut fields, 0).is_err());
                        talk.out.append(core.output());
                        return talk;
                    }
                }
                assert!(core.streams() <= MAX_STREAMS && core.streams() == streams.len());
            }
            held.drain(..used);
            assert!(held.len() < MAX_FRAME + 9, "more is held than a frame");
            talk.out.append(core.output());
            if at == data.len() {
                return talk;
            }
            let end = data.len().min(at.saturating_add(size(at)));
            held.extend_from_slice(&data[at..end]);
            at = end;
        }
    }

    fn event(&mut self, event: Option<Event<'_>>, core: &mut Connection, streams: &mut ById<Stream>) {
        match event {
            None => {}
            Some(Event::Request { stream, head, end }) => {
                self.requests += 1;
                assert!(streams.get(stream).is_none());
                streams.insert(stream, request(&head, end));
                if end {
                    answer(stream, core, streams);
                }
            }
            Some(Event::Content { stream, content, end }) => {
                self.content += content.len();
                let there = streams.get_mut(stream).expect("content of no stream");
                let mut text = vec![];
                if there.chunked {
                    write_chunk(content, &mut text);
                    if end {
                        text.extend_from_slice(b"0\r\n\r\n");
                    }
                } else {
                    text.extend_from_slice(content);
                }
                there.take(&text, end);
                core.consumed(stream, content.len() as u32);
                if end {
                    answer(stream, core, streams);
                }
            }
            Some(Event::Trailers { stream, trailers }) => {
                let there = streams.get_mut(stream).expect("trailers of no stream");
                let mut text = vec![];
                if there.chunked {
                    text.extend_from_slice(b"0\r\n");
                    trailers.write(&mut text);
                    text.extend_from_slice(b"\r\n");
                }
                there.take(&text, true);
                answer(stream, core, streams);
            }
            Some(Event::Cancelled { stream, .. }) => {
                self.cancelled += 1;
                streams.remove(stream).expect("no stream to cancel");
            }
        }
    }
}

/// What the other core makes of a request: one, and nothing after it, whatever is in it.
fn request(head: &Head<'_>, end: bool) -> Stream {
    let mut text = vec![];
    let chunked = head.write(end, &mut text);
    let mut slots = http1::header_slots();
    let body = match http1::Request::parse(&text, &mut slots) {
        Ok(None) => {
            assert!(text.len() >= MAX_HEAD, "it would be waited for ever");
            None
        }
        Ok(Some(request)) => {
            assert_eq!(request.len, text.len(), "there is a second request in it");
            assert_eq!(request.method.as_bytes(), head.method);
            let framing = match (end, head.content_length) {
                (_, Some(length)) => Framing::Length(length),
                (false, None) => Framing::Chunked,
                (true, None) if request.framing == Framing::Length(0) => Framing::Length(0),
                (true, None) => Framing::None,
            };
            assert_eq!(request.framing, framing);
            Some(Body::new(framing))
        }
        Err(_) => None,
    };
    Stream { body, chunked }
}

impl Stream {
    fn take(&mut self, text: &[u8], end: bool) {
        let Some(body) = &mut self.body else { return };
        match body.advance(text) {
            Ok(used) => {
                assert_eq!(used, text.len(), "there is something after the content");
                assert!(!end || body.is_done(), "the content does not end");
            }
            // Trailers that must not be.
            Err(_) => self.body = None,
        }
    }
}

fn answer(stream: u32, core: &mut Connection, streams: &mut ById<Stream>) {
    streams.remove(stream);
    core.send_headers(stream, &[0x88], false);
    if core.send_content(stream, b"hi", true) < 2 {
        core.reset(stream, crate::http2::Code::Cancel);
    }
}

pub(super) fn assert_frames(mut out: &[u8]) {
    while !out.is_empty() {
        let length = usize::from(out[1]) << 8 | usize::from(out[2]);
        assert!(out[0] == 0 && length <= MAX_FRAME && out[3] <= 9 && out[5] < 0x80);
        out = &out[9 + length..];
    }
}
