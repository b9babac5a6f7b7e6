//! Who is calling: a token that the identity service knows, or, with `noauth`, anybody.

use std::sync::Arc;

use http::HeaderMap;
use octavia_cloud::{Identity, IdentityError, RequestContext};
use octavia_model::ProjectId;

use crate::fault::Fault;

/// How callers are told apart.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Every call needs `X-Auth-Token`, and every token is verified on every call.
    Keystone(Arc<dyn Identity>),
    /// Every caller is an administrator; the context headers are taken as given.
    NoAuth,
}

impl Authentication {
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<RequestContext, Fault> {
        match self {
            Self::NoAuth => Ok(context_from_headers(headers)),
            Self::Keystone(identity) => {
                let refused = || Fault::Unauthorized { auth_uri: identity.auth_uri().to_owned() };
                let token = first(headers, &["x-auth-token"]).ok_or_else(refused)?;
                match identity.verify(&token).await {
                    // `noauth` alone makes administrators of everybody.
                    Ok(context) => Ok(RequestContext { is_admin: false, ..context }),
                    Err(IdentityError::InvalidToken) => Err(refused()),
                    Err(error @ IdentityError::Unavailable(_)) => {
                        tracing::warn!(%error, "the token could not be verified");
                        Err(Fault::Unavailable(
                            "The identity service could not be asked; try again later.".to_owned(),
                        ))
                    }
                }
            }
        }
    }
}

fn context_from_headers(headers: &HeaderMap) -> RequestContext {
    let user = first(headers, &["x-user-id", "x-user"]).unwrap_or_default();
    RequestContext {
        user_name: first(headers, &["x-user-name"]).unwrap_or_else(|| user.clone()),
        user_id: user,
        project_id: first(headers, &["x-project-id", "x-tenant-id", "x-tenant"]).map(ProjectId::new),
        roles: first(headers, &["x-roles", "x-role"])
            .map(|roles| roles.split(',').map(|role| role.trim().to_owned()).collect())
            .unwrap_or_default(),
        is_admin: true,
    }
}

/// The first of these headers that is there and says something.
fn first(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        .map(str::trim)
        .find(|value| !value.is_empty())
        .map(str::to_owned)
}
