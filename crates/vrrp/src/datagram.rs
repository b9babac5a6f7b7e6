//! A packet as it comes from a raw socket.

use std::net::{IpAddr, Ipv4Addr};

use crate::PROTOCOL;

/// What came, and what its IP header said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub from: IpAddr,
    pub to: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Of IPv4 a raw socket passes the header, too. `None` = it is no whole packet of VRRP.
    pub fn from_ipv4(packet: &'a [u8]) -> Option<Self> {
        let (header, _) = packet.split_first_chunk::<20>()?;
        let length = usize::from(header[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        // Not the first fragment, or one that others follow.
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        if header[0] >> 4 != 4 || header[9] != PROTOCOL || length < header.len() || fragment {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        Some(Self {
            from: address(12).into(),
            to: address(16).into(),
            ttl: header[8],
            // What is behind its end filled up the frame.
            payload: packet.get(length..total)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As keepalived sent it.
    const KEEPALIVED: &[u8] =
        b"\x45\xc0\x00\x20\x00\x01\x00\x00\xff\x70\xa6\x98\x0a\x09\x00\x01\x0a\x09\x00\x02\
        \x31\x02\x64\x01\x00\x14\x4c\x44\x0a\x09\x00\x0a";

    #[test]
    fn what_a_raw_socket_passes() {
        let datagram = Datagram::from_ipv4(KEEPALIVED).unwrap();
        assert_eq!(datagram.from, IpAddr::from([10, 9, 0, 1]));
        assert_eq!(datagram.to, IpAddr::from([10, 9, 0, 2]));
        assert_eq!(datagram.ttl, 255);
        assert_eq!(datagram.payload, &KEEPALIVED[20..]);
        let filled_up = [KEEPALIVED, &[0; 14]].concat();
        assert_eq!(Datagram::from_ipv4(&filled_up), Some(datagram));
        let options =
            [b"\x46", &KEEPALIVED[1..3], b"\x24", &KEEPALIVED[4..20], b"\x94\x04\0\0", &KEEPALIVED[20..]];
        assert_eq!(Datagram::from_ipv4(&options.concat()), Some(datagram));
    }

    #[test]
    fn what_is_none() {
        // A place, and what stands there instead.
        for (at, byte, why) in [
            (0, 0x65, "IPv6"),
            (0, 0x44, "a header cut short"),
            (0, 0x4f, "a header longer than the packet"),
            (3, 0x21, "longer than it is"),
            (3, 0x13, "shorter than its header"),
            (6, 0x20, "a fragment"),
            (7, 0x01, "a later fragment"),
            (9, 0x11, "another protocol"),
        ] {
            let mut packet = KEEPALIVED.to_vec();
            packet[at] = byte;
            assert_eq!(Datagram::from_ipv4(&packet), None, "{why}");
        }
        for length in 0..KEEPALIVED.len() {
            assert_eq!(Datagram::from_ipv4(&KEEPALIVED[..length]), None, "{length}");
        }
    }
}
