//! Specs: newer, older, again, of others, too large, not specs at all.

use std::net::TcpStream;

use octavia_model::{Cipher, ClientAuthentication, ListenerId, ListenerProtocol, ReasonCode, TlsVersion};
use octavia_wire::{AmphoraSpec, CertificateSpec, Der, IdentitySpec, KeySpec, TlsSpec, files, paths};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::amphora::{Amphora, eventually};
use crate::certs::connect;
use crate::member::{Member, get};

#[test]
fn newer_is_taken_older_is_refused_the_same_is_the_same() {
    let amphora = Amphora::start();
    let (one, two) = (Member::start(amphora.ip, "one"), Member::start(amphora.ip, "two"));
    assert_eq!(amphora.info().generation, 0);

    let first = amphora.spec(amphora.free_port(), &[one.address]);
    let vip = std::net::SocketAddr::new(amphora.ip, first.listeners[0].port);
    let outcome = amphora.push(&first).unwrap();
    assert_eq!((outcome.fence, outcome.generation), (1, 1));
    assert_eq!(outcome.faults, []);
    assert_eq!(get(vip).unwrap(), "one");
    assert_eq!(amphora.push(&first).unwrap(), outcome, "again");

    let mut second = AmphoraSpec { generation: 2, ..first.clone() };
    second.pools[0].members[0].port = two.address.port();
    assert_eq!(amphora.push(&second).unwrap().generation, 2);
    assert_eq!(get(vip).unwrap(), "two", "in force as soon as it is answered");

    for older in [&first, &AmphoraSpec { fence: 0, generation: 99, ..first.clone() }] {
        let fault = amphora.push(older).unwrap_err();
        assert_eq!(fault.http_code, 409, "{}", fault.error);
    }
    assert_eq!(get(vip).unwrap(), "two");
    let info = amphora.info();
    assert_eq!((info.fence, info.generation, info.amphora_id), (1, 2, amphora.id));

    let successor = AmphoraSpec { fence: 2, generation: 2, ..first.clone() };
    assert_eq!(amphora.push(&successor).unwrap().fence, 2);
    assert_eq!(get(vip).unwrap(), "one");
    let beat = amphora.heartbeat("the generation is told", |beat| beat.generation == Some(2));
    assert_eq!(beat.boot, info.boot);
    assert!(beat.listeners.contains_key(&first.listeners[0].id));
    let key = format!("{}:{}", first.pools[0].id, first.listeners[0].id);
    assert!(beat.pools.contains_key(&key), "{:?}", beat.pools.keys());
}

#[test]
fn a_listener_goes_and_another_comes() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let first = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&first).unwrap();
    let port = amphora.free_port();
    let mut moved = AmphoraSpec { generation: 2, ..first.clone() };
    moved.listeners[0].port = port;
    amphora.push(&moved).unwrap();
    assert_eq!(get((amphora.ip, port).into()).unwrap(), "one");
    assert!(get((amphora.ip, first.listeners[0].port).into()).unwrap_err().contains("refused"));
    // Another listener on the same port.
    let mut other = AmphoraSpec { generation: 3, ..moved.clone() };
    other.listeners[0].id = octavia_model::ListenerId::new_v4();
    assert_eq!(amphora.push(&other).unwrap().faults, []);
    assert_eq!(get((amphora.ip, port).into()).unwrap(), "one");
    amphora.push(&AmphoraSpec { generation: 4, listeners: vec![], pools: vec![], ..moved.clone() }).unwrap();
    assert!(get((amphora.ip, port).into()).unwrap_err().contains("refused"));
}

/// Whatever is behind a listener's references: it concerns that listener alone.
#[test]
fn keys_of_no_use_are_the_trouble_of_one_listener() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    let plain = (amphora.ip, spec.listeners[0].port).into();
    let mut secure = spec.listeners[0].clone();
    (secure.id, secure.port) = (ListenerId::new_v4(), amphora.free_port());
    secure.protocol = ListenerProtocol::TerminatedHttps;
    let (id, tls) = (secure.id, std::net::SocketAddr::new(amphora.ip, secure.port));
    let good = amphora.authority.issue("a.example");
    let with = |key: &[u8]| {
        let chain = vec![Der(CertificateDer::from_pem_slice(good.as_bytes()).unwrap().to_vec())];
        let certificate = CertificateSpec {
            chain,
            key: KeySpec::new(key),
            names: vec!["a.example".to_owned()],
            staple: None,
        };
        TlsSpec {
            identity: Some(IdentitySpec {
                certificates: vec![certificate],
                client_authorities: vec![],
                client_revocations: vec![],
            }),
            versions: TlsVersion::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            alpn: vec![],
            client_authentication: ClientAuthentication::None,
            hsts: None,
            fault: None,
        }
    };
    let key = PrivateKeyDer::from_pem_slice(good.as_bytes()).unwrap();
    let shakes = || {
        let mut stream = connect(&amphora.authority.client(None), "a.example", tls)?;
        stream.conn.complete_io(&mut stream.sock).map(drop)
    };
    // Key, whether the listener is open then, and whether it is told.
    for (generation, key, open, told) in [
        (1, &b"no key"[..], false, true),
        (2, key.secret_der(), true, false),
        (3, b"no key", true, true),
        (4, b"no key either", true, true),
        (5, key.secret_der(), true, false),
    ] {
        secure.tls = Some(with(key));
        spec.generation = generation;
        spec.listeners = vec![spec.listeners[0].clone(), secure.clone()];
        let outcome = amphora.push(&spec).unwrap();
        assert_eq!((outcome.generation, outcome.faults.len()), (generation, told.into()), "{outcome:?}");
        for fault in &outcome.faults {
            assert_eq!((fault.listener, fault.code), (id, ReasonCode::SecretUnreadable));
            assert_eq!(fault.text, "The listener cannot use a private key.");
        }
        assert_eq!(amphora.info().faults, outcome.faults);
        assert_eq!(get(plain).unwrap(), "one");
        assert_eq!(shakes().is_ok(), open, "{generation}");
        if !open {
            assert!(TcpStream::connect(tls).is_err(), "its port is closed");
        }
        assert_eq!(amphora.push(&spec).unwrap(), outcome, "again");
        // It starts again with what it has.
        amphora.kill_proxy();
        eventually("another proxy serves", || get(plain).ok());
        assert_eq!(shakes().is_ok(), open, "{generation}, later");
    }
}

#[test]
fn what_is_not_for_this_amphora_changes_nothing() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let good = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&good).unwrap();
    let before = std::fs::read(amphora.file(files::SPEC)).unwrap();
    let next = AmphoraSpec { generation: 2, ..good.clone() };
    let json = serde_json::to_string(&next).unwrap();
    let mut unknown_pool = next.clone();
    unknown_pool.pools.clear();
    for (body, status, text) in [
        (
            serde_json::to_string(&AmphoraSpec {
                amphora_id: octavia_model::AmphoraId::new_v4(),
                ..next.clone()
            })
            .unwrap(),
            400,
            "for amphora",
        ),
        (
            serde_json::to_string(&AmphoraSpec {
                load_balancer_id: octavia_model::LoadBalancerId::new_v4(),
                ..next.clone()
            })
            .unwrap(),
            400,
            "for load balancer",
        ),
        (
            serde_json::to_string(&AmphoraSpec { version: 99, ..next.clone() }).unwrap(),
            400,
            "wire version 99",
        ),
        (serde_json::to_string(&unknown_pool).unwrap(), 400, "names pool"),
        (String::new(), 400, "not a spec"),
        ("{}".to_owned(), 400, "not a spec"),
        ("null".to_owned(), 400, "not a spec"),
        (json[..json.len() - 1].to_owned(), 400, "not a spec"),
        ("[".repeat(100_000), 400, "not a spec"),
        (json.replace("\"HTTP\"", "\"GOPHER\""), 400, "not a spec"),
        (" ".repeat((8 << 20) + 1), 413, "at most"),
    ] {
        let (answered, body) = amphora.request("PUT", paths::SPEC, body.as_bytes());
        let body = String::from_utf8(body).unwrap();
        assert_eq!(answered, status, "{body}");
        assert!(body.contains(text), "{body}");
    }
    assert_eq!(std::fs::read(amphora.file(files::SPEC)).unwrap(), before);
    assert_eq!(amphora.info().generation, 1);
    assert_eq!(get((amphora.ip, good.listeners[0].port).into()).unwrap(), "one");
}

#[test]
fn an_amphora_too_large_for_a_datagram_is_heard() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    spec.pools[0].members.extend((0..6_000).map(|_| crate::spec::member(member.address)));
    amphora.push(&spec).unwrap();
    let mut heard = std::collections::BTreeSet::new();
    amphora.heartbeat("each member is told of in its turn", |beat| {
        heard.extend(beat.pools.values().flat_map(|pool| pool.members.keys().copied()));
        beat.generation == Some(1) && beat.partial && heard.len() == 6_001
    });
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let amphora = Amphora::start();
    for (headers, length) in [(1, 100_000), (1, 10_000_000), (5_000, 1), (1_000, 1_000)] {
        let lines: String = (0..headers).map(|n| format!("\r\nX-{n}: {}", "x".repeat(length))).collect();
        let head = format!("GET {} HTTP/1.1{lines}", paths::INFO);
        match crate::certs::request(amphora.tls(), &amphora.id.to_string(), amphora.api(), &head, b"") {
            Ok((status, _)) => assert_eq!(status, 431, "{headers} {length}"),
            // Cut off while it still sent.
            Err(error) => assert!(length > 1, "{headers} {length}: {error}"),
        }
        assert_eq!(amphora.info().amphora_id, amphora.id);
    }
}

#[test]
fn many_quick_pushes_leave_nothing_behind() {
    use std::io::{Read, Write};

    let amphora = Amphora::start();
    let (one, two) = (Member::start(amphora.ip, "one"), Member::start(amphora.ip, "two"));
    let mut spec = amphora.spec(amphora.free_port(), &[one.address]);
    amphora.push(&spec).unwrap();
    let descriptors = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (agent, proxy) = (amphora.agent_pid(), amphora.proxy().unwrap().pid);
    let before = (descriptors(agent), descriptors(proxy));
    let mut line = crate::certs::connect(amphora.tls(), &amphora.id.to_string(), amphora.api()).unwrap();
    for round in 0..300_u16 {
        spec.generation += 1;
        spec.pools[0].members[0].port = if round % 2 == 0 { &two } else { &one }.address.port();
        // A listener that comes and goes.
        spec.listeners.truncate(1);
        if round % 3 == 0 {
            spec.listeners.push(crate::spec::listener(20_000 + round, spec.pools[0].id));
        }
        let body = serde_json::to_vec(&spec).unwrap();
        write!(line, "PUT {} HTTP/1.1\r\nHost: agent\r\nContent-Length: {}\r\n\r\n", paths::SPEC, body.len())
            .unwrap();
        line.write_all(&body).unwrap();
        let mut answer = vec![];
        while !answer.ends_with(b"}") {
            let mut chunk = [0; 4096];
            let length = line.read(&mut chunk).unwrap();
            assert_ne!(length, 0, "hung up on");
            answer.extend_from_slice(&chunk[..length]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    drop(line);
    spec.listeners.truncate(1);
    spec.generation += 1;
    amphora.push(&spec).unwrap();
    assert_eq!(get((amphora.ip, spec.listeners[0].port).into()).unwrap(), "one");
    crate::amphora::eventually("nothing is left open", || {
        (descriptors(agent) <= before.0 + 1 && descriptors(proxy) <= before.1 + 4).then_some(())
    });
}

#[test]
fn paths_and_methods_that_are_not_there() {
    let amphora = Amphora::start();
    for (method, path, status) in [
        ("GET", "/", 200),
        ("POST", "/", 405),
        ("GET", paths::SPEC, 405),
        ("DELETE", paths::SPEC, 405),
        ("PUT", paths::INFO, 405),
        ("GET", "/2.0", 404),
        ("GET", "/1.0/info", 404),
        ("GET", "/2.0/spec/", 404),
        ("GET", "/../boot.json", 404),
    ] {
        let (answered, body) = amphora.request(method, path, b"");
        assert_eq!(answered, status, "{method} {path}: {}", String::from_utf8_lossy(&body));
        if path == "/" && status == 200 {
            assert_eq!(body, br#"{"api_version":"2.0"}"#);
        }
    }
}
