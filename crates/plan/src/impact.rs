//! What a change means for traffic: which connections are cut, refused, drained. True for the proxy and agent of this
//! repository (`crates/proxy/LIFECYCLE.md`, "Changes"), whatever they are told.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use octavia_model::{Amphora, AmphoraId, AmphoraStatus, ListenerId, LoadBalancerGraph, MemberId};
use octavia_wire::{AmphoraSpec, ListenerSpec, MemberSpec};

use crate::compile::{Identities, SpecOptions, compile};
use crate::step::Step;

/// What happens to connections of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Those that are open end in the middle.
    Cut,
    /// Nobody can connect any more, or for a time.
    Refused,
    /// Clients can connect, but nobody serves them.
    Unserved,
    /// Nothing new comes; what is under way goes on to its end.
    Drained,
    /// Clients can connect from now on.
    Opened,
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::Unserved => "unserved",
            Self::Drained => "drained",
            Self::Opened => "opened",
        }
    }

    pub const WORDS: [&'static str; 5] = ["cut", "refused", "unserved", "drained", "opened"];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affected {
    Listener(ListenerId),
    Member(MemberId),
    Amphora(AmphoraId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impact {
    pub effect: Effect,
    pub affected: Affected,
    /// A sentence for people.
    pub text: &'static str,
}

/// What becomes of traffic on the way from `before` (`None` = nothing is there) to `after`, if the worker takes these
/// steps. `amphorae` are those that are there now.
pub fn impacts(
    before: Option<&LoadBalancerGraph>,
    after: &LoadBalancerGraph,
    amphorae: &[Amphora],
    steps: &[Step],
) -> Vec<Impact> {
    // Listeners that go on with the certificates they have take the same connections.
    let spec = |graph: &LoadBalancerGraph| {
        compile(graph, AmphoraId::nil(), 0, &Identities::new(), &SpecOptions::default())
    };
    let (old, new) = (before.map(spec), spec(after));
    let gone = after.load_balancer.statuses.provisioning.is_leaving();
    let mut impacts = cuts(old.as_ref(), amphorae, steps);
    impacts.extend(listeners(old.as_ref(), &new, gone));
    if let Some(old) = old.filter(|_| !gone) {
        if let Some(gap) = gap(amphorae, steps) {
            impacts.extend(interrupted(&old, &new, gap));
        }
        impacts.extend(drained(&old, &new));
    }
    impacts
}

/// Connections live in the proxy of one amphora, and end with it.
fn cuts(old: Option<&AmphoraSpec>, amphorae: &[Amphora], steps: &[Step]) -> Vec<Impact> {
    let listens = old.is_some_and(|spec| !spec.listeners.is_empty());
    let ended = steps.iter().filter_map(|step| match step {
        Step::AmphoraDelete { amphora } => Some(*amphora),
        _ => None,
    });
    let carries = |id: &AmphoraId| {
        let row = amphorae.iter().find(|row| row.id == *id);
        row.is_some_and(|row| row.status == AmphoraStatus::Allocated)
    };
    let cut = |id| Impact {
        effect: Effect::Cut,
        affected: Affected::Amphora(id),
        text: "Its server ends, and with it every connection through it.",
    };
    ended.filter(|_| listens).filter(carries).map(cut).collect()
}

/// A time in which no amphora carries traffic, although one did before and one does after it.
#[derive(Debug, Clone, Copy)]
struct Gap {
    /// An amphora boots in it.
    boots: bool,
}

/// The longest of them.
fn gap(amphorae: &[Amphora], steps: &[Step]) -> Option<Gap> {
    let rows = amphorae.iter().filter(|row| row.status == AmphoraStatus::Allocated);
    let mut carriers: BTreeSet<AmphoraId> = rows.map(|row| row.id).collect();
    let (mut begun, mut longest): (Option<Gap>, Option<Gap>) = (None, None);
    for step in steps {
        match step {
            Step::AmphoraDelete { amphora } if carriers.remove(amphora) && carriers.is_empty() => {
                begun = Some(Gap { boots: false });
            }
            Step::ServerEnsure { .. } => begun = begun.map(|_| Gap { boots: true }),
            Step::SpecPush { amphora } => {
                carriers.insert(*amphora);
                longest = match (begun.take(), longest) {
                    (Some(gap), Some(other)) => Some(Gap { boots: gap.boots || other.boots }),
                    (gap, other) => gap.or(other),
                };
            }
            _ => {}
        }
    }
    longest
}

/// Listeners that are there before and after it.
fn interrupted(old: &AmphoraSpec, new: &AmphoraSpec, gap: Gap) -> Vec<Impact> {
    let text = if gap.boots {
        "New connections are refused from the end of the old amphora until the new one has booted and has its \
         configuration: seconds, or as long as a server takes to boot."
    } else {
        "New connections are refused from the end of the old amphora until the new one, which has booted before, has \
         its configuration: commonly less than a second, and not for the time of its boot."
    };
    let stay: BTreeSet<_> = new.listeners.iter().map(|listener| listener.id).collect();
    let refused = |id| Impact { effect: Effect::Refused, affected: Affected::Listener(id), text };
    old.listeners.iter().map(|listener| listener.id).filter(|id| stay.contains(id)).map(refused).collect()
}

fn listeners(old: Option<&AmphoraSpec>, new: &AmphoraSpec, gone: bool) -> Vec<Impact> {
    fn of(spec: &AmphoraSpec) -> BTreeMap<ListenerId, (bool, &[IpNet])> {
        let all = spec.listeners.iter();
        all.map(|listener| (listener.id, (is_served(spec, listener), &*listener.allowed_cidrs))).collect()
    }
    let (old, new) = (old.map(of).unwrap_or_default(), of(new));
    let mut impacts = vec![];
    let mut add = |id: &ListenerId, effect, text| {
        impacts.push(Impact { effect, affected: Affected::Listener(*id), text });
    };
    for (id, (was_served, allowed)) in &old {
        match new.get(id) {
            None if gone => add(id, Effect::Refused, "New connections are refused."),
            None => add(
                id,
                Effect::Refused,
                "New connections are refused, and idle ones end; requests and TCP connections under way go on to \
                 their end.",
            ),
            Some((_, allows)) if narrows(allowed, allows) => add(
                id,
                Effect::Refused,
                "New connections from addresses that are not allowed any more are refused.",
            ),
            Some((false, _)) if *was_served => add(
                id,
                Effect::Unserved,
                "No member is left that takes traffic: HTTP requests are answered 503, TCP connections closed.",
            ),
            Some(_) => {}
        }
    }
    for id in new.keys().filter(|id| !old.contains_key(id)) {
        add(id, Effect::Opened, "It accepts connections.");
    }
    impacts
}

/// Whether somebody was allowed who is not any more. None in a list = everybody.
fn narrows(before: &[IpNet], after: &[IpNet]) -> bool {
    let everywhere = after.is_empty();
    let kept = |net: &IpNet| after.iter().any(|allowed| allowed.contains(net));
    !everywhere && (before.is_empty() || !before.iter().all(kept))
}

/// Whether any pool that the listener can reach has a member that takes traffic.
fn is_served(spec: &AmphoraSpec, listener: &ListenerSpec) -> bool {
    let pools: BTreeSet<_> = listener.pools().collect();
    let reachable = spec.pools.iter().filter(|pool| pools.contains(&pool.id));
    reachable.flat_map(|pool| &pool.members).any(takes_traffic)
}

const fn takes_traffic(member: &MemberSpec) -> bool {
    member.enabled && member.weight > 0
}

fn drained(old: &AmphoraSpec, new: &AmphoraSpec) -> Vec<Impact> {
    // The same member at another address is another one to the proxy.
    let of = |spec: &AmphoraSpec| -> BTreeSet<_> {
        let members = spec.pools.iter().flat_map(|pool| &pool.members).filter(|member| takes_traffic(member));
        members.map(|member| (member.id, member.address, member.port)).collect()
    };
    let drained = |id| Impact {
        effect: Effect::Drained,
        affected: Affected::Member(id),
        text: "It gets nothing new; what is under way with it goes on to its end.",
    };
    of(old).difference(&of(new)).map(|(id, ..)| drained(*id)).collect()
}
