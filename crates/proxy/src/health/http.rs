//! The HTTP of a check: one request, and as much of the answer as tells its status. Pure.

use std::fmt::Write;
use std::net::SocketAddr;

use octavia_wire::HttpCheck;

/// The request, or why it cannot be made.
pub(super) fn request(check: &HttpCheck, address: SocketAddr) -> Result<Vec<u8>, String> {
    let path = if check.path.is_empty() { "/" } else { &check.path };
    for text in [path, check.host.as_deref().unwrap_or("x")] {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(format!("{text:?} cannot be sent"));
        }
    }
    let mut request = format!("{} {path} HTTP/1.{}\r\n", check.method, u8::from(check.http11));
    let written = match &check.host {
        Some(host) => write!(request, "Host: {host}\r\n"),
        // HTTP/1.1 without it is an error to any server.
        None if check.http11 => write!(request, "Host: {address}\r\n"),
        None => Ok(()),
    };
    if written.is_err() {
        return Err("the request cannot be written".to_owned());
    }
    request.push_str("Connection: close\r\n\r\n");
    Ok(request.into_bytes())
}

/// What the first bytes of an answer say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Incomplete,
    Status(u16),
    NotHttp,
    /// It is none: the member would not give one. Of HTTP/2 only.
    Refused,
}

/// Reads `HTTP/1.x NNN` followed by a blank or the line's end.
pub(super) fn answer(seen: &[u8]) -> Answer {
    const SHAPE: &[u8] = b"HTTP/1.d ddd ";
    let fits = |(&byte, &shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b' ' => byte == b' ' || byte == b'\r' || byte == b'\n',
        _ => byte == shape,
    };
    if !seen.iter().zip(SHAPE).all(fits) {
        return Answer::NotHttp;
    }
    let Some(head) = seen.first_chunk::<13>() else { return Answer::Incomplete };
    let status = head[9..12].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if head[8] == b' ' && status >= 100 { Answer::Status(status) } else { Answer::NotHttp }
}

/// `Ok` if the status is among the expected.
pub(super) fn judge(check: &HttpCheck, status: u16) -> Result<(), String> {
    if check.expected.iter().any(|&(low, high)| (low..=high).contains(&status)) {
        Ok(())
    } else {
        Err(format!("HTTP status {status}"))
    }
}

#[cfg(test)]
mod tests {
    use octavia_model::HttpMethod;

    use super::*;

    fn check() -> HttpCheck {
        HttpCheck {
            method: HttpMethod::Get,
            path: "/healthz?a=b".to_owned(),
            http11: false,
            host: None,
            expected: vec![(200, 200)],
        }
    }

    #[test]
    fn requests_say_what_the_monitor_says() {
        let address = "[::1]:8080".parse().unwrap();
        for (check, expected) in [
            (check(), "GET /healthz?a=b HTTP/1.0\r\nConnection: close\r\n\r\n"),
            (
                HttpCheck { http11: true, method: HttpMethod::Head, path: String::new(), ..check() },
                "HEAD / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n",
            ),
            (
                HttpCheck { http11: true, host: Some("app.example".to_owned()), ..check() },
                "GET /healthz?a=b HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n",
            ),
        ] {
            assert_eq!(String::from_utf8(request(&check, address).unwrap()).unwrap(), expected);
        }
        for path in ["/a b", "/a\r\nX: y", "/\0", "/\x7f"] {
            assert!(request(&HttpCheck { path: path.to_owned(), ..check() }, address).is_err(), "{path:?}");
        }
        let host = Some("a\r\nX: y".to_owned());
        assert!(request(&HttpCheck { host, ..check() }, address).is_err());
    }

    #[test]
    fn answers_are_understood_or_refused_at_the_first_wrong_byte() {
        use Answer::{Incomplete, NotHttp, Status};
        for (seen, expected) in [
            ("HTTP/1.1 200 OK\r\n", Status(200)),
            ("HTTP/1.0 503 x", Status(503)),
            ("HTTP/1.1 204\r\n", Status(204)),
            ("HTTP/1.1 204\n", Status(204)),
            ("", Incomplete),
            ("H", Incomplete),
            ("HTTP/1.1 200", Incomplete),
            ("HTTP/1.1 2000 ", NotHttp),
            ("HTTP/1.1 099 ", NotHttp),
            ("HTTP/1.1\r200 ", NotHttp),
            ("HTTP/2 200 OK", NotHttp),
            ("http/1.1 200 OK", NotHttp),
            ("HTTP/1.1  200 OK", NotHttp),
            ("SSH-2.0-OpenSSH", NotHttp),
            ("\x16\x03\x01", NotHttp),
            ("HTTP/1.1 +20 ", NotHttp),
        ] {
            assert_eq!(answer(seen.as_bytes()), expected, "{seen:?}");
            let cut = answer(&seen.as_bytes()[..seen.len().min(3)]);
            assert!(matches!(cut, Incomplete | NotHttp));
        }
    }

    #[test]
    fn expected_codes_are_ranges() {
        let check = HttpCheck { expected: vec![(200, 204), (301, 301)], ..check() };
        for (status, good) in
            [(199, false), (200, true), (204, true), (205, false), (301, true), (302, false)]
        {
            assert_eq!(judge(&check, status).is_ok(), good, "{status}");
        }
        assert_eq!(judge(&check, 500).unwrap_err(), "HTTP status 500");
    }
}
