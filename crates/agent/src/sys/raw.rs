//! Network interfaces and the sockets below TCP and UDP: what neither rustix nor socket2 can do safely.

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// An Ethernet interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

/// Those in the network namespace of the calling thread.
pub(crate) fn links() -> io::Result<Vec<Link>> {
    let mut list = std::ptr::null_mut();
    // SAFETY: it writes a pointer to a list of its own making, which nobody else knows and which is freed once, below.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut links, mut next) = (vec![], list);
    // SAFETY: it is null, or a member of the list, which is not freed before the loop is over.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: an address is null, or begins with its family; of this family it is a `sockaddr_ll`.
        let address = unsafe {
            match entry.ifa_addr.as_ref() {
                Some(address) if i32::from(address.sa_family) == libc::AF_PACKET => {
                    entry.ifa_addr.cast::<libc::sockaddr_ll>().read_unaligned()
                }
                _ => continue,
            }
        };
        if address.sll_hatype != libc::ARPHRD_ETHER || address.sll_halen != 6 {
            continue;
        }
        let [a, b, c, d, e, f, ..] = address.sll_addr;
        // SAFETY: names in the list end with a zero, and live as long as it does.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
        let index = u32::try_from(address.sll_ifindex).unwrap_or_default();
        links.push(Link { name, index, mac: [a, b, c, d, e, f] });
    }
    // SAFETY: it came from `getifaddrs`, and nothing points into it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(links)
}

/// Sends an Ethernet frame through this interface, from a packet socket and without waiting.
pub(crate) fn send_frame(socket: BorrowedFd<'_>, index: u32, frame: &[u8]) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of it.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let length = size_of_val(&address) as libc::socklen_t;
    let to = (&raw const address).cast();
    // SAFETY: the frame and the address live across the call, and are as long as is said.
    let sent = unsafe {
        let frame = (frame.as_ptr().cast(), frame.len());
        libc::sendto(socket.as_raw_fd(), frame.0, frame.1, libc::MSG_DONTWAIT, to, length)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a packet from a raw socket of IPv6 without waiting: its length, whence it came, and its hop limit, if the socket
/// was told to say that. What does not fit into the buffer is lost.
pub(crate) fn receive_ipv6(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Ipv6Addr, Option<u8>)> {
    // Room for more than is asked for, and aligned as its header wants it.
    let mut control = [0_u64; 16];
    let mut data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid value of both.
    let (mut from, mut message) = unsafe { (zeroed::<libc::sockaddr_in6>(), zeroed::<libc::msghdr>()) };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer of the message leads to memory that is as long as the message says, is borrowed by nobody else
    // and lives across the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut hop_limit = None;
    // SAFETY: the kernel has filled the control buffer, and its length is what the macros go by; the value is read as the
    // integer that it is only where its header says that it is one.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(cmsg) = header.as_ref() {
            let is_limit = (cmsg.cmsg_level, cmsg.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT);
            if is_limit && cmsg.cmsg_len >= libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as usize {
                let value = libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned();
                hop_limit = u8::try_from(value).ok();
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    Ok((length, Ipv6Addr::from(from.sin6_addr.s6_addr), hop_limit))
}
