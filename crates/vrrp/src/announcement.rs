//! What tells a link at whose interface an address is now: gratuitous ARP, and unsolicited neighbour advertisements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::TTL;
use crate::checksum::Sum;

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const BROADCAST: [u8; 6] = [0xff; 6];
const ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// RFC 4861 §4.4: what others know is to be replaced. Nobody asked, and it is no router.
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

/// An Ethernet frame that says that `address` is at the interface with this MAC.
pub fn announcement(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => gratuitous_arp(address, mac),
        IpAddr::V6(address) => neighbour_advertisement(address, mac),
    }
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes()].concat()
}

/// An ARP announcement: a request whose sender and target are the address (RFC 5227 §3), as keepalived's.
fn gratuitous_arp(address: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    // Ethernet and IPv4, addresses of 6 and 4 bytes, a request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend(BROADCAST);
    frame.extend(address.octets());
    frame
}

/// To all nodes (RFC 4861 §7.2.6), from the address itself.
fn neighbour_advertisement(address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    // Its length is in units of 8 bytes.
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
    message.extend(mac);
    let pseudo = Sum::pseudo_header(address.into(), all_nodes.into(), ICMPV6, message.len());
    let checksum = pseudo.add(&message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 1], mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, ICMPV6, TTL]);
    frame.extend(address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0xfa, 0xe5, 0xb7, 0x56, 0xf7, 0xe3];

    /// As keepalived 2.2.7 sends them.
    #[test]
    fn as_keepalived() {
        let arp = b"\xff\xff\xff\xff\xff\xff\xfa\xe5\xb7\x56\xf7\xe3\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\
            \xfa\xe5\xb7\x56\xf7\xe3\x0a\x09\x00\x09\xff\xff\xff\xff\xff\xff\x0a\x09\x00\x09";
        assert_eq!(announcement([10, 9, 0, 9].into(), MAC), arp);
        let advertisement =
            b"\x33\x33\x00\x00\x00\x01\xfa\xe5\xb7\x56\xf7\xe3\x86\xdd\x60\x00\x00\x00\x00\x20\x3a\xff\
            \xfd\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\
            \x88\x00\xb2\x49\x20\0\0\0\xfd\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\x02\x01\xfa\xe5\xb7\x56\xf7\xe3";
        assert_eq!(announcement("fd09::11".parse().unwrap(), MAC), advertisement);
    }
}
