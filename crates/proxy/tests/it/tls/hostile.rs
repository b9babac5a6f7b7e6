//! Clients that do not do as they should.

use std::io::Write;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use octavia_model::{Cipher, TlsVersion};
use rustls::ConnectionTrafficSecrets;

use super::get;
use super::pki::{Authority, Visitor, rig, tls};
use crate::rig::{Client, Origin, Rig, until};

fn serves(rig: &Rig, ca: &Authority) {
    let mut client = Visitor::new(ca, None).connect(rig, "a.example").unwrap();
    assert_eq!(get(&mut client, "/").text(), "hi");
}

/// The first bytes of a client.
fn hello(ca: &Authority) -> Vec<u8> {
    let mut bytes = vec![];
    Visitor::new(ca, None).session("a.example").write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_handshake_takes_no_longer_than_it_may() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    rig.listener().timeouts.client_data = 400;
    rig.reconfigure();
    let hello = hello(&ca);
    for sent in [0, 1, 5, 100, hello.len()] {
        let mut client = rig.client();
        let start = Instant::now();
        client.send(&hello[..sent]);
        client.take_all();
        let took = start.elapsed();
        // Nothing at all is seen by the listener only when the kernel gives up waiting for the first byte.
        let most = if sent == 0 { 9_000 } else { 4_000 };
        assert!(took >= Duration::from_millis(350) && took < Duration::from_millis(most), "{sent}: {took:?}");
    }
    // Dribbling does not put it off.
    let mut client = rig.client();
    let start = Instant::now();
    for byte in &hello {
        if start.elapsed() > Duration::from_secs(4) || !client.try_send([*byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    client.take_all();
    assert!(start.elapsed() < Duration::from_secs(4));
    serves(&rig, &ca);
    until("they are all gone", || rig.stats().conns == 0);
}

#[test]
fn what_is_no_tls_is_told_so() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    let hello = hello(&ca);
    let mut bent = hello.clone();
    // The length of the session id.
    bent[43] = 0xff;
    let mut long = vec![22, 3, 1, 0xff, 0xff];
    long.extend([0; 70_000]);
    for (count, bytes) in
        [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), bent, long, vec![0; 200], vec![23, 3, 3, 0, 1, 0]]
            .into_iter()
            .enumerate()
    {
        let mut client = rig.client();
        client.try_send(&bytes);
        let told = client.take_all();
        assert!(matches!(&told[..], [21, 3, _, 0, 2, 2, _]), "{count}: {told:?}");
        until("it is counted", || rig.stats().ereq == count as u64 + 1);
    }
    serves(&rig, &ca);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_end_that_is_not_announced() {
    let ca = Authority::new("ca");
    // What it was told before the stream ended, and whether it ended well.
    let origin = Origin::start(|mut member| {
        member.head();
        member.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        member.take_all();
    });
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    for stage in ["hello", "idle", "head", "tunnel"] {
        if stage == "hello" {
            let mut client = rig.client();
            client.send(&hello(&ca)[..50]);
            client.end();
            client.expect_end();
            continue;
        }
        let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
        match stage {
            "head" => client.send("GET / HT"),
            "tunnel" => {
                client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
                assert!(client.head().is_some());
            }
            _ => {}
        }
        client.tcp().shutdown(std::net::Shutdown::Write).unwrap();
        let _ = client.try_answer();
    }
    until("they are all gone", || rig.stats().conns == 0);
}

#[test]
fn idle_connections_are_told_that_it_is_over() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
    assert_eq!(get(&mut client, "/").text(), "hi");
    assert_eq!(rig.engine.drain(Duration::from_secs(5)), 0);
    // An end without a goodbye would be an error to the library.
    assert_eq!(client.try_answer().unwrap_err(), "the connection ended");
}

/// A client of TLS 1.3 that makes its records itself, after a handshake like any other.
struct Forger {
    client: Client,
    key: LessSafeKey,
    iv: [u8; 12],
    seq: u64,
}

impl Forger {
    fn connect(rig: &Rig, ca: &Authority) -> Self {
        let mut visitor = Visitor::new(ca, None).only(TlsVersion::Tls13);
        visitor.config.enable_secret_extraction = true;
        let mut session = visitor.session("a.example");
        let client = rig.client();
        let mut tcp = client.tcp();
        while session.is_handshaking() {
            session.complete_io(&mut tcp).unwrap();
        }
        let secrets = session.dangerous_extract_secrets().unwrap();
        let (seq, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = secrets.tx else {
            panic!("another cipher")
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
        Self { client, key, iv: iv.as_ref().try_into().unwrap(), seq }
    }

    /// A record of this type (RFC 8446 §5.2).
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(kind);
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let head = [23, 3, 3, length[0], length[1]];
        let mut nonce = self.iv;
        for (byte, seq) in nonce[4..].iter_mut().zip(self.seq.to_be_bytes()) {
            *byte ^= seq;
        }
        self.seq += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(head), &mut inner).unwrap();
        [&head[..], &inner].concat()
    }

    fn send(&mut self, records: &[(u8, &[u8])]) {
        let bytes: Vec<u8> = records.iter().flat_map(|(kind, content)| self.record(*kind, content)).collect();
        // The other side may have had enough in the middle.
        let _ = self.client.tcp().write_all(&bytes);
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn records_that_nobody_would_send() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let mut tls = tls(&[&ca.server(&["a.example"])]);
    tls.ciphers = vec![Cipher::Aes128GcmSha256];
    let mut rig = rig(&[&origin], tls);
    rig.listener().timeouts.client_data = 1_500;
    rig.reconfigure();
    let key_update: &[u8] = &[24, 0, 0, 1, 1];
    let empty = vec![(DATA, &[][..]); 2_000];
    let mut split = vec![(DATA, REQUEST)];
    split.extend(key_update.iter().map(|byte| (HANDSHAKE, std::slice::from_ref(byte))));
    for (what, records) in [
        // The answer is written while a message is half here.
        ("half a message after a request", vec![(DATA, REQUEST), (HANDSHAKE, &key_update[..3])]),
        ("half a header after a request", vec![(DATA, REQUEST), (HANDSHAKE, &key_update[..1])]),
        ("a message in pieces after a request", split),
        ("half a message, then a request", vec![(HANDSHAKE, &key_update[..3]), (DATA, REQUEST)]),
        ("a message of great length", vec![(DATA, REQUEST), (HANDSHAKE, &[4, 0xff, 0xff, 0xff])]),
        ("nothing at all, often", empty),
        ("an alert in pieces", vec![(DATA, REQUEST), (ALERT, &[1])]),
        ("a warning", vec![(ALERT, &[1, 90]), (DATA, REQUEST)]),
        ("an end, and more", vec![(DATA, REQUEST), (ALERT, &[1, 0]), (DATA, REQUEST)]),
        ("an unknown type", vec![(99, b"x"), (DATA, REQUEST)]),
        ("no type", vec![(0, &[0; 30])]),
    ] {
        let mut forger = Forger::connect(&rig, &ca);
        forger.send(&records);
        // Whatever becomes of it: the others are served, and it ends.
        serves(&rig, &ca);
        let start = Instant::now();
        forger.client.take_all();
        assert!(start.elapsed() < Duration::from_secs(5), "{what}");
    }
    let mut forger = Forger::connect(&rig, &ca);
    for _ in 0..20 {
        forger.send(&[(HANDSHAKE, key_update)]);
    }
    serves(&rig, &ca);
    let mut bent = forger.record(DATA, REQUEST);
    *bent.last_mut().unwrap() ^= 1;
    let _ = forger.client.tcp().write_all(&bent);
    forger.client.take_all();
    serves(&rig, &ca);
    until("they are all gone", || rig.stats().conns == 0);
}
