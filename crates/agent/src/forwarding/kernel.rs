//! Words with the kernel of one namespace about its flows and counters.

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;

use super::flow::Flow;
use super::netfilter;
use crate::netlink::Netlink;

#[derive(Debug)]
pub(super) struct Kernel(Netlink);

impl Kernel {
    /// In the calling thread's namespace, and about that for good.
    pub(super) fn open() -> io::Result<Self> {
        Netlink::open(Some(NETFILTER)).map(Self)
    }

    /// Takes each flow that was brought to a member.
    pub(super) fn flows(&mut self, mut take: impl FnMut(&Flow<'_>)) -> io::Result<()> {
        self.0.ask(netfilter::flows(), |message| {
            if let Some(flow) = netfilter::read_flow(message) {
                take(&flow);
            }
        })
    }

    /// One that is gone already is gone.
    pub(super) fn forget(&mut self, v6: bool, tuple: &[u8]) -> io::Result<()> {
        match self.0.ask(netfilter::forget(v6, tuple), |_| {}) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(()),
            done => done,
        }
    }

    /// By name, bytes and packets.
    pub(super) fn counters(&mut self) -> io::Result<BTreeMap<String, (u64, u64)>> {
        let mut counters = BTreeMap::new();
        self.0.ask(netfilter::counters(), |message| counters.extend(netfilter::read_counter(message)))?;
        Ok(counters)
    }

    /// Another number than before = somebody has changed rules.
    pub(super) fn generation(&mut self) -> io::Result<Option<u32>> {
        let mut generation = None;
        self.0.ask(netfilter::generation(), |message| {
            generation = netfilter::read_generation(message).or(generation);
        })?;
        Ok(generation)
    }
}
