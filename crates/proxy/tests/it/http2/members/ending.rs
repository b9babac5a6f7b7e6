//! Streams and connections to members that end before they are done, and those that are told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::hostile::{greet, next_request, said};
use super::*;
use crate::http2::raw::{self, DATA, GOAWAY, HEADERS, RST_STREAM, frame};
use crate::http2::{Peer, request};
use crate::rig::until;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// A member whose connections, and the requests on them, are told apart by their numbers. `None` = the connection ends.
fn counted(answer: impl Fn(usize, usize, u32) -> Option<Vec<u8>> + Send + Sync + 'static) -> Origin {
    let connections = AtomicUsize::new(0);
    raw(move |mut client| {
        let nth = connections.fetch_add(1, SeqCst);
        greet(&mut client);
        for request in 0.. {
            let Some(stream) = next_request(&mut client) else { return };
            match answer(nth, request, stream) {
                Some(answer) => _ = client.try_send(answer),
                None => return client.end(),
            }
        }
    })
}

fn leave(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

/// Says that nothing was done with a stream.
fn refuse(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 7])
}

/// What a request, sent as the second on its connection, comes to; and how many connections the member had.
fn second(
    request: &str,
    words: impl Fn(u32) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (u16, usize, u64) {
    let origin = counted(
        move |nth, request, stream| {
            if (nth, request) == (0, 1) { words(stream) } else { Some(said(stream, "hi")) }
        },
    );
    let rig = rig(&[&origin]);
    let mut client = rig.client();
    let answers = [GET, request, GET].map(|request| {
        client.send(request);
        client.answer().status()
    });
    assert_eq!((answers[0], answers[2]), (200, 200));
    (answers[1], origin.connections(), rig.member_state(0).errors())
}

#[test]
fn what_is_safe_is_asked_again() {
    // Nothing was done with it, whatever it was.
    assert_eq!(second(POST, |_| Some(leave(1))), (200, 2, 0));
    // It may have been: only what may be asked twice is.
    assert_eq!(second(GET, |_| None), (200, 2, 0));
    assert_eq!(second(POST, |_| None), (502, 2, 1));
    assert_eq!(second(POST, |stream| Some(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]))), (502, 1, 1));
    // Who leaves does what it has taken up.
    assert_eq!(second(POST, |stream| Some([leave(stream), said(stream, "hi")].concat())), (200, 2, 0));
}

#[test]
fn who_takes_no_more_is_passed_over() {
    let full = counted(|_, _, stream| Some(refuse(stream)));
    let other = counted(|_, _, stream| Some(said(stream, "other")));
    let pair = rig(&[&full, &other]);
    for _ in 0..4 {
        let mut client = pair.client();
        client.send(POST);
        assert_eq!(client.answer().text(), "other");
    }
    assert_eq!(pair.member_state(0).errors(), 0);
    // Unless some of it is gone that nobody has any more.
    let full = raw(|mut client| {
        greet(&mut client);
        let mut seen = 0;
        while let Some(frame) = raw::next(&mut client) {
            seen += if frame.kind == DATA { frame.payload.len() } else { 0 };
            if seen > 40_000 {
                client.send(refuse(1));
                seen = 0;
            }
        }
    });
    let alone = rig(&[&full]);
    let mut client = alone.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'x'; 50_000]);
    assert_eq!(client.answer().status(), 502);
}

/// A member that answers when it is told to, and tells what it hears.
fn patient() -> (Origin, Sender<()>, Receiver<Option<raw::Frame>>) {
    let (go, wait) = channel::<()>();
    let (told, heard) = channel();
    let (wait, told) = (Mutex::new(wait), Mutex::new(told));
    let origin = raw(move |mut client| {
        greet(&mut client);
        loop {
            let frame = raw::next(&mut client);
            let _ = told.lock().unwrap().send(frame.clone());
            let Some(frame) = frame else { return };
            if frame.kind == HEADERS && wait.lock().unwrap().recv().is_ok() {
                client.try_send(said(frame.stream, "at last"));
            }
        }
    });
    (origin, go, heard)
}

/// Waits for a frame of this type.
fn heard(of: &Receiver<Option<raw::Frame>>, kind: u8) -> raw::Frame {
    loop {
        let frame = of.recv_timeout(Duration::from_secs(10)).expect("in time");
        let frame = frame.expect("before the end");
        if frame.kind == kind {
            return frame;
        }
    }
}

#[test]
fn a_member_that_is_gone_does_what_it_has() {
    let (before, go, frames) = patient();
    let after = counted(|_, _, stream| Some(said(stream, "after")));
    let mut rig = rig(&[&before]);
    let mut client = rig.client();
    client.send(GET);
    let state = rig.member_state(0);
    heard(&frames, HEADERS);
    rig.members()[0] = member(after.address);
    rig.reconfigure();
    assert_eq!(rig.get("/").text(), "after");
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "at last");
    assert_eq!(heard(&frames, GOAWAY).code(), 0);
    assert!(frames.recv().unwrap().is_none(), "and then the connection ends");
    client.send(GET);
    assert_eq!(client.answer().text(), "after");
    assert_eq!(state.errors(), 0);
}

/// After four seconds, as others.
#[test]
fn a_connection_that_nobody_uses_ends() {
    let (origin, go, frames) = patient();
    go.send(()).unwrap();
    let rig = rig(&[&origin]);
    assert_eq!(rig.get("/").text(), "at last");
    assert_eq!(heard(&frames, GOAWAY).code(), 0);
    assert!(frames.recv().unwrap().is_none());
}

#[test]
fn a_client_that_gives_up_gives_its_stream_up() {
    let (origin, go, frames) = patient();
    let rig = rig(&[&origin]);
    let peer = Peer::connect(rig.address);
    let (response, _) = peer.begin(request("GET", "/"), true).unwrap();
    heard(&frames, HEADERS);
    drop(response);
    until("it is given up", || rig.member_state(0).active() == 0);
    go.send(()).unwrap();
    let reset = heard(&frames, RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, 8));
    // The connection goes on.
    go.send(()).unwrap();
    assert_eq!(peer.get("/").text(), "at last");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_member_that_is_silent_is_asked_on_another_connection() {
    let origin = counted(|nth, request, stream| {
        Some(if (nth, request) == (0, 1) { vec![] } else { said(stream, "hi") })
    });
    let rig = tuned(&[&origin], |spec| spec.listeners[0].timeouts.member_data = 300);
    let mut client = rig.client();
    let answers = [GET, GET, GET].map(|request| {
        client.send(request);
        client.answer().status()
    });
    assert_eq!(answers, [200, 504, 200]);
    assert_eq!((origin.connections(), rig.member_state(0).errors()), (2, 1));
}
