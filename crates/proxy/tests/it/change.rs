//! Configurations that change under traffic, and engines that go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use octavia_proxy::Engine;

use crate::rig::{Client, Origin, Rig, member, until};

/// Asks again and again, over one connection or over one each; counts answers, panics at anything but 200.
fn load(address: SocketAddr, keep_alive: bool, stop: Arc<AtomicBool>, answers: Arc<AtomicUsize>) {
    let mut client = Client::connect(address);
    while !stop.load(SeqCst) {
        if keep_alive {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        } else {
            client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
        assert_eq!(client.answer().status(), 200);
        answers.fetch_add(1, SeqCst);
    }
}

#[test]
fn two_hundred_changes_lose_no_request() {
    let origins: Vec<_> = (0..4).map(|n| Origin::says(&n.to_string())).collect();
    let mut rig = Rig::http(&[&origins[0], &origins[1]]);
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = [true, true, false, false]
        .into_iter()
        .map(|keep_alive| {
            let (address, stop, answers) = (rig.address, Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || load(address, keep_alive, stop, answers))
        })
        .collect();
    for change in 0..200_usize {
        match change % 4 {
            0 => rig.members().push(member(origins[change / 4 % 4].address)),
            1 => rig.members()[0].weight = (change % 7) as u16 + 1,
            2 => drop(rig.members().remove(0)),
            _ => rig.members()[1].enabled = !rig.members()[1].enabled,
        }
        if rig.members().iter().all(|m| !m.enabled) {
            rig.members()[0].enabled = true;
        }
        rig.reconfigure();
        // Each configuration sees some traffic.
        let seen = answers.load(SeqCst);
        until("traffic goes on", || answers.load(SeqCst) > seen || clients.iter().any(|c| c.is_finished()));
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.join().expect("no request failed");
    }
    assert_eq!(rig.stats().ereq, 0);
}

#[test]
fn a_member_that_goes_is_drained() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let going = Origin::start(move |mut client| {
        while let Some(request) = client.message(true) {
            if request.head.starts_with("GET /slow") {
                released.lock().unwrap().recv().unwrap();
            }
            client.send(crate::rig::ok("going"));
        }
        count.fetch_add(1, SeqCst);
    });
    let staying = Origin::says("staying");
    let mut rig = Rig::http(&[&going]);
    assert_eq!(rig.get("/").text(), "going");
    // One connection idle, one in the middle of a request.
    let mut slow = rig.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it is being served", || rig.member_state(0).active() == 1);
    let state = rig.member_state(0);
    rig.members().clear();
    rig.members().push(member(staying.address));
    rig.reconfigure();
    assert_eq!(rig.get("/").text(), "staying");
    assert_eq!(state.active(), 1);
    release.send(()).unwrap();
    assert_eq!(slow.answer().text(), "going", "what is open is finished");
    until("no connection to it is left", || closed.load(SeqCst) == going.connections());
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(slow.answer().text(), "staying", "and the connection goes on");
}

#[test]
fn counters_survive_changes() {
    let origin = Origin::says("hello");
    let mut rig = Rig::http(&[&origin]);
    for round in 1..=3 {
        rig.get("/");
        rig.reconfigure();
        assert_eq!((rig.stats().totconns, rig.member_state(0).requests()), (round, round));
    }
}

#[test]
fn a_listener_that_goes_finishes_what_is_open() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let origin = Origin::http(move |request| {
        if request.head.starts_with("GET /slow") {
            released.lock().unwrap().recv().unwrap();
        }
        crate::rig::ok("hello")
    });
    let mut rig = Rig::http(&[&origin]);
    let mut idle = rig.client();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    idle.answer();
    let mut slow = rig.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it is being served", || rig.member_state(0).requests() == 2);
    rig.spec.listeners.clear();
    rig.reconfigure();
    assert!(rig.engine.sockets().is_empty());
    idle.expect_end();
    assert!(std::net::TcpStream::connect(rig.address).is_err());
    release.send(()).unwrap();
    let answer = slow.answer();
    assert_eq!((answer.text(), answer.header("connection")), ("hello", Some("close")));
    slow.expect_end();
}

#[test]
fn draining_finishes_what_is_open() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let origin = Origin::http(move |_| {
        released.lock().unwrap().recv().unwrap();
        crate::rig::ok("hello")
    });
    let rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it is being served", || rig.member_state(0).active() == 1);
    assert_eq!(rig.engine.drain(Duration::from_millis(50)), 1);
    release.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.text(), answer.header("connection")), ("hello", Some("close")));
    client.expect_end();
    assert_eq!(rig.engine.drain(Duration::from_secs(5)), 0);
}

/// Another engine takes over the sockets of the first, as after a crash or for a new binary.
#[test]
fn sockets_move_to_another_engine() {
    let origin = Origin::says("hello");
    let rig = Rig::http(&[&origin]);
    let sockets = rig.engine.sockets();
    assert_eq!(sockets.len(), 2);
    let next = Engine::start(1).unwrap();
    let snapshot = Arc::new(octavia_proxy::Snapshot::compile(&rig.spec, next.registry()).unwrap());
    let copies = sockets.iter().map(|(name, fd)| (*name, fd.try_clone().unwrap())).collect();
    assert_eq!(rig.engine.drain(Duration::from_secs(5)), 0);
    // Nobody accepts just now: the connection waits in the queue.
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    next.configure(snapshot, copies, &[]).unwrap();
    drop(sockets);
    let Rig { engine, address, .. } = rig;
    drop(engine);
    assert_eq!(client.answer().text(), "hello");
    for _ in 0..10 {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
    }
}

/// Another process takes new connections; those that are here end when their clients have been told.
#[test]
fn a_process_that_steps_aside_cuts_nobody() {
    let origin = Origin::says("well");
    let rig = Rig::http(&[&origin]);
    let mut idle = rig.client();
    let mut new = rig.client();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.answer().text(), "well");
    new.send("GET / HTT");
    until("both are in", || rig.stats().conns == 2);
    rig.engine.step_aside();
    // Nobody else has a copy of this socket, and here it is closed.
    std::net::TcpStream::connect(rig.address).unwrap_err();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    new.send("P/1.1\r\nHost: a\r\n\r\n");
    for client in [&mut idle, &mut new] {
        let answer = client.answer();
        assert_eq!((answer.text(), answer.header("connection")), ("well", Some("close")));
        client.expect_end();
    }
    drop((idle, new));
    until("they are over", || rig.stats().conns == 0);
}
