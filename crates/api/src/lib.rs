//! The REST API: Octavia v2.30 over HTTP.

#![forbid(unsafe_code)]

mod auth;
mod body;
mod endpoint;
mod fault;
mod options;
mod policy;
mod query;
mod request;
mod rules;
mod view;
mod vip;

pub use auth::Authentication;
pub use endpoint::{ENDPOINTS, Endpoint};
pub use options::{ApiOptions, PendingWrites};
