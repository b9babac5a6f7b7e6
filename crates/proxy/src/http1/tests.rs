//! Tables of good and hostile messages.

use std::net::{IpAddr, Ipv4Addr};

use octavia_wire::InsertHeader;
use proptest::prelude::*;

use super::*;

/// What a request head amounts to, in a line: `METHOD target host framing flags`, the status of a refusal, or
/// `partial`.
fn read(bytes: &[u8]) -> String {
    let mut slots = header_slots();
    match Request::parse(bytes, &mut slots) {
        Ok(None) => "partial".to_owned(),
        Err(refusal) => refusal.status().to_string(),
        Ok(Some(request)) => {
            let mut flags = String::new();
            for (flag, set) in [
                ("1.0", !request.http11),
                ("close", !request.keep_alive),
                ("expect", request.expects_continue),
                ("upgrade", request.upgrade),
                ("replayable", request.is_replayable()),
            ] {
                if set {
                    flags = format!("{flags} {flag}");
                }
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (target, host) = (text(request.target), request.host.map_or("-".to_owned(), text));
            format!("{} {target} {host} {:?}{flags}", request.method, request.framing)
        }
    }
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    let bytes = bytes.as_ref();
    assert_eq!(read(bytes), expected, "{}", bytes.escape_ascii());
}

/// A GET with these header lines besides a good Host.
#[track_caller]
fn check_with(lines: &str, expected: &str) {
    check(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), expected);
}

#[test]
fn good_requests() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a None replayable");
    check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a None replayable");
    check("GET / HTTP/1.0\r\n\r\n", "GET / - None 1.0 close replayable");
    check("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", "GET / a None 1.0 replayable");
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a None replayable");
    check(
        "POST /x?y=z HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length: 5\r\n\r\n",
        "POST /x?y=z [::1]:80 Length(5)",
    );
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "PUT / a Length(0) replayable");
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST / a Chunked");
    check("PURGE / HTTP/1.1\r\nHost:\r\n\r\n", "PURGE /  None");
    check_with("Connection: close\r\n", "GET / a None close replayable");
    check_with("Connection: keep-alive, CLOSE\r\n", "GET / a None close replayable");
    check_with("Connection: Upgrade\r\nUpgrade: websocket\r\n", "GET / a None upgrade");
    check_with("Upgrade: websocket\r\n", "GET / a None replayable");
    check_with("Connection: Upgrade\r\n", "GET / a None replayable");
    check_with("X: \u{e4}\r\n", "GET / a None replayable");
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n",
        "POST / a Length(5) expect",
    );
    check_with("Expect: 100-continue\r\n", "GET / a None replayable");
}

#[test]
fn incomplete_requests() {
    let whole = b"GET /path HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n";
    for length in 0..whole.len() {
        check(&whole[..length], "partial");
        // Looking only at what is new never misses the end.
        for seen in 0..=length {
            assert!(!may_be_complete(&whole[..length], seen), "{length} {seen}");
            assert!(may_be_complete(whole, seen), "{seen}");
        }
    }
}

#[test]
fn absolute_targets() {
    let with = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    check(with("http://a/b?c", "a"), "GET /b?c a None replayable");
    check(with("HTTP://A:80/", "a"), "GET / A:80 None replayable");
    check(with("https://a", "a"), "GET / a None replayable");
    check(with("http://[::1]:8080/", "[::1]:8080"), "GET / [::1]:8080 None replayable");
    check("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a None replayable");
    check("GET http://a/ HTTP/1.0\r\n\r\n", "GET / a None 1.0 close replayable");
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a:81/", "a"),
        ("http://user@a/", "a"),
        ("http:///", "a"),
        ("http://a?b", "a"),
        ("ftp://a/", "a"),
        ("a/b", "a"),
        ("a:80", "a"),
        ("*", "a"),
        ("http://a\\b/", "a"),
    ] {
        check(with(target, host), "400");
    }
}

/// What two readers could understand differently is refused.
#[test]
fn smuggling() {
    for lines in [
        // Two lengths, or none that is a number.
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length:\r\n",
        "Content-Length: \t\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        // Length and coding.
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        // Codings.
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        // Names and values.
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 5\r\n",
        " X: folded into Host\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "X\r\n",
        ": y\r\n",
        "X y: z\r\n",
        "X\t: z\r\n",
        "X\0: y\r\n",
        "X: y\0z\r\n",
        "X: y\rz\r\n",
        "X: y\r\r\n",
        "X: y\x7f\r\n",
        "X(: y\r\n",
        "\u{e4}: y\r\n",
        // Lines that end in LF alone.
        "X: y\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        // More than one Host.
        "Host: a\r\n",
        "Host: b\r\n",
        "host: a\r\n",
    ] {
        check_with(lines, "400");
    }
    for host in [
        "a b", "a/b", "a?b", "a#b", "a@b", "a,b", "a:b", "a:80:80", "a:123456", "[::1", "[]", "[::1]x",
        "\u{e4}",
    ] {
        check(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), "400");
    }
    for bytes in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G{T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}",
    ] {
        check(bytes, "400");
    }
}

#[test]
fn other_refusals() {
    check("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "405");
    check("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", "405");
    for (version, status) in [
        ("HTTP/0.9", "505"),
        ("HTTP/1.2", "505"),
        ("HTTP/2.0", "505"),
        ("HTTP/11", "400"),
        ("http/1.1", "400"),
        ("HTTX/1.1", "400"),
        ("HTTP/1.1x", "400"),
    ] {
        check(format!("GET / {version}\r\nHost: a\r\n\r\n"), status);
    }
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505");
    check_with("Expect: 200-maybe\r\n", "417");
    check_with("Expect: 100-continue\r\nExpect: 100-continue\r\n", "400");
}

#[test]
fn limits() {
    let lines = |n: usize| (0..n).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    check_with(&lines(MAX_HEADERS - 1), "GET / a None replayable");
    check_with(&lines(MAX_HEADERS), "431");
    check_with(&format!("X: {}\r\n", "y".repeat(MAX_LINE - 1)), "GET / a None replayable");
    check_with(&format!("X: {}\r\n", "y".repeat(MAX_LINE)), "431");
    let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(n - 1));
    assert!(read(target(MAX_LINE).as_bytes()).starts_with("GET /aaa"));
    check(target(MAX_LINE + 1), "414");
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(MAX_HEAD));
    check(&long[..MAX_HEAD - 1], "partial");
    check(&long[..MAX_HEAD], "431");
    let complete = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\nY: {}\r\n\r\n",
        "y".repeat(16_000),
        "z".repeat(16_800)
    );
    check(complete, "431");
}

/// The head a member gets.
fn rewritten(bytes: &str, insert: &[InsertHeader]) -> String {
    let mut slots = header_slots();
    let request = Request::parse(bytes.as_bytes(), &mut slots).unwrap().unwrap();
    let forwarding = Forwarding {
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        local: "198.51.100.1:80".parse().unwrap(),
        insert: insert.iter().copied().collect(),
        tls: None,
    };
    let mut out = vec![];
    write_request(&request, &forwarding, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn requests_go_on_without_what_was_for_us() {
    assert_eq!(
        rewritten(
            "GET http://a/b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: keep-alive, X-Drop, Host, Content-Length\r\n\
             X-Drop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AA\r\nCookie:  c \r\nContent-Length: 3\r\n\r\n",
            &[],
        ),
        "GET /b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nCookie: c\r\nContent-Length: 3\r\n\r\n",
    );
    assert_eq!(
        rewritten("GET / HTTP/1.0\r\nX: y\r\n\r\n", &[]),
        "GET / HTTP/1.1\r\nHost: 198.51.100.1:80\r\nX: y\r\n\r\n",
    );
    assert_eq!(
        rewritten(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n",
            &[]
        ),
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    );
    assert_eq!(
        rewritten(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nUpgrade: x\r\n\r\n",
            &[]
        ),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
}

#[test]
fn inserted_headers_replace_and_forwarded_for_comes_after() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-port: 1\r\n\
                   X-Real-IP: 1.1.1.1\r\nConnection: X-Forwarded-Proto\r\nX-Forwarded-Proto: https\r\n\r\n";
    let in_clear: Vec<_> = InsertHeader::ALL.iter().copied().filter(|header| !header.is_of_tls()).collect();
    assert_eq!(
        rewritten(request, &in_clear),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Port: 80\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-IP: 192.0.2.7\r\nX-Client-IP: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n\r\n",
    );
    assert_eq!(
        rewritten(request, &[InsertHeader::XForwardedPort]),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-Port: 80\r\n\r\n",
    );
}

/// Some servers know no difference between a hyphen and an underscore.
#[test]
fn what_looks_like_an_inserted_header_is_replaced() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.1.1.1\r\nx_real-ip: 1.1.1.1\r\n\
                   X.Client.IP: 1.1.1.1\r\nX_Forwarded_Port: 1\r\n\r\n";
    assert_eq!(
        rewritten(request, &[InsertHeader::XForwardedFor, InsertHeader::XClientIp, InsertHeader::XRealIp]),
        "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_Port: 1\r\nX-Forwarded-For: 192.0.2.7\r\n\
         X-Client-IP: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n\r\n",
    );
}

/// What a response head amounts to: `status framing flags`, or `bad`, or `partial`.
fn read_response(bytes: &str, to_head: bool, upgrade: bool) -> String {
    let mut slots = header_slots();
    match Response::parse(bytes.as_bytes(), &mut slots, to_head, upgrade) {
        Ok(None) => "partial".to_owned(),
        Err(_) => "bad".to_owned(),
        Ok(Some(response)) => {
            let close = if response.keep_alive { "" } else { " close" };
            format!("{} {:?}{close}", response.status, response.framing)
        }
    }
}

#[test]
fn responses() {
    for (head, expected) in [
        ("200 OK\r\nContent-Length: 5", "200 Length(5)"),
        ("200 \r\nContent-Length: 5", "200 Length(5)"),
        ("200 OK\r\nContent-Length: 5\r\nContent-Length: 5", "200 Length(5)"),
        ("200 OK\r\nContent-Length: 5\r\nContent-Length: 6", "bad"),
        ("200 OK\r\nContent-Length: 5, 5", "bad"),
        ("200 OK\r\nContent-Length: -1", "bad"),
        ("200 OK\r\nTransfer-Encoding: chunked", "200 Chunked"),
        ("200 OK\r\nTransfer-Encoding: gzip, chunked", "200 Chunked"),
        ("200 OK\r\nTransfer-Encoding: gzip", "200 Close close"),
        ("200 OK\r\nTransfer-Encoding: chunked, gzip", "200 Close close"),
        ("200 OK\r\nTransfer-Encoding: chunked, chunked", "bad"),
        ("200 OK\r\nTransfer-Encoding: chunked, gzip, Chunked", "bad"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "bad"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", "200 Chunked close"),
        ("200 OK", "200 Close close"),
        ("200 OK\r\nConnection: close\r\nContent-Length: 5", "200 Length(5) close"),
        ("204 No Content", "204 None"),
        ("204 No Content\r\nContent-Length: 0", "204 None"),
        ("204 No Content\r\nContent-Length: 5", "204 None close"),
        ("204 No Content\r\nTransfer-Encoding: chunked", "204 None close"),
        ("304 Not Modified\r\nContent-Length: 5", "304 None"),
        ("100 Continue", "100 None"),
        ("101 Switching Protocols", "bad"),
        ("99 Low", "bad"),
        ("099 Low", "bad"),
        ("20 OK", "bad"),
        ("2000 OK", "bad"),
        ("200 OK\r\nX : y", "bad"),
        ("200 OK\r\nX: y\r\n z", "bad"),
        ("200 OK\r\nX: y\0", "bad"),
    ] {
        assert_eq!(read_response(&format!("HTTP/1.1 {head}\r\n\r\n"), false, false), expected, "{head}");
    }
    assert_eq!(read_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, false), "200 None");
    assert_eq!(read_response("HTTP/1.1 101 Yes\r\n\r\n", false, true), "101 None");
    assert_eq!(
        read_response("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, false),
        "200 Length(5) close"
    );
    assert_eq!(
        read_response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", false, false),
        "200 Length(5)",
    );
    assert_eq!(read_response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, false), "bad");
    assert_eq!(read_response("ICY 200 OK\r\n\r\n", false, false), "bad");
    assert_eq!(read_response("HTTP/1.1 200 OK\r\nContent-Le", false, false), "partial");
}

#[test]
fn responses_go_on_as_the_client_needs_them() {
    let check = |head: &str, http11, keep_alive, expected: Option<&str>| {
        let bytes = format!("HTTP/1.1 {head}\r\n\r\n");
        let mut slots = header_slots();
        let response = Response::parse(bytes.as_bytes(), &mut slots, false, true).unwrap().unwrap();
        let written = ClientSide::of(&response, http11, keep_alive).map(|side| {
            let mut out = vec![];
            write_response(&response, side, &mut out);
            String::from_utf8(out).unwrap().trim_end().to_owned()
        });
        assert_eq!(written.as_deref(), expected, "{head}");
    };
    let length = "200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\nX: y\r\nConnection: X";
    check(length, true, true, Some("HTTP/1.1 200 OK\r\nContent-Length: 5"));
    check(length, true, false, Some("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close"));
    check(length, false, true, Some("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive"));
    let chunked = "200 OK\r\nTransfer-Encoding: chunked";
    check(chunked, true, true, Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"));
    check(chunked, false, true, Some("HTTP/1.1 200 OK\r\nConnection: close"));
    check("200 OK\r\nTransfer-Encoding: gzip, chunked", false, true, None);
    check("200 OK", true, true, Some("HTTP/1.1 200 OK\r\nConnection: close"));
    check(
        "200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        true,
        true,
        Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"),
    );
    check("100 Continue", true, true, Some("HTTP/1.1 100 Continue"));
    // What has no body must not say that it has.
    check("103 Hints\r\nX: y\r\nContent-Length: 5", true, true, Some("HTTP/1.1 103 Hints\r\nX: y"));
    check("204 None\r\nContent-Length: 5\r\nX: y", true, true, Some("HTTP/1.1 204 None\r\nX: y"));
    check("204 None\r\nTransfer-Encoding: chunked", true, true, Some("HTTP/1.1 204 None"));
    check(
        "101 Yes\r\nContent-Length: 5\r\nUpgrade: x",
        true,
        true,
        Some("HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade"),
    );
    let upgrade = "426 No\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 0";
    let written = "HTTP/1.1 426 No\r\nUpgrade: x\r\nContent-Length: 0\r\nConnection: upgrade";
    check(upgrade, true, true, Some(written));
    check(upgrade, true, false, Some(&format!("{written}\r\nConnection: close")));
    check("426 No\r\nContent-Length: 0", true, true, Some("HTTP/1.1 426 No\r\nContent-Length: 0"));
    check(
        "101 Yes\r\nUpgrade: x\r\nConnection: upgrade",
        true,
        true,
        Some("HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade"),
    );
}

/// Reads a chunked body in pieces of `step` bytes: its content, and how many bytes are left after it.
fn unchunk(bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), FramingError> {
    let mut body = Body::new(Framing::Chunked);
    let mut content = vec![];
    let mut at = 0;
    while at < bytes.len() && !body.is_done() {
        let piece = &bytes[at..bytes.len().min(at + step)];
        let mut copy = body.clone();
        let used = body.decode(piece, &mut content)?;
        // Following without decoding finds the same end.
        assert_eq!(copy.advance(piece), Ok(used));
        assert_eq!(copy, body);
        at += used;
    }
    Ok((content, bytes.len() - at, body.is_done()))
}

#[test]
fn chunked_bodies() {
    for (body, content, left) in [
        ("0\r\n\r\n", "", 0),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
        ("5\r\nhello\r\n0\r\n\r\nGET", "hello", 3),
        ("a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", "0123456789x", 0),
        ("005;a=b;c=\"d e\"\r\nhello\r\n000\r\n\r\n", "hello", 0),
        ("5 \t\r\nhello\r\n0\r\n\r\n", "hello", 0),
        ("A\r\n0123456789\r\n0\r\nX: y\r\nZ-z:\r\n\r\n", "0123456789", 0),
        ("1\r\nx\r\n0\r\nGrpc-Status: 0\r\nContent-Digest: a\r\nServer-Timing: b\r\n\r\nGET", "x", 3),
        ("0\r\nContent-Lengt: 5\r\nXContent-Length: 5\r\nContent-Length-X: 5\r\n\r\n", "", 0),
    ] {
        for step in 1..=body.len() {
            assert_eq!(
                unchunk(body.as_bytes(), step),
                Ok((content.into(), left, true)),
                "{body:?} by {step}"
            );
        }
    }
}

#[test]
fn hostile_chunks() {
    let long = |start: &str, n: usize| format!("{start}{}", "a".repeat(n));
    for body in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 1\r\n",
        "1\n",
        "1\rx",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\rx",
        "1;\n",
        "1;\0\r\n",
        "1;a\x7f\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\nx : y\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nx: y\n",
        "0\r\nx: y\rz",
        "0\r\nx: \0\r\n\r\n",
        // Fields that may not come late.
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
        "0\r\nContent_Length: 5\r\n\r\n",
        "0\r\nhost: b\r\n\r\n",
        "0\r\nTE: trailers\r\n\r\n",
        "0\r\nX: y\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
        "0\r\nX_Real_IP: 192.0.2.1\r\n\r\n",
        "0\r\nX: y\r\nSet-Cookie: a=b\r\n\r\n",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        &long("1;", MAX_CHUNK_LINE + 10),
        &long("0\r\nx:", MAX_TRAILERS + 10),
        &format!("0\r\n{}", "x: y\r\n".repeat(MAX_TRAILERS / 6 + 10)),
        &format!("1{}\r\n", " ".repeat(100)),
    ] {
        for step in [1, 7, body.len()] {
            assert!(unchunk(body.as_bytes(), step).is_err(), "{body:?} by {step}");
        }
    }
}

#[test]
fn bodies_of_other_framings() {
    let mut body = Body::new(Framing::Length(5));
    assert_eq!((body.opaque(), body.advance(b"abc")), (5, Ok(3)));
    assert!(!body.is_done() && !body.ends_with_connection());
    assert_eq!((body.advance(b"defgh"), body.is_done()), (Ok(2), true));
    assert_eq!(body.advance(b"x"), Ok(0));
    let mut body = Body::new(Framing::Close);
    assert_eq!((body.advance(b"abc"), body.is_done(), body.ends_with_connection()), (Ok(3), false, true));
    assert!(Body::new(Framing::None).is_done() && Body::new(Framing::Length(0)).is_done());
    let mut body = Body::new(Framing::Chunked);
    assert_eq!((body.opaque(), body.advance(b"8000\r\n")), (0, Ok(6)));
    assert_eq!(body.opaque(), 0x8000);
    body.skip(0x8000);
    assert_eq!((body.opaque(), body.advance(b"\r\n0\r\n\r\n"), body.is_done()), (0, Ok(7), true));
}

proptest! {
    /// Whatever comes, reading ends, and what is let through reads the same again on the other side.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
        let _ = unchunk(&bytes, 7);
        let mut slots = header_slots();
        let _ = Response::parse(&bytes, &mut slots, false, false);
    }

    #[test]
    fn what_goes_on_reads_the_same(
        method in "[A-Z]{1,7}",
        path in "/[!-\"$-~]{0,20}",
        headers in prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,20}"), 0..10),
    ) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in &headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut slots = header_slots();
        if let Ok(Some(request)) = Request::parse(text.as_bytes(), &mut slots) {
            let again = rewritten(&text, &[]);
            let mut slots = header_slots();
            let other = Request::parse(again.as_bytes(), &mut slots).unwrap().unwrap();
            prop_assert_eq!(other.len, again.len());
            prop_assert_eq!((request.method, request.target, request.host), (other.method, other.target, other.host));
            prop_assert_eq!(request.framing, other.framing);
            prop_assert_eq!(request.upgrade, other.upgrade);
        }
    }
}
