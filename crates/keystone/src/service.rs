//! The service's own login, for the services beside Keystone.

use async_trait::async_trait;
use octavia_cloud::{CloudError, ServiceIdentity, ServiceTokens};

use super::OpenError;
use super::catalogue::Wanted;
use super::session::{Session, SessionOptions};

/// A login, and the service it is for: `[service_auth]`.
#[derive(Debug)]
pub struct ServiceLogin {
    session: Session,
    wanted: Wanted,
}

impl ServiceLogin {
    /// Asks nobody yet.
    ///
    /// # Errors
    ///
    /// If the address is none, or certificates cannot be read.
    pub fn open(options: SessionOptions, wanted: Wanted) -> Result<Self, OpenError> {
        Ok(Self { session: Session::open(options)?, wanted })
    }
}

#[async_trait]
impl ServiceTokens for ServiceLogin {
    async fn service_identity(&self, stale: Option<&str>) -> Result<ServiceIdentity, CloudError> {
        let own = self.session.own_token(stale).await.map_err(|why| {
            tracing::warn!(why, "no login at Keystone for the {}", self.wanted.kind);
            CloudError::unavailable("Keystone gives the load balancer service no token")
        })?;
        let endpoint = own.catalogue.endpoint(&self.wanted).map(str::to_owned);
        Ok(ServiceIdentity { user_id: own.user_id, token: own.token, endpoint })
    }
}
