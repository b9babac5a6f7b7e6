//! How a client comes back to the member that served it (`reference/amphora.md` §9.4).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Bytes of a cookie's name: 255 characters, of four bytes at most.
pub const COOKIE_NAME_MAX: usize = 1_020;

/// What a client is known by. Where the proxy reads no HTTP there are no cookies, and a pool that goes by them
/// balances as if it had no persistence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersistenceSpec {
    /// By its address.
    SourceIp {
        /// A netmask: clients of its family are one where their addresses are equal under it. `None` = each address
        /// is a client.
        #[serde(default)]
        granularity: Option<IpAddr>,
        /// Seconds after which a client that was not seen is forgotten; 0 = never, while there is room.
        #[serde(default)]
        timeout: u32,
    },
    /// By a cookie of ours that names the member.
    HttpCookie,
    /// By the value of a cookie that members set.
    AppCookie { name: String },
}

impl PersistenceSpec {
    /// Bytes of a cookie's name that are too few or too many. What else cannot be in a name does no harm: no cookie is
    /// called so.
    pub(super) fn check(&self) -> Result<(), usize> {
        match self {
            Self::AppCookie { name } if !(1..=COOKIE_NAME_MAX).contains(&name.len()) => Err(name.len()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cookies() {
        for (length, good) in [(0, false), (1, true), (COOKIE_NAME_MAX, true), (COOKIE_NAME_MAX + 1, false)] {
            let checked = PersistenceSpec::AppCookie { name: "n".repeat(length) }.check();
            assert_eq!(checked, if good { Ok(()) } else { Err(length) });
        }
        assert_eq!(PersistenceSpec::HttpCookie.check(), Ok(()));
    }

    #[test]
    fn as_it_crosses_the_wire() {
        for (spec, text) in [
            (PersistenceSpec::HttpCookie, r#""HttpCookie""#),
            (PersistenceSpec::SourceIp { granularity: None, timeout: 0 }, r#"{"SourceIp":{}}"#),
            (
                PersistenceSpec::SourceIp { granularity: Some(IpAddr::from([255, 255, 0, 0])), timeout: 60 },
                r#"{"SourceIp":{"granularity":"255.255.0.0","timeout":60}}"#,
            ),
            (PersistenceSpec::AppCookie { name: "sid".to_owned() }, r#"{"AppCookie":{"name":"sid"}}"#),
        ] {
            assert_eq!(serde_json::from_str::<PersistenceSpec>(text).unwrap(), spec);
            let again = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<PersistenceSpec>(&again).unwrap(), spec);
        }
    }
}
