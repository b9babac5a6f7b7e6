//! What `kill -9` does, and what it does not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use octavia_wire::{AmphoraSpec, ProcessId, files};

use crate::amphora::{Amphora, eventually};
use crate::member::{Member, get};

#[test]
fn a_killed_proxy_is_replaced_and_waiting_connections_are_served() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let vip = (amphora.ip, spec.listeners[0].port).into();
    let (stop, refused, good) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    match get(vip) {
                        Ok(_) => good.fetch_add(1, SeqCst),
                        // A connection that the killed proxy had accepted is cut; none is ever refused.
                        Err(error) if error.contains("refused") => refused.fetch_add(1, SeqCst),
                        Err(_) => 0,
                    };
                }
            });
        }
        let mut boots = vec![amphora.info().boot];
        for _ in 0..3 {
            let before = good.load(SeqCst);
            eventually("traffic flows", || (good.load(SeqCst) > before + 20).then_some(()));
            amphora.kill_proxy();
            let boot = eventually("another proxy runs the spec", || {
                let info = amphora.info();
                (info.generation == 1 && !boots.contains(&info.boot)).then_some(info.boot)
            });
            boots.push(boot);
        }
        let before = good.load(SeqCst);
        eventually("traffic flows again", || (good.load(SeqCst) > before + 20).then_some(()));
        stop.store(true, SeqCst);
    });
    assert_eq!(refused.load(SeqCst), 0);
}

#[test]
fn connections_wait_while_no_proxy_can_start() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    // A directory in the way of the pid file: proxies die young.
    let pid = amphora.proxy().unwrap();
    let in_the_way = amphora.file("proxy.pid.new");
    std::fs::create_dir(&in_the_way).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid.pid.try_into().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    amphora.forget_heartbeats();
    let beat = amphora.heartbeat("no listener is told without a proxy", |beat| beat.listeners.is_empty());
    assert_eq!((beat.boot, beat.generation), (None, None));
    let waiting = std::thread::spawn({
        let vip = (amphora.ip, spec.listeners[0].port).into();
        move || get(vip)
    });
    let fault = amphora.push(&AmphoraSpec { generation: 2, ..spec }).unwrap_err();
    assert_eq!(fault.http_code, 503, "{}", fault.error);
    assert!(fault.error.contains("stored, but not in force"), "{}", fault.error);
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), "one");
    eventually("the stored spec comes into force by itself", || {
        (amphora.info().generation == 2).then_some(())
    });
}

#[test]
fn a_killed_agent_does_not_stop_traffic_and_the_next_adopts_the_proxy() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let vip = (amphora.ip, spec.listeners[0].port).into();
    let (before, proxy) = (amphora.info(), amphora.proxy().unwrap());
    let (stop, bad) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    if let Err(error) = get(vip) {
                        eprintln!("{error}");
                        bad.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        for _ in 0..3 {
            amphora.kill_agent();
            let until = Instant::now() + Duration::from_millis(200);
            while Instant::now() < until {
                get(vip).unwrap();
            }
            amphora.start_agent();
            let after = eventually("the spec is in force", || {
                let info = amphora.info();
                (info.generation == 1).then_some(info)
            });
            assert_eq!(after.boot, before.boot);
            assert_eq!(amphora.proxy().unwrap(), proxy);
        }
        stop.store(true, SeqCst);
    });
    assert_eq!(bad.load(SeqCst), 0);
    let beat = amphora.heartbeat("a beat", |_| true);
    assert_eq!(beat.boot, before.boot);
    // Heartbeats are numbered from well beyond what the agent before can have sent: none of them passes for a new one.
    for _ in 0..2 {
        let before = amphora.heartbeat("a beat", |_| true).seq;
        amphora.kill_agent();
        amphora.forget_heartbeats();
        amphora.start_agent();
        let after = amphora.heartbeat("a beat after a restart", |_| true).seq;
        assert!(before > octavia_model::SEQ_FOR_LIFE && after > before + 1000, "{before} {after}");
    }
    // The sockets came back with it: a killed proxy is replaced as before.
    amphora.kill_proxy();
    assert_eq!(get(vip).unwrap(), "one");
    amphora.push(&AmphoraSpec { generation: 2, ..spec }).unwrap();
    assert_ne!(amphora.info().boot, before.boot);
}

#[test]
fn a_stopped_agent_goes_on_where_it_was() {
    use rustix::process::Signal;

    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let vip = (amphora.ip, spec.listeners[0].port).into();
    let boot = amphora.info().boot;
    for _ in 0..3 {
        crate::amphora::signal(amphora.agent_pid(), Signal::STOP);
        for _ in 0..50 {
            assert_eq!(get(vip).unwrap(), "one");
        }
        // A connection it cannot answer waits.
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| amphora.info());
            assert_eq!(get(vip).unwrap(), "one");
            crate::amphora::signal(amphora.agent_pid(), Signal::CONT);
            assert_eq!(asked.join().unwrap().boot, boot);
        });
    }
    // Its proxy dies unseen.
    crate::amphora::signal(amphora.agent_pid(), Signal::STOP);
    amphora.kill_proxy();
    crate::amphora::signal(amphora.agent_pid(), Signal::CONT);
    assert_eq!(get(vip).unwrap(), "one");
    eventually("another proxy runs", || Some(amphora.info()).filter(|info| info.generation == 1));
}

#[test]
fn both_killed_the_spec_on_disk_is_enough() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let vip = (amphora.ip, spec.listeners[0].port).into();
    amphora.kill_agent();
    amphora.kill_proxy();
    eventually("nobody listens", || get(vip).err().filter(|error| error.contains("refused")));
    amphora.start_agent();
    assert_eq!(eventually("it serves", || get(vip).ok()), "one");
    assert_eq!(amphora.push(&spec).unwrap().generation, 1);
}

#[test]
fn changes_reach_a_proxy_that_missed_them() {
    let mut amphora = Amphora::start();
    let (one, two) = (Member::start(amphora.ip, "one"), Member::start(amphora.ip, "two"));
    let spec = amphora.spec(amphora.free_port(), &[one.address]);
    amphora.push(&spec).unwrap();
    let boot = amphora.info().boot;
    amphora.kill_agent();
    // As if the agent had been killed between storing and applying.
    let mut newer = AmphoraSpec { generation: 2, ..spec.clone() };
    newer.pools[0].members[0].port = two.address.port();
    std::fs::write(amphora.file(files::SPEC), serde_json::to_vec(&newer).unwrap()).unwrap();
    amphora.start_agent();
    let info =
        eventually("the newer spec is in force", || Some(amphora.info()).filter(|info| info.generation == 2));
    assert_eq!(info.boot, boot);
    assert_eq!(get((amphora.ip, spec.listeners[0].port).into()).unwrap(), "two");
    // And a disk that went back in time does not take the proxy with it.
    amphora.kill_agent();
    std::fs::write(amphora.file(files::SPEC), serde_json::to_vec(&spec).unwrap()).unwrap();
    amphora.start_agent();
    eventually("the proxy is found", || Some(amphora.info()).filter(|info| info.generation == 2));
    assert_eq!(get((amphora.ip, spec.listeners[0].port).into()).unwrap(), "two");
    assert_eq!(amphora.push(&spec).unwrap_err().http_code, 409);
    assert_eq!(amphora.push(&newer).unwrap().generation, 2);
}

#[test]
fn sigterm_ends_both_and_leaves_nothing() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let (agent, proxy) = (amphora.agent_pid(), amphora.proxy().unwrap());
    assert_eq!(ProcessId::read(&amphora.file(files::AGENT_PID)).unwrap().unwrap().pid, agent);
    assert!(amphora.stop_agent().success());
    assert!(!proxy.is_alive().unwrap());
    for file in [files::AGENT_PID, files::PROXY_PID, files::PROXY_SOCKET] {
        assert!(!amphora.file(file).exists(), "{file}");
    }
    assert!(get((amphora.ip, spec.listeners[0].port).into()).unwrap_err().contains("refused"));
    // It may come back.
    amphora.start_agent();
    assert_eq!(
        eventually("it serves again", || get((amphora.ip, spec.listeners[0].port).into()).ok()),
        "one"
    );
}

#[test]
fn a_second_agent_gives_up() {
    let amphora = Amphora::start();
    let mut second = crate::role::start_agent(amphora.dir(), (amphora.ip, 9444).into(), true, None, None);
    assert!(!second.wait().unwrap().success());
    assert_eq!(amphora.info().amphora_id, amphora.id);
    let log = std::fs::read_to_string(amphora.file("agent.log")).unwrap();
    assert!(log.contains("Locked"), "{log}");
}

#[test]
fn whatever_is_killed_whenever_the_last_push_is_what_serves() {
    let mut amphora = Amphora::start();
    let members: Vec<_> = (0..3).map(|n| Member::start(amphora.ip, &format!("member {n}"))).collect();
    let mut spec = amphora.spec(amphora.free_port(), &[members[0].address]);
    let vip = (amphora.ip, spec.listeners[0].port).into();
    let mut random: u32 = 12_345;
    for round in 0..25 {
        // The multiplier of Numerical Recipes: the same chaos each time.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let dice = random >> 24;
        spec.generation += 1;
        let member = &members[usize::try_from(dice % 3).unwrap()];
        spec.pools[0].members[0].port = member.address.port();
        let push =
            || amphora.try_request("PUT", octavia_wire::paths::SPEC, &serde_json::to_vec(&spec).unwrap());
        std::thread::scope(|scope| {
            let pushing = scope.spawn(push);
            std::thread::sleep(Duration::from_micros(u64::from(dice) * 40));
            if dice & 1 != 0 {
                amphora.kill_proxy_if_any();
            }
            // Its answer may be lost with the agent.
            if dice & 2 != 0 {
                crate::amphora::signal(amphora.agent_pid(), rustix::process::Signal::KILL);
            }
            let _ = pushing.join().unwrap();
        });
        if dice & 2 != 0 {
            amphora.kill_agent();
            if dice & 4 != 0 {
                amphora.kill_proxy_if_any();
            }
            amphora.start_agent();
        }
        let outcome = eventually("the push is taken", || amphora.push(&spec).ok());
        assert_eq!((outcome.generation, &outcome.faults[..]), (spec.generation, &[][..]), "round {round}");
        let seen = eventually("it serves", || get(vip).ok());
        assert_eq!(seen, format!("member {}", dice % 3), "round {round}");
    }
}
