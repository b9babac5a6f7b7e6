//! TLS between the proxy and members, as both see it.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use octavia_model::{ListenerProtocol, PoolProtocol, TlsVersion};
use octavia_wire::{Der, PoolTlsSpec};
use rustls::{HandshakeKind, ServerConnection};

use super::pki::{Authority, Certified, Visitor, member_tls, secure, tls};
use super::{VERSIONS, get};
use crate::proxy_protocol::header;
use crate::rig::{Client, Message, Origin, Rig, chunked, member, noise, ok, until};

/// A listener in clear over members that speak TLS.
fn rig(protocol: ListenerProtocol, members: &[&Origin], tls: PoolTlsSpec) -> Rig {
    Rig::start(protocol, members, |spec| {
        spec.pools[0].tls = Some(tls);
        if protocol == ListenerProtocol::Http {
            spec.pools[0].protocol = PoolProtocol::Http;
        }
    })
}

pub(super) fn http(members: &[&Origin], tls: PoolTlsSpec) -> Rig {
    rig(ListenerProtocol::Http, members, tls)
}

/// A listener that terminates TLS over members that speak it, too.
pub(crate) fn both(ca: &Authority, members: &[&Origin], own: PoolTlsSpec) -> Rig {
    Rig::start(ListenerProtocol::TerminatedHttps, members, |spec| {
        spec.listeners[0].tls = Some(tls(&[&ca.server(&["a.example", "b.example"])]));
        spec.pools[0].protocol = PoolProtocol::Http;
        spec.pools[0].tls = Some(own);
    })
}

/// Answers requests by a function of them and of the connection.
pub(crate) fn answers(
    answer: impl Fn(&mut ServerConnection, &Message) -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(Client) + Send + Sync + 'static {
    move |mut client| {
        while let Some(request) = client.message(true) {
            let answer = answer(client.session(), &request);
            if !client.try_send(answer) {
                return;
            }
        }
    }
}

pub(super) fn says(own: &Certified, versions: &[TlsVersion]) -> Origin {
    secure(own.server(versions, None), answers(|_, _| ok("hi")))
}

#[test]
fn bodies_of_every_size_both_ways() {
    let ca = Authority::new("ca");
    let own = ca.server(&["m.example"]);
    for version in VERSIONS {
        let echo = || secure(own.server(&[version], None), answers(|_, request| ok(&request.body)));
        let (clear_origin, sealed_origin) = (echo(), echo());
        let clear = http(&[&clear_origin], member_tls(Some(&ca)));
        let sealed = both(&ca, &[&sealed_origin], member_tls(None));
        let visitor = Visitor::new(&ca, None);
        for (rig, origin, mut client) in [
            (&clear, &clear_origin, clear.client()),
            (&sealed, &sealed_origin, visitor.connect(&sealed, "a.example").unwrap()),
        ] {
            for size in [0, 1, 4_000, 16_383, 16_384, 16_385, 70_000, 131_072, 131_073, 3_000_001] {
                let content = noise(size);
                let mut plain =
                    format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n").into_bytes();
                plain.extend_from_slice(&content);
                client.send(&plain);
                assert!(client.answer().body == content, "{size} bytes, {version}");
                let mut coded =
                    b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                coded.extend(chunked(&content, 50_000));
                client.send(&coded);
                assert!(client.answer().body == content, "{size} bytes in chunks, {version}");
            }
            // The first request of a client that cannot be repeated has a connection of its own; so had none after it.
            assert_eq!(origin.connections(), 1, "{version}");
            drop(client);
            until("all connections are over", || rig.stats().conns == 0);
            assert_eq!((rig.stats().ereq, rig.member_state(0).errors()), (0, 0));
            assert_eq!(rig.member_state(0).total_connections(), 1);
        }
    }
}

#[test]
fn members_are_asked_for_the_name_that_clients_ask_for() {
    let ca = Authority::new("ca");
    let own = ca.server(&["a.example", "b.example"]);
    let name = |session: &mut ServerConnection, _: &Message| ok(session.server_name().unwrap_or("nobody"));
    let origin = secure(own.server(&VERSIONS, None), answers(name));
    let rig = both(&ca, &[&origin], member_tls(Some(&ca)));
    let visitor = Visitor::new(&ca, None).only(TlsVersion::Tls13);
    // Connections are kept, and each is used again for its own name alone.
    for round in 0..3 {
        for (asked, told) in [("a.example", "a.example"), ("B.example", "b.example"), ("127.0.0.1", "nobody")]
        {
            let mut client = visitor.connect(&rig, asked).unwrap();
            assert_eq!(get(&mut client, "/").text(), told, "{round}");
            drop(client);
            until("the connection is over", || rig.stats().conns == 0);
        }
    }
    // A thread keeps its own; there are two.
    assert!((3..=6).contains(&origin.connections()), "{}", origin.connections());
    // The name is not in the certificate: nobody is what members are not.
    let mut client = visitor.connect(&rig, "c.example").unwrap();
    assert_eq!(get(&mut client, "/").status(), 503);
    let clear = http(&[&origin], member_tls(Some(&ca)));
    assert_eq!(clear.get("/").text(), "nobody");
}

#[test]
fn sessions_are_resumed_until_their_terms_change() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let own = ca.server(&["m.example"]);
    for version in VERSIONS {
        // Each request on a connection of its own.
        let origin = secure(own.server(&[version], None), |mut client| {
            client.message(true);
            let kind = client.session().handshake_kind().unwrap();
            let text = format!("{kind:?}");
            client.send(format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ));
            client.end();
        });
        let mut rig = http(&[&origin], member_tls(Some(&ca)));
        let kind = |rig: &Rig| rig.get("/").text().to_owned();
        let resumed = format!("{:?}", HandshakeKind::Resumed);
        assert_ne!(kind(&rig), resumed);
        for _ in 0..3 {
            assert_eq!(kind(&rig), resumed, "{version}");
        }
        // A change that has nothing to do with TLS.
        rig.members()[0].weight = 7;
        rig.reconfigure();
        assert_eq!(kind(&rig), resumed, "{version}");
        // Who believes somebody else does not go on with what was agreed on before.
        rig.spec.pools[0]
            .tls
            .as_mut()
            .unwrap()
            .identity
            .as_mut()
            .unwrap()
            .authorities
            .push(Der(other.der().to_vec()));
        rig.reconfigure();
        assert_ne!(kind(&rig), resumed, "{version}");
        assert_eq!(kind(&rig), resumed, "{version}");
    }
}

#[test]
fn terms_change_under_requests() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (first, second) = (old.server(&["m.example"]), new.server(&["m.example"]));
    // The second request of a connection waits until it is told.
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let slow = answers(move |_, request| {
        if request.head.starts_with("GET /slow") {
            gone.lock().unwrap().recv().unwrap();
        }
        ok("old")
    });
    let before = secure(first.server(&VERSIONS, None), slow);
    let after = secure(second.server(&VERSIONS, None), answers(|_, _| ok("new")));
    let mut rig = http(&[&before], member_tls(Some(&old)));
    let mut client = rig.client();
    assert_eq!(get(&mut client, "/").text(), "old");
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let state = rig.member_state(0);
    until("the member serves", || state.requests() == 2);
    // Member and authority change; the old ones are believed no more.
    rig.members()[0].port = after.address.port();
    rig.spec.pools[0].tls = Some(member_tls(Some(&new)));
    rig.reconfigure();
    assert_eq!(rig.get("/").text(), "new");
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "old", "a request in flight goes on");
    assert_eq!(get(&mut client, "/").text(), "new", "and the next is of the new configuration");
    assert_eq!(state.errors(), 0);
}

#[test]
fn terms_change_under_load() {
    let ca = Authority::new("ca");
    let own = ca.server(&["m.example"]);
    let origin = says(&own, &VERSIONS);
    let mut rig = http(&[&origin], member_tls(Some(&ca)));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..3)
        .map(|_| {
            let (stop, done, address) = (Arc::clone(&stop), Arc::clone(&done), rig.address);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(SeqCst) {
                    assert_eq!(get(&mut client, "/").text(), "hi");
                    done.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    for round in 0..20 {
        let before = done.load(SeqCst);
        rig.spec.pools[0].tls = Some(member_tls((round % 2 == 0).then_some(&ca)));
        rig.reconfigure();
        until("more requests", || done.load(SeqCst) > before + 10);
    }
    stop.store(true, SeqCst);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((rig.stats().ereq, rig.member_state(0).errors()), (0, 0));
    // Connections are never shared between terms, and are kept as long as these last.
    assert!((3..=200).contains(&origin.connections()), "{}", origin.connections());
}

#[test]
fn what_is_agreed_in_clear_is_not_taken_for_secure() {
    let ca = Authority::new("ca");
    let plain = Origin::says("clear");
    let mut rig = Rig::http(&[&plain]);
    // It never answers a hello.
    rig.listener().timeouts.member_connect = 300;
    rig.reconfigure();
    let mut client = rig.client();
    assert_eq!(get(&mut client, "/").text(), "clear");
    rig.spec.pools[0].tls = Some(member_tls(Some(&ca)));
    rig.reconfigure();
    assert_eq!(get(&mut client, "/").status(), 503, "there was an idle connection to it");
    // Without what it takes nobody is spoken to.
    rig.spec.pools[0].tls.as_mut().unwrap().identity = None;
    rig.reconfigure();
    let connections = plain.connections();
    assert_eq!(get(&mut rig.client(), "/").status(), 503);
    assert_eq!(plain.connections(), connections);
    assert!(!rig.compile().pools().next().unwrap().is_usable());
    // What is no authority is refused whole.
    let mut terms = member_tls(Some(&ca));
    terms.identity.as_mut().unwrap().authorities = vec![Der(b"nobody".to_vec())];
    rig.spec.pools[0].tls = Some(terms);
    let refused = octavia_proxy::Snapshot::compile(&rig.spec, rig.engine.registry()).unwrap_err();
    assert!(refused.to_string().ends_with("cannot use a certificate of an authority"), "{refused}");
}

#[test]
fn the_proxy_header_goes_before_tls() {
    let ca = Authority::new("ca");
    let own = Arc::new(ca.server(&["m.example"]).server(&VERSIONS, None));
    for version in [PoolProtocol::Proxy, PoolProtocol::ProxyV2] {
        let config = Arc::clone(&own);
        let origin = Origin::start(move |mut client| {
            let said = header(version, &mut client);
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let Ok(mut client) = client.served(session) else { return };
            while client.message(true).is_some() {
                if !client.try_send(ok(&said)) {
                    return;
                }
            }
        });
        for protocol in [ListenerProtocol::Http, ListenerProtocol::Tcp] {
            let mut rig = rig(protocol, &[&origin], member_tls(Some(&ca)));
            rig.spec.pools[0].protocol = version;
            rig.reconfigure();
            let before = origin.connections();
            let mut client = rig.client();
            for _ in 0..3 {
                let told = get(&mut client, "/");
                assert_eq!(told.text(), format!("{}>{}", client.local_address(), rig.address), "{protocol}");
            }
            assert_eq!(origin.connections(), before + 1, "{protocol}");
        }
    }
}

#[test]
fn bytes_go_through_a_tunnel_both_ways() {
    let ca = Authority::new("ca");
    let own = ca.server(&["m.example"]);
    for version in VERSIONS {
        let origin = secure(own.server(&[version], None), |mut client| {
            let all = client.take_all();
            client.send(all);
            client.end();
        });
        let rig = rig(ListenerProtocol::Tcp, &[&origin], member_tls(Some(&ca)));
        for size in [0, 1, 70_000, 3_000_001] {
            let mut client = rig.client();
            let content = noise(size);
            client.send(&content);
            // Its end is announced to the member, and the member's to it.
            client.end();
            assert!(client.take_to_end() == (content, Ok(())), "{size} bytes, {version}");
        }
        // The member may speak first.
        let first = secure(own.server(&[version], None), |mut client| {
            client.send("220 ready");
            assert_eq!(client.take_all(), b"QUIT");
            client.end();
        });
        let mut rig = rig;
        *rig.members() = vec![member(first.address)];
        rig.reconfigure();
        let mut client = rig.client();
        assert_eq!(client.take(9), b"220 ready");
        client.send("QUIT");
        client.end();
        client.expect_end();
        until("all connections are over", || rig.stats().conns == 0);
    }
}

/// A member whose stream just ends, without a word, may have been cut off by somebody.
#[test]
fn an_end_that_is_not_announced_is_no_end() {
    let ca = Authority::new("ca");
    let own = ca.server(&["m.example"]);
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    for (announced, plain_end, tls_end) in
        [(true, Ok(()), Ok(())), (false, Err(ErrorKind::ConnectionReset), Err(ErrorKind::UnexpectedEof))]
    {
        let ends = move |mut client: Client| {
            let _ = client.head();
            client.send(format!("{head}half of it"));
            if announced {
                client.end();
            }
            client.tcp().shutdown(std::net::Shutdown::Write).unwrap();
            client.take_all();
        };
        let origin = secure(own.server(&VERSIONS, None), ends);
        let rig = http(&[&origin], member_tls(Some(&ca)));
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.head().is_some());
        let (text, end) = client.take_to_end();
        assert_eq!((&text[..], end), (&b"half of it"[..], plain_end), "{announced}");
        assert_eq!(rig.member_state(0).errors(), u64::from(!announced));

        let rig = both(&ca, &[&origin], member_tls(None));
        let mut client = Visitor::new(&ca, None).connect(&rig, "a.example").unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.head().is_some());
        let (text, end) = client.take_to_end();
        assert_eq!((&text[..], end), (&b"half of it"[..], tls_end), "{announced}");

        // Bytes that nobody reads have no other end than this.
        let rig = self::rig(ListenerProtocol::Tcp, &[&origin], member_tls(None));
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.head().is_some());
        let (text, end) = client.take_to_end();
        assert_eq!((&text[..], end), (&b"half of it"[..], plain_end), "{announced}");
    }
}

#[test]
fn an_upgraded_connection_ends_in_both_directions() {
    let ca = Authority::new("ca");
    let origin = secure(ca.server(&["m.example"]).server(&VERSIONS, None), |mut client| {
        client.head();
        client.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        let all = client.take_all();
        client.send(all);
        client.end();
    });
    let rig = both(&ca, &[&origin], member_tls(Some(&ca)));
    let mut client = Visitor::new(&ca, None).only(TlsVersion::Tls13).connect(&rig, "127.0.0.1").unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    let content = noise(300_000);
    client.send(&content);
    client.end();
    assert!(client.take_all() == content);
    until("the connection is over", || rig.stats().conns == 0);
}

#[test]
fn members_are_told_that_it_is_over() {
    let ca = Authority::new("ca");
    let (ends, end) = channel();
    let ends: Mutex<Sender<_>> = Mutex::new(ends);
    let origin = secure(ca.server(&["m.example"]).server(&VERSIONS, None), move |mut client| {
        while client.head().is_some() {
            client.send(ok("hi"));
        }
        let _ = ends.lock().unwrap().send(client.take_to_end().1);
    });
    let mut rig = http(&[&origin], member_tls(Some(&ca)));
    // One that is idle, when its terms change; one that is in use, when its client goes.
    assert_eq!(rig.get("/").text(), "hi");
    rig.spec.pools[0].tls = Some(member_tls(None));
    rig.reconfigure();
    assert_eq!(end.recv_timeout(std::time::Duration::from_secs(10)).unwrap(), Ok(()));
}

#[test]
fn a_connection_that_died_while_idle_is_no_failure() {
    let ca = Authority::new("ca");
    let own = ca.server(&["m.example"]);
    // One answer a connection, which then ends without a word.
    let origin = secure(own.server(&VERSIONS, None), |mut client| {
        client.message(true);
        client.send(ok("hi"));
    });
    let rig = http(&[&origin], member_tls(Some(&ca)));
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(get(&mut client, "/").text(), "hi");
    }
    assert_eq!(rig.member_state(0).errors(), 0);
}

#[test]
fn who_cannot_be_agreed_with_is_passed_over() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let (good, bad) = (says(&ca.server(&["m"]), &VERSIONS), says(&other.server(&["m"]), &VERSIONS));
    let plain = Origin::says("clear");
    let rig = http(&[&bad, &plain, &good], member_tls(Some(&ca)));
    for _ in 0..6 {
        assert_eq!(rig.get("/").text(), "hi");
    }
    assert_eq!(rig.member_state(2).errors(), 0);
    assert!(rig.member_state(0).errors() > 0 && rig.member_state(1).errors() > 0);
    assert_eq!(rig.member_state(0).total_connections(), 0, "it has got nothing");
    let tcp = self::rig(ListenerProtocol::Tcp, &[&bad, &good], member_tls(Some(&ca)));
    for _ in 0..4 {
        assert_eq!(get(&mut tcp.client(), "/").text(), "hi");
    }
}
