//! What must hold for whatever a member answers to a check.
#![allow(clippy::unwrap_used, reason = "what fails here is what is looked for")]

use std::net::SocketAddr;

use octavia_wire::HttpCheck;

use super::http::{self, Answer};
use super::ping::{self, COOKIE_SIZE};
use super::tls::{self, Hello};

/// More than any verdict needs.
const SEEN: usize = 16;

/// `data` as the first bytes of a member: a verdict comes soon, and does not change with what follows.
pub fn answer(data: &[u8]) -> bool {
    let (mut answer, mut hello) = (Answer::Incomplete, Hello::Incomplete);
    for len in 0..=data.len().min(SEEN) {
        let now = (http::answer(&data[..len]), tls::hello(&data[..len]));
        assert!(now.0 == answer || answer == Answer::Incomplete, "{answer:?}, then {now:?}");
        assert!(now.1 == hello || hello == Hello::Incomplete, "{hello:?}, then {now:?}");
        (answer, hello) = now;
    }
    if data.len() >= SEEN {
        assert!(answer != Answer::Incomplete && hello != Hello::Incomplete);
        assert_eq!((http::answer(data), tls::hello(data)), (answer, hello));
    }
    if let Answer::Status(status) = answer {
        assert!((100..=999).contains(&status) && data[9..12] == *status.to_string().as_bytes());
    }
    let good = (matches!(answer, Answer::Status(_)), hello == Hello::Server);
    assert!(good != (true, true), "nobody speaks both");
    good.0 || good.1
}

/// `data` as a packet that came to a socket for echo requests: it is ours with our words in it, or not.
pub fn ping_reply(data: &[u8]) -> bool {
    const COOKIE: [u8; COOKIE_SIZE] = *b"cookie!!";
    let mut good = false;
    for (v6, with_ip_header) in [(false, false), (false, true), (true, false), (true, true)] {
        if let Some(token) = ping::reply(v6, with_ip_header, COOKIE, data) {
            good = true;
            let words = [COOKIE, token.to_be_bytes()].concat();
            assert!(data.ends_with(&words));
            assert_eq!(ping::reply(v6, with_ip_header, *b"stranger", data), None);
        }
    }
    good
}

/// What is sent for a check is one request, whatever its monitor says.
pub(crate) fn request(check: &HttpCheck, address: SocketAddr) {
    let Ok(bytes) = http::request(check, address) else { return };
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    assert_eq!(lines.len(), 2 + usize::from(check.http11 || check.host.is_some()));
    assert_eq!(lines[0].split(' ').count(), 3);
    assert!(!lines.iter().any(|line| line.contains(['\r', '\n', '\0'])));
}
