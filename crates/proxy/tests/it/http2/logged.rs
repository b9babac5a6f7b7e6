//! Streams in the access log.

use super::{Peer, request};
use crate::access_log::{SHORT, logged};
use crate::rig::{Origin, Rig, ok, until};

#[test]
fn each_stream_is_told_of() {
    let origin = Origin::http(|request| ok(&request.body));
    let mut rig = Rig::http(&[&origin]);
    let mut lines = logged(&mut rig, &format!("{SHORT}|%HV"));
    let member = rig.spec.pools[0].members[0].id;
    let peer = Peer::connect(rig.address);
    assert_eq!(peer.get("/a").status, 200);
    assert_eq!(lines.next(), format!("GET /a HTTP/2.0|200|{member}|----|HTTP/2.0"));
    assert_eq!(peer.ask(request("POST", "/b"), b"content").unwrap().content, b"content");
    assert_eq!(lines.next(), format!("POST /b HTTP/2.0|200|{member}|----|HTTP/2.0"));
    // A stream that its client takes back.
    let (response, mut stream) = peer.begin(request("POST", "/c"), false).unwrap();
    until("it is on its way", || rig.member_state(0).active() == 1);
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    let line = lines.next();
    assert!(line.starts_with(&format!("POST /c HTTP/2.0|-1|{member}|C")), "{line}");
}

#[test]
fn pages_of_every_size_go_to_streams() {
    for size in [0, 5, 64 * 1024] {
        let rig = Rig::start(octavia_model::ListenerProtocol::Http, &[], |spec| {
            spec.sorry_pages = vec![octavia_wire::SorryPageSpec {
                listeners: vec![spec.listeners[0].id],
                status: 429,
                content_type: "text/plain".to_owned(),
                body: "x".repeat(size),
            }];
        });
        let peer = Peer::connect(rig.address);
        for _ in 0..5 {
            let answer = peer.get("/");
            assert_eq!((answer.status, answer.content.len()), (429, size));
        }
    }
}
