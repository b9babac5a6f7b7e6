//! Who gets in: connection limit and allowed networks.

use octavia_model::ListenerProtocol;
use octavia_proxy::Engine;

use crate::rig::{Client, Origin, Rig, until};

#[test]
fn at_the_limit_connections_wait() {
    let origin = Origin::says("hello");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].connection_limit = Some(2);
    });
    let ask = |client: &mut Client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
    };
    let full = |rig: &Rig| rig.engine.snapshot().listeners().next().unwrap().is_full();
    let (mut a, mut b) = (rig.client(), rig.client());
    ask(&mut a);
    assert!(!full(&rig));
    ask(&mut b);
    // Who is let in may be answered before it is noted that nobody else is.
    until("it is full", || full(&rig));
    let mut waiting = rig.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ask(&mut a);
    assert_eq!(rig.stats().totconns, 2);
    drop(b);
    assert_eq!(waiting.answer().text(), "hello");
    until("it is full again", || full(&rig));
    // A higher limit lets more in at once.
    let mut more = rig.client();
    more.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.listener().connection_limit = Some(3);
    rig.reconfigure();
    assert_eq!(more.answer().text(), "hello");
    drop((a, waiting, more));
    until("all are closed", || rig.stats().conns == 0 && !full(&rig));
    for _ in 0..20 {
        ask(&mut rig.client());
    }
}

#[test]
fn only_allowed_networks_get_in() {
    let origin = Origin::says("hello");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].allowed_cidrs =
            vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    });
    let mut client = rig.client();
    client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_end();
    // The connection ends a moment before the place that was taken for it is given back.
    until("no place is taken", || rig.stats().conns == 0);
    assert_eq!(rig.stats().totconns, 0);
    rig.listener().allowed_cidrs.push("127.0.0.0/8".parse().unwrap());
    rig.reconfigure();
    assert_eq!(rig.get("/").text(), "hello");
}

/// Clients that only hold connections open do not take the files that members' connections need.
#[test]
fn idle_clients_leave_files_for_the_others() {
    let origins = [Origin::says("hello"), Origin::says("hello")];
    // Of 64 files 24 are for clients.
    let engine = Engine::start_within(1, 64).unwrap();
    let rig = Rig::start_on(engine, ListenerProtocol::Http, &[&origins[0], &origins[1]], |_| {});
    let mut clients: Vec<_> = (0..40).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\n");
    }
    until("as many are let in as may be", || rig.stats().conns == 24);
    // Every one of them gets an answer, and those that wait get in as others leave.
    let mut answered = 0;
    while !clients.is_empty() {
        let mut rest = clients.split_off(clients.len().min(24));
        for client in &mut clients {
            client.send("Host: a\r\n\r\n");
            assert_eq!(client.answer().text(), "hello");
            answered += 1;
        }
        assert!(rig.stats().conns <= 24);
        clients = std::mem::take(&mut rest);
    }
    assert_eq!(answered, 40);
    until("all are closed", || rig.stats().conns == 0);
}
