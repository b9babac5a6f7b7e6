//! TLS terminated on a listener, as clients see it.

mod hostile;
pub(crate) mod members;
mod members_hostile;
mod members_trust;
pub(crate) mod pki;
mod resumption;
mod who;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use octavia_model::{Cipher, L7RuleCompareType, L7RuleType, TlsVersion};
use octavia_wire::{IdentitySpec, InsertHeader, L7ActionSpec, L7PolicySpec, L7RuleSpec, TlsError};

use self::pki::{Authority, Visitor, identity, rig, tls};
use crate::rig::{Client, Origin, chunked, id, noise, ok, until};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

fn get(client: &mut Client, path: &str) -> crate::rig::Message {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client.answer()
}

#[test]
fn requests_and_answers_in_both_versions() {
    let ca = Authority::new("ca");
    let origin = Origin::http(|request| ok(request.header("x-forwarded-proto").unwrap_or("none")));
    let mut rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    rig.listener().insert_headers = vec![InsertHeader::XForwardedProto];
    rig.reconfigure();
    for version in VERSIONS {
        let visitor = Visitor::new(&ca, None).only(version);
        let mut client = visitor.connect(&rig, "a.example").unwrap();
        assert_eq!(
            client.tls().protocol_version().unwrap().as_str().unwrap().replace('_', "."),
            version.as_str()
        );
        for _ in 0..3 {
            assert_eq!(get(&mut client, "/").text(), "https");
        }
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().text(), "https");
        client.expect_end();
    }
    let verified = Visitor::new(&ca, None).connect(&rig, "a.example");
    assert_eq!(get(&mut verified.unwrap(), "/").text(), "https");
    let stats = rig.stats();
    assert_eq!((stats.totconns, stats.ereq), (3, 0));
    until("all connections are over", || rig.stats().conns == 0);
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let ca = Authority::new("ca");
    let (first, wild, exact) = (
        ca.server(&["first.example"]),
        ca.server(&["*.shop.example"]),
        ca.server(&["a.shop.example", "b.test"]),
    );
    let origin = Origin::says("hi");
    let rig = rig(&[&origin], tls(&[&first, &wild, &exact]));
    let visitor = Visitor::new(&ca, None);
    for (name, expected) in
        [("first.example", &first), ("a.shop.example", &exact), ("b.test", &exact), ("c.shop.example", &wild)]
    {
        assert!(visitor.shown(&rig, name) == expected.der, "{name}");
    }
    // For any other name it is the first, and whoever verifies it goes away.
    let visitor = Visitor::new(&ca, None).only(TlsVersion::Tls13);
    for name in ["x.y.shop.example", "shop.example", "nobody.test", "127.0.0.1"] {
        assert!(visitor.shown(&rig, name) == first.der, "{name}");
    }
    let refused = Visitor::new(&ca, None).connect(&rig, "nobody.test").unwrap_err();
    assert!(refused.contains("invalid peer certificate"), "{refused}");
}

/// As `openssl x509 -req` makes them when it is not told of extensions.
#[test]
fn a_certificate_of_version_1_is_shown() {
    let der = include_bytes!("version_1.der");
    let mut tls = tls(&[&Authority::new("ca").server(&["a.example"])]);
    let certificate = &mut identity(&mut tls).certificates[0];
    certificate.chain = vec![octavia_wire::Der(der.to_vec())];
    certificate.key = octavia_wire::KeySpec::new(include_bytes!("version_1.key.der"));
    let rig = rig(&[&Origin::says("hi")], tls);
    let visitor = Visitor::new(&Authority::new("ca"), None).only(TlsVersion::Tls13);
    assert_eq!(&*visitor.shown(&rig, "a.example"), der);
}

#[test]
fn bodies_of_every_size_both_ways() {
    let ca = Authority::new("ca");
    let origin = Origin::http(|request| ok(&request.body));
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    for version in VERSIONS {
        let mut client = Visitor::new(&ca, None).only(version).connect(&rig, "a.example").unwrap();
        for size in [0, 1, 4_000, 16_383, 16_384, 16_385, 70_000, 131_072, 131_073, 3_000_001] {
            let content = noise(size);
            let mut plain = client_half(&mut client, size);
            plain.extend_from_slice(&content);
            client.send(&plain);
            assert!(client.answer().body == content, "{size} bytes, {version}");
            let mut coded = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            coded.extend(chunked(&content, 50_000));
            client.send(&coded);
            assert!(client.answer().body == content, "{size} bytes in chunks, {version}");
        }
    }
}

fn client_half(_: &mut Client, size: usize) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n").into_bytes()
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let ca = Authority::new("ca");
    let origin = Origin::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
    // More than is read at once, so that some wait opened.
    let requests: String = (0..400)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(90)))
        .collect();
    client.send(&requests);
    for n in 0..400 {
        assert_eq!(client.answer().text(), format!("/{n}"));
    }
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let ca = Authority::new("ca");
    let content = noise(12_000_000);
    let answer = ok(&content);
    let origin = Origin::http(move |_| answer.clone());
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    for version in VERSIONS {
        let mut client = Visitor::new(&ca, None).only(version).connect(&rig, "a.example").unwrap();
        let before = rig.stats().tx;
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        // The kernel's buffers are full when nothing moves any more.
        let mut last = 0;
        until("the sender is blocked", || {
            let now = rig.stats().tx - before;
            std::thread::sleep(Duration::from_millis(20));
            now > 0 && std::mem::replace(&mut last, now) == now
        });
        assert!(client.answer().body == content);
        client.expect_end();
    }
}

/// Everything that can be said of it is in the first test of `tunnel`; here both ends are announced.
#[test]
fn upgraded_connections_end_in_both_directions() {
    let ca = Authority::new("ca");
    let origin = Origin::start(|mut member| {
        member.head();
        member.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        let all = member.take_all();
        member.send(all);
        member.end();
    });
    let rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    let content = noise(300_000);
    client.send(&content);
    client.end();
    assert!(client.take_all() == content);
    until("the connection is over", || rig.stats().conns == 0);
}

#[test]
fn certificates_change_under_connections() {
    let ca = Authority::new("ca");
    let (old, new) = (ca.server(&["a.example"]), ca.server(&["a.example"]));
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], tls(&[&old]));
    let visitor = Visitor::new(&ca, None);
    let mut before = visitor.connect(&rig, "a.example").unwrap();
    assert_eq!(get(&mut before, "/").text(), "hi");

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stopped, count, address) = (Arc::clone(&stop), Arc::clone(&done), rig.address);
    let config = visitor.config.clone();
    let load = std::thread::spawn(move || {
        let visitor = Visitor { config };
        while !stopped.load(SeqCst) {
            let client = Client::connect(address).with_tls(visitor.session("a.example"));
            assert_eq!(get(&mut client.unwrap(), "/").text(), "hi");
            count.fetch_add(1, SeqCst);
        }
    });
    for round in 0..20 {
        let before = done.load(SeqCst);
        let shown = if round % 2 == 0 { &new } else { &old };
        rig.listener().tls = Some(tls(&[shown]));
        rig.reconfigure();
        assert!(Visitor::new(&ca, None).shown(&rig, "a.example") == shown.der);
        until("others connect, too", || done.load(SeqCst) > before || load.is_finished());
    }
    stop.store(true, SeqCst);
    load.join().unwrap();
    assert_eq!(get(&mut before, "/").text(), "hi", "a connection from before goes on");
    assert_eq!(rig.stats().ereq, 0);
}

#[test]
fn versions_ciphers_and_protocols_are_those_of_the_listener() {
    let ca = Authority::new("ca");
    let own = ca.server(&["a.example"]);
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], tls(&[&own]));
    let set = |rig: &mut crate::rig::Rig, versions: &[TlsVersion], ciphers: &[Cipher]| {
        let tls = rig.listener().tls.as_mut().unwrap();
        (tls.versions, tls.ciphers) = (versions.to_vec(), ciphers.to_vec());
        rig.reconfigure();
    };
    let connect = |rig: &crate::rig::Rig, version| {
        let mut client = Visitor::new(&ca, None).only(version).connect(rig, "a.example")?;
        let suite = client.tls().negotiated_cipher_suite().unwrap().suite();
        Ok::<_, String>(suite.as_str().unwrap())
    };
    set(&mut rig, &[TlsVersion::Tls13], Cipher::ALL);
    assert!(connect(&rig, TlsVersion::Tls12).unwrap_err().contains("ProtocolVersion"));
    set(&mut rig, &[TlsVersion::Tls12], Cipher::ALL);
    assert!(connect(&rig, TlsVersion::Tls13).is_err());
    // The listener's order counts.
    set(
        &mut rig,
        &VERSIONS,
        &[Cipher::Chacha20Poly1305Sha256, Cipher::Aes128GcmSha256, Cipher::EcdheEcdsaAes256Gcm],
    );
    assert_eq!(connect(&rig, TlsVersion::Tls13).unwrap(), "TLS13_CHACHA20_POLY1305_SHA256");
    assert_eq!(connect(&rig, TlsVersion::Tls12).unwrap(), "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    // A key that no cipher is for.
    set(&mut rig, &[TlsVersion::Tls12], &[Cipher::EcdheRsaAes128Gcm]);
    assert!(connect(&rig, TlsVersion::Tls12).is_err());

    set(&mut rig, &VERSIONS, Cipher::ALL);
    let mut visitor = Visitor::new(&ca, None);
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Ok(Some("http/1.1"))),
        (&[], Ok(None)),
        (&["h2"], Err("NoApplicationProtocol")),
    ] {
        visitor.config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client = visitor.connect(&rig, "a.example");
        match agreed {
            Ok(agreed) => {
                let mut client = client.unwrap();
                assert_eq!(
                    client.tls().alpn_protocol().map(|name| std::str::from_utf8(name).unwrap()),
                    agreed
                );
            }
            Err(said) => assert!(client.unwrap_err().contains(said)),
        }
    }
}

#[test]
fn every_response_says_to_come_back_by_tls() {
    let ca = Authority::new("ca");
    let origin = Origin::http(|_| {
        b"HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=0\r\nContent-Length: 2\r\n\r\nhi".to_vec()
    });
    let mut rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    let value = "max-age=63072000; includeSubDomains; preload;";
    rig.listener().tls.as_mut().unwrap().hsts = Some(value.to_owned());
    let path = L7RuleSpec {
        kind: L7RuleType::Path,
        compare_type: L7RuleCompareType::EqualTo,
        key: None,
        value: "/no".to_owned(),
        invert: false,
    };
    let policy = L7PolicySpec { id: id(), action: L7ActionSpec::Reject, rules: vec![path] };
    rig.listener().l7policies = vec![policy];
    rig.reconfigure();
    let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
    for (path, status) in [("/", 200), ("/no", 403), ("/", 200)] {
        let answer = get(&mut client, path);
        assert_eq!(answer.status(), status);
        let lines = answer.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("strict-"));
        assert_eq!(lines.collect::<Vec<_>>(), [format!("Strict-Transport-Security: {value}")]);
    }
}

#[test]
fn a_listener_without_an_identity_is_not_there() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], tls(&[&ca.server(&["a.example"])]));
    let mut idle = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
    assert_eq!(get(&mut idle, "/").text(), "hi");
    let tls = rig.listener().tls.as_mut().unwrap();
    let kept = tls.identity.take();
    rig.reconfigure();
    idle.expect_end();
    assert!(rig.engine.sockets().is_empty());
    // Nor is one whose identity is of no use; the rest is there.
    rig.listener().tls.as_mut().unwrap().identity = kept;
    let mut other = rig.listener().clone();
    (other.id, other.port) = (id(), 1);
    rig.spec.listeners.push(other);
    type Spoil = fn(&Authority, &mut IdentitySpec);
    let cases: [(Spoil, &str); 4] = [
        (|_, of| of.certificates[0].key = octavia_wire::KeySpec::new(b"no key"), "private key"),
        (
            |ca, of| of.certificates[0].key = ca.server(&["a.example"]).spec().key,
            "certificate with its private key",
        ),
        (
            |_, of| of.client_authorities = vec![octavia_wire::Der(vec![0x30, 0])],
            "certificate of an authority",
        ),
        (
            |_, of| of.client_revocations = vec![octavia_wire::Der(vec![0x30, 0])],
            "certificate revocation list",
        ),
    ];
    for (spoil, what) in cases {
        let mut spec = rig.spec.clone();
        let tls = spec.listeners[0].tls.as_mut().unwrap();
        tls.client_authentication = octavia_model::ClientAuthentication::Optional;
        identity(tls).client_authorities = vec![octavia_wire::Der(ca.der().to_vec())];
        spoil(&ca, identity(tls));
        let snapshot = octavia_proxy::Snapshot::compile(&spec, rig.engine.registry()).unwrap();
        let there: Vec<_> = snapshot.listeners().map(|listener| listener.id).collect();
        assert_eq!(there, [spec.listeners[1].id]);
        assert_eq!(snapshot.faults(), [(spec.listeners[0].id, TlsError::Unusable(what))]);
    }
}
