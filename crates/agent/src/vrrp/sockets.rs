//! What a router speaks and listens through.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd as _, BorrowedFd};

use octavia_vrrp::{Datagram, PROTOCOL, TTL};
use octavia_wire::{Mac, VrrpSpec};
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, Socket, Type};

use super::VrrpError;
use super::announcer::Announcer;
use super::carrier::Carrier;
use crate::sys::{Link, links, receive_ipv6};

/// Network control (RFC 2474, RFC 4594 §3.1): class selector 6.
const TRAFFIC_CLASS: u32 = 0xc0;

/// One for advertisements, one for announcements, and one for news of the interface. They stay in the network namespace in which they were opened,
/// whatever thread uses them.
#[derive(Debug)]
pub struct VrrpSockets {
    vrrp: Socket,
    announcer: Announcer,
    carrier: Carrier,
    source: IpAddr,
    mac: Mac,
    link: Link,
}

impl VrrpSockets {
    /// In the network namespace of the calling thread. The interface must be up, and have its own address.
    ///
    /// # Errors
    ///
    /// If there is no such interface or address, or it takes a privilege (`CAP_NET_RAW`).
    pub fn open(spec: &VrrpSpec) -> Result<Self, VrrpError> {
        spec.check()?;
        let link = find(spec)?;
        let vrrp = vrrp(spec.source, &link)
            .map_err(|error| VrrpError::Socket { what: "a raw socket of VRRP", error })?;
        let announcer =
            Announcer::open().map_err(|error| VrrpError::Socket { what: "a packet socket", error })?;
        let carrier = Carrier::open(link.index)
            .map_err(|error| VrrpError::Socket { what: "a socket of rtnetlink", error })?;
        Ok(Self { vrrp, announcer, carrier, source: spec.source, mac: spec.interface, link })
    }

    /// What becomes readable when something comes.
    pub(super) fn readable(&self) -> [BorrowedFd<'_>; 2] {
        [self.vrrp.as_fd(), self.carrier.readable()]
    }

    pub(super) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    pub(super) fn link(&self) -> &str {
        &self.link.name
    }

    /// The next packet; `None` = it is none of VRRP. Nothing is there = `WouldBlock`.
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Datagram<'a>>> {
        if self.source.is_ipv4() {
            let (_, length) = rustix::net::recv(&self.vrrp, &mut *buffer, RecvFlags::DONTWAIT)?;
            return Ok(buffer.get(..length).and_then(Datagram::from_ipv4));
        }
        let (length, from, hop_limit) = receive_ipv6(self.vrrp.as_fd(), buffer)?;
        let datagram = |payload| {
            // It is bound to its own address.
            Some(Datagram { from: from.into(), to: self.source, ttl: hop_limit?, payload })
        };
        Ok(buffer.get(..length).and_then(datagram))
    }

    pub(super) fn send(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        rustix::net::sendto(&self.vrrp, packet, SendFlags::DONTWAIT, &self.address(to))?;
        Ok(())
    }

    /// Tells the link that the address is here.
    pub(super) fn announce(&self, vip: IpAddr) -> io::Result<()> {
        self.announcer.announce(self.link.index, self.mac, vip)
    }

    fn address(&self, ip: IpAddr) -> SocketAddr {
        address(ip, &self.link)
    }
}

/// Raw sockets have no ports. Of link-local addresses it takes the link to know which is meant.
fn address(ip: IpAddr, link: &Link) -> SocketAddr {
    match ip {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, 0).into(),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { link.index } else { 0 };
            SocketAddrV6::new(ip, 0, 0, scope).into()
        }
    }
}

fn find(spec: &VrrpSpec) -> Result<Link, VrrpError> {
    let all = links().map_err(|error| VrrpError::Socket { what: "the interfaces", error })?;
    let mut found = all.into_iter().filter(|link| link.mac == spec.interface.octets());
    match (found.next(), found.next()) {
        (Some(link), None) => Ok(link),
        (None, _) => Err(VrrpError::NoLink(spec.interface)),
        (Some(_), Some(_)) => Err(VrrpError::ManyLinks(spec.interface)),
    }
}

fn vrrp(source: IpAddr, link: &Link) -> io::Result<Socket> {
    let domain = if source.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(PROTOCOL))))?;
    socket.bind_device(Some(link.name.as_bytes()))?;
    match source {
        IpAddr::V4(_) => {
            socket.set_ttl_v4(TTL.into())?;
            socket.set_tos_v4(TRAFFIC_CLASS)?;
        }
        IpAddr::V6(_) => {
            socket.set_unicast_hops_v6(TTL.into())?;
            socket.set_tclass_v6(TRAFFIC_CLASS)?;
            socket.set_recv_hoplimit_v6(true)?;
        }
    }
    socket.bind(&address(source, link).into())?;
    Ok(socket)
}
