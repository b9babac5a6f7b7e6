//! Requests and responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::{HeaderMap, Request};
use octavia_model::{L7RuleCompareType, L7RuleType, ListenerProtocol, PoolProtocol};
use octavia_wire::{InsertHeader, L7ActionSpec, L7PolicySpec, L7RuleSpec, PersistenceSpec};

use super::raw::{self, BOTH, END_HEADERS, GET, HEADERS, POST};
use super::{Peer, request};
use crate::exposition::Told;
use crate::rig::{Origin, Rig, chunked, id, ok, until};

/// Answers with the request's head, and its content after it.
fn mirror() -> Origin {
    Origin::http(|request| ok([request.head.as_bytes(), b"\n", &request.body].concat()))
}

#[test]
fn requests_go_on_as_those_of_http_1_1() {
    let origin = mirror();
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    let first = peer.get("/a?b=c");
    assert_eq!((first.status, first.header("content-length")), (200, Some("37")));
    // What came with the preface is counted, too.
    let before = rig.stats();
    // Content of a known length, and without one.
    let with_length = Request::post("http://a.example/").header("content-length", "5");
    let cookies = Request::get("http://a.example/").header("cookie", "a=b").header("cookie", "c=d");
    let answers = [
        first,
        peer.ask(with_length.body(()).unwrap(), b"hello").unwrap(),
        peer.ask(request("PUT", "/"), b"hello").unwrap(),
        peer.ask(request("POST", "/"), b"").unwrap(),
        peer.ask(cookies.header("X-Y", "z").body(()).unwrap(), b"").unwrap(),
    ];
    let answers = answers.map(|answer| answer.text().to_owned());
    assert_eq!(
        answers,
        [
            "GET /a?b=c HTTP/1.1\r\nHost: a.example\n",
            "POST / HTTP/1.1\r\nHost: a.example\r\ncontent-length: 5\nhello",
            "PUT / HTTP/1.1\r\nHost: a.example\r\ntransfer-encoding: chunked\nhello",
            "POST / HTTP/1.1\r\nHost: a.example\r\ncontent-length: 0\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\nx-y: z\r\ncookie: a=b; c=d\n",
        ]
    );

    assert_eq!(origin.connections(), 1, "it is kept between them");
    let stats = rig.stats();
    assert_eq!((stats.totconns, stats.conns, stats.ereq), (1, 1, 0));
    // They count as they would in HTTP/1.1.
    let sent: usize = answers[1..].iter().map(|answer| ok(answer).len()).sum();
    let received: usize = answers[1..].iter().map(|answer| as_sent(answer).len()).sum();
    assert_eq!((stats.rx - before.rx, stats.tx - before.tx), (received as u64, sent as u64));
    assert_eq!(rig.member_state(0).total_connections(), 1);
}

/// Requests and their answers are told of as those of HTTP/1.1 are.
#[test]
fn streams_are_counted_as_requests() {
    let origin = Origin::says("hello");
    let told = Told::start(&[&origin], |_| {});
    let peer = Peer::connect(told.rig.address);
    for _ in 0..5 {
        assert_eq!(peer.ask(request("GET", "/"), b"").unwrap().status, 200);
    }
    let web = format!("listener=\"{}\"", told.rig.spec.listeners[0].id);
    let pool = format!("pool=\"{}:", told.rig.spec.pools[0].id);
    // The last of them is counted a moment after it is answered.
    until("all are counted", || {
        let series = told.series();
        [
            ("octavia_listener_sessions_total", &[&*web][..], 1.0),
            ("octavia_listener_http_requests_total", &[&web], 5.0),
            ("octavia_listener_http_responses_total", &[&web, "2xx"], 5.0),
            ("octavia_listener_request_duration_seconds_count", &[&web], 5.0),
            ("octavia_pool_http_requests_total", &[&pool], 5.0),
            ("octavia_pool_current_sessions", &[&pool], 0.0),
        ]
        .iter()
        .all(|(name, labels, expected)| Told::value(&series, name, labels) == *expected)
    });
}

/// The request that the mirror has shown.
fn as_sent(mirrored: &str) -> Vec<u8> {
    let (head, content) = mirrored.rsplit_once('\n').unwrap();
    let content =
        if head.contains("chunked") { chunked(content.as_bytes(), 5) } else { content.as_bytes().to_vec() };
    [head.as_bytes(), b"\r\n\r\n", &content].concat()
}

#[test]
fn answers_of_all_kinds() {
    let origin = Origin::start(|mut client| {
        while let Some(request) = client.message(true) {
            let path = request.head.split(' ').nth(1).unwrap().to_owned();
            client.send(match path.as_str() {
                "/head" => &b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"[..],
                "/204" => b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
                "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 9\r\n\r\n",
                "/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "/chunked" => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                }
                "/trailers" => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nGrpc-Status: 0\r\n\r\n"
                }
                "/lines" => b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x\r\nX: 1\r\nKeep-Alive: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi",
                _ => b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
            });
            if path == "/close" {
                return;
            }
        }
    });
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    let ask = |method: &str, path: &str| peer.ask(request(method, path), b"").unwrap();
    let said = |method: &str, path: &str| {
        let answer = ask(method, path);
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(said("HEAD", "/head"), (200, String::new()));
    assert_eq!(said("GET", "/204"), (204, String::new()));
    assert_eq!(said("GET", "/304"), (304, String::new()));
    assert_eq!(said("GET", "/empty"), (200, String::new()));
    assert_eq!(said("GET", "/chunked"), (200, "abcde".to_owned()));
    assert_eq!(said("GET", "/close"), (200, "until the end".to_owned()));
    let answer = ask("GET", "/trailers");
    assert_eq!(
        (answer.text(), answer.trailers.as_ref().unwrap()["grpc-status"].to_str().unwrap()),
        ("x", "0")
    );
    let answer = ask("GET", "/lines");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    for name in ["connection", "x", "keep-alive"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(ask("HEAD", "/head").header("content-length"), Some("1000"));
}

/// As large as members' heads may be, and larger by what we add to them.
#[test]
fn heads_of_answers_may_be_large() {
    let origin = Origin::start(|mut client| {
        let head = client.head().unwrap();
        let (lines, length) = if head.starts_with("GET /many") { (100, 1) } else { (3, 10_912) };
        let line = format!("X:{}\r\n", "x".repeat(length)).repeat(lines);
        client.send(format!("HTTP/1.1 200 OK\r\n{line}\r\nuntil the end"));
    });
    let rig = Rig::http(&[&origin]);
    let peer = Peer::with(rig.address, h2::client::Builder::new().max_header_list_size(1 << 20));
    for path in ["/many", "/long"] {
        assert_eq!(rig.get(path).text(), "until the end");
        assert_eq!(peer.get(path).text(), "until the end");
    }
}

#[test]
fn trailers_of_requests() {
    let origin = Origin::start(|mut client| {
        client.head();
        let mut text = vec![];
        while !text.ends_with(b"\r\n\r\n") {
            text.extend(client.take_some());
        }
        client.send(ok(text));
    });
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    let ask = |name: &'static str| {
        let (response, mut stream) = peer.begin(request("POST", "/"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert(name, "1".parse().unwrap());
        peer.wait(async {
            stream.send_data("abc".into(), false).unwrap();
            stream.send_trailers(trailers).unwrap();
        });
        peer.end(response).unwrap()
    };
    assert_eq!(ask("sum").text(), "3\r\nabc\r\n0\r\nsum: 1\r\n\r\n");
    // What must not come late does not.
    assert_eq!(ask("content-length").status, 400);
    assert_eq!(rig.stats().ereq, 1);
}

#[test]
fn interim_responses_pass() {
    let origin = Origin::start(|mut client| {
        let head = client.head().unwrap();
        assert!(head.contains("expect: 100-continue"), "{head}");
        client.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.take(3), b"abc");
        client.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        client.send(ok("done"));
    });
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    let more = b"\x00\x06expect\x0c100-continue\x00\x0econtent-length\x013";
    client.send(raw::frame(HEADERS, END_HEADERS, 1, &[POST, more].concat()));
    let interim = raw::find(&mut client, HEADERS);
    assert_eq!((interim.flags, &interim.payload[..]), (END_HEADERS, &b"\x08\x03100"[..]));
    client.send(raw::frame(raw::DATA, 1, 1, b"abc"));
    let hints = raw::find(&mut client, HEADERS);
    assert_eq!((hints.flags, &hints.payload[..5]), (END_HEADERS, &b"\x08\x03103"[..]));
    assert_eq!(raw::content(&mut client, 1), b"done");
}

#[test]
fn many_at_the_same_time() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&inside), Arc::clone(&most));
    // Nobody is answered before all are there.
    let origin = Origin::http(move |request| {
        peak.fetch_max(count.fetch_add(1, SeqCst) + 1, SeqCst);
        until("all are there", || peak.load(SeqCst) >= 100);
        ok(request.head.split(' ').nth(1).unwrap())
    });
    let rig = Rig::http(&[&origin]);
    let peer = Peer::connect(rig.address);
    let answers: Vec<_> =
        (0..100).map(|n| peer.begin(request("GET", &format!("/{n}")), true).unwrap()).collect();
    for (n, (answer, _)) in answers.into_iter().enumerate() {
        assert_eq!(peer.end(answer).unwrap().text(), format!("/{n}"));
    }
    assert!(most.load(SeqCst) >= 100);
    assert_eq!((rig.stats().totconns, rig.member_state(0).requests()), (1, 100));
    // Their connections serve the next ones.
    for _ in 0..10 {
        peer.get("/");
    }
    assert_eq!(origin.connections(), 100);
}

#[test]
fn what_listeners_do_with_requests_is_done() {
    let (a, b) = (mirror(), mirror());
    let mut rig = Rig::http(&[&a, &b]);
    rig.spec.pools[0].persistence = Some(PersistenceSpec::HttpCookie);
    let rule = |value: &str| L7RuleSpec {
        kind: L7RuleType::Path,
        compare_type: L7RuleCompareType::EqualTo,
        key: None,
        value: value.to_owned(),
        invert: false,
    };
    rig.listener().insert_headers = vec![InsertHeader::XForwardedFor, InsertHeader::XForwardedProto];
    let redirect = L7ActionSpec::RedirectPrefix { prefix: "https://b.example".to_owned(), code: 302 };
    rig.listener().l7policies = vec![
        L7PolicySpec { id: id(), action: L7ActionSpec::Reject, rules: vec![rule("/no")] },
        L7PolicySpec { id: id(), action: redirect, rules: vec![rule("/away")] },
    ];
    rig.reconfigure();
    let peer = Peer::connect(rig.address);
    assert_eq!(peer.get("/no").status, 403);
    let away = peer.get("/away");
    assert_eq!((away.status, away.header("location")), (302, Some("https://b.example/away")));
    let first = peer.get("/");
    assert!(
        first.text().contains("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http"),
        "{}",
        first.text()
    );
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for _ in 0..4 {
        let again = Request::get("http://a.example/").header("cookie", "x=y").header("cookie", &cookie);
        let again = peer.ask(again.body(()).unwrap(), b"").unwrap();
        assert!(
            again.text().contains("cookie: x=y\r\n") || again.text().contains("Cookie: x=y\r\n"),
            "{}",
            again.text()
        );
        assert_eq!(again.header("set-cookie"), None, "it came back to its member");
    }
    assert_eq!(rig.stats().ereq, 0);
}

/// Connections that say whose they are end with the stream they are for.
#[test]
fn members_learn_whose_a_stream_is() {
    let origin = Origin::http(|request| ok(request.head.lines().next().unwrap()));
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.pools[0].protocol = PoolProtocol::Proxy;
    });
    let peer = Peer::connect(rig.address);
    for _ in 0..3 {
        let answer = peer.get("/");
        assert!(answer.text().starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{}", answer.text());
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn what_is_no_request_of_http_is_answered() {
    let origin = mirror();
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    let ask = |client: &mut crate::rig::Client, stream: u32, block: &[u8]| {
        client.send(raw::frame(HEADERS, BOTH, stream, block));
        raw::find(client, HEADERS).payload[..5].to_vec()
    };
    let connect = b"\x00\x07:method\x07CONNECT\x41\x03a:1";
    assert_eq!(ask(&mut client, 1, connect), b"\x08\x03405");
    let no_host = b"\x82\x86\x84";
    assert_eq!(ask(&mut client, 3, no_host)[0], 0x8c, "400");
    let user_info = b"\x82\x86\x84\x41\x03u@a";
    assert_eq!(ask(&mut client, 5, user_info)[0], 0x8c, "400");
    let expectation = [GET, b"\x00\x06expect\x01x"].concat();
    assert_eq!(ask(&mut client, 7, &expectation), b"\x08\x03417");
    let many = [GET, &b"\x00\x01x\x01y".repeat(101)].concat();
    assert_eq!(ask(&mut client, 9, &many), b"\x08\x03431");
    let far_too_many = [GET, &b"\x00\x01x\x01y".repeat(300)].concat();
    assert_eq!(ask(&mut client, 11, &far_too_many), b"\x08\x03431");
    // The connection goes on.
    assert_eq!(ask(&mut client, 13, GET)[0], 0x88, "200");
    until("they are counted", || rig.stats().ereq == 6);
}
