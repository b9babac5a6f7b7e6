//! Whether an interface can carry anything: rtnetlink(7) tells when that changes.
//!
//! A message is a header of 16 bytes (length, kind, flags, sequence number, port), then, of interfaces, 16 more: family, type,
//! index, flags, and which of these changed.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

const HEADER: usize = 16;
const BODY: usize = 16;
/// RTMGRP_LINK of linux/rtnetlink.h.
const LINKS: u32 = 1;
/// Listens in the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Carrier {
    socket: OwnedFd,
    index: u32,
}

impl Carrier {
    pub(super) fn open(index: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, LINKS))?;
        let carrier = Self { socket, index };
        carrier.ask()?;
        Ok(carrier)
    }

    /// The answer is like any other news.
    fn ask(&self) -> io::Result<()> {
        send(&self.socket, &question(self.index), SendFlags::DONTWAIT)?;
        Ok(())
    }

    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it can carry, if there is news of that. The kernel fills no more than 32 KiB at once.
    pub(super) fn news(&self, buffer: &mut [u8]) -> io::Result<Option<bool>> {
        let mut last = None;
        loop {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => {
                    let messages = buffer.get(..length).unwrap_or_default();
                    last = carries(messages, self.index).or(last);
                }
                Err(Errno::AGAIN) => return Ok(last),
                Err(Errno::INTR) => {}
                // News was lost.
                Err(Errno::NOBUFS) => self.ask()?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn question(index: u32) -> [u8; HEADER + BODY] {
    let mut bytes = [0; HEADER + BODY];
    bytes[..4].copy_from_slice(&((HEADER + BODY) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&index.to_ne_bytes());
    bytes
}

/// What the last of these messages that is about the interface says of it; pure.
fn carries(mut messages: &[u8], index: u32) -> Option<bool> {
    let mut last = None;
    while let Some(header) = messages.first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, ..] = *header;
        let (length, kind) = (u32::from_ne_bytes([a, b, c, d]) as usize, u16::from_ne_bytes([e, f]));
        let Some(message) = messages.get(HEADER..length) else { break };
        if let Some(body) = message.first_chunk::<BODY>() {
            let [.., i, j, k, l, m, n, o, p, _, _, _, _] = *body;
            let flags = i32::from_ne_bytes([m, n, o, p]);
            let is_it = u32::from_ne_bytes([i, j, k, l]) == index;
            match kind {
                libc::RTM_NEWLINK if is_it => last = Some(flags & libc::IFF_RUNNING != 0),
                libc::RTM_DELLINK if is_it => last = Some(false),
                _ => {}
            }
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, flags: i32, attributes: &[u8]) -> Vec<u8> {
        let mut bytes = question(index).to_vec();
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[HEADER + 8..HEADER + 12].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend(attributes);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn what_messages_say() {
        let (up, running) = (libc::IFF_UP, libc::IFF_UP | libc::IFF_RUNNING);
        let (new, gone) = (libc::RTM_NEWLINK, libc::RTM_DELLINK);
        for (messages, expected) in [
            (vec![], None),
            (vec![message(new, 7, running, b"")], Some(true)),
            (vec![message(new, 7, up, b"12345")], Some(false)),
            (vec![message(new, 7, up, b"12345"), message(new, 7, running, b"")], Some(true)),
            (vec![message(new, 7, running, b""), message(gone, 7, running, b"")], Some(false)),
            (
                vec![message(new, 8, up, b"1"), message(new, 7, running, b""), message(new, 8, up, b"")],
                Some(true),
            ),
            (vec![message(libc::RTM_NEWADDR, 7, running, b"")], None),
        ] {
            assert_eq!(carries(&messages.concat(), 7), expected, "{messages:?}");
        }
        let whole = message(new, 7, running, b"");
        for length in 0..whole.len() {
            assert_eq!(carries(&whole[..length], 7), None, "{length}");
        }
        // Lengths that lead nowhere.
        for length in [0_u32, 1, 15, 16, 31, u32::MAX] {
            let mut odd = whole.clone();
            odd[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(carries(&odd, 7), None, "{length}");
        }
    }

    #[test]
    fn the_loopback_interface_carries() {
        let carrier = Carrier::open(1).unwrap();
        let mut fds =
            [rustix::event::PollFd::from_borrowed_fd(carrier.readable(), rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        let mut buffer = vec![0; 32 << 10];
        assert_eq!(carrier.news(&mut buffer).unwrap(), Some(true));
        assert_eq!(carrier.news(&mut buffer).unwrap(), None);
    }
}
