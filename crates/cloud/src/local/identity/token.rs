//! Tokens that carry their own content, signed: nothing to look up, and they survive a restart.
//!
//! `o1.` content `.` signature, both base64url; the content is JSON. What may be done is not in it: roles are looked
//! up when the token is used.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::directory::Place;
use crate::local::seed::{sign, signature_holds};

const PREFIX: &str = "o1.";
/// Longer is no token of ours, in bytes.
const LENGTH_MAX: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Random; what is revoked, and Keystone's audit id.
    #[serde(rename = "i")]
    pub(super) id: String,
    /// Audit id of the token it was got with.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    #[serde(rename = "u")]
    pub(super) user_id: String,
    /// As the user's was when the password was shown: it is good as long as that is.
    #[serde(rename = "s", default, skip_serializing_if = "is_first")]
    pub(super) series: u64,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) project_id: Option<String>,
    /// `d` or `s` when it is for the domain or for the system.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) wider: Option<Wider>,
    #[serde(rename = "m")]
    pub(super) methods: Vec<String>,
    /// Seconds since 1970.
    #[serde(rename = "t")]
    pub(super) issued_at: i64,
    #[serde(rename = "e")]
    pub(super) expires_at: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_first(series: &u64) -> bool {
    *series == 0
}

/// What a token may be for instead of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wider {
    #[serde(rename = "d")]
    Domain,
    #[serde(rename = "s")]
    System,
}

impl Claims {
    /// Where its holder has roles; `None` = nowhere.
    pub(super) fn place(&self) -> Option<Place> {
        match (&self.project_id, self.wider) {
            (Some(id), _) => Some(Place::Project(id.clone())),
            (None, Some(Wider::Domain)) => Some(Place::Domain),
            (None, Some(Wider::System)) => Some(Place::System),
            (None, None) => None,
        }
    }

    pub(super) fn seal(&self, key: &[u8]) -> String {
        let content = URL_SAFE_NO_PAD.encode(serde_json::json!(self).to_string());
        let signature = URL_SAFE_NO_PAD.encode(sign(key, content.as_bytes()));
        format!("{PREFIX}{content}.{signature}")
    }

    /// `None` = not ours, altered, or expired. Nothing of the content is read before the signature held.
    pub(super) fn open(token: &str, key: &[u8], now: Timestamp) -> Option<Self> {
        if token.len() > LENGTH_MAX {
            return None;
        }
        let (content, signature) = token.strip_prefix(PREFIX)?.split_once('.')?;
        if !signature_holds(key, content.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?) {
            return None;
        }
        let claims: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).ok()?).ok()?;
        (now.as_second() < claims.expires_at).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            id: "abc".into(),
            parent: None,
            user_id: "u".into(),
            series: 1,
            project_id: Some("p".into()),
            wider: None,
            methods: vec!["password".into()],
            issued_at: 100,
            expires_at: 200,
        }
    }

    #[test]
    fn opens_until_it_expires() {
        let token = claims().seal(b"key");
        assert_eq!(Claims::open(&token, b"key", at(199)), Some(claims()));
        assert_eq!(Claims::open(&token, b"key", at(200)), None);
        assert_eq!(Claims::open(&token, b"other", at(150)), None);
    }

    #[test]
    fn every_altered_character_breaks_it() {
        let token = claims().seal(b"key");
        for at_byte in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at_byte] = if altered[at_byte] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            // The last character of a base64 text has spare bits; the decoder refuses all but one spelling.
            assert_eq!(Claims::open(&altered, b"key", at(150)), None, "{at_byte}");
        }
    }

    #[test]
    fn refuses_what_is_no_token() {
        let unsigned = format!("o1.{}.", URL_SAFE_NO_PAD.encode("{}"));
        let junk = URL_SAFE_NO_PAD.encode("not json");
        let signed_junk = format!("o1.{junk}.{}", URL_SAFE_NO_PAD.encode(sign(b"key", junk.as_bytes())));
        for token in
            ["", "o1.", "o1..", "o1.a.b", "gAAAAABf", "ö", &unsigned, &signed_junk, &"o1.".repeat(1000)]
        {
            assert_eq!(Claims::open(token, b"key", at(150)), None, "{token}");
        }
    }
}
