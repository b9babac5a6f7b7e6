//! Heartbeats: liveness, operating statuses, counters that neither lose nor repeat.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use octavia_model::*;
use octavia_store::{
    Acknowledged, HeartbeatWrite, Mark, Report, Settlement, Statistics, StatusWrite, StatusWrites, Store,
};
use uuid::Uuid;

use crate::databases::on_all;
use crate::lease::leased;
use crate::sample;

fn beat(amphora: AmphoraId, seq: u64, received_at: Timestamp) -> HeartbeatWrite {
    HeartbeatWrite {
        amphora,
        seq,
        received_at,
        alive: true,
        applied_generation: None,
        report: Report::Totals { boot: None },
        statistics: BTreeMap::new(),
        statuses: StatusWrites::default(),
        vrrp: None,
    }
}

fn counted(n: u64) -> Statistics {
    Statistics {
        bytes_in: 100 * n,
        bytes_out: 10 * n,
        active_connections: n,
        total_connections: n,
        request_errors: 2 * n,
    }
}

/// What is shown for `total` units counted and `active` connections.
fn shown(total: u64, active: u64) -> Statistics {
    Statistics { active_connections: active, ..counted(total) }
}

async fn with_amphora(store: &Store) -> (LoadBalancerGraph, AmphoraId, octavia_store::Lease) {
    let (graph, lease) = leased(store).await;
    let amphora = sample::amphora(graph.load_balancer.id);
    store.amphora_insert(&lease, &amphora).await.unwrap();
    (graph, amphora.id, lease)
}

#[tokio::test]
async fn counters_neither_drift_nor_jump_back() {
    on_all(|store| async move {
        let (graph, amphora, _lease) = with_amphora(&store).await;
        let listener = graph.listeners[0].id;
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        let at = store.now().await.unwrap();
        let totals = |boot| Report::Totals { boot: Some(boot) };
        // Seconds, number of the beat, report, counted; written?, total shown, active shown.
        let steps = [
            (0, 1, totals(first), 5, true, 5, 5),
            (1, 1, totals(first), 5, false, 5, 5),
            (1, 3, totals(first), 9, true, 9, 9),
            (2, 2, totals(first), 7, false, 9, 9),
            // The agent started again, the data plane did not.
            (20, 0, totals(first), 12, true, 12, 12),
            // The data plane started again.
            (21, 1, totals(second), 1, true, 13, 1),
            // A late beat of the start before, whatever its number.
            (21, 9, totals(first), 13, false, 13, 1),
            (40, 2, totals(second), 4, true, 16, 4),
            // The original's agent, version 3.
            (50, 3, Report::Differences, 10, true, 26, 10),
            (50, 3, Report::Differences, 10, false, 26, 10),
            // The original's version 2 does not name its start: lower means another one.
            (60, 4, Report::Totals { boot: None }, 3, true, 29, 3),
            (61, 5, Report::Totals { boot: None }, 4, true, 30, 4),
            (62, 6, Report::Totals { boot: None }, 2, true, 32, 2),
        ];
        for (seconds, seq, report, n, written, total, active) in steps {
            let stranger = ListenerId::new_v4();
            let write = HeartbeatWrite {
                report,
                statistics: BTreeMap::from([(listener, counted(n)), (stranger, counted(1000))]),
                ..beat(amphora, seq, at + SignedDuration::from_secs(seconds))
            };
            let step = format!("{seconds} {seq} {report:?} {n}");
            assert_eq!(store.heartbeat_apply(&write).await.unwrap(), written, "{step}");
            assert_eq!(store.listener_stats(listener).await.unwrap(), shown(total, active), "{step}");
        }
        let lb = graph.load_balancer.id;
        assert_eq!(store.lb_stats(lb).await.unwrap(), shown(32, 2));
        let by_amphora = store.amphora_stats(amphora).await.unwrap();
        assert_eq!(by_amphora.len(), 1);
        assert_eq!((by_amphora[0].listener_id, by_amphora[0].statistics), (listener, shown(32, 2)));
        let nothing = Statistics::default();
        assert_eq!(store.listener_stats(ListenerId::new_v4()).await.unwrap(), nothing);
        assert!(store.amphora_stats(AmphoraId::new_v4()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_very_late_beat_makes_nobody_deaf() {
    on_all(|store| async move {
        let (_, amphora, _lease) = with_amphora(&store).await;
        let [oldest, older, living] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        let at = store.now().await.unwrap();
        // Seconds, start of the data plane, written?
        for (seconds, boot, written) in [
            (0, oldest, true),
            (10, older, true),
            (20, living, true),
            (21, older, false),
            // Sent two starts ago: not told from another restart.
            (22, oldest, true),
            // The living one is the older one now, but not for long.
            (23, living, false),
            (33, living, true),
            (43, living, true),
        ] {
            let received_at = at + SignedDuration::from_secs(seconds);
            let report = Report::Totals { boot: Some(boot) };
            let write = HeartbeatWrite { report, ..beat(amphora, 1 + seconds as u64, received_at) };
            assert_eq!(store.heartbeat_apply(&write).await.unwrap(), written, "at {seconds}");
        }
    })
    .await;
}

#[tokio::test]
async fn sums_survive_an_amphora() {
    on_all(|store| async move {
        let (graph, first, lease) = with_amphora(&store).await;
        let (lb, listener) = (graph.load_balancer.id, graph.listeners[0].id);
        let second = sample::amphora(lb);
        store.amphora_insert(&lease, &second).await.unwrap();
        let at = store.now().await.unwrap();
        for (amphora, n) in [(first, 3), (second.id, u64::MAX)] {
            let statistics = BTreeMap::from([(
                listener,
                if n == u64::MAX { Statistics { bytes_in: n, ..counted(4) } } else { counted(n) },
            )]);
            let write = HeartbeatWrite { statistics, ..beat(amphora, 1, at) };
            assert!(store.heartbeat_apply(&write).await.unwrap());
        }
        store.amphora_delete_mark(&lease, first).await.unwrap();
        let sum = store.lb_stats(lb).await.unwrap();
        assert_eq!(sum, Statistics { bytes_in: i64::MAX as u64 + 300, ..shown(7, 4) });
        // Of a deleted amphora nothing more is taken.
        assert!(!store.heartbeat_apply(&beat(first, 9, at)).await.unwrap());
        assert!(!store.heartbeat_apply(&beat(AmphoraId::new_v4(), 9, at)).await.unwrap());
        // Statistics go with the listener.
        store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
        crate::change::change(&store, lb, |graph| {
            *graph = LoadBalancerGraph::new(graph.load_balancer.clone());
        })
        .await;
        assert_eq!(store.lb_stats(lb).await.unwrap(), Statistics::default());
    })
    .await;
}

#[tokio::test]
async fn statuses_and_signs_of_life() {
    on_all(|store| async move {
        let (graph, amphora, lease) = with_amphora(&store).await;
        let lb = graph.load_balancer.id;
        let fault = BTreeMap::from([(graph.listeners[0].id, sample::reason("port"))]);
        store.lb_settle(&lease, 1, &Settlement { listener_faults: fault }).await.unwrap();
        let context = store.health_context(amphora).await.unwrap().unwrap();
        assert_eq!(context.graph, store.lb_fetch(lb).await.unwrap().unwrap());
        assert_eq!((context.amphora.id, context.amphora.last_heartbeat_at), (amphora, None));
        assert_eq!(store.health_context(AmphoraId::new_v4()).await.unwrap(), None);

        let bad = StatusWrite { operating: OperatingStatus::Error, reason: Some(sample::reason("down")) };
        let good = StatusWrite { operating: OperatingStatus::Online, reason: None };
        let statuses = StatusWrites {
            load_balancer: Some(StatusWrite { operating: OperatingStatus::Degraded, ..bad.clone() }),
            listeners: BTreeMap::from([
                (graph.listeners[0].id, good.clone()),
                (ListenerId::new_v4(), bad.clone()),
            ]),
            pools: BTreeMap::from([(graph.pools[0].id, bad.clone())]),
            members: graph.members.iter().map(|m| m.id).zip([bad.clone(), good]).collect(),
        };
        let at = store.now().await.unwrap();
        let write = HeartbeatWrite { statuses, applied_generation: Some(1), ..beat(amphora, 1, at) };
        assert!(store.heartbeat_apply(&write).await.unwrap());
        let after = store.lb_fetch(lb).await.unwrap().unwrap();
        let said = |statuses: &Statuses| {
            let reason = statuses.reason.as_ref().map(|reason| reason.text.clone());
            (statuses.operating, reason, statuses.provisioning)
        };
        use OperatingStatus::{Degraded, Error, Online};
        let (down, active) = (Some("down".to_owned()), ProvisioningStatus::Active);
        assert_eq!(said(&after.load_balancer.statuses), (Degraded, down.clone(), active));
        // What explains the provisioning status stays.
        let port = Some("port".to_owned());
        assert_eq!(said(&after.listeners[0].statuses), (Online, port, ProvisioningStatus::Error));
        assert_eq!(said(&after.pools[0].statuses), (Error, down.clone(), active));
        assert_eq!(said(&after.members[0].statuses), (Error, down, active));
        assert_eq!(said(&after.members[1].statuses), (Online, None, active));
        // No generation, no time of change: nobody asked for this.
        assert_eq!(after.load_balancer.generation, 1);
        assert_eq!(after.members[0].updated_at, context.graph.members[0].updated_at);
        let row = store.amphora_fetch(amphora).await.unwrap().unwrap();
        assert_eq!((row.last_heartbeat_at, row.applied_generation), (Some(at), 1));

        // A beat that does not count as life.
        let later = at + SignedDuration::from_secs(10);
        let write = HeartbeatWrite { alive: false, ..beat(amphora, 2, later) };
        assert!(store.heartbeat_apply(&write).await.unwrap());
        assert_eq!(store.amphora_fetch(amphora).await.unwrap().unwrap().last_heartbeat_at, Some(at));
        // Worker's writes leave the beat's.
        store.amphora_update(&lease, &sample::amphora(lb)).await.unwrap();
        store.amphora_update(&lease, &Amphora { last_heartbeat_at: None, ..row }).await.unwrap();
        assert_eq!(store.amphora_fetch(amphora).await.unwrap().unwrap().last_heartbeat_at, Some(at));

        let silent = |since| {
            let store = store.clone();
            async move {
                store.amphorae_silent(since).await.unwrap().into_iter().map(|a| a.id).collect::<Vec<_>>()
            }
        };
        let never = sample::amphora(lb);
        store.amphora_insert(&lease, &never).await.unwrap();
        let booting = Amphora { status: AmphoraStatus::Booting, ..sample::amphora(lb) };
        store.amphora_insert(&lease, &booting).await.unwrap();
        assert!(silent(at).await.is_empty());
        let mut found = silent(later).await;
        found.sort();
        let mut expected = vec![amphora, never.id];
        expected.sort();
        assert_eq!(found, expected);

        let writes = StatusWrites {
            load_balancer: Some(StatusWrite { operating: Error, reason: Some(sample::reason("silent")) }),
            ..Default::default()
        };
        store.statuses_apply(lb, &writes).await.unwrap();
        store.statuses_apply(LoadBalancerId::new_v4(), &writes).await.unwrap();
        assert_eq!(store.lb_fetch(lb).await.unwrap().unwrap().load_balancer.statuses.operating, Error);
    })
    .await;
}

/// Users, a worker and amphorae write one load balancer at the same time: nobody is refused, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_write_at_once() {
    on_all(|store| async move {
        const ROUNDS: u16 = 12;
        let (graph, first, lease) = with_amphora(&store).await;
        let second = sample::amphora(graph.load_balancer.id);
        store.amphora_insert(&lease, &second).await.unwrap();
        let (lb, at) = (graph.load_balancer.id, store.now().await.unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for user in 0..2 {
            let store = store.clone();
            tasks.spawn(async move {
                for round in 0..ROUNDS {
                    let weigh = |graph: &mut LoadBalancerGraph| {
                        let member = &mut graph.members[user];
                        member.weight = Some(round);
                        member.statuses.provisioning = ProvisioningStatus::PendingUpdate;
                        graph.pools[0].statuses.provisioning = ProvisioningStatus::PendingUpdate;
                        Ok::<_, ()>(())
                    };
                    store.lb_change(lb, crate::change::UPDATE, weigh).await.unwrap();
                }
            });
        }
        for amphora in [first, second.id] {
            let (store, graph) = (store.clone(), graph.clone());
            tasks.spawn(async move {
                for round in 0..u64::from(ROUNDS) {
                    let operating = OperatingStatus::ALL[(round % 3) as usize];
                    let write = StatusWrite { operating, reason: None };
                    let statuses = StatusWrites {
                        load_balancer: Some(write.clone()),
                        listeners: graph.listeners.iter().map(|l| (l.id, write.clone())).collect(),
                        pools: graph.pools.iter().map(|p| (p.id, write.clone())).collect(),
                        members: graph.members.iter().rev().map(|m| (m.id, write.clone())).collect(),
                    };
                    let statistics = BTreeMap::from([(graph.listeners[0].id, counted(round + 1))]);
                    let write = HeartbeatWrite { statuses, statistics, ..beat(amphora, round, at) };
                    assert!(store.heartbeat_apply(&write).await.unwrap());
                }
            });
        }
        let worker = store.clone();
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                let desired = worker.desired_load(&lease).await.unwrap();
                let generation = desired.graph.load_balancer.generation;
                worker.amphora_update(&lease, &desired.amphorae[0]).await.unwrap();
                worker.lb_settle(&lease, generation, &Settlement::default()).await.unwrap();
            }
        });
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert_eq!(graph.load_balancer.generation, u64::from(2 * ROUNDS) + 1);
        assert!(graph.members.iter().all(|m| m.weight == Some(ROUNDS - 1)));
        let total = 2 * u64::from(ROUNDS);
        assert_eq!(store.lb_stats(lb).await.unwrap(), shown(total, total));
    })
    .await;
}

/// A sign of life never goes back, unless the clock did.
#[tokio::test]
async fn a_clock_that_went_back_does_not_keep_an_amphora_alive() {
    on_all(|store| async move {
        let (_, amphora, _lease) = with_amphora(&store).await;
        let now = store.now().await.unwrap();
        let at = |seconds| now + SignedDuration::from_secs(seconds);
        for (seq, (heard, last)) in (1..).zip([(0, 0), (30, 30), (20, 30), (3600, 3600), (40, 40), (39, 40)])
        {
            assert!(store.heartbeat_apply(&beat(amphora, seq, at(heard))).await.unwrap());
            let row = store.amphora_fetch(amphora).await.unwrap().unwrap();
            assert_eq!(row.last_heartbeat_at, Some(at(last)), "heard at {heard}");
        }
    })
    .await;
}

/// Numbers for life: what counted once, or is older than what did, counts never again, however late it comes.
#[tokio::test]
async fn a_replayed_beat_changes_nothing() {
    on_all(|store| async move {
        let (_, amphora, _lease) = with_amphora(&store).await;
        let now = store.now().await.unwrap();
        for (seconds, seq, counts) in [
            // An agent that counts anew when it starts again, and then one that does not.
            (0, 7, true),
            (20, 1, true),
            (40, SEQ_FOR_LIFE, true),
            (40, SEQ_FOR_LIFE + 5, true),
            (41, SEQ_FOR_LIFE + 4, false),
            (100, SEQ_FOR_LIFE + 4, false),
            (1000, SEQ_FOR_LIFE + 5, false),
            (1000, 8, false),
            (1001, 9, false),
            (1002, SEQ_FOR_LIFE + 6, true),
            // The clock went back.
            (0, SEQ_FOR_LIFE + 6, false),
            (0, SEQ_FOR_LIFE + 7, true),
        ] {
            let beat = beat(amphora, seq, now + SignedDuration::from_secs(seconds));
            assert_eq!(store.heartbeat_apply(&beat).await.unwrap(), counts, "{seconds} {seq}");
        }
        let silent = store.amphorae_silent(now + SignedDuration::from_secs(100)).await.unwrap();
        assert_eq!(silent[0].seq, Some(SEQ_FOR_LIFE + 7));
    })
    .await;
}

#[tokio::test]
async fn many_together_are_written_as_each_alone() {
    on_all(|store| async move {
        let at = store.now().await.unwrap();
        // Of each load balancer: its listener, an amphora that beats alone, one that beats with the others, its lease.
        let mut lbs = vec![];
        for _ in 0..3 {
            let (graph, alone, lease) = with_amphora(&store).await;
            let together = sample::amphora(graph.load_balancer.id);
            store.amphora_insert(&lease, &together).await.unwrap();
            lbs.push((graph.listeners[0].id, alone, together.id, lease));
        }
        // Of each step by load balancer: number, sign of life?, counted; written?
        let life = SEQ_FOR_LIFE;
        for (second, step) in [
            [(life, true, 1, true), (life, true, 2, true), (life, false, 3, true)],
            // Late, double, as it should be.
            [(life - 1, true, 7, false), (life, true, 7, false), (life + 1, true, 4, true)],
            [(life + 9, true, 0, true), (life + 9, true, 5, true), (life + 9, true, 5, false)],
        ]
        .into_iter()
        .enumerate()
        {
            if second == 2 {
                let (_, alone, together, lease) = &lbs[2];
                store.amphora_delete_mark(lease, *alone).await.unwrap();
                store.amphora_delete_mark(lease, *together).await.unwrap();
            }
            let received_at = at + SignedDuration::from_secs(second as i64);
            let write = |amphora, listener, (seq, alive, n, _)| HeartbeatWrite {
                alive,
                report: Report::Totals { boot: Some(Uuid::nil()) },
                statistics: match n {
                    0 => BTreeMap::new(),
                    n => BTreeMap::from([(listener, counted(n)), (ListenerId::new_v4(), counted(n))]),
                },
                ..beat(amphora, seq, received_at)
            };
            for ((listener, alone, ..), step) in lbs.iter().zip(step) {
                let written = store.heartbeat_apply(&write(*alone, *listener, step)).await.unwrap();
                assert_eq!(written, step.3, "{second} {step:?}");
            }
            let mut writes: Vec<_> = lbs
                .iter()
                .zip(step)
                .map(|((listener, _, together, _), step)| write(*together, *listener, step))
                .collect();
            writes.push(beat(AmphoraId::new_v4(), life, received_at));
            let written = store.heartbeats_apply(&writes).await.unwrap();
            assert_eq!(written[3], Acknowledged::Gone, "a stranger");
            let written = [0, 1, 2].map(|at| matches!(written[at], Acknowledged::Taken(_)));
            assert_eq!(written, [step[0].3, step[1].3, step[2].3], "{second}");
            for (_, alone, together, _) in &lbs {
                let facts = async |amphora| {
                    let counted = store.amphora_stats(amphora).await.unwrap();
                    let counted: Vec<_> = counted.iter().map(|of| (of.listener_id, of.statistics)).collect();
                    let row = store.amphora_fetch(amphora).await.unwrap();
                    (counted, row.map(|row| row.last_heartbeat_at))
                };
                assert_eq!(facts(*alone).await, facts(*together).await, "{second}");
            }
        }
        assert_eq!(store.heartbeats_apply(&[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_mark_is_another_where_statuses_may_be() {
    on_all(|store| async move {
        let (graph, amphora, lease) = with_amphora(&store).await;
        let lb = graph.load_balancer.id;
        let at = store.now().await.unwrap();
        let mut seq = 0;
        let mut mark = async |store: Store| {
            seq += 1;
            let beats = [beat(amphora, SEQ_FOR_LIFE + seq, at)];
            let marks = store.heartbeats_apply(&beats).await.unwrap();
            let mark = mark_of(&store, amphora).await;
            assert_eq!(marks, [Acknowledged::Taken(mark)]);
            assert_eq!(store.heartbeats_apply(&beats).await.unwrap(), [Acknowledged::Late(mark)]);
            mark
        };
        let first = mark(store.clone()).await;
        assert_eq!(mark(store.clone()).await, first, "heartbeats alone change none");
        let statuses = StatusWrites {
            load_balancer: Some(StatusWrite { operating: OperatingStatus::Degraded, reason: None }),
            ..Default::default()
        };
        store.statuses_apply(lb, &statuses).await.unwrap();
        let second = mark(store.clone()).await;
        assert_ne!(second, first, "an operating status");
        let row = store.amphora_fetch(amphora).await.unwrap().unwrap();
        let applied = row.applied_generation + 1;
        store.amphora_update(&lease, &Amphora { applied_generation: applied, ..row }).await.unwrap();
        let third = mark(store.clone()).await;
        assert_ne!(third, second, "what the amphora has");
        store.statuses_apply(lb, &StatusWrites::default()).await.unwrap();
        assert_eq!(mark(store.clone()).await, third, "nothing");
        // What a review itself changes is no reason for another; what others change meanwhile is.
        let online = |operating| StatusWrites {
            load_balancer: Some(StatusWrite { operating, reason: None }),
            ..Default::default()
        };
        let review = |seq, operating| HeartbeatWrite {
            statuses: online(operating),
            applied_generation: Some(applied + 1),
            ..beat(amphora, SEQ_FOR_LIFE + seq, at)
        };
        let after = store.heartbeat_review(&review(100, OperatingStatus::Online), third).await.unwrap();
        let fourth = mark_of(&store, amphora).await;
        assert_eq!(after, Some(fourth));
        assert_ne!(fourth, third);
        store.statuses_apply(lb, &online(OperatingStatus::Error)).await.unwrap();
        let after = store.heartbeat_review(&review(101, OperatingStatus::Online), fourth).await.unwrap();
        assert_eq!(after, Some(fourth));
    })
    .await;
}

async fn mark_of(store: &Store, amphora: AmphoraId) -> Mark {
    store.health_context(amphora).await.unwrap().unwrap().mark
}

/// What amphorae say of who holds the VIPs, one step after the other; then which load balancers have not one master.
#[tokio::test]
async fn pairs_that_do_not_agree_are_found() {
    use VrrpState::{Backup, Fault, Master};

    on_all(|store| async move {
        let (graph, first, lease) = with_amphora(&store).await;
        let lb = graph.load_balancer.id;
        let second = sample::amphora(lb);
        store.amphora_insert(&lease, &second).await.unwrap();
        // Another one, which is alone, and says nothing of it.
        let (_, alone, _other_lease) = with_amphora(&store).await;
        let start = store.now().await.unwrap();
        let at = |seconds| start + SignedDuration::from_secs(seconds);
        assert!(store.heartbeat_apply(&beat(alone, 1, at(0))).await.unwrap());
        let amphorae = [first, second.id];
        // Who says what, when; then what is told of both, and since when, unless they agree.
        for (seq, (at_second, who, says, found)) in (1..).zip([
            (1, 0, None, None),
            (2, 0, Some(Backup), Some([(Some(Backup), Some(2)), (None, None)])),
            (3, 1, Some(Fault), Some([(Some(Backup), Some(2)), (Some(Fault), Some(3))])),
            (4, 0, Some(Master), None),
            (5, 1, Some(Backup), None),
            (6, 1, Some(Master), Some([(Some(Master), Some(4)), (Some(Master), Some(6))])),
            (7, 1, Some(Master), Some([(Some(Master), Some(4)), (Some(Master), Some(6))])),
            (8, 1, None, None),
        ]) {
            let write = HeartbeatWrite { vrrp: says, ..beat(amphorae[who], seq, at(at_second)) };
            assert!(store.heartbeat_apply(&write).await.unwrap());
            assert_eq!(store.amphora_fetch(amphorae[who]).await.unwrap().unwrap().vrrp_state, says);
            let mut pairs = store.pairs_without_one_master().await.unwrap();
            let claims = pairs.remove(&lb);
            assert!(pairs.is_empty(), "{pairs:?}");
            let told = claims.map(|claims| {
                amphorae.map(|id| {
                    let claim = claims.iter().find(|claim| claim.amphora == id).unwrap();
                    let heard = claim.heard.map(|heard| heard.duration_since(start).as_secs());
                    assert!(id != amphorae[who] || heard == Some(at_second));
                    (claim.state, claim.since.map(|since| since.duration_since(start).as_secs()))
                })
            });
            assert_eq!(told, found, "{at_second}");
        }
        // One that is gone is not asked.
        for (seq, who) in [(9, 0), (9, 1)] {
            let write = HeartbeatWrite { vrrp: Some(Master), ..beat(amphorae[who], seq, at(9)) };
            assert!(store.heartbeat_apply(&write).await.unwrap());
        }
        assert_eq!(store.pairs_without_one_master().await.unwrap().len(), 1);
        store.amphora_delete_mark(&lease, second.id).await.unwrap();
        assert_eq!(store.pairs_without_one_master().await.unwrap().len(), 0);
    })
    .await;
}
