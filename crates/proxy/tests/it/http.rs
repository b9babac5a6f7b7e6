//! Requests and responses of every shape, passed on as they are.

use octavia_model::ListenerProtocol;
use octavia_wire::InsertHeader;

use crate::rig::{Origin, Rig, chunked, noise, ok, until};

#[test]
fn keep_alive_reuses_the_connection_to_the_member() {
    let origin = Origin::says("hello");
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (200, "hello"));
        assert_eq!(answer.header("connection"), None);
    }
    assert_eq!(origin.connections(), 1);
    let stats = rig.stats();
    assert_eq!((stats.conns, stats.totconns, stats.ereq), (1, 1, 0));
    assert_eq!(stats.rx, 5 * 27);
    // Bytes are counted once they are sent, and the client may be faster.
    until("all bytes are counted", || rig.stats().tx == 5 * ok("hello").len() as u64);
    let member = rig.member_state(0);
    assert_eq!((member.requests(), member.total_connections(), member.errors()), (5, 1, 0));
    drop(client);
    until("the connection is counted as closed", || rig.stats().conns == 0);
    assert_eq!(member.active(), 0);
}

#[test]
fn members_take_turns() {
    let (a, b) = (Origin::says("a"), Origin::says("b"));
    let mut rig = Rig::http(&[&a, &b]);
    rig.members()[0].weight = 3;
    rig.reconfigure();
    let order: String = (0..8).map(|_| rig.get("/").text().to_owned()).collect();
    assert_eq!(order, "aabaaaba");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    let mut requests = String::new();
    for n in 0..100 {
        requests += &format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
        requests += &format!("POST /post{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        requests += &format!(
            "PUT /put{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
    }
    client.send(requests);
    for n in 0..100 {
        for path in ["/", "/post", "/put"] {
            assert_eq!(client.answer().text(), format!("{path}{n}"));
        }
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::says("hello");
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().text(), "hello");
}

/// Bodies of many sizes, framed in every way, up and down.
#[test]
fn bodies_go_through_whole() {
    // Sends back what it got, framed as the path says.
    let origin = Origin::http(|request| {
        let body = &request.body;
        match request.head.split(' ').nth(1).unwrap() {
            "/length" => ok(body),
            path => {
                let size = path.strip_prefix("/chunks/").unwrap().parse().unwrap();
                let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                answer.extend(chunked(body, size));
                answer
            }
        }
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for size in [0, 1, 100, 4096, 16 * 1024, 40_000, 100_000, 1 << 20, 8 << 20] {
        let body = noise(size);
        for (path, up_chunk) in [
            ("/length".to_owned(), None),
            ("/length".to_owned(), Some(1000)),
            (format!("/chunks/{}", 5_000), None),
            (format!("/chunks/{}", 100_000), Some(300_000)),
        ] {
            let (framing, coded) = match up_chunk {
                None => (format!("Content-Length: {size}"), body.clone()),
                Some(chunk) => ("Transfer-Encoding: chunked".to_owned(), chunked(&body, chunk)),
            };
            let mut sender = client.try_clone();
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            let writer = std::thread::spawn(move || {
                sender.send(head);
                sender.send(coded);
            });
            let answer = client.answer();
            writer.join().unwrap();
            assert!(answer.status() == 200 && answer.body == body, "{size} bytes to {path}: {}", answer.head);
        }
    }
    assert_eq!(origin.connections(), 1);
}

/// However much of a large body has come, with the head or after it, it goes on without the rest; on a connection whose
/// last answer was a large one, too.
#[test]
fn a_large_body_goes_on_as_it_comes() {
    const LENGTH: usize = 200_000;
    let body = noise(LENGTH);
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let (sent, may_go_on) = (body.clone(), std::sync::Mutex::new(may_go_on));
    let origin = Origin::start(move |mut client| {
        while let Some(head) = client.head() {
            let first: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            client.send([head.as_bytes(), &sent[..first]].concat());
            may_go_on.lock().unwrap().recv().unwrap();
            client.send(&sent[first..]);
        }
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for first in [0, 1, 3_000, 5_000, 15_000, 17_000, 40_000, 150_000, 0] {
        client.send(format!("GET /{first} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200 OK"), "{first}");
        assert!(client.take(first) == body[..first], "{first}");
        go_on.send(()).unwrap();
        assert!(client.take(LENGTH - first) == body[first..], "{first}");
    }
    assert_eq!(origin.connections(), 1);
    assert!(rig.stats().tx > 9 * LENGTH as u64);
}

#[test]
fn a_response_may_end_with_its_connection() {
    let body = noise(300_000);
    let content = body.clone();
    let origin = Origin::start(move |mut client| {
        client.message(true);
        client.send("HTTP/1.1 200 OK\r\n\r\n");
        client.send(&content);
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(answer.body == body);
}

#[test]
fn old_clients_get_what_they_understand() {
    let body = noise(100_000);
    let content = body.clone();
    let origin = Origin::http(move |request| {
        assert!(request.head.contains("HTTP/1.1\r\nHost: "), "{}", request.head);
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend(chunked(&content, 40_000));
        answer
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(answer.body == body);

    let origin = Origin::says("hello");
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.header("connection"), answer.text()), (Some("keep-alive"), "hello"));
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().header("connection"), Some("close"));
    client.expect_end();
}

#[test]
fn responses_without_a_body() {
    let origin = Origin::http(|request| match request.head.split(' ').nth(1).unwrap() {
        "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec(),
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n".to_vec(),
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    for _ in 0..2 {
        for (request, status) in [("HEAD /head", 200), ("GET /204", 204), ("GET /304", 304)] {
            client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.message(false).unwrap().status(), status);
        }
    }
}

#[test]
fn interim_responses_go_through() {
    let origin = Origin::start(|mut client| {
        let head = client.head().unwrap();
        assert!(head.contains("Expect: 100-continue"), "{head}");
        client.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.take(5), b"hello");
        client.send(
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        );
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().unwrap(), "HTTP/1.1 100 Continue");
    client.send("hello");
    assert_eq!(client.head().unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </x>");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text()), (200, "ok"));
}

#[test]
fn an_early_answer_ends_the_upload() {
    let origin = Origin::start(|mut client| {
        client.head().unwrap();
        client.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        client.end();
        client.take_all();
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send(noise(100_000));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text()), (413, "no"));
    client.expect_end();
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let origin = Origin::start(|mut client| {
        let head = client.head().unwrap();
        assert!(head.contains("Upgrade: echo") && head.contains("Connection: upgrade"), "{head}");
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nfirst");
        while let Some(bytes) = Some(client.take(4)).filter(|bytes| !bytes.is_empty()) {
            client.send(bytes);
        }
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nping");
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: echo"), "{head}");
    assert_eq!(client.take(9), b"firstping");
    client.send("pong");
    assert_eq!(client.take(4), b"pong");
    client.end();
    client.expect_end();
}

#[test]
fn headers_are_inserted() {
    let origin = Origin::http(|request| ok(&request.head));
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].insert_headers =
            vec![InsertHeader::XForwardedFor, InsertHeader::XForwardedPort, InsertHeader::XForwardedProto];
    });
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Port: 1\r\n\r\n");
    let port = rig.address.port();
    assert_eq!(
        client.answer().text(),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 127.0.0.1\r\n\
             X-Forwarded-Port: {port}\r\nX-Forwarded-Proto: http"
        ),
    );
}

/// Mistakes of the client are answered, counted, and end the connection.
#[test]
fn broken_requests_are_refused() {
    let origin = Origin::says("never");
    let rig = Rig::http(&[&origin]);
    let table: &[(&str, u16)] = &[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417),
        ("\x16\x03\x01 no http", 400),
    ];
    for (request, status) in table {
        let mut client = rig.client();
        client.send(request);
        // What follows a broken request is never taken for another one.
        client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.header("connection")), (*status, Some("close")), "{request}");
        client.expect_end();
    }
    assert_eq!(rig.stats().ereq, table.len() as u64);
    assert_eq!(origin.connections(), 0);
}

/// A chunked body that goes wrong after its beginning was sent on: the member must not take it for whole.
#[test]
fn a_body_that_breaks_the_rules_ends_both_connections() {
    for rest in ["5\r\nhello!\r\n0\r\n\r\n", "0\r\nX: y\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"] {
        let (sender, seen) = std::sync::mpsc::channel();
        let origin = Origin::start(move |mut client| sender.send(client.take_all()).unwrap());
        let rig = Rig::http(&[&origin]);
        let mut client = rig.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        until("the member was asked", || origin.connections() == 1);
        client.send(rest);
        assert_eq!(client.answer().status(), 400, "{rest}");
        client.expect_end();
        let seen = String::from_utf8(seen.recv().unwrap()).unwrap();
        assert!(seen.ends_with("\r\n\r\n5\r\nhello\r\n"), "{seen}");
        assert_eq!(rig.stats().ereq, 1);
    }
}

/// Trailers go through as they are, but for those that a lenient reader may merge into the head.
#[test]
fn trailers_go_through_or_end_the_message() {
    const HEAD: &str = "Transfer-Encoding: chunked\r\n\r\n";
    let harmless = "2\r\nhi\r\n0\r\nGrpc-Status: 0\r\nServer-Timing: x\r\n\r\n";
    let origin = Origin::start(move |mut client| {
        client.head().unwrap();
        assert_eq!(client.take(harmless.len()), harmless.as_bytes());
        client.send(format!("HTTP/1.1 200 OK\r\n{HEAD}{harmless}"));
        client.take_all();
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{HEAD}{harmless}"));
    assert!(client.head().unwrap().ends_with("Transfer-Encoding: chunked"));
    assert_eq!(client.take(harmless.len()), harmless.as_bytes());

    for trailer in ["Content-Length: 5", "set_cookie: a=b"] {
        // Together with the head: nothing was said yet, and the client is told.
        let origin = Origin::start(move |mut client| {
            client.message(true);
            client.send(format!("HTTP/1.1 200 OK\r\n{HEAD}2\r\nhi\r\n0\r\n{trailer}\r\n\r\n"));
        });
        assert_eq!(Rig::http(&[&origin]).get("/").status(), 502, "{trailer}");
        // Later: the client sees the message break off.
        let (go, gone) = std::sync::mpsc::channel();
        let gone = std::sync::Mutex::new(gone);
        let origin = Origin::start(move |mut client| {
            client.message(true);
            client.send(format!("HTTP/1.1 200 OK\r\n{HEAD}2\r\nhi\r\n"));
            gone.lock().unwrap().recv().unwrap();
            client.send(format!("0\r\n{trailer}\r\n\r\n"));
            client.take_all();
        });
        let rig = Rig::http(&[&origin]);
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.head().unwrap();
        assert_eq!(client.take(7), b"2\r\nhi\r\n");
        go.send(()).unwrap();
        client.expect_end();
        until("counted", || rig.member_state(0).errors() == 1);
    }
}
