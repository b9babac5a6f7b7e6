//! Answers the proxy gives by itself: when no member can or may, and when an L7 policy says so.

use std::borrow::Cow;

use super::rewrite::HSTS;

/// A whole response.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// One of those the proxy gives; what is none of them is taken for 400.
    pub status: u16,
    /// Where to go instead: visible ASCII characters.
    pub location: Option<&'a [u8]>,
    /// With 405: the methods that there is an answer for.
    pub allow: Option<&'a str>,
    /// The operator's words in place of ours: their type, and all of them.
    pub page: Option<(&'a str, &'a str)>,
    /// The client speaks HTTP/1.1.
    pub http11: bool,
    /// It is not the last on its connection.
    pub keep_alive: bool,
    /// The request was HEAD: the body stays away.
    pub to_head: bool,
    /// The value of `Strict-Transport-Security`.
    pub hsts: Option<&'a [u8]>,
}

/// Appends `answer`.
pub fn write_answer(answer: Answer<'_>, out: &mut Vec<u8>) {
    use std::io::Write as _;

    let Answer { status, .. } = answer;
    let (reason, sentence) = words(status);
    let body = match (answer.location, answer.page) {
        (None, Some((_, page))) => Cow::Borrowed(page),
        (None, None) => {
            format!("<html><body><h1>{status} {reason}</h1>\n{sentence}\n</body></html>\n").into()
        }
        // Who is sent elsewhere does not look at it.
        (Some(_), _) => "".into(),
    };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\nContent-Length: {}\r\n", body.len());
    // What moved for good may be remembered (RFC 9110 §15.4).
    if !matches!(status, 301 | 308) {
        out.extend_from_slice(b"Cache-Control: no-cache\r\n");
    }
    match answer.location {
        Some(location) => {
            out.extend_from_slice(b"Location: ");
            out.extend_from_slice(location);
            out.extend_from_slice(b"\r\n");
        }
        None => {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(answer.page.map_or("text/html", |(kind, _)| kind).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    if let Some(methods) = answer.allow {
        let _ = write!(out, "Allow: {methods}\r\n");
    }
    if let Some(value) = answer.hsts {
        out.extend_from_slice(HSTS.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if !answer.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if !answer.http11 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if !answer.to_head {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Appends the head of an answer that is a text of metrics: in chunks, or to the end of the connection.
pub fn write_exposition_head(http11: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    out.extend_from_slice(b"Cache-Control: no-cache\r\nConnection: close\r\n");
    if http11 {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("OK", ""),
        301 => ("Moved Permanently", ""),
        302 => ("Found", ""),
        303 => ("See Other", ""),
        307 => ("Temporary Redirect", ""),
        308 => ("Permanent Redirect", ""),
        403 => ("Forbidden", "A policy of the load balancer refuses the request."),
        404 => ("Not Found", ""),
        405 => ("Method Not Allowed", "There is no answer to this method here."),
        408 => ("Request Timeout", "The request took too long to arrive."),
        414 => ("URI Too Long", "The request target is too long."),
        417 => ("Expectation Failed", "The expectation of the request cannot be met."),
        431 => ("Request Header Fields Too Large", "The head of the request is too large."),
        429 => ("Too Many Requests", ""),
        500 => ("Internal Server Error", ""),
        502 => ("Bad Gateway", "The member that took the request gave no usable answer."),
        503 => ("Service Unavailable", "Nobody can take the request now."),
        504 => ("Gateway Timeout", "The member that took the request did not answer in time."),
        505 => ("HTTP Version Not Supported", "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
        _ => ("Bad Request", "The request is not valid HTTP."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_our_own() {
        let write = |answer: Answer<'_>| {
            let mut out = vec![];
            write_answer(answer, &mut out);
            String::from_utf8(out).unwrap()
        };
        let refused = Answer {
            status: 403,
            location: None,
            allow: None,
            page: None,
            http11: true,
            keep_alive: true,
            to_head: false,
            hsts: None,
        };
        let body = "<html><body><h1>403 Forbidden</h1>\nA policy of the load balancer refuses the request.\n</body></html>\n";
        let length = body.len();
        let head = format!(
            "HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\n"
        );
        assert_eq!(write(refused), format!("{head}\r\n{body}"));
        assert_eq!(write(Answer { to_head: true, ..refused }), format!("{head}\r\n"));
        let no_method = write(Answer { status: 405, allow: Some("GET, HEAD"), to_head: true, ..refused });
        assert!(no_method.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{no_method}");
        assert!(no_method.ends_with("\r\nAllow: GET, HEAD\r\n\r\n"), "{no_method}");
        let page = Answer { status: 200, page: Some(("a/b", "sorry")), ..refused };
        let head_of_page =
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: no-cache\r\nContent-Type: a/b\r\n\r\n";
        assert_eq!(write(page), format!("{head_of_page}sorry"));
        assert_eq!(write(Answer { to_head: true, ..page }), head_of_page);
        let closing = Answer { keep_alive: false, ..refused };
        assert_eq!(write(closing), format!("{head}Connection: close\r\n\r\n{body}"));
        assert_eq!(write(Answer { http11: false, ..closing }), write(closing));
        let old = Answer { http11: false, ..refused };
        assert_eq!(write(old), format!("{head}Connection: keep-alive\r\n\r\n{body}"));

        for (status, reason, cached) in [
            (301, "Moved Permanently", ""),
            (302, "Found", "Cache-Control: no-cache\r\n"),
            (303, "See Other", "Cache-Control: no-cache\r\n"),
            (307, "Temporary Redirect", "Cache-Control: no-cache\r\n"),
            (308, "Permanent Redirect", ""),
        ] {
            for to_head in [false, true] {
                assert_eq!(
                    write(Answer { status, location: Some(b"http://a/"), to_head, ..refused }),
                    format!(
                        "HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\n{cached}Location: http://a/\r\n\r\n"
                    )
                );
            }
        }
    }
}
