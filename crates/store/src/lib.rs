//! Everything that is remembered: desired state, leases, statuses, statistics, in one database.
//!
//! One code path serves SQLite, PostgreSQL 15 and MariaDB 10.11. The load balancer is the aggregate root: every
//! write to anything below it holds the root's row, so a reader in one transaction never sees half a change, and
//! two writers of one load balancer come one after the other.
//!
//! - The **API** writes desired state with [`Store::lb_create`] and [`Store::lb_change`]; it hands in pure functions
//!   over [`octavia_model::LoadBalancerGraph`] and no SQL. What a request asks of its writes beside that is its
//!   [`Behalf`].
//! - **Operators** write the catalogue through the API: flavors, availability zones and their profiles.
//! - **Workers** take a [`Lease`] and write under its epoch; a late worker's writes change nothing.
//! - **Spares**, amphorae of no load balancer yet, change by the status that they have; under a lease one is adopted.
//! - The **health manager** writes operating statuses and statistics with [`Store::heartbeat_apply`] and
//!   [`Store::heartbeats_apply`], never a
//!   provisioning status.
//!
//! Times are microseconds, and come from the database's clock (or [`StoreOptions::clock`]).

#![forbid(unsafe_code)]

mod activity;
mod amphora;
mod behalf;
mod catalogue;
mod census;
mod change;
mod copy;
mod difference;
mod entity;
mod error;
mod failover;
mod fetch;
mod gather;
mod group;
mod health;
mod heartbeat;
mod housekeeping;
mod import;
mod inspect;
mod lease;
mod ledger;
mod list;
mod metrics;
mod migration;
mod options;
mod pairs;
mod promise;
mod quota;
mod receipt;
mod retry;
mod settle;
mod show;
mod spare;
mod stats;
mod store;
mod turn;
mod url;
mod vip;
mod write;

pub use activity::Activity;
pub use behalf::Behalf;
pub use catalogue::{AvailabilityZoneChange, CatalogueError, FlavorChange, ProfileChange};
pub use census::Census;
pub use change::Accept;
pub use copy::{CopyError, CopyEvent};
pub use error::{ChangeError, Duplicate, ListError, Missing, StoreError};
pub use failover::{AmphoraError, Which};
pub use fetch::Desired;
pub use health::{HealthContext, SilentAmphora, StatusWrite, StatusWrites};
pub use heartbeat::{Acknowledged, HeartbeatWrite, Mark, Report};
pub use housekeeping::OutboxEntry;
pub use inspect::{AmphoraRow, Inspection, LoadBalancerRow};
pub use lease::{Lease, Release};
pub use ledger::{Operation, OperationPage, OperationRecord, OperationStart};
pub use list::{
    Direction, L7PolicyItem, ListQuery, ListenerItem, LoadBalancerItem, Page, PoolItem, Resource, SortKey,
    TagFilter,
};
pub use metrics::StoreMetrics;
pub use migration::Schema;
pub use options::{Call, Clock, Interceptor, StoreOptions};
pub use pairs::PairClaim;
pub use promise::Promise;
pub use quota::{Claim, QuotaRecord};
pub use receipt::Receipt;
pub use settle::{Settled, Settlement};
pub use stats::{AmphoraStatistics, Statistics};
pub use store::Store;
pub use turn::{TURN_WAIT, TurnAsked, TurnClaim};
pub use url::check_url;
