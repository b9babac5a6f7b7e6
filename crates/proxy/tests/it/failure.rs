//! Members and clients that fail, and what the other side sees of it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use octavia_model::ListenerProtocol;
use octavia_proxy::Health;
use socket2::{Domain, Socket, Type};

use crate::rig::{Origin, Rig, noise, ok, until};

#[test]
fn a_dead_member_is_passed_over() {
    let (dead, a, b) = (Origin::dead(), Origin::says("a"), Origin::says("b"));
    let rig = Rig::http(&[&dead, &a, &b]);
    for _ in 0..12 {
        assert_eq!(rig.get("/").status(), 200);
    }
    // The request goes with its body, too, as long as nobody took it.
    for _ in 0..6 {
        let mut client = rig.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(rig.member_state(0).errors(), 6);
    assert_eq!(rig.member_state(0).total_connections(), 0);
}

#[test]
fn a_member_that_does_not_take_connections_is_given_up_in_time() {
    // A listening socket whose queue is full lets connecting hang.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queue: Vec<_> =
        (0..4).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    let origin = Origin::says("here");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.member_connect = 100;
    });
    rig.members().insert(0, crate::rig::member(address));
    rig.reconfigure();
    let start = Instant::now();
    for _ in 0..2 {
        assert_eq!(rig.get("/").text(), "here");
    }
    assert!(start.elapsed() >= Duration::from_millis(90));
    assert_eq!(rig.member_state(0).errors(), 1);
}

#[test]
fn without_a_member_the_answer_is_503() {
    let origin = Origin::says("hello");
    let mut rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    let mut ask = |rig: &Rig| {
        let _ = rig;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().status()
    };
    assert_eq!(ask(&rig), 200);
    rig.member_state(0).set_health(Health::Down);
    assert_eq!(ask(&rig), 503);
    rig.member_state(0).set_health(Health::Up);
    assert_eq!(ask(&rig), 200);
    rig.members()[0].enabled = false;
    rig.reconfigure();
    assert_eq!(ask(&rig), 503);
    rig.members()[0].enabled = true;
    rig.members()[0].weight = 0;
    rig.reconfigure();
    assert_eq!(ask(&rig), 503);
    rig.members()[0].weight = 1;
    rig.reconfigure();
    assert_eq!(ask(&rig), 200);
    rig.listener().default_pool = None;
    rig.reconfigure();
    assert_eq!(ask(&rig), 503);
    assert_eq!(rig.stats().ereq, 0, "not the client's fault");
}

#[test]
fn the_only_member_may_be_just_starting() {
    let mut origin = Origin::dead();
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it was tried", || rig.member_state(0).errors() == 1);
    let listener = origin.rise();
    let member = std::thread::spawn(move || {
        let mut client = crate::rig::Client::of(listener.accept().unwrap().0);
        client.message(true);
        client.send(ok("up again"));
    });
    assert_eq!(client.answer().text(), "up again");
    member.join().unwrap();
}

/// A connection that dies while it is idle costs no request that can be repeated.
#[test]
fn a_reused_connection_that_died_is_no_failure() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    // Serves one request a connection, and resets it when the second comes.
    let origin = Origin::start(move |mut client| {
        client.message(true);
        count.fetch_add(1, SeqCst);
        client.send(ok("once"));
        if client.head().is_some() {
            client.reset();
        }
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for _ in 0..6 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "once");
    }
    assert_eq!(served.load(SeqCst), 6);
    assert_eq!(rig.member_state(0).errors(), 0);
    // The first request of a client, not to be repeated, is not put at the risk.
    let mut other = rig.client();
    other.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(other.answer().text(), "once");
}

#[test]
fn a_member_that_ends_before_it_answers() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Origin::start(move |mut client| {
        client.message(true);
        count.fetch_add(1, SeqCst);
    });
    let rig = Rig::http(&[&origin]);
    assert_eq!(rig.get("/").status(), 502);
    assert_eq!(asked.load(SeqCst), 1, "it may have done the work: not asked again");
    assert_eq!(rig.member_state(0).errors(), 1);
}

#[test]
fn answers_that_cannot_be_used() {
    for answer in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n",
        "HTTP/1.1 200 OK\r\nX: y",
    ] {
        let origin = Origin::start(move |mut client| {
            client.message(true);
            client.send(answer);
        });
        let rig = Rig::http(&[&origin]);
        assert_eq!(rig.get("/").status(), 502, "{answer}");
        assert_eq!(rig.member_state(0).errors(), 1, "{answer}");
    }
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let origin = Origin::start(move |mut client| {
        client.message(true);
        client.try_send(&interim);
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status(), 502);
}

#[test]
fn a_response_that_breaks_off() {
    for (head, content) in [
        ("Content-Length: 1000000", noise(200_000)),
        ("Transfer-Encoding: chunked", b"ffff\r\nhello".to_vec()),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n".to_vec()),
    ] {
        let sent = content.clone();
        let origin = Origin::start(move |mut client| {
            client.message(true);
            client.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
            client.send(&sent);
        });
        let rig = Rig::http(&[&origin]);
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200 OK"));
        // The client sees that the end is missing.
        assert!(client.take_all() == content);
        until("counted", || rig.member_state(0).errors() == 1);
    }
}

#[test]
fn a_silent_member_is_answered_for() {
    let origin = Origin::start(|mut client| drop(client.take_all()));
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.member_data = 150;
    });
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let start = Instant::now();
    assert_eq!(client.answer().status(), 504);
    assert!(start.elapsed() >= Duration::from_millis(140));
    assert_eq!(rig.member_state(0).errors(), 1);
    // The client did nothing wrong: its connection goes on.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 504);
}

#[test]
fn a_slow_member_is_not_a_silent_one() {
    let origin = Origin::start(|mut client| {
        client.message(true);
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
        // Longer than anybody may be silent, all in all; far less each time.
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(100));
            client.send("x");
        }
        client.take_all();
    });
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.member_data = 1_000;
        spec.listeners[0].timeouts.client_data = 1_000;
    });
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "x".repeat(12));
}

#[test]
fn slow_clients_are_told() {
    let origin = Origin::start(|mut client| drop(client.take_all()));
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.client_data = 150;
    });
    for request in ["GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"] {
        let mut client = rig.client();
        client.send(request);
        assert_eq!(client.answer().status(), 408, "{request}");
        client.expect_end();
    }
    assert_eq!(rig.stats().ereq, 2);

    // Dribbling does not put the end of a head off.
    let mut client = rig.client();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) && client.try_send("G") {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() < Duration::from_secs(4));

    // A connection that is only kept alive ends without a word.
    let origin = Origin::says("hello");
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.client_data = 150;
    });
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    client.expect_end();
    assert_eq!(rig.stats().ereq, 0);
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let origin = Origin::start(|mut client| {
        client.message(true);
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while client.try_send(noise(1 << 20)) {}
    });
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.client_data = 150;
    });
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the member serves", || rig.member_state(0).active() == 1);
    until("the client is given up", || rig.stats().conns == 0);
    assert_eq!(rig.member_state(0).active(), 0);
    assert_eq!(rig.member_state(0).errors(), 0);
}

#[test]
fn a_client_that_breaks_off_frees_the_member() {
    let origin = Origin::start(|mut client| drop(client.take_all()));
    let rig = Rig::http(&[&origin]);
    // While it uploads.
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    until("the member serves", || rig.member_state(0).active() == 1);
    client.reset();
    until("the member is free", || rig.member_state(0).active() == 0);
    assert_eq!(rig.stats().ereq, 1);
    // While the member sends.
    let origin = Origin::start(|mut client| {
        client.message(true);
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while client.try_send(noise(1 << 20)) {}
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().unwrap();
    client.reset();
    until("the member is free", || rig.member_state(0).active() == 0);
    until("the connection is counted as closed", || rig.stats().conns == 0);
}
