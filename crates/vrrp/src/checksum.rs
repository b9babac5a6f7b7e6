//! The Internet checksum (RFC 1071), and the pseudo-headers that go into it.

use std::net::IpAddr;

/// A sum under way. Every part but the last has an even length.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        self.0 += words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>();
        self.0 += rest.first().map_or(0, |last| u64::from(*last) << 8);
        self
    }

    fn add_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.add(&address.octets()),
            IpAddr::V6(address) => self.add(&address.octets()),
        }
    }

    /// What stands before a payload of `length` bytes of this protocol (RFC 8200 §8.1; of IPv4 in its likeness). Where a
    /// field lies in it makes no difference to a sum.
    pub(crate) fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Self {
        Self(u64::from(protocol) + length as u64).add_address(from).add_address(to)
    }

    /// What goes into the packet. Over a packet that has it, it is 0.
    pub(crate) fn checksum(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_rfc_1071() {
        let sum = Sum::default().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.checksum(), !0xddf2);
        assert_eq!(Sum::default().add(&[1]).checksum(), !0x0100);
        assert_eq!(Sum::default().checksum(), 0xffff);
    }
}
