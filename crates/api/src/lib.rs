//! The REST API: Octavia v2.30 over HTTP, as its clients know it.
//!
//! A request goes one way: [`router`] gives it an id and a caller, the table of [`ENDPOINTS`] says what it is, a
//! handler decodes the body, finds the objects, asks the policy, and hands pure rules to the store's
//! [`lb_change`](octavia_store::Store::lb_change); a view of what was stored goes back. Nothing here calls an agent or
//! waits for work to be done. Texts, status codes and their order follow the original, because clients match on them.

#![forbid(unsafe_code)]

mod account;
mod audit;
mod auth;
mod body;
mod call;
mod cors;
mod endpoint;
mod fault;
mod forwarded;
mod handler;
mod healthcheck;
mod idempotency;
mod metrics;
mod offer;
mod openapi;
mod options;
mod page;
mod policy;
mod query;
mod rehearsal;
mod request;
mod rules;
mod secrets;
mod server;
mod storage;
mod validator;
mod view;
mod vip;

use std::sync::Arc;

use octavia_cloud::{Network, Secrets};
use octavia_store::Store;

pub use audit::{Audit, AuditSink, Who};
pub use auth::Authentication;
pub use cors::CorsOptions;
pub use endpoint::{ENDPOINTS, Endpoint};
pub use forwarded::Peer;
pub use healthcheck::{HealthcheckBackend, HealthcheckOptions};
pub use metrics::ApiMetrics;
pub use options::{ApiOptions, DataPlane, PendingWrites, TlsDefaults, VipOptions};
pub use policy::Policy;
pub use server::router;

/// What the API stands on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiState {
    pub store: Store,
    /// Resolves and takes VIPs.
    pub network: Arc<dyn Network>,
    /// Where certificates are that listeners and pools refer to.
    pub secrets: Arc<dyn Secrets>,
    pub authentication: Authentication,
    pub policy: Policy,
    pub options: Arc<ApiOptions>,
    pub metrics: ApiMetrics,
    pub audit: Audit,
}
