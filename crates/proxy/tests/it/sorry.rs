//! What clients get when no member can take their request.

use octavia_model::ListenerProtocol;
use octavia_proxy::Health;
use octavia_wire::{AmphoraSpec, SorryPageSpec};

use crate::access_log::{SHORT, logged};
use crate::rig::{Client, Origin, Rig, until};

fn page(spec: &mut AmphoraSpec, status: u16, body: &str) {
    spec.sorry_pages = vec![SorryPageSpec {
        listeners: vec![spec.listeners[0].id],
        status,
        content_type: "text/plain; charset=utf-8".to_owned(),
        body: body.to_owned(),
    }];
}

fn ask(client: &mut Client, method: &str) {
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn the_page_is_given_while_no_member_is_up() {
    let origin = Origin::says("hello");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| page(spec, 200, "sorry"));
    let mut lines = logged(&mut rig, SHORT);
    let member = rig.member_state(0);
    let mut client = rig.client();
    for (health, status, text, line) in [
        (Health::Up, 200, "hello", format!("|200|{}|----", member.id())),
        (Health::Down, 200, "sorry", "|200|<NOSRV>|SC--".to_owned()),
        (Health::Up, 200, "hello", format!("|200|{}|----", member.id())),
    ] {
        member.set_health(health);
        // The connection goes on.
        ask(&mut client, "GET");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (status, text), "{health:?}");
        assert_eq!(lines.next(), format!("GET / HTTP/1.1{line}"));
    }
    member.set_health(Health::Down);
    ask(&mut client, "HEAD");
    let head = client.message(false).unwrap();
    assert_eq!(
        (head.header("content-length"), head.header("content-type"), head.header("cache-control")),
        (Some("5"), Some("text/plain; charset=utf-8"), Some("no-cache"))
    );
    // The rest of a request that nobody reads ends the connection.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.header("connection")), ("sorry", Some("close")));
    client.expect_end();
    // Without a page the answer is plain.
    rig.spec.sorry_pages.clear();
    rig.reconfigure();
    assert_eq!(rig.get("/").status(), 503);
}

#[test]
fn members_that_fail_count_as_none() {
    let dead = Origin::dead();
    let rig = Rig::start(ListenerProtocol::Http, &[&dead], |spec| {
        spec.listeners[0].timeouts.member_connect = 10;
        page(spec, 503, "sorry");
    });
    let answer = rig.get("/");
    assert_eq!((answer.status(), answer.text()), (503, "sorry"));
}

/// Neither is cut who reads slowly, nor does who does not read stay.
#[test]
fn a_page_goes_out_as_its_client_reads() {
    let text = "x".repeat(SorryPageSpec::BODY_MAX);
    let mut rig = Rig::start(ListenerProtocol::Http, &[], |spec| page(spec, 503, &text));
    let mut client = rig.client();
    // More than sockets hold.
    let all = 400;
    let (mut sender, requests) = (client.try_clone(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(all));
    let writer = std::thread::spawn(move || sender.send(requests));
    for _ in 0..all {
        assert_eq!(client.answer().body.len(), text.len());
    }
    writer.join().unwrap();
    rig.listener().timeouts.client_data = 200;
    rig.reconfigure();
    drop(client);
    until("it has closed", || rig.stats().conns == 0);
    let client = rig.client();
    let (mut sender, requests) = (client.try_clone(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(all));
    let writer = std::thread::spawn(move || sender.try_send(requests));
    until("it is there", || rig.stats().conns == 1);
    until("it is closed", || rig.stats().conns == 0);
    writer.join().unwrap();
}
