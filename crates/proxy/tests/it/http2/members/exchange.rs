//! Requests of clients of either version, and their responses.

use std::sync::Arc;

use http::{HeaderMap, Response};
use octavia_model::PoolProtocol;
use octavia_wire::{InsertHeader, PersistenceSpec};
use tokio::sync::Barrier;

use super::*;
use crate::http2::{Peer, read, request};
use crate::proxy_protocol::header;
use crate::rig::{chunked, noise, ok, until};
use crate::tls::members::{answers, both};
use crate::tls::pki::Visitor;

/// Answers with the request's head as it came, and its content after it.
fn mirror() -> Origin {
    speaks(&server::Builder::new(), |request, respond| async move {
        let (head, mut content) = request.into_parts();
        let (content, trailers) = read(&mut content).await?;
        let mut text = format!("{} {}\n", head.method, head.uri);
        let fields = head.headers.iter().chain(trailers.iter().flatten());
        for (name, value) in fields {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        answer(respond, &[text.as_bytes(), &content].concat()).await
    })
}

#[test]
fn requests_go_on_as_those_of_http_2() {
    let origin = mirror();
    let rig = tuned(&[&origin], |spec| {
        spec.listeners[0].insert_headers = vec![InsertHeader::XForwardedFor, InsertHeader::XForwardedProto];
    });
    let mut client = rig.client();
    let mut ask = |text: &str| {
        client.send(text);
        client.answer().text().to_owned()
    };
    let inserted = "x-forwarded-for: 127.0.0.1\nx-forwarded-proto: http\n";
    assert_eq!(
        ask("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-Y: z\r\nConnection: x-y\r\nCookie: a=b\r\n\r\n"),
        format!("GET https://a.example/a?b=c\ncookie: a=b\n{inserted}")
    );
    assert_eq!(
        ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTE: gzip, trailers\r\n\r\nhello"),
        format!("POST https://a.example/\ncontent-length: 5\n{inserted}te: trailers\nhello")
    );
    assert_eq!(
        ask(
            "PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nSum: 1\r\n\r\n"
        ),
        format!("PUT https://a.example/\n{inserted}sum: 1\nhello")
    );
    let peer = Peer::connect(rig.address);
    let asked = http::Request::get("http://a.example/").header("te", "trailers").body(()).unwrap();
    assert_eq!(
        peer.ask(asked, b"").unwrap().text(),
        format!("GET https://a.example/\n{inserted}te: trailers\n")
    );
    assert_eq!(
        peer.ask(request("POST", "/"), b"hello").unwrap().text(),
        format!("POST https://a.example/\n{inserted}hello")
    );
    // They are counted as those of HTTP/1.1 are.
    assert_eq!((rig.stats().ereq, rig.member_state(0).errors(), rig.member_state(0).requests()), (0, 0, 5));
    drop((client, peer));
    until("the member is free", || rig.member_state(0).active() == 0);
    // A thread keeps its own; there are two.
    assert!(origin.connections() <= 2, "{}", origin.connections());
}

#[test]
fn bodies_of_every_size_both_ways() {
    let origin = speaks(&server::Builder::new(), |request, respond| async move {
        let (content, _) = read(&mut request.into_body()).await?;
        answer(respond, &content).await
    });
    let rig = rig(&[&origin]);
    let (mut client, peer) = (rig.client(), Peer::connect(rig.address));
    for size in [0, 1, 4_000, 16_384, 16_385, 65_535, 65_536, 131_073, 3_000_001] {
        let content = noise(size);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        client.send(&content);
        assert!(client.answer().body == content, "{size} bytes");
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunked(&content, 50_000));
        assert!(client.answer().body == content, "{size} bytes in chunks");
        assert!(peer.ask(request("POST", "/"), &content).unwrap().content == content, "{size} bytes");
    }
    assert_eq!((rig.stats().ereq, rig.member_state(0).errors()), (0, 0));
    assert!(origin.connections() <= 2, "{}", origin.connections());
}

#[test]
fn answers_of_all_kinds() {
    let origin = speaks(&server::Builder::new(), |request, mut respond| async move {
        let head = Response::builder();
        let (head, content, trailers) = match request.uri().path() {
            "/head" => (head.header("content-length", "1000"), &b""[..], false),
            "/204" => (head.status(204), &b""[..], false),
            "/304" => (head.status(304).header("etag", "\"x\""), &b""[..], false),
            "/empty" => (head, &b""[..], false),
            "/length" => (head.header("content-length", "2"), &b"hi"[..], false),
            "/trailers" => (head, &b"hi"[..], true),
            "/interim" => {
                respond.send_informational(Response::builder().status(103).body(()).unwrap())?;
                (head, &b"hi"[..], false)
            }
            _ => (head.header("set-cookie", "a").header("set-cookie", "b"), &b"hi"[..], false),
        };
        let mut stream = respond.send_response(head.body(()).unwrap(), content.is_empty())?;
        if !content.is_empty() {
            send(&mut stream, content, !trailers).await?;
        }
        if trailers {
            stream.send_trailers(HeaderMap::from_iter([("sum".parse().unwrap(), "1".parse().unwrap())]))?;
        }
        Ok(())
    });
    let rig = rig(&[&origin]);
    let peer = Peer::connect(rig.address);
    let ask = |method: &str, path: &str| peer.ask(request(method, path), b"").unwrap();
    let said = |method: &str, path: &str| {
        let answer = ask(method, path);
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(ask("HEAD", "/head").header("content-length"), Some("1000"));
    assert_eq!(said("GET", "/204"), (204, String::new()));
    assert_eq!(said("GET", "/304"), (304, String::new()));
    assert_eq!(said("GET", "/empty"), (200, String::new()));
    assert_eq!(said("GET", "/length"), (200, "hi".to_owned()));
    assert_eq!(said("GET", "/interim"), (200, "hi".to_owned()));
    assert_eq!(ask("GET", "/trailers").trailers.unwrap()["sum"], "1");
    assert_eq!(ask("GET", "/cookies").headers.get_all("set-cookie").iter().count(), 2);

    let mut client = rig.client();
    let mut head = |method: &str, path: &str| {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.head().unwrap()
    };
    assert_eq!(head("HEAD", "/head"), "HTTP/1.1 200 \r\ncontent-length: 1000");
    assert_eq!(head("GET", "/204"), "HTTP/1.1 204 ");
    assert_eq!(head("GET", "/empty"), "HTTP/1.1 200 \r\ncontent-length: 0");
    assert_eq!(head("GET", "/interim"), "HTTP/1.1 103 ");
    assert_eq!(client.answer().text(), "hi");
    client.send("GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(client.take_all()).unwrap();
    assert!(text.ends_with("\r\n2\r\nhi\r\n0\r\nsum: 1\r\n\r\n"), "{text}");
    assert_eq!((rig.stats().ereq, rig.member_state(0).errors()), (0, 0));
}

/// Requests that wait for each other: none would be answered if they did not share connections, and no connection has
/// more of them than the member takes.
#[test]
fn many_share_a_connection() {
    for (most, clients, each, connections) in [(100, 1, 50, 1..=1), (10, 1, 50, 5..=50), (100, 3, 90, 3..=9)]
    {
        let barrier = Arc::new(Barrier::new(clients * each));
        let origin = speaks(server::Builder::new().max_concurrent_streams(most), move |_, respond| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                answer(respond, b"hi").await
            }
        });
        let rig = rig(&[&origin]);
        let peers: Vec<_> = (0..clients).map(|_| Peer::connect(rig.address)).collect();
        let begun = peers.iter().flat_map(|peer| {
            (0..each).map(move |_| (peer, peer.begin(request("GET", "/"), true).unwrap().0))
        });
        for (peer, response) in begun.collect::<Vec<_>>() {
            assert_eq!(peer.end(response).unwrap().text(), "hi");
        }
        assert!(connections.contains(&origin.connections()), "{most}: {}", origin.connections());
        let state = rig.member_state(0);
        let all = (clients * each) as u64;
        assert_eq!((state.requests(), state.errors()), (all, 0), "none was refused");
    }
}

/// Who chooses HTTP/1.1 gets it, however many come at once.
#[test]
fn members_that_choose_otherwise() {
    for protocols in [&["http/1.1"][..], &[]] {
        let origin = secure(config(protocols), answers(|_, request| ok(&request.head)));
        let rig = rig(&[&origin]);
        let peer = Peer::connect(rig.address);
        let begun: Vec<_> = (0..20).map(|_| peer.begin(request("GET", "/"), true).unwrap().0).collect();
        for response in begun {
            assert_eq!(peer.end(response).unwrap().text(), "GET / HTTP/1.1\r\nHost: a.example");
        }
        assert_eq!(rig.member_state(0).errors(), 0);
    }
}

/// What is to become another protocol is not asked for in HTTP/2, nor are bytes that nobody reads sent in it.
#[test]
fn some_are_not_offered_it() {
    let origin = secure(config(&["h2", "http/1.1"]), |mut client| {
        let agreed = client.session().alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
        while let Some(request) = client.head() {
            if request.contains("Upgrade: echo") {
                client
                    .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n");
                let said = client.take(2);
                client.send(said);
            } else {
                client.send(ok("hi"));
            }
        }
    });
    let upgrade = rig(&[&origin]);
    let mut client = upgrade.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    client.send("hi");
    assert_eq!(client.take(2), b"hi");
    let tcp = Rig::start(ListenerProtocol::Tcp, &[&origin], |spec| {
        let mut tls = member_tls(None);
        tls.alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
        spec.pools[0].tls = Some(tls);
    });
    assert_eq!(tcp.get("/").text(), "hi");
}

#[test]
fn clients_come_back_to_their_member() {
    let origins: Vec<_> = (0..2)
        .map(|nth| {
            speaks(&server::Builder::new(), move |_, respond| async move {
                answer(respond, nth.to_string().as_bytes()).await
            })
        })
        .collect();
    let rig = tuned(&[&origins[0], &origins[1]], |spec| {
        spec.pools[0].persistence = Some(PersistenceSpec::HttpCookie);
    });
    let peer = Peer::connect(rig.address);
    for _ in 0..2 {
        let first = peer.get("/");
        let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        for _ in 0..4 {
            let again = http::Request::get("http://a.example/").header("cookie", &cookie);
            assert_eq!(peer.ask(again.body(()).unwrap(), b"").unwrap().text(), first.text());
        }
    }
}

/// A connection that says whose it is carries nothing for others.
#[test]
fn connections_that_say_whose_they_are() {
    let origin = Origin::start(|client| {
        let mut client = client;
        let said = header(PoolProtocol::Proxy, &mut client);
        assert!(said.starts_with("127.0.0.1:"), "{said}");
        let session = rustls::ServerConnection::new(Arc::new(config(&["h2"]))).unwrap();
        let mut client = client.served(session).unwrap();
        hostile::greet(&mut client);
        while let Some(stream) = hostile::next_request(&mut client) {
            client.send(hostile::said(stream, "hi"));
        }
    });
    let rig = tuned(&[&origin], |spec| spec.pools[0].protocol = PoolProtocol::Proxy);
    let mut clients = [rig.client(), rig.client()];
    for _ in 0..3 {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.answer().text(), "hi");
        }
    }
    assert_eq!(origin.connections(), 2);
}

/// As with HTTP/1.1, a member is asked for the name that the client has asked for, and is who it says.
#[test]
fn each_name_has_connections_of_its_own() {
    let ca = Authority::new("ca");
    let mut own = ca.server(&["a.example", "b.example"]).server(octavia_model::TlsVersion::ALL, None);
    own.alpn_protocols = vec![b"h2".to_vec()];
    let origin = secure(own, |mut client| {
        let name = client.session().server_name().unwrap_or("nobody").to_owned();
        hostile::greet(&mut client);
        while let Some(stream) = hostile::next_request(&mut client) {
            client.send(hostile::said(stream, &name));
        }
    });
    let mut terms = member_tls(Some(&ca));
    terms.alpn = vec!["h2".to_owned()];
    let rig = both(&ca, &[&origin], terms);
    let visitor = Visitor::new(&ca, None);
    for _ in 0..4 {
        for name in ["a.example", "b.example"] {
            let mut client = visitor.connect(&rig, name).unwrap();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.answer().text(), name);
        }
    }
    // A thread keeps its own; there are two.
    assert!((2..=4).contains(&origin.connections()), "{}", origin.connections());
}
