//! How the service shows Keystone who it is.

use serde_json::{Value, json};

/// A user, a project or a domain, by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Id(String),
    /// Names of users and projects are good within a domain.
    Name(String),
}

/// Where the service's token shall be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Project { project: Named, domain: Option<Named> },
    System,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Password {
        user: Named,
        domain: Option<Named>,
        password: String,
        scope: Scope,
    },
    /// It has a scope of its own. With a name, its user has to be named, too.
    ApplicationCredential {
        credential: Named,
        user: Option<(Named, Option<Named>)>,
        secret: String,
    },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, domain, scope, .. } => f
                .debug_struct("Password")
                .field("user", user)
                .field("domain", domain)
                .field("scope", scope)
                .finish_non_exhaustive(),
            Self::ApplicationCredential { credential, user, .. } => f
                .debug_struct("ApplicationCredential")
                .field("credential", credential)
                .field("user", user)
                .finish_non_exhaustive(),
        }
    }
}

impl Named {
    fn json(&self) -> Value {
        match self {
            Self::Id(id) => json!({ "id": id }),
            Self::Name(name) => json!({ "name": name }),
        }
    }

    fn within(&self, domain: Option<&Self>) -> Value {
        let mut document = self.json();
        if let (Self::Name(_), Some(domain)) = (self, domain) {
            document["domain"] = domain.json();
        }
        document
    }
}

impl Login {
    /// The body of `POST /v3/auth/tokens`.
    pub(super) fn request(&self) -> Value {
        match self {
            Self::Password { user, domain, password, scope } => {
                let mut user = user.within(domain.as_ref());
                user["password"] = json!(password);
                let scope = match scope {
                    Scope::Project { project, domain } => {
                        json!({ "project": project.within(domain.as_ref()) })
                    }
                    Scope::System => json!({ "system": { "all": true } }),
                };
                json!({ "auth": {
                    "identity": { "methods": ["password"], "password": { "user": user } }, "scope": scope,
                } })
            }
            Self::ApplicationCredential { credential, user, secret } => {
                let mut credential = credential.json();
                credential["secret"] = json!(secret);
                if let Some((user, domain)) = user {
                    credential["user"] = user.within(domain.as_ref());
                }
                json!({ "auth": { "identity": {
                    "methods": ["application_credential"], "application_credential": credential,
                } } })
            }
        }
    }
}
