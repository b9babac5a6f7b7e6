//! Echo requests (ICMP): one socket for each address family, opened before privileges are dropped.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// What an echo request carries besides its token, so that answers to other programs are not taken for ours.
pub(super) const COOKIE_SIZE: usize = 8;
const HEADER_SIZE: usize = 8;
const PAYLOAD_SIZE: usize = COOKIE_SIZE + 8;
/// More than any answer to us; longer ones are cut, and refused.
const READ_SIZE: usize = 256;

/// The sockets for PING monitors, as far as this process may have them.
#[derive(Debug)]
pub(crate) struct Ping {
    cookie: [u8; COOKIE_SIZE],
    v4: Result<Echo, String>,
    v6: Result<Echo, String>,
    sequence: u16,
}

#[derive(Debug)]
struct Echo {
    socket: Socket,
    /// Received packets start with the header of IP.
    raw_v4: bool,
}

impl Ping {
    /// Datagram sockets need the user's group in `net.ipv4.ping_group_range`, raw ones need CAP_NET_RAW.
    pub(crate) fn open(cookie: u64) -> Self {
        let open = |domain, protocol| {
            let echo = |kind: Type, raw_v4| {
                let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
                Ok::<_, io::Error>(Echo { socket, raw_v4 })
            };
            echo(Type::DGRAM, false).or_else(|_| echo(Type::RAW, domain == Domain::IPV4)).map_err(|error| {
                format!(
                    "echo requests are not permitted ({error}): allow them with CAP_NET_RAW, or with \
                     sysctl net.ipv4.ping_group_range"
                )
            })
        };
        Self {
            cookie: cookie.to_ne_bytes(),
            v4: open(Domain::IPV4, Protocol::ICMPV4),
            v6: open(Domain::IPV6, Protocol::ICMPV6),
            sequence: 0,
        }
    }

    /// Whether members at such addresses can be checked; if not, why.
    pub(super) fn permitted(&self, address: IpAddr) -> Result<(), String> {
        self.echo(address).map(drop).map_err(String::clone)
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.v4, &self.v6].into_iter().flatten().map(|echo| echo.socket.as_fd())
    }

    /// Sends one request; its answer will carry the token.
    pub(super) fn send(&mut self, address: IpAddr, token: u64) -> Result<(), String> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = request(address.is_ipv6(), self.sequence, self.cookie, token);
        let echo = self.echo(address).map_err(String::clone)?;
        let to = SockAddr::from(SocketAddr::new(address, 0));
        echo.socket.send_to(&message, &to).map(drop).map_err(|error| error.to_string())
    }

    /// The next answer that has come: who answered what token.
    pub(super) fn receive(&self) -> Option<(IpAddr, u64)> {
        for echo in [&self.v4, &self.v6].into_iter().flatten() {
            let mut bytes = [0; READ_SIZE];
            while let Ok((length, _, from)) = recvfrom(&echo.socket, &mut bytes, RecvFlags::empty()) {
                let Some(from) = from.and_then(|from| SocketAddr::try_from(from).ok()) else { continue };
                if let Some(token) = reply(from.is_ipv6(), echo.raw_v4, self.cookie, &bytes[..length]) {
                    return Some((from.ip(), token));
                }
            }
        }
        None
    }

    fn echo(&self, address: IpAddr) -> Result<&Echo, &String> {
        if address.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }
}

/// An echo request. The identifier is the kernel's on datagram sockets, and answers are known by what they carry.
fn request(
    v6: bool,
    sequence: u16,
    cookie: [u8; COOKIE_SIZE],
    token: u64,
) -> [u8; HEADER_SIZE + PAYLOAD_SIZE] {
    let mut message = [0; HEADER_SIZE + PAYLOAD_SIZE];
    message[0] = if v6 { 128 } else { 8 };
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message[8..16].copy_from_slice(&cookie);
    message[16..24].copy_from_slice(&token.to_be_bytes());
    // For version 6 the kernel knows the pseudo-header, and makes it.
    if !v6 {
        let checksum = checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// The token of an answer to us; `None` for anything else.
pub(super) fn reply(v6: bool, with_ip_header: bool, cookie: [u8; COOKIE_SIZE], bytes: &[u8]) -> Option<u64> {
    let message = if with_ip_header && !v6 {
        let length = usize::from(bytes.first()? & 15) * 4;
        bytes.get(length.max(20)..)?
    } else {
        bytes
    };
    let (header, payload) = message.split_first_chunk::<HEADER_SIZE>()?;
    let payload: &[u8; PAYLOAD_SIZE] = payload.try_into().ok()?;
    let kind = if v6 { 129 } else { 0 };
    let (own, token) = payload.split_first_chunk::<COOKIE_SIZE>()?;
    let ours = header[0] == kind && header[1] == 0 && *own == cookie;
    ours.then(|| token.try_into().ok().map(u64::from_be_bytes)).flatten()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: [u8; 8] = *b"cookie!!";

    #[test]
    fn an_answer_to_us_is_known() {
        for v6 in [false, true] {
            for raw_v4 in [false, true] {
                let mut message = request(v6, 7, COOKIE, 42).to_vec();
                if !v6 {
                    assert_eq!(checksum(&message), 0, "with its checksum the sum is nothing");
                }
                message[0] = if v6 { 129 } else { 0 };
                let mut packet = if raw_v4 && !v6 { vec![0x45; 20] } else { vec![] };
                packet.extend(&message);
                assert_eq!(reply(v6, raw_v4, COOKIE, &packet), Some(42));
                assert_eq!(reply(v6, raw_v4, *b"stranger", &packet), None);
                for length in 0..packet.len() {
                    assert_eq!(reply(v6, raw_v4, COOKIE, &packet[..length]), None, "{length}");
                }
                packet.push(0);
                assert_eq!(reply(v6, raw_v4, COOKIE, &packet), None, "too long");
            }
        }
    }

    #[test]
    fn everything_else_is_not() {
        let message = request(false, 7, COOKIE, 42);
        assert_eq!(reply(false, false, COOKIE, &message), None, "a request");
        for kind in [3, 11, 129] {
            let mut other = message;
            other[0] = kind;
            assert_eq!(reply(false, false, COOKIE, &other), None, "{kind}");
        }
        let mut options = vec![0x4f; 60];
        options.extend({
            let mut answer = message;
            answer[0] = 0;
            answer
        });
        assert_eq!(reply(false, true, COOKIE, &options), Some(42), "IP options");
        assert_eq!(reply(false, true, COOKIE, &[0x4f; 24]), None);
    }

    #[test]
    fn this_machine_answers_if_it_may_be_asked() {
        let mut ping = Ping::open(1);
        for address in ["127.0.0.1", "::1"] {
            let address = address.parse().unwrap();
            if ping.permitted(address).is_err() || ping.send(address, 77).is_err() {
                continue;
            }
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            let answer = loop {
                if let Some(answer) = ping.receive() {
                    break answer;
                }
                assert!(std::time::Instant::now() < deadline, "no answer from {address}");
                std::thread::yield_now();
            };
            assert_eq!(answer, (address, 77));
        }
    }
}
