//! Clients that break rules, and clients that keep them and cost more than they should.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use octavia_model::{L7RuleCompareType, L7RuleType, ListenerProtocol};
use octavia_proxy::Engine;
use octavia_wire::{L7ActionSpec, L7PolicySpec, L7RuleSpec};

use super::raw::{
    self, BOTH, DATA, END_HEADERS, GET, GOAWAY, HEADERS, PING, POST, RST_STREAM, WINDOW_UPDATE,
};
use super::standstill;
use crate::rig::{Client, Origin, Rig, id, until};

const CALM: u32 = 11;

/// Says `bytes` on a connection of its own; what the connection is ended with.
fn ended(rig: &Rig, bytes: &[u8]) -> u32 {
    let mut client = raw::connect(rig.address, &[]);
    client.try_send(bytes);
    let code = raw::find(&mut client, GOAWAY).code();
    client.expect_end();
    code
}

#[test]
fn what_breaks_the_rules_ends_the_connection() {
    let origin = Origin::says("hi");
    let rig = Rig::http(&[&origin]);
    for (nth, (bytes, code)) in [
        (raw::frame(DATA, 0, 1, b"x"), 1),
        (raw::frame(HEADERS, BOTH, 2, GET), 1),
        (raw::frame(HEADERS, BOTH, 1, b"\xff\x20"), 9),
        (raw::frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), 3),
        (raw::frame(PING, 0, 0, b"short"), 6),
        (raw::settings(&[(5, 1)]), 1),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(ended(&rig, &bytes), code, "{}", bytes.escape_ascii());
        until("it is counted", || rig.stats().ereq == nth as u64 + 1);
    }
    assert_eq!(rig.get("/").text(), "hi");
}

#[test]
fn what_breaks_the_rules_of_streams_ends_the_stream() {
    let origin = Origin::says("hi");
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    let blocks: [&[u8]; 6] = [
        b"\x82\x86\x41\x01a",
        b"\x82\x86\x84\x41\x01a\x00\x01X\x01y",
        b"\x82\x86\x84\x41\x01a\x00\x0aconnection\x05close",
        b"\x82\x86\x84\x41\x01a\x00\x11transfer-encoding\x07chunked",
        b"\x82\x86\x84\x41\x01a\x00\x01x\x0cy\r\nhost: b\r\n",
        b"\x82\x86\x84\x41\x01a\x00\x04host\x01b",
    ];
    for (nth, block) in blocks.iter().enumerate() {
        let stream = 4 * nth as u32 + 1;
        client.send(raw::frame(HEADERS, BOTH, stream, block));
        let end = raw::find(&mut client, RST_STREAM);
        assert_eq!((end.stream, end.code()), (stream, 1), "{}", block.escape_ascii());
        client.send(raw::frame(HEADERS, BOTH, stream + 2, GET));
        assert_eq!(raw::content(&mut client, stream + 2), b"hi");
    }
    assert_eq!((rig.stats().ereq, origin.connections()), (6, 1));
    // Content that is more than was said does not get through.
    let long = [POST, b"\x00\x0econtent-length\x013"].concat();
    client.send([raw::frame(HEADERS, END_HEADERS, 101, &long), raw::frame(DATA, 1, 101, b"abcd")].concat());
    assert_eq!(raw::find(&mut client, RST_STREAM).code(), 1);
    until("it is counted once", || rig.stats().ereq == 7);
    until("the member is free", || rig.member_state(0).active() == 0);
}

#[test]
fn floods_end_the_connection() {
    let origin = Origin::http(|_| {
        std::thread::sleep(Duration::from_millis(20));
        crate::rig::ok("hi")
    });
    let rig = Rig::http(&[&origin]);
    let id = |nth: u32| 2 * nth + 1;
    let rapid_reset = (0..1_000).flat_map(|nth| {
        [raw::frame(HEADERS, BOTH, id(nth), GET), raw::frame(RST_STREAM, 0, id(nth), &[0, 0, 0, 8])].concat()
    });
    assert_eq!(ended(&rig, &rapid_reset.collect::<Vec<_>>()), CALM);
    until("no member works for it", || rig.member_state(0).active() == 0);
    assert_eq!(ended(&rig, &raw::frame(PING, 0, 0, &[0; 8]).repeat(5_000)), CALM);
    assert_eq!(ended(&rig, &raw::settings(&[(3, 1)]).repeat(5_000)), CALM);
    assert_eq!(ended(&rig, &raw::frame(2, 0, 1, &[0; 5]).repeat(5_000)), CALM);
    let endless = [raw::frame(HEADERS, 0, 1, GET), raw::frame(9, 0, 1, b"").repeat(100)].concat();
    assert_eq!(ended(&rig, &endless), CALM);
    let empty =
        [raw::frame(HEADERS, END_HEADERS, 1, POST), raw::frame(DATA, 0, 1, b"").repeat(5_000)].concat();
    assert_eq!(ended(&rig, &empty), CALM);
    until("all is over", || rig.stats().conns == 0 && rig.member_state(0).active() == 0);
    assert_eq!(rig.get("/").text(), "hi");
}

/// Who sends and never reads: nothing grows for it without bounds, and in the end it is left.
#[test]
fn a_client_that_does_not_read_what_it_asks_for() {
    let origin = Origin::says("hi");
    let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.client_data = 300;
    });
    let mut client = raw::connect(rig.address, &[]);
    client.tcp().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut stream = 1;
    let mut sent = 0;
    while sent < 400_000 && client.try_send(raw::frame(HEADERS, BOTH, stream, GET)) {
        stream += 2;
        sent += 1;
    }
    until("it is left", || rig.stats().conns == 0);
    until("no member works for it", || rig.member_state(0).active() == 0);
}

fn policy(action: L7ActionSpec, compare_type: L7RuleCompareType, path: &str) -> L7PolicySpec {
    let (kind, value) = (L7RuleType::Path, path.to_owned());
    L7PolicySpec {
        id: id(),
        action,
        rules: vec![L7RuleSpec { kind, compare_type, key: None, value, invert: false }],
    }
}

/// A request by this method for as long a path as the table holds, at 63 from now on; at 62 is whom it asks.
fn long(method: &[u8]) -> Vec<u8> {
    // 3,900 bytes, which no code makes shorter.
    let path = [b"\x7f\xbd\x1d/", &b"~".repeat(3899)[..]].concat();
    [method, b"\x86\x44", &path, b"\x41\x01a"].concat()
}

/// A few bytes ask for a redirect to as long a path as the table holds, again and again: no more are made than are taken.
#[test]
fn what_is_answered_at_once_waits_for_who_does_not_read() {
    let mut rig = Rig::http(&[]);
    let action = L7ActionSpec::RedirectPrefix { prefix: "https://b.example".to_owned(), code: 302 };
    rig.listener().l7policies = vec![policy(action, L7RuleCompareType::StartsWith, "/")];
    rig.reconfigure();
    let mut client = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, BOTH, 1, &long(b"\x82")));
    raw::find(&mut client, HEADERS);
    let before = rig.stats().tx;
    let count = 2_500;
    client.send(
        (1..=count)
            .flat_map(|nth| raw::frame(HEADERS, BOTH, 2 * nth + 1, b"\x82\x86\xbf\xbe"))
            .collect::<Vec<_>>(),
    );
    let made = standstill(|| (rig.stats().tx - before) as usize);
    assert!(made < 6 << 20, "{made}");
    for nth in 1..=count {
        assert_eq!(raw::find(&mut client, HEADERS).stream, 2 * nth + 1);
    }
}

/// A read may hold thousands of requests: others need not wait until all are answered.
#[test]
fn many_requests_leave_others_their_turn() {
    let mut rig = Rig::start_on(Engine::start(1).unwrap(), ListenerProtocol::Http, &[], |_| {});
    // So that they take their time.
    let pattern =
        |nth| policy(L7ActionSpec::Reject, L7RuleCompareType::Regex, &format!("[a~]{{9}}[^~]{nth}"));
    rig.listener().l7policies = (0..20).map(pattern).collect();
    rig.reconfigure();
    let mut other = rig.client();
    other.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(other.head().unwrap().starts_with("HTTP/1.1 503"));
    let mut client = raw::connect(rig.address, &[]);
    raw::find(&mut client, raw::SETTINGS);
    let before = rig.stats().tx;
    client.send(raw::frame(HEADERS, BOTH, 1, &long(b"\x02\x04HEAD")));
    raw::find(&mut client, HEADERS);
    let each = rig.stats().tx - before;
    let count = 1_500;
    let one = |nth: u32| raw::frame(HEADERS, BOTH, 2 * nth + 1, b"\x02\x04HEAD\x86\xbf\xbe");
    client.send((1..=count).flat_map(one).collect::<Vec<_>>());
    other.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(other.head().unwrap().starts_with("HTTP/1.1 503"));
    let answered = (rig.stats().tx - before) / each;
    assert!(answered < u64::from(count), "{answered}");
    for nth in 1..=count {
        assert_eq!(raw::find(&mut client, HEADERS).stream, 2 * nth + 1);
    }
}

/// Content that comes in crumbs does not go on in crumbs.
#[test]
fn content_in_crumbs() {
    let origin = Origin::start(|mut client| {
        client.head();
        let mut coded = vec![];
        while !coded.ends_with(b"0\r\n\r\n") {
            coded.extend(client.take_some());
        }
        client.send(crate::rig::ok(coded.len().to_string()));
    });
    let rig = Rig::http(&[&origin]);
    let mut client = raw::connect(rig.address, &[]);
    client.send(raw::frame(HEADERS, END_HEADERS, 1, POST));
    until("the member has it", || rig.member_state(0).active() == 1);
    client.send([raw::frame(DATA, 0, 1, b"x").repeat(3_000), raw::frame(DATA, 1, 1, b"")].concat());
    let coded: usize = String::from_utf8(raw::content(&mut client, 1)).unwrap().parse().unwrap();
    assert!((3_000..6_000).contains(&coded), "{coded}");
}

#[test]
fn the_preface_counts_only_where_a_connection_begins() {
    let origin = Origin::says("hi");
    let rig = Rig::http(&[&origin]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Byte by byte it is one.
    let mut client = Client::connect(rig.address);
    for byte in [&preface[..], &raw::settings(&[])].concat().chunks(1) {
        client.send(byte);
    }
    raw::find(&mut client, raw::SETTINGS);
    client.send(raw::frame(HEADERS, BOTH, 1, GET));
    assert_eq!(raw::content(&mut client, 1), b"hi");
    // After another request it is none.
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    client.send(preface);
    assert_eq!(client.answer().status(), 505);
    for bytes in
        ["PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", "PRI / HTTP/2.0\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"]
    {
        let mut client = rig.client();
        client.send(bytes);
        assert_eq!(client.answer().status(), 505, "{bytes:?}");
    }
    // Nor is there an upgrade to it.
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
}

/// Each stream may take a connection to a member: there are no more than there are files for.
#[test]
fn streams_take_no_more_files_than_connections_may() {
    let go = Arc::new(AtomicBool::new(false));
    let wait = Arc::clone(&go);
    let origin = Origin::http(move |_| {
        until("it goes on", || wait.load(SeqCst));
        crate::rig::ok("hi")
    });
    // Three of eight files are for clients.
    let engine = Engine::start_within(1, 64).unwrap();
    let rig = Rig::start_on(engine, ListenerProtocol::Http, &[&origin], |_| {});
    let mut client = raw::connect(rig.address, &[]);
    for nth in 0..30 {
        client.send(raw::frame(HEADERS, BOTH, 2 * nth + 1, GET));
    }
    for nth in 23..30 {
        let refused = raw::find(&mut client, RST_STREAM);
        assert_eq!((refused.stream, refused.code()), (2 * nth + 1, 7));
    }
    // Who comes now waits until there is room.
    let mut waiting = rig.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("members have the others", || rig.member_state(0).active() == 23);
    assert_eq!(rig.stats().totconns, 1);
    go.store(true, SeqCst);
    let mut ended = 0;
    while ended < 23 {
        ended += u32::from(raw::find(&mut client, DATA).flags & 1);
    }
    assert_eq!(waiting.answer().text(), "hi");
    client.send(raw::frame(HEADERS, BOTH, 101, GET));
    assert_eq!(raw::content(&mut client, 101), b"hi");
}
