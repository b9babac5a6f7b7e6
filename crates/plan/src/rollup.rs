//! What a heartbeat means for operating statuses (`reference/api.md` §5.5).
//!
//! A status that is bad news carries a reason. Where a row's *provisioning* status is `ERROR`, the reason there
//! explains that, and stays.

use std::collections::BTreeMap;

use octavia_model::{
    Listener, ListenerId, LoadBalancer, LoadBalancerGraph, Member, MemberId, OperatingStatus, Pool, PoolId,
    ProvisioningStatus, Reason, ReasonCode, Statuses,
};
use octavia_wire::{Heartbeat, ListenerWord, MemberWord, PoolReport, PoolWord, pool_of_key};

use crate::reason::{bounded, fault_reason, proxy_not_running};

/// A new operating status, and the reason to show beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    pub operating: OperatingStatus,
    pub reason: Option<Reason>,
}

/// What differs from the rows; empty most of the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusChanges {
    pub load_balancer: Option<StatusChange>,
    pub listeners: BTreeMap<ListenerId, StatusChange>,
    pub pools: BTreeMap<PoolId, StatusChange>,
    pub members: BTreeMap<MemberId, StatusChange>,
}

impl StatusChanges {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a heartbeat says that no proxy runs, though there is traffic to carry. One of an old configuration does not,
/// nor one that lacks listeners which are not in force yet.
pub fn lacks_proxy(graph: &LoadBalancerGraph, beat: &Heartbeat) -> bool {
    let wanted = |listener: &Listener| {
        listener.admin_state_up && listener.statuses.provisioning != ProvisioningStatus::PendingCreate
    };
    tells_of_no_proxy(beat) && graph.load_balancer.admin_state_up && graph.listeners.iter().any(wanted)
}

/// Whether a heartbeat is no sign of life: no proxy runs, and there is traffic to carry, or a configuration that has to
/// come into force. An amphora of which only such are heard is replaced.
pub fn is_lifeless(graph: &LoadBalancerGraph, beat: &Heartbeat) -> bool {
    let settled = graph.load_balancer.statuses.provisioning == ProvisioningStatus::Active;
    lacks_proxy(graph, beat) || (tells_of_no_proxy(beat) && !settled)
}

fn tells_of_no_proxy(beat: &Heartbeat) -> bool {
    // The original's agent names no boot and no generation, but tells of listeners while it has any.
    beat.boot.is_none() && beat.generation.is_none() && beat.listeners.is_empty() && !beat.partial
}

/// What changes with a heartbeat of one of the load balancer's amphorae.
pub fn rollup(graph: &LoadBalancerGraph, beat: &Heartbeat) -> StatusChanges {
    let lb = &graph.load_balancer;
    if beat.generation == Some(0) {
        // Without a spec it says nothing of the load balancer.
        return StatusChanges::default();
    }
    // What a beat of an older generation leaves out may simply be newer than it.
    let complete = !beat.partial && beat.generation.is_none_or(|generation| generation >= lb.generation);
    let mut root = Root::new(lb);
    let mut changes = StatusChanges::default();
    let no_proxy = lacks_proxy(graph, beat).then(proxy_not_running);
    if no_proxy.is_some() {
        root.fail(no_proxy.clone());
    }

    for listener in &graph.listeners {
        let lost = no_proxy.clone().filter(|_| listener.admin_state_up);
        let lost = lost.map(|reason| (OperatingStatus::Error, Some(reason)));
        if let Some(verdict) = lost.or_else(|| listener_verdict(listener, lb, beat, complete, &mut root)) {
            note(&mut changes.listeners, listener.id, &listener.statuses, verdict);
        }
    }
    let reports: BTreeMap<PoolId, &PoolReport> =
        beat.pools.iter().filter_map(|(key, report)| Some((pool_of_key(key)?, report))).collect();
    for pool in &graph.pools {
        let report = reports.get(&pool.id).copied();
        let members: Vec<&Member> = graph.pool_members(pool.id).collect();
        for member in &members {
            let word = report.and_then(|report| report.members.get(&member.id));
            let check = report.and_then(|report| report.checks.get(&member.id));
            if let Some(verdict) = member_verdict(member, word, check.map(String::as_str), complete) {
                note(&mut changes.members, member.id, &member.statuses, verdict);
            }
        }
        if let Some(verdict) = pool_verdict(pool, report, &members, complete, &mut root) {
            note(&mut changes.pools, pool.id, &pool.statuses, verdict);
        }
    }
    changes.load_balancer = change(&lb.statuses, root.verdict);
    changes
}

/// What changes when no amphora of the load balancer has been heard for too long: the load balancer is `ERROR`,
/// of what is below it nothing new is known.
pub fn rollup_silent(graph: &LoadBalancerGraph) -> StatusChanges {
    let lb = &graph.load_balancer;
    let verdict = if lb.admin_state_up {
        let text = "The amphora has not been heard for too long; whether it carries traffic is not known.";
        bad(
            OperatingStatus::Error,
            ReasonCode::AmphoraSilent,
            text,
            "It is started again or replaced by itself.",
        )
    } else {
        good(OperatingStatus::Offline)
    };
    StatusChanges { load_balancer: change(&lb.statuses, verdict), ..StatusChanges::default() }
}

type Verdict = (OperatingStatus, Option<Reason>);

fn good(status: OperatingStatus) -> Verdict {
    (status, None)
}

fn bad(
    status: OperatingStatus,
    code: ReasonCode,
    text: impl Into<String>,
    advice: impl Into<String>,
) -> Verdict {
    (status, Some(Reason::new(code, text, advice)))
}

/// The load balancer's status while what is below it is looked at; the worst, and the first of the worst, stays.
struct Root {
    verdict: Verdict,
}

impl Root {
    fn new(lb: &LoadBalancer) -> Self {
        Self {
            verdict: good(if lb.admin_state_up { OperatingStatus::Online } else { OperatingStatus::Offline }),
        }
    }

    /// `ONLINE` becomes `DEGRADED`; anything else stays.
    fn degrade(&mut self, reason: Option<Reason>) {
        if self.verdict.0 == OperatingStatus::Online {
            self.verdict = (OperatingStatus::Degraded, reason);
        }
    }

    fn fail(&mut self, reason: Option<Reason>) {
        if self.verdict.0 != OperatingStatus::Error {
            self.verdict = (OperatingStatus::Error, reason);
        }
    }
}

fn listener_verdict(
    listener: &Listener,
    lb: &LoadBalancer,
    beat: &Heartbeat,
    complete: bool,
    root: &mut Root,
) -> Option<Verdict> {
    match beat.listeners.get(&listener.id).map(|report| report.status) {
        Some(ListenerWord::Open) => Some(good(OperatingStatus::Online)),
        Some(ListenerWord::Full) => {
            let text = format!("Listener {} has as many connections as its limit allows.", listener.id);
            let advice = "Raise connection_limit, or look for clients that do not close.";
            let verdict = bad(OperatingStatus::Degraded, ReasonCode::ConnectionLimitReached, text, advice);
            root.degrade(verdict.1.clone());
            Some(verdict)
        }
        Some(ListenerWord::Unknown) => None,
        None if !complete => None,
        None if listener.admin_state_up && lb.statuses.provisioning == ProvisioningStatus::Active => {
            let fault = beat.faults.iter().find(|fault| fault.listener == listener.id);
            let reason = fault.map_or_else(
                || {
                    let text = "The amphora does not run this listener.";
                    Reason::new(ReasonCode::NotReported, text, "It is repaired by itself.")
                },
                fault_reason,
            );
            Some((OperatingStatus::Error, Some(reason)))
        }
        None => Some(good(OperatingStatus::Offline)),
    }
}

/// `check` is what the last failed check saw, or why there are none.
fn member_verdict(
    member: &Member,
    word: Option<&MemberWord>,
    check: Option<&str>,
    complete: bool,
) -> Option<Verdict> {
    match word {
        Some(MemberWord::Up) => Some(good(OperatingStatus::Online)),
        Some(MemberWord::Down) => {
            let seen = check.map(|check| format!(": {}", bounded(check))).unwrap_or_default();
            let (address, port) = (&member.address, member.protocol_port);
            let text = format!("The health monitor's checks of {address}:{port} fail{seen}.");
            let advice = "Look at the member, and at whether the amphora can reach it.";
            Some(bad(OperatingStatus::Error, ReasonCode::MemberFailedCheck, text, advice))
        }
        Some(MemberWord::Drain) => Some(good(OperatingStatus::Draining)),
        Some(MemberWord::Maintenance) => Some(good(OperatingStatus::Offline)),
        Some(MemberWord::NoCheck) => Some(match check {
            None => good(OperatingStatus::NoMonitor),
            Some(why) => bad(
                OperatingStatus::NoMonitor,
                ReasonCode::MonitorNotPermitted,
                format!("The member is taken for good without being checked: {}.", bounded(why)),
                "Allow it, or choose a health monitor of another type.",
            ),
        }),
        Some(MemberWord::Restarting | MemberWord::Unknown) => None,
        None if !complete || member.statuses.operating == OperatingStatus::NoMonitor => None,
        None => Some(good(OperatingStatus::Offline)),
    }
}

fn pool_verdict(
    pool: &Pool,
    report: Option<&PoolReport>,
    members: &[&Member],
    complete: bool,
    root: &mut Root,
) -> Option<Verdict> {
    let Some(report) = report else {
        return complete.then(|| good(OperatingStatus::Offline));
    };
    let down = members.iter().filter(|m| report.members.get(&m.id) == Some(&MemberWord::Down)).count();
    let some_down = (down > 0).then(|| {
        Reason::new(
            ReasonCode::MemberFailedCheck,
            format!("{down} of {} members of pool {} fail their checks.", members.len(), pool.id),
            "The members' own reasons say which.",
        )
    });
    let verdict = match report.status {
        PoolWord::Down => {
            let text = format!("Pool {} has no member that can take traffic.", pool.id);
            let reason =
                Some(Reason::new(ReasonCode::NoHealthyMember, text, "Look at its members' statuses."));
            root.fail(reason.clone());
            Some((OperatingStatus::Error, reason))
        }
        PoolWord::Up if some_down.is_some() => Some((OperatingStatus::Degraded, some_down.clone())),
        PoolWord::Up => Some(good(OperatingStatus::Online)),
        PoolWord::Unknown => None,
    };
    if some_down.is_some() {
        root.degrade(some_down);
    }
    verdict
}

fn note<K: Ord>(changes: &mut BTreeMap<K, StatusChange>, id: K, row: &Statuses, verdict: Verdict) {
    if let Some(change) = change(row, verdict) {
        changes.insert(id, change);
    }
}

/// The difference from the row, if there is one.
pub(crate) fn change(row: &Statuses, (operating, reason): Verdict) -> Option<StatusChange> {
    let reason = if row.provisioning == ProvisioningStatus::Error { row.reason.clone() } else { reason };
    (row.operating != operating || row.reason != reason).then_some(StatusChange { operating, reason })
}
