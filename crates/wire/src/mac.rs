//! Addresses of network interfaces.

use std::fmt::{Debug, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address by which one Ethernet interface is known: six octets, neither a group's nor all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac([u8; 6]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address of an interface, such as 52:54:00:12:34:56")]
pub struct NotAMac;

impl Mac {
    /// `None` = no interface of its own has it.
    pub const fn new(octets: [u8; 6]) -> Option<Self> {
        let group = octets[0] & 1 == 1;
        let zero = matches!(octets, [0, 0, 0, 0, 0, 0]);
        if group || zero { None } else { Some(Self(octets)) }
    }

    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    /// Six pairs of hexadecimal digits with colons between them, in either case.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next().ok_or(NotAMac)?;
            // A sign is no digit.
            if pair.len() != 2 || !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(NotAMac);
            }
            *octet = u8::from_str_radix(pair, 16).map_err(|_| NotAMac)?;
        }
        if pairs.next().is_some() {
            return Err(NotAMac);
        }
        Self::new(octets).ok_or(NotAMac)
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Debug for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interface_may_be_called() {
        for (text, expected) in [
            ("52:54:00:12:34:56", Some("52:54:00:12:34:56")),
            ("FA:16:3E:aB:cD:0f", Some("fa:16:3e:ab:cd:0f")),
            ("00:00:00:00:00:01", Some("00:00:00:00:00:01")),
            ("00:00:00:00:00:00", None),
            ("01:00:5e:00:00:12", None),
            ("ff:ff:ff:ff:ff:ff", None),
            ("52:54:00:12:34", None),
            ("52:54:00:12:34:56:78", None),
            ("52:54:00:12:34:56:", None),
            ("52:54:00:12:34:5", None),
            ("52:54:00:12:34:+5", None),
            ("52-54-00-12-34-56", None),
            (" 52:54:00:12:34:56", None),
            ("52:54:00:12:34:g6", None),
            ("", None),
        ] {
            let mac = text.parse::<Mac>().ok();
            assert_eq!(mac.map(|mac| mac.to_string()).as_deref(), expected, "{text:?}");
            let json = format!("{text:?}");
            assert_eq!(serde_json::from_str::<Mac>(&json).ok(), mac);
            if let Some(mac) = mac {
                assert_eq!(serde_json::to_string(&mac).unwrap(), format!("\"{mac}\""));
                assert_eq!(Mac::new(mac.octets()), Some(mac));
            }
        }
    }
}
