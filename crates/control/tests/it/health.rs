//! What heartbeats, and their absence, do to rows.

use std::collections::BTreeMap;
use std::time::Duration;

use octavia_control::{HealthManager, HealthMetrics, Stopper};
use octavia_model::{
    Amphora, AmphoraId, ListenerId, LoadBalancerId, OperatingStatus as O, ReasonCode, SEQ_FOR_LIFE,
    VrrpState, WorkerId,
};
use octavia_wire::{Heartbeat, ListenerReport, ListenerStats, ListenerWord};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::rig::{KEY, Rig};

fn beat(amphora: AmphoraId, listener: ListenerId, seq: u64) -> Heartbeat {
    let stats = ListenerStats { rx: 10 * seq, tx: 20 * seq, conns: 1, totconns: seq, ereq: 0 };
    Heartbeat {
        id: amphora,
        seq,
        ver: 2,
        listeners: BTreeMap::from([(listener, ListenerReport { status: ListenerWord::Open, stats })]),
        pools: BTreeMap::new(),
        boot: Some(Uuid::nil()),
        generation: Some(1),
        faults: vec![],
        partial: false,
        vrrp: None,
    }
}

async fn hear(health: &HealthManager, beat: &Heartbeat) {
    health.datagram(&beat.seal(KEY.as_bytes()).unwrap());
    health.flush().await.unwrap();
}

async fn parts_of(rig: &Rig, lb: LoadBalancerId) -> (AmphoraId, ListenerId) {
    let amphora = rig
        .cloud
        .facts()
        .servers
        .iter()
        .find(|(_, s)| s.load_balancer == Some(lb))
        .map(|(id, _)| *id)
        .unwrap();
    (amphora, rig.graph(lb).await.listeners[0].id)
}

async fn is_due(rig: &Rig, lb: LoadBalancerId) -> bool {
    rig.store.work_due(100).await.unwrap().contains(&lb)
}

#[tokio::test]
async fn a_heartbeat_is_a_sign_of_life_with_statuses_and_statistics() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let health = rig.health();
    hear(&health, &beat(amphora, listener, 1)).await;
    let graph = rig.graph(lb).await;
    assert_eq!(graph.load_balancer.statuses.operating, O::Online);
    assert_eq!(graph.listeners[0].statuses.operating, O::Online);
    assert!(rig.store.amphora_fetch(amphora).await.unwrap().unwrap().last_heartbeat_at.is_some());
    assert_eq!(rig.store.listener_stats(listener).await.unwrap().bytes_out, 20);
    assert!(!is_due(&rig, lb).await);

    // statistics are written now and then; duplicates and replays count nothing
    rig.clock.forward(4);
    for seq in [3, 3, 2, 3] {
        hear(&health, &beat(amphora, listener, seq)).await;
    }
    assert_eq!(rig.store.listener_stats(listener).await.unwrap().bytes_out, 60);
}

#[tokio::test]
async fn what_is_not_a_heartbeat_of_ours_changes_nothing() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let health = rig.health();
    let good = beat(amphora, listener, 1);
    let mut altered = good.seal(KEY.as_bytes()).unwrap();
    altered[3] ^= 1;
    for datagram in [vec![], vec![0; 64], vec![b'x'; 65_507], altered, good.seal(b"another key").unwrap()] {
        health.datagram(&datagram);
    }
    hear(&health, &beat(AmphoraId::new_v4(), listener, 1)).await;
    assert_eq!(rig.statuses(lb).await.operating, O::Offline);
    hear(&health, &good).await;
    assert_eq!(rig.statuses(lb).await.operating, O::Online);
}

#[tokio::test]
async fn heartbeats_are_counted_by_what_became_of_them() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let metrics = HealthMetrics::default();
    let health = rig.health_counted(metrics.clone());
    for seq in [1, 2, 2, 1] {
        hear(&health, &beat(amphora, listener, seq)).await;
    }
    hear(&health, &beat(AmphoraId::new_v4(), listener, 1)).await;
    for datagram in [vec![], vec![0; 64], vec![1; 64]] {
        health.datagram(&datagram);
    }
    // Time to be silent in, and nobody else is heard: it is not known who is to blame, but it is shown.
    rig.clock.forward(200);
    health.scan().await.unwrap();
    let (mut registry, mut text) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    for line in [
        "heartbeats_accepted_total 3",
        "heartbeats_refused_total{reason=\"old\"} 2",
        "heartbeats_refused_total{reason=\"unknown_amphora\"} 1",
        "heartbeats_refused_total{reason=\"short\"} 1",
        "heartbeats_refused_total{reason=\"signature\"} 2",
        "amphorae_silent 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn a_restarted_pair_with_an_old_spec_is_looked_at_at_once() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    rig.lb_rename(lb).await;
    rig.reconcile(lb).await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let health = rig.health();
    let current = Heartbeat { generation: Some(2), ..beat(amphora, listener, 1) };
    hear(&health, &current).await;
    assert!(!is_due(&rig, lb).await);
    hear(&health, &beat(amphora, listener, 2)).await;
    assert!(is_due(&rig, lb).await);
}

#[tokio::test]
async fn silence_is_noticed_and_ends() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let health = rig.health();
    hear(&health, &beat(amphora, listener, 1)).await;
    rig.clock.forward(50);
    health.scan().await.unwrap();
    assert_eq!(rig.statuses(lb).await.operating, O::Online);
    rig.clock.forward(20);
    // a health manager that has just started blames nobody
    rig.health().scan().await.unwrap();
    assert_eq!(rig.statuses(lb).await.operating, O::Online);
    health.scan().await.unwrap();
    let statuses = rig.statuses(lb).await;
    assert_eq!((statuses.operating, statuses.reason.unwrap().code), (O::Error, ReasonCode::AmphoraSilent));
    assert!(is_due(&rig, lb).await);
    hear(&health, &beat(amphora, listener, 2)).await;
    let statuses = rig.statuses(lb).await;
    assert_eq!((statuses.operating, statuses.reason), (O::Online, None));
}

/// Whoever recorded heartbeats of an amphora that hangs, and sends them again and again, to whichever controller.
#[tokio::test]
async fn replayed_heartbeats_are_no_sign_of_life() {
    for flushed in [true, false] {
        let rig = Rig::new().await;
        let lb = rig.active().await;
        let (amphora, listener) = parts_of(&rig, lb).await;
        let (first, second, third) = (rig.health(), rig.health(), rig.health());
        let replay = async |health: &HealthManager| {
            for seq in [1, 2, 1, 2] {
                health.datagram(&beat(amphora, listener, SEQ_FOR_LIFE + seq).seal(KEY.as_bytes()).unwrap());
                if flushed {
                    health.flush().await.unwrap();
                }
            }
        };
        // Far enough apart for each to be written.
        for seq in 0..=5 {
            rig.clock.forward(4);
            hear(&first, &beat(amphora, listener, SEQ_FOR_LIFE + seq)).await;
        }
        for _ in 0..7 {
            rig.clock.forward(10);
            replay(&first).await;
            replay(&second).await;
            for health in [&first, &second] {
                health.scan().await.unwrap();
            }
        }
        let statuses = rig.statuses(lb).await;
        assert_eq!(
            (statuses.operating, statuses.reason.unwrap().code),
            (O::Error, ReasonCode::AmphoraSilent)
        );
        assert!(is_due(&rig, lb).await);
        // Nor to one that heard nothing else, and the agent is believed as soon as it is back.
        replay(&third).await;
        third.flush().await.unwrap();
        assert_eq!(rig.statuses(lb).await.operating, O::Error);
        hear(&first, &beat(amphora, listener, SEQ_FOR_LIFE + (1 << 30))).await;
        assert_eq!(rig.statuses(lb).await.operating, O::Online);
    }
}

/// Its agent lives and beats, but cannot start the proxy.
#[tokio::test]
async fn an_amphora_without_a_proxy_is_told_of_and_replaced_in_time() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let (health, worker) = (rig.health(), rig.worker());
    let alive = |seq| beat(amphora, listener, SEQ_FOR_LIFE + seq);
    let bare = |seq| Heartbeat { listeners: BTreeMap::new(), boot: None, generation: None, ..alive(seq) };
    let attempt = async || {
        rig.store.lb_wake(lb).await.unwrap();
        worker.reconcile_one(lb).await.unwrap()
    };
    hear(&health, &alive(0)).await;
    rig.clock.forward(65);
    // One that is started again has been without for a moment, however often.
    for seq in [10, 20, 30] {
        rig.cloud.facts().no_proxy.insert(amphora);
        hear(&health, &bare(seq)).await;
        let statuses = rig.statuses(lb).await;
        assert_eq!(
            (statuses.operating, statuses.reason.unwrap().code),
            (O::Error, ReasonCode::ProxyNotRunning)
        );
        attempt().await;
        rig.cloud.facts().no_proxy.clear();
        hear(&health, &alive(seq + 1)).await;
        assert_eq!(rig.statuses(lb).await.operating, O::Online);
        attempt().await;
        rig.clock.forward(30);
        health.scan().await.unwrap();
    }
    assert!(rig.cloud.facts().servers.contains_key(&amphora));
    // One that cannot be: a minute from its last sign of life on.
    rig.cloud.facts().no_proxy.insert(amphora);
    for seq in 40..43 {
        assert!(rig.cloud.facts().servers.contains_key(&amphora), "not at once: {seq}");
        hear(&health, &bare(seq)).await;
        health.scan().await.unwrap();
        attempt().await;
        rig.clock.forward(10);
    }
    hear(&health, &bare(43)).await;
    health.scan().await.unwrap();
    assert_eq!(rig.statuses(lb).await.reason.unwrap().code, ReasonCode::ProxyNotRunning);
    for _ in 0..3 {
        attempt().await;
    }
    let (new, _) = parts_of(&rig, lb).await;
    assert_ne!(new, amphora);
    assert_eq!(rig.cloud.facts().servers.len(), 1);
}

#[tokio::test]
async fn when_all_fall_silent_at_once_nobody_is_blamed() {
    let rig = Rig::new().await;
    let health = rig.health();
    let mut lbs = vec![];
    for seq in 1..5 {
        let lb = rig.active().await;
        let (amphora, listener) = parts_of(&rig, lb).await;
        hear(&health, &beat(amphora, listener, seq)).await;
        lbs.push((lb, amphora, listener));
    }
    rig.clock.forward(70);
    health.scan().await.unwrap();
    for (lb, ..) in &lbs {
        assert_eq!(rig.statuses(*lb).await.operating, O::Online);
    }
    // most are heard again: the rest are really silent
    for (_, amphora, listener) in &lbs[1..] {
        hear(&health, &beat(*amphora, *listener, 100)).await;
    }
    health.scan().await.unwrap();
    assert_eq!(rig.statuses(lbs[0].0).await.operating, O::Error);
    assert_eq!(rig.statuses(lbs[1].0).await.operating, O::Online);
}

#[tokio::test]
async fn listens_on_a_socket() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (amphora, listener) = parts_of(&rig, lb).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stopper, stop) = Stopper::new();
    let task = tokio::spawn(rig.health().run(socket, stop));
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.send_to(&beat(amphora, listener, 1).seal(KEY.as_bytes()).unwrap(), address).await.unwrap();
    crate::worker::until("online", async || rig.statuses(lb).await.operating == O::Online).await;
    stopper.stop();
    task.await.unwrap();
}

/// Each of two says that it waits, or that it is master; their load balancer is shown so as long as that lasts.
#[tokio::test]
async fn a_pair_that_does_not_agree_is_shown() {
    use VrrpState::{Backup, Master};

    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (first, listener) = parts_of(&rig, lb).await;
    rig.store.lb_wake(lb).await.unwrap();
    let lease = rig.store.lease_acquire(lb, WorkerId::new_v4(), Duration::from_secs(30)).await;
    let lease = lease.unwrap().unwrap();
    let row = rig.store.amphora_fetch(first).await.unwrap().unwrap();
    let second = Amphora { id: AmphoraId::new_v4(), ..row };
    rig.store.amphora_insert(&lease, &second).await.unwrap();
    let metrics = HealthMetrics::default();
    let health = rig.health_counted(metrics.clone());
    let mut seq = 0;
    rig.clock.forward(61);
    for (states, operating, code) in [
        ([Master, Backup], O::Online, None),
        ([Backup, Backup], O::Error, Some(ReasonCode::NoMaster)),
        ([Master, Master], O::Degraded, Some(ReasonCode::ManyMasters)),
        ([Backup, Master], O::Online, None),
    ] {
        for _ in 0..4 {
            seq += 1;
            for (amphora, state) in [first, second.id].into_iter().zip(states) {
                hear(&health, &Heartbeat { vrrp: Some(state), ..beat(amphora, listener, seq) }).await;
            }
            health.scan().await.unwrap();
            rig.clock.forward(8);
        }
        let statuses = rig.statuses(lb).await;
        assert_eq!((statuses.operating, statuses.reason.map(|reason| reason.code)), (operating, code));
        let (mut registry, mut text) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        let counted = |name: &str, of| {
            let line = format!("{name} {}", u8::from(code == Some(of)));
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        };
        counted("pairs_without_master", ReasonCode::NoMaster);
        counted("pairs_with_many_masters", ReasonCode::ManyMasters);
    }
}
