//! Passwords: drawn at random by us, kept as salted PBKDF2 hashes (from aws-lc-rs, which TLS brings anyway).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::directory::USERS;
use crate::local::seed::{random_bytes, random_text};

/// Rounds for new hashes. Our passwords have 192 random bits; the rounds are for those that a user may set one day.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
/// More than this is nobody's password, in bytes.
pub(super) const PASSWORD_MAX: usize = 1024;

/// User name → password in clear: never printed.
#[derive(Clone)]
pub(in crate::local) struct Passwords(BTreeMap<String, String>);

impl Passwords {
    pub(in crate::local) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(user, password)| (user.as_str(), password.as_str()))
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

/// The password of each user: the one in `written` if it is still right, else a new one, whose hash is entered.
pub(in crate::local) fn passwords_settle(
    written: &BTreeMap<String, String>,
    hashes: &mut BTreeMap<String, String>,
) -> Passwords {
    let settle = |user: &str| {
        let stored = hashes.get(user).cloned();
        if let (Some(password), Some(stored)) = (written.get(user), &stored)
            && holds(password, stored)
        {
            return password.clone();
        }
        if stored.is_some() {
            tracing::warn!(user, "clouds.yaml does not have the user's password: a new one is made");
        }
        let password = random_text::<24>();
        hashes.insert(user.to_owned(), hash(&password));
        password
    };
    Passwords(
        USERS.iter().copied().map(|user| user.to_owned()).zip(USERS.iter().copied().map(settle)).collect(),
    )
}

/// `pbkdf2-sha256$ROUNDS$SALT$HASH`.
pub(super) fn hash(password: &str) -> String {
    let salt = random_bytes::<16>();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("pbkdf2-sha256${ROUNDS}${}${}", encode(&salt), encode(&derive(password, ROUNDS, &salt)))
}

/// Takes as long for a wrong password as for the right one.
pub(super) fn holds(password: &str, stored: &str) -> bool {
    let parse = || {
        let mut parts = stored.split('$');
        let (scheme, rounds, salt, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let decode = |text| URL_SAFE_NO_PAD.decode(text).ok();
        (scheme == "pbkdf2-sha256").then_some((
            rounds.parse::<NonZeroU32>().ok()?,
            decode(salt)?,
            decode(hash)?,
        ))
    };
    let Some((rounds, salt, hash)) = parse() else { return false };
    password.len() <= PASSWORD_MAX
        && pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &hash).is_ok()
}

/// As much work as [`holds`], for a user who does not exist.
pub(super) fn holds_nothing(password: &str) {
    if password.len() <= PASSWORD_MAX {
        std::hint::black_box(derive(password, ROUNDS, &[0; 16]));
    }
}

fn derive(password: &str, rounds: NonZeroU32, salt: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_right_and_renews_what_is_not() {
        let mut hashes = BTreeMap::new();
        let first = passwords_settle(&BTreeMap::new(), &mut hashes);
        let written: BTreeMap<_, _> = first.iter().map(|(u, p)| (u.to_owned(), p.to_owned())).collect();
        assert_eq!(written.len(), 2);
        assert!(hashes.values().all(|hash| !written.values().any(|password| hash.contains(password))));

        let again = passwords_settle(&written, &mut hashes);
        assert_eq!(again.0, written);

        let mut altered = written.clone();
        altered.insert("demo".into(), "guess".into());
        let renewed = passwords_settle(&altered, &mut hashes);
        assert_eq!(renewed.0["admin"], written["admin"]);
        assert_ne!(renewed.0["demo"], written["demo"]);
        assert!(holds(&renewed.0["demo"], &hashes["demo"]));
        assert!(!holds(&written["demo"], &hashes["demo"]));
    }

    #[test]
    fn a_damaged_hash_lets_nobody_in() {
        for stored in
            ["", "$$$", "pbkdf2-sha256$0$AA$AA", "pbkdf2-sha256$1$AA$", "md5$1$AA$AA", "pbkdf2-sha256$1$!$!"]
        {
            assert!(!holds("", stored), "{stored}");
            assert!(!holds("x", stored), "{stored}");
        }
    }
}
