//! Who gets in: connection limit and allowed networks.

use octavia_model::ListenerProtocol;

use crate::rig::{Client, Origin, Rig, until};

#[test]
fn at_the_limit_connections_wait() {
    let origin = Origin::says("hello");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].connection_limit = Some(2);
    });
    let ask = |client: &mut Client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
    };
    let full = |rig: &Rig| rig.engine.snapshot().listeners().next().unwrap().is_full();
    let (mut a, mut b) = (rig.client(), rig.client());
    ask(&mut a);
    assert!(!full(&rig));
    ask(&mut b);
    assert!(full(&rig));
    let mut waiting = rig.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ask(&mut a);
    assert_eq!(rig.stats().totconns, 2);
    drop(b);
    assert_eq!(waiting.answer().text(), "hello");
    assert!(full(&rig));
    // A higher limit lets more in at once.
    let mut more = rig.client();
    more.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.listener().connection_limit = Some(3);
    rig.reconfigure();
    assert_eq!(more.answer().text(), "hello");
    drop((a, waiting, more));
    until("all are closed", || rig.stats().conns == 0);
    assert!(!full(&rig));
    for _ in 0..20 {
        ask(&mut rig.client());
    }
}

#[test]
fn only_allowed_networks_get_in() {
    let origin = Origin::says("hello");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].allowed_cidrs =
            vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    });
    let mut client = rig.client();
    client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_end();
    assert_eq!((rig.stats().conns, rig.stats().totconns), (0, 0));
    rig.listener().allowed_cidrs.push("127.0.0.0/8".parse().unwrap());
    rig.reconfigure();
    assert_eq!(rig.get("/").text(), "hello");
}
