//! Users, tokens, and the Keystone v3 API in front of them.

mod auth;
mod catalog;
mod directory;
mod http;
mod password;
mod register;
mod revoked;
mod show;
mod token;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use octavia_model::ProjectId;
use tokio::sync::Semaphore;

use self::auth::{AuthFailure, AuthRequest, Credential, Scope};
use self::catalog::Catalog;
use self::directory::{DOMAIN_ID, Directory, Named, Place, Refused, User};
pub(super) use self::http::router;
pub(super) use self::password::{Passwords, passwords_settle};
use self::register::{ChangeError, Register};
use self::revoked::Revoked;
use self::token::{Claims, Wider};
use super::blocking::Blocking;
use super::seed::{Seed, random_text};
use super::settings::Settings;
use super::{IDENTITY_PATH, LocalOptions, OpenError};
use crate::{CloudError, Identity, IdentityError, RequestContext};

/// Logins that may wait for their turn; more are turned away at once.
const LOGINS_WAITING_MAX: usize = 32;

/// [`Identity`] by users and tokens of our own.
pub(super) struct LocalIdentity {
    register: Arc<Register>,
    /// Of the project that owns what all share: the administrator's.
    owner: String,
    catalog: Catalog,
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

/// A token that was found good: who holds it, where, and what may be done. All of one moment.
#[derive(Debug, Clone)]
struct Session {
    claims: Claims,
    directory: Arc<Directory>,
    user: Named,
    place: Option<Place>,
    /// Of `place`, when it is one.
    project: Option<Named>,
    roles: Vec<Named>,
}

impl Session {
    /// `None` = the user is not there any more, or is not to come in, or has ended all tokens since; or the project is not
    /// there.
    fn of(claims: Claims, directory: Arc<Directory>) -> Option<Self> {
        let user = directory.user(&claims.user_id).filter(|user| user.series == claims.series)?.named.clone();
        let place = claims.place();
        let project = match &place {
            Some(Place::Project(id)) => Some(directory.project(id)?.clone()),
            _ => None,
        };
        if !user.enabled || project.as_ref().is_some_and(|project| !project.enabled) {
            return None;
        }
        let roles = match &place {
            Some(place) => directory.roles_of(&user.id, place).into_iter().cloned().collect(),
            None => vec![],
        };
        Some(Self { claims, directory, user, place, project, roles })
    }

    /// The token's own, and that of the first it was got with.
    fn audit_ids(&self) -> Vec<String> {
        [&self.claims.id].into_iter().chain(&self.claims.parent).cloned().collect()
    }

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
        let directory = Directory::new(seed, |user| settings.passwords.get(user).cloned());
        Ok(Self {
            owner: directory.projects.first().map(|project| project.id.clone()).unwrap_or_default(),
            register: Arc::new(Register::open(cloud_dir, directory)?),
            catalog: Catalog::new(seed, options.load_balancer.as_deref()),
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
        &self.owner
    }

    /// Opens a token of ours that is neither expired nor revoked.
    fn session(&self, token: &str, now: Timestamp) -> Option<Session> {
        let claims = Claims::open(token, &self.token_key, now)?;
        if self.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(&claims.id) {
            return None;
        }
        Session::of(claims, self.register.now())
    }

    /// A new token for who can show a password or a token.
    async fn authenticate(
        &self,
        request: &AuthRequest,
        now: Timestamp,
    ) -> Result<(String, Session), AuthFailure> {
        let (user_id, series, parent) = match &request.credential {
            Credential::Password { user, password } => {
                let (id, series) = self.login(user, password).await?;
                (id, series, None)
            }
            Credential::Token(token) => {
                let session = self.session(token, now).ok_or(AuthFailure::Denied)?;
                (session.user.id, session.claims.series, Some(session.claims))
            }
        };
        let directory = self.register.now();
        let place = place(&directory, &user_id, &request.scope)?;
        let expires_at = (now + self.token_lifetime).as_second();
        let claims = Claims {
            id: random_text::<16>(),
            user_id,
            series,
            wider: match place {
                Some(Place::Domain) => Some(Wider::Domain),
                Some(Place::System) => Some(Wider::System),
                _ => None,
            },
            project_id: match place {
                Some(Place::Project(id)) => Some(id),
                _ => None,
            },
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
        // Removed, disabled, or given another password since this one was looked at?
        let session = Session::of(claims, directory).ok_or(AuthFailure::Denied)?;
        Ok((token, session))
    }

    /// Id of the user whose password it is, and the series of tokens that it opens.
    async fn login(&self, user: &auth::UserRef, password: &str) -> Result<(String, u64), AuthFailure> {
        let waiting = self.logins_waiting.try_acquire().map_err(|_| AuthFailure::TooMany)?;
        let directory = self.register.now();
        let known = directory.users.iter().find(|known| known.named.enabled && user.means(&known.named));
        let hash = known.and_then(|known| known.hash.clone());
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
            Some(known) if holds => Ok((known.named.id.clone(), known.series)),
            _ => {
                tokio::time::sleep(self.login_penalty).await;
                Err(AuthFailure::Denied)
            }
        }
    }

    /// The hash of a password; waits its turn.
    async fn hash(&self, password: String) -> Result<String, CloudError> {
        self.hashing.run(move || password::hash(&password)).await
    }

    /// Changes the directory, durably.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Directory) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let register = Arc::clone(&self.register);
        match self.writer.run(move || register.change(change)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(ChangeError::File(std::io::Error::other(error.message))),
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

/// Where a user who asks for this scope has roles; `None` = asked for nothing.
fn place(directory: &Directory, user_id: &str, scope: &Scope) -> Result<Option<Place>, AuthFailure> {
    let place = match scope {
        Scope::None => return Ok(None),
        Scope::Project(wanted) => {
            let known = directory.projects_of(user_id).into_iter().find(|known| wanted.means(known));
            Place::Project(known.ok_or(AuthFailure::NoRole)?.id.clone())
        }
        Scope::Domain(domain) if domain.is_ours() => Place::Domain,
        Scope::Domain(_) => return Err(AuthFailure::NoRole),
        Scope::System => Place::System,
        Scope::Elsewhere => return Err(AuthFailure::ScopeNotOffered),
    };
    if directory.has_role_in(user_id, &place) { Ok(Some(place)) } else { Err(AuthFailure::NoRole) }
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
            audit_ids: session.audit_ids(),
            user_id: session.user.id.clone(),
            user_name: session.user.name.clone(),
            user_domain_id: Some(DOMAIN_ID.to_owned()),
            project_domain_id: session.project.as_ref().map(|_| DOMAIN_ID.to_owned()),
            project_id: session.project.map(|project| ProjectId::new(project.id)),
            domain_id: (session.place == Some(Place::Domain)).then(|| DOMAIN_ID.to_owned()),
            system_scope: (session.place == Some(Place::System)).then(|| "all".to_owned()),
            roles: session.roles.into_iter().map(|role| role.name).collect(),
            ..RequestContext::default()
        })
    }

    fn auth_uri(&self) -> &str {
        &self.auth_uri
    }
}
