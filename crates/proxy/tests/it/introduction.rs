//! Listeners that are told whose connection it is by proxies they believe.

use octavia_model::{ListenerProtocol, PoolProtocol};
use octavia_wire::{AmphoraSpec, InsertHeader, PersistenceSpec};

use crate::access_log::logged;
use crate::proxy_protocol::header;
use crate::rig::{Client, Origin, Rig, ok, until};
use crate::tls::pki::{self, Authority, Visitor};

const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn binary() -> Vec<u8> {
    [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[0x21, 0x11, 0, 14],
        &[192, 0, 2, 7, 198, 51, 100, 1],
        &4711u16.to_be_bytes(),
        &443u16.to_be_bytes(),
        b"!!",
    ]
    .concat()
}

fn believing(spec: &mut AmphoraSpec) {
    let listener = &mut spec.listeners[0];
    listener.accept_proxy = vec!["127.0.0.0/8".parse().unwrap()];
    listener.timeouts.client_data = 500;
}

/// Tells what it was told of the client.
fn told() -> Origin {
    Origin::http(|request| {
        let of = |name: &str| request.header(name).unwrap_or("-").to_owned();
        ok(format!("{} {}", of("x-forwarded-for"), of("x-forwarded-port")))
    })
}

fn rig(members: &[&Origin], tune: impl FnOnce(&mut AmphoraSpec)) -> Rig {
    Rig::start(ListenerProtocol::Http, members, |spec| {
        believing(spec);
        spec.listeners[0].insert_headers = vec![InsertHeader::XForwardedFor, InsertHeader::XForwardedPort];
        tune(spec);
    })
}

#[test]
fn the_client_is_whom_the_header_names() {
    let origin = told();
    let mut rig = rig(&[&origin], |_| {});
    let mut lines = logged(&mut rig, "%ci %cp %fi %fp");
    for introduction in [LINE.as_bytes().to_vec(), binary()] {
        // In one piece with the request, and byte by byte.
        let mut client = rig.client();
        client.send([&introduction[..], GET.as_bytes()].concat());
        assert_eq!(client.answer().text(), "192.0.2.7 443");
        assert_eq!(lines.next(), "192.0.2.7 4711 198.51.100.1 443");
        client.send(GET);
        assert_eq!(client.answer().text(), "192.0.2.7 443");
        lines.next();
        let mut client = rig.client();
        for byte in &introduction {
            client.send([*byte]);
        }
        client.send(GET);
        assert_eq!(client.answer().text(), "192.0.2.7 443");
        lines.next();
    }
    // A check of the proxy's own.
    let mut client = rig.client();
    client.send("PROXY UNKNOWN\r\n");
    client.send(GET);
    assert_eq!(client.answer().text(), format!("127.0.0.1 {}", rig.address.port()));
}

#[test]
fn who_is_believed_has_to_say_it_and_in_time() {
    let origin = told();
    let rig = rig(&[&origin], |_| {});
    for said in [GET, "PROXY TCP4 192.0.2.7 nonsense\r\n", "PROXY TCP4 "] {
        let before = rig.stats().ereq;
        let mut client = rig.client();
        client.send(said);
        client.take_to_end().1.ok();
        until("it is counted", || rig.stats().ereq == before + 1);
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn whom_nobody_believes_says_nothing() {
    let origin = told();
    let rig = rig(&[&origin], |spec| {
        spec.listeners[0].accept_proxy = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let mut client = rig.client();
    client.send(GET);
    assert_eq!(client.answer().text(), format!("127.0.0.1 {}", rig.address.port()));
    // It is no request.
    let mut client = rig.client();
    client.send([LINE, GET].concat());
    assert_eq!(client.answer().status(), 400);
}

#[test]
fn the_client_has_to_be_allowed_and_not_the_proxy() {
    let origin = told();
    for (allowed, let_in) in [("192.0.2.0/24", true), ("127.0.0.0/8", false)] {
        let rig = rig(&[&origin], |spec| spec.listeners[0].allowed_cidrs = vec![allowed.parse().unwrap()]);
        let mut client = rig.client();
        client.send([LINE, GET].concat());
        match let_in {
            true => assert_eq!(client.answer().text(), "192.0.2.7 443"),
            false => drop(client.take_to_end()),
        }
        // Who speaks for itself is who has to be allowed.
        let mut client = rig.client();
        client.send(["PROXY UNKNOWN\r\n", GET].concat());
        match let_in {
            true => drop(client.take_to_end()),
            false => assert_eq!(client.answer().status(), 200),
        }
    }
}

#[test]
fn clients_come_back_by_their_own_address() {
    let (one, two) = (Origin::says("one"), Origin::says("two"));
    let rig = rig(&[&one, &two], |spec| {
        spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity: None, timeout: 0 });
    });
    let ask = |client: &str| {
        let mut connection = rig.client();
        connection.send(format!("PROXY TCP4 {client} 198.51.100.1 1 443\r\n{GET}"));
        connection.answer().text().to_owned()
    };
    let first = ask("192.0.2.1");
    let second = ask("192.0.2.2");
    assert_ne!(first, second);
    for _ in 0..4 {
        assert_eq!((ask("192.0.2.1"), ask("192.0.2.2")), (first.clone(), second.clone()));
    }
}

/// It is passed on to members who want to know, and what follows is not touched.
#[test]
fn connections_are_introduced_further() {
    let origin = Origin::start(|mut client: Client| {
        let said = header(PoolProtocol::ProxyV2, &mut client);
        client.send(said);
        let rest = client.take_all();
        client.send(rest);
    });
    let rig = Rig::start(ListenerProtocol::Tcp, &[&origin], |spec| {
        believing(spec);
        spec.pools[0].protocol = PoolProtocol::ProxyV2;
    });
    let mut client = rig.client();
    client.send([LINE, "PROXY and so on"].concat());
    client.end();
    assert_eq!(client.take_all(), b"192.0.2.7:4711>198.51.100.1:443PROXY and so on");
}

#[test]
fn tls_comes_after_it() {
    let ca = Authority::new("ca");
    let origin = told();
    let mut rig = pki::rig(&[&origin], pki::tls(&[&ca.server(&["a.example"])]));
    believing(&mut rig.spec);
    rig.spec.listeners[0].insert_headers = vec![InsertHeader::XForwardedFor];
    rig.reconfigure();
    let mut client = rig.client();
    client.send(LINE);
    let mut client = client.with_tls(Visitor::new(&ca, None).session("a.example")).unwrap();
    client.send(GET);
    assert_eq!(client.answer().text(), "192.0.2.7 -");
}
