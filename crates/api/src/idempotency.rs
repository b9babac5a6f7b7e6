//! `Idempotency-Key` on POST (draft-ietf-httpapi-idempotency-key-header): a request that is sent again makes nothing
//! again.
//!
//! The store keeps a receipt in the transaction that makes the object, so there is one exactly if there is the other,
//! after `kill -9` and for every controller. A repetition is answered with the object as it is now. What failed has left
//! nothing, so it is simply tried.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName};
use octavia_cloud::RequestContext;
use octavia_store::Receipt;
use sha2::{Digest, Sha256};

use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::query::Query;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// In answers to repetitions.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Characters of a key at most.
const KEY_MAX: usize = 255;

/// The request's key: printable ASCII, as a string of structured fields (`"…"`, RFC 9651 §3.3.3) or bare.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|_| values.next().is_none());
    let key = text.and_then(|text| match text.strip_prefix('"') {
        Some(inside) => unquoted(inside.strip_suffix('"')?),
        None => Some(text.to_owned()),
    });
    let good =
        |key: &String| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b));
    key.filter(good).map(Some).ok_or(Fault::IdempotencyKey)
}

/// `None` = a quote or a backslash that is not escaped.
fn unquoted(inside: &str) -> Option<String> {
    let mut chars = inside.chars();
    let mut key = String::with_capacity(inside.len());
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => key.push(chars.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
    Some(key)
}

/// What will be stored with the object that the request makes.
pub(crate) fn receipt(
    key: String,
    caller: &RequestContext,
    endpoint: &Endpoint,
    parameters: &[String],
    query: &Query,
    body: &[u8],
) -> Receipt {
    let owner = match &caller.project_id {
        Some(project) => ["project", project.as_str()],
        None => ["user", caller.user_id.as_str()],
    };
    let path = [endpoint.method, endpoint.path].into_iter().chain(parameters.iter().map(String::as_str));
    let query = query.pairs().flat_map(|(key, value)| [key, value]);
    let fingerprint = digest(path.chain(query).map(str::as_bytes).chain([body]));
    let made = uuid::Uuid::new_v4().to_string();
    Receipt { owner: digest(owner.map(str::as_bytes).into_iter()), key, fingerprint, made }
}

/// In hexadecimal digits.
fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    format!("{:x}", hasher.finalize())
}

/// Keys of requests that this process is answering. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<BTreeSet<(String, String)>>>);

/// Lets go of the key when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    under_way: UnderWay,
    key: (String, String),
}

impl UnderWay {
    /// Refused while an earlier request has the key.
    pub(crate) fn enter(&self, receipt: &Receipt) -> Result<Turn, Fault> {
        let key = (receipt.owner.clone(), receipt.key.clone());
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.insert(key.clone()) {
            return Err(Fault::KeyUnderWay);
        }
        Ok(Turn { under_way: self.clone(), key })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn keys() {
        let long = "k".repeat(KEY_MAX);
        let longer = "k".repeat(KEY_MAX + 1);
        let quoted = format!("\"{long}\"");
        for (value, expected) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            (r#""8e03978e-40d5""#, Some("8e03978e-40d5")),
            (r#"  "a"  "#, Some("a")),
            (r#""a b""#, Some("a b")),
            ("a b", Some("a b")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (long.as_str(), Some(long.as_str())),
            (quoted.as_str(), Some(long.as_str())),
            (longer.as_str(), None),
            ("", None),
            (r#""""#, None),
            (r#"""#, None),
            (r#""a"#, None),
            (r#""a"b""#, None),
            (r#""a\b""#, None),
            ("\u{e9}", None),
            ("a\tb", None),
        ] {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(HEADER, value.clone())]);
            match expected {
                Some(expected) => assert_eq!(key(&headers).unwrap().as_deref(), Some(expected)),
                None => assert_eq!(key(&headers), Err(Fault::IdempotencyKey), "{value:?}"),
            }
        }
        assert_eq!(key(&HeaderMap::new()), Ok(None));
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("a"));
        assert_eq!(key(&twice), Err(Fault::IdempotencyKey));
    }
}
