//! The header by which a member learns whose connection it is, and we learn it of a proxy, before the first byte of it
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>; `reference/amphora.md` §9.5).

mod read;

use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr};

use octavia_model::PoolProtocol;

pub(crate) use self::read::{HEADER_MAX, read};

/// What every header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyProtocol {
    /// What members of such a pool want.
    pub(crate) fn of(pool: PoolProtocol) -> Option<Self> {
        match pool {
            PoolProtocol::Proxy => Some(Self::V1),
            PoolProtocol::ProxyV2 => Some(Self::V2),
            _ => None,
        }
    }

    /// Appends the header of a connection from `client`, which connected to `local`.
    pub(crate) fn write(self, client: SocketAddr, local: SocketAddr, out: &mut Vec<u8>) {
        match self {
            Self::V1 => write_line(client, local, out),
            Self::V2 => write_binary(client, local, out),
        }
    }

    /// Appends the header of a connection of our own, a health check from `local` to `member`: version 1 has no other
    /// way to say it than by these addresses.
    pub(crate) fn write_check(self, local: SocketAddr, member: SocketAddr, out: &mut Vec<u8>) {
        match self {
            Self::V1 => write_line(local, member, out),
            // LOCAL, family unspecified, nothing follows.
            Self::V2 => {
                out.extend_from_slice(SIGNATURE);
                out.extend_from_slice(&[0x20, 0, 0, 0]);
            }
        }
    }
}

/// At most 107 bytes.
fn write_line(client: SocketAddr, local: SocketAddr, out: &mut Vec<u8>) {
    let (from, to) = (client.port(), local.port());
    // Writing to a Vec cannot fail.
    let _ = match (client, local) {
        (SocketAddr::V4(client), SocketAddr::V4(local)) => {
            write!(out, "PROXY TCP4 {} {} {from} {to}\r\n", client.ip(), local.ip())
        }
        _ => write!(out, "PROXY TCP6 {} {} {from} {to}\r\n", v6(client), v6(local)),
    };
}

fn write_binary(client: SocketAddr, local: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    // Version 2 and PROXY; family and stream; the length of what follows.
    match (client, local) {
        (SocketAddr::V4(client), SocketAddr::V4(local)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&client.ip().octets());
            out.extend_from_slice(&local.ip().octets());
        }
        _ => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&v6(client).octets());
            out.extend_from_slice(&v6(local).octets());
        }
    }
    out.extend_from_slice(&client.port().to_be_bytes());
    out.extend_from_slice(&local.port().to_be_bytes());
}

/// The families of one header have to be the same.
fn v6(address: SocketAddr) -> Ipv6Addr {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
        SocketAddr::V6(v6) => *v6.ip(),
    }
}

#[cfg(test)]
mod tests {
    use super::ProxyProtocol::{V1, V2};
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        write(&mut out);
        out[1..].escape_ascii().to_string()
    }

    #[test]
    fn headers() {
        let sig = SIGNATURE.escape_ascii().to_string();
        for (version, client, local, expected) in [
            (
                V1,
                "192.0.2.7:56324",
                "198.51.100.1:443",
                r"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_owned(),
            ),
            (
                V1,
                "[2001:db8::1]:1",
                "[2001:db8::2]:80",
                r"PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n".to_owned(),
            ),
            (
                V1,
                "192.0.2.7:1",
                "[2001:db8::2]:80",
                r"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::2 1 80\r\n".to_owned(),
            ),
            (
                V2,
                "192.0.2.7:256",
                "198.51.100.1:80",
                format!(r"{sig}!\x11\x00\x0c\xc0\x00\x02\x07\xc63d\x01\x01\x00\x00P"),
            ),
            (
                V2,
                "[2001:db8::1]:1",
                "[2001:db8::2]:80",
                format!(
                    r"{sig}!!\x00$ \x01\r\xb8{zeros}\x01 \x01\r\xb8{zeros}\x02\x00\x01\x00P",
                    zeros = r"\x00".repeat(11)
                ),
            ),
        ] {
            let (client, local) = (client.parse().unwrap(), local.parse().unwrap());
            let header = written(|out| version.write(client, local, out));
            assert_eq!(header, expected, "{version:?} {client} {local}");
        }
        let most = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let mut line = vec![];
        V1.write(most, most, &mut line);
        assert!(line.len() <= 107);
    }

    #[test]
    fn headers_of_checks() {
        let (local, member) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let line = written(|out| V1.write_check(local, member, out));
        assert_eq!(line, r"PROXY TCP4 10.0.0.1 10.0.0.2 40000 80\r\n");
        let sig = SIGNATURE.escape_ascii().to_string();
        assert_eq!(written(|out| V2.write_check(local, member, out)), format!(r"{sig} \x00\x00\x00"));
    }
}
