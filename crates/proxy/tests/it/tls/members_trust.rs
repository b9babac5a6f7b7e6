//! Who of the members is believed, what they learn of us, and what is agreed on with them.

use octavia_model::{Cipher, TlsVersion};
use octavia_wire::{Der, PoolTlsSpec};
use rustls::ServerConnection;

use super::members::{answers, both, http, says};
use super::pki::{Authority, Certified, Visitor, member_tls, secure, self_signed, version_1_server};
use super::{VERSIONS, get};
use crate::rig::{Message, Origin, ok};

/// What becomes of a request when a member shows this certificate.
#[test]
fn who_is_believed() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let named = ca.numbered("a.example", 7);
    let list = |authority: &Authority, serials: &[u64], year| vec![authority.revokes(serials, year)];
    // Certificate, what is believed, the name that is asked for, whether that is enough.
    type Case<'a> = (&'a str, &'a Certified, Option<&'a Authority>, Vec<Der>, Option<&'a str>, bool);
    let (foreign, common, expired) =
        (other.server(&["a.example"]), ca.common("A.example"), ca.expired("a.example"));
    let (wild, client) = (ca.common("*.example"), ca.client("a.example", 1));
    let cases: Vec<Case<'_>> = vec![
        ("without an authority everybody", &foreign, None, vec![], Some("a.example"), true),
        ("also who is long gone", &expired, None, vec![], None, true),
        ("of the authority", &named, Some(&ca), vec![], None, true),
        ("of the authority, by name", &named, Some(&ca), vec![], Some("a.example"), true),
        ("by another name", &named, Some(&ca), vec![], Some("b.example"), false),
        ("by its common name", &common, Some(&ca), vec![], Some("a.example"), true),
        ("by another common name", &common, Some(&ca), vec![], Some("b.example"), false),
        ("by a wildcard", &wild, Some(&ca), vec![], Some("b.example"), true),
        ("of another authority", &foreign, Some(&ca), vec![], None, false),
        ("of another authority, by name", &foreign, Some(&ca), vec![], Some("a.example"), false),
        ("expired", &expired, Some(&ca), vec![], None, false),
        ("with no use named", &client, Some(&ca), vec![], None, true),
        ("not revoked", &named, Some(&ca), list(&ca, &[8], 2049), None, true),
        ("revoked", &named, Some(&ca), list(&ca, &[7], 2049), None, false),
        ("the list is out of date", &named, Some(&ca), list(&ca, &[8], 2023), None, false),
        ("the list is of others", &named, Some(&ca), list(&other, &[8], 2049), None, false),
    ];
    // Whoever is refused is tried again, with pauses; beside the others.
    std::thread::scope(|scope| {
        for (what, own, authority, lists, name, good) in &cases {
            for version in VERSIONS {
                let mut terms = member_tls(*authority);
                terms.identity.as_mut().unwrap().revocations.clone_from(lists);
                let ca = &ca;
                scope.spawn(move || {
                    let origin = says(own, &[version]);
                    let status = status(ca, &origin, terms, *name);
                    assert_eq!(status, if *good { 200 } else { 503 }, "{what}, {version}");
                });
            }
        }
    });
}

/// What becomes of a request; of one over TLS, if a name is to be asked for.
fn status(ca: &Authority, origin: &Origin, terms: PoolTlsSpec, name: Option<&str>) -> u16 {
    let Some(name) = name else { return http(&[origin], terms).get("/").status() };
    let rig = both(ca, &[origin], terms);
    let visitor = Visitor::new(ca, None).only(TlsVersion::Tls13);
    get(&mut visitor.connect(&rig, name).unwrap(), "/").status()
}

#[test]
fn who_is_its_own_authority() {
    let ca = Authority::new("ca");
    let lists = vec![ca.revokes(&[], 2049)];
    let cases = [
        (2049, true, vec![], None, true),
        (2049, true, vec![], Some("a.example"), true),
        (2049, true, vec![], Some("b.example"), false),
        (2049, false, vec![], None, false),
        (2023, true, vec![], None, false),
        (2049, true, lists, None, false),
    ];
    std::thread::scope(|scope| {
        for (until, believed, lists, name, good) in cases {
            let ca = &ca;
            scope.spawn(move || {
                let own = self_signed("a.example", until);
                let mut terms = member_tls(Some(ca));
                let identity = terms.identity.as_mut().unwrap();
                identity.revocations = lists;
                if believed {
                    identity.authorities.push(Der(own.der.to_vec()));
                }
                let origin = says(&own, &VERSIONS);
                let status = status(ca, &origin, terms, name);
                assert_eq!(status, if good { 200 } else { 503 }, "{until} {believed} {name:?}");
            });
        }
    });
}

/// As `openssl x509 -req` makes them when it is not told of extensions.
#[test]
fn a_certificate_of_version_1_does_where_nobody_is_verified() {
    for (verify, status) in [(false, 200), (true, 503)] {
        let ca = Authority::new("ca");
        let config = version_1_server();
        let origin = secure(config, answers(|_, _| ok("hi")));
        let rig = http(&[&origin], member_tls(verify.then_some(&ca)));
        assert_eq!(rig.get("/").status(), status);
    }
}

#[test]
fn members_learn_who_asks() {
    let (ca, own) = (Authority::new("ca"), Authority::new("balancers"));
    let (known, unknown) = (own.client("lb", 1), ca.client("mallory", 2));
    for version in VERSIONS {
        let config = ca.server(&["m.example"]).server(&[version], Some(&own));
        let shown =
            |session: &mut ServerConnection, _: &Message| ok(&session.peer_certificates().unwrap()[0]);
        let origin = secure(config, answers(shown));
        for (certificate, good) in [(Some(&known), true), (Some(&unknown), false), (None, false)] {
            let mut terms = member_tls(Some(&ca));
            let identity = terms.identity.as_mut().unwrap();
            identity.certificate = certificate.map(|certificate| certificate.spec());
            let rig = http(&[&origin], terms);
            let answer = rig.get("/");
            if good {
                assert!(answer.body == known.der.as_ref(), "{version}");
            } else {
                // In TLS 1.3 a member that does not want us says so when it has the request already.
                assert!([502, 503].contains(&answer.status()), "{version}");
            }
        }
    }
}

#[test]
fn versions_ciphers_and_protocols_are_those_of_the_pool() {
    let ca = Authority::new("ca");
    let own = ca.server(&["m.example"]);
    let told = |session: &mut ServerConnection, _: &Message| {
        let suite = session.negotiated_cipher_suite().unwrap().suite();
        let alpn = session.alpn_protocol().map_or("none", |name| std::str::from_utf8(name).unwrap());
        ok(format!("{} {alpn}", suite.as_str().unwrap()))
    };
    let (old, new) = (&[TlsVersion::Tls12][..], &[TlsVersion::Tls13][..]);
    for (speaks, protocols, versions, ciphers, alpn, expected) in [
        (&VERSIONS[..], &[][..], &VERSIONS[..], Cipher::ALL, &[][..], Ok("TLS13_AES_128_GCM_SHA256 none")),
        (old, &[], &VERSIONS, Cipher::ALL, &[], Ok("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 none")),
        (
            &VERSIONS,
            &[],
            old,
            &[Cipher::EcdheEcdsaChacha20],
            &[],
            Ok("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 none"),
        ),
        (&VERSIONS, &[], new, &[Cipher::Aes256GcmSha384], &[], Ok("TLS13_AES_256_GCM_SHA384 none")),
        (old, &[], new, Cipher::ALL, &[], Err(503)),
        (new, &[], old, Cipher::ALL, &[], Err(503)),
        // A key that no cipher is for.
        (&VERSIONS, &[], old, &[Cipher::EcdheRsaAes128Gcm], &[], Err(503)),
        (
            new,
            &["h2", "http/1.1"],
            new,
            Cipher::ALL,
            &["http/1.1", "http/1.0"],
            Ok("TLS13_AES_128_GCM_SHA256 http/1.1"),
        ),
        (
            new,
            &["http/1.0"],
            new,
            Cipher::ALL,
            &["http/1.1", "http/1.0"],
            Ok("TLS13_AES_128_GCM_SHA256 http/1.0"),
        ),
        (new, &["h2"], new, Cipher::ALL, &[], Ok("TLS13_AES_128_GCM_SHA256 none")),
        (new, &["h2"], new, Cipher::ALL, &["http/1.1"], Err(503)),
    ] {
        let mut config = own.server(speaks, None);
        // Then it is our order that counts.
        config.ignore_client_order = false;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let origin = secure(config, answers(told));
        let mut terms = member_tls(None);
        (terms.versions, terms.ciphers) = (versions.to_vec(), ciphers.to_vec());
        terms.alpn = alpn.iter().map(|&name| name.to_owned()).collect();
        let rig = http(&[&origin], terms);
        let answer = rig.get("/");
        match expected {
            Ok(text) => assert_eq!(answer.text(), text),
            Err(status) => assert_eq!(answer.status(), status),
        }
    }
}
