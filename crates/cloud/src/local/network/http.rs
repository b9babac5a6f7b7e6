//! Neutron v2.0 over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;

use super::LocalNetwork;
use crate::local::http::empty;
use crate::local::identity::LocalIdentity;

pub(in crate::local) fn router(_network: Arc<LocalNetwork>, _identity: Arc<LocalIdentity>) -> Router {
    Router::new().fallback(|| async { empty(StatusCode::NOT_IMPLEMENTED) })
}
