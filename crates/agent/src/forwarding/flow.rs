//! The kernel's flows, held against a spec: which go on, and which are to end; pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use octavia_model::{ListenerId, MemberId};
use octavia_wire::{AmphoraSpec, ListenerReport, ListenerSpec, ListenerStats, ListenerWord};
use uuid::Uuid;

use super::marks::Marks;
use super::rules::{COUNTERS, counter, pool, protocol};

/// A flow whose destination was rewritten, as the kernel tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow<'a> {
    /// Of IP: 17 is UDP, 132 is SCTP.
    pub(super) protocol: u8,
    pub(super) client: IpAddr,
    /// Where the client sends to.
    pub(super) vip: SocketAddr,
    /// Where that is brought to.
    pub(super) member: SocketAddr,
    pub(super) mark: u32,
    /// By what the kernel knows it: attributes.
    pub(super) tuple: &'a [u8],
}

/// Whose a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    GoesOn(ListenerId),
    /// The spec has no place for it, or its member is down.
    Ends,
}

/// Which flows a spec has a place for when these members are down.
#[derive(Debug, Default)]
pub(super) struct Places {
    vips: BTreeSet<IpAddr>,
    listeners: HashMap<(u8, u16), Place>,
}

#[derive(Debug)]
struct Place {
    listener: ListenerId,
    allowed: Vec<IpNet>,
    members: HashMap<u32, SocketAddr>,
}

impl Places {
    pub(super) fn of(spec: &AmphoraSpec, down: &BTreeSet<MemberId>) -> Self {
        let marks = Marks::of(spec);
        let place = |listener: &ListenerSpec| {
            let members = pool(spec, listener).into_iter().flat_map(|pool| &pool.members);
            let well = members.filter(|member| member.enabled && !down.contains(&member.id));
            let members =
                well.map(|member| (marks.mark(member.id), SocketAddr::new(member.address, member.port)));
            let number = if protocol(listener) == "sctp" { 132 } else { 17 };
            let place = Place {
                listener: listener.id,
                allowed: listener.allowed_cidrs.clone(),
                members: members.collect(),
            };
            ((number, listener.port), place)
        };
        Self { vips: spec.vips.iter().copied().collect(), listeners: spec.forwarded().map(place).collect() }
    }

    /// What becomes of a flow: as with the proxy, one to a member that is drained goes on.
    pub(super) fn judge(&self, flow: &Flow<'_>) -> Fate {
        let place = self.listeners.get(&(flow.protocol, flow.vip.port()));
        let place = place.filter(|place| {
            let allowed = || place.allowed.iter().any(|net| net.contains(&flow.client));
            self.vips.contains(&flow.vip.ip())
                && place.members.get(&flow.mark) == Some(&flow.member)
                && (place.allowed.is_empty() || allowed())
        });
        place.map_or(Fate::Ends, |place| Fate::GoesOn(place.listener))
    }
}

/// How it goes with the listeners whose packets the kernel forwards. `bytes` = of each counter, bytes and packets; `open` =
/// flows that there are.
pub(super) fn reports(
    spec: &AmphoraSpec,
    boot: Uuid,
    counted: &BTreeMap<String, (u64, u64)>,
    open: &BTreeMap<ListenerId, u64>,
) -> BTreeMap<ListenerId, ListenerReport> {
    let report = |listener: &ListenerSpec| {
        let [rx, tx, new] =
            COUNTERS.map(|what| counted.get(&counter(what, listener, boot)).copied().unwrap_or_default());
        let conns = open.get(&listener.id).copied().unwrap_or(0);
        let full = listener.connection_limit.is_some_and(|limit| conns >= limit.into());
        let stats = ListenerStats { rx: rx.0, tx: tx.0, conns, totconns: new.1, ereq: 0 };
        (
            listener.id,
            ListenerReport { status: if full { ListenerWord::Full } else { ListenerWord::Open }, stats },
        )
    };
    spec.forwarded().map(report).collect()
}
