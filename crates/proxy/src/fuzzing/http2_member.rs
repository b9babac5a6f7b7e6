//! Frames of members: whatever comes in whatever pieces, what goes on is at most one response of HTTP/1.1 for each
//! stream, and what is sent is frames.

use super::http2::assert_frames;
use crate::http1::{self, Body, Framing};
use crate::http2::{Answer, ById, Fields, MAX_FRAME, Outbound, PREFACE, Reply, write_chunk};

/// What was asked for before the member said a word: on each stream, whether it was HEAD, and whether all of it was sent.
const ASKED: [(u32, bool, bool); 4] =
    [(1, false, true), (3, true, true), (5, false, false), (7, false, true)];

/// `data` as the frames after the settings.
pub fn frames(data: &[u8]) -> bool {
    let whole = Talk::of(data, |_| usize::MAX);
    assert_eq!(Talk::of(data, |_| 1), whole, "byte by byte");
    let chance = |at: usize| 1 + usize::from(data[at / 2] ^ data[at]) % 40;
    assert_eq!(Talk::of(data, chance), whole, "in pieces");
    assert_frames(&whole.out);
    whole.heads > 0
}

/// All that came of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Talk {
    out: Vec<u8>,
    heads: usize,
    content: usize,
    gone: usize,
    left: u32,
    failed: bool,
}

/// What a stream has brought.
struct Stream {
    to_head: bool,
    chunked: bool,
    /// As it goes on; `None` = there was no head, or it is refused.
    body: Option<Body>,
    headed: bool,
}

impl Talk {
    fn of(data: &[u8], size: impl Fn(usize) -> usize) -> Self {
        let mut core = Outbound::new();
        core.output().drain(..PREFACE.len());
        let mut fields = Fields::default();
        let mut talk = Self { left: u32::MAX, ..Self::default() };
        let mut streams = ById::default();
        let mut held = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        let mut at = 0;
        loop {
            let mut used = 0;
            loop {
                match core.receive(&held[used..], &mut fields, 0) {
                    Ok(replied) if replied.used == 0 => break,
                    Ok(replied) => {
                        used += replied.used;
                        talk.reply(replied.reply, &mut core, &mut streams);
                    }
                    Err(_) => {
                        talk.failed = true;
                        assert!(core.receive(&held[used..], &mut fields, 0).is_err());
                        assert!(!core.has_room() && core.is_leaving());
                        talk.out.append(core.output());
                        return talk;
                    }
                }
            }
            if at == 0 {
                ask(&mut core, &mut streams);
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

    fn reply(&mut self, reply: Option<Reply<'_>>, core: &mut Outbound, streams: &mut ById<Stream>) {
        match reply {
            None => {}
            Some(Reply::Head { stream, answer, end }) => {
                self.heads += 1;
                let there = streams.get_mut(stream).expect("a head of no stream");
                there.head(&answer, end);
                if end {
                    streams.remove(stream);
                } else if stream == 5 {
                    // Both sides talk.
                    core.send_content(5, b"hi", false);
                }
            }
            Some(Reply::Content { stream, content, end }) => {
                self.content += content.len();
                let there = streams.get_mut(stream).expect("content of no stream");
                let mut text = vec![];
                if there.chunked {
                    write_chunk(content, &mut text);
                    text.extend_from_slice(if end { b"0\r\n\r\n" } else { b"" });
                } else {
                    text.extend_from_slice(content);
                }
                there.take(&text, end);
                core.consumed(stream, content.len() as u32);
                if end {
                    streams.remove(stream);
                }
            }
            Some(Reply::Trailers { stream, trailers }) => {
                let mut there = streams.remove(stream).expect("trailers of no stream");
                let mut text = vec![];
                if there.chunked {
                    text.extend_from_slice(b"0\r\n");
                    trailers.write(&mut text);
                    text.extend_from_slice(b"\r\n");
                }
                there.take(&text, true);
            }
            Some(Reply::Gone { stream, .. }) => {
                self.gone += 1;
                // One that has ended may be reset, too, while more of the request could be sent.
                if streams.remove(stream).is_none() {
                    assert_eq!(stream, 5, "no stream to end");
                }
            }
            Some(Reply::Leaves { last }) => {
                self.left = self.left.min(last);
                assert!(!core.has_room());
                let gone: Vec<_> = streams.ids().filter(|&id| id > last).collect();
                gone.into_iter().for_each(|id| _ = streams.remove(id));
            }
        }
    }
}

fn ask(core: &mut Outbound, streams: &mut ById<Stream>) {
    for (id, to_head, end) in ASKED {
        assert_eq!(core.open(&[0x82, 0x87, 0x84], end, to_head), Some(id));
        streams.insert(id, Stream { to_head, chunked: false, body: None, headed: false });
    }
}

impl Stream {
    /// What the other core makes of it.
    fn head(&mut self, answer: &Answer<'_>, end: bool) {
        assert!(!self.headed, "a second head");
        let mut text = vec![];
        self.chunked = answer.write(end, self.to_head, &mut text);
        self.headed = !answer.is_interim();
        assert!(self.headed || !end);
        let mut slots = http1::header_slots();
        match http1::Response::parse(&text, &mut slots, self.to_head, false) {
            Ok(Some(response)) => {
                assert_eq!(response.len, text.len(), "there is a second response in it");
                assert_eq!((response.status, response.is_interim()), (answer.status, answer.is_interim()));
                let none = self.to_head || answer.is_interim() || matches!(answer.status, 204 | 304);
                let framing = match answer.content(self.to_head) {
                    _ if none => Framing::None,
                    Some(length) => Framing::Length(length),
                    None if end => Framing::Length(0),
                    None => Framing::Chunked,
                };
                assert_eq!(response.framing, framing);
                let body = Body::new(framing);
                assert!(!end || body.is_done());
                self.body = self.headed.then_some(body);
            }
            Ok(None) => panic!("it would be waited for ever"),
            Err(_) => self.body = None,
        }
    }

    fn take(&mut self, text: &[u8], end: bool) {
        assert!(self.headed, "content before the head");
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
