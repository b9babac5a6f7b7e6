//! Tells links at whose interface an address is.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use octavia_vrrp::announcement;
use octavia_wire::Mac;
use socket2::{Domain, Socket, Type};

use crate::sys::send_frame;

/// A packet socket. It receives nothing, being told of no protocol, and stays in the network namespace in which it was
/// opened.
#[derive(Debug)]
pub struct Announcer(Socket);

impl Announcer {
    /// In the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If that takes a privilege (`CAP_NET_RAW`).
    pub fn open() -> io::Result<Self> {
        Socket::new(Domain::PACKET, Type::RAW, None).map(Self)
    }

    /// Gratuitous ARP, or an unsolicited neighbour advertisement, through the interface of this index and MAC.
    ///
    /// # Errors
    ///
    /// If it cannot be sent now: the interface is not there, is down, or has too much to send.
    pub fn announce(&self, index: u32, mac: Mac, address: IpAddr) -> io::Result<()> {
        send_frame(self.0.as_fd(), index, &announcement(address, mac.octets()))
    }
}
