//! What the data plane does for each request apart from system calls and cryptography, with input that never changes.
//! `cargo xtask instructions` runs it under callgrind, which counts what each call of [`one_hot_path`] costs; the names
//! of the paths come out in the order of these calls. Nothing here may ask for the time: rustix looks for the clock where
//! valgrind has hidden it.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for one reader, which shall end when it errs"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use newtype_uuid::GenericUuid as _;
use octavia_model::{Algorithm, L7PolicyId, L7RuleCompareType, L7RuleType};
use octavia_proxy::InsertHeaders;
use octavia_proxy::balance::{self, Peer, Rotation};
use octavia_proxy::http1::{self, Body, ClientSide, Forwarding, Framing, Request, Response, header_slots};
use octavia_proxy::http2::{self, Connection, Event, Fields, Outgoing};
use octavia_proxy::layer7::{self, Policy};
use octavia_wire::{InsertHeader, L7ActionSpec, L7PolicySpec, L7RuleSpec};
use uuid::Uuid;

/// How often each path is gone in one count, after once uncounted: the first time makes what later ones reuse.
const TIMES: usize = 100;
const MEMBERS: u64 = 16;
const HOST_RULES: usize = 1_000;

const TERSE_REQUEST: &[u8] =
    b"GET /bytes/1000 HTTP/1.1\r\nHost: www.example.test:8080\r\nAccept: */*\r\n\r\n";
const BROWSER_REQUEST: &[u8] = b"GET /shop/items/4711?colour=blue&size=12 HTTP/1.1\r\n\
    Host: rule-0999.example.test\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: de,en-US;q=0.7,en;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Referer: http://www.example.test/shop/\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\
    Connection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Cache-Control: max-age=0\r\n\
    X-Requested-With: nothing\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 1000\r\n\
    Last-Modified: Wed, 31 Dec 2025 23:59:59 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"695599ef-3e8\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

#[inline(never)]
fn one_hot_path(path: &mut dyn FnMut()) {
    for _ in 0..TIMES {
        path();
    }
}

fn count(name: &str, mut path: impl FnMut()) {
    path();
    one_hot_path(&mut path);
    println!("{name}");
}

fn main() {
    println!("times {TIMES}");
    request_heads();
    response_heads();
    chunks();
    http2_exchanges();
    policies();
    picks();
}

fn request_heads() {
    let insert: InsertHeaders =
        [InsertHeader::XForwardedFor, InsertHeader::XForwardedPort, InsertHeader::XForwardedProto]
            .into_iter()
            .collect();
    let forwarding = |insert| Forwarding {
        client: [192, 0, 2, 1].into(),
        local: ([198, 51, 100, 1], 80).into(),
        insert,
        tls: None,
    };
    let mut out = Vec::with_capacity(4_096);
    for (name, head, insert) in [
        ("HTTP/1 request, terse", TERSE_REQUEST, InsertHeaders::default()),
        ("HTTP/1 request, of a browser, headers inserted", BROWSER_REQUEST, insert),
    ] {
        count(name, || {
            let mut slots = header_slots();
            let request = Request::parse(black_box(head), &mut slots).unwrap().unwrap();
            out.clear();
            http1::write_request(&request, &forwarding(insert), &mut out);
            black_box(&out);
        });
    }
}

fn response_heads() {
    let mut out = Vec::with_capacity(4_096);
    count("HTTP/1 response", || {
        let mut slots = header_slots();
        let response = Response::parse(black_box(RESPONSE), &mut slots, false, false).unwrap().unwrap();
        let client = ClientSide::of(&response, true, true).unwrap();
        out.clear();
        http1::write_response(&response, client, &mut out);
        black_box(&out);
    });
}

fn chunks() {
    let mut body = vec![];
    for size in [1, 17, 300, 1_000, 4_096, 16_384] {
        body.extend(format!("{size:x}\r\n").bytes());
        body.extend(std::iter::repeat_n(b'x', size));
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\nX-Checksum: 0123456789abcdef\r\n\r\n");
    count("chunked body", || {
        let mut chunked = Body::new(Framing::Chunked);
        assert_eq!(chunked.advance(black_box(&body)), Ok(body.len()));
        assert!(black_box(&chunked).is_done());
    });
}

/// A client's end of an HTTP/2 connection, and the connection.
struct Http2 {
    connection: Connection,
    fields: Fields,
    frame: Vec<u8>,
    /// The last stream it has opened.
    stream: u32,
    request: Vec<u8>,
}

impl Http2 {
    const HEADERS: u8 = 0x1;
    const SETTINGS: u8 = 0x4;
    const WINDOW_UPDATE: u8 = 0x8;
    /// `END_STREAM` and `END_HEADERS`.
    const WHOLE: u8 = 0x5;

    /// With two requests behind it that have filled the table of names and values (those of RFC 7541, C.4).
    fn connected() -> Self {
        let mut it = Self {
            connection: Connection::new(),
            fields: Fields::default(),
            frame: http2::PREFACE.to_vec(),
            stream: 0,
            request: Vec::with_capacity(4_096),
        };
        assert!(it.send());
        it.write(Self::SETTINGS, 0, 0, &[]);
        assert!(it.send());
        // All the responses may be sent.
        it.write(Self::WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
        assert!(it.send());
        for block in [
            &b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
            b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
        ] {
            it.ask(block);
            it.connection.send_headers(it.stream, b"\x88", true);
        }
        it
    }

    /// Puts a frame into `self.frame`.
    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.frame.clear();
        self.frame.extend(&length[1..]);
        self.frame.extend([kind, flags]);
        self.frame.extend(stream.to_be_bytes());
        self.frame.extend(payload);
    }

    /// Gives the frame to the connection; a request is written as one of HTTP/1.1. `false` = it was not all taken.
    fn send(&mut self) -> bool {
        let received = self.connection.receive(black_box(&self.frame), &mut self.fields, 0).unwrap();
        if let Some(Event::Request { head, end, .. }) = received.event {
            self.request.clear();
            head.write(end, &mut self.request);
            black_box(&self.request);
        }
        received.used == self.frame.len()
    }

    fn ask(&mut self, block: &[u8]) {
        self.stream += if self.stream == 0 { 1 } else { 2 };
        self.request.clear();
        self.write(Self::HEADERS, Self::WHOLE, self.stream, block);
        assert!(self.send() && !self.request.is_empty());
    }

    /// What it knows by number, and what it says in full.
    fn ask_again(&mut self) {
        self.ask(
            b"\x82\x86\x84\xbf\xbe\x00\x0auser-agent\x17a browser (Linux; x86_)\
              \x00\x06accept\x03*/*\x00\x06cookie\x0ctheme=dark-1",
        );
    }
}

fn http2_exchanges() {
    let mut it = Http2::connected();
    count("HTTP/2 request, answered without content", || {
        it.ask_again();
        it.connection.send_headers(it.stream, b"\x88", true);
        black_box(it.connection.output()).clear();
    });
    let mut it = Http2::connected();
    let message = [RESPONSE, &[b'x'; 1_000]].concat();
    count("HTTP/2 request and response of 1 KB", || {
        it.ask_again();
        let mut outgoing = Outgoing::response(false);
        outgoing.write(black_box(&message)).unwrap();
        for (block, end) in outgoing.take_blocks() {
            it.connection.send_headers(it.stream, &block, end);
        }
        let (content, end) = outgoing.content();
        assert_eq!(it.connection.send_content(it.stream, content, end), 1_000);
        black_box(it.connection.output()).clear();
    });
}

/// Of 1,000 policies with a rule for a host name each, the last takes the request.
fn policies() {
    let spec = |number: usize| L7PolicySpec {
        id: L7PolicyId::from_untyped_uuid(Uuid::nil()),
        action: L7ActionSpec::Reject,
        rules: vec![L7RuleSpec {
            kind: L7RuleType::HostName,
            compare_type: L7RuleCompareType::EqualTo,
            key: None,
            value: format!("rule-{number:04}.example.test"),
            invert: false,
        }],
    };
    let policies = (0..HOST_RULES).map(|number| Policy::compile(&spec(number), &HashMap::new()).unwrap());
    let policies: Vec<_> = policies.collect();
    let mut slots = header_slots();
    let request = Request::parse(BROWSER_REQUEST, &mut slots).unwrap().unwrap();
    count("1,000 host rules", || {
        let chosen = layer7::decide(black_box(&policies), black_box(&request), None);
        assert_eq!(chosen.map(usize::from), Some(HOST_RULES - 1));
    });
}

/// As a configured one: what changes while it serves is behind a pointer.
struct Member {
    weight: u16,
    identity: u64,
    state: Arc<State>,
}

struct State {
    down: AtomicBool,
    active: AtomicU64,
}

impl Peer for Member {
    fn weight(&self) -> u16 {
        self.weight
    }

    fn is_backup(&self) -> bool {
        false
    }

    fn is_well(&self) -> bool {
        !self.state.down.load(Ordering::Relaxed)
    }

    fn active(&self) -> u64 {
        self.state.active.load(Ordering::Relaxed)
    }

    fn identity(&self) -> u64 {
        self.identity
    }
}

fn picks() {
    let member = |number: u64| Member {
        weight: if number.is_multiple_of(2) { 1 } else { 2 },
        identity: number,
        state: Arc::new(State { down: AtomicBool::new(false), active: AtomicU64::new(number % 5) }),
    };
    let members: Vec<_> = (1..=MEMBERS).map(member).collect();
    let client = SocketAddr::from(([192, 0, 2, 7], 50_000));
    for (name, algorithm) in [
        ("pick of 16, round robin", Algorithm::RoundRobin),
        ("pick of 16, least connections", Algorithm::LeastConnections),
        ("pick of 16, source IP", Algorithm::SourceIp),
    ] {
        let mut rotation = Rotation::new(members.len());
        count(name, || {
            let place = balance::pick(algorithm, black_box(&members), &mut rotation, black_box(client), &[]);
            assert!(black_box(place).is_some());
        });
    }
}
