//! [`Identity`] by any Keystone v3 over HTTP.
//!
//! A caller's token is shown to Keystone with a token of the service's own, which is got with a password or an
//! application credential and renewed before it ends and when it is refused. What Keystone says is believed for
//! [`cache_time`](KeystoneOptions::cache_time), which is how long a token that was taken back may go on working.
//!
//! [`ServiceLogin`] is such a login for the services beside it: a token, and where the catalogue has them.

#![forbid(unsafe_code)]

mod cache;
mod catalogue;
mod document;
mod login;
mod service;
mod session;
mod tls;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use octavia_cloud::{Identity, IdentityError, RequestContext, ServiceContext};

use self::cache::Cache;
pub use self::catalogue::Wanted;
pub use self::login::{Login, Named, Scope};
pub use self::service::ServiceLogin;
use self::session::Session;
pub use self::session::SessionOptions;
pub use self::tls::{TlsOptions, client_config};

/// Longer is no token, in bytes. Fernet's have about 250, JSON web tokens about 1,000.
const TOKEN_MAX: usize = 16 << 10;
/// Tokens remembered at most.
const CACHED_MAX: usize = 10_000;

/// How to reach Keystone, and how long to believe it: `[keystone_authtoken]`.
#[derive(Debug, Clone)]
pub struct KeystoneOptions {
    pub session: SessionOptions,
    /// What refused callers are told.
    pub www_authenticate_uri: String,
    /// Of Keystone in its own catalogue, where there is one of this kind; else `auth_url` serves.
    pub interface: String,
    pub region: Option<String>,
    /// How long a token that was found good is believed; `None` = never, each is shown to Keystone each time.
    pub cache_time: Option<Duration>,
    /// Roles of which a service needs one for its token to count.
    pub service_token_roles: Vec<String>,
    /// Refuse requests that come with a service's token without such a role.
    pub service_token_roles_required: bool,
}

/// Why it cannot even begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

/// Keystone, as far as we need it.
#[derive(Debug)]
pub struct Keystone {
    session: Session,
    /// Itself, in its catalogue.
    identity: Wanted,
    cache: Mutex<Cache>,
    cache_time: Option<Duration>,
    auth_uri: String,
    service_token_roles: Vec<String>,
    service_token_roles_required: bool,
}

impl Keystone {
    /// Asks nobody yet: a Keystone that is down at the start may come up later.
    ///
    /// # Errors
    ///
    /// If the address is none, or certificates cannot be read.
    pub fn open(options: KeystoneOptions) -> Result<Self, OpenError> {
        let KeystoneOptions { interface, region, .. } = options;
        Ok(Self {
            session: Session::open(options.session)?,
            identity: Wanted { kind: "identity", name: None, interface, region },
            cache: Mutex::new(Cache::new(CACHED_MAX)),
            cache_time: options.cache_time,
            auth_uri: options.www_authenticate_uri,
            service_token_roles: options.service_token_roles,
            service_token_roles_required: options.service_token_roles_required,
        })
    }

    async fn look_up(&self, token: &str, allow_expired: bool) -> Result<RequestContext, IdentityError> {
        // What could not stand in a header, or would be trimmed there, is no token.
        if token.is_empty() || token.len() > TOKEN_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IdentityError::InvalidToken);
        }
        let asked = Instant::now();
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).find(token, asked);
        if let Some(context) = cached {
            return Ok(context);
        }
        let found = match self.session.token_show(&self.identity, token, allow_expired).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(IdentityError::InvalidToken),
            Err(trouble) => return Err(IdentityError::Unavailable(trouble)),
        };
        // Clocks of two machines differ: that Keystone found it good a moment ago does not make it last.
        let left = found.expires_at.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        if left.is_zero() && !allow_expired {
            return Err(IdentityError::InvalidToken);
        }
        if let Some(time) = self.cache_time.filter(|_| !left.is_zero()) {
            // From when it was asked: an answer may have been long on its way.
            let until = asked + time.min(left);
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.keep(token, found.context.clone(), until, Instant::now());
        }
        Ok(found.context)
    }
}

#[async_trait]
impl Identity for Keystone {
    async fn verify(&self, token: &str) -> Result<RequestContext, IdentityError> {
        self.look_up(token, false).await
    }

    /// Work that a service does for a user may take longer than the user's token lives: with a service's token beside
    /// it, Keystone may still know it.
    async fn verify_through(
        &self,
        token: &str,
        service_token: &str,
    ) -> Result<RequestContext, IdentityError> {
        let service = self.look_up(service_token, false).await?;
        let counts = service
            .roles
            .iter()
            .any(|role| self.service_token_roles.iter().any(|wanted| wanted.eq_ignore_ascii_case(role)));
        if !counts {
            let roles = self.service_token_roles.join(", ");
            tracing::warn!(user = service.user_id, roles, "a service's token has none of the roles it needs");
            if self.service_token_roles_required {
                return Err(IdentityError::InvalidToken);
            }
        }
        let caller = self.look_up(token, counts).await?;
        Ok(RequestContext { service: Some(ServiceContext::from(service)), ..caller })
    }

    fn auth_uri(&self) -> &str {
        &self.auth_uri
    }
}
