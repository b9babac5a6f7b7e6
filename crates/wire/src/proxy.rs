//! Agent ↔ proxy, over a Unix stream socket in the amphora's directory: a 4-byte big-endian length, then JSON.
//! File descriptors ride along as `SCM_RIGHTS` with the first byte of the frame.
//!
//! The proxy listens, the agent connects: so a restarted agent finds the proxy that outlived it, and takes the
//! listening sockets back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use octavia_model::{ListenerId, MemberId, PoolId, Transport};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sharing::{Marks, SharedTables};
use crate::{
    AmphoraSpec, Estate, ListenerFault, ListenerReport, ListenerSpec, LogTarget, MemberWord, PoolWord,
    Reckoning, StickEntries,
};

/// Which listening socket a file descriptor is. One address has one socket for every traffic thread
/// (`SO_REUSEPORT`); `index` tells them apart. Datagrams are one thread's: they have one socket an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketName {
    pub listener: ListenerId,
    pub address: SocketAddr,
    pub index: u16,
    #[serde(default = "tcp", skip_serializing_if = "is_tcp", with = "crate::text")]
    pub transport: Transport,
}

impl SocketName {
    /// The sockets that a spec asks for when `threads` threads carry its connections. What the kernel forwards needs none.
    pub fn wanted(spec: &AmphoraSpec, threads: u16) -> impl Iterator<Item = Self> {
        let open = |listener: &&ListenerSpec| listener.is_ready() && !spec.forwards(listener);
        spec.listeners.iter().filter(open).flat_map(move |listener| {
            let transport = listener.protocol.transport();
            let sockets = if is_tcp(&transport) { threads } else { 1 };
            spec.vips.iter().flat_map(move |&vip| {
                let address = SocketAddr::new(vip, listener.port);
                (0..sockets).map(move |index| Self { listener: listener.id, address, index, transport })
            })
        })
    }
}

const fn tcp() -> Transport {
    Transport::Tcp
}

const fn is_tcp(transport: &Transport) -> bool {
    matches!(transport, Transport::Tcp)
}

/// Agent → proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ProxyCommand {
    /// Answered by [`ProxyEvent::Hello`], whose descriptors are the listening sockets in its order.
    Hello,
    /// The configuration from now on. Descriptors in the order of `sockets`, only those the proxy does not hold
    /// yet, then of `logs`; sockets not in `keep` nor `sockets` are closed. Answered by `Applied` or `Refused`.
    Configure {
        spec: Box<AmphoraSpec>,
        sockets: Vec<SocketName>,
        keep: Vec<SocketName>,
        /// What was opened of the spec's access log since the proxy was told last; others go on as they are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        logs: Vec<LogTarget>,
        /// For the log: ids of the requests that this is done for, separated by blanks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_ids: Option<String>,
    },
    /// Answered by [`ProxyEvent::Report`].
    Report,
    /// Stop accepting, finish what is open for at most this long, exit.
    Drain { seconds: u32 },
    /// What it leaves to another; answered by [`ProxyEvent::Estate`].
    Estate,
    /// Go on from there; before the first configuration. Answered by `Inherited`.
    Inherit(Box<Estate>),
    /// The stick table of a pool; answered by [`ProxyEvent::Table`].
    Table { pool: PoolId },
    /// Remember these clients, too, unless they are known. Answered by `Inherited`.
    InheritTable { pool: PoolId, table: Box<StickEntries> },
    /// Another process has taken over, with the same listening sockets: stop accepting, end connections when their
    /// clients cannot be surprised by it, take further configurations for what still comes on them. Exit when none is
    /// left and that was told (`Reckoning`), or after so long. Answered by `SteppedAside`.
    StepAside { seconds: u32 },
    /// What it has counted by now; answered by [`ProxyEvent::Reckoning`].
    Reckoning,
    /// What a process before it has counted by now; `over` = it is gone. Of one that was not heard of, only what it counts
    /// from now on is credited. Answered by `Inherited`.
    Credit { process: Uuid, reckoning: Box<Reckoning>, over: bool },
    /// What is new in its stick tables, about so many entries of all together; answered by [`ProxyEvent::Shared`].
    Share { since: Marks, most: usize },
    /// Where another amphora of the load balancer has sent clients; answered by [`ProxyEvent::Learned`].
    Learn { tables: SharedTables },
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
        /// It takes descriptors for access logs.
        #[serde(default)]
        logs: bool,
        /// Which process it is: the boot is its predecessor's, if it has one. Nil = an older version, whose boot it is.
        #[serde(default)]
        process: Uuid,
        /// It shares its stick tables.
        #[serde(default)]
        shares: bool,
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
    Estate(Box<Estate>),
    Inherited,
    Table {
        table: Option<Box<StickEntries>>,
    },
    SteppedAside,
    Reckoning {
        /// Connections that are open; with none left, it exits once this is said.
        open: u64,
        reckoning: Box<Reckoning>,
    },
    Shared {
        tables: SharedTables,
    },
    /// Of these pools it has a table, and knows now what was told.
    Learned {
        pools: Vec<PoolId>,
    },
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

#[cfg(test)]
mod tests {
    use octavia_model::ListenerProtocol;

    use super::*;
    use crate::{NetworkSpec, SpecError, fixtures};

    fn spec(listeners: &[(ListenerProtocol, u16)]) -> AmphoraSpec {
        fixtures::spec(listeners.iter().map(|&(protocol, port)| fixtures::listener(protocol, port)).collect())
    }

    #[test]
    fn sockets_of_connections_and_of_datagrams() {
        let mut spec = spec(&[(ListenerProtocol::Http, 80), (ListenerProtocol::Udp, 80)]);
        spec.vips.push([192, 0, 2, 2].into());
        assert_eq!(spec.validate(), Ok(()), "a port is both's");
        let names: Vec<_> = SocketName::wanted(&spec, 2)
            .map(|name| format!("{} {} {}", name.transport, name.address, name.index))
            .collect();
        let expected = [
            "TCP 192.0.2.1:80 0",
            "TCP 192.0.2.1:80 1",
            "TCP 192.0.2.2:80 0",
            "TCP 192.0.2.2:80 1",
            "UDP 192.0.2.1:80 0",
            "UDP 192.0.2.2:80 0",
        ];
        assert_eq!(names, expected);
        let spec = spec.with_network(NetworkSpec::default());
        assert!(SocketName::wanted(&spec, 1).all(|name| name.transport == Transport::Tcp));
        assert_eq!(SocketName::wanted(&spec, 1).count(), 2);
    }

    #[test]
    fn who_shares_a_port() {
        use ListenerProtocol::{Http, Tcp, Udp};
        for (first, second, good) in [(Tcp, Udp, true), (Tcp, Http, false), (Udp, Udp, false)] {
            let clashes =
                matches!(spec(&[(first, 53), (second, 53)]).validate(), Err(SpecError::PortClash(..)));
            assert_eq!(!clashes, good, "{first} {second}");
        }
    }

    /// A proxy that knows connections alone outlives its agent.
    #[test]
    fn names_as_they_always_were() {
        let mut name = SocketName {
            listener: ListenerId::nil(),
            address: ([192, 0, 2, 1], 53).into(),
            index: 3,
            transport: Transport::Tcp,
        };
        let old = r#"{"listener":"00000000-0000-0000-0000-000000000000","address":"192.0.2.1:53","index":3}"#;
        assert_eq!(serde_json::to_string(&name).unwrap(), old);
        assert_eq!(serde_json::from_str::<SocketName>(old).unwrap(), name);
        name.transport = Transport::Udp;
        let new = serde_json::to_string(&name).unwrap();
        assert!(new.ends_with(r#","transport":"UDP"}"#), "{new}");
        assert_eq!(serde_json::from_str::<SocketName>(&new).unwrap(), name);
    }
}
