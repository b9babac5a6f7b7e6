//! The same headers before what a member gets.

use std::net::SocketAddr;

use octavia_model::{ListenerProtocol, PoolProtocol};

use super::HaProxy;
use crate::rig::{Client, Origin, Rig};

#[test]
fn members_are_told_the_same() {
    // The first bytes of every connection, up to the request.
    let origin = Origin::start(|mut client| {
        let mut bytes = vec![];
        while !bytes.ends_with(b"GET ") {
            bytes.extend(client.take(1));
        }
        let header = bytes[..bytes.len() - 4].escape_ascii().to_string();
        client.message(false);
        client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{header}", header.len()));
        client.take_all();
    });
    for version in [PoolProtocol::Proxy, PoolProtocol::ProxyV2] {
        let rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| spec.pools[0].protocol = version);
        let Some(haproxy) = HaProxy::beside(&rig) else { return };
        let said = |address: SocketAddr| {
            let mut client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let said = client.answer().text().to_owned();
            // What is different in each: the ports.
            let (from, to) = (client.local_address().port(), address.port());
            let binary = |port: u16| port.to_be_bytes().escape_ascii().to_string();
            let said = said.replace(&format!("{from} {to}"), "PORTS");
            said.replace(&format!("{}{}", binary(from), binary(to)), "PORTS")
        };
        let (ours, theirs) = (said(rig.address), said(haproxy.address));
        assert!(ours.contains("PORTS"), "{ours}");
        assert_eq!(ours, theirs);
    }
}
