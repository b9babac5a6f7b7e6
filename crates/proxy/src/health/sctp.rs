//! Checks of SCTP: an INIT, which whoever serves there answers with an INIT ACK (RFC 9260, section 5.1). Nothing follows it,
//! and the other side keeps no state for it.
//!
//! One raw socket for each address family, opened before privileges are dropped, as the kernel need not speak SCTP itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::check::Verdict;

/// Of IP.
const SCTP: i32 = 132;
const HEADER_SIZE: usize = 12;
const INIT_SIZE: usize = 20;
/// More than an ABORT has, and enough of an INIT ACK; longer packets are cut, and their checksum cannot be looked at.
const READ_SIZE: usize = 4_096;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
/// Own ports are from here up: those that nobody is given for long (RFC 6335, section 6).
const FIRST_PORT: u16 = 49_152;
/// Of a token, what a tag carries.
const TOKEN: u64 = 0x7fff_ffff;

/// The sockets for SCTP monitors, as far as this process may have them.
#[derive(Debug)]
pub(crate) struct Sctp {
    /// So that answers to other programs are not taken for ours.
    cookie: u32,
    v4: Result<Socket, String>,
    v6: Result<Socket, String>,
}

/// What has come back from a member.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) from: SocketAddr,
    /// The less significant bits of the token.
    token: u64,
    pub(super) verdict: Verdict,
}

impl Answer {
    /// The token that is meant, when `next` is the next to be given away.
    pub(super) fn token(&self, next: u64) -> u64 {
        let token = next & !TOKEN | self.token;
        if token < next { token } else { token.saturating_sub(TOKEN + 1) }
    }
}

impl Sctp {
    /// Raw sockets need CAP_NET_RAW.
    pub(crate) fn open(cookie: u64) -> Self {
        let open = |domain| {
            let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(SCTP)));
            socket.map_err(|error: io::Error| {
                format!("checks of SCTP are not permitted ({error}): they need CAP_NET_RAW")
            })
        };
        // A tag is never 0.
        Self { cookie: cookie as u32 | 1 << 31, v4: open(Domain::IPV4), v6: open(Domain::IPV6) }
    }

    /// Whether members at such addresses can be checked; if not, why.
    pub(super) fn permitted(&self, address: IpAddr) -> Result<(), String> {
        self.socket(address).map(drop).map_err(String::clone)
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.v4, &self.v6].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Sends an INIT; its answer will tell the token.
    pub(super) fn send(&self, to: SocketAddr, token: u64) -> Result<(), String> {
        let packet = init(to.port(), self.cookie, token);
        let socket = self.socket(to.ip()).map_err(String::clone)?;
        let to = SockAddr::from(SocketAddr::new(to.ip(), 0));
        socket.send_to(&packet, &to).map(drop).map_err(|error| error.to_string())
    }

    /// The next answer that has come.
    pub(super) fn receive(&self) -> Option<Answer> {
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            let mut bytes = [0; READ_SIZE];
            while let Ok((length, _, from)) = recvfrom(socket, &mut bytes, RecvFlags::empty()) {
                let Some(from) = from.and_then(|from| SocketAddr::try_from(from).ok()) else { continue };
                if let Some(answer) = answer(from.ip(), self.cookie, &bytes[..length]) {
                    return Some(answer);
                }
            }
        }
        None
    }

    fn socket(&self, address: IpAddr) -> Result<&Socket, &String> {
        if address.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }
}

fn own_port(token: u64) -> u16 {
    FIRST_PORT + ((token & TOKEN) % u64::from(u16::MAX - FIRST_PORT)) as u16
}

/// A packet with an INIT, whose tag is what answers have to bring.
fn init(port: u16, cookie: u32, token: u64) -> [u8; HEADER_SIZE + INIT_SIZE] {
    let mut packet = [0; HEADER_SIZE + INIT_SIZE];
    packet[..2].copy_from_slice(&own_port(token).to_be_bytes());
    packet[2..4].copy_from_slice(&port.to_be_bytes());
    packet[12] = INIT;
    packet[15] = INIT_SIZE as u8;
    let tag = cookie ^ (token & TOKEN) as u32;
    packet[16..20].copy_from_slice(&tag.to_be_bytes());
    // A window, one stream each way, the first number.
    packet[20..24].copy_from_slice(&65_536_u32.to_be_bytes());
    packet[25] = 1;
    packet[27] = 1;
    packet[28..32].copy_from_slice(&tag.to_be_bytes());
    let checksum = checksum(&packet);
    packet[8..12].copy_from_slice(&checksum);
    packet
}

/// What a packet says, if it is an answer to one of ours. Those of version 4 start with the header of IP.
pub(super) fn answer(from: IpAddr, cookie: u32, packet: &[u8]) -> Option<Answer> {
    let bytes = if from.is_ipv4() {
        let length = usize::from(packet.first()? & 15) * 4;
        packet.get(length.max(20)..)?
    } else {
        packet
    };
    let (header, chunks) = bytes.split_first_chunk::<HEADER_SIZE>()?;
    let pair = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let tag = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let token = u64::from(tag ^ cookie);
    // Answers to others are not looked at any closer.
    if token > TOKEN || pair(2) != own_port(token) || bytes[8..12] != checksum(bytes) {
        return None;
    }
    let verdict = match *chunks.first()? {
        INIT_ACK => Ok(()),
        ABORT => Err("refused (ABORT)".to_owned()),
        _ => return None,
    };
    Some(Answer { from: SocketAddr::new(from, pair(0)), token, verdict })
}

/// What a packet has in its bytes 8 to 12: CRC32c, with zeros there (RFC 9260, appendix A).
pub(super) fn checksum(packet: &[u8]) -> [u8; 4] {
    let bytes = packet.iter().enumerate().map(|(at, byte)| if (8..12).contains(&at) { 0 } else { *byte });
    crc32c(bytes).to_le_bytes()
}

fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: u32 = 0x8000_0007;

    /// A member's packet in answer to our INIT, with these chunks.
    fn reply(init: &[u8], chunks: &[u8]) -> Vec<u8> {
        let mut packet = [&init[2..4], &init[..2], &init[16..20], &[0; 4], chunks].concat();
        let checksum = checksum(&packet);
        packet[8..12].copy_from_slice(&checksum);
        packet
    }

    #[test]
    fn the_sum_is_the_standards() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    }

    #[test]
    fn an_answer_to_us_is_known() {
        for from in ["192.0.2.7", "2001:db8::7"] {
            let from: IpAddr = from.parse().unwrap();
            let framed = |packet: &[u8]| {
                let header = if from.is_ipv4() { vec![0x46; 24] } else { vec![] };
                [&header[..], packet].concat()
            };
            for token in [0, 1, 77, TOKEN, TOKEN + 5] {
                let init = init(80, COOKIE, token);
                for (chunks, verdict) in [
                    (&[INIT_ACK, 0, 0, 4][..], Some(Ok(()))),
                    (&[ABORT, 0, 0, 4], Some(Err("refused (ABORT)".to_owned()))),
                    (&[INIT, 0, 0, 4], None),
                    (&[3, 0, 0, 4, INIT_ACK, 0, 0, 4], None),
                    (&[], None),
                ] {
                    let packet = framed(&reply(&init, chunks));
                    let told = answer(from, COOKIE, &packet);
                    assert_eq!(told.as_ref().map(|told| told.verdict.clone()), verdict, "{chunks:?}");
                    if let Some(told) = told {
                        assert_eq!(told.from, SocketAddr::new(from, 80));
                        assert_eq!(told.token(token + 3), token);
                    }
                    assert_eq!(
                        answer(from, COOKIE ^ 1, &packet).map(|told| told.token(9)),
                        None,
                        "a stranger's"
                    );
                }
            }
        }
    }

    #[test]
    fn everything_else_is_not() {
        let from: IpAddr = "2001:db8::7".parse().unwrap();
        let init = init(80, COOKIE, 5);
        assert_eq!(answer(from, COOKIE, &init), None, "our own");
        let good = reply(&init, &[INIT_ACK, 0, 0, 4]);
        for length in 0..good.len() {
            assert_eq!(answer(from, COOKIE, &good[..length]), None, "{length}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(answer(from, COOKIE, &bad), None, "byte {at}");
        }
        assert_eq!(answer("192.0.2.7".parse().unwrap(), COOKIE, &[0x4f; 24]), None);
    }
}
