//! What the parts are made with. Durations have defaults that suit a real cloud; the embedded one takes shorter ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use octavia_cloud::{CertIssuer, Compute, Network, Secrets};
use octavia_plan::{PlanOptions, SpecOptions};
use octavia_store::Store;
use octavia_wire::{TicketRoot, VrrpSpec};

use crate::{Agents, Clock, HealthMetrics, Random, Stapling, WorkerMetrics};

/// The outside, as the controller sees it.
#[derive(Debug, Clone)]
pub struct Parts {
    pub store: Store,
    pub compute: Arc<dyn Compute>,
    pub network: Arc<dyn Network>,
    pub certs: Arc<dyn CertIssuer>,
    pub secrets: Arc<dyn Secrets>,
    pub agents: Arc<dyn Agents>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

#[derive(Debug, Clone)]
pub struct WorkerOptions {
    pub plan: PlanOptions,
    pub spec: SpecOptions,
    pub boot: BootOptions,
    /// What the keys of TLS session tickets follow from, and those by which amphorae of a pair know each other; `None` = each proxy
    /// makes its own, and nothing is shared.
    pub tickets: Option<TicketRoot>,
    /// How amphorae of a pair agree on who holds the VIPs.
    pub vrrp: VrrpOptions,
    /// `None` = nobody is asked about certificates.
    pub stapling: Option<Stapling>,
    /// Whether there may be spares: a new amphora is one that has booted already, if one fits.
    pub spares: bool,
    /// Load balancers whose servers may be in the making at once, of all workers together; `None` = any number.
    pub builds: Option<usize>,
    /// Load balancers worked on at once.
    pub concurrency: usize,
    /// How long a lease lasts unless renewed, which happens at a third of it; at most the store's horizon.
    pub lease_ttl: Duration,
    /// How far apart load balancers are looked at after the start, at which all of them are; the work of a start is
    /// spread by it.
    pub resume_pace: Duration,
    /// The longest the worker sleeps without asking what is due.
    pub poll_interval: Duration,
    /// How often a load balancer that is as desired is looked at again; at least as often as the store's horizon says.
    pub resync: SignedDuration,
    /// How long a starting server is watched under one lease, before it is left to a later attempt.
    pub boot_patience: SignedDuration,
    /// Where an agent's REST API listens, if the compute service cannot be asked.
    pub agent_port: u16,
    pub metrics: WorkerMetrics,
}

impl WorkerOptions {
    pub fn new(boot: BootOptions) -> Self {
        Self {
            plan: PlanOptions::default(),
            spec: SpecOptions::default(),
            boot,
            tickets: None,
            vrrp: VrrpOptions::default(),
            stapling: None,
            spares: false,
            builds: None,
            concurrency: 16,
            lease_ttl: Duration::from_secs(30),
            resume_pace: Duration::from_millis(10),
            poll_interval: Duration::from_secs(1),
            resync: SignedDuration::from_secs(30),
            boot_patience: SignedDuration::from_secs(15),
            agent_port: 9443,
            metrics: WorkerMetrics::default(),
        }
    }
}

/// The original's `[keepalived_vrrp]`, within the bounds of [`VrrpSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VrrpOptions {
    /// Milliseconds, in tens.
    pub advert_interval_ms: u32,
    /// Seconds after which the holder announces the VIPs again; 0 = never.
    pub announce_refresh_s: u32,
    /// How often each time.
    pub announce_refresh_count: u8,
}

impl Default for VrrpOptions {
    fn default() -> Self {
        let advert_interval_ms = VrrpSpec::ADVERT_INTERVAL_MS;
        Self { advert_interval_ms, announce_refresh_s: 5, announce_refresh_count: 2 }
    }
}

/// What a new amphora is told.
#[derive(Debug, Clone)]
pub struct BootOptions {
    /// Where heartbeats go, in turn.
    pub controllers: Vec<SocketAddr>,
    pub heartbeat_interval: Duration,
    /// Common name of the controllers' client certificates.
    pub controller_name: String,
    /// Lifetime of an agent's server certificate.
    pub cert_lifetime: SignedDuration,
    /// Threads that carry traffic; 0 = one a core.
    pub proxy_threads: u16,
}

#[derive(Debug, Clone)]
pub struct HealthOptions {
    /// After how long an amphora counts as silent.
    pub heartbeat_timeout: SignedDuration,
    /// For how long amphorae have to say what they say of who holds the VIPs until it counts; longer than they need to agree.
    pub agreement_patience: SignedDuration,
    /// How often what was heard is written.
    pub flush_interval: Duration,
    /// How often statistics are written, of up to 1,000 amphorae; of more, in proportion less often.
    pub statistics_interval: SignedDuration,
    /// How often silence is looked for.
    pub scan_interval: Duration,
    pub metrics: HealthMetrics,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            heartbeat_timeout: SignedDuration::from_secs(60),
            agreement_patience: SignedDuration::from_secs(5),
            flush_interval: Duration::from_millis(100),
            statistics_interval: SignedDuration::from_secs(3),
            scan_interval: Duration::from_secs(3),
            metrics: HealthMetrics::default(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct HousekeepingOptions {
    pub interval: Duration,
    /// How long a load balancer may be `PENDING_*`; as in [`PlanOptions`], for those no worker gets to.
    pub max_pending: SignedDuration,
    /// How long rows of what was deleted are kept.
    pub expiry_age: SignedDuration,
    /// How many steps of each load balancer the ledger keeps, about.
    pub ledger_max: u64,
    /// How long receipts of requests with an `Idempotency-Key` are kept.
    pub receipt_age: SignedDuration,
    /// How many of them each project has, about; the oldest go.
    pub receipts_max: u64,
    /// How many entries wait in the outbox, about; the oldest go unsaid.
    pub outbox_max: u64,
    /// How long something outside has to be without a row, in every look at it, before it is removed.
    pub orphan_age: SignedDuration,
}

impl Default for HousekeepingOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            max_pending: PlanOptions::default().max_pending,
            expiry_age: SignedDuration::from_hours(7 * 24),
            ledger_max: 1_000,
            receipt_age: SignedDuration::from_hours(24),
            receipts_max: 10_000,
            outbox_max: 100_000,
            orphan_age: SignedDuration::from_mins(5),
        }
    }
}
