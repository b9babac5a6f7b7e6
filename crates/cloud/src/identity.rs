//! Who is calling.

use async_trait::async_trait;
use octavia_model::ProjectId;
use serde::{Deserialize, Serialize};

/// The service that knows tokens (Keystone; the embedded users; nobody at all with `noauth`).
#[async_trait]
pub trait Identity: Send + Sync + std::fmt::Debug {
    /// Who holds this token, as of now.
    async fn verify(&self, token: &str) -> Result<RequestContext, IdentityError>;

    /// Who holds this token, for a request that comes through another service, which shows a token of its own.
    async fn verify_through(
        &self,
        token: &str,
        service_token: &str,
    ) -> Result<RequestContext, IdentityError> {
        let service = ServiceContext::from(self.verify(service_token).await?);
        Ok(RequestContext { service: Some(service), ..self.verify(token).await? })
    }

    /// Goes into `WWW-Authenticate: Keystone uri="…"`.
    fn auth_uri(&self) -> &str;
}

/// Audit ids of a token.
pub const AUDIT_IDS_MAX: usize = 2;

/// The caller of one request. At most one of project, domain and system is where the token is good.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestContext {
    pub user_id: String,
    pub user_name: String,
    pub user_domain_id: Option<String>,
    #[serde(with = "crate::project_text::option")]
    pub project_id: Option<ProjectId>,
    pub project_domain_id: Option<String>,
    /// Of a token that is good for a domain.
    pub domain_id: Option<String>,
    /// `all`, of a token that is good for the whole cloud.
    pub system_scope: Option<String>,
    pub roles: Vec<String>,
    /// Ids that Keystone gives a token to be named by in records, where the token itself must not be: its own, and that
    /// of the first of the chain of tokens that it was got with. At most [`AUDIT_IDS_MAX`].
    pub audit_ids: Vec<String>,
    /// Forced by `noauth`: every check passes, quotas do not count.
    pub is_admin: bool,
    /// The service that the request came through, if it said who it is.
    pub service: Option<ServiceContext>,
}

/// A service that passes on what a user asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceContext {
    pub user_id: String,
    pub user_domain_id: Option<String>,
    #[serde(with = "crate::project_text::option")]
    pub project_id: Option<ProjectId>,
    pub project_domain_id: Option<String>,
    pub roles: Vec<String>,
}

impl From<RequestContext> for ServiceContext {
    fn from(caller: RequestContext) -> Self {
        let RequestContext { user_id, user_domain_id, project_id, project_domain_id, roles, .. } = caller;
        Self { user_id, user_domain_id, project_id, project_domain_id, roles }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the token is not valid: unknown, expired or revoked")]
    InvalidToken,
    #[error("the identity service could not be asked: {0}")]
    Unavailable(String),
}
