//! Streams and connections that end before they are done, and those that are told to.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use octavia_model::ListenerProtocol;

use super::raw::{self, BOTH, DATA, END_HEADERS, GET, GOAWAY, HEADERS, POST, RST_STREAM};
use super::{Peer, request};
use crate::rig::{Origin, Rig, member, noise, ok, until};

/// A member that answers when it is told to, and says when a connection to it has ended.
fn patient() -> (Origin, Sender<()>, Receiver<()>) {
    let (go, wait) = channel::<()>();
    let (ended, end) = channel();
    let (wait, ended) = (Mutex::new(wait), Mutex::new(ended));
    let origin = Origin::start(move |mut client| {
        while client.head().is_some() {
            while !client.is_over() {
                if wait.lock().unwrap().recv_timeout(Duration::from_millis(20)).is_ok() {
                    client.send(ok("at last"));
                    break;
                }
            }
        }
        let _ = ended.lock().unwrap().send(());
    });
    (origin, go, end)
}

#[test]
fn a_stream_that_is_given_up_gives_its_member_up() {
    let (origin, _go, ended) = patient();
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    until("the member has it", || rig.member_state(0).active() == 1);
    client.send(raw::frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    until("the member is free", || rig.member_state(0).active() == 0);
    ended.recv_timeout(Duration::from_secs(5)).expect("it is told");
    // One whose content was still to come counts as the client's mistake, as a connection that breaks off does.
    client.send(raw::frame(HEADERS, END_HEADERS, 3, POST));
    until("the member has it", || rig.member_state(0).active() == 1);
    assert_eq!(rig.stats().ereq, 0);
    client.send(raw::frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]));
    until("it is counted", || rig.stats().ereq == 1);
    // So with all of a connection that ends.
    client.send([raw::frame(HEADERS, END_HEADERS, 5, POST), raw::frame(HEADERS, BOTH, 7, GET)].concat());
    until("the member has them", || rig.member_state(0).active() == 2);
    client.reset();
    until("the connection is over", || rig.stats().conns == 0);
    assert_eq!((rig.stats().ereq, rig.member_state(0).active()), (2, 0));
}

#[test]
fn a_client_that_says_no_more_is_answered() {
    let (origin, go, _) = patient();
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    client.send([raw::frame(HEADERS, BOTH, 1, GET), raw::frame(HEADERS, END_HEADERS, 3, POST)].concat());
    until("the member has them", || rig.member_state(0).active() == 2);
    client.end();
    until("what is not whole is over", || rig.member_state(0).active() == 1);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(raw::content(&mut client, 1), b"at last");
    while raw::next(&mut client).is_some() {}
    until("the connection is over", || rig.stats().conns == 0);
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let origin = Origin::start(|mut client| {
        client.head();
        client.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, END_HEADERS, 1, POST));
    assert_eq!(raw::content(&mut client, 1), b"no");
    let end = raw::find(&mut client, RST_STREAM);
    assert_eq!((end.stream, end.code()), (1, 0));
    // What was on its way is passed over, and the connection goes on.
    client.send([raw::frame(DATA, 1, 1, b"late"), raw::frame(HEADERS, END_HEADERS, 3, POST)].concat());
    assert_eq!(raw::content(&mut client, 3), b"no");
}

#[test]
fn members_that_fail() {
    let broken = Origin::start(|mut client| {
        let head = client.head().unwrap();
        if head.starts_with("GET /half") {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        } else if head.starts_with("GET /strange") {
            client.send("what?\r\n\r\n");
        }
    });
    let mut rig = Rig::http(&[&broken]);
    let mut client = raw::connect(rig.address, &[]);
    let path = |path: &str| [b"\x82\x86\x41\x01a\x04", &[path.len() as u8][..], path.as_bytes()].concat();
    client.send(raw::frame(HEADERS, BOTH, 1, &path("/half")));
    assert_eq!(raw::find(&mut client, DATA).payload, b"half");
    let end = raw::find(&mut client, RST_STREAM);
    assert_eq!((end.stream, end.code()), (1, 2));
    for (stream, target) in [(3, "/strange"), (5, "/nothing")] {
        client.send(raw::frame(HEADERS, BOTH, stream, &path(target)));
        assert_eq!(&raw::find(&mut client, HEADERS).payload[..5], b"\x08\x03502");
    }
    let dead = Origin::dead();
    rig.members()[0] = member(dead.address);
    let well = Origin::says("well");
    rig.members().push(member(well.address));
    rig.reconfigure();
    for stream in [7, 9, 11, 13] {
        client.send(raw::frame(HEADERS, BOTH, stream, GET));
        assert_eq!(raw::content(&mut client, stream), b"well");
    }
    rig.members().clear();
    rig.reconfigure();
    client.send(raw::frame(HEADERS, BOTH, 15, GET));
    let refused = raw::find(&mut client, HEADERS);
    assert_eq!((refused.stream, &refused.payload[..5]), (15, &b"\x08\x03503"[..]));
    assert_eq!(rig.stats().ereq, 0);
}

#[test]
fn what_the_clock_ends() {
    let silent = Origin::start(|mut client| while !client.take_some().is_empty() {});
    let rig = Rig::start(ListenerProtocol::Http, &[&silent], |spec| {
        spec.listeners[0].timeouts.member_data = 200;
        spec.listeners[0].timeouts.client_data = 1_000;
    });
    let mut client = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    assert_eq!(&raw::find(&mut client, HEADERS).payload[..5], b"\x08\x03504");
    // A request whose content does not come.
    let start = Instant::now();
    client.send(raw::frame(HEADERS, END_HEADERS, 3, POST));
    assert_eq!(&raw::find(&mut client, HEADERS).payload[..5], b"\x08\x03408");
    assert_eq!(rig.stats().ereq, 1);
    // Then nothing at all; what asks for nothing does not put it off.
    loop {
        client.send(raw::frame(raw::PING, 0, 0, &[0; 8]));
        let next = raw::next(&mut client).expect("an answer, or the end");
        if next.kind == GOAWAY {
            assert_eq!(next.code(), 0);
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!((1_900..5_000).contains(&(start.elapsed().as_millis() as u64)), "{:?}", start.elapsed());
    drop(client);
    until("the connection is over", || rig.stats().conns == 0);
    assert_eq!(rig.stats().ereq, 1);
    // Nor does a preface that does not go on.
    let mut client = rig.client();
    client.send("PRI * HTTP/2.0\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 408);
    let mut client = rig.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw::find(&mut client, GOAWAY);
    until("they are counted", || rig.stats().ereq == 3);
}

#[test]
fn a_process_that_goes_lets_streams_end() {
    let (origin, go, _) = patient();
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    let mut idle = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    until("the member has it", || rig.member_state(0).active() == 1);
    raw::find(&mut idle, raw::SETTINGS);
    let engine = rig.engine;
    let drained = std::thread::spawn(move || engine.drain(Duration::from_secs(10)));
    let away = raw::find(&mut client, GOAWAY);
    assert_eq!((&away.payload[..4], away.code()), (&[0, 0, 0, 1][..], 0));
    assert_eq!(raw::find(&mut idle, GOAWAY).code(), 0);
    idle.expect_end();
    drop(idle);
    // Too late.
    client.send(raw::frame(HEADERS, BOTH, 3, GET));
    let refused = raw::find(&mut client, RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (3, 7));
    go.send(()).unwrap();
    assert_eq!(raw::content(&mut client, 1), b"at last");
    client.expect_end();
    drop(client);
    assert_eq!(drained.join().unwrap(), 0);
}

/// One that another takes over from refuses no stream that its client began before it knew, nor one that its word that it
/// knows has overtaken.
#[test]
fn a_process_that_steps_aside_takes_what_is_on_its_way() {
    let origin = Origin::says("well");
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    let mut deaf = raw::connect(rig.address, &[]);
    for client in [&mut client, &mut deaf] {
        client.send(raw::frame(HEADERS, BOTH, 1, GET));
        assert_eq!(raw::content(client, 1), b"well");
    }
    rig.engine.step_aside();
    for client in [&mut client, &mut deaf] {
        let away = raw::find(client, GOAWAY);
        assert_eq!((&away.payload[..4], away.code()), (&[0x7f, 0xff, 0xff, 0xff][..], 0));
        client.send(raw::frame(HEADERS, BOTH, 3, GET));
    }
    let ping = raw::find(&mut client, raw::PING);
    assert_eq!(raw::content(&mut client, 3), b"well");
    let known = raw::frame(raw::PING, 1, 0, &ping.payload);
    client.send([known, raw::frame(HEADERS, BOTH, 5, GET)].concat());
    assert_eq!(raw::content(&mut client, 5), b"well");
    let away = raw::find(&mut client, GOAWAY);
    assert_eq!((&away.payload[..4], away.code()), (&[0, 0, 0, 5][..], 0));
    client.expect_end();
    drop(client);
    // Who does not say that he knows is served as long as he likes.
    assert_eq!(raw::content(&mut deaf, 3), b"well");
    deaf.send(raw::frame(HEADERS, BOTH, 5, GET));
    assert_eq!(raw::content(&mut deaf, 5), b"well");
    until("the first is over", || rig.stats().conns == 1);
    assert_eq!(rig.stats().ereq, 0);
}

#[test]
fn a_listener_that_goes_lets_streams_end() {
    let (origin, go, _) = patient();
    let mut rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    until("the member has it", || rig.member_state(0).active() == 1);
    rig.spec.listeners.clear();
    rig.engine.configure(rig.compile(), vec![], &[]).unwrap();
    assert_eq!(raw::find(&mut client, GOAWAY).code(), 0);
    go.send(()).unwrap();
    assert_eq!(raw::content(&mut client, 1), b"at last");
    client.expect_end();
}

/// Every request reads the configuration of its time; what is under way goes on.
#[test]
fn changes_lose_no_request() {
    let origins: Vec<_> = (0..3).map(|n| Origin::says(&n.to_string())).collect();
    let mut rig = Rig::http(&[&origins[0]]);
    let peer = Peer::connect(rig.address);
    for change in 0..30 {
        let begun: Vec<_> = (0..5).map(|_| peer.begin(request("GET", "/"), true).unwrap().0).collect();
        rig.members()[0] = member(origins[change % 3].address);
        rig.reconfigure();
        for answer in begun {
            assert_eq!(peer.end(answer).unwrap().status, 200);
        }
        assert_eq!(peer.get("/").text(), (change % 3).to_string());
    }
    assert_eq!((rig.stats().totconns, rig.stats().ereq), (1, 0));
    peer.over().unwrap();
}

#[test]
fn a_client_that_closes_in_the_middle_of_much() {
    let content = noise(4 << 20);
    let answer = ok(&content);
    let origin = Origin::http(move |_| answer.clone());
    let rig = Rig::http(&[&origin]);
    for _ in 0..20 {
        let mut client = raw::connect(rig.address, &[(4, 1 << 24)]);
        client.send(raw::frame(raw::WINDOW_UPDATE, 0, 0, &(1_u32 << 28).to_be_bytes()));
        for stream in 0..8 {
            client.send(raw::frame(HEADERS, BOTH, 2 * stream + 1, GET));
        }
        raw::find(&mut client, DATA);
        client.reset();
    }
    until("all is over", || rig.stats().conns == 0 && rig.member_state(0).active() == 0);
    assert_eq!(rig.get("/").body.len(), content.len());
}
