//! Connections passed on byte for byte.

use crate::rig::{Origin, Rig, noise, until};

#[test]
fn bytes_go_both_ways() {
    for size in [1, 1000, 100_000, 10 << 20] {
        let origin = Origin::start(|mut client| {
            let mut sender = client.try_clone();
            loop {
                let bytes = client.take_some();
                if bytes.is_empty() {
                    return sender.end();
                }
                sender.send(bytes);
            }
        });
        let rig = Rig::tcp(&[&origin]);
        let mut client = rig.client();
        let bytes = noise(size);
        let (mut sender, sent) = (client.try_clone(), bytes.clone());
        let writer = std::thread::spawn(move || {
            sender.send(sent);
            sender.end();
        });
        assert!(client.take_all() == bytes, "{size} bytes");
        writer.join().unwrap();
        until("all is counted", || {
            let stats = rig.stats();
            (stats.rx, stats.tx, stats.conns, stats.totconns) == (size as u64, size as u64, 0, 1)
        });
        assert_eq!(rig.member_state(0).active(), 0);
    }
}

#[test]
fn a_half_closed_connection_goes_on_in_the_other_direction() {
    let origin = Origin::start(|mut client| {
        let question = client.take_all();
        client.send(format!("{} bytes", question.len()));
    });
    let rig = Rig::tcp(&[&origin]);
    let mut client = rig.client();
    client.send(noise(70_000));
    client.end();
    assert_eq!(client.take_all(), b"70000 bytes");
}

#[test]
fn the_member_may_speak_first() {
    let origin = Origin::start(|mut client| {
        client.send("220 ready\r\n");
        assert_eq!(client.take(4), b"QUIT");
        client.send("221 bye\r\n");
    });
    let rig = Rig::tcp(&[&origin]);
    let mut client = rig.client();
    assert_eq!(client.take(11), b"220 ready\r\n");
    client.send("QUIT");
    assert_eq!(client.take_all(), b"221 bye\r\n");
}

#[test]
fn a_dead_member_is_passed_over() {
    let (dead, origin) = (Origin::dead(), Origin::start(|mut client| client.send("here")));
    let rig = Rig::tcp(&[&dead, &origin]);
    for _ in 0..10 {
        assert_eq!(rig.client().take_all(), b"here");
    }
    assert_eq!(rig.member_state(0).errors(), 5);
    assert_eq!(rig.member_state(1).requests(), 10);
}

#[test]
fn a_client_that_breaks_off_frees_the_member() {
    let origin = Origin::start(|mut client| drop(client.take_all()));
    let rig = Rig::tcp(&[&origin]);
    let mut client = rig.client();
    client.send("x");
    until("the member serves", || rig.member_state(0).active() == 1);
    client.reset();
    until("the member is free", || rig.member_state(0).active() == 0);
}

#[test]
fn without_a_member_the_connection_ends() {
    let rig = Rig::tcp(&[]);
    let mut client = rig.client();
    assert!(client.take_all().is_empty());
}
