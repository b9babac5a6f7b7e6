//! Users, projects, roles and grants, made, changed and removed by an administrator; and everybody's own password.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::directory::{DOMAIN_ID, Directory, Grant, Named, Refused};
use super::http::{Keystone, Refusal};
use super::password::PASSWORD_MAX;
use super::register::ChangeError;
use super::show::place;
use super::{Session, User, password};
use crate::CloudError;
use crate::local::http::{empty, json as answer};

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let status = match &error {
            ChangeError::Refused(Refused::NotFound(..)) => StatusCode::NOT_FOUND,
            ChangeError::Refused(Refused::Taken(..)) => StatusCode::CONFLICT,
            ChangeError::Refused(Refused::Fixed(..) | Refused::Full) => StatusCode::FORBIDDEN,
            ChangeError::Refused(Refused::Invalid(_)) => StatusCode::BAD_REQUEST,
            ChangeError::File(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let text = match error {
            ChangeError::Refused(refused) => refused.to_string(),
            ChangeError::File(error) => format!("It could not be stored: {error}"),
        };
        Self(status, text)
    }
}

impl From<CloudError> for Refusal {
    fn from(error: CloudError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.message)
    }
}

/// Attributes as they were sent; what is not said stays as it is. Others are not looked at.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Sent {
    name: Option<String>,
    description: Option<String>,
    enabled: Option<bool>,
    domain_id: Option<String>,
    email: Option<String>,
    default_project_id: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct PasswordChange {
    original_password: String,
    password: String,
}

impl Sent {
    fn named(&self, mut named: Named) -> Result<Named, Refusal> {
        if self.domain_id.as_deref().is_some_and(|id| id != DOMAIN_ID) {
            return Err(invalid("There is one domain here, \"default\"."));
        }
        if let Some(name) = &self.name {
            named.name.clone_from(name);
        }
        if let Some(description) = &self.description {
            named.description.clone_from(description);
        }
        named.enabled = self.enabled.unwrap_or(named.enabled);
        Ok(named)
    }

    /// `hash` is that of the password that was sent.
    fn user(&self, user: User, hash: Option<String>) -> Result<User, Refusal> {
        Ok(User {
            named: self.named(user.named)?,
            email: self.email.clone().or(user.email),
            default_project_id: self.default_project_id.clone().or(user.default_project_id),
            hash: hash.or(user.hash),
            series: user.series,
        })
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, text.into())
}

/// Whether the path names one role of one user in one place, which is asked about by status alone.
pub(super) fn names_grant(path: &[&str]) -> bool {
    matches!(path, ["projects" | "domains", _, "users", _, "roles", _] | ["system", "users", _, "roles", _])
}

impl Keystone<'_> {
    pub(super) async fn write(&self, path: &[&str]) -> Result<Response, Refusal> {
        let caller = self.caller()?;
        let method = &self.call.method;
        if let (&Method::POST, ["users", id, "password"]) = (method, path) {
            return self.password_change(&caller, id).await;
        }
        if !caller.is_admin() {
            return Err(Refusal::forbidden());
        }
        match (method, path) {
            (&Method::POST, ["users"]) => self.user_create().await,
            (&Method::PATCH, ["users", id]) => self.user_update(&caller, id).await,
            (&Method::DELETE, ["users", id]) => {
                let id = (*id).to_owned();
                self.identity.change(move |directory| directory.user_remove(&id)).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            (&Method::POST, ["projects"]) => {
                let project = self.sent::<Sent>("project")?.named(new_named())?;
                let made = project.clone();
                self.identity.change(move |directory| directory.project_put(made)).await?;
                Ok(self.shown(StatusCode::CREATED, "project", self.projects(vec![&project])))
            }
            (&Method::PATCH, ["projects", id]) => {
                let known = caller.directory.project(id).ok_or_else(|| Refusal::not_found("project"))?;
                let project = self.sent::<Sent>("project")?.named(known.clone())?;
                let changed = project.clone();
                self.identity.change(move |directory| directory.project_put(changed)).await?;
                Ok(self.shown(StatusCode::OK, "project", self.projects(vec![&project])))
            }
            (&Method::DELETE, ["projects", id]) => {
                let id = (*id).to_owned();
                self.identity.change(move |directory| directory.project_remove(&id)).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            (&Method::POST, ["roles"]) => {
                let role = self.sent::<Sent>("role")?.named(new_named())?;
                let made = role.clone();
                self.identity.change(move |directory| directory.role_put(made)).await?;
                Ok(self.shown(StatusCode::CREATED, "role", self.roles(std::iter::once(&role))))
            }
            (&Method::PATCH, ["roles", id]) => {
                let known = caller.directory.role(id).ok_or_else(|| Refusal::not_found("role"))?;
                let role = self.sent::<Sent>("role")?.named(known.clone())?;
                let changed = role.clone();
                self.identity.change(move |directory| directory.role_put(changed)).await?;
                Ok(self.shown(StatusCode::OK, "role", self.roles(std::iter::once(&role))))
            }
            (&Method::DELETE, ["roles", id]) => {
                let id = (*id).to_owned();
                self.identity.change(move |directory| directory.role_remove(&id)).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            (_, path) if names_grant(path) => self.grant(&caller, path).await,
            _ => Err(self.not_offered()),
        }
    }

    async fn user_create(&self) -> Result<Response, Refusal> {
        let sent: Sent = self.sent("user")?;
        let hash = self.hash(sent.password.clone()).await?;
        let new = User { named: new_named(), email: None, default_project_id: None, hash: None, series: 0 };
        let user = sent.user(new, hash)?;
        let made = user.clone();
        self.identity.change(move |directory| directory.user_put(made)).await?;
        Ok(self.shown(StatusCode::CREATED, "user", self.users(std::iter::once(&user))))
    }

    async fn user_update(&self, caller: &Session, id: &str) -> Result<Response, Refusal> {
        let known = caller.directory.user(id).ok_or_else(|| Refusal::not_found("user"))?;
        let sent: Sent = self.sent("user")?;
        let hash = self.hash(sent.password.clone()).await?;
        sent.user(known.clone(), hash.clone())?;
        let id = id.to_owned();
        // Of the user as it is by then: another change must not be taken back.
        let change = move |directory: &mut Directory| {
            let known = directory.user(&id).cloned().ok_or(Refused::NotFound("user", id))?;
            let user = sent.user(known, hash).map_err(|Refusal(_, text)| Refused::Invalid(text))?;
            directory.user_put(user.clone())?;
            Ok(user)
        };
        let user = self.identity.change(change).await?;
        Ok(self.shown(StatusCode::OK, "user", self.users(std::iter::once(&user))))
    }

    async fn password_change(&self, caller: &Session, id: &str) -> Result<Response, Refusal> {
        if caller.user.id != id {
            return Err(Refusal::forbidden());
        }
        let PasswordChange { original_password, password } = self.sent("user")?;
        let known = caller.directory.user(id).ok_or_else(|| Refusal::not_found("user"))?;
        let stored = known.hash.clone().unwrap_or_default();
        let holds = self.identity.hashing.run(move || password::holds(&original_password, &stored)).await?;
        if !holds {
            tokio::time::sleep(self.identity.login_penalty).await;
            return Err(Refusal(StatusCode::UNAUTHORIZED, "The original password is not right.".into()));
        }
        let user = User { hash: self.hash(Some(password)).await?, ..known.clone() };
        self.identity.change(move |directory| directory.user_put(user)).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn grant(&self, caller: &Session, path: &[&str]) -> Result<Response, Refusal> {
        let place = place(path).ok_or_else(|| Refusal::not_found("domain"))?;
        let [.., user, _, role] = path else {
            return Err(self.not_offered());
        };
        let grant = Grant::new(user, place, role);
        match self.call.method {
            Method::PUT => self.identity.change(move |directory| directory.grant_put(grant)).await?,
            Method::DELETE => self.identity.change(move |directory| directory.grant_remove(&grant)).await?,
            Method::GET | Method::HEAD => {
                caller.directory.grant_check(&grant).map_err(ChangeError::Refused)?;
                if !caller.directory.grant_is(&grant) {
                    return Err(Refusal::not_found("role assignment"));
                }
            }
            _ => return Err(self.not_offered()),
        }
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn hash(&self, password: Option<String>) -> Result<Option<String>, Refusal> {
        match password {
            Some(password) if password.is_empty() || password.len() > PASSWORD_MAX => {
                Err(invalid(&format!("A password has 1 to {PASSWORD_MAX} bytes.")))
            }
            Some(password) => Ok(Some(self.identity.hash(password).await?)),
            None => Ok(None),
        }
    }

    /// The body's one object. A parser's error may quote the body, and there may be a password in it.
    fn sent<T: DeserializeOwned>(&self, key: &str) -> Result<T, Refusal> {
        let malformed = || invalid(&format!("The body is not JSON with one object \"{key}\"."));
        let mut body: Value = serde_json::from_slice(&self.call.body).map_err(|_| malformed())?;
        let object = body.get_mut(key).map(Value::take).filter(Value::is_object).ok_or_else(malformed)?;
        serde_json::from_value(object).map_err(|_| malformed())
    }

    fn shown(&self, status: StatusCode, key: &str, mut documents: Vec<Value>) -> Response {
        answer(status, &json!({key: documents.pop()}))
    }
}

fn new_named() -> Named {
    Named::new(uuid::Uuid::new_v4().simple().to_string(), "")
}
