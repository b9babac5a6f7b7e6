//! Content that is large, and sides that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use octavia_model::ListenerProtocol;

use super::raw::{self, BOTH, DATA, END_HEADERS, GET, HEADERS, POST, RST_STREAM, WINDOW_UPDATE};
use super::{Peer, read, request, standstill};
use crate::rig::{Origin, Rig, chunked, noise, ok, until};

const LARGE: usize = 8 << 20;

#[test]
fn large_content_both_ways() {
    let echo = Origin::http(|request| ok(&request.body));
    let rig = Rig::http(&[&echo]);
    let peer = Peer::connect(rig.address);
    let content = noise(LARGE);
    let sent = request("POST", "/");
    assert!(peer.ask(sent, &content).unwrap().content == content);
    let with_length = http::Request::post("http://a.example/").header("content-length", LARGE);
    assert!(peer.ask(with_length.body(()).unwrap(), &content).unwrap().content == content);
    assert_eq!(echo.connections(), 1);
}

#[test]
fn large_content_in_chunks_and_to_the_end() {
    let content = noise(LARGE);
    let (pieces, whole) = (chunked(&content, 10_000), content.clone());
    let origin = Origin::start(move |mut client| {
        while let Some(request) = client.message(true) {
            if request.head.starts_with("GET /chunked") {
                client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                client.send(&pieces);
            } else {
                client.send("HTTP/1.1 200 OK\r\n\r\n");
                client.send(&whole);
                return;
            }
        }
    });
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    assert!(peer.get("/chunked").content == content);
    assert!(peer.get("/end").content == content);
    assert!(peer.get("/chunked").content == content);
}

#[test]
fn streams_share_a_connection() {
    let content = noise(2 << 20);
    let answer = ok(&content);
    let origin = Origin::http(move |_| answer.clone());
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    let all: Vec<_> = (0..8).map(|_| peer.begin(request("GET", "/"), true).unwrap().0).collect();
    let all: Vec<_> = all
        .into_iter()
        .map(|answer| peer.runtime.spawn(async { read(answer.await.unwrap().body_mut()).await.unwrap().0 }))
        .collect();
    for one in all {
        assert!(peer.wait(one).unwrap() == content);
    }
}

/// A member that writes for ever, and counts.
fn spring() -> (Origin, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let origin = Origin::start(move |mut client| {
        client.message(true);
        client.send("HTTP/1.1 200 OK\r\n\r\n");
        let piece = [b'x'; 16 * 1024];
        while client.try_send(piece) {
            count.fetch_add(piece.len(), SeqCst);
        }
    });
    (origin, written)
}

#[test]
fn a_client_that_does_not_read_holds_its_member_up() {
    let (origin, written) = spring();
    let rig = Rig::http(&[&origin]);
    // Windows that are never widened: what is written beyond them is in buffers of sockets.
    let mut client = raw::connect(rig.address, &[(4, 100)]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    let first = raw::find(&mut client, DATA);
    assert_eq!(first.payload.len(), 100);
    assert!(standstill(|| written.load(SeqCst)) < 8 << 20);
    // With a window again it goes on.
    let before = written.load(SeqCst);
    client.send(raw::frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    client.send(raw::frame(WINDOW_UPDATE, 0, 1, &(1_u32 << 30).to_be_bytes()));
    let mut read = 0;
    while read < 32 << 20 {
        read += raw::find(&mut client, DATA).payload.len();
    }
    assert!(written.load(SeqCst) > before);
    // Now it is the socket that is not read.
    assert!(standstill(|| written.load(SeqCst)) < read + (16 << 20));
    drop(client);
    until("the member hears of it", || rig.member_state(0).active() == 0);
}

#[test]
fn a_member_that_does_not_read_holds_its_client_up() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let origin = Origin::start(move |mut client| {
        client.head();
        released.lock().unwrap().recv().unwrap();
        let content = client.take(32 << 20);
        client.send(ok(content.len().to_string()));
    });
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    let length = 32 << 20;
    let post = http::Request::post("http://a.example/").header("content-length", length).body(()).unwrap();
    let (answer, mut stream) = peer.begin(post, false).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    peer.runtime.spawn(async move {
        let mut left = length;
        while left > 0 {
            stream.reserve_capacity(left.min(64 * 1024));
            let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else {
                return;
            };
            let piece = Bytes::from(vec![b'x'; room.min(left)]);
            left -= piece.len();
            count.fetch_add(piece.len(), SeqCst);
            stream.send_data(piece, left == 0).unwrap();
        }
    });
    assert!(standstill(|| sent.load(SeqCst)) < 16 << 20);
    release.send(()).unwrap();
    assert_eq!(peer.end(answer).unwrap().text(), length.to_string());
}

#[test]
fn a_stream_without_a_window_ends_in_time() {
    let origin = Origin::http(|_| ok(noise(100_000)));
    let rig =
        Rig::start(ListenerProtocol::Http, &[&origin], |spec| spec.listeners[0].timeouts.client_data = 800);
    let mut client = raw::connect(rig.address, &[(4, 0)]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    assert_eq!(raw::find(&mut client, HEADERS).flags, END_HEADERS);
    let end = raw::find(&mut client, RST_STREAM);
    assert_eq!(end.stream, 1);
    until("its member is free", || rig.member_state(0).active() == 0);
    // A short one is not held up by it: its member is done with it at once, and it ends in time, too.
    let short = Origin::says("hi");
    let mut rig = rig;
    rig.members()[0] = crate::rig::member(short.address);
    rig.reconfigure();
    client.send(raw::frame(HEADERS, BOTH, 3, GET));
    assert_eq!(raw::find(&mut client, HEADERS).stream, 3);
    until("its member is free", || rig.member_state(0).requests() == 1 && rig.member_state(0).active() == 0);
    let end = raw::find(&mut client, RST_STREAM);
    assert_eq!((end.stream, end.code()), (3, 8));
}

#[test]
fn tiny_windows_get_all_the_same() {
    let content = noise(300);
    let answer = ok(&content);
    let origin = Origin::http(move |_| answer.clone());
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[(4, 7)]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    let mut got = vec![];
    loop {
        let frame = raw::find(&mut client, DATA);
        assert!(frame.payload.len() <= 7);
        got.extend(frame.payload);
        if frame.flags & 1 != 0 {
            break;
        }
        client.send(raw::frame(WINDOW_UPDATE, 0, 1, &7_u32.to_be_bytes()));
    }
    assert!(got == content);
    // What was received is told of, too.
    client.send(raw::frame(HEADERS, END_HEADERS, 3, POST));
    for _ in 0..2 {
        client.send(raw::frame(DATA, 0, 3, &[0; 16_384]));
    }
    let update = raw::find(&mut client, WINDOW_UPDATE);
    assert_eq!((update.stream, &update.payload[..]), (3, &32_768_u32.to_be_bytes()[..]));
}
