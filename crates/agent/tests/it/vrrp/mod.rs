//! Routers of VRRP on networks of their own: ours with keepalived, in both roles, and ours with ours.

mod client;
mod keepalived;
mod net;
mod ours;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use octavia_agent::vrrp::State;
use octavia_wire::{VrrpPassword, VrrpSpec, VrrpVersion};

use self::client::Client;
use self::keepalived::Keepalived;
use self::net::{Host, Net};
use self::ours::Ours;
use crate::amphora::eventually;

/// One of two routers, of version 3.
fn spec(host: &Host, peer: &Host, vip: IpAddr, priority: u8) -> VrrpSpec {
    VrrpSpec {
        interface: host.mac(),
        version: VrrpVersion::V3,
        router_id: 1,
        priority,
        advert_interval_ms: 300,
        preempt: false,
        source: host.address(vip),
        peers: vec![peer.address(vip)],
        password: None,
        vips: vec![vip],
        announce_refresh_s: 5,
        announce_refresh_count: 2,
        sharing: None,
    }
}

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 100));

fn v6() -> IpAddr {
    "fd09::100".parse().unwrap()
}

/// That something stays as it is while advertisements come and go.
#[track_caller]
fn stays(what: &str, spec: &VrrpSpec, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + 6 * Duration::from_millis(spec.advert_interval_ms.into());
    while Instant::now() < end {
        assert!(is(), "it did not stay so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One story for every kind of virtual router.
fn with_keepalived(vip: IpAddr, change: impl Fn(&mut VrrpSpec)) {
    let Some(net) = Net::new() else { return };
    if !keepalived::is_there() {
        eprintln!("skipped: keepalived is not installed");
        return;
    }
    let (here, there) = (net.host("ours"), net.host("theirs"));
    let client = Client::start(&net, &[&here, &there], vip);
    let spec_of = |priority| {
        let mut spec = spec(&here, &there, vip, priority);
        change(&mut spec);
        spec
    };
    let (low, high) = (spec_of(90), spec_of(254));
    let interval = Duration::from_millis(low.advert_interval_ms.into());

    // The one that is there first is master; of higher priority, too.
    let theirs = Keepalived::start(&there, &here, &low, 100);
    theirs.logs("Entering MASTER STATE");
    let mut ours = Ours::start(&here, &low);
    ours.hears(100);
    client.is_answered_by(&there);
    stays("a backup", &low, || ours.state() == Some(State::Backup) && !here.has(vip));

    // It dies with its machine.
    theirs.kill();
    net.unplug(&there);
    let killed = Instant::now();
    ours.is(State::Master);
    eprintln!("after keepalived was killed, ours was master in {:?}", killed.elapsed());
    assert!(killed.elapsed() < 4 * interval + Duration::from_secs(5));
    client.is_answered_by(&here);

    // It comes back, of higher priority, and takes nothing.
    net.plug(&there);
    let theirs = Keepalived::start(&there, &here, &low, 100);
    theirs.logs("Entering BACKUP STATE");
    stays("master", &low, || ours.state() == Some(State::Master) && !there.has(vip));
    client.is_answered_by(&here);

    // It is handed over.
    let left = Instant::now();
    ours.say("leave");
    theirs.logs("Backup received priority 0 advertisement");
    theirs.logs("Entering MASTER STATE");
    eprintln!("after ours left, keepalived was master in {:?}", left.elapsed());
    ours.ends();
    assert!(!here.has(vip));
    client.is_answered_by(&there);

    // It comes back, of higher priority, and takes nothing.
    let ours = Ours::start(&here, &high);
    ours.hears(100);
    stays("a backup", &high, || ours.state() == Some(State::Backup) && there.has(vip));

    // Keepalived leaves.
    theirs.stop();
    ours.hears(0);
    ours.is(State::Master);
    client.is_answered_by(&here);

    // It dies with its machine.
    let theirs = Keepalived::start(&there, &here, &low, 100);
    theirs.logs("Entering BACKUP STATE");
    stays("master", &high, || ours.state() == Some(State::Master));
    ours.kill();
    net.unplug(&here);
    theirs.logs("Entering MASTER STATE");
    client.is_answered_by(&there);

    // Somebody who has another password, or is of another router, is not heard.
    net.plug(&here);
    let mut stranger = high.clone();
    match &mut stranger.password {
        Some(password) => *password = VrrpPassword::new("another".to_owned()),
        None => stranger.router_id = 2,
    }
    let ours = Ours::start(&here, &stranger);
    ours.is(State::Master);
}

#[test]
fn of_version_3_with_keepalived() {
    with_keepalived(V4, |_| ());
}

#[test]
fn of_version_3_over_ipv6_with_keepalived() {
    with_keepalived(v6(), |_| ());
}

#[test]
fn of_version_2_with_keepalived() {
    with_keepalived(V4, |spec| {
        spec.version = VrrpVersion::V2;
        spec.advert_interval_ms = 1_000;
        spec.password = Some(VrrpPassword::new("0a1b2c3".to_owned()));
    });
}

#[test]
fn ours_with_ours() {
    let Some(net) = Net::new() else { return };
    let hosts = [net.host("a"), net.host("b")];
    let specs = [spec(&hosts[0], &hosts[1], V4, 100), spec(&hosts[1], &hosts[0], V4, 90)];
    let client = Client::start(&net, &[&hosts[0], &hosts[1]], V4);
    let mut first = Ours::start(&hosts[0], &specs[0]);
    first.is(State::Master);
    let mut second = Ours::start(&hosts[1], &specs[1]);
    second.hears(100);
    first.say("sick");
    second.hears(0);
    second.is(State::Master);
    first.is(State::Fault);
    assert!(!hosts[0].has(V4));
    client.is_answered_by(&hosts[1]);
    first.say("well");
    first.is(State::Backup);
    first.hears(90);
    stays("a backup", &specs[0], || first.state() == Some(State::Backup));

    // One more VIP, of the other family: who is master stays it.
    let mut more = specs[1].clone();
    more.vips.push(v6());
    second.say(&format!("update {}", serde_json::to_string(&more).unwrap()));
    eventually("the other VIP is on", || hosts[1].has(v6()).then_some(()));
    assert!(second.state() == Some(State::Master) && hosts[1].has(V4));

    // It is cut off, notices it, and asks for nothing when it is back.
    net.unplug(&hosts[1]);
    first.is(State::Master);
    second.is(State::Fault);
    assert!(!hosts[1].has(V4) && !hosts[1].has(v6()));
    net.plug(&hosts[1]);
    second.is(State::Backup);
    second.hears(100);
    stays("master", &specs[0], || first.state() == Some(State::Master));
    first.say("leave");
    second.is(State::Master);
    first.ends();
    let first = Ours::start(&hosts[0], &specs[0]);
    first.hears(90);

    // Both have it for a moment, so that nobody is without an answer.
    second.say("leave");
    first.is(State::Master);
    second.ends();
    client.is_answered_by(&hosts[0]);
    assert!(!hosts[1].has(V4) && !hosts[1].has(v6()));
}

#[test]
fn a_master_stays_it_while_addresses_take_their_time_and_over_a_renewal() {
    let Some(net) = Net::new() else { return };
    let hosts = [net.host("one"), net.host("two")];
    let specs = [spec(&hosts[0], &hosts[1], V4, 100), spec(&hosts[1], &hosts[0], V4, 90)];
    let client = Client::start(&net, &[&hosts[0], &hosts[1]], V4);
    let first = Ours::start_slow(&hosts[0], &specs[0], Duration::from_secs(8));
    first.is(State::Master);
    let second = Ours::start(&hosts[1], &specs[1]);
    second.hears(100);
    stays("a backup", &specs[1], || second.state() == Some(State::Backup));
    assert!(!hosts[0].has(V4), "it was not slow");
    client.is_answered_by(&hosts[0]);
    first.kill();
    let first = Ours::start_renewed(&hosts[0], &specs[0]);
    first.is(State::Master);
    stays("a backup", &specs[1], || second.state() == Some(State::Backup) && hosts[0].has(V4));
    client.is_answered_by(&hosts[0]);
}

/// The times are printed; how long they may be is not for a test on a busy machine.
fn kills(vip: IpAddr, count: usize) {
    let Some(net) = Net::new() else { return };
    let hosts = [net.host("a"), net.host("b")];
    let interval_ms = VrrpSpec::ADVERT_INTERVAL_MS;
    let of = |own: usize, priority| {
        let spec = spec(&hosts[own], &hosts[1 - own], vip, priority);
        VrrpSpec { advert_interval_ms: interval_ms, ..spec }
    };
    let specs = [of(0, 100), of(1, 90)];
    let client = Client::start(&net, &[&hosts[0], &hosts[1]], vip);
    let mut master = 0;
    let mut routers = [0, 1].map(|own| {
        let ours = Ours::start(&hosts[own], &specs[own]);
        ours.is(if own == 0 { State::Master } else { State::Backup });
        Some(ours)
    });
    let mut gaps = vec![];
    for _ in 0..count {
        let other = 1 - master;
        routers[other].as_ref().unwrap().hears(specs[master].priority);
        client.is_answered_by(&hosts[master]);
        routers[master].take().unwrap().kill();
        net.unplug(&hosts[master]);
        routers[other].as_ref().unwrap().is(State::Master);
        gaps.push(client.gap(&hosts[master], &hosts[other]));
        net.plug(&hosts[master]);
        let back = Ours::start(&hosts[master], &specs[master]);
        back.is(State::Backup);
        assert!(routers[other].as_ref().unwrap().state() == Some(State::Master));
        routers[master] = Some(back);
        master = other;
    }
    gaps.sort();
    let (least, median, most) = (gaps[0], gaps[count / 2], gaps[count - 1]);
    eprintln!(
        "{vip}: {count} masters killed, without an answer for {least:?} to {most:?}, median {median:?}"
    );
    assert!(most < Duration::from_secs(10));
}

#[test]
fn twenty_masters_killed() {
    kills(V4, 20);
}

#[test]
fn five_masters_killed_over_ipv6() {
    kills(v6(), 5);
}
