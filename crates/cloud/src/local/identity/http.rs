//! Keystone v3 over HTTP: who may ask, and tokens. What there is, is shown in `show` and changed in `write`.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::auth::{AuthFailure, AuthRequest};
use super::directory::{DOMAIN_ID, DOMAIN_NAME, Place};
use super::write::names_grant;
use super::{LocalIdentity, Session};
use crate::local::IDENTITY_PATH;
use crate::local::http::{Call, empty, json as answer};

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
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl Refusal {
    fn unauthorized(text: &str) -> Self {
        Self(StatusCode::UNAUTHORIZED, text.into())
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("Could not find {what}."))
    }

    pub(super) fn forbidden() -> Self {
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
            AuthFailure::ScopeNotOffered => unauthorized(
                "Roles are in projects, in the domain and on the system: ask for a token of these.",
            ),
            AuthFailure::NoRole => {
                unauthorized("What the token shall be for does not exist, or the user has no role there.")
            }
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

pub(super) struct Keystone<'a> {
    pub(super) identity: &'a LocalIdentity,
    pub(super) call: &'a Call,
}

impl Keystone<'_> {
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
            ["v3", path @ ..] if read && !names_grant(path) => {
                self.show(path).map(|document| answer(StatusCode::OK, &document))
            }
            ["v3", path @ ..] => self.write(path).await,
            _ => Err(Refusal::not_found(&format!("/{}", path.join("/")))),
        }
    }

    pub(super) fn base(&self) -> String {
        self.call.base(self.identity.auth_uri.trim_end_matches(IDENTITY_PATH))
    }

    pub(super) fn root(&self) -> String {
        format!("{}{IDENTITY_PATH}", self.base())
    }

    pub(super) fn not_offered(&self) -> Refusal {
        Refusal(
            StatusCode::NOT_IMPLEMENTED,
            format!(
                "{} of /{} is not offered by the embedded identity service.",
                self.call.method,
                self.call.path().join("/")
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

    pub(super) fn caller(&self) -> Result<Session, Refusal> {
        self.call
            .header(TOKEN_HEADER)
            .and_then(|token| self.identity.session(token, Timestamp::now()))
            .ok_or_else(|| Refusal::unauthorized("The request you have made requires authentication."))
    }

    /// The token that the request is about: the caller's own, or anybody's for an administrator.
    fn subject(&self) -> Result<Session, Refusal> {
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

    fn token_view(&self, session: &Session) -> Value {
        let Session { claims, user, place, project, roles, .. } = session;
        let time = |second: i64| {
            Timestamp::from_second(second)
                .unwrap_or_default()
                .strftime("%Y-%m-%dT%H:%M:%S.000000Z")
                .to_string()
        };
        let domain = json!({"id": DOMAIN_ID, "name": DOMAIN_NAME});
        let mut token = json!({
            "methods": claims.methods,
            "user": {"id": user.id, "name": user.name, "domain": domain, "password_expires_at": null},
            "audit_ids": session.audit_ids(),
            "issued_at": time(claims.issued_at),
            "expires_at": time(claims.expires_at),
        });
        match place {
            Some(Place::Domain) => token["domain"] = domain.clone(),
            Some(Place::System) => token["system"] = json!({"all": true}),
            Some(Place::Project(_)) | None => {}
        }
        if let Some(project) = project {
            token["project"] = json!({"id": project.id, "name": project.name, "domain": domain});
            token["is_domain"] = json!(false);
        }
        if place.is_some() {
            token["roles"] = roles.iter().map(|role| json!({"id": role.id, "name": role.name})).collect();
            if !self.call.query.has("nocatalog") {
                token["catalog"] = self.identity.catalog.of_token(&self.base());
            }
        }
        json!({"token": token})
    }
}
