//! What `POST /v3/auth/tokens` asks for, read from its body; and why it may not have it.

use serde::Deserialize;
use serde_json::Value;

use super::directory::{DOMAIN_ID, DOMAIN_NAME, Named};
use crate::CloudError;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct AuthRequest {
    pub(super) credential: Credential,
    pub(super) scope: Scope,
}

#[derive(PartialEq, Eq)]
pub(super) enum Credential {
    Password { user: UserRef, password: String },
    Token(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scope {
    None,
    Project(ProjectRef),
    Domain(DomainRef),
    System,
    /// A trust: nobody has roles there.
    Elsewhere,
}

/// By id; or by name, within our domain.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Reference {
    id: Option<String>,
    name: Option<String>,
    domain: Option<DomainRef>,
}

pub(super) type UserRef = Reference;
pub(super) type ProjectRef = Reference;

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct DomainRef {
    id: Option<String>,
    name: Option<String>,
}

impl Reference {
    pub(super) fn means(&self, known: &Named) -> bool {
        match (&self.id, &self.name) {
            (Some(id), _) => *id == known.id,
            (None, Some(name)) => *name == known.name && self.domain.as_ref().is_some_and(DomainRef::is_ours),
            (None, None) => false,
        }
    }

    fn check(&self, what: &str) -> Result<(), String> {
        match self {
            Self { id: Some(_), .. } | Self { name: Some(_), domain: Some(_), .. } => Ok(()),
            _ => Err(format!("The {what} needs an id, or a name and a domain.")),
        }
    }
}

impl DomainRef {
    pub(super) fn is_ours(&self) -> bool {
        match (&self.id, &self.name) {
            (Some(id), _) => id == DOMAIN_ID,
            (None, Some(name)) => name.eq_ignore_ascii_case(DOMAIN_NAME),
            (None, None) => false,
        }
    }
}

#[derive(Deserialize)]
struct Body {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    identity: IdentityPart,
    scope: Option<Value>,
}

#[derive(Deserialize)]
struct IdentityPart {
    methods: Vec<String>,
    password: Option<PasswordPart>,
    token: Option<TokenPart>,
}

#[derive(Deserialize)]
struct PasswordPart {
    user: PasswordUser,
}

#[derive(Deserialize)]
struct PasswordUser {
    password: String,
    #[serde(flatten)]
    user: Reference,
}

#[derive(Deserialize)]
struct TokenPart {
    id: String,
}

/// Why no token is issued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuthFailure {
    /// The body cannot be understood.
    Malformed(String),
    /// Unknown user, wrong password, bad token: which one is not said.
    Denied,
    MethodNotOffered,
    ScopeNotOffered,
    NoRole,
    /// Too many logins wait already.
    TooMany,
    Trouble(CloudError),
}

impl From<CloudError> for AuthFailure {
    fn from(error: CloudError) -> Self {
        Self::Trouble(error)
    }
}

impl AuthRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, AuthFailure> {
        // The error of a parser may quote the body, and the body has a password in it.
        let malformed =
            |_| AuthFailure::Malformed("The body is not an authentication request in JSON.".into());
        let Body { auth: Auth { identity, scope } } = serde_json::from_slice(body).map_err(malformed)?;
        let credential = match (identity.methods.as_slice(), identity.password, identity.token) {
            ([method], Some(PasswordPart { user: PasswordUser { password, user } }), _)
                if method == "password" =>
            {
                user.check("user").map_err(AuthFailure::Malformed)?;
                Credential::Password { user, password }
            }
            ([method], _, Some(TokenPart { id })) if method == "token" => Credential::Token(id),
            ([method], ..) if method == "password" || method == "token" => {
                return Err(AuthFailure::Malformed(format!("identity.{method} is missing.")));
            }
            ([], ..) => return Err(AuthFailure::Malformed("identity.methods is empty.".into())),
            _ => return Err(AuthFailure::MethodNotOffered),
        };
        Ok(Self { credential, scope: Self::scope(scope)? })
    }

    fn scope(scope: Option<Value>) -> Result<Scope, AuthFailure> {
        let malformed =
            || AuthFailure::Malformed("scope is neither an object with one entry nor \"unscoped\".".into());
        let entries = match scope {
            None | Some(Value::Null) => return Ok(Scope::None),
            Some(Value::String(text)) if text == "unscoped" => return Ok(Scope::None),
            Some(Value::Object(entries)) if entries.len() == 1 => entries,
            Some(_) => return Err(malformed()),
        };
        match entries.into_iter().next() {
            Some((kind, value)) if kind == "project" => {
                let project: ProjectRef = serde_json::from_value(value).map_err(|_| malformed())?;
                project.check("project").map_err(AuthFailure::Malformed)?;
                Ok(Scope::Project(project))
            }
            Some((kind, value)) if kind == "domain" => {
                Ok(Scope::Domain(serde_json::from_value(value).map_err(|_| malformed())?))
            }
            Some((kind, value)) if kind == "system" => match value.get("all") {
                Some(Value::Bool(true)) => Ok(Scope::System),
                _ => Err(malformed()),
            },
            Some((kind, _)) if kind == "unscoped" => Ok(Scope::None),
            _ => Ok(Scope::Elsewhere),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_scopes_and_methods() {
        let user = json!({"name": "demo", "domain": {"id": "default"}, "password": "x"});
        let password = json!({"methods": ["password"], "password": {"user": user}});
        let elsewhere = || Ok(Scope::Elsewhere);
        let malformed = || Err("malformed");
        for (scope, expected) in [
            (json!(null), Ok(Scope::None)),
            (json!("unscoped"), Ok(Scope::None)),
            (json!({"unscoped": {}}), Ok(Scope::None)),
            (
                json!({"domain": {"id": "default"}}),
                Ok(Scope::Domain(DomainRef { id: Some("default".into()), name: None })),
            ),
            (json!({"domain": "default"}), malformed()),
            (json!({"system": {"all": true}}), Ok(Scope::System)),
            (json!({"system": {"all": false}}), malformed()),
            (json!({"system": true}), malformed()),
            (json!({"OS-TRUST:trust": {"id": "x"}}), elsewhere()),
            (json!("scoped"), malformed()),
            (json!({}), malformed()),
            (json!({"project": {"id": "x"}, "domain": {"id": "x"}}), malformed()),
            (json!({"project": {}}), malformed()),
            (json!({"project": {"name": "x"}}), malformed()),
            (json!({"project": {"id": 7}}), malformed()),
            (json!([]), malformed()),
        ] {
            let body = json!({"auth": {"identity": password, "scope": scope}}).to_string();
            let parsed =
                AuthRequest::parse(body.as_bytes()).map(|request| request.scope).map_err(|_| "malformed");
            assert_eq!(parsed, expected, "{scope}");
        }
    }

    #[test]
    fn names_are_of_a_domain() {
        let known = Named::new("abc", "demo");
        for (reference, means) in [
            (json!({"id": "abc"}), true),
            (json!({"id": "abd", "name": "demo", "domain": {"id": "default"}}), false),
            (json!({"name": "demo", "domain": {"id": "default"}}), true),
            (json!({"name": "demo", "domain": {"name": "default"}}), true),
            (json!({"name": "demo", "domain": {"name": "Other"}}), false),
            (json!({"name": "demo", "domain": {}}), false),
            (json!({"name": "Demo", "domain": {"id": "default"}}), false),
            (json!({}), false),
        ] {
            let parsed: Reference = serde_json::from_value(reference.clone()).unwrap();
            assert_eq!(parsed.means(&known), means, "{reference}");
        }
    }
}
