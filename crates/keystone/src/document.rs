//! What Keystone says of a token.

use jiff::Timestamp;
use octavia_model::ProjectId;
use serde::Deserialize;
use serde_json::Value;

use octavia_cloud::{AUDIT_IDS_MAX, RequestContext};

use super::catalogue::Catalogue;

#[derive(Deserialize)]
struct Document {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    /// RFC 3339, in UTC.
    expires_at: String,
    user: Holder,
    #[serde(default)]
    project: Option<Holder>,
    #[serde(default)]
    domain: Option<Domain>,
    #[serde(default)]
    system: Option<System>,
    #[serde(default)]
    roles: Vec<Role>,
    /// Texts; nobody is refused because of what is only for records.
    #[serde(default)]
    audit_ids: Value,
    #[serde(default)]
    catalog: Catalogue,
}

#[derive(Deserialize)]
struct System {
    #[serde(default)]
    all: bool,
}

/// A user or a project.
#[derive(Deserialize)]
struct Holder {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

/// A token, understood.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) context: RequestContext,
    pub(super) expires_at: Timestamp,
}

/// What of it concerns the service itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) user_id: String,
    pub(super) expires_at: Timestamp,
    pub(super) catalogue: Catalogue,
}

// What the parser says may repeat the document, so it is not passed on.
const NOT_A_TOKEN: &str = "its answer is not the description of a token";

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| NOT_A_TOKEN.to_owned())
}

pub(super) fn found(body: &[u8]) -> Result<Found, String> {
    let Document { token } = serde_json::from_slice(body).map_err(|_| NOT_A_TOKEN.to_owned())?;
    if token.user.id.is_empty() {
        return Err(NOT_A_TOKEN.to_owned());
    }
    let expires_at = time(&token.expires_at)?;
    let audit_ids = token.audit_ids.as_array().into_iter().flatten();
    let audit_ids = audit_ids.filter_map(Value::as_str).take(AUDIT_IDS_MAX);
    let domain = |of: &Holder| of.domain.as_ref().and_then(|domain| domain.id.clone());
    let context = RequestContext {
        user_domain_id: domain(&token.user),
        project_domain_id: token.project.as_ref().and_then(domain),
        user_id: token.user.id,
        user_name: token.user.name,
        project_id: token.project.map(|project| ProjectId::new(project.id)),
        domain_id: token.domain.and_then(|domain| domain.id),
        system_scope: token.system.filter(|system| system.all).map(|_| "all".to_owned()),
        audit_ids: audit_ids.map(str::to_owned).collect(),
        roles: token.roles.into_iter().map(|role| role.name).collect(),
        ..RequestContext::default()
    };
    Ok(Found { context, expires_at })
}

pub(super) fn own(body: &[u8]) -> Result<Own, String> {
    let Document { token } = serde_json::from_slice(body).map_err(|_| NOT_A_TOKEN.to_owned())?;
    let Token { user, expires_at, catalog: catalogue, .. } = token;
    Ok(Own { user_id: user.id, expires_at: time(&expires_at)?, catalogue })
}
