//! Messages of the kernel's packet filter and its connection tracking: those the agent sends, and what of the kernel's it
//! reads; pure.
//!
//! After the header comes a family, a version, and a number of no meaning here; numbers in attributes are the network's way
//! round.

use std::net::{IpAddr, SocketAddr};

use super::flow::Flow;
use super::rules::TABLE;
use crate::netlink::message::{Message, Received, attribute, ip};

/// What the fixed part has before attributes.
const GENMSG: usize = 4;

// linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h and nf_tables.h.
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK << 8;
const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 1;
const IPCTNL_MSG_CT_DELETE: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_MARK: u16 = 8;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const IPS_DST_NAT: u32 = 1 << 5;
const NFT_MSG_NEWGEN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 15;
const NFT_MSG_GETGEN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 16;
const NFT_MSG_NEWOBJ: u16 = NFNL_SUBSYS_NFTABLES << 8 | 18;
const NFT_MSG_GETOBJ: u16 = NFNL_SUBSYS_NFTABLES << 8 | 19;
const NFTA_GEN_ID: u16 = 1;
const NFTA_OBJ_TABLE: u16 = 1;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;
const NFT_OBJECT_COUNTER: u32 = 1;
const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFPROTO_INET: u8 = 1;
const NLA_F_NESTED: u16 = libc::NLA_F_NESTED as u16;

fn message(kind: u16, flags: i32, family: u8) -> Message {
    Message::new(kind, flags, &[family, 0, 0, 0])
}

/// Asks for all flows of both families.
pub(super) fn flows() -> Message {
    message(IPCTNL_MSG_CT_GET, libc::NLM_F_DUMP, 0)
}

/// Has a flow forgotten: its next packet is the first of another.
pub(super) fn forget(v6: bool, tuple: &[u8]) -> Message {
    // Small numbers, though their names are of a wider type.
    let family = (if v6 { libc::AF_INET6 } else { libc::AF_INET }) as u8;
    message(IPCTNL_MSG_CT_DELETE, libc::NLM_F_ACK, family).with(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple)
}

/// Asks for the counters of our table.
pub(super) fn counters() -> Message {
    let table = format!("{TABLE}\0");
    message(NFT_MSG_GETOBJ, libc::NLM_F_DUMP, NFPROTO_INET)
        .with(NFTA_OBJ_TABLE, table.as_bytes())
        .with(NFTA_OBJ_TYPE, &NFT_OBJECT_COUNTER.to_be_bytes())
}

/// Asks how often rules were changed.
pub(super) fn generation() -> Message {
    message(NFT_MSG_GETGEN, libc::NLM_F_ACK, 0)
}

fn attributes_of<'a>(message: &Received<'a>, kind: u16) -> Option<&'a [u8]> {
    if message.kind == kind { message.body.get(GENMSG..) } else { None }
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn u64_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// One that was brought to a member; others are of no interest.
pub(super) fn read_flow<'a>(message: &Received<'a>) -> Option<Flow<'a>> {
    let of = attributes_of(message, IPCTNL_MSG_CT_NEW)?;
    if u32_of(attribute(of, CTA_STATUS)?)? & IPS_DST_NAT == 0 {
        return None;
    }
    let tuple = attribute(of, CTA_TUPLE_ORIG)?;
    let (protocol, client, vip) = read_tuple(tuple)?;
    let (_, member, _) = read_tuple(attribute(of, CTA_TUPLE_REPLY)?)?;
    let mark = attribute(of, CTA_MARK).and_then(u32_of).unwrap_or(0);
    Some(Flow { protocol, client: client.ip(), vip, member, mark, tuple })
}

/// Protocol, source and destination.
fn read_tuple(tuple: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let (addresses, ports) = (attribute(tuple, CTA_TUPLE_IP)?, attribute(tuple, CTA_TUPLE_PROTO)?);
    let address =
        |v4, v6| -> Option<IpAddr> { ip(attribute(addresses, v4).or_else(|| attribute(addresses, v6))?) };
    let port =
        |number| -> Option<u16> { Some(u16::from_be_bytes(attribute(ports, number)?.try_into().ok()?)) };
    let source = SocketAddr::new(address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?, port(CTA_PROTO_SRC_PORT)?);
    let destination = SocketAddr::new(address(CTA_IP_V4_DST, CTA_IP_V6_DST)?, port(CTA_PROTO_DST_PORT)?);
    Some((*attribute(ports, CTA_PROTO_NUM)?.first()?, source, destination))
}

/// Name, bytes and packets.
pub(super) fn read_counter(message: &Received<'_>) -> Option<(String, (u64, u64))> {
    let of = attributes_of(message, NFT_MSG_NEWOBJ)?;
    if u32_of(attribute(of, NFTA_OBJ_TYPE)?)? != NFT_OBJECT_COUNTER {
        return None;
    }
    let name = attribute(of, NFTA_OBJ_NAME)?.split(|byte| *byte == 0).next()?;
    let data = attribute(of, NFTA_OBJ_DATA)?;
    let count = |number| u64_of(attribute(data, number)?);
    Some((String::from_utf8(name.to_vec()).ok()?, (count(NFTA_COUNTER_BYTES)?, count(NFTA_COUNTER_PACKETS)?)))
}

pub(super) fn read_generation(message: &Received<'_>) -> Option<u32> {
    u32_of(attribute(attributes_of(message, NFT_MSG_NEWGEN)?, NFTA_GEN_ID)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::messages;

    fn tuple(protocol: u8, source: &str, destination: &str) -> Message {
        let [source, destination]: [SocketAddr; 2] = [source, destination].map(|text| text.parse().unwrap());
        let (first, second) =
            if source.is_ipv4() { (CTA_IP_V4_SRC, CTA_IP_V4_DST) } else { (CTA_IP_V6_SRC, CTA_IP_V6_DST) };
        let addresses = Message::attributes().with_ip(first, source.ip()).with_ip(second, destination.ip());
        let ports = Message::attributes()
            .with(CTA_PROTO_NUM, &[protocol])
            .with(CTA_PROTO_SRC_PORT, &source.port().to_be_bytes())
            .with(CTA_PROTO_DST_PORT, &destination.port().to_be_bytes());
        Message::attributes().with_nested(CTA_TUPLE_IP, &addresses).with_nested(CTA_TUPLE_PROTO, &ports)
    }

    fn told(status: u32, protocol: u8, there: [&str; 2], back: [&str; 2]) -> Vec<u8> {
        message(IPCTNL_MSG_CT_NEW, 0, 2)
            .with_nested(CTA_TUPLE_ORIG, &tuple(protocol, there[0], there[1]))
            .with_nested(CTA_TUPLE_REPLY, &tuple(protocol, back[0], back[1]))
            .with(CTA_STATUS, &status.to_be_bytes())
            .with(CTA_MARK, &7_u32.to_be_bytes())
            .numbered(1)
    }

    fn examples() -> [Vec<u8>; 3] {
        [
            told(0x1ae, 17, ["192.0.2.9:4000", "192.0.2.1:53"], ["10.0.0.7:5300", "10.0.0.1:4000"]),
            told(0x1ae, 132, ["[2001:db8::9]:4000", "[2001:db8::1]:80"], ["[fd00::7]:80", "[fd00::1]:9"]),
            told(0x18e, 17, ["192.0.2.9:4000", "192.0.2.1:53"], ["192.0.2.1:53", "192.0.2.9:4000"]),
        ]
    }

    #[test]
    fn flows_are_read() {
        let [v4, v6, plain] = examples();
        let message = messages(&v4).next().unwrap();
        let flow = read_flow(&message).unwrap();
        assert_eq!((flow.protocol, flow.mark), (17, 7));
        assert_eq!(flow.client.to_string(), "192.0.2.9");
        assert_eq!(
            (flow.vip.to_string(), flow.member.to_string()),
            ("192.0.2.1:53".into(), "10.0.0.7:5300".into())
        );
        // It is forgotten by the same words.
        let forgotten = forget(false, flow.tuple).numbered(1);
        let forgotten = messages(&forgotten).next().unwrap();
        assert_eq!(
            read_tuple(attribute(&forgotten.body[GENMSG..], CTA_TUPLE_ORIG).unwrap()),
            read_tuple(flow.tuple)
        );
        let message = messages(&v6).next().unwrap();
        let flow = read_flow(&message).unwrap();
        assert_eq!((flow.protocol, flow.vip.port(), flow.member.port()), (132, 80, 80));
        assert_eq!(read_flow(&messages(&plain).next().unwrap()), None, "it goes where its client sends it");
    }

    #[test]
    fn counters_and_generations_are_read() {
        let data = Message::attributes()
            .with(NFTA_COUNTER_BYTES, &1_500_u64.to_be_bytes())
            .with(NFTA_COUNTER_PACKETS, &3_u64.to_be_bytes());
        for (kind, expected) in [(NFT_OBJECT_COUNTER, Some(("in-a".to_owned(), (1_500, 3)))), (2, None)] {
            let told = message(NFT_MSG_NEWOBJ, 0, NFPROTO_INET)
                .with(NFTA_OBJ_NAME, b"in-a\0")
                .with(NFTA_OBJ_TYPE, &kind.to_be_bytes())
                .with_nested(NFTA_OBJ_DATA, &data)
                .numbered(1);
            assert_eq!(read_counter(&messages(&told).next().unwrap()), expected);
        }
        let told = message(NFT_MSG_NEWGEN, 0, 0).with(NFTA_GEN_ID, &9_u32.to_be_bytes()).numbered(1);
        assert_eq!(read_generation(&messages(&told).next().unwrap()), Some(9));
    }

    /// The kernel is believed, but nothing it could say breaks the agent.
    #[test]
    fn what_is_cut_off_or_changed_is_no_reason_to_fall() {
        let whole = examples().concat();
        let read = |bytes: &[u8]| {
            messages(bytes).for_each(|message| {
                let _ = (read_flow(&message), read_counter(&message), read_generation(&message));
            });
        };
        (0..whole.len()).for_each(|end| read(&whole[..end]));
        for at in 0..whole.len() {
            for value in [0, 1, 3, 4, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                read(&changed);
            }
        }
    }
}
