//! Words with the kernel about the interfaces of one namespace: rtnetlink(7).

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, recv};

use super::diff::Change;
use super::message;
use super::state::Found;
use crate::netlink::{self, Netlink};

/// Answers that were made while something changed may be of neither state.
const ATTEMPTS: u32 = 5;
/// Thrown away at once: whoever changes things all the time is not waited for.
const NEWS_MAX: u32 = 10_000;

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

/// In the namespace of the thread that opened it, and about that for good.
#[derive(Debug)]
pub(super) struct Kernel(Netlink);

/// A socket that becomes readable when something changes in the calling thread's namespace.
pub(super) fn open_news() -> io::Result<OwnedFd> {
    let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (group - 1));
    netlink::open(SocketFlags::NONBLOCK, groups, None)
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

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        Netlink::open(None).map(Self)
    }

    pub(super) fn look(&mut self) -> io::Result<Found> {
        for _ in 0..ATTEMPTS {
            let mut found = Found::default();
            let mut whole = true;
            for question in message::questions() {
                self.0.ask(question, |message| {
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
        let done = self.0.ask(order, |_| {});
        match done.as_ref().err().and_then(Errno::from_io_error) {
            Some(error) if is_no_matter(change, error) => Ok(()),
            _ => done,
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
