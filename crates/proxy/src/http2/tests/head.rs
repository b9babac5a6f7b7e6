//! RFC 9113 §8: which requests there are, and how they look as requests of HTTP/1.1.

use super::*;

/// The request as it goes on; or why it is malformed.
fn written(fields: &[(&str, &str)], end: bool) -> Result<String, Malformed> {
    let mut block = vec![];
    for (name, value) in fields {
        // As it is: encode_field would write it in lower case.
        block.push(0);
        block.push(name.len() as u8);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    let mut decoded = Fields::default();
    Decoder::default().decode(&block, &mut decoded).unwrap();
    let head = Head::read(&decoded, end)?;
    let mut out = vec![];
    head.write(end, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [base, more].concat()
}

#[test]
fn requests_as_they_go_on() {
    for (fields, end, text) in [
        (GET.to_vec(), true, "GET / HTTP/1.1|host: a|"),
        (GET.to_vec(), false, "GET / HTTP/1.1|host: a|transfer-encoding: chunked|"),
        (POST.to_vec(), true, "POST / HTTP/1.1|host: a|content-length: 0|"),
        (POST.to_vec(), false, "POST / HTTP/1.1|host: a|transfer-encoding: chunked|"),
        (with(&POST, &[("content-length", "3")]), false, "POST / HTTP/1.1|host: a|content-length: 3|"),
        (with(&POST, &[("content-length", "0")]), true, "POST / HTTP/1.1|host: a|content-length: 0|"),
        (
            with(&GET, &[("x", ""), ("accept", "a, b"), ("te", "trailers"), ("x", "y")]),
            true,
            "GET / HTTP/1.1|host: a|x: |accept: a, b|te: trailers|x: y|",
        ),
        // Cookies become one (§8.2.3).
        (
            with(&GET, &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d; e"), ("cookie", "f")]),
            true,
            "GET / HTTP/1.1|host: a|x: y|cookie: a=b; c=d; e; f|",
        ),
        // Who is asked may be said in either place, or in both.
        (with(&GET, &[("host", "A")]), true, "GET / HTTP/1.1|host: a|"),
        (with(&GET[..3], &[("host", "b:8080")]), true, "GET / HTTP/1.1|host: b:8080|"),
        (GET[..3].to_vec(), true, "GET / HTTP/1.1|"),
        (
            vec![(":path", "*"), (":method", "OPTIONS"), (":scheme", "HTTPS"), (":authority", "a")],
            true,
            "OPTIONS * HTTP/1.1|host: a|",
        ),
        // It is for the other side of the core to refuse it.
        (
            vec![(":method", "CONNECT"), (":authority", "a:443")],
            false,
            "CONNECT a:443 HTTP/1.1|host: a:443|transfer-encoding: chunked|",
        ),
    ] {
        let text = format!("{text}|").replace('|', "\r\n");
        assert_eq!(written(&fields, end), Ok(text), "{fields:?}");
    }
}

#[test]
fn requests_that_are_none() {
    let without = |name: &str| GET.iter().copied().filter(|(n, _)| *n != name).collect::<Vec<_>>();
    let instead = |name: &str, value: &'static str| {
        GET.iter().map(|&(n, v)| (n, if n == name { value } else { v })).collect::<Vec<_>>()
    };
    let get = |more: &[(&'static str, &'static str)]| with(&GET, more);
    for (fields, said) in [
        (without(":method"), "no :method"),
        (without(":scheme"), "no :scheme"),
        (without(":path"), "no :path"),
        (instead(":path", ""), ":path"),
        (instead(":path", "a"), ":path"),
        (instead(":path", "*"), ":path"),
        (instead(":path", "http://a/"), ":path"),
        (instead(":path", "/ HTTP/1.1"), ":path"),
        (instead(":path", "/\r\nx: y"), ":path"),
        (instead(":path", "/\u{e4}"), ":path"),
        (instead(":method", ""), ":method"),
        (instead(":method", "GE T"), ":method"),
        (instead(":method", "GET / HTTP/1.1\r\nx:"), ":method"),
        (instead(":scheme", "ftp"), "a :scheme that is not served"),
        (instead(":scheme", ""), "a :scheme that is not served"),
        (instead(":authority", "a b"), ":authority"),
        (instead(":authority", "a\r\nx: y"), ":authority"),
        (get(&[(":path", "/")]), "a pseudo-header that comes twice"),
        (with(&[("x", "y")], &GET), "a pseudo-header after a header"),
        (get(&[(":protocol", "websocket")]), "a pseudo-header that requests do not have"),
        (with(&[(":status", "200")], &GET), "a pseudo-header that requests do not have"),
        (with(&[(":", "")], &GET), "a pseudo-header that requests do not have"),
        (get(&[("host", "b")]), "host differs from :authority"),
        (get(&[("host", "a"), ("host", "a")]), "more than one host"),
        (get(&[("content-length", "0"), ("content-length", "0")]), "more than one content-length"),
        (get(&[("content-length", "+0")]), "content-length"),
        (get(&[("content-length", "1")]), "less content than content-length says"),
        (get(&[("X", "y")]), "a header's name"),
        (get(&[("", "y")]), "a header's name"),
        (get(&[("x y", "y")]), "a header's name"),
        (get(&[("x:", "y")]), "a header's name"),
        (get(&[("x\r\ny", "y")]), "a header's name"),
        (get(&[("x\u{e4}", "y")]), "a header's name"),
        (get(&[("x", "y\r\nz: z")]), "a header's value"),
        (get(&[("x", "y\n")]), "a header's value"),
        (get(&[("x", "\0")]), "a header's value"),
        (get(&[("x", "\u{7f}")]), "a header's value"),
        (get(&[("x", " y")]), "a header's value"),
        (get(&[("x", "y\t")]), "a header's value"),
        (get(&[("connection", "close")]), "a header that is about a connection"),
        (get(&[("keep-alive", "1")]), "a header that is about a connection"),
        (get(&[("proxy-connection", "close")]), "a header that is about a connection"),
        (get(&[("transfer-encoding", "chunked")]), "a header that is about a connection"),
        (get(&[("upgrade", "h2c")]), "a header that is about a connection"),
        (get(&[("te", "gzip")]), "te"),
        (vec![(":method", "CONNECT")], "CONNECT with other pseudo-headers than it has"),
        (vec![(":method", "CONNECT"), (":authority", "")], "CONNECT with other pseudo-headers than it has"),
        (
            vec![(":method", "CONNECT"), (":authority", "a"), (":path", "/"), (":scheme", "http")],
            "CONNECT with other pseudo-headers than it has",
        ),
    ] {
        assert_eq!(written(&fields, true), Err(Malformed(said)), "{fields:?}");
    }
}

#[test]
fn content_in_chunks() {
    let mut out = vec![];
    write_chunk(b"", &mut out);
    write_chunk(b"0123456789abcdefg", &mut out);
    assert_eq!(out, b"11\r\n0123456789abcdefg\r\n");
}
