//! The parts played: workers, health manager, housekeeping, users. Each loop is a real part's loop without the
//! process around it; what it calls is the real thing.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use octavia_cloud::{Network, VipRequest};
use octavia_control::{HealthManager, Housekeeping, Parts, SpareKeeper, Worker};
use octavia_model::{LoadBalancerId, ProjectId, ProvisioningStatus};
use octavia_store::{Accept, ChangeError, ListQuery, Store, Which};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::clock::SimClock;
use crate::journal::Journal;
use crate::wish::{Wish, new_graph};
use crate::world::{World, network_id, subnet_id};
use octavia_control::Clock;

/// The longest a worker sleeps without asking what is due.
const POLL: SignedDuration = SignedDuration::from_secs(5);

/// One worker process: asks what is due, works on it, one load balancer after the other.
pub(crate) async fn worker(worker: Worker, parts: Parts, journal: Journal) {
    let signal = parts.store.work_signal();
    loop {
        let notified = signal.notified();
        let due = parts.store.work_due(4).await.unwrap_or_default();
        let idle = due.is_empty();
        for lb in due {
            match worker.reconcile_one(lb).await {
                Ok(outcome) => journal.note(format!("= {outcome:?}")),
                Err(error) => journal.note(format!("= failed: {error}")),
            }
        }
        if !idle {
            continue;
        }
        let next = parts.store.work_next_due().await.ok().flatten();
        let now = parts.clock.now();
        let pause =
            next.map_or(POLL, |at| at.duration_since(now)).clamp(SignedDuration::from_millis(10), POLL);
        let pause = Duration::try_from(pause).unwrap_or_default();
        tokio::select! {
            biased;
            () = notified => {}
            () = parts.clock.sleep(pause) => {}
        }
    }
}

pub(crate) async fn health_flush(manager: HealthManager, journal: Journal) {
    if let Err(error) = manager.flush().await {
        journal.note(format!("= not written: {error}"));
    }
}

pub(crate) async fn health_scan(manager: HealthManager, clock: SimClock, every: Duration) {
    loop {
        clock.sleep(every).await;
        let _ = manager.scan().await;
    }
}

pub(crate) async fn housekeeping(
    housekeeping: Housekeeping,
    clock: SimClock,
    journal: Journal,
    every: Duration,
) {
    loop {
        let swept = housekeeping.sweep().await;
        if swept != Default::default() {
            journal.note(format!(
                "= swept {} rows, {} expired, {} servers, {} addresses",
                swept.rows,
                swept.expired.len(),
                swept.servers.len(),
                swept.vips.len()
            ));
        }
        clock.sleep(every).await;
    }
}

pub(crate) async fn spares(keeper: SpareKeeper, clock: SimClock, every: Duration) {
    loop {
        keeper.look().await;
        clock.sleep(every).await;
    }
}

/// `POST /loadbalancers`: takes the address, then stores the tree; gives the address back if that surely failed.
pub(crate) async fn user_creates(world: World, store: Store, lb: LoadBalancerId, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let request = VipRequest {
        load_balancer_id: lb,
        project_id: ProjectId::new("sim"),
        network_id: network_id(),
        subnet_id: subnet_id(),
        address: None,
        port_id: None,
        additional: vec![],
    };
    let Ok(vip) = world.vip_ensure(&request).await else { return };
    let graph = new_graph(lb, &vip, &mut rng, world.gates.wall());
    if store.lb_create(&graph).await.is_err() && matches!(store.lb_fetch(lb).await, Ok(None)) {
        let _ = world.vip_release(lb).await;
    }
}

const CHANGEABLE: &[ProvisioningStatus] =
    &[ProvisioningStatus::Active, ProvisioningStatus::PendingCreate, ProvisioningStatus::PendingUpdate];
const DELETABLE: &[ProvisioningStatus] = &[
    ProvisioningStatus::Active,
    ProvisioningStatus::PendingCreate,
    ProvisioningStatus::PendingUpdate,
    ProvisioningStatus::Error,
];

pub(crate) async fn user_changes(
    store: Store,
    lb: LoadBalancerId,
    wish: Wish,
    now: Timestamp,
    journal: Journal,
) {
    if let Wish::Failover | Wish::AmphoraFailover(_) | Wish::AmphoraRefresh(_) = wish {
        let answer = operator_asks(&store, lb, &wish).await;
        return journal.note(format!("= {answer}"));
    }
    let accept = Accept { statuses: CHANGEABLE, root_status_after: None };
    let change =
        |graph: &mut octavia_model::LoadBalancerGraph| if wish.apply(graph, now) { Ok(()) } else { Err(()) };
    let answer = match store.lb_change(lb, accept, change).await {
        Ok(((), graph)) => format!("generation {}", graph.load_balancer.generation),
        Err(ChangeError::Rejected(())) => "nothing to change".to_owned(),
        Err(error) => error.to_string(),
    };
    journal.note(format!("= {answer}"));
}

/// As the API does it: the amphora is looked up, and may be gone by the time something is asked of it.
async fn operator_asks(store: &Store, lb: LoadBalancerId, wish: &Wish) -> String {
    let amphora = async |at: usize| {
        let query = ListQuery {
            filters: vec![("loadbalancer_id".to_owned(), vec![lb.to_string()])],
            ..ListQuery::default()
        };
        let rows = store.amphora_list(&query).await.map(|page| page.items).unwrap_or_default();
        (!rows.is_empty()).then(|| rows[at % rows.len()].id)
    };
    let failover = async |statuses, which| match store.lb_failover(lb, statuses, which).await {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    };
    match wish {
        Wish::Failover => {
            failover(&[ProvisioningStatus::Active, ProvisioningStatus::Error], Which::All).await
        }
        Wish::AmphoraFailover(at) => match amphora(*at).await {
            Some(id) => failover(&[ProvisioningStatus::Active], Which::One(id)).await,
            None => "no amphora".to_owned(),
        },
        Wish::AmphoraRefresh(at) => match amphora(*at).await {
            Some(id) => match store.amphora_refresh(id).await {
                Ok(_) => "accepted".to_owned(),
                Err(error) => error.to_string(),
            },
            None => "no amphora".to_owned(),
        },
        other => format!("{} is asked of the tree", other.words()),
    }
}

pub(crate) async fn user_deletes(store: Store, lb: LoadBalancerId, journal: Journal) {
    let accept = Accept { statuses: DELETABLE, root_status_after: None };
    let change = |graph: &mut octavia_model::LoadBalancerGraph| -> Result<(), ()> {
        graph.load_balancer.statuses.provisioning = ProvisioningStatus::PendingDelete;
        Ok(())
    };
    let answer = match store.lb_change(lb, accept, change).await {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    };
    journal.note(format!("= {answer}"));
}

/// The outside of a controller, all of it simulated.
pub(crate) fn parts(store: Store, world: &World, clock: &SimClock, random: crate::SimRandom) -> Parts {
    Parts {
        store,
        compute: Arc::new(world.clone()),
        network: Arc::new(world.clone()),
        certs: Arc::new(world.clone()),
        secrets: Arc::new(world.clone()),
        agents: Arc::new(world.clone()),
        clock: Arc::new(clock.clone()),
        random: Arc::new(random),
    }
}
