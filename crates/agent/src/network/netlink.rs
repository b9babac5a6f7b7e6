//! Words with the kernel about one namespace: rtnetlink(7) over a socket that was opened in it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, recvfrom, sendto, socket_with,
};

use super::diff::Change;
use super::message::{self, Message, Received};
use super::state::Found;

/// More than the largest datagram the kernel answers with.
const DATAGRAM_MAX: usize = 64 << 10;
/// It answers before the call that asks returns.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers that were made while something changed may be of neither state.
const ATTEMPTS: u32 = 5;
/// Thrown away at once: whoever changes things all the time is not waited for.
const NEWS_MAX: u32 = 10_000;
const KERNEL: SocketAddrNetlink = SocketAddrNetlink::new(0, 0);

/// Interfaces, and addresses, routes and rules of both families.
const GROUPS: &[libc::c_uint] = &[
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_RULE,
];

#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

fn open(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    // The first protocol has the number that stands for none.
    let flags = SocketFlags::CLOEXEC | flags;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// A socket that becomes readable when something changes in the calling thread's namespace.
pub(super) fn open_news() -> io::Result<OwnedFd> {
    open(SocketFlags::NONBLOCK, GROUPS.iter().fold(0, |groups, group| groups | 1 << (group - 1)))
}

/// Throws away what has come: what is so now is asked for.
pub(super) fn discard_news(socket: &OwnedFd) {
    let mut datagram = [0; 64];
    for _ in 0..NEWS_MAX {
        match recv(socket, &mut datagram, RecvFlags::empty()) {
            // An overflow is told once; other news come after it.
            Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

impl Netlink {
    /// In the calling thread's namespace, and about that for good.
    pub(super) fn open() -> io::Result<Self> {
        let socket = open(SocketFlags::empty(), 0)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self { socket, sequence: 0 })
    }

    pub(super) fn look(&mut self) -> io::Result<Found> {
        for _ in 0..ATTEMPTS {
            let mut found = Found::default();
            let mut whole = true;
            for question in message::questions() {
                let sequence = self.send(question)?;
                self.receive(sequence, |message| {
                    whole &= i32::from(message.flags) & libc::NLM_F_DUMP_INTR == 0;
                    found.note(message);
                })?;
            }
            if whole {
                return Ok(found);
            }
        }
        Err(io::Error::other("it changes all the time"))
    }

    /// What is done already, or cannot be done since what it is about is gone, is done.
    pub(super) fn change(&mut self, change: &Change) -> io::Result<()> {
        let Some(order) = message::order(change) else { return Ok(()) };
        let sequence = self.send(order)?;
        let done = self.receive(sequence, |_| {});
        match done.as_ref().err().and_then(Errno::from_io_error) {
            Some(error) if is_no_matter(change, error) => Ok(()),
            _ => done,
        }
    }

    fn send(&mut self, message: Message) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        sendto(&self.socket, &message.numbered(self.sequence), SendFlags::empty(), &KERNEL)?;
        Ok(self.sequence)
    }

    /// Answers to one question, until its end.
    fn receive(&self, sequence: u32, mut take: impl FnMut(&Received<'_>)) -> io::Result<()> {
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
            for message in message::messages(datagram).filter(|message| message.sequence == sequence) {
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

fn is_no_matter(change: &Change, error: Errno) -> bool {
    match change {
        Change::AddAddress(_) | Change::PutRoute(_) | Change::AddRule(_) => error == Errno::EXIST,
        Change::RemoveAddress(_) => matches!(error, Errno::ADDRNOTAVAIL | Errno::NODEV),
        Change::RemoveRoute(_) => matches!(error, Errno::SRCH | Errno::NODEV),
        Change::RemoveRule(_) => error == Errno::NOENT,
        Change::SetMtu(..) | Change::StopBelieving(_) | Change::LinkUp(_) => false,
    }
}
