//! HTTP/2 over TLS: what a listener offers decides.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use h2::client::Builder;
use octavia_model::ClientAuthentication;
use octavia_wire::{InsertHeader, TlsSpec};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::raw::{self, BOTH, HEADERS};
use super::{Peer, request, runtime};
use crate::rig::{Origin, Rig, noise, ok, until};
use crate::tls::pki::{Authority, Visitor, identity, rig, tls};

fn offering(mut tls: TlsSpec, protocols: &[&str]) -> TlsSpec {
    tls.alpn = protocols.iter().map(|&protocol| protocol.to_owned()).collect();
    tls
}

/// What a client and the listener agree on, of what the client offers.
fn connect(rig: &Rig, visitor: &Visitor, offered: &[&str]) -> (Option<String>, Peer) {
    let mut config: ClientConfig = visitor.config.clone();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let runtime = runtime();
    let stream = runtime.block_on(async {
        let tcp = TcpStream::connect(rig.address).await.unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    });
    let agreed = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
    (agreed, Peer::on(runtime, stream, &Builder::new()))
}

#[test]
fn what_is_agreed_on_is_spoken() {
    let ca = Authority::new("ca");
    let echo = Origin::http(|request| ok(&request.body));
    let shown = tls(&[&ca.server(&["a.example"])]);
    let mut rig = rig(&[&echo], offering(shown, &["h2", "http/1.1"]));
    let visitor = Visitor::new(&ca, None);
    let (agreed, peer) = connect(&rig, &visitor, &["http/1.1", "h2"]);
    assert_eq!(agreed.as_deref(), Some("h2"));
    assert_eq!(peer.get("/").status, 200);
    let content = noise(4 << 20);
    assert!(peer.ask(request("POST", "/"), &content).unwrap().content == content);
    // Who does not know it is served as before.
    let mut client = visitor.connect(&rig, "a.example").unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    // Without the agreement there is no HTTP/2, whatever the client knows.
    let mut client = visitor.connect(&rig, "a.example").unwrap();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().status(), 505);
    // A listener that does not offer it does not speak it; connections that do go on.
    let listener = rig.listener().tls.as_mut().unwrap();
    listener.alpn = vec!["http/1.1".to_owned()];
    rig.reconfigure();
    assert_eq!(peer.get("/").status, 200);
    let mut offers = Visitor::new(&ca, None);
    offers.config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut client = offers.connect(&rig, "a.example").unwrap();
    assert_eq!(client.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
}

/// Also what is sealed already, and waits for the client to read, whatever other streams wait for.
#[test]
fn a_client_that_says_no_more_gets_all_that_is_sealed() {
    let ca = Authority::new("ca");
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::http(move |request| {
        let path = request.head.split(' ').nth(1).unwrap();
        if path == "/slow" {
            wait.lock().unwrap().recv().unwrap();
        }
        ok(vec![b'x'; path[1..].parse().unwrap_or_default()])
    });
    let rig = rig(&[&origin], offering(tls(&[&ca.server(&["a.example"])]), &["h2"]));
    let mut visitor = Visitor::new(&ca, None);
    visitor.config.alpn_protocols = vec![b"h2".to_vec()];
    let get = |path: &str| [b"\x82\x87\x41\x01a\x04", &[path.len() as u8][..], path.as_bytes()].concat();
    // Where the sockets are full is not known; it is in a record of one of them.
    for nth in 1..=60 {
        let size = nth as usize * 100_000;
        let mut client = visitor.connect(&rig, "a.example").unwrap();
        let large = get(&format!("/{size}"));
        client.send(
            [
                &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
                &raw::settings(&[(4, 1 << 30)]),
                &raw::frame(raw::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()),
                &raw::frame(HEADERS, BOTH, 1, &large),
                &raw::frame(HEADERS, BOTH, 3, &get("/slow")),
            ]
            .concat(),
        );
        until("all are asked for", || rig.member_state(0).requests() == 2 * nth);
        client.end();
        assert_eq!(raw::content(&mut client, 1).len(), size);
        go.send(()).unwrap();
        assert_eq!(raw::content(&mut client, 3), b"");
    }
}

#[test]
fn requests_learn_of_the_connection() {
    let (ca, theirs) = (Authority::new("ca"), Authority::new("theirs"));
    let origin = Origin::http(|request| ok(&request.head));
    let mut shown = offering(tls(&[&ca.server(&["a.example"])]), &["h2"]);
    shown.client_authentication = ClientAuthentication::Optional;
    identity(&mut shown).client_authorities = vec![octavia_wire::Der(theirs.der().to_vec())];
    let mut rig = rig(&[&origin], shown);
    rig.listener().insert_headers =
        vec![InsertHeader::XForwardedProto, InsertHeader::XSslClientHasCert, InsertHeader::XSslClientCn];
    rig.reconfigure();
    let own = theirs.client("somebody", 7);
    for (own, has, name) in [(Some(&own), 1, "\"somebody\""), (None, 0, "\"\"")] {
        let (_, peer) = connect(&rig, &Visitor::new(&ca, own), &["h2"]);
        for _ in 0..2 {
            let head = peer.get("/").text().to_owned();
            for line in [
                "X-Forwarded-Proto: https".to_owned(),
                format!("X-SSL-Client-Has-Cert: {has}"),
                format!("X-SSL-Client-CN: {name}"),
            ] {
                assert!(head.to_ascii_lowercase().contains(&line.to_ascii_lowercase()), "{line} in {head}");
            }
        }
    }
}
