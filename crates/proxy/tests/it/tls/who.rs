//! Clients with certificates, and what is made of them.

use octavia_model::{ClientAuthentication, L7RuleCompareType, L7RuleType, TlsVersion};
use octavia_wire::{Der, InsertHeader, L7ActionSpec, L7PolicySpec, L7RuleSpec, TlsSpec};

use super::pki::{Authority, Certified, Visitor, identity, rig, tls};
use super::{VERSIONS, get};
use crate::rig::{Origin, Rig, id, ok};

fn asking(own: &Certified, mode: ClientAuthentication, ca: &Authority) -> TlsSpec {
    let mut tls = tls(&[own]);
    tls.client_authentication = mode;
    identity(&mut tls).client_authorities = vec![Der(ca.der().to_vec())];
    tls
}

/// The status a client gets, or why it gets none.
fn visit(rig: &Rig, ca: &Authority, own: Option<&Certified>, version: TlsVersion) -> Result<u16, String> {
    let mut client = Visitor::new(ca, own).only(version).connect(rig, "a.example")?;
    // With TLS 1.3 a client thinks it is in before it is.
    client.try_send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let answer = client.try_answer()?;
    Ok(answer.status())
}

#[test]
fn who_is_let_in() {
    use ClientAuthentication::{Mandatory, None as Off, Optional};

    let (ca, clients, others) = (Authority::new("ca"), Authority::new("clients"), Authority::new("others"));
    let own = ca.server(&["a.example"]);
    let (good, bad) = (clients.client("alice", 1), others.client("mallory", 2));
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], tls(&[&own]));
    for (mode, nobody, known, unknown) in
        [(Off, true, true, true), (Optional, true, true, false), (Mandatory, false, true, false)]
    {
        rig.listener().tls = Some(asking(&own, mode, &clients));
        rig.reconfigure();
        for version in VERSIONS {
            for (certificate, let_in) in [(None, nobody), (Some(&good), known), (Some(&bad), unknown)] {
                let visited = visit(&rig, &ca, certificate, version);
                assert_eq!(visited.is_ok(), let_in, "{mode} {version}: {visited:?}");
                // Who is not is told why.
                if let Err(said) = visited {
                    assert!(said.contains("alert"), "{said}");
                }
            }
        }
    }
}

/// Their names do not fit into a message.
#[test]
fn authorities_with_great_names() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let own = ca.server(&["a.example"]);
    let alice = clients.client("alice", 1);
    let mut asking = asking(&own, ClientAuthentication::Mandatory, &clients);
    let great = (0..3).map(|n| Authority::new(&format!("{n}").repeat(30_000)));
    identity(&mut asking).client_authorities.extend(great.map(|great| Der(great.der().to_vec())));
    let origin = Origin::says("hi");
    let rig = rig(&[&origin], asking);
    for version in VERSIONS {
        assert_eq!(visit(&rig, &ca, Some(&alice), version), Ok(200), "{version}");
        assert!(visit(&rig, &ca, None, version).is_err());
    }
}

#[test]
fn who_is_revoked() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let own = ca.server(&["a.example"]);
    let (alice, bob) = (clients.client("alice", 1), clients.client("bob", 2));
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], tls(&[&own]));
    for (list, alice_may, bob_may) in [
        (clients.revokes(&[2], 2040), true, false),
        (clients.revokes(&[], 2040), true, true),
        // Nobody knows who is revoked: the list is old, or another's.
        (clients.revokes(&[], 2023), false, false),
        (Authority::new("others").revokes(&[], 2040), false, false),
    ] {
        let mut asking = asking(&own, ClientAuthentication::Mandatory, &clients);
        identity(&mut asking).client_revocations = vec![list];
        rig.listener().tls = Some(asking);
        rig.reconfigure();
        for (certificate, may) in [(&alice, alice_may), (&bob, bob_may)] {
            let visited = visit(&rig, &ca, Some(certificate), TlsVersion::Tls13);
            assert_eq!(visited.is_ok(), may, "{visited:?}");
        }
    }
}

#[test]
fn what_members_are_told() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let own = ca.server(&["a.example"]);
    let alice = clients.client("alice\r\nX-Evil: 1", 1);
    let origin = Origin::http(|request| {
        let lines = request.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-"));
        ok(lines.collect::<Vec<_>>().join("\n"))
    });
    let mut rig = rig(&[&origin], asking(&own, ClientAuthentication::Optional, &clients));
    let told = InsertHeader::ALL.iter().copied().filter(|header| header.is_of_tls());
    rig.listener().insert_headers = told.collect();
    rig.reconfigure();
    let lied = "GET / HTTP/1.1\r\nHost: test\r\nX-SSL-Client-CN: root\r\nx_ssl_client_dn: root\r\n\r\n";
    let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
    client.send(lied);
    assert_eq!(
        client.answer().text(),
        "X-SSL-Client-Verify: 0\nX-SSL-Client-Has-Cert: 0\nX-SSL-Client-DN: \"\"\nX-SSL-Client-CN: \"\"\n\
         X-SSL-Issuer: \"\"\nX-SSL-Client-SHA1: \nX-SSL-Client-Not-Before: \nX-SSL-Client-Not-After: "
    );
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &alice.der);
    let sha1: String = sha1.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    // Also when the session is taken up again.
    let visitor = Visitor::new(&ca, Some(&alice));
    for _ in 0..2 {
        let mut client = visitor.connect(&rig, "a.example").unwrap();
        client.send(lied);
        assert_eq!(
            client.answer().text(),
            format!(
                "X-SSL-Client-Verify: 0\nX-SSL-Client-Has-Cert: 1\n\
                 X-SSL-Client-DN: \"/C=FR/O=Example \"of\" one/CN=alice??X-Evil: 1\"\n\
                 X-SSL-Client-CN: \"alice??X-Evil: 1\"\nX-SSL-Issuer: \"/O=Example/CN=clients\"\n\
                 X-SSL-Client-SHA1: {sha1}\nX-SSL-Client-Not-Before: 210203000000Z\n\
                 X-SSL-Client-Not-After: 491231000000Z"
            )
        );
    }
}

#[test]
fn what_rules_see() {
    use L7RuleCompareType::{EndsWith, EqualTo, Regex};
    use L7RuleType::{SslConnHasCert, SslDnField, SslVerifyResult};

    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let own = ca.server(&["a.example"]);
    let alice = clients.client("alice", 1);
    let origin = Origin::says("hi");
    let mut rig = rig(&[&origin], asking(&own, ClientAuthentication::Optional, &clients));
    for (kind, compare_type, key, value, invert, alice_hit, nobody_hit) in [
        (SslConnHasCert, EqualTo, None, "true", false, true, false),
        (SslConnHasCert, EqualTo, None, "true", true, false, true),
        (SslVerifyResult, EqualTo, None, "0", false, true, true),
        (SslVerifyResult, EqualTo, None, "10", false, false, false),
        (SslDnField, EqualTo, Some("CN"), "alice", false, true, false),
        (SslDnField, EqualTo, Some("CN"), "Alice", false, false, false),
        (SslDnField, EndsWith, Some("o"), "one", false, true, false),
        (SslDnField, Regex, Some("C"), "^(FR|DE)$", false, true, false),
        (SslDnField, EqualTo, Some("OU"), "x", true, true, true),
    ] {
        let key = key.map(str::to_owned);
        let rule = L7RuleSpec { kind, compare_type, key, value: value.to_owned(), invert };
        let shown = format!("{rule:?}");
        let policy = L7PolicySpec { id: id(), action: L7ActionSpec::Reject, rules: vec![rule] };
        rig.listener().l7policies = vec![policy];
        rig.reconfigure();
        for (certificate, hit) in [(Some(&alice), alice_hit), (None, nobody_hit)] {
            let mut client = Visitor::new(&ca, certificate).connect(&rig, "a.example").unwrap();
            let status = get(&mut client, "/").status();
            assert_eq!(status, if hit { 403 } else { 200 }, "{shown}, {}", certificate.is_some());
        }
    }
}
