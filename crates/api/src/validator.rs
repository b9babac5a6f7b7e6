//! Validators of answers to GET (RFC 9110 §8.8 and §13): who has an answer already is told so, and not sent it again.
//!
//! The tag is made of the very bytes that would be answered, so it is true whatever they were made from: statuses,
//! `fields`, the caller's rights, the host in links.

use std::hash::{DefaultHasher, Hasher};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Who may be given the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Everybody,
    /// Those who come with the same token.
    Caller,
}

/// The answer to a GET that succeeded: 304 without the body if `asked` names it in `If-None-Match`.
pub(crate) fn answer(asked: &HeaderMap, body: Bytes, audience: Audience) -> Response {
    let tag = tag(&body);
    let known =
        asked.get_all(header::IF_NONE_MATCH).iter().any(|list| names(list.as_bytes(), tag.as_bytes()));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static("application/json");
        (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    // Whoever keeps it asks again before using it: objects change by themselves.
    let keep = match audience {
        Audience::Everybody => "no-cache",
        Audience::Caller => "private, no-cache",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if audience == Audience::Caller {
        headers.insert(header::VARY, HeaderValue::from_static("X-Auth-Token"));
    }
    response
}

/// A strong tag: other bytes, another tag. Controllers of one version make the same.
fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("\"{:x}-{:016x}\"", body.len(), hasher.finish())
}

/// Whether a value of `If-None-Match` names the tag. The comparison is weak, as caches and proxies that compress make
/// a strong tag weak. What follows a mistake counts for nothing.
fn names(list: &[u8], tag: &[u8]) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        let Some(start) = start else { return false };
        rest = &rest[start..];
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(inside) = rest.strip_prefix(b"\"") else { return false };
        let Some(length) = inside.iter().position(|byte| *byte == b'"') else { return false };
        let (found, after) = rest.split_at(length + 2);
        if found == tag {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_lists() {
        for (list, named) in [
            (r#""a""#, true),
            (r#"W/"a""#, true),
            (r#" "a" "#, true),
            (r#""b", "a""#, true),
            (r#""b","c",W/"a""#, true),
            (r#""b" , ,, "a""#, true),
            (r#""x,y", "a""#, true),
            ("*", true),
            (" * ", true),
            (r#""b""#, false),
            (r#""A""#, false),
            (r#""ab""#, false),
            (r#""""#, false),
            (r#""b,a""#, false),
            ("a", false),
            (r#"w/"a""#, false),
            (r#"W/ "a""#, false),
            (r#""b", *"#, false),
            (r#""a"#, false),
            (r#"x, "a""#, false),
            ("", false),
            (",", false),
        ] {
            assert_eq!(names(list.as_bytes(), br#""a""#), named, "{list}");
        }
        assert!(names(b"\"\xff\", \"a\"", br#""a""#), "other bytes are no mistake");
    }

    #[test]
    fn other_bytes_have_other_tags() {
        let bodies: [&[u8]; 5] = [b"", b"{}", b"{} ", b"{\"a\":1}", b"{\"a\":2}"];
        let tags: std::collections::BTreeSet<_> = bodies.iter().map(|body| tag(body)).collect();
        assert_eq!(tags.len(), bodies.len());
        assert_eq!(tag(b"{}"), tag(b"{}"));
        assert!(tags.iter().all(|tag| tag.starts_with('"') && tag.ends_with('"')));
    }
}
