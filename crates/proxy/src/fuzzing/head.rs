//! Heads: what goes on to the other side says the same to every reader, however simple.

use std::net::{IpAddr, Ipv4Addr};

use octavia_wire::InsertHeader;

use crate::http1::{
    BadResponse, ClientSide, Forwarding, Framing, MAX_HEAD, MAX_HEADERS, Refusal, Request, Response,
    header_slots, may_be_complete, write_request, write_response,
};
use crate::snapshot::InsertHeaders;

/// `data` as the first bytes of a client.
pub fn request(data: &[u8]) -> bool {
    let mut slots = header_slots();
    let request = match Request::parse(data, &mut slots) {
        Ok(Some(request)) => request,
        Ok(None) => {
            assert!(data.len() < MAX_HEAD, "waits for ever");
            return false;
        }
        Err(_) => return false,
    };
    let head = head(data, request.len);
    let mut slots = header_slots();
    assert!(matches!(Request::parse(&head[..head.len() - 1], &mut slots), Ok(None)), "ends before its end");
    for insert in [InsertHeaders::default(), InsertHeader::ALL.iter().copied().collect()] {
        let out = write(&request, insert);
        let plain = Plain::read(&out);
        let mut slots = header_slots();
        let again = match Request::parse(&out, &mut slots) {
            Err(Refusal::HeadTooLarge) if plain.is_too_large(out.len()) => continue,
            again => again.unwrap().unwrap(),
        };
        assert_eq!(again.len, out.len());
        assert_eq!((again.method, again.target), (request.method, request.target));
        assert_eq!((again.framing, again.upgrade), (request.framing, request.upgrade));
        assert_eq!(again.expects_continue, request.expects_continue);
        assert!(again.http11 && again.keep_alive);
        assert_eq!(again.host, request.host.or(Some(b"198.51.100.1:80")));
        assert_eq!(write(&again, InsertHeaders::default()), out, "once more changes nothing");

        assert_eq!(plain.first, [request.method.as_bytes(), b" ", request.target, b" HTTP/1.1"].concat());
        assert_eq!(plain.values("host"), [again.host.unwrap()]);
        plain.frames(request.framing);
        let connection: &[&[u8]] = if request.upgrade { &[b"upgrade"] } else { &[] };
        assert_eq!(plain.values("connection"), connection);
        for header in insert.iter() {
            let last = plain.values(header.name()).len();
            assert!(if header == InsertHeader::XForwardedFor { last > 0 } else { last == 1 }, "{header:?}");
        }
    }
    true
}

/// `data` as the first bytes of a member's answer, to all kinds of request and of clients.
pub fn response(data: &[u8]) -> bool {
    let mut good = false;
    for (to_head, upgrade) in [(false, false), (true, false), (false, true)] {
        let mut slots = header_slots();
        let response = match Response::parse(data, &mut slots, to_head, upgrade) {
            Ok(Some(response)) => response,
            Ok(None) => {
                assert!(data.len() < MAX_HEAD, "waits for ever");
                continue;
            }
            Err(_) => continue,
        };
        good = true;
        assert!(response.len <= data.len());
        for (http11, keep_alive) in [(true, true), (true, false), (false, true), (false, false)] {
            let Some(side) = ClientSide::of(&response, http11, keep_alive) else {
                assert!(!http11 && response.framing == Framing::Chunked);
                continue;
            };
            let mut out = vec![];
            write_response(&response, side, &mut out);
            answered(&response, side, &out, to_head, upgrade);
        }
    }
    good
}

/// What a client makes of an answer.
fn answered(response: &Response<'_, '_>, side: ClientSide<'_>, out: &[u8], to_head: bool, upgrade: bool) {
    let plain = Plain::read(out);
    let mut slots = header_slots();
    let again = match Response::parse(out, &mut slots, to_head, upgrade) {
        Err(BadResponse(_)) if plain.is_too_large(out.len()) => return,
        again => again.unwrap().unwrap(),
    };
    let framing = if side.unchunk { Framing::Close } else { response.framing };
    assert_eq!((again.len, again.status, again.framing), (out.len(), response.status, framing));
    let switched = response.status == 101;
    if !response.is_interim() && !switched {
        assert_eq!(again.keep_alive, side.keep_alive);
    }
    let mut once_more = vec![];
    let same = ClientSide { unchunk: false, ..side };
    write_response(&again, same, &mut once_more);
    assert_eq!(once_more, out, "once more changes nothing");

    let bodyless = response.status < 200 || response.status == 204;
    if bodyless {
        plain.frames(Framing::None);
    } else if framing != Framing::None {
        plain.frames(framing);
    }
    for name in ["keep-alive", "proxy-connection"] {
        assert!(plain.values(name).is_empty(), "{name}");
    }
    assert!(switched || plain.values("upgrade").is_empty());
    let connection: &[&[u8]] = match side {
        _ if switched => &[b"upgrade"],
        _ if response.is_interim() => &[],
        ClientSide { keep_alive: false, .. } => &[b"close"],
        ClientSide { http11: false, .. } => &[b"keep-alive"],
        _ => &[],
    };
    assert_eq!(plain.values("connection"), connection);
}

/// The head at the start of `data`, which a slow sender could have sent in any pieces.
fn head(data: &[u8], len: usize) -> &[u8] {
    assert!(len <= data.len(), "more than there is");
    let head = &data[..len];
    assert!(head.ends_with(b"\r\n\r\n"));
    assert!([0, 1, len / 2, len - 1].iter().all(|&seen| may_be_complete(head, seen)), "looked at too late");
    head
}

pub(super) fn write(request: &Request<'_, '_>, insert: InsertHeaders) -> Vec<u8> {
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let forwarding = Forwarding { client, local: "198.51.100.1:80".parse().unwrap(), insert, tls: None };
    let mut out = vec![];
    write_request(request, &forwarding, &mut out);
    out
}

/// A head as the simplest reader there is understands it: it knows lines and colons.
pub(super) struct Plain<'a> {
    first: &'a [u8],
    headers: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Plain<'a> {
    pub(super) fn read(head: &'a [u8]) -> Self {
        let lines = head.strip_suffix(b"\r\n\r\n").unwrap();
        let mut lines = lines.split(|&b| b == b'\n');
        let mut first = lines.next().unwrap();
        let headers: Vec<_> = lines
            .map(|line| {
                let colon = line.iter().position(|&b| b == b':').unwrap();
                let (name, value) = (&line[..colon], line[colon + 1..].strip_suffix(b"\r"));
                // Every line but the last has the carriage return that its line feed goes with.
                (name, value.unwrap_or(&line[colon + 1..]).trim_ascii())
            })
            .collect();
        first = first.strip_suffix(b"\r").unwrap_or(first);
        for text in headers.iter().flat_map(|&(name, value)| [name, value]).chain([first]) {
            assert!(!text.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        }
        for (name, _) in &headers {
            assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        }
        Self { first, headers }
    }

    pub(super) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|&(_, value)| value).collect()
    }

    /// The headers say this framing, and no other to anybody.
    fn frames(&self, framing: Framing) {
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        match framing {
            Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
            Framing::Length(length) => {
                assert!(codings.is_empty());
                let [text] = lengths[..] else { panic!("{lengths:?}") };
                assert_eq!(std::str::from_utf8(text).unwrap().parse(), Ok(length));
            }
            Framing::Chunked => {
                assert!(lengths.is_empty());
                let all = codings.join(&b',').to_ascii_lowercase();
                let mut named = all.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|c| !c.is_empty());
                assert_eq!(named.next_back(), Some(&b"chunked"[..]));
            }
            Framing::Close => assert!(lengths.is_empty()),
        }
    }

    /// What we put in has made it larger than we would take.
    pub(super) fn is_too_large(&self, len: usize) -> bool {
        len > MAX_HEAD || self.headers.len() > MAX_HEADERS
    }
}
