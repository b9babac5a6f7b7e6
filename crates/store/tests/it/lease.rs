//! Leases: one holder at a time, and a late one's writes change nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use octavia_model::*;
use octavia_store::{
    Clock, Lease, OperationPage, OperationRecord, OperationStart, Release, Settled, Settlement, Store,
    StoreError, StoreOptions,
};

use crate::change::{UPDATE, change};
use crate::databases::{self, on_all};
use crate::sample;

pub(crate) const TTL: Duration = Duration::from_secs(30);

/// A new load balancer, leased.
pub(crate) async fn leased(store: &Store) -> (LoadBalancerGraph, Lease) {
    let graph = store.lb_create(&sample::small()).await.unwrap();
    let lease = acquire(store, graph.load_balancer.id).await;
    (graph, lease)
}

pub(crate) async fn acquire(store: &Store, lb: LoadBalancerId) -> Lease {
    store.lease_acquire(lb, WorkerId::new_v4(), TTL).await.unwrap().unwrap()
}

fn release(next_attempt_at: jiff::Timestamp) -> Release {
    Release { next_attempt_at, attempts: 3, last_error: Some("boom".to_owned()) }
}

async fn later(store: &Store) -> jiff::Timestamp {
    store.now().await.unwrap() + SignedDuration::from_secs(60)
}

#[tokio::test]
async fn a_lease_is_taken_renewed_and_given_back() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let lb = graph.load_balancer.id;
        assert_eq!(store.work_due(10).await.unwrap(), [lb]);
        assert!(store.work_next_due().await.unwrap().unwrap() <= store.now().await.unwrap());

        let lease = acquire(&store, lb).await;
        assert_eq!(lease.epoch, 1);
        assert!(store.work_due(10).await.unwrap().is_empty());
        assert_eq!(store.work_next_due().await.unwrap(), Some(lease.until));
        assert!(store.lease_acquire(lb, WorkerId::new_v4(), TTL).await.unwrap().is_none());
        store.lease_renew(&lease, 2 * TTL).await.unwrap();
        assert!(store.work_next_due().await.unwrap().unwrap() > lease.until);

        let next = later(&store).await;
        store.lease_release(&lease, release(next)).await.unwrap();
        assert_eq!(store.work_next_due().await.unwrap(), Some(next));
        assert!(store.work_due(10).await.unwrap().is_empty());
        // Not due.
        assert!(store.lease_acquire(lb, WorkerId::new_v4(), TTL).await.unwrap().is_none());
        // Given back is given back.
        assert!(matches!(store.lease_renew(&lease, TTL).await, Err(StoreError::LeaseLost)));
        assert!(matches!(store.lease_release(&lease, release(next)).await, Err(StoreError::LeaseLost)));
        assert!(matches!(store.desired_load(&lease).await, Err(StoreError::LeaseLost)));

        store.lb_wake(lb).await.unwrap();
        let lease = acquire(&store, lb).await;
        assert_eq!(lease.epoch, 2);
        let desired = store.desired_load(&lease).await.unwrap();
        assert_eq!((desired.attempts, desired.last_error.as_deref()), (3, Some("boom")));
        assert_eq!(desired.graph, graph);
        assert_eq!(desired.pending_since, Some(graph.load_balancer.created_at));
        assert!(!desired.deleting && desired.amphorae.is_empty());

        store.lb_wake(LoadBalancerId::new_v4()).await.unwrap();
        assert!(
            store.lease_acquire(LoadBalancerId::new_v4(), WorkerId::new_v4(), TTL).await.unwrap().is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn the_leases_of_the_dead_are_ended() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        let lb = graph.load_balancer.id;
        assert_eq!(store.leases_end().await.unwrap(), 1);
        assert_eq!(store.leases_end().await.unwrap(), 0);
        assert_eq!(store.work_due(10).await.unwrap(), [lb]);
        // Not so dead after all: its writes change nothing, before and after somebody else takes over.
        assert!(matches!(store.lease_renew(&lease, TTL).await, Err(StoreError::LeaseLost)));
        assert_eq!(acquire(&store, lb).await.epoch, lease.epoch + 1);
        assert!(matches!(store.lb_deleted(&lease).await, Err(StoreError::LeaseLost)));
    })
    .await;
}

/// Of a worker that is ended in the midst of its work, and of no other.
#[tokio::test]
async fn the_leases_of_one_worker_are_given_back() {
    on_all(|store| async move {
        let (first, lease) = leased(&store).await;
        let (_, others) = leased(&store).await;
        assert_eq!(store.leases_return(WorkerId::new_v4()).await.unwrap(), 0);
        assert_eq!(store.leases_return(lease.owner).await.unwrap(), 1);
        let lb = first.load_balancer.id;
        assert_eq!(store.work_due(10).await.unwrap(), [lb]);
        assert!(matches!(store.lease_renew(&lease, TTL).await, Err(StoreError::LeaseLost)));
        store.lease_renew(&others, TTL).await.unwrap();
        assert_eq!(acquire(&store, lb).await.epoch, lease.epoch + 1);
    })
    .await;
}

/// What was asked for while a worker was at work is not forgotten when it goes.
#[tokio::test]
async fn a_release_sees_what_the_worker_did_not() {
    on_all(|store| async move {
        type Ask = for<'a> fn(&'a Store, LoadBalancerId) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;
        let write: Ask = |store, lb| {
            Box::pin(async move {
                change(store, lb, |graph| graph.load_balancer.name.push('x')).await;
            })
        };
        let wake: Ask = |store, lb| Box::pin(async move { store.lb_wake(lb).await.unwrap() });
        for ask in [write, wake] {
            let (graph, lease) = leased(&store).await;
            let lb = graph.load_balancer.id;
            // Before the load: seen.
            ask(&store, lb).await;
            store.desired_load(&lease).await.unwrap();
            store.lease_release(&lease, release(later(&store).await)).await.unwrap();
            assert!(!store.work_due(10).await.unwrap().contains(&lb));
            // After it: not seen.
            store.lb_wake(lb).await.unwrap();
            let lease = acquire(&store, lb).await;
            store.desired_load(&lease).await.unwrap();
            ask(&store, lb).await;
            store.lease_release(&lease, release(later(&store).await)).await.unwrap();
            assert!(store.work_due(10).await.unwrap().contains(&lb));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_takes_it() {
    on_all(|store| async move {
        for round in 1..=5 {
            let graph = store.lb_create(&sample::small()).await.unwrap();
            let lb = graph.load_balancer.id;
            let tasks: Vec<_> = (0..16)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(
                        async move { store.lease_acquire(lb, WorkerId::new_v4(), TTL).await.unwrap() },
                    )
                })
                .collect();
            let mut winners = 0;
            for task in tasks {
                winners += usize::from(task.await.unwrap().is_some());
            }
            assert_eq!(winners, 1, "round {round}");
        }
    })
    .await;
}

/// A lease that ran out may be taken; then the late holder's writes change nothing (I3).
#[tokio::test]
async fn a_stale_epoch_changes_nothing() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let lb = graph.load_balancer.id;
        let late = store.lease_acquire(lb, WorkerId::new_v4(), Duration::ZERO).await.unwrap().unwrap();
        let amphora = sample::amphora(lb);
        store.amphora_insert(&late, &amphora).await.unwrap();
        let ours = acquire(&store, lb).await;
        assert_eq!(ours.epoch, late.epoch + 1);
        let before = store.desired_load(&ours).await.unwrap();

        let lost = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::LeaseLost)));
        let changed = Amphora { status: AmphoraStatus::Error, ..amphora.clone() };
        lost(store.amphora_insert(&late, &sample::amphora(lb)).await);
        lost(store.amphora_update(&late, &changed).await);
        lost(store.amphora_delete_mark(&late, amphora.id).await);
        lost(store.lb_settle(&late, 1, &Settlement::default()).await.map(|_| ()));
        lost(store.lb_fail(&late, 1, sample::reason("late")).await.map(|_| ()));
        lost(store.lb_deleted(&late).await);
        lost(store.lease_renew(&late, TTL).await);
        lost(store.lease_release(&late, release(later(&store).await)).await);
        lost(store.desired_load(&late).await.map(|_| ()));
        let operation = OperationStart {
            id: OperationId::new_v4(),
            kind: "step".to_owned(),
            amphora_id: None,
            generation: 1,
        };
        lost(store.operation_start(&late, std::slice::from_ref(&operation)).await);
        let now = store.now().await.unwrap();
        let record =
            OperationRecord { step: operation.clone(), started_at: now, finished_at: now, outcome: Ok(()) };
        lost(store.operation_record(&late, &[record]).await);
        store.operation_start(&ours, std::slice::from_ref(&operation)).await.unwrap();
        lost(store.operation_finish(&late, &[(operation.id, Ok(()))]).await);
        assert_eq!(store.operation_list(lb, OperationPage::First, 10).await.unwrap()[0].finished_at, None);

        assert_eq!(store.desired_load(&ours).await.unwrap(), before);
        assert_eq!(store.lb_settle(&ours, 1, &Settlement::default()).await.unwrap(), Settled::Done);
    })
    .await;
}

/// Workers take, work and fail in a heap; at every moment one lease holds, and in the end all wishes are met.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_and_writers_race() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let lb = graph.load_balancer.id;
        let writer = tokio::spawn({
            let store = store.clone();
            async move {
                for round in 0..15u16 {
                    let add = |graph: &mut LoadBalancerGraph| {
                        graph.listeners.push(sample::listener(&graph.load_balancer, 2000 + round));
                        Ok::<_, ()>(())
                    };
                    store.lb_change(lb, UPDATE, add).await.unwrap();
                }
            }
        });
        let worker = |store: Store| async move {
            let mut settled = 0;
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while settled < 16 && std::time::Instant::now() < deadline {
                let Some(lease) = store.lease_acquire(lb, WorkerId::new_v4(), TTL).await.unwrap() else {
                    let generation =
                        store.lb_fetch(lb).await.unwrap().unwrap().load_balancer.applied_generation;
                    settled = generation;
                    tokio::task::yield_now().await;
                    continue;
                };
                let desired = store.desired_load(&lease).await.unwrap();
                let generation = desired.graph.load_balancer.generation;
                let outcome = store.lb_settle(&lease, generation, &Settlement::default()).await.unwrap();
                if outcome == Settled::Done {
                    settled = generation;
                }
                let next = store.now().await.unwrap() + SignedDuration::from_secs(60);
                store
                    .lease_release(&lease, Release { next_attempt_at: next, attempts: 0, last_error: None })
                    .await
                    .unwrap();
            }
            settled
        };
        let workers: Vec<_> = (0..3).map(|_| tokio::spawn(worker(store.clone()))).collect();
        writer.await.unwrap();
        for worker in workers {
            assert_eq!(worker.await.unwrap(), 16);
        }
        let graph = store.lb_fetch(lb).await.unwrap().unwrap();
        assert_eq!(graph.load_balancer.statuses.provisioning, ProvisioningStatus::Active);
        assert!(graph.listeners.iter().all(|l| l.statuses.provisioning == ProvisioningStatus::Active));
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_starts_looks_at_everything_soon() {
    on_all(|store| async move {
        let pace = Duration::from_secs(1);
        let hour = SignedDuration::from_hours(1);
        for _ in 0..51 {
            let (_, lease) = leased(&store).await;
            let next = store.now().await.unwrap() + hour;
            store.lease_release(&lease, release(next)).await.unwrap();
        }
        assert_eq!(store.work_resume(pace).await.unwrap(), 51);
        assert_eq!(store.work_due(100).await.unwrap().len(), 50, "the last one comes a little later");
        // Another start in the meantime puts nothing off.
        assert_eq!(store.work_resume(10 * pace).await.unwrap(), 1);
        assert_eq!(store.work_resume(pace).await.unwrap(), 0);
        assert_eq!(store.work_due(100).await.unwrap().len(), 51);
    })
    .await;
}

#[derive(Debug)]
struct Stepped(Mutex<Timestamp>);

impl Clock for Stepped {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// The clock was ahead, wrote, and is right again: nothing waits for as long as it was ahead, and nothing that is
/// within reach comes sooner for it.
#[tokio::test]
async fn what_a_clock_ahead_wrote_holds_nothing_up() {
    let start: Timestamp = "2030-01-02T03:04:05Z".parse().unwrap();
    let at = |seconds| start + SignedDuration::from_secs(seconds);
    let clock = Arc::new(Stepped(Mutex::new(start)));
    for database in databases::all().await {
        eprintln!("on {}", database.name);
        let options = StoreOptions { clock: Some(clock.clone()), ..StoreOptions::default() };
        let store = database.store(options).await;
        let set = |seconds| *clock.0.lock().unwrap() = at(seconds);
        // Seconds the clock was ahead; those a lease was taken for then, or after which the next attempt was to be;
        // free afterwards?
        for (ahead, leased, next, free) in [
            (0, Some(30), None, false),
            (20, Some(30), None, false),
            (31, Some(30), None, true),
            (3600, Some(30), None, true),
            (0, None, Some(30), false),
            (25, None, Some(30), false),
            (31, None, Some(30), true),
            (3600, None, Some(30), true),
            (3600, None, Some(0), true),
            // Whoever asks for more gets as much as the horizon allows.
            (0, Some(86_400), None, false),
            (0, None, Some(86_400), false),
            (1, None, Some(86_400), true),
        ] {
            let what = format!("{ahead} s ahead, {leased:?}, {next:?}");
            set(0);
            let lb = store.lb_create(&sample::small()).await.unwrap().load_balancer.id;
            set(ahead);
            let ttl = Duration::from_secs(leased.unwrap_or(30));
            let lease = store.lease_acquire(lb, WorkerId::new_v4(), ttl).await.unwrap().unwrap();
            if leased.is_some() {
                store.lease_renew(&lease, ttl).await.unwrap();
            }
            if let Some(next) = next {
                // A worker whose clock is ahead of the database's by a day.
                let release = Release { next_attempt_at: at(ahead + next), attempts: 0, last_error: None };
                store.lease_release(&lease, release).await.unwrap();
            }
            set(0);
            assert_eq!(store.work_due(10).await.unwrap(), if free { vec![lb] } else { vec![] }, "{what}");
            assert_eq!(store.work_next_due().await.unwrap().unwrap() <= start, free, "{what}");
            let taken = store.lease_acquire(lb, WorkerId::new_v4(), ttl).await.unwrap();
            assert_eq!(taken.is_some(), free, "{what}");
            if let Some(taken) = taken.filter(|_| leased.is_some()) {
                assert!(matches!(store.lease_renew(&lease, ttl).await, Err(StoreError::LeaseLost)), "{what}");
                store.lease_renew(&taken, ttl).await.unwrap();
            }
            // All of it is past in a while.
            set(61);
            assert_eq!(store.work_due(10).await.unwrap(), [lb], "{what}");
            store.clear().await.unwrap();
        }
    }
}
