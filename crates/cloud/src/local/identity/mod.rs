//! Users, tokens, and the Keystone v3 API in front of them.

mod auth;
mod catalog;
mod directory;
mod http;
mod password;
mod revoked;
mod token;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use octavia_model::ProjectId;
use tokio::sync::Semaphore;

use self::auth::{AuthFailure, AuthRequest, Credential, Scope};
use self::catalog::Catalog;
use self::directory::{Directory, Named};
pub(super) use self::http::router;
pub(super) use self::password::{Passwords, passwords_settle};
use self::revoked::Revoked;
use self::token::Claims;
use super::blocking::Blocking;
use super::seed::{Seed, random_text};
use super::settings::Settings;
use super::{IDENTITY_PATH, LocalOptions, OpenError};
use crate::{CloudError, Identity, IdentityError, RequestContext};

/// Logins that may wait for their turn; more are turned away at once.
const LOGINS_WAITING_MAX: usize = 32;

/// [`Identity`] by users and tokens of our own.
pub(super) struct LocalIdentity {
    directory: Directory,
    catalog: Catalog,
    hashes: BTreeMap<String, String>,
    token_key: Vec<u8>,
    token_lifetime: SignedDuration,
    login_penalty: Duration,
    auth_uri: String,
    revoked: Arc<Mutex<Revoked>>,
    /// One hash at a time: guessing gets no faster by asking in parallel.
    hashing: Blocking,
    writer: Blocking,
    logins_waiting: Semaphore,
}

impl std::fmt::Debug for LocalIdentity {
    /// Without hashes and keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalIdentity").field("auth_uri", &self.auth_uri).finish_non_exhaustive()
    }
}

/// A token that was found good: who holds it, where, and what may be done.
#[derive(Debug, Clone)]
struct Session<'a> {
    claims: Claims,
    user: &'a Named,
    project: Option<&'a Named>,
    roles: Vec<&'a Named>,
}

impl Session<'_> {
    fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role.name == "admin")
    }
}

impl LocalIdentity {
    pub(super) fn open(
        cloud_dir: &Path,
        seed: &Seed,
        settings: &Settings,
        options: &LocalOptions,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let revoked = Revoked::open(cloud_dir, now).map_err(|error| OpenError::file(cloud_dir, error))?;
        Ok(Self {
            directory: Directory::new(seed),
            catalog: Catalog::new(seed),
            hashes: settings.passwords.clone(),
            token_key: settings.token_key.clone().into_bytes(),
            token_lifetime: options.token_lifetime,
            login_penalty: options.login_penalty,
            auth_uri: format!("{}{IDENTITY_PATH}", options.url),
            revoked: Arc::new(Mutex::new(revoked)),
            hashing: Blocking::new(1),
            writer: Blocking::new(1),
            logins_waiting: Semaphore::new(LOGINS_WAITING_MAX),
        })
    }

    /// Id of the project that owns what all share: the administrator's.
    pub(super) fn owner(&self) -> &str {
        self.directory.projects.first().map_or("", |project| &project.id)
    }

    /// Opens a token of ours that is neither expired nor revoked.
    fn session(&self, token: &str, now: Timestamp) -> Option<Session<'_>> {
        let claims = Claims::open(token, &self.token_key, now)?;
        if self.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(&claims.id) {
            return None;
        }
        let user = self.directory.user(&claims.user_id)?;
        let project = match &claims.project_id {
            Some(id) => Some(self.directory.project(id)?),
            None => None,
        };
        let roles = project.map(|project| self.directory.roles_of(user, project)).unwrap_or_default();
        Some(Session { claims, user, project, roles })
    }

    /// A new token for who can show a password or a token.
    async fn authenticate(
        &self,
        request: &AuthRequest,
        now: Timestamp,
    ) -> Result<(String, Session<'_>), AuthFailure> {
        let (user, parent) = match &request.credential {
            Credential::Password { user, password } => (self.login(user, password).await?, None),
            Credential::Token(token) => {
                let session = self.session(token, now).ok_or(AuthFailure::Denied)?;
                (session.user, Some(session.claims))
            }
        };
        let project = match &request.scope {
            Scope::None => None,
            Scope::Project(project) => Some(
                self.directory
                    .projects_of(user)
                    .into_iter()
                    .find(|known| project.means(known))
                    .ok_or(AuthFailure::NoRole)?,
            ),
            Scope::Elsewhere => return Err(AuthFailure::ScopeNotOffered),
        };
        let expires_at = (now + self.token_lifetime).as_second();
        let claims = Claims {
            id: random_text::<16>(),
            user_id: user.id.clone(),
            project_id: project.map(|project| project.id.clone()),
            methods: match &parent {
                Some(parent) => merged(&parent.methods, "token"),
                None => vec!["password".into()],
            },
            issued_at: now.as_second(),
            // A token cannot be kept alive by exchanging it.
            expires_at: parent.as_ref().map_or(expires_at, |parent| expires_at.min(parent.expires_at)),
            parent: parent.map(|parent| parent.parent.unwrap_or(parent.id)),
        };
        let token = claims.seal(&self.token_key);
        let roles = project.map(|project| self.directory.roles_of(user, project)).unwrap_or_default();
        Ok((token, Session { claims, user, project, roles }))
    }

    async fn login(&self, user: &auth::UserRef, password: &str) -> Result<&Named, AuthFailure> {
        let waiting = self.logins_waiting.try_acquire().map_err(|_| AuthFailure::TooMany)?;
        let known = self.directory.users.iter().find(|known| user.means(known));
        let hash = known.and_then(|known| self.hashes.get(known.name)).cloned();
        let password = password.to_owned();
        let work = move || match hash {
            Some(hash) => password::holds(&password, &hash),
            None => {
                password::holds_nothing(&password);
                false
            }
        };
        let holds = self.hashing.run(work).await?;
        drop(waiting);
        match known {
            Some(known) if holds => Ok(known),
            _ => {
                tokio::time::sleep(self.login_penalty).await;
                Err(AuthFailure::Denied)
            }
        }
    }

    /// Takes a token back, durably.
    async fn revoke(&self, claims: Claims, now: Timestamp) -> Result<(), CloudError> {
        let revoked = Arc::clone(&self.revoked);
        self.writer
            .run(move || {
                let mut revoked = revoked.lock().unwrap_or_else(PoisonError::into_inner);
                revoked.add(&claims.id, claims.expires_at, now)
            })
            .await?
            .map_err(|error| CloudError::unavailable(format!("the revocation could not be stored: {error}")))
    }
}

fn merged(methods: &[String], method: &str) -> Vec<String> {
    let mut all = methods.to_vec();
    if !all.iter().any(|known| known == method) {
        all.push(method.into());
    }
    all
}

#[async_trait]
impl Identity for LocalIdentity {
    async fn verify(&self, token: &str) -> Result<RequestContext, IdentityError> {
        let session = self.session(token, Timestamp::now()).ok_or(IdentityError::InvalidToken)?;
        Ok(RequestContext {
            user_id: session.user.id.clone(),
            user_name: session.user.name.to_owned(),
            project_id: session.project.map(|project| ProjectId::new(project.id.clone())),
            roles: session.roles.iter().map(|role| role.name.to_owned()).collect(),
            is_admin: false,
        })
    }

    fn auth_uri(&self) -> &str {
        &self.auth_uri
    }
}
