//! A store in memory, a fake cloud, a clock that can be put forward, and a load balancer to work on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use octavia_control::{
    BootOptions, Clock, HealthManager, HealthMetrics, HealthOptions, Housekeeping, HousekeepingOptions,
    Parts, Reconciled, SpareKeeper, SpareKeeperOptions, Stop, Stopper, SystemRandom, Worker, WorkerOptions,
};
use octavia_model::{
    Listener, ListenerId, ListenerProtocol, LoadBalancer, LoadBalancerGraph, LoadBalancerId, NetworkId, Pool,
    PoolId, PortId, ProjectId, ProvisioningStatus, Statuses, SubnetId, Vip,
};
use octavia_plan::SpareOptions;
use octavia_store::{Accept, Behalf, Store, StoreOptions};

use crate::certs::TestAuthority;
use crate::fake::FakeCloud;
use crate::secrets::FakeSecrets;

pub(crate) const KEY: &str = "the heartbeat key";

/// The machine's clock, put forward.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl octavia_store::Clock for TestClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

pub(crate) struct Rig {
    pub(crate) cloud: FakeCloud,
    pub(crate) secrets: FakeSecrets,
    pub(crate) clock: TestClock,
    pub(crate) certs: Arc<TestAuthority>,
    pub(crate) store: Store,
    pub(crate) parts: Parts,
    pub(crate) options: WorkerOptions,
    stop: Stop,
    _stopper: Stopper,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let clock = TestClock::default();
        let options = StoreOptions { clock: Some(Arc::new(clock.clone())), ..StoreOptions::default() };
        let store = Store::connect("sqlite::memory:", options).await.unwrap();
        store.migrate().await.unwrap();
        let cloud = FakeCloud::default();
        let secrets = FakeSecrets::default();
        let certs = Arc::new(TestAuthority::new());
        let parts = Parts {
            store: store.clone(),
            compute: Arc::new(cloud.clone()),
            network: Arc::new(cloud.clone()),
            certs: certs.clone(),
            secrets: Arc::new(secrets.clone()),
            agents: Arc::new(cloud.clone()),
            clock: Arc::new(clock.clone()),
            random: Arc::new(SystemRandom),
        };
        let boot = BootOptions {
            controllers: vec!["127.0.0.1:5555".parse().unwrap()],
            heartbeat_interval: Duration::from_secs(1),
            controller_name: "octavia-controller".to_owned(),
            cert_lifetime: SignedDuration::from_hours(720),
            proxy_threads: 1,
        };
        let options =
            WorkerOptions { boot_patience: SignedDuration::from_secs(2), ..WorkerOptions::new(boot) };
        let (stopper, stop) = Stopper::new();
        Self { cloud, secrets, clock, certs, store, parts, options, stop, _stopper: stopper }
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker::new(self.parts.clone(), self.options.clone(), self.stop.clone())
    }

    pub(crate) fn health(&self) -> HealthManager {
        self.health_counted(HealthMetrics::default())
    }

    pub(crate) fn health_counted(&self, metrics: HealthMetrics) -> HealthManager {
        let options = HealthOptions { metrics, ..HealthOptions::default() };
        let Parts { store, clock, certs, .. } = self.parts.clone();
        HealthManager::new(store, clock, certs, options)
    }

    pub(crate) fn housekeeping(&self) -> Housekeeping {
        Housekeeping::new(self.parts.clone(), HousekeepingOptions::default())
    }

    /// Keeps so many spares.
    pub(crate) fn keeper(&self, size: usize) -> SpareKeeper {
        let spares = SpareOptions {
            size,
            builds: 2,
            boot_timeout: SignedDuration::from_mins(10),
            heartbeat_timeout: SignedDuration::from_secs(60),
            renew_before: SignedDuration::from_hours(24),
        };
        let options = SpareKeeperOptions {
            spares,
            boot: self.options.boot.clone(),
            agent_port: 9443,
            interval: Duration::from_secs(1),
        };
        SpareKeeper::new(self.parts.clone(), options)
    }

    /// What the API does for `POST /loadbalancers`, with a listener on port 80.
    pub(crate) async fn lb_create(&self) -> LoadBalancerId {
        self.lb_create_for(&[]).await
    }

    /// For a request with these ids.
    pub(crate) async fn lb_create_for(&self, request_ids: &[String]) -> LoadBalancerId {
        let graph = graph();
        self.cloud.facts().vips.insert(graph.load_balancer.id);
        let store = self.store.on_behalf(Behalf { request_ids: request_ids.into(), ..Behalf::default() });
        store.lb_create(&graph).await.unwrap();
        graph.load_balancer.id
    }

    /// As [`Rig::lb_create`], changed before anybody sees it.
    pub(crate) async fn lb_create_as(&self, change: impl FnOnce(&mut LoadBalancerGraph)) -> LoadBalancerId {
        let mut graph = graph();
        change(&mut graph);
        self.cloud.facts().vips.insert(graph.load_balancer.id);
        self.store.lb_create(&graph).await.unwrap();
        graph.load_balancer.id
    }

    /// As [`Rig::lb_create`], with another listener, on port 443, that terminates TLS.
    pub(crate) async fn lb_create_secure(&self, references: &[&str]) -> LoadBalancerId {
        let mut graph = graph();
        let mut listener = Listener::new(ListenerId::new_v4(), &graph.load_balancer, 443, Timestamp::now());
        listener.protocol = ListenerProtocol::TerminatedHttps;
        listener.sni_container_refs = references.iter().map(|&reference| reference.to_owned()).collect();
        graph.listeners.push(listener);
        self.cloud.facts().vips.insert(graph.load_balancer.id);
        self.store.lb_create(&graph).await.unwrap();
        graph.load_balancer.id
    }

    /// As [`Rig::lb_create`], with a pool whose members are spoken to over TLS, as this says.
    pub(crate) async fn lb_create_encrypting(&self, change: impl FnOnce(&mut Pool)) -> LoadBalancerId {
        let mut graph = graph();
        let mut pool = Pool::new(PoolId::new_v4(), &graph.load_balancer, Timestamp::now());
        pool.tls_enabled = true;
        change(&mut pool);
        graph.listeners[0].default_pool_id = Some(pool.id);
        graph.pools.push(pool);
        self.cloud.facts().vips.insert(graph.load_balancer.id);
        self.store.lb_create(&graph).await.unwrap();
        graph.load_balancer.id
    }

    pub(crate) async fn lb_rename(&self, lb: LoadBalancerId) {
        let accept = Accept {
            statuses: ProvisioningStatus::ALL,
            root_status_after: Some(ProvisioningStatus::PendingUpdate),
        };
        let change = |graph: &mut LoadBalancerGraph| {
            graph.load_balancer.description.push('.');
            Ok::<_, ()>(())
        };
        self.store.lb_change(lb, accept, change).await.unwrap();
    }

    pub(crate) async fn lb_delete(&self, lb: LoadBalancerId) {
        let accept = Accept {
            statuses: ProvisioningStatus::ALL,
            root_status_after: Some(ProvisioningStatus::PendingDelete),
        };
        self.store.lb_change(lb, accept, |_| Ok::<_, ()>(())).await.unwrap();
    }

    /// One attempt, now.
    pub(crate) async fn reconcile(&self, lb: LoadBalancerId) -> Reconciled {
        self.store.lb_wake(lb).await.unwrap();
        self.worker().reconcile_one(lb).await.unwrap()
    }

    pub(crate) async fn graph(&self, lb: LoadBalancerId) -> LoadBalancerGraph {
        self.store.lb_fetch(lb).await.unwrap().unwrap()
    }

    pub(crate) async fn statuses(&self, lb: LoadBalancerId) -> Statuses {
        self.graph(lb).await.load_balancer.statuses
    }

    /// A load balancer in service.
    pub(crate) async fn active(&self) -> LoadBalancerId {
        let lb = self.lb_create().await;
        assert_eq!(self.reconcile(lb).await, Reconciled::Done);
        assert_eq!(self.statuses(lb).await.provisioning, ProvisioningStatus::Active);
        lb
    }
}

fn graph() -> LoadBalancerGraph {
    let now = Timestamp::now();
    let vip = Vip::new([127, 100, 64, 5].into(), SubnetId::new_v4(), NetworkId::new_v4(), PortId::new_v4());
    let lb = LoadBalancer::new(LoadBalancerId::new_v4(), ProjectId::new("project"), vip, now);
    let mut graph = LoadBalancerGraph::new(lb);
    graph.listeners.push(Listener::new(ListenerId::new_v4(), &graph.load_balancer, 80, now));
    graph
}
