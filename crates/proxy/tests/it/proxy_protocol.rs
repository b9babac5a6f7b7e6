//! Members that are told whose connection it is.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use octavia_model::{ListenerProtocol, PoolProtocol};

use crate::rig::{Client, Origin, Rig, noise, ok};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A member that wants a header first, and answers every request with it.
fn introduced(version: PoolProtocol) -> Origin {
    Origin::start(move |mut client| {
        let said = header(version, &mut client);
        let mut requests = 0;
        while client.message(true).is_some() {
            requests += 1;
            if !client.try_send(ok(format!("{said} {requests}"))) {
                return;
            }
        }
    })
}

/// `client address and port > address and port it connected to`.
pub(crate) fn header(version: PoolProtocol, client: &mut Client) -> String {
    if version == PoolProtocol::Proxy {
        let mut line = client.take(13);
        while !line.ends_with(b"\r\n") {
            line.extend(client.take(1));
        }
        let line = String::from_utf8(line).unwrap();
        let words: Vec<_> = line.trim_end().split(' ').collect();
        assert_eq!(words[..2], ["PROXY", "TCP4"]);
        return format!("{}:{}>{}:{}", words[2], words[4], words[3], words[5]);
    }
    let head = client.take(16);
    assert_eq!((&head[..12], &head[12..]), (SIGNATURE, &[0x21, 0x11, 0, 12][..]));
    let rest = client.take(12);
    let ip = |at: usize| rest[at..at + 4].iter().map(u8::to_string).collect::<Vec<_>>().join(".");
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    format!("{}:{}>{}:{}", ip(0), port(8), ip(4), port(10))
}

fn rig(protocol: ListenerProtocol, version: PoolProtocol, members: &[&Origin]) -> Rig {
    Rig::start(protocol, members, |spec| spec.pools[0].protocol = version)
}

const BOTH: [PoolProtocol; 2] = [PoolProtocol::Proxy, PoolProtocol::ProxyV2];

#[test]
fn requests_go_over_connections_of_their_client() {
    for version in BOTH {
        let origin = introduced(version);
        let rig = rig(ListenerProtocol::Http, version, &[&origin]);
        let mut clients: Vec<_> = (0..3).map(|_| rig.client()).collect();
        for round in 1..=4 {
            for client in &mut clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                let answer = client.answer();
                let expected = format!("{}>{} {round}", client.local_address(), rig.address);
                assert_eq!(answer.text(), expected, "a connection of its own, used again");
            }
        }
        assert_eq!(origin.connections(), 3);
        // Nobody inherits a connection.
        clients.clear();
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), format!("{}>{} 1", client.local_address(), rig.address));
        // A body goes after the header, too.
        let body = noise(200_000);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        assert_eq!(client.answer().text(), format!("{}>{} 2", client.local_address(), rig.address));
    }
}

#[test]
fn connections_of_a_client_that_goes_are_closed() {
    let (gone, ended) = channel();
    let gone = Mutex::new(gone);
    let origin = Origin::start(move |mut client| {
        header(PoolProtocol::Proxy, &mut client);
        client.message(true);
        client.send(ok("x"));
        client.expect_end();
        gone.lock().unwrap().send(()).unwrap();
    });
    let rig = rig(ListenerProtocol::Http, PoolProtocol::Proxy, &[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "x");
    let begun = std::time::Instant::now();
    drop(client);
    ended.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "before idle connections are closed");
}

#[test]
fn members_that_do_not_answer_are_passed_over() {
    for version in BOTH {
        let (dead, origin) = (Origin::dead(), introduced(version));
        let rig = rig(ListenerProtocol::Http, version, &[&dead, &origin]);
        let mut client = rig.client();
        for _ in 0..4 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.answer().text().starts_with(&client.local_address().to_string()));
        }
    }
}

#[test]
fn streams_begin_with_it() {
    for version in BOTH {
        // Who speaks first is the same.
        for (member_first, size) in [(true, 0), (true, 300_000), (false, 5), (false, 300_000)] {
            let sent = Arc::new(noise(size));
            let expected = Arc::clone(&sent);
            let origin = Origin::start(move |mut client| {
                let said = header(version, &mut client);
                if member_first {
                    client.send(&said);
                }
                assert_eq!(client.take_all(), *expected);
                if !member_first {
                    client.send(&said);
                }
                client.end();
            });
            let rig = rig(ListenerProtocol::Tcp, version, &[&origin]);
            let mut client = rig.client();
            let said = format!("{}>{}", client.local_address(), rig.address);
            if member_first {
                assert_eq!(client.take(said.len()), said.as_bytes());
            }
            client.send(&sent[..]);
            client.end();
            if !member_first {
                assert_eq!(client.take(said.len()), said.as_bytes());
            }
            client.expect_end();
        }
    }
}
