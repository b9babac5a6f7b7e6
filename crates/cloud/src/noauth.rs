//! No identity service: every caller is the administrator.

use async_trait::async_trait;

use crate::{Identity, IdentityError, RequestContext};

/// `[api_settings] auth_strategy = noauth`: whatever token comes, or none, is an administrator's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noauth;

#[async_trait]
impl Identity for Noauth {
    async fn verify(&self, _token: &str) -> Result<RequestContext, IdentityError> {
        Ok(RequestContext {
            user_id: "noauth".into(),
            user_name: "noauth".into(),
            roles: vec!["admin".into()],
            is_admin: true,
            ..RequestContext::default()
        })
    }

    fn auth_uri(&self) -> &str {
        ""
    }
}
