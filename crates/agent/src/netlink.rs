//! Words with the kernel about one namespace: netlink(7) over a socket that was opened in it.

pub(crate) mod message;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto,
    socket_with,
};

use self::message::{Message, Received, messages};

/// More than the largest datagram the kernel answers with.
const DATAGRAM_MAX: usize = 64 << 10;
/// It answers before the call that asks returns.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const KERNEL: SocketAddrNetlink = SocketAddrNetlink::new(0, 0);

#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A socket in the calling thread's namespace, that hears of these groups. `protocol` = whom it speaks with; the first,
/// which routes, has the number that stands for none.
pub(crate) fn open(flags: SocketFlags, groups: u32, protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | flags;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

impl Netlink {
    /// In the calling thread's namespace, and about that for good.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = open(SocketFlags::empty(), 0, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks, or orders, and takes what is answered until its end.
    pub(crate) fn ask(&mut self, question: Message, mut take: impl FnMut(&Received<'_>)) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        sendto(&self.socket, &question.numbered(self.sequence), SendFlags::empty(), &KERNEL)?;
        let mut datagram = vec![0; DATAGRAM_MAX];
        loop {
            let (_, length, sender) = recvfrom(&self.socket, &mut datagram[..], RecvFlags::TRUNC)?;
            let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
            // Anybody with the privilege may send to this socket.
            if sender.is_none_or(|sender| sender.pid() != 0) {
                continue;
            }
            let datagram = datagram.get(..length).ok_or(io::ErrorKind::InvalidData)?;
            // What is left of a question before, which was not heard to its end, has another number.
            for message in messages(datagram).filter(|message| message.sequence == self.sequence) {
                match libc::c_int::from(message.kind) {
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        let error = message.error().map(io::Error::from_raw_os_error);
                        return error.map_or(Ok(()), Err);
                    }
                    _ => take(&message),
                }
            }
        }
    }
}
