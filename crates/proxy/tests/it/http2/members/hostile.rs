//! Members that break the rules: whatever they say, a client is told that something is wrong, or sees its answer break
//! off; the next request is served.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;
use crate::http2::raw::{
    self, BOTH, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};

const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

/// `:status` 200.
const OK: &[u8] = b"\x88";

/// The member's first words.
pub(super) fn greet(client: &mut Client) {
    assert_eq!(client.take(24), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(raw::settings(&[]));
}

/// The stream of the next request; `None` = the connection ended.
pub(super) fn next_request(client: &mut Client) -> Option<u32> {
    loop {
        let frame = raw::next(client)?;
        if frame.kind == HEADERS {
            return Some(frame.stream);
        }
    }
}

/// A response.
pub(super) fn said(stream: u32, text: &str) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, text.as_bytes())].concat()
}

/// A field that is in no table.
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

fn status(code: &str) -> Vec<u8> {
    [&[8, code.len() as u8][..], code.as_bytes()].concat()
}

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gets {
    Status(u16),
    /// The head and perhaps some content, but no end of it.
    Cut,
}

/// The member says this, once; what does the client get?
fn check(what: &str, words: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static, expected: Gets) {
    let first = AtomicBool::new(true);
    let origin = raw(move |mut client| {
        greet(&mut client);
        while let Some(stream) = next_request(&mut client) {
            if first.swap(false, SeqCst) {
                let words = words(stream);
                client.try_send(&words);
                if words.is_empty() {
                    return client.end();
                }
            } else if !client.try_send(said(stream, "hi")) {
                return;
            }
        }
    });
    let rig = rig(&[&origin]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    let text = String::from_utf8(client.take_all()).unwrap();
    let (head, content) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {text:?}"));
    let code: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let whole = length.map_or(content.ends_with("0\r\n\r\n"), |length: usize| content.len() >= length);
    let gets = if code == 200 && !whole { Gets::Cut } else { Gets::Status(code) };
    assert_eq!(gets, expected, "{what}: {text:?}");
    assert_eq!(rig.stats().ereq, 0, "{what}: it is no mistake of the client's");
    let errors = rig.member_state(0).errors();
    assert_eq!(errors, u64::from(expected != Gets::Status(200)), "{what}");
    assert_eq!(rig.get("/").text(), "hi", "{what}: afterwards");
}

#[test]
fn whatever_members_say() {
    let head = |flags: u8, fields: Vec<u8>| move |stream| frame(HEADERS, flags, stream, &fields);
    let with = |name: &str, value: &str| head(BOTH, [OK, &field(name, value)].concat());
    let then = |fields: Vec<u8>, more: fn(u32) -> Vec<u8>| {
        move |stream| [frame(HEADERS, END_HEADERS, stream, &fields), more(stream)].concat()
    };
    let length = |length: &str| [OK, &field("content-length", length)].concat();
    let bad = Gets::Status(502);
    check("as it should be", |stream| said(stream, "hi"), Gets::Status(200));
    check("nothing, and the end", |_| vec![], bad);
    check("HTTP/1.1", |_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec(), bad);
    check("no status", head(BOTH, vec![]), bad);
    check("a status of two digits", head(BOTH, status("20")), bad);
    check("another protocol", head(BOTH, status("101")), bad);
    check("an interim response at the end", head(BOTH, status("103")), bad);
    check("a line end in a value", with("x", "y\r\nset-cookie: z"), bad);
    check("a blank in a name", with("x y", "z"), bad);
    check("a name in upper case", with("X", "z"), bad);
    check("chunks", with("transfer-encoding", "chunked"), bad);
    check("a connection's header", with("connection", "close"), bad);
    check("a path", with(":path", "/"), bad);
    check("content that is missing", with("content-length", "2"), bad);
    check("two lengths", head(BOTH, [length("0"), field("content-length", "1")].concat()), bad);
    check("more than the table has", head(BOTH, vec![0xff, 0x20]), bad);
    check("content first", |stream| frame(DATA, END_STREAM, stream, b"hi"), bad);
    check("a reset", |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 2]), bad);
    check("a promise", |stream| frame(PUSH_PROMISE, END_HEADERS, stream, b"\0\0\0\x02\x88"), bad);
    check("another stream", |_| frame(HEADERS, BOTH, 77, OK), bad);
    check("a stream of its own", |_| frame(HEADERS, BOTH, 2, OK), bad);
    check("a frame that is too long", |stream| vec![1, 0, 0, DATA, 0, 0, 0, 0, stream as u8], bad);
    check("a window that is too large", |_| frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), bad);
    check(
        "a frame within a block",
        |stream| [frame(HEADERS, 0, stream, OK), frame(PING, 0, 0, &[0; 8])].concat(),
        bad,
    );
    check(
        "a block without end",
        |stream| {
            [frame(HEADERS, 0, stream, OK), frame(CONTINUATION, 0, stream, &[0x88; 100]).repeat(20)].concat()
        },
        bad,
    );
    check("pings without end", |_| frame(PING, 0, 0, &[0; 8]).repeat(1_000), bad);
    check("settings without end", |_| frame(SETTINGS, 0, 0, &[]).repeat(1_000), bad);
    check(
        "interim responses without end",
        |stream| frame(HEADERS, END_HEADERS, stream, &status("103")).repeat(40),
        bad,
    );
    check("fields without end", head(BOTH, [OK, &field("x", &"y".repeat(100)).repeat(140)].concat()), bad);

    check(
        "too little content",
        then(length("3"), |stream| frame(DATA, END_STREAM, stream, b"hi")),
        Gets::Cut,
    );
    check("too much content", then(length("3"), |stream| frame(DATA, 0, stream, b"hello")), Gets::Cut);
    check("a second head", then(OK.to_vec(), |stream| frame(HEADERS, END_HEADERS, stream, OK)), Gets::Cut);
    check("a status at the end", then(OK.to_vec(), |stream| frame(HEADERS, BOTH, stream, OK)), Gets::Cut);
    check(
        "a reset after the head",
        then(OK.to_vec(), |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 2])),
        Gets::Cut,
    );
    // Fields that readers might take for some of the head do not come late, here as in HTTP/1.1.
    check(
        "a length at the end",
        then(OK.to_vec(), |stream| {
            [frame(DATA, 0, stream, b"hi"), frame(HEADERS, BOTH, stream, &field("content-length", "1"))]
                .concat()
        }),
        bad,
    );
}
