//! The bodies of requests, checked attribute by attribute as Barbican does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::book::{Consumer, Content};
use crate::{RefKind, SecretRef};

/// Of names and the like, in characters.
const TEXT_MAX: usize = 255;
/// Bytes of a secret at most.
pub(super) const CONTENT_MAX: usize = 64 << 10;
/// Users on one access control list.
const USERS_MAX: usize = 100;
const PARTS_MAX: usize = 32;

const SECRET_TYPES: &[&str] = &["symmetric", "public", "private", "passphrase", "certificate", "opaque"];
const BINARY: &[&str] = &["application/octet-stream", "application/pkcs8", "application/pkix-cert"];
const PLAIN: &str = "text/plain";

/// Parts of containers by their type; those with a star must be there.
const CONTAINERS: &[(&str, &[&str])] = &[
    ("generic", &[]),
    ("rsa", &["*public_key", "*private_key", "private_key_passphrase"]),
    ("certificate", &["*certificate", "private_key", "private_key_passphrase", "intermediates"]),
];

/// A sentence for the user.
pub(super) type Malformed = String;

pub(super) struct NewSecret {
    pub(super) name: Option<String>,
    pub(super) secret_type: String,
    pub(super) algorithm: Option<String>,
    pub(super) bit_length: Option<u64>,
    pub(super) mode: Option<String>,
    pub(super) expiration: Option<Timestamp>,
    /// Content and its type.
    pub(super) content: Option<(Content, String)>,
}

pub(super) struct NewContainer {
    pub(super) name: Option<String>,
    pub(super) kind: String,
    pub(super) secrets: Vec<(Option<String>, Uuid)>,
}

/// Absent = not sent.
pub(super) struct NewAcl {
    pub(super) users: Option<Vec<String>>,
    pub(super) project_access: Option<bool>,
}

pub(super) fn secret(body: &[u8], now: Timestamp) -> Result<NewSecret, Malformed> {
    let body = object(body)?;
    let secret_type = text(&body, "secret_type")?.unwrap_or_else(|| "opaque".to_owned());
    if !SECRET_TYPES.contains(&secret_type.as_str()) {
        return Err(format!("secret_type is none of {}.", SECRET_TYPES.join(", ")));
    }
    let bit_length = match body.get("bit_length") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_u64()
                .filter(|bits| (1..=32_767).contains(bits))
                .ok_or("bit_length is not a number of bits.")?,
        ),
    };
    let expiration = text(&body, "expiration")?.filter(|text| !text.is_empty());
    let expiration =
        expiration.map(|text| time(&text).ok_or("expiration is no time of ISO 8601.")).transpose()?;
    if expiration.is_some_and(|expiration| expiration <= now) {
        return Err("expiration is not in the future.".into());
    }
    let kind = text(&body, "payload_content_type")?;
    let encoding = text(&body, "payload_content_encoding")?;
    let content = match (body.get("payload"), kind) {
        (None | Some(Value::Null), None) => None,
        (None | Some(Value::Null), Some(_)) => {
            return Err("payload is missing, and payload_content_type is there.".into());
        }
        (Some(Value::String(payload)), Some(kind)) => {
            let payload = payload.trim_end_matches('\0').as_bytes();
            Some(content(payload, &kind, encoding.as_deref())?)
        }
        (Some(Value::String(_)), None) => return Err("payload_content_type is missing.".into()),
        (Some(_), _) => return Err("payload is no text.".into()),
    };
    Ok(NewSecret {
        name: text(&body, "name")?.filter(|name| !name.is_empty()),
        secret_type,
        algorithm: text(&body, "algorithm")?,
        bit_length,
        mode: text(&body, "mode")?,
        expiration,
        content,
    })
}

/// Content as it came, of this type and encoding.
pub(super) fn content(
    bytes: &[u8],
    kind: &str,
    encoding: Option<&str>,
) -> Result<(Content, String), Malformed> {
    let kind = normal(kind);
    let content = match (kind.as_str(), encoding) {
        (PLAIN, None) => {
            std::str::from_utf8(bytes).map_err(|_| "The payload is not UTF-8.")?;
            bytes.to_vec()
        }
        (PLAIN, Some(_)) => return Err("payload_content_encoding does not go with text/plain.".into()),
        (kind, Some("base64")) if BINARY.contains(&kind) => {
            let packed: Zeroizing<Vec<u8>> =
                Zeroizing::new(bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
            STANDARD.decode(&*packed).map_err(|_| "The payload is not base64.")?
        }
        (kind, None) if BINARY.contains(&kind) => {
            return Err(
                "payload_content_encoding must be specified when payload_content_type is binary.".into()
            );
        }
        (kind, Some(_)) if BINARY.contains(&kind) => {
            return Err("payload_content_encoding can only be base64.".into());
        }
        _ => return Err(format!("payload_content_type is none of {PLAIN}, {}.", BINARY.join(", "))),
    };
    bounded(Content(Zeroizing::new(content)), kind)
}

/// Content as the body of a request: binary without an encoding is taken as it is.
pub(super) fn raw(bytes: &[u8], kind: &str, encoding: Option<&str>) -> Result<(Content, String), Malformed> {
    let plain = normal(kind);
    if encoding.is_none() && BINARY.contains(&plain.as_str()) {
        return bounded(Content(Zeroizing::new(bytes.to_vec())), plain);
    }
    content(bytes, kind, encoding)
}

fn bounded(content: Content, kind: String) -> Result<(Content, String), Malformed> {
    match content.0.len() {
        0 => Err("The payload is empty.".into()),
        length if length > CONTENT_MAX => Err(format!("The payload is larger than {CONTENT_MAX} bytes.")),
        _ => Ok((content, kind)),
    }
}

/// Without parameters: the one there is, `charset=utf-8`, is the default.
pub(super) fn normal(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn container(body: &[u8]) -> Result<NewContainer, Malformed> {
    let body = object(body)?;
    let kind = text(&body, "type")?.ok_or("type is missing.")?;
    let (_, parts) = CONTAINERS
        .iter()
        .find(|(known, _)| *known == kind)
        .ok_or("type is none of generic, rsa, certificate.")?;
    let list = match body.get("secret_refs") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) if list.len() <= PARTS_MAX => list.as_slice(),
        Some(_) => return Err(format!("secret_refs is not a list of at most {PARTS_MAX}.")),
    };
    let mut secrets: Vec<(Option<String>, Uuid)> = vec![];
    for entry in list {
        let entry = entry.as_object().ok_or("secret_refs has an entry that is no object.")?;
        let name = text(entry, "name")?.filter(|name| !name.is_empty());
        let reference = text(entry, "secret_ref")?.ok_or("secret_ref is missing.")?;
        let reference =
            SecretRef::parse(&reference).ok().filter(|reference| reference.kind == RefKind::Secret);
        let id = reference.ok_or("secret_ref is no reference to a secret.")?.id;
        if secrets.iter().any(|(other, known)| *known == id || name.is_some() && *other == name) {
            return Err("Duplicate reference ids or names are not allowed.".into());
        }
        let fits =
            name.as_deref().is_some_and(|name| parts.iter().any(|p| p.trim_start_matches('*') == name));
        if kind != "generic" && !fits {
            let names: Vec<_> = parts.iter().map(|part| part.trim_start_matches('*')).collect();
            return Err(format!("A container of type {kind} has {} only.", names.join(", ")));
        }
        secrets.push((name, id));
    }
    for part in parts.iter().filter_map(|part| part.strip_prefix('*')) {
        if !secrets.iter().any(|(name, _)| name.as_deref() == Some(part)) {
            return Err(format!("A container of type {kind} needs a {part}."));
        }
    }
    Ok(NewContainer { name: text(&body, "name")?.filter(|name| !name.is_empty()), kind, secrets })
}

pub(super) fn acl(body: &[u8]) -> Result<NewAcl, Malformed> {
    let body = object(body)?;
    let read = match body.get("read").and_then(Value::as_object) {
        Some(read) if body.len() == 1 => read,
        _ => return Err("The body is not {\"read\": {…}}; read is the one operation there is.".into()),
    };
    let users = match read.get("users") {
        None | Some(Value::Null) => None,
        Some(Value::Array(list)) if list.len() <= USERS_MAX => {
            let mut users: Vec<String> = vec![];
            for user in list {
                let user = user.as_str().filter(|user| user.chars().count() <= TEXT_MAX);
                let user = user.ok_or("users has an entry that is no id.")?.to_owned();
                if !users.contains(&user) {
                    users.push(user);
                }
            }
            Some(users)
        }
        Some(_) => return Err(format!("users is not a list of at most {USERS_MAX}.")),
    };
    let project_access = match read.get("project-access") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(flag)) => Some(*flag),
        Some(_) => return Err("project-access is neither true nor false.".into()),
    };
    Ok(NewAcl { users, project_access })
}

pub(super) fn secret_consumer(body: &[u8]) -> Result<Consumer, Malformed> {
    let body = object(body)?;
    let field = |name: &str| text(&body, name)?.ok_or_else(|| format!("{name} is missing."));
    Ok(Consumer {
        service: field("service")?,
        resource_type: field("resource_type")?,
        resource: field("resource_id")?,
    })
}

pub(super) fn container_consumer(body: &[u8]) -> Result<Consumer, Malformed> {
    let body = object(body)?;
    let field = |name: &str| text(&body, name)?.ok_or_else(|| format!("{name} is missing."));
    Ok(Consumer { service: field("name")?, resource_type: String::new(), resource: field("URL")? })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err("The body is not a JSON object.".into()),
    }
}

fn text(object: &Map<String, Value>, name: &str) -> Result<Option<String>, Malformed> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= TEXT_MAX => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} is not a text of at most {TEXT_MAX} characters.")),
    }
}

/// With a zone, or without one in UTC.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{text}Z").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_judged() {
        let now = Timestamp::UNIX_EPOCH;
        for (body, good) in [
            ("{}", true),
            (r#"{"name": "n", "payload": "x", "payload_content_type": "text/plain"}"#, true),
            (r#"{"payload": "x", "payload_content_type": "text/plain; charset=utf-8"}"#, true),
            (
                r#"{"payload": "eA==", "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"}"#,
                true,
            ),
            (r#"{"expiration": "2030-01-01T00:00:00"}"#, true),
            (r#"{"expiration": "1960-01-01T00:00:00Z"}"#, false),
            (r#"{"expiration": "soon"}"#, false),
            (r#"{"payload": "x"}"#, false),
            (r#"{"payload": "", "payload_content_type": "text/plain"}"#, false),
            (r#"{"payload": 1, "payload_content_type": "text/plain"}"#, false),
            (r#"{"payload_content_type": "text/plain"}"#, false),
            (r#"{"payload": "eA==", "payload_content_type": "application/octet-stream"}"#, false),
            (r#"{"payload": "x", "payload_content_type": "text/html"}"#, false),
            (
                r#"{"payload": "?", "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"}"#,
                false,
            ),
            (r#"{"secret_type": "love letter"}"#, false),
            (r#"{"bit_length": 0}"#, false),
            (r#"{"name": 1}"#, false),
            ("[]", false),
            ("", false),
        ] {
            assert_eq!(secret(body.as_bytes(), now).is_ok(), good, "{body}");
        }
        let large = format!(
            r#"{{"payload": "{}", "payload_content_type": "text/plain"}}"#,
            "x".repeat(CONTENT_MAX + 1)
        );
        assert!(secret(large.as_bytes(), now).is_err());

        let id = "http://x/v1/secrets/2b1d9b9e-9b9a-4d5e-8a77-94a5d6a1e1f3";
        let other = "http://x/v1/secrets/2b1d9b9e-9b9a-4d5e-8a77-94a5d6a1e1f4";
        let part =
            |name: &str, reference: &str| format!(r#"{{"name": "{name}", "secret_ref": "{reference}"}}"#);
        for (kind, parts, good) in [
            ("generic", String::new(), true),
            ("generic", part("anything", id), true),
            ("certificate", part("certificate", id), true),
            ("certificate", part("certificate", id) + "," + &part("private_key", other), true),
            ("certificate", part("private_key", id), false),
            ("certificate", part("certificate", id) + "," + &part("anything", other), false),
            ("certificate", part("certificate", id) + "," + &part("certificate", other), false),
            ("certificate", part("certificate", id) + "," + &part("private_key", id), false),
            (
                "certificate",
                part("certificate", "http://x/v1/containers/2b1d9b9e-9b9a-4d5e-8a77-94a5d6a1e1f3"),
                false,
            ),
            ("rsa", part("public_key", id), false),
            ("box", part("certificate", id), false),
            ("certificate", "1".to_owned(), false),
        ] {
            let body = format!(r#"{{"type": "{kind}", "secret_refs": [{parts}]}}"#);
            assert_eq!(container(body.as_bytes()).is_ok(), good, "{body}");
        }
        for (body, good) in [
            (r#"{"read": {}}"#, true),
            (r#"{"read": {"users": ["u"], "project-access": false}}"#, true),
            (r#"{"read": {"users": [1]}}"#, false),
            (r#"{"read": {"users": "u"}}"#, false),
            (r#"{"read": {"project-access": "yes"}}"#, false),
            (r#"{"write": {}}"#, false),
            (r#"{"read": {}, "write": {}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(acl(body.as_bytes()).is_ok(), good, "{body}");
        }
    }
}
