//! Who is calling: a token that the identity service knows, or, with `noauth`, anybody.

use std::sync::Arc;

use http::HeaderMap;
use octavia_cloud::{Identity, IdentityError, RequestContext, ServiceContext};
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
                let verified = match first(headers, &["x-service-token"]) {
                    Some(service) => identity.verify_through(&token, &service).await,
                    None => identity.verify(&token).await,
                };
                match verified {
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
    let text = |names: &[&str]| first(headers, names);
    let project = |names: &[&str]| first(headers, names).map(ProjectId::new);
    let roles = |names: &[&str]| {
        let roles = first(headers, names).unwrap_or_default();
        roles.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect()
    };
    let user = text(&["x-user-id", "x-user"]).unwrap_or_default();
    RequestContext {
        user_name: text(&["x-user-name"]).unwrap_or_else(|| user.clone()),
        user_id: user,
        user_domain_id: text(&["x-user-domain-id"]),
        project_id: project(&["x-project-id", "x-tenant-id", "x-tenant"]),
        project_domain_id: text(&["x-project-domain-id"]),
        domain_id: text(&["x-domain-id"]),
        system_scope: text(&["openstack-system-scope"]),
        roles: roles(&["x-roles", "x-role"]),
        audit_ids: vec![],
        is_admin: true,
        service: text(&["x-service-user-id"]).map(|user_id| ServiceContext {
            user_id,
            user_domain_id: text(&["x-service-user-domain-id"]),
            project_id: project(&["x-service-project-id"]),
            project_domain_id: text(&["x-service-project-domain-id"]),
            roles: roles(&["x-service-roles"]),
        }),
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
