//! Ports that cannot be had: told with a reason, everything else is in force, and tried again.

use std::net::{SocketAddr, TcpListener};

use octavia_model::ReasonCode;
use octavia_wire::AmphoraSpec;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::amphora::{Amphora, eventually};
use crate::member::{Member, get};
use crate::spec::listener;

#[test]
fn a_taken_port_is_a_fault_until_it_is_free() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    let stranger = TcpListener::bind((amphora.ip, 0)).unwrap();
    let taken = stranger.local_addr().unwrap();
    spec.listeners.push(listener(taken.port(), spec.pools[0].id));
    let (good, bad) = (spec.listeners[0].clone(), spec.listeners[1].clone());

    let outcome = amphora.push(&spec).unwrap();
    assert_eq!(outcome.faults.len(), 1, "{:?}", outcome.faults);
    let fault = &outcome.faults[0];
    assert_eq!((fault.listener, fault.address, fault.code), (bad.id, amphora.ip, ReasonCode::PortInUse));
    assert_eq!(get(SocketAddr::new(amphora.ip, good.port)).unwrap(), "one");
    assert_eq!(amphora.info().faults, outcome.faults);
    let beat =
        amphora.heartbeat("the fault is told", |beat| beat.generation == Some(1) && !beat.faults.is_empty());
    assert_eq!(beat.faults, outcome.faults);
    assert!(beat.listeners.contains_key(&good.id) && !beat.listeners.contains_key(&bad.id));
    assert_eq!(amphora.push(&spec).unwrap(), outcome, "tried again at once, in vain");

    drop(stranger);
    eventually("tried again by itself", || get(taken).ok());
    let beat = amphora.heartbeat("no fault is told any more", |beat| beat.faults.is_empty());
    assert!(beat.listeners.contains_key(&bad.id));
    assert_eq!(amphora.info().faults, []);
    assert_eq!(amphora.push(&spec).unwrap().faults, []);

    // And gone with its listener.
    let stranger = TcpListener::bind((amphora.ip, 0)).unwrap();
    let mut next = AmphoraSpec { generation: 2, ..spec };
    next.listeners[1].port = stranger.local_addr().unwrap().port();
    assert_eq!(amphora.push(&next).unwrap().faults.len(), 1);
    next.generation = 3;
    next.listeners.truncate(1);
    assert_eq!(amphora.push(&next).unwrap().faults, []);
    assert_eq!(get(SocketAddr::new(amphora.ip, good.port)).unwrap(), "one");
}

#[test]
fn a_port_below_1024_without_privilege_is_a_fault_that_says_what_to_do() {
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if start.trim().parse::<u16>().unwrap() <= 80 {
        // Here everybody may.
        return;
    }
    let mut amphora = Amphora::prepare();
    amphora.start_agent_with(false);
    let member = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    spec.listeners.push(listener(80, spec.pools[0].id));
    let outcome = amphora.push(&spec).unwrap();
    assert_eq!(outcome.faults.len(), 1, "{:?}", outcome.faults);
    let fault = &outcome.faults[0];
    assert_eq!((fault.listener, fault.code), (spec.listeners[1].id, ReasonCode::PortNotPermitted));
    for advice in ["1024", "CAP_NET_BIND_SERVICE", "sysctl net.ipv4.ip_unprivileged_port_start=80"] {
        assert!(fault.advice.contains(advice), "{}", fault.advice);
    }
    assert_eq!(get(SocketAddr::new(amphora.ip, spec.listeners[0].port)).unwrap(), "one");
}

#[test]
fn more_sockets_than_can_be_passed_are_refused_and_nothing_changes() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let good = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&good).unwrap();
    let mut bad = AmphoraSpec { generation: 2, ..good.clone() };
    bad.listeners.extend((1..3_000).map(|n| listener(20_000 + n, good.pools[0].id)));
    bad.listeners[0].port = 1;
    let fault = amphora.push(&bad).unwrap_err();
    assert_eq!(fault.http_code, 400, "{}", fault.error);
    assert!(fault.error.contains("6000 listening sockets"), "{}", fault.error);
    assert_eq!(amphora.info().generation, 1);
    assert_eq!(get(SocketAddr::new(amphora.ip, good.listeners[0].port)).unwrap(), "one");
    assert_eq!(amphora.push(&good).unwrap().generation, 1);
    // Nor as many as would leave the agent no descriptor to be spoken with.
    let pid = Pid::from_raw(amphora.agent_pid().try_into().unwrap());
    let all = getrlimit(Resource::Nofile);
    bad.listeners.truncate(1_000);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(600), ..all }).unwrap();
    let fault = amphora.push(&bad).unwrap_err();
    assert!(fault.error.contains("at most 344"), "{}", fault.error);
    assert_eq!(amphora.info().generation, 1);
    prlimit(pid, Resource::Nofile, Rlimit { current: all.maximum, ..all }).unwrap();
    // A thousand are fine.
    bad.listeners[0].port = good.listeners[0].port;
    assert_eq!(amphora.push(&bad).unwrap().faults, []);
    assert_eq!(get((amphora.ip, 20_999).into()).unwrap(), "one");
}
