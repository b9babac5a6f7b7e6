//! Responses as they are taken apart.

use super::*;

/// What comes of a response that is written in pieces of so many bytes after its heads, in the order in which it goes.
fn sent(response: &str, to_head: bool, piece: usize) -> Result<Vec<String>, Untranslatable> {
    let heads = response
        .rfind("HTTP/1.1 ")
        .map_or(0, |last| response[last..].find("\r\n\r\n").map_or(response.len(), |end| last + end + 4));
    let mut outgoing = Outgoing::response(to_head);
    let (mut lines, mut content) = (vec![], vec![]);
    let (first, rest) = response.as_bytes().split_at(heads);
    for bytes in [first].into_iter().chain(rest.chunks(piece)) {
        outgoing.write(bytes)?;
        lines.extend(outgoing.take_blocks().iter().map(|(block, end)| decoded(block, *end)));
        let (waiting, _) = outgoing.content();
        let waiting = waiting.len();
        content.extend_from_slice(outgoing.content().0);
        let end = outgoing.content().1 && !outgoing.is_over();
        outgoing.sent(waiting, end);
    }
    if !outgoing.is_whole() {
        lines.push("…".to_owned());
        outgoing.finish();
    }
    lines.push(String::from_utf8(content).unwrap());
    let trailers = outgoing.take_trailers();
    lines.extend(trailers.map(|block| decoded(&block, true)));
    let end = outgoing.content().1;
    outgoing.sent(0, end);
    assert!(outgoing.is_over() || !outgoing.is_whole());
    Ok(lines)
}

fn decoded(block: &[u8], end: bool) -> String {
    let mut fields = Fields::default();
    Decoder::default().decode(block, &mut fields).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all: Vec<_> = fields.iter().map(|(name, value)| text(name) + ": " + &text(value)).collect();
    all.join(", ") + if end { " end" } else { "" }
}

#[test]
fn responses() {
    for (response, to_head, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            false,
            &[":status: 200, content-length: 2", "hi"][..],
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, &[":status: 200, content-length: 0 end", ""]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true, &[":status: 200, content-length: 2 end", ""]),
        ("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", false, &[":status: 204, x: y end", ""]),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"y\"\r\n\r\n", false, &[":status: 304, etag: \"y\" end", ""]),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            false,
            &[":status: 100", ":status: 103, link: </a>", ":status: 200, content-length: 1", "x"],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            false,
            &[":status: 200, trailer: sum", "abcde"],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nGrpc-Status: 0\r\nsum:1 \r\n\r\n",
            false,
            &[":status: 200", "abc", "grpc-status: 0, sum: 1 end"],
        ),
        // What is about a connection stays behind.
        (
            "HTTP/1.1 426 No\r\nUpgrade: x\r\nContent-Length: 0\r\nConnection: upgrade\r\n\r\n",
            false,
            &[":status: 426, content-length: 0 end", ""],
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: y\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nTe: x\r\nServer: s\r\n\r\nuntil the end",
            false,
            &[":status: 200, server: s", "…", "until the end"],
        ),
    ] {
        for piece in [1, 2, 7, 1000] {
            assert_eq!(sent(response, to_head, piece).unwrap(), expected, "{response}");
        }
    }
}

#[test]
fn what_is_no_response() {
    for response in [
        "x",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
        "HTTP/1.1 204 No Content\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        assert_eq!(sent(response, false, 1000), Err(Untranslatable), "{response}");
    }
}

/// Of a request that goes to a member: its block, and what comes after.
#[test]
fn requests() {
    let sent = |request: &str, trailers: bool| {
        let mut outgoing = Outgoing::request(trailers);
        outgoing.write(request.as_bytes()).unwrap();
        let mut lines: Vec<_> =
            outgoing.take_blocks().iter().map(|(block, end)| decoded(block, *end)).collect();
        let content = outgoing.content().0.to_vec();
        outgoing.sent(content.len(), false);
        lines.push(String::from_utf8(content).unwrap());
        lines.extend(outgoing.take_trailers().map(|block| decoded(&block, true)));
        lines
    };
    let asked = ":method: GET, :scheme: https, :authority: a, :path: /";
    for (request, trailers, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, vec![format!("{asked} end"), String::new()]),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX-Y: z\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            true,
            vec![format!("{asked}, x-y: z, te: trailers end"), String::new()],
        ),
        (
            "PUT /a?b=c HTTP/1.1\r\nHost: a:8443\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
            false,
            vec![
                ":method: PUT, :scheme: https, :authority: a:8443, :path: /a?b=c, content-length: 2, expect: \
                 100-continue"
                    .to_owned(),
                "hi".to_owned(),
            ],
        ),
        (
            "POST * HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\nSum: 1\r\n\r\n",
            false,
            vec![
                ":method: POST, :scheme: https, :path: *".to_owned(),
                "hi!".to_owned(),
                "sum: 1 end".to_owned(),
            ],
        ),
    ] {
        assert_eq!(sent(request, trailers), expected, "{request}");
    }
    for broken in ["GET / HTTP/1.1\r\nHost: a\r\n", "GET\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        assert_eq!(Outgoing::request(false).write(broken.as_bytes()), Err(Untranslatable), "{broken}");
    }
}
