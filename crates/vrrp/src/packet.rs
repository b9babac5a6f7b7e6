//! Advertisements, the one message of VRRP, as they cross the network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use zeroize::Zeroize;

use crate::PROTOCOL;
use crate::checksum::Sum;

/// Version and type of an advertisement are in one byte; there is no other type.
const ADVERTISEMENT: u8 = 1;
/// What goes before the addresses, in bytes.
const HEADER: usize = 8;
/// What follows them in version 2.
const AUTHENTICATION: usize = 8;
/// RFC 2338 §5.3.6: none, and a password in clear. (The third kind was withdrawn.)
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// RFC 2338 and 3768: IPv4 alone, intervals in seconds, and a password where both sides have one.
    V2,
    /// RFC 5798 and 9568: intervals in hundredths of a second.
    V3,
}

impl Version {
    const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// What intervals are counted in.
    pub const fn unit(self) -> Duration {
        match self {
            Self::V2 => Duration::from_secs(1),
            Self::V3 => Duration::from_millis(10),
        }
    }

    /// The most units of an interval: as many as its field has room for.
    pub const fn units_max(self) -> u16 {
        match self {
            Self::V2 => 255,
            Self::V3 => 4095,
        }
    }
}

/// What version 2 proves itself with, in clear: it keeps strangers' mistakes away, not strangers. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password([u8; AUTHENTICATION]);

impl Password {
    /// What is longer than 8 bytes is cut, as keepalived does it.
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; AUTHENTICATION];
        let length = text.len().min(bytes.len());
        bytes[..length].copy_from_slice(&text[..length]);
        Self(bytes)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(<secret>)")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// That somebody is there, and holds the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    pub version: Version,
    /// 1-255.
    pub router_id: u8,
    /// 0 = the sender stops being master.
    pub priority: u8,
    /// In units of the version, at least one.
    pub interval: Duration,
    /// Of one family, at least one.
    pub addresses: Vec<IpAddr>,
    /// Of version 2.
    pub password: Option<Password>,
}

/// Why bytes are no advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("has {0} bytes and should have {1}")]
    Length(usize, usize),
    #[error("is of version {0}")]
    Version(u8),
    #[error("is of type {0}, which is none")]
    Type(u8),
    #[error("has a wrong checksum")]
    Checksum,
    #[error("is of router 0")]
    RouterId,
    #[error("names no address")]
    NoAddress,
    #[error("says that none is sent ever")]
    NoInterval,
    #[error("has authentication of type {0}")]
    Authentication(u8),
    #[error("is of version 2, and came by IPv6")]
    Family,
}

impl Advertisement {
    /// As bytes, from one address to another of the family of those in it.
    pub fn encode(&self, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let units = self.interval.as_millis() / self.version.unit().as_millis();
        let units = u16::try_from(units).unwrap_or(u16::MAX).clamp(1, self.version.units_max());
        let mut bytes = vec![
            self.version.number() << 4 | ADVERTISEMENT,
            self.router_id,
            self.priority,
            u8::try_from(self.addresses.len()).unwrap_or(u8::MAX),
        ];
        match self.version {
            Version::V2 => {
                let kind = if self.password.is_some() { PASSWORD } else { NO_AUTHENTICATION };
                bytes.extend([kind, units as u8]);
            }
            Version::V3 => bytes.extend(units.to_be_bytes()),
        }
        bytes.extend([0, 0]);
        for address in self.addresses.iter().take(usize::from(u8::MAX)) {
            match address {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        if self.version == Version::V2 {
            bytes.extend(self.password.as_ref().map_or([0; AUTHENTICATION], |password| password.0));
        }
        // RFC 5798 §5.2.8 and keepalived put the pseudo-header into the checksum of IPv4, too; RFC 9568 does not.
        let pseudo = match self.version {
            Version::V2 => Sum::default(),
            Version::V3 => Sum::pseudo_header(from, to, PROTOCOL, bytes.len()),
        };
        let checksum = pseudo.add(&bytes).checksum();
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// The payload of a datagram from one address to another of the same family.
    ///
    /// # Errors
    ///
    /// If it is not exactly an advertisement.
    pub fn decode(bytes: &[u8], from: IpAddr, to: IpAddr) -> Result<Self, Malformed> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(Malformed::Length(bytes.len(), HEADER));
        };
        let [kind, router_id, priority, count, ..] = *header;
        let version = match kind >> 4 {
            2 if from.is_ipv6() => return Err(Malformed::Family),
            2 => Version::V2,
            3 => Version::V3,
            other => return Err(Malformed::Version(other)),
        };
        if kind & 0x0f != ADVERTISEMENT {
            return Err(Malformed::Type(kind & 0x0f));
        }
        let each = if from.is_ipv4() { 4 } else { 16 };
        let trailer = if version == Version::V2 { AUTHENTICATION } else { 0 };
        let length = HEADER + usize::from(count) * each + trailer;
        if bytes.len() != length {
            return Err(Malformed::Length(bytes.len(), length));
        }
        if !checksum_fits(version, bytes, from, to) {
            return Err(Malformed::Checksum);
        }
        if router_id == 0 {
            return Err(Malformed::RouterId);
        }
        if count == 0 {
            return Err(Malformed::NoAddress);
        }
        let (addresses, authentication) = rest.split_at(rest.len() - trailer);
        let (units, password) = match version {
            Version::V2 => (u16::from(header[5]), password(header[4], authentication)?),
            // The first four bits are reserved, and not looked at.
            Version::V3 => (u16::from_be_bytes([header[4], header[5]]) & 0x0fff, None),
        };
        if units == 0 {
            return Err(Malformed::NoInterval);
        }
        let addresses = if from.is_ipv4() {
            addresses.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).into()).collect()
        } else {
            addresses.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets).into()).collect()
        };
        let interval = version.unit() * u32::from(units);
        Ok(Self { version, router_id, priority, interval, addresses, password })
    }
}

fn password(kind: u8, bytes: &[u8]) -> Result<Option<Password>, Malformed> {
    match kind {
        NO_AUTHENTICATION => Ok(None),
        PASSWORD => Ok(Some(Password::new(bytes))),
        other => Err(Malformed::Authentication(other)),
    }
}

/// Of version 3 with IPv4, both readings of the RFCs are taken.
fn checksum_fits(version: Version, bytes: &[u8], from: IpAddr, to: IpAddr) -> bool {
    let plain = || Sum::default().add(bytes).checksum() == 0;
    let pseudo = || Sum::pseudo_header(from, to, PROTOCOL, bytes.len()).add(bytes).checksum() == 0;
    match version {
        Version::V2 => plain(),
        Version::V3 => pseudo() || from.is_ipv4() && plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: (IpAddr, IpAddr) =
        (IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)));

    fn v6() -> (IpAddr, IpAddr) {
        ("fd09::1".parse().unwrap(), "fd09::2".parse().unwrap())
    }

    fn of_v3(router_id: u8, address: &str) -> Advertisement {
        Advertisement {
            version: Version::V3,
            router_id,
            priority: 100,
            interval: Duration::from_millis(200),
            addresses: vec![address.parse().unwrap()],
            password: None,
        }
    }

    fn of_v2() -> Advertisement {
        Advertisement {
            version: Version::V2,
            interval: Duration::from_secs(1),
            password: Some(Password::new(b"abcdefg")),
            ..of_v3(1, "10.9.0.9")
        }
    }

    /// What keepalived 2.2.7 sent on a network, and what it means.
    #[test]
    fn of_keepalived() {
        for (bytes, (from, to), meaning) in [
            (&b"\x21\x01\x64\x01\x01\x01\xde\xbc\x0a\x09\x00\x09abcdefg\0"[..], V4, of_v2()),
            (b"\x31\x02\x64\x01\x00\x14\x4c\x44\x0a\x09\x00\x0a", V4, of_v3(2, "10.9.0.10")),
            (
                b"\x31\x03\x64\x01\x00\x14\x73\x2d\xfd\x09\0\0\0\0\0\0\0\0\0\0\0\0\x00\x11",
                v6(),
                of_v3(3, "fd09::11"),
            ),
        ] {
            assert_eq!(Advertisement::decode(bytes, from, to), Ok(meaning.clone()));
            assert_eq!(meaning.encode(from, to), bytes);
        }
    }

    /// With the checksum that fits, whatever was done to it.
    fn mended(mut bytes: Vec<u8>, (from, to): (IpAddr, IpAddr)) -> Vec<u8> {
        bytes[6..8].fill(0);
        let pseudo = match bytes[0] >> 4 {
            2 => Sum::default(),
            _ => Sum::pseudo_header(from, to, PROTOCOL, bytes.len()),
        };
        let checksum = pseudo.add(&bytes).checksum();
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    #[test]
    fn malformed() {
        use Malformed::*;

        let (v2, v3) = (of_v2().encode(V4.0, V4.1), of_v3(1, "10.9.0.9").encode(V4.0, V4.1));
        // A place, what stands there instead, and what that is.
        for (good, at, byte, error) in [
            (&v3, 0, 0x11, Version(1)),
            (&v3, 0, 0x41, Version(4)),
            (&v3, 0, 0x32, Type(2)),
            (&v3, 1, 0, RouterId),
            (&v3, 3, 2, Length(12, 16)),
            (&v3, 3, 255, Length(12, 1028)),
            (&v3, 5, 0, NoInterval),
            (&v2, 0, 0x31, Length(20, 12)),
            (&v2, 4, 2, Authentication(2)),
            (&v2, 4, 255, Authentication(255)),
            (&v2, 5, 0, NoInterval),
        ] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(Advertisement::decode(&mended(bytes, V4), V4.0, V4.1), Err(error));
        }
        for good in [&v2, &v3] {
            for length in 0..good.len() {
                let expected = if length < 8 { 8 } else { good.len() };
                let decoded = Advertisement::decode(&good[..length], V4.0, V4.1);
                assert_eq!(decoded, Err(Length(length, expected)));
            }
            let longer = [good, &[0][..]].concat();
            assert_eq!(Advertisement::decode(&longer, V4.0, V4.1), Err(Length(good.len() + 1, good.len())));
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] ^= 1;
                assert!(Advertisement::decode(&bytes, V4.0, V4.1).is_err(), "byte {at}");
            }
        }
        let empty = mended(vec![0x31, 1, 100, 0, 0, 20, 0, 0], V4);
        assert_eq!(Advertisement::decode(&empty, V4.0, V4.1), Err(NoAddress));
        let (from, to) = v6();
        assert_eq!(Advertisement::decode(&v2, from, to), Err(Family));
        assert_eq!(Advertisement::decode(&v3, from, to), Err(Length(12, 24)));
    }

    #[test]
    fn checksums_of_version_3() {
        let advertisement = of_v3(1, "10.9.0.9");
        let mut bytes = advertisement.encode(V4.0, V4.1);
        // Moved to another address, or without the pseudo-header.
        assert_eq!(Advertisement::decode(&bytes, V4.0, [10, 9, 0, 3].into()), Err(Malformed::Checksum));
        bytes[6..8].fill(0);
        let checksum = Sum::default().add(&bytes).checksum();
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(Advertisement::decode(&bytes, V4.0, V4.1), Ok(advertisement));
        // IPv6 has one reading only.
        let (from, to) = v6();
        let mut bytes = of_v3(1, "fd09::9").encode(from, to);
        bytes[6..8].fill(0);
        let checksum = Sum::default().add(&bytes).checksum();
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(Advertisement::decode(&bytes, from, to), Err(Malformed::Checksum));
    }

    #[test]
    fn reserved_bits_are_not_looked_at() {
        let advertisement = of_v3(1, "10.9.0.9");
        let mut bytes = advertisement.encode(V4.0, V4.1);
        bytes[4] |= 0xf0;
        assert_eq!(Advertisement::decode(&mended(bytes, V4), V4.0, V4.1), Ok(advertisement));
    }

    #[test]
    fn passwords_are_cut_and_hidden() {
        assert_eq!(Password::new(b"12345678"), Password::new(b"123456789"));
        assert_ne!(Password::new(b"1234567"), Password::new(b"12345678"));
        assert!(!format!("{:?}", of_v2()).contains("abcdefg"));
    }
}
