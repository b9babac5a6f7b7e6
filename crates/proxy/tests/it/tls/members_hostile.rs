//! Members that do not speak TLS as they should.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use octavia_model::{Cipher, ListenerProtocol, PoolProtocol, TlsVersion};
use rustls::{ConnectionTrafficSecrets, ServerConnection};

use super::VERSIONS;
use super::pki::{Authority, member_tls, secure};
use crate::rig::{Client, Origin, Rig, ok, until};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// One member under `protocol`, which has less than half a second to agree.
fn rig(protocol: ListenerProtocol, origin: &Origin) -> Rig {
    Rig::start(protocol, &[origin], |spec| {
        spec.pools[0].tls = Some(member_tls(None));
        if protocol == ListenerProtocol::Http {
            spec.pools[0].protocol = PoolProtocol::Http;
        }
        let timeouts = &mut spec.listeners[0].timeouts;
        (timeouts.member_connect, timeouts.member_data) = (400, 800);
    })
}

/// A record as anybody could write it.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]], content].concat()
}

/// What a good server says to a hello; the beginning of an agreement.
fn flight(client: &mut Client, ca: &Authority) -> Vec<u8> {
    let config = ca.server(&["m.example"]).server(&[TlsVersion::Tls13], None);
    let mut session = ServerConnection::new(config.into()).unwrap();
    while !session.wants_write() {
        session.read_tls(&mut client.tcp()).unwrap();
        session.process_new_packets().unwrap();
    }
    let mut bytes = vec![];
    while session.wants_write() {
        session.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Sends a byte now and then, for as long as it is let, or for longer than anybody should.
fn dribble(client: &mut Client, bytes: impl IntoIterator<Item = u8>) {
    for byte in bytes {
        if !client.try_send([byte]) {
            return;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

type Behaviour = fn(Client);

#[test]
fn a_handshake_comes_to_an_end() {
    let cases: &[(&str, Behaviour)] = &[
        ("says nothing", |mut client| drop(client.take_all())),
        ("goes", drop),
        ("resets", |client| {
            client.reset();
        }),
        ("speaks in clear", |mut client| {
            client.take(5);
            client.try_send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            client.take_all();
        }),
        ("speaks first, and something else", |mut client| {
            client.try_send("SSH-2.0-OpenSSH_9.2\r\n");
            client.take_all();
        }),
        ("zeros", |mut client| {
            client.try_send([0; 70_000]);
            client.take_all();
        }),
        ("no end of zeros", |mut client| while client.try_send([0; 10_000]) {}),
        ("a record of great length", |mut client| {
            client.try_send([22, 3, 3, 0xff, 0xff]);
            while client.try_send([0; 10_000]) {}
        }),
        ("a message of great length", |mut client| {
            client.try_send(record(HANDSHAKE, &[2, 0xff, 0xff, 0xff]));
            while client.try_send(record(HANDSHAKE, &[0; 16_000])) {}
        }),
        (
            "no end of empty records",
            |mut client| while client.try_send(record(HANDSHAKE, &[]).repeat(500)) {},
        ),
        ("no end of changes of cipher", |mut client| while client.try_send(record(20, &[1]).repeat(500)) {}),
        ("content before its time", |mut client| {
            client.try_send(record(DATA, ANSWER));
            client.take_all();
        }),
        ("an alert", |mut client| {
            client.take(5);
            client.try_send(record(ALERT, &[2, 40]));
            client.take_all();
        }),
        ("no end of warnings", |mut client| while client.try_send(record(ALERT, &[1, 90]).repeat(500)) {}),
        ("our own hello", |mut client| {
            let hello = client.take(200);
            client.try_send(hello);
            client.take_all();
        }),
        ("half a good flight", |mut client| {
            let flight = flight(&mut client, &Authority::new("ca"));
            client.try_send(&flight[..flight.len() / 2]);
            client.take_all();
        }),
        ("half a good flight, and its end", |mut client| {
            let flight = flight(&mut client, &Authority::new("ca"));
            client.try_send(&flight[..flight.len() / 2]);
        }),
        ("a good flight, byte by byte", |mut client| {
            let flight = flight(&mut client, &Authority::new("ca"));
            dribble(&mut client, flight);
        }),
        ("empty records, byte by byte", |mut client| {
            dribble(&mut client, record(HANDSHAKE, &[]).repeat(100));
        }),
        ("a bent flight", |mut client| {
            let mut flight = flight(&mut client, &Authority::new("ca"));
            let last = flight.len() - 1;
            flight[last] ^= 1;
            client.try_send(flight);
            client.take_all();
        }),
    ];
    // Whoever waits, waits beside the others.
    std::thread::scope(|scope| {
        for &(what, behave) in cases {
            scope.spawn(move || {
                let origin = Origin::start(behave);
                let http = rig(ListenerProtocol::Http, &origin);
                let start = Instant::now();
                assert_eq!(http.get("/").status(), 503, "{what}");
                let took = start.elapsed();
                // Four tries, and the pauses between them.
                assert!(took < Duration::from_secs(6), "{what}: {took:?}");
                assert_eq!(http.member_state(0).total_connections(), 0, "{what}: it has got nothing");
                assert_eq!(http.member_state(0).errors(), 4, "{what}");
                let tcp = rig(ListenerProtocol::Tcp, &origin);
                let mut client = tcp.client();
                client.send("x");
                let start = Instant::now();
                client.expect_end();
                assert!(start.elapsed() < Duration::from_secs(6), "{what}");
                for rig in [http, tcp] {
                    until(what, || rig.stats().conns == 0 && rig.member_state(0).active() == 0);
                }
            });
        }
    });
}

/// A server that makes its records itself, after a handshake like any other.
struct Forger {
    client: Client,
    version: TlsVersion,
    key: LessSafeKey,
    iv: [u8; 12],
    seq: u64,
}

impl Forger {
    fn meet(client: Client, ca: &Authority, version: TlsVersion) -> Option<Self> {
        let mut config = ca.server(&["m.example"]).server(&[version], None);
        config.enable_secret_extraction = true;
        config.send_tls13_tickets = 0;
        let mut session = ServerConnection::new(config.into()).unwrap();
        let mut tcp = client.tcp();
        while session.is_handshaking() || session.wants_write() {
            session.complete_io(&mut tcp).ok()?;
        }
        let secrets = session.dangerous_extract_secrets().unwrap();
        let (seq, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = secrets.tx else {
            panic!("another cipher")
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
        Some(Self { client, version, key, iv: iv.as_ref().try_into().unwrap(), seq })
    }

    /// A record of this type (RFC 8446 §5.2; RFC 5246 §6.2.3.3 with RFC 5288 §3).
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut inner = content.to_vec();
        let seq = self.seq.to_be_bytes();
        self.seq += 1;
        if self.version == TlsVersion::Tls12 {
            let explicit = seq;
            let mut nonce = self.iv;
            nonce[4..].copy_from_slice(&explicit);
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            let aad = [&seq[..], &[kind, 3, 3], &length].concat();
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut inner).unwrap();
            return record(kind, &[&explicit[..], &inner].concat());
        }
        inner.push(kind);
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let head = [23, 3, 3, length[0], length[1]];
        let mut nonce = self.iv;
        for (byte, seq) in nonce[4..].iter_mut().zip(seq) {
            *byte ^= seq;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(head), &mut inner).unwrap();
        [&head[..], &inner].concat()
    }
}

/// What it says, and how often, `0` = until nobody listens any more; and what the client gets.
type Said = (&'static str, TlsVersion, Vec<(u8, &'static [u8])>, usize, &'static [u16]);

/// What a client gets when there is no end: 503 if that is noticed before a request has been sent.
const TOO_MUCH: &[u16] = &[502, 503, 504];

#[test]
fn records_that_nobody_would_send() {
    const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 1];
    const TICKET: &[u8] = &[4, 0, 0, 15, 0, 0, 14, 16, 0, 0, 0, 1, 1, 7, 0, 1, 9, 0, 0];
    const HELLO_REQUEST: &[u8] = &[0, 0, 0, 0];
    let (old, new) = (TlsVersion::Tls12, TlsVersion::Tls13);
    let cases: Vec<Said> = vec![
        ("an answer", new, vec![(DATA, ANSWER)], 1, &[200]),
        ("an answer of the older version", old, vec![(DATA, ANSWER)], 1, &[200]),
        ("keys change, and nothing comes", new, vec![(HANDSHAKE, KEY_UPDATE)], 1, &[504]),
        ("keys change for ever", new, vec![(HANDSHAKE, KEY_UPDATE)], 0, TOO_MUCH),
        ("a ticket, then an answer", new, vec![(HANDSHAKE, TICKET), (DATA, ANSWER)], 1, &[200]),
        ("tickets for ever", new, vec![(HANDSHAKE, TICKET)], 0, TOO_MUCH),
        (
            "half a message, then an answer",
            new,
            vec![(HANDSHAKE, &KEY_UPDATE[..3]), (DATA, ANSWER)],
            1,
            &[502],
        ),
        ("nothing at all, for ever", new, vec![(DATA, b"")], 0, TOO_MUCH),
        ("nothing at all, for ever, in the older version", old, vec![(DATA, b"")], 0, TOO_MUCH),
        // Once it is declined; who insists is left.
        ("renegotiation, then an answer", old, vec![(HANDSHAKE, HELLO_REQUEST), (DATA, ANSWER)], 1, &[200]),
        ("renegotiation for ever", old, vec![(HANDSHAKE, HELLO_REQUEST)], 0, TOO_MUCH),
        ("an alert", new, vec![(ALERT, &[2, 80])], 1, &[502]),
        ("an end instead of an answer", new, vec![(ALERT, &[1, 0])], 1, &[502]),
        ("an end in the middle of it", new, vec![(DATA, &ANSWER[..20]), (ALERT, &[1, 0])], 1, &[502]),
        ("an unknown type", new, vec![(99, b"x"), (DATA, ANSWER)], 1, &[502]),
        ("a hello", new, vec![(HANDSHAKE, &[1, 0, 0, 0]), (DATA, ANSWER)], 1, &[502]),
        ("no end of a head", new, vec![(DATA, b"HTTP/1.1 200 OK\r\n"), (DATA, &[b'x'; 16_000])], 0, TOO_MUCH),
    ];
    std::thread::scope(|scope| {
        for (what, version, records, often, statuses) in cases {
            scope.spawn(move || {
                let said = records.clone();
                let origin = Origin::start(move |client| {
                    let ca = Authority::new("ca");
                    let Some(mut forger) = Forger::meet(client, &ca, version) else { return };
                    let mut round = 0;
                    while often == 0 || round < often {
                        let bytes: Vec<u8> =
                            said.iter().flat_map(|(kind, content)| forger.record(*kind, content)).collect();
                        if forger.client.tcp().write_all(&bytes).is_err() {
                            return;
                        }
                        round += 1;
                    }
                    forger.client.take_all();
                });
                let mut rig = rig(ListenerProtocol::Http, &origin);
                let terms = rig.spec.pools[0].tls.as_mut().unwrap();
                terms.ciphers = vec![Cipher::Aes128GcmSha256, Cipher::EcdheEcdsaAes128Gcm];
                rig.reconfigure();
                let start = Instant::now();
                let status = rig.get("/").status();
                assert!(statuses.contains(&status), "{what}: {status}");
                assert!(start.elapsed() < Duration::from_secs(6), "{what}: {:?}", start.elapsed());
                until(what, || rig.stats().conns == 0 && rig.member_state(0).active() == 0);
            });
        }
    });
}

#[test]
fn a_member_that_does_not_read_is_given_up() {
    let ca = Authority::new("ca");
    for version in VERSIONS {
        let (held, hold) = channel::<()>();
        let hold = Mutex::new(hold);
        let origin = secure(ca.server(&["m.example"]).server(&[version], None), move |_client| {
            // Until the test is over.
            let _ = hold.lock().unwrap().recv();
        });
        let rig = rig(ListenerProtocol::Http, &origin);
        let mut client = rig.client();
        let length = 64 << 20;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        let start = Instant::now();
        let mut sender = client.try_clone();
        let writer = std::thread::spawn(move || while sender.try_send([0; 100_000]) {});
        assert_eq!(client.answer().status(), 504);
        assert!(start.elapsed() < Duration::from_secs(6));
        drop(client);
        until("it is over", || rig.stats().conns == 0);
        writer.join().unwrap();
        drop(held);
    }
}

#[test]
fn a_silent_member_is_answered_for() {
    let ca = Authority::new("ca");
    let origin = secure(ca.server(&["m.example"]).server(&VERSIONS, None), |mut client| {
        client.message(true);
        client.take_all();
    });
    let rig = rig(ListenerProtocol::Http, &origin);
    assert_eq!(rig.get("/").status(), 504);
    // And one that breaks off in the middle of a message of known length.
    let origin = secure(ca.server(&["m.example"]).server(&VERSIONS, None), |mut client| {
        client.message(true);
        client.send(&ok("hi")[..39]);
        client.end();
    });
    let rig = self::rig(ListenerProtocol::Http, &origin);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.message(true).unwrap().text(), "h");
}
