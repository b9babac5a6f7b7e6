//! Keystone v3 over HTTP: tokens, and the read side of what there is.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::auth::{AuthFailure, AuthRequest};
use super::directory::{DOMAIN_ID, DOMAIN_NAME, Named};
use super::{LocalIdentity, Session};
use crate::local::http::{Call, empty, json as answer};
use crate::local::list::filtered;
use crate::local::{IDENTITY_PATH, REGION};

const TOKEN_HEADER: &str = "x-auth-token";
const SUBJECT_HEADER: &str = "x-subject-token";

pub(in crate::local) fn router(identity: Arc<LocalIdentity>) -> Router {
    Router::new().fallback(move |request: Request| {
        let identity = Arc::clone(&identity);
        async move {
            match Call::read(request).await {
                Some(call) => Keystone { identity: &identity, call: &call }.respond().await,
                None => fault(&Refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.".into())),
            }
        }
    })
}

/// A status, and a sentence that says why.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn unauthorized(text: &str) -> Self {
        Self(StatusCode::UNAUTHORIZED, text.into())
    }

    fn not_found(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("Could not find {what}."))
    }

    fn forbidden() -> Self {
        Self(StatusCode::FORBIDDEN, "You are not authorized to perform the requested action.".into())
    }
}

impl From<AuthFailure> for Refusal {
    fn from(failure: AuthFailure) -> Self {
        let unauthorized = Self::unauthorized;
        match failure {
            AuthFailure::Malformed(text) => Self(StatusCode::BAD_REQUEST, text),
            AuthFailure::Denied => unauthorized("The user, the password or the token is not right."),
            AuthFailure::MethodNotOffered => {
                unauthorized("This identity service takes one method, \"password\" or \"token\".")
            }
            AuthFailure::ScopeNotOffered => {
                unauthorized("Only projects have roles here: ask for a project's token.")
            }
            AuthFailure::NoRole => unauthorized("The project does not exist, or the user has no role in it."),
            AuthFailure::TooMany => {
                Self(StatusCode::TOO_MANY_REQUESTS, "Too many logins at once: try again in a second.".into())
            }
            AuthFailure::Trouble(error) => Self(StatusCode::SERVICE_UNAVAILABLE, error.message),
        }
    }
}

fn fault(Refusal(status, text): &Refusal) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    answer(*status, &json!({"error": {"code": status.as_u16(), "title": title, "message": text}}))
}

struct Keystone<'a> {
    identity: &'a LocalIdentity,
    call: &'a Call,
}

impl<'a> Keystone<'a> {
    async fn respond(self) -> Response {
        let unauthenticated = |refusal: &Refusal| refusal.0 == StatusCode::UNAUTHORIZED;
        match self.dispatch().await {
            Ok(mut response) => {
                response.headers_mut().insert(header::VARY, HeaderValue::from_static("X-Auth-Token"));
                response
            }
            Err(refusal) => {
                let mut response = fault(&refusal);
                let challenge = format!("Keystone uri=\"{}/v3\"", self.root());
                if unauthenticated(&refusal)
                    && let Ok(value) = HeaderValue::try_from(challenge)
                {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
                }
                response
            }
        }
    }

    async fn dispatch(&self) -> Result<Response, Refusal> {
        let path = self.call.path();
        let read = self.call.method == Method::GET || self.call.method == Method::HEAD;
        match path.as_slice() {
            [] if read => Ok(answer(StatusCode::MULTIPLE_CHOICES, &self.versions())),
            ["v3"] if read => Ok(answer(StatusCode::OK, &json!({"version": self.version()}))),
            ["v3", "auth", "tokens"] => match self.call.method {
                Method::POST => self.token_issue().await,
                Method::GET | Method::HEAD => self.token_show(),
                Method::DELETE => self.token_revoke().await,
                _ => Err(self.not_offered()),
            },
            ["v3", path @ ..] if read => self.show(path).map(|document| answer(StatusCode::OK, &document)),
            ["v3", ..] => {
                self.caller()?;
                Err(self.not_offered())
            }
            _ => Err(Refusal::not_found(&format!("/{}", path.join("/")))),
        }
    }

    fn base(&self) -> String {
        self.call.base(self.identity.auth_uri.trim_end_matches(IDENTITY_PATH))
    }

    fn root(&self) -> String {
        format!("{}{IDENTITY_PATH}", self.base())
    }

    fn not_offered(&self) -> Refusal {
        Refusal(
            StatusCode::NOT_IMPLEMENTED,
            format!(
                "{} is not offered here: users, projects and roles of the embedded identity service are fixed.",
                self.call.method
            ),
        )
    }

    fn versions(&self) -> Value {
        json!({"versions": {"values": [self.version()]}})
    }

    fn version(&self) -> Value {
        json!({
            "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": format!("{}/v3/", self.root())}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
        })
    }

    // ---- tokens

    fn caller(&self) -> Result<Session<'a>, Refusal> {
        self.call
            .header(TOKEN_HEADER)
            .and_then(|token| self.identity.session(token, Timestamp::now()))
            .ok_or_else(|| Refusal::unauthorized("The request you have made requires authentication."))
    }

    /// The token that the request is about: the caller's own, or anybody's for an administrator.
    fn subject(&self) -> Result<Session<'a>, Refusal> {
        let caller = self.caller()?;
        let token = self
            .call
            .header(SUBJECT_HEADER)
            .ok_or_else(|| Refusal(StatusCode::BAD_REQUEST, "X-Subject-Token is missing.".into()))?;
        let subject = self.identity.session(token, Timestamp::now());
        match subject {
            Some(subject) if subject.user == caller.user || caller.is_admin() => Ok(subject),
            Some(_) => Err(Refusal::forbidden()),
            None => Err(Refusal::not_found("token")),
        }
    }

    async fn token_issue(&self) -> Result<Response, Refusal> {
        let request = AuthRequest::parse(&self.call.body)?;
        let (token, session) = self.identity.authenticate(&request, Timestamp::now()).await?;
        let mut response = answer(StatusCode::CREATED, &self.token_view(&session));
        if let Ok(value) = HeaderValue::try_from(token) {
            response.headers_mut().insert(SUBJECT_HEADER, value);
        }
        Ok(response)
    }

    fn token_show(&self) -> Result<Response, Refusal> {
        let subject = self.subject()?;
        let mut response = answer(StatusCode::OK, &self.token_view(&subject));
        if let Some(value) = self.call.headers.get(SUBJECT_HEADER) {
            response.headers_mut().insert(SUBJECT_HEADER, value.clone());
        }
        Ok(response)
    }

    async fn token_revoke(&self) -> Result<Response, Refusal> {
        let subject = self.subject()?;
        let outcome = self.identity.revoke(subject.claims, Timestamp::now()).await;
        outcome.map_err(AuthFailure::Trouble)?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn token_view(&self, session: &Session<'_>) -> Value {
        let Session { claims, user, project, roles } = session;
        let time = |second: i64| {
            Timestamp::from_second(second)
                .unwrap_or_default()
                .strftime("%Y-%m-%dT%H:%M:%S.000000Z")
                .to_string()
        };
        let domain = json!({"id": DOMAIN_ID, "name": DOMAIN_NAME});
        let mut audit_ids = vec![&claims.id];
        audit_ids.extend(&claims.parent);
        let mut token = json!({
            "methods": claims.methods,
            "user": {"id": user.id, "name": user.name, "domain": domain, "password_expires_at": null},
            "audit_ids": audit_ids,
            "issued_at": time(claims.issued_at),
            "expires_at": time(claims.expires_at),
        });
        if let Some(project) = project {
            token["project"] = json!({"id": project.id, "name": project.name, "domain": domain});
            token["is_domain"] = json!(false);
            token["roles"] = roles.iter().map(|role| json!({"id": role.id, "name": role.name})).collect();
            if !self.call.query.has("nocatalog") {
                token["catalog"] = self.identity.catalog.of_token(&self.base());
            }
        }
        json!({"token": token})
    }

    // ---- what there is

    fn show(&self, path: &[&str]) -> Result<Value, Refusal> {
        let caller = self.caller()?;
        let directory = &self.identity.directory;
        let catalog = &self.identity.catalog;
        let admin = || if caller.is_admin() { Ok(()) } else { Err(Refusal::forbidden()) };
        let own = |id: &str| if caller.user.id == id { Ok(()) } else { admin() };
        match path {
            ["auth", "catalog"] => Ok(json!({
                "catalog": catalog.of_token(&self.base()), "links": {"self": format!("{}/v3/auth/catalog", self.root())},
            })),
            ["auth", "projects"] => {
                Ok(self.list("projects", self.projects(directory.projects_of(caller.user))))
            }
            ["auth", "domains" | "system"] => Ok(self.list(path[1], vec![])),
            ["users", user, "projects"] => {
                own(user)?;
                let user = directory.user(user).ok_or_else(|| Refusal::not_found("user"))?;
                Ok(self.list("projects", self.projects(directory.projects_of(user))))
            }
            ["users", user, "groups"] => {
                own(user)?;
                Ok(self.list("groups", vec![]))
            }
            // Keystone refuses these two lists to all but administrators; clients look their own names up with them.
            ["projects"] => {
                let own = directory.projects_of(caller.user);
                let seen = if caller.is_admin() { directory.projects.iter().collect() } else { own };
                Ok(self.list("projects", self.projects(seen)))
            }
            ["projects", id] => {
                let mine = directory.projects_of(caller.user).iter().any(|project| project.id == *id);
                if !mine {
                    admin()?;
                }
                self.one("project", id, self.projects(directory.projects.iter().collect()))
            }
            ["users"] => {
                let seen = directory.users.iter().filter(|user| caller.is_admin() || *user == caller.user);
                Ok(self.list("users", self.users(seen)))
            }
            ["users", id] => {
                own(id)?;
                self.one("user", id, self.users(directory.users.iter()))
            }
            ["domains"] => Ok(self.list("domains", self.domains())),
            ["domains", id] => self.one("domain", id, self.domains()),
            ["groups"] => {
                admin()?;
                Ok(self.list("groups", vec![]))
            }
            ["roles"] => Ok(self.list("roles", self.roles(directory.roles.iter().collect()))),
            ["roles", id] => self.one("role", id, self.roles(directory.roles.iter().collect())),
            ["projects", project, "users", user, "roles"] => {
                own(user)?;
                let named = (directory.project(project), directory.user(user));
                let (Some(project), Some(user)) = named else {
                    return Err(Refusal::not_found("project or user"));
                };
                let granted = directory.grants().filter(|(u, p, _)| *u == user && *p == project);
                Ok(self.list("roles", self.roles(granted.map(|(_, _, role)| role).collect())))
            }
            ["role_assignments"] => {
                admin()?;
                Ok(self.list("role_assignments", self.role_assignments()))
            }
            ["services"] => {
                admin()?;
                Ok(self.list("services", catalog.services(&self.base())))
            }
            ["services", id] => {
                admin()?;
                self.one("service", id, catalog.services(&self.base()))
            }
            ["endpoints"] => {
                admin()?;
                Ok(self.list("endpoints", catalog.endpoints(&self.base())))
            }
            ["endpoints", id] => {
                admin()?;
                self.one("endpoint", id, catalog.endpoints(&self.base()))
            }
            ["regions"] => Ok(self.list("regions", self.regions())),
            ["regions", id] => self.one("region", id, self.regions()),
            _ => Err(Refusal::not_found(&format!("/v3/{}", path.join("/")))),
        }
    }

    fn list(&self, key: &str, documents: Vec<Value>) -> Value {
        let link = format!("{}/{}", self.root(), self.call.path().join("/"));
        json!({
            key: filtered(documents, &self.call.query),
            "links": {"self": link, "previous": null, "next": null},
        })
    }

    fn one(&self, key: &str, id: &str, documents: Vec<Value>) -> Result<Value, Refusal> {
        let found = documents.into_iter().find(|document| document["id"] == id);
        found
            .map(|document| json!({key: document}))
            .ok_or_else(|| Refusal::not_found(&format!("{key}: {id}")))
    }

    fn link(&self, collection: &str, id: &str) -> Value {
        json!({"self": format!("{}/v3/{collection}/{id}", self.root())})
    }

    fn projects(&self, projects: Vec<&Named>) -> Vec<Value> {
        let view = |project: &Named| {
            json!({
                "id": project.id, "name": project.name, "domain_id": DOMAIN_ID, "parent_id": DOMAIN_ID,
                "description": "", "enabled": true, "is_domain": false, "tags": [], "options": {},
                "links": self.link("projects", &project.id),
            })
        };
        projects.into_iter().map(view).collect()
    }

    fn users<'u>(&self, users: impl Iterator<Item = &'u Named>) -> Vec<Value> {
        let view = |user: &Named| {
            json!({
                "id": user.id, "name": user.name, "domain_id": DOMAIN_ID, "enabled": true,
                "password_expires_at": null, "options": {}, "links": self.link("users", &user.id),
            })
        };
        users.map(view).collect()
    }

    fn domains(&self) -> Vec<Value> {
        vec![json!({
            "id": DOMAIN_ID, "name": DOMAIN_NAME, "description": "", "enabled": true, "tags": [], "options": {},
            "links": self.link("domains", DOMAIN_ID),
        })]
    }

    fn roles(&self, roles: Vec<&Named>) -> Vec<Value> {
        let view = |role: &Named| {
            json!({
                "id": role.id, "name": role.name, "domain_id": null, "description": null, "options": {},
                "links": self.link("roles", &role.id),
            })
        };
        roles.into_iter().map(view).collect()
    }

    fn regions(&self) -> Vec<Value> {
        vec![json!({
            "id": REGION, "description": "", "parent_region_id": null, "links": self.link("regions", REGION),
        })]
    }

    fn role_assignments(&self) -> Vec<Value> {
        let query = &self.call.query;
        let wanted = |name: &str, id: &str| query.first(name).is_none_or(|wanted| wanted == id);
        let domain = json!({"id": DOMAIN_ID, "name": DOMAIN_NAME});
        let view = |named: &Named, in_domain: bool| match (query.has("include_names"), in_domain) {
            (false, _) => json!({"id": named.id}),
            (true, false) => json!({"id": named.id, "name": named.name}),
            (true, true) => json!({"id": named.id, "name": named.name, "domain": domain}),
        };
        // Nothing is granted on the system, on a domain, or to a group.
        let elsewhere = ["scope.system", "scope.domain.id", "group.id"].iter().any(|name| query.has(name));
        self.identity
            .directory
            .grants()
            .filter(|(user, project, role)| {
                !elsewhere
                    && wanted("user.id", &user.id)
                    && wanted("scope.project.id", &project.id)
                    && wanted("role.id", &role.id)
            })
            .map(|(user, project, role)| {
                json!({
                    "role": view(role, false), "user": view(user, true), "scope": {"project": view(project, true)},
                    "links": {"assignment": format!(
                        "{}/v3/projects/{}/users/{}/roles/{}", self.root(), project.id, user.id, role.id
                    )},
                })
            })
            .collect()
    }
}
