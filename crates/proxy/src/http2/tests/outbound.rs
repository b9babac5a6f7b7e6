//! The client's side: `> ` is what a member says, `< ` are our frames.

use super::*;
use crate::http2::{Answer, Outbound, Replied, Reply};

const TEN: [u8; 10] = [b'x'; 10];
const OK: [(&str, &str); 1] = [(":status", "200")];

/// A connection to a member after both sides have said what comes first, and what became of it.
struct Call {
    core: Outbound,
    fields: Fields,
    now: u64,
    lines: Vec<String>,
}

impl Call {
    fn fresh() -> Self {
        let mut call = Self { core: Outbound::new(), fields: Fields::default(), now: 1, lines: vec![] };
        let preface: Vec<u8> = call.core.output().drain(..PREFACE.len()).collect();
        assert_eq!(preface, PREFACE);
        assert_eq!(call.lines(), ["< SETTINGS 2:0 4:65536 6:32768", "< WINDOW_UPDATE 0 6488065"]);
        call
    }

    fn new() -> Self {
        let mut call = Self::fresh();
        call.say(&settings(&[]));
        assert_eq!(call.lines(), ["< SETTINGS ack"]);
        call
    }

    /// One with these requests under way, each with whether it has no content.
    fn with(requests: &[(&[(&str, &str)], bool)]) -> Self {
        let mut call = Self::new();
        for (nth, (fields, end)) in requests.iter().enumerate() {
            assert_eq!(call.open(fields, *end), Some(2 * nth as u32 + 1));
        }
        call.lines();
        call
    }

    fn open(&mut self, fields: &[(&str, &str)], end: bool) -> Option<u32> {
        self.core.open(&block(fields), end, fields[0].1 == "HEAD")
    }

    /// The member says these bytes; `false` = the connection is over.
    fn say(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            match self.core.receive(bytes, &mut self.fields, self.now) {
                Ok(Replied { used: 0, .. }) => {
                    assert!(bytes.len() <= MAX_FRAME + 9);
                    return true;
                }
                Ok(Replied { used, reply }) => {
                    bytes = &bytes[used..];
                    self.lines.extend(reply.map(|reply| format!("> {}", said(&reply))));
                }
                Err(_) => return false,
            }
        }
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.extend(super::frames(&std::mem::take(self.core.output())));
        lines
    }
}

fn said(reply: &Reply<'_>) -> String {
    let end = |end: bool| if end { " end" } else { "" };
    match reply {
        Reply::Head { stream, answer, end: ends } => {
            format!("head {stream} {}{}", answer.status, end(*ends))
        }
        Reply::Content { stream, content, end: ends } => {
            format!("content {stream} {}{}", content.len(), end(*ends))
        }
        Reply::Trailers { stream, trailers } => {
            let mut out = vec![];
            trailers.write(&mut out);
            format!("trailers {stream} {}", out.escape_ascii())
        }
        Reply::Gone { stream, refused } => format!("{} {stream}", if *refused { "refused" } else { "gone" }),
        Reply::Leaves { last } => format!("leaves {last}"),
    }
}

/// What becomes of these frames of a member that was asked GET on stream 1 and POST, with no end yet, on stream 3.
#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[&str]) {
    let begun = || Call::with(&[(&GET, true), (&POST, false)]);
    let mut call = begun();
    call.say(&frames.concat());
    assert_eq!(call.lines(), expected);
    // It is the same when it comes byte by byte.
    let (mut slow, mut held) = (begun(), vec![]);
    for byte in frames.concat() {
        held.push(byte);
        let Ok(Replied { used, reply }) = slow.core.receive(&held, &mut slow.fields, slow.now) else { break };
        slow.lines.extend(reply.map(|reply| format!("> {}", said(&reply))));
        held.drain(..used);
    }
    assert_eq!(slow.lines(), expected);
}

fn leave(last: u32) -> Vec<u8> {
    frame(Kind::Goaway, 0, 0, &[&last.to_be_bytes()[..], &[0; 4]].concat())
}

fn refuse(stream: u32) -> Vec<u8> {
    frame(Kind::RstStream, 0, stream, &[0, 0, 0, 7])
}

#[test]
fn responses_of_all_kinds() {
    check(&[headers(BOTH, 1, &OK)], &["> head 1 200 end"]);
    check(
        &[headers(END_HEADERS, 1, &OK), data(0, 1, &TEN), data(END_STREAM, 1, b"")],
        &["> head 1 200", "> content 1 10", "> content 1 0 end"],
    );
    let interim = headers(END_HEADERS, 1, &[(":status", "103"), ("link", "x")]);
    check(
        &[interim.clone(), interim, headers(BOTH, 1, &OK)],
        &["> head 1 103", "> head 1 103", "> head 1 200 end"],
    );
    check(
        &[headers(END_HEADERS, 1, &OK), data(0, 1, &TEN), headers(BOTH, 1, &[("grpc-status", "0")])],
        &["> head 1 200", "> content 1 10", "> trailers 1 grpc-status: 0\\r\\n"],
    );
    // Before the request is whole, and beside another.
    check(
        &[headers(END_HEADERS, 3, &OK), data(0, 3, b"x"), headers(BOTH, 1, &OK), data(0, 3, b"y")],
        &["> head 3 200", "> content 3 1", "> head 1 200 end", "> content 3 1"],
    );
    let block = block(&OK);
    let parts =
        [frame(Kind::Headers, END_STREAM, 1, &block[..0]), frame(Kind::Continuation, END_HEADERS, 1, &block)];
    check(&parts, &["> head 1 200 end"]);
}

#[test]
fn what_ends_a_stream_and_not_the_connection() {
    let long = "x".repeat(9_000);
    let large: Vec<_> = OK.iter().copied().chain((0..4).map(|_| ("x", long.as_str()))).collect();
    let large = block(&large);
    let (first, rest) = large.split_at(MAX_FRAME);
    let with = |fields: &[(&str, &str)]| headers(END_HEADERS, 1, &[&OK[..], fields].concat());
    let status = |status| headers(BOTH, 1, &[(":status", status)]);
    for (frames, before, code) in [
        (vec![data(0, 1, &TEN)], &[][..], "PROTOCOL_ERROR"),
        (vec![headers(BOTH, 1, &[])], &[], "PROTOCOL_ERROR"),
        (vec![headers(BOTH, 1, &[("x", "y"), (":status", "200")])], &[], "PROTOCOL_ERROR"),
        (vec![headers(BOTH, 1, &[(":status", "200"), (":status", "200")])], &[], "PROTOCOL_ERROR"),
        (vec![headers(BOTH, 1, &GET)], &[], "PROTOCOL_ERROR"),
        (vec![with(&[(":path", "/")])], &[], "PROTOCOL_ERROR"),
        (vec![status("20")], &[], "PROTOCOL_ERROR"),
        (vec![status("2000")], &[], "PROTOCOL_ERROR"),
        (vec![status("099")], &[], "PROTOCOL_ERROR"),
        (vec![status("2 0")], &[], "PROTOCOL_ERROR"),
        (vec![status("101")], &[], "PROTOCOL_ERROR"),
        // An interim response that is the last.
        (vec![status("100")], &[], "PROTOCOL_ERROR"),
        (vec![with(&[("connection", "x")])], &[], "PROTOCOL_ERROR"),
        (vec![with(&[("transfer-encoding", "chunked")])], &[], "PROTOCOL_ERROR"),
        (vec![with(&[("x", "a\r\ny: z")])], &[], "PROTOCOL_ERROR"),
        (vec![with(&[("x y", "z")])], &[], "PROTOCOL_ERROR"),
        (vec![with(&[("content-length", "-1")])], &[], "PROTOCOL_ERROR"),
        (vec![with(&[("content-length", "1"), ("content-length", "1")])], &[], "PROTOCOL_ERROR"),
        (
            vec![frame(Kind::Headers, END_STREAM, 1, first), frame(Kind::Continuation, END_HEADERS, 1, rest)],
            &[],
            "PROTOCOL_ERROR",
        ),
        (vec![with(&[("content-length", "9")]), data(0, 1, &TEN)], &["> head 1 200"], "PROTOCOL_ERROR"),
        (
            vec![with(&[("content-length", "11")]), data(END_STREAM, 1, &TEN)],
            &["> head 1 200"],
            "PROTOCOL_ERROR",
        ),
        (
            vec![with(&[("content-length", "11")]), headers(BOTH, 1, &[("x", "y")])],
            &["> head 1 200"],
            "PROTOCOL_ERROR",
        ),
        (vec![headers(BOTH, 1, &[(":status", "200"), ("content-length", "1")])], &[], "PROTOCOL_ERROR"),
        (
            vec![headers(END_HEADERS, 1, &[(":status", "204")]), data(0, 1, &TEN)],
            &["> head 1 204"],
            "PROTOCOL_ERROR",
        ),
        // What comes after the content is the end, and no head.
        (vec![with(&[]), with(&[])], &["> head 1 200"], "PROTOCOL_ERROR"),
        (vec![with(&[]), headers(BOTH, 1, &OK)], &["> head 1 200"], "PROTOCOL_ERROR"),
        (vec![window_update(1, 0)], &[], "PROTOCOL_ERROR"),
        (vec![window_update(1, 0x7fff_ffff)], &[], "FLOW_CONTROL_ERROR"),
    ] {
        let shown = format!("{frames:?}");
        let mut frames = frames;
        frames.push(headers(BOTH, 3, &OK));
        let reset = format!("< RST_STREAM 1 {code}");
        let expected = [before, &["> gone 1", "> head 3 200 end", &reset]].concat();
        let mut call = Call::with(&[(&GET, true), (&POST, false)]);
        assert!(call.say(&frames.concat()), "{shown}");
        assert_eq!(call.lines(), expected, "{shown}");
    }
}

#[test]
fn what_ends_the_connection() {
    for (bytes, code) in [
        (headers(BOTH, 5, &OK), "PROTOCOL_ERROR"),
        (headers(BOTH, 2, &OK), "PROTOCOL_ERROR"),
        (headers(BOTH, 0, &OK), "PROTOCOL_ERROR"),
        (data(0, 0, &TEN), "PROTOCOL_ERROR"),
        (data(0, 5, &TEN), "PROTOCOL_ERROR"),
        (reset(5), "PROTOCOL_ERROR"),
        (window_update(5, 1), "PROTOCOL_ERROR"),
        (frame(Kind::PushPromise, END_HEADERS, 1, &[0, 0, 0, 2, 0x88]), "PROTOCOL_ERROR"),
        // Nobody pushes anything to a server.
        (settings(&[(2, 1)]), "PROTOCOL_ERROR"),
        (window_update(0, 0x7fff_ffff), "FLOW_CONTROL_ERROR"),
        (frame(Kind::Headers, BOTH, 1, &[0xff, 0x20]), "COMPRESSION_ERROR"),
        (frame(Kind::Ping, 0, 0, &[0; 7]), "FRAME_SIZE_ERROR"),
        (vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], "FRAME_SIZE_ERROR"),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "FRAME_SIZE_ERROR"),
    ] {
        let shown = format!("{bytes:?}");
        let mut call = Call::with(&[(&GET, true), (&POST, false)]);
        assert!(!call.say(&bytes), "{shown}");
        assert_eq!(call.lines(), [format!("< GOAWAY 0 {code}")], "{shown}");
        assert!(!call.core.has_room() && call.core.is_leaving());
    }
    // Settings come first.
    for bytes in [headers(BOTH, 1, &OK), frame(Kind::Settings, flag::ACK, 0, &[])] {
        assert!(!Call::fresh().say(&bytes));
    }
    // Nor is a block without end put up with.
    let mut call = Call::with(&[(&GET, true)]);
    call.say(&frame(Kind::Headers, 0, 1, &[]));
    assert!(!call.say(&frame(Kind::Continuation, 0, 1, &[]).repeat(20)));
    assert_eq!(call.lines(), ["< GOAWAY 0 ENHANCE_YOUR_CALM"]);
}

#[test]
fn as_many_streams_as_the_member_takes() {
    // One, until it has said how many.
    let mut call = Call::fresh();
    assert_eq!(call.open(&GET, true), Some(1));
    assert_eq!(call.open(&GET, true), None);
    call.say(&settings(&[(3, 2)]));
    assert_eq!([call.open(&GET, true), call.open(&GET, true)], [Some(3), None]);
    call.say(&headers(BOTH, 1, &OK));
    assert_eq!([call.open(&GET, true), call.open(&GET, true)], [Some(5), None]);
    // Others are not broken off when it takes fewer.
    call.say(&settings(&[(3, 0)]));
    assert_eq!((call.core.streams(), call.core.has_room()), (2, false));
    // Nor does it get more than we would have.
    call.say(&settings(&[(3, u32::MAX)]));
    while call.open(&GET, true).is_some() {}
    assert_eq!(call.core.streams(), MEMBER_STREAMS);
}

#[test]
fn a_member_that_leaves() {
    check(&[leave(1), headers(BOTH, 3, &OK), headers(BOTH, 1, &OK)], &["> leaves 1", "> head 1 200 end"]);
    check(&[leave(0x7fff_ffff), headers(BOTH, 3, &OK)], &["> leaves 2147483647", "> head 3 200 end"]);
    check(&[refuse(3)], &["> refused 3"]);
    check(&[reset(3), reset(3)], &["> gone 3"]);
    let mut call = Call::with(&[(&GET, true)]);
    call.say(&leave(1));
    assert_eq!(call.open(&GET, true), None);
    assert!(call.core.is_leaving());
}

#[test]
fn what_nobody_wants_any_more() {
    let over = |request: &[(&str, &str)], end: bool, frames: &[Vec<u8>], after: &[Vec<u8>]| {
        let mut call = Call::with(&[(request, end)]);
        call.say(&frames.concat());
        call.lines();
        call.core.release(1);
        let mut lines = call.lines();
        assert!(call.say(&after.concat()));
        lines.extend(call.lines());
        (lines, call.core.streams())
    };
    let reset = |code: &str| vec![format!("< RST_STREAM 1 {code}")];
    let length = headers(END_HEADERS, 1, &[(":status", "200"), ("content-length", "10")]);
    assert_eq!(over(&GET, true, &[], &[]), (reset("CANCEL"), 0));
    assert_eq!(over(&POST, false, &[], &[]), (reset("CANCEL"), 0));
    // The response is whole, the request is not.
    assert_eq!(over(&POST, false, &[headers(BOTH, 1, &OK)], &[]), (reset("NO_ERROR"), 0));
    assert_eq!(over(&GET, true, &[headers(BOTH, 1, &OK)], &[]), (vec![], 0));
    // All is here but the end, which costs no reset.
    assert_eq!(over(&GET, true, &[length.clone(), data(0, 1, &TEN)], &[]), (vec![], 1));
    let (lines, streams) = over(&GET, true, &[length.clone(), data(0, 1, &TEN)], &[data(END_STREAM, 1, b"")]);
    assert_eq!((lines.len(), streams), (1, 0), "{lines:?}");
    assert_eq!(over(&GET, true, &[length.clone(), data(0, 1, &TEN[1..])], &[]), (reset("CANCEL"), 0));
    // What comes late is passed over.
    let late = [data(0, 1, &TEN), headers(BOTH, 1, &[("x", "y")]), window_update(1, 1), self::reset(1)];
    assert_eq!(over(&GET, true, &[length], &late), (reset("CANCEL"), 0));
}

#[test]
fn head_has_no_content() {
    let head = [(":method", "HEAD"), (":scheme", "https"), (":path", "/"), (":authority", "a")];
    let length = headers(END_HEADERS, 1, &[(":status", "200"), ("content-length", "10")]);
    let mut call = Call::with(&[(&head, true)]);
    call.say(&[length.clone(), data(END_STREAM, 1, b"")].concat());
    assert_eq!(call.lines(), ["> head 1 200", "> content 1 0 end"]);
    let mut call = Call::with(&[(&head, true)]);
    call.say(&[length, data(END_STREAM, 1, &TEN)].concat());
    assert_eq!(call.lines(), ["> head 1 200", "> gone 1", "< RST_STREAM 1 PROTOCOL_ERROR"]);
}

#[test]
fn requests_as_the_member_lets_them() {
    let mut call = Call::new();
    call.say(&settings(&[(4, 20)]));
    call.lines();
    assert_eq!(call.open(&POST, false), Some(1));
    assert_eq!(call.core.send_content(1, &[0; 30], true), 20);
    assert_eq!(call.lines(), ["< HEADERS 1", "< DATA 1 20"]);
    assert_eq!(call.core.room(1), 0);
    call.say(&window_update(1, 100));
    assert!(call.core.take_widened());
    assert_eq!(call.core.send_content(1, &[0; 10], false), 10);
    call.core.send_trailers(1, &block(&[("sum", "1")]));
    assert_eq!(call.lines(), ["< DATA 1 10", "< HEADERS 1 end"]);
    // After the end there is no more of it.
    call.core.send_trailers(1, &block(&[("sum", "1")]));
    assert_eq!((call.core.send_content(1, b"x", false), call.lines().len()), (0, 0));
    call.say(&headers(BOTH, 1, &OK));
    assert_eq!((call.lines().len(), call.core.streams()), (1, 0));
    // A table that is smaller than ours is noticed.
    call.say(&settings(&[(1, 0)]));
    call.lines();
    call.open(&GET, true);
    let block_begins_with = call.core.output()[9];
    assert_eq!(block_begins_with, 0x20);
}

#[test]
fn windows_are_opened_as_content_is_read() {
    let mut call = Call::with(&[(&GET, true)]);
    call.say(&[headers(END_HEADERS, 1, &OK), data(0, 1, &[0; 16_384]).repeat(4)].concat());
    assert_eq!(call.lines().len(), 5);
    // It is full.
    assert!(call.say(&data(0, 1, b"x")));
    assert_eq!(call.lines(), ["> gone 1", "< RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    let mut call = Call::with(&[(&GET, true)]);
    call.say(&[headers(END_HEADERS, 1, &OK), data(0, 1, &[0; 16_384]).repeat(4)].concat());
    call.lines();
    call.core.consumed(1, 40_000);
    assert_eq!(call.lines(), ["< WINDOW_UPDATE 1 40000"]);
    assert!(call.say(&data(0, 1, &[0; 16_384]).repeat(2)));
    // A hundred that nobody reads leave room for each other.
    let mut call = Call::new();
    for _ in 0..MEMBER_STREAMS {
        let id = call.open(&GET, true).unwrap();
        let all = [headers(END_HEADERS, id, &OK), data(0, id, &[0; 16_384]).repeat(4)].concat();
        assert!(call.say(&all), "{id}");
    }
    assert_eq!(call.core.streams(), MEMBER_STREAMS);
}

#[test]
fn members_that_cost_more_than_they_answer() {
    let patience = |frame: &[u8]| {
        let mut call = Call::with(&[(&GET, true), (&POST, false)]);
        (0..5_000).position(|_| !call.say(frame))
    };
    for (frame, times) in [
        (frame(Kind::Ping, 0, 0, &[0; 8]), 499),
        (settings(&[(3, 1)]), 499),
        (window_update(0, 1), 1_996),
        (leave(3), 1_996),
        (vec![0, 0, 0, 0x42, 0, 0, 0, 0, 0], 1_996),
    ] {
        assert_eq!(patience(&frame), Some(times), "{frame:?}");
    }
    // Of a stream that is over.
    let mut call = Call::with(&[(&GET, true)]);
    call.core.release(1);
    assert_eq!((0..5_000).position(|_| !call.say(&data(0, 1, b"x"))), Some(1_996));
    // Interim responses cost memory, so they end with their stream.
    let mut call = Call::with(&[(&GET, true)]);
    let interim = headers(END_HEADERS, 1, &[(":status", "103"), ("x", &"x".repeat(4_000))]);
    assert!(call.say(&interim.repeat(17)));
    assert_eq!(call.lines().last().unwrap(), "< RST_STREAM 1 PROTOCOL_ERROR");
    // But who measures each message it gets is welcome.
    let mut call = Call::with(&[(&POST, false)]);
    for _ in 0..5_000 {
        call.say(&window_update(0, 1));
        assert_eq!(call.core.send_content(1, b"x", false), 1);
        assert!(call.say(&[frame(Kind::Ping, 0, 0, &[0; 8]), window_update(1, 1)].concat()));
        call.now += 10;
    }
}

/// As heads of HTTP/1.1.
#[test]
fn heads_as_they_go_on() {
    let written = |of: &[(&str, &str)], end: bool, to_head: bool| {
        let mut fields = Fields::default();
        Decoder::default().decode(&block(of), &mut fields).unwrap();
        let mut out = vec![];
        let chunked = Answer::read(&fields).unwrap().write(end, to_head, &mut out);
        (String::from_utf8(out).unwrap(), chunked)
    };
    let ok = |fields: &[(&'static str, &'static str)]| [&OK[..], fields].concat();
    let status = |status: &'static str| vec![(":status", status)];
    for (fields, end, to_head, expected, chunked) in [
        (ok(&[]), false, false, "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n", true),
        (ok(&[("x", "y")]), true, false, "HTTP/1.1 200 \r\nx: y\r\ncontent-length: 0\r\n\r\n", false),
        (ok(&[("content-length", "5")]), false, false, "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n", false),
        (ok(&[("content-length", "5")]), true, true, "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n", false),
        (ok(&[]), false, true, "HTTP/1.1 200 \r\n\r\n", false),
        (status("304"), true, false, "HTTP/1.1 304 \r\n\r\n", false),
        (status("204"), false, false, "HTTP/1.1 204 \r\n\r\n", false),
        (status("100"), false, false, "HTTP/1.1 100 \r\n\r\n", false),
        (
            ok(&[("set-cookie", "a"), ("set-cookie", "b"), ("te", "trailers")]),
            false,
            false,
            "HTTP/1.1 200 \r\nset-cookie: a\r\nset-cookie: b\r\ntransfer-encoding: chunked\r\n\r\n",
            true,
        ),
    ] {
        assert_eq!(written(&fields, end, to_head), (expected.to_owned(), chunked), "{fields:?}");
    }
}
