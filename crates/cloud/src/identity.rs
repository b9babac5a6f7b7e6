//! Who is calling.

use async_trait::async_trait;
use octavia_model::ProjectId;

/// The service that knows tokens (Keystone; the embedded users; nobody at all with `noauth`).
#[async_trait]
pub trait Identity: Send + Sync + std::fmt::Debug {
    /// Who holds this token, as of now.
    async fn verify(&self, token: &str) -> Result<RequestContext, IdentityError>;

    /// Goes into `WWW-Authenticate: Keystone uri="…"`.
    fn auth_uri(&self) -> &str;
}

/// The caller of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    pub user_id: String,
    pub user_name: String,
    pub project_id: Option<ProjectId>,
    pub roles: Vec<String>,
    /// Forced by `noauth`: every check passes, quotas do not count.
    pub is_admin: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the token is not valid: unknown, expired or revoked")]
    InvalidToken,
    #[error("the identity service could not be asked: {0}")]
    Unavailable(String),
}
