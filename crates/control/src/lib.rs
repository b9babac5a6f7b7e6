//! What makes the world look like the rows: the worker, the health manager and the housekeeping.
//!
//! Every part is a loop over what the store says is there to do; none takes input from another, each may be killed
//! at any await, and any number of them may run over one database. Decisions are in `octavia_plan`; the outside is
//! behind traits: a cloud ([`octavia_cloud`]), [`Agents`], [`Clock`] and [`Random`].

#![forbid(unsafe_code)]

mod agents;
mod attempt;
mod boot;
mod client_tls;
mod clock;
mod controller;
mod executor;
mod health;
mod housekeeping;
mod ledger;
mod metrics;
mod noop_agents;
mod observe;
mod options;
mod orphans;
mod papers;
mod plumbing;
mod public;
mod random;
mod secrets;
mod spares;
mod staples;
mod stop;
mod turn;
mod worker;

pub use agents::{AgentAddress, AgentError, Agents, MutualTlsAgents, MutualTlsOptions};
pub use clock::{Clock, SystemClock};
pub use controller::{Controller, ControllerOptions};
pub use health::HealthManager;
pub use housekeeping::{Housekeeping, Swept};
pub use metrics::{HealthMetrics, WorkerMetrics};
pub use noop_agents::NoopAgents;
pub use options::{BootOptions, HealthOptions, HousekeepingOptions, Parts, VrrpOptions, WorkerOptions};
pub use random::{Random, SystemRandom};
pub use spares::{SpareKeeper, SpareKeeperOptions};
pub use staples::{Stapling, StaplingOptions};
pub use stop::{Stop, Stopper};
pub use worker::{Reconciled, Worker};
