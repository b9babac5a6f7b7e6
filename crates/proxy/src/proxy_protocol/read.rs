//! The same header at the beginning of a client's connection, from a proxy that is believed. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::SIGNATURE;

/// Bytes of a header, at most: those of version 2 may have more in them, none of which is looked at.
pub(crate) const HEADER_MAX: usize = 2 * 1024;
/// Bytes of a line of version 1, its end included.
const LINE_MAX: usize = 107;
const WORD: &[u8] = b"PROXY ";

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Introduced {
    /// Bytes of the header.
    pub(crate) length: usize,
    /// Who connected, and where to; `None` = whoever has sent the header, as a health check does.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
}

/// These bytes begin with no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a header of the PROXY protocol")]
pub(crate) struct NotIntroduced;

/// Reads the header at the start of `bytes`; `None` when it is not whole yet. What is not whole has less than
/// [`HEADER_MAX`] bytes.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Introduced>, NotIntroduced> {
    if begins(bytes, SIGNATURE) {
        read_binary(bytes)
    } else if begins(bytes, WORD) {
        read_line(bytes)
    } else {
        Err(NotIntroduced)
    }
}

/// As far as there is something.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let length = bytes.len().min(with.len());
    bytes[..length] == with[..length]
}

fn read_line(bytes: &[u8]) -> Result<Option<Introduced>, NotIntroduced> {
    let start = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = start.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(NotIntroduced) };
    };
    let length = end + 2;
    let line = std::str::from_utf8(&start[WORD.len().min(end)..end]).map_err(|_| NotIntroduced)?;
    // Whatever else it says then.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(Some(Introduced { length, addresses: None }));
    }
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or(NotIntroduced);
    let (family, from, to, from_port, to_port) = (next()?, next()?, next()?, next()?, next()?);
    let address = |text: &str| match family {
        "TCP4" => parse::<Ipv4Addr>(text).map(IpAddr::V4),
        "TCP6" => parse::<Ipv6Addr>(text).map(IpAddr::V6),
        _ => Err(NotIntroduced),
    };
    let client = SocketAddr::new(address(from)?, port(from_port)?);
    let local = SocketAddr::new(address(to)?, port(to_port)?);
    match words.next() {
        None => Ok(Some(Introduced { length, addresses: Some((client, local)) })),
        Some(_) => Err(NotIntroduced),
    }
}

fn parse<T: FromStr>(text: &str) -> Result<T, NotIntroduced> {
    text.parse().map_err(|_| NotIntroduced)
}

/// Digits, without a zero before others.
fn port(text: &str) -> Result<u16, NotIntroduced> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { parse(text) } else { Err(NotIntroduced) }
}

fn read_binary(bytes: &[u8]) -> Result<Option<Introduced>, NotIntroduced> {
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else {
        // Refused as soon as it can be.
        return match bytes.get(12) {
            None | Some(0x20 | 0x21) => Ok(None),
            Some(_) => Err(NotIntroduced),
        };
    };
    let follows = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let length = head.len() + follows;
    if length > HEADER_MAX {
        return Err(NotIntroduced);
    }
    // Version 2 and the command; family and stream, and how many bytes their addresses take.
    let (family, least) = match (head[12], head[13]) {
        (0x20, _) | (0x21, 0x00) => (Family::None, 0),
        (0x21, 0x11) => (Family::V4, 12),
        (0x21, 0x21) => (Family::V6, 36),
        _ => return Err(NotIntroduced),
    };
    if follows < least {
        return Err(NotIntroduced);
    }
    let Some(content) = rest.get(..follows) else { return Ok(None) };
    Ok(Some(Introduced { length, addresses: addresses(family, content) }))
}

#[derive(Debug, Clone, Copy)]
enum Family {
    /// None is told, or none that counts.
    None,
    V4,
    V6,
}

fn addresses(family: Family, content: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    fn ip<const N: usize>(content: &[u8], at: usize) -> Option<IpAddr>
    where
        IpAddr: From<[u8; N]>,
    {
        Some(<[u8; N]>::try_from(content.get(at..at + N)?).ok()?.into())
    }
    let port = |at: usize| Some(u16::from_be_bytes([*content.get(at)?, *content.get(at + 1)?]));
    let (from, to, at) = match family {
        Family::None => return None,
        Family::V4 => (ip::<4>(content, 0)?, ip::<4>(content, 4)?, 8),
        Family::V6 => (ip::<16>(content, 0)?, ip::<16>(content, 16)?, 32),
    };
    Some((SocketAddr::new(from, port(at)?), SocketAddr::new(to, port(at + 2)?)))
}

#[cfg(test)]
mod tests {
    use super::super::ProxyProtocol;
    use super::*;

    /// What is said of `bytes`, with a rest after them.
    fn told(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(NotIntroduced) => "none".to_owned(),
            Ok(None) => "more".to_owned(),
            Ok(Some(Introduced { length, addresses: None })) => format!("{length} itself"),
            Ok(Some(Introduced { length, addresses: Some((client, local)) })) => {
                format!("{length} {client} > {local}")
            }
        }
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET /", "45 192.0.2.7:56324 > 198.51.100.1:443"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 0\r\n", "40 [2001:db8::1]:1 > [2001:db8::2]:0"),
            ("PROXY UNKNOWN\r\n", "15 itself"),
            ("PROXY UNKNOWN whatever it is\r\n", "30 itself"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r", "more"),
            ("PR", "more"),
            ("", "more"),
            ("GET / HTTP/1.1\r\n", "none"),
            ("proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n", "none"),
            ("PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n", "none"),
            ("PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n", "none"),
            ("PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n", "none"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", "none"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n", "none"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n", "none"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 1 \r\n", "none"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", "none"),
            ("PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n", "none"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "none"),
            ("PROXY UNKNOWNX\r\n", "none"),
            ("PROXY \r\n", "none"),
        ] {
            assert_eq!(told(line.as_bytes()), expected, "{line:?}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX - 16));
        assert_eq!(told(longest.as_bytes()), "107 itself");
        assert_eq!(told(&longest.as_bytes()[..106]), "more");
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX - 15));
        assert_eq!(told(longer.as_bytes()), "none");
    }

    #[test]
    fn binary() {
        let header = |kind: [u8; 2], content: &[u8], promised: usize| {
            let [high, low] = (promised as u16).to_be_bytes();
            [&SIGNATURE[..], &kind, &[high, low], content].concat()
        };
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 1, 0, 0, 80];
        let more = [&v4[..], &[0x21; 40]].concat();
        for (kind, content, promised, expected) in [
            ([0x21, 0x11], &v4[..], 12, "28 192.0.2.7:256 > 198.51.100.1:80"),
            // What else it says is passed over.
            ([0x21, 0x11], &more, more.len(), "68 192.0.2.7:256 > 198.51.100.1:80"),
            ([0x21, 0x21], &[0; 36], 36, "52 [::]:0 > [::]:0"),
            ([0x20, 0x00], &[], 0, "16 itself"),
            ([0x20, 0x11], &v4, 12, "28 itself"),
            ([0x21, 0x00], &[1, 2], 2, "18 itself"),
            ([0x21, 0x11], &v4[..11], 12, "more"),
            ([0x21, 0x11], &[], HEADER_MAX - 16, "more"),
            ([0x21, 0x11], &[], HEADER_MAX - 15, "none"),
            ([0x21, 0x11], &v4, 11, "none"),
            ([0x21, 0x21], &v4, 12, "none"),
            ([0x21, 0x12], &v4, 12, "none"),
            ([0x21, 0x31], &[0; 216], 216, "none"),
            ([0x22, 0x11], &v4, 12, "none"),
            ([0x11, 0x11], &v4, 12, "none"),
        ] {
            assert_eq!(told(&header(kind, content, promised)), expected, "{kind:?} {promised}");
        }
        assert_eq!(told(&SIGNATURE[..5]), "more");
        assert_eq!(told(&header([0x31, 0], &[], 0)[..13]), "none");
        assert_eq!(told(b"\r\n\r\nGET / HTTP/1.1\r\n"), "none");
    }

    #[test]
    fn what_is_written_is_read() {
        for (client, local) in
            [("192.0.2.7:1", "198.51.100.1:443"), ("[2001:db8::1]:65535", "[2001:db8::2]:80")]
        {
            let (client, local) = (client.parse().unwrap(), local.parse().unwrap());
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                let mut header = vec![];
                version.write(client, local, &mut header);
                let length = header.len();
                let whole = Introduced { length, addresses: Some((client, local)) };
                for end in 0..length {
                    assert_eq!(read(&header[..end]), Ok(None), "{version:?} {end}");
                }
                header.extend_from_slice(b"GET");
                assert_eq!(read(&header), Ok(Some(whole)));
            }
        }
    }
}
