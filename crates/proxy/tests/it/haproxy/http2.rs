//! One that speaks HTTP/2 as a member.

use octavia_model::{ListenerProtocol, PoolProtocol};

use super::HaProxy;
use crate::rig::{Rig, member, until};
use crate::tls::pki::member_tls;

#[test]
fn it_may_be_a_member_that_speaks_http_2() {
    let own = rcgen::generate_simple_self_signed(vec!["m.example".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("own.pem");
    std::fs::write(&pem, own.cert.pem() + &own.signing_key.serialize_pem()).unwrap();
    let bind = format!("ssl crt {} alpn h2", pem.display());
    let says = "    http-request return status 200 content-type text/plain lf-string \"%[req.ver] %[method] %[path]\"\n";
    let Some(haproxy) = HaProxy::start_with(&bind, says) else { return };
    let rig = Rig::start(ListenerProtocol::Http, &[], |spec| {
        let mut tls = member_tls(None);
        tls.alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
        spec.pools[0].tls = Some(tls);
        spec.pools[0].protocol = PoolProtocol::Http;
        spec.pools[0].members.push(member(haproxy.address));
    });
    let mut client = rig.client();
    for nth in 0..300 {
        client.send(format!("GET /{nth} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.answer().text(), format!("2.0 GET /{nth}"));
    }
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().unwrap().contains("content-length: 14"));
    client.send("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.answer().text(), "2.0 POST /small");
    // It answers before the request is whole.
    client.send("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(client.answer().text(), "2.0 POST /large");
    drop(client);
    until("the streams are over", || rig.member_state(0).active() == 0);
    let state = rig.member_state(0);
    assert_eq!((state.total_connections(), state.errors()), (1, 0), "they share a connection");
}
