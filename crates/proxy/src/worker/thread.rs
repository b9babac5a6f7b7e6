//! What a traffic thread has besides its connections: shared by all of them, one step at a time.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use octavia_model::ListenerId;

use super::Hub;
use super::kit::Kit;
use super::mux::StreamPlace;
use super::upstream::Upstreams;
use crate::access_log::Pen;
use crate::http2::Fields;
use crate::slab::{Key, Slab};
use crate::snapshot::Snapshot;
use crate::sys;
use crate::wheel::Wheel;

/// Whether this process goes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Going {
    No,
    /// Another process takes new connections. Here they end when their clients are told to, or end them: one that is kept
    /// alive gets its next answer, and no client finds its connection closed when it has just sent a request.
    InGoodTime,
    /// Soon: connections end with the exchange they are in, and idle ones at once.
    Soon,
}

pub(super) struct Thread {
    /// Number of this thread: the index of its counters.
    pub(super) index: usize,
    pub(super) kit: Kit,
    pub(super) upstreams: Upstreams,
    pub(super) wheel: Wheel,
    /// Sessions that could go on, but let others go first.
    pub(super) again: Vec<Key>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Counts the configurations of this thread.
    pub(super) config: u64,
    /// Milliseconds; read once for each round of events.
    pub(super) now: u64,
    pub(super) going: Going,
    /// Where the streams of HTTP/2 connections are.
    pub(super) streams: Slab<StreamPlace>,
    /// Connections of clients there are.
    pub(super) connections: usize,
    /// Connections and streams there may be: each may have a connection to a member.
    pub(super) sessions_max: usize,
    /// Where frames are read to; empty until there are some, and while they are looked at.
    pub(super) frames: Box<[u8]>,
    /// The same for headers.
    pub(super) fields: Fields,
    pub(super) hub: Arc<Hub>,
    /// The listeners that have a socket on any thread.
    pub(super) open: Arc<HashSet<ListenerId>>,
    /// Clients that are being told what we count.
    pub(super) scrapes: usize,
    /// `None` = there is no access log.
    pub(super) pen: Option<Box<Pen>>,
    /// The process ends, and connections with it.
    pub(super) stopping: bool,
}

impl Thread {
    /// As many connections and streams are open as this thread may have.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        self.connections + self.streams.len() >= self.sessions_max
    }

    pub(super) fn new(index: usize, epoll: OwnedFd, hub: Arc<Hub>) -> Self {
        let share = hub.share;
        let now = sys::now();
        Self {
            index,
            kit: Kit::new(epoll, share.pipes),
            upstreams: Upstreams::new(share.sessions),
            wheel: Wheel::new(now),
            again: vec![],
            snapshot: Arc::default(),
            config: 0,
            now,
            going: Going::No,
            streams: Slab::default(),
            connections: 0,
            sessions_max: share.sessions,
            frames: Box::default(),
            fields: Fields::default(),
            hub,
            open: Arc::default(),
            scrapes: 0,
            pen: None,
            stopping: false,
        }
    }
}
