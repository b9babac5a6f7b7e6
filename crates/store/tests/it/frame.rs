//! The frame around operations: interceptor, retries, clock, cancellation.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use octavia_model::*;
use octavia_store::{Call, Clock, Interceptor, Store, StoreError, StoreOptions};

use crate::change::{UPDATE, change};
use crate::databases::{self, on_all};
use crate::sample;

/// Refuses `conflicts` times with a conflict, then loses `lost` answers.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    conflicts: AtomicU32,
    lost: AtomicU32,
    calls: Mutex<Vec<Call>>,
}

impl Trouble {
    pub(crate) fn refuse(&self, times: u32) {
        self.conflicts.store(times, Ordering::Relaxed);
    }
}

fn take(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
}

#[async_trait]
impl Interceptor for Trouble {
    async fn before(&self, call: &Call) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push(*call);
        if take(&self.conflicts) { Err(StoreError::Conflict("injected".to_owned())) } else { Ok(()) }
    }

    async fn after(&self, _: &Call) -> Result<(), StoreError> {
        if take(&self.lost) { Err(StoreError::Conflict("lost answer".to_owned())) } else { Ok(()) }
    }
}

#[tokio::test]
async fn conflicts_are_tried_again_and_lost_answers_are_not() {
    let trouble = Arc::new(Trouble::default());
    let options = StoreOptions { interceptor: Some(trouble.clone()), attempts: 4, ..StoreOptions::default() };
    let store = databases::all().await[0].store(options).await;
    let graph = sample::small();
    let id = graph.load_balancer.id;

    trouble.conflicts.store(3, Ordering::Relaxed);
    store.lb_create(&graph).await.unwrap();
    let calls = std::mem::take(&mut *trouble.calls.lock().unwrap());
    assert_eq!(calls, [Call { name: "lb_create", load_balancer: Some(id), worker: None }; 4]);

    trouble.conflicts.store(4, Ordering::Relaxed);
    let refused = store.lb_fetch(id).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));

    trouble.lost.store(1, Ordering::Relaxed);
    let lost = store.lb_change(id, UPDATE, |_| Ok::<_, ()>(())).await;
    assert!(lost.is_err());
    assert_eq!(store.lb_fetch(id).await.unwrap().unwrap().load_balancer.generation, 2);
}

#[derive(Debug)]
struct Fixed(Mutex<Timestamp>);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn times_come_from_the_given_clock() {
    let at: Timestamp = "2030-01-02T03:04:05.123456789Z".parse().unwrap();
    let clock = Arc::new(Fixed(Mutex::new(at)));
    for database in databases::all().await {
        let store =
            database.store(StoreOptions { clock: Some(clock.clone()), ..StoreOptions::default() }).await;
        let whole: Timestamp = "2030-01-02T03:04:05.123456Z".parse().unwrap();
        assert_eq!(store.now().await.unwrap(), whole);
        let graph = store.lb_create(&sample::small()).await.unwrap();
        assert_eq!(graph.load_balancer.created_at, whole);
        let members: Vec<_> = graph.members.iter().map(|m| m.created_at).collect();
        assert!(members.is_sorted_by(|a, b| a < b), "in order of creation");
        let graph = change(&store, graph.load_balancer.id, |graph| graph.members[0].backup = true).await;
        assert_eq!(graph.members[0].updated_at, Some(whole));
    }
}

#[tokio::test]
async fn the_databases_clock_is_about_right() {
    on_all(|store| async move {
        let apart = store.now().await.unwrap().duration_since(Timestamp::now()).abs();
        assert!(apart.as_secs() < 5, "{apart:?}");
    })
    .await;
}

#[tokio::test]
async fn work_is_signalled() {
    on_all(|store| async move {
        let signal = store.work_signal();
        let signalled = || tokio::time::timeout(Duration::from_secs(5), signal.notified());
        let graph = store.lb_create(&sample::small()).await.unwrap();
        signalled().await.unwrap();
        store.lb_wake(graph.load_balancer.id).await.unwrap();
        signalled().await.unwrap();
        change(&store, graph.load_balancer.id, |graph| graph.load_balancer.name.push('x')).await;
        signalled().await.unwrap();
    })
    .await;
}

/// An operation dropped at any await leaves all of it or nothing, and the store usable.
#[tokio::test]
async fn dropped_operations_leave_nothing_half() {
    on_all(|store| async move {
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let id = graph.load_balancer.id;
        let (mut generation, mut ended) = (1, false);
        for polls in 0..400 {
            let add = |graph: &mut LoadBalancerGraph| {
                let listener = sample::listener(&graph.load_balancer, 3000 + u16::try_from(polls).unwrap());
                graph.listeners.push(listener);
                Ok::<_, ()>(())
            };
            let finished = polled(&store, id, add, polls).await;
            let graph = store.lb_fetch(id).await.unwrap().unwrap();
            let now = graph.load_balancer.generation;
            assert!(now == generation || now == generation + 1);
            assert_eq!(graph.listeners.len() as u64, now, "after {polls} polls");
            generation = now;
            if finished {
                ended = true;
                break;
            }
        }
        assert!(ended, "400 polls are enough");
        change(&store, id, |graph| *graph = LoadBalancerGraph::new(graph.load_balancer.clone())).await;
    })
    .await;
}

/// Polls the change so many times, then drops it; whether it came to its end.
async fn polled(
    store: &Store,
    id: LoadBalancerId,
    change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), ()>,
    polls: usize,
) -> bool {
    let mut operation = Box::pin(store.lb_change(id, UPDATE, change));
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        operation.as_mut().poll(context).map(|result| result.is_ok())
    })
    .await
}

#[tokio::test]
async fn clear_empties() {
    on_all(|store| async move {
        sample::create(&store, &sample::maximal()).await;
        store.clear().await.unwrap();
        assert_eq!(store.work_next_due().await.unwrap(), None);
        assert!(store.outbox_take(1).await.unwrap().is_empty());
        sample::create(&store, &sample::maximal()).await;
    })
    .await;
}

#[tokio::test]
async fn wrong_urls_are_refused_without_secrets() {
    for url in [
        "",
        "oracle://u:secret@h/d",
        "sqlite:///nonexistent/dir/file.db",
        "postgres://u:secret@127.0.0.1:1/d",
    ] {
        let options = StoreOptions { timeout: Duration::from_millis(200), ..StoreOptions::default() };
        let error = Store::connect(url, options).await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
