//! Monitors: each kind sees a member live, die and come back, in time, and traffic follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use octavia_model::HealthMonitorType;
use octavia_wire::{AmphoraSpec, Heartbeat, MemberWord, PoolWord};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::amphora::Amphora;
use crate::member::{Member, get};
use crate::spec::{member, monitor};

fn word(beat: &Heartbeat, spec: &AmphoraSpec, place: usize) -> Option<MemberWord> {
    let pool = beat.pools.values().next()?;
    pool.members.get(&spec.pools[0].members[place].id).copied()
}

#[test]
fn a_killed_member_is_down_in_time_and_up_again() {
    for kind in [HealthMonitorType::Http, HealthMonitorType::Tcp] {
        let amphora = Amphora::start();
        let (one, two) = (Member::start(amphora.ip, "one"), Member::start(amphora.ip, "two"));
        let mut spec = amphora.spec(amphora.free_port(), &[one.address, two.address]);
        spec.pools[0].monitor = Some(monitor(kind));
        amphora.push(&spec).unwrap();
        let vip = (amphora.ip, spec.listeners[0].port).into();
        let is = |beat: &Heartbeat, place, expected| word(beat, &spec, place) == Some(expected);
        amphora.heartbeat("both are up", |beat| is(beat, 0, MemberWord::Up) && is(beat, 1, MemberWord::Up));

        let address = two.address;
        drop(two);
        let killed = Instant::now();
        amphora.forget_heartbeats();
        let beat = amphora.heartbeat("it is down", |beat| is(beat, 1, MemberWord::Down));
        // delay × fall + timeout + 1 s; a refused connection needs no timeout.
        let bound = Duration::from_secs(2 + 1 + 1);
        assert!(killed.elapsed() < bound, "{kind}: {:?}", killed.elapsed());
        assert_eq!(beat.pools.values().next().unwrap().status, PoolWord::Up);
        for _ in 0..10 {
            assert_eq!(get(vip).unwrap(), "one");
        }
        let two = Member::start_at(address, "two");
        amphora.heartbeat("it is up again", |beat| is(beat, 1, MemberWord::Up));
        let seen: Vec<_> = (0..4).map(|_| get(vip).unwrap()).collect();
        assert!(seen.contains(&"two".to_owned()), "{seen:?}");

        drop((one, two));
        amphora.heartbeat("the pool is down", |beat| {
            beat.pools.values().next().is_some_and(|pool| pool.status == PoolWord::Down)
        });
        assert!(get(vip).unwrap_err().starts_with("HTTP/1.1 503"));
    }
}

#[test]
fn what_an_http_monitor_expects() {
    let amphora = Amphora::start();
    let one = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[one.address]);
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Http));
    amphora.push(&spec).unwrap();
    amphora.heartbeat("up", |beat| word(beat, &spec, 0) == Some(MemberWord::Up));
    one.answer_with(503);
    amphora.heartbeat("down", |beat| word(beat, &spec, 0) == Some(MemberWord::Down));
    // A new monitor that expects it: the first check decides.
    let mut lenient = AmphoraSpec { generation: 2, ..spec.clone() };
    let check = lenient.pools[0].monitor.as_mut().unwrap().http.as_mut().unwrap();
    check.expected = vec![(200, 200), (500, 503)];
    amphora.push(&lenient).unwrap();
    amphora.heartbeat("up again", |beat| word(beat, &spec, 0) == Some(MemberWord::Up));
}

#[test]
fn tls_monitors_speak_tls_and_verify_nobody() {
    let amphora = Amphora::start();
    let pem = amphora.authority.issue("whoever.example");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let secure = Member::start_tls(amphora.ip, "secure", Arc::new(tls));
    let plain = Member::start(amphora.ip, "plain");
    for (generation, kind) in [(1, HealthMonitorType::Https), (2, HealthMonitorType::TlsHello)] {
        let mut spec = amphora.spec(amphora.free_port(), &[secure.address, plain.address]);
        spec.generation = generation;
        spec.pools[0].monitor = Some(monitor(kind));
        amphora.push(&spec).unwrap();
        amphora.heartbeat("one is up, the other is not", |beat| {
            (word(beat, &spec, 0), word(beat, &spec, 1)) == (Some(MemberWord::Up), Some(MemberWord::Down))
        });
    }
}

#[test]
fn a_ping_monitor_checks_or_says_that_it_may_not() {
    let amphora = Amphora::start();
    let one = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[one.address]);
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Ping));
    amphora.push(&spec).unwrap();
    let beat = amphora.heartbeat("the member is told", |beat| word(beat, &spec, 0).is_some());
    let word = word(&beat, &spec, 0).unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(word, MemberWord::Up);
    } else {
        assert!(matches!(word, MemberWord::Up | MemberWord::NoCheck), "{word:?}");
    }
    assert_eq!(get((amphora.ip, spec.listeners[0].port).into()).unwrap(), "one");
}

#[test]
fn words_for_members_that_are_not_simply_up() {
    let amphora = Amphora::start();
    let one = Member::start(amphora.ip, "one");
    let mut spec = amphora.spec(amphora.free_port(), &[one.address; 3]);
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Tcp));
    spec.pools[0].members[1].weight = 0;
    spec.pools[0].members[2].enabled = false;
    // A member whose checks go elsewhere, where nobody is.
    let mut elsewhere = member(one.address);
    elsewhere.monitor_port = Some(amphora.free_port());
    spec.pools[0].members.push(elsewhere);
    amphora.push(&spec).unwrap();
    let expected = [MemberWord::Up, MemberWord::Drain, MemberWord::Maintenance, MemberWord::Down];
    amphora.heartbeat("each has its word", |beat| {
        (0..4).all(|place| word(beat, &spec, place) == Some(expected[place]))
    });
    // What a member was outlives a configuration that leaves it alone.
    let mut next = AmphoraSpec { generation: 2, ..spec.clone() };
    next.pools[0].members[0].weight = 7;
    amphora.push(&next).unwrap();
    amphora.forget_heartbeats();
    let beat = amphora.heartbeat("the new generation is told", |beat| beat.generation == Some(2));
    assert!((0..4).all(|place| word(&beat, &spec, place) == Some(expected[place])), "{:?}", beat.pools);
    // Without a monitor nobody is checked.
    next.generation = 3;
    next.pools[0].monitor = None;
    amphora.push(&next).unwrap();
    let expected = [MemberWord::NoCheck, MemberWord::NoCheck, MemberWord::Maintenance, MemberWord::NoCheck];
    amphora.heartbeat("nobody is checked", |beat| {
        (0..4).all(|place| word(beat, &spec, place) == Some(expected[place]))
    });
}
