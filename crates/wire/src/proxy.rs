//! Agent ↔ proxy, over a Unix stream socket in the amphora's directory: a 4-byte big-endian length, then JSON.
//! File descriptors ride along as `SCM_RIGHTS` with the first byte of the frame.
//!
//! The proxy listens, the agent connects: so a restarted agent finds the proxy that outlived it, and takes the
//! listening sockets back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use octavia_model::{ListenerId, MemberId, PoolId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AmphoraSpec, ListenerFault, ListenerReport, MemberWord, PoolWord};

/// Which listening socket a file descriptor is. One address has one socket for every traffic thread
/// (`SO_REUSEPORT`); `index` tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketName {
    pub listener: ListenerId,
    pub address: SocketAddr,
    pub index: u16,
}

/// Agent → proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ProxyCommand {
    /// Answered by [`ProxyEvent::Hello`], whose descriptors are the listening sockets in its order.
    Hello,
    /// The configuration from now on. Descriptors in the order of `sockets`, only those the proxy does not hold
    /// yet; sockets not in `keep` nor `sockets` are closed. Answered by `Applied` or `Refused`.
    Configure {
        spec: Box<AmphoraSpec>,
        sockets: Vec<SocketName>,
        keep: Vec<SocketName>,
        /// For the log: ids of the requests that this is done for, separated by blanks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_ids: Option<String>,
    },
    /// Answered by [`ProxyEvent::Report`].
    Report,
    /// Stop accepting, finish what is open for at most this long, exit.
    Drain { seconds: u32 },
}

/// Proxy → agent. `Changed` comes unasked, the rest in answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProxyEvent {
    Hello {
        boot: Uuid,
        pid: u32,
        threads: u16,
        generation: u64,
        fence: u64,
        sockets: Vec<SocketName>,
    },
    Applied {
        generation: u64,
        fence: u64,
    },
    /// The spec is refused whole; the one before runs on.
    Refused {
        generation: u64,
        error: String,
        /// Listeners whose TLS cannot be used: without their identities the spec would be taken. Empty = it is refused
        /// for something else.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        faults: Vec<ListenerFault>,
    },
    Report(Box<ProxyReport>),
    /// A member's or listener's status changed: a heartbeat is worth sending now.
    Changed,
}

/// The state of the data plane, with totals since the proxy's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyReport {
    pub generation: u64,
    pub listeners: BTreeMap<ListenerId, ListenerReport>,
    pub pools: BTreeMap<PoolId, ProxyPoolReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyPoolReport {
    pub status: PoolWord,
    pub members: BTreeMap<MemberId, MemberStats>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStats {
    pub status: MemberWord,
    /// What the last failed check saw, for the reason shown to users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    pub active_connections: u64,
    pub total_connections: u64,
    pub requests: u64,
    pub errors: u64,
}
