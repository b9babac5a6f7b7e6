//! What must hold for whatever a member answers to a check.
#![allow(clippy::unwrap_used, reason = "what fails here is what is looked for")]

use std::net::SocketAddr;

use octavia_wire::HttpCheck;

use super::http::{self, Answer};
use super::ping::{self, COOKIE_SIZE};
use super::sctp;
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

/// `data` as a packet that came to a socket for SCTP, with a checksum that is right or as it came: it is ours, or not.
pub fn sctp_answer(data: &[u8]) -> bool {
    const COOKIE: u32 = 0x8000_0007;
    let mut good = false;
    for (from, header) in [("192.0.2.7", 20), ("2001:db8::7", 0)] {
        let from = from.parse().unwrap();
        let _ = sctp::answer(from, COOKIE, data);
        let mut packet = data.to_vec();
        let header = if header > 0 {
            data.first().map_or(0, |byte| usize::from(byte & 15) * 4).max(header)
        } else {
            0
        };
        let Some(bytes) = packet.get_mut(header..).filter(|bytes| bytes.len() >= 12) else { continue };
        let checksum = sctp::checksum(bytes);
        bytes[8..12].copy_from_slice(&checksum);
        if let Some(answer) = sctp::answer(from, COOKIE, &packet) {
            good = true;
            assert_eq!(answer.from.ip(), from);
            assert!(answer.token(1 << 40) < 1 << 40);
            assert!(
                sctp::answer(from, !COOKIE | 1 << 31, &packet)
                    .is_none_or(|other| other.token(9) != answer.token(9))
            );
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
