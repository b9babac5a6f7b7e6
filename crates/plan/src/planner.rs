//! The next thing to do so that observed becomes desired.
//!
//! A plan is one batch of independent steps; after it the world is looked at again. There is no memory between
//! two plans but the rows: a worker may die after any step, and the next one plans from what is there.
//!
//! The rules, in order:
//! 1. Pending for too long → `ERROR` with the cause; then go on as if nothing had been said.
//! 2. A deletion removes every amphora, then the address and the rows.
//! 3. Otherwise the topology says how many amphorae are wanted. One that is broken for good is *retired* and
//!    another made; at most one more than wanted exists at any time. One that can be had back is started again.
//! 4. *Could not ask* never leads to a new server, nor to the end of one.
//! 5. An agent that answers is alive, whatever else is said of it; only without a proxy, which it could not start for as
//!    long as an amphora may be silent, and not for a push either, it is of no use. Every agent with another generation than the
//!    desired one gets the whole spec, and so does one for which it is time to ask authorities about certificates again; one
//!    that is dead stands in nobody's way.
//! 6. One that an operator wants replaced carries on until its successor has booted (`succession.rs`).
//! 7. An agent whose certificate ends soon, or that knows other authorities or another heartbeat key than those that are
//!    good now, gets new papers (`papers.rs`).
//! 8. When all of them run the desired generation, and nobody is left to be replaced, it is settled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use octavia_model::{
    Amphora, AmphoraId, AmphoraStatus, Known, ListenerId, ProvisioningStatus, Reason, ReasonCode, Topology,
};
use octavia_wire::AgentInfo;

use crate::backoff::backoff;
use crate::papers::renewals;
use crate::reason::{fault_reason, proxy_not_running};
use crate::step::Step;
use crate::succession::{Succession, Successors, is_in_service};
use crate::world::{Desired, Observed, ObservedAmphora, ServerPower};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// How long a load balancer may be `PENDING_*` before it is shown as `ERROR`.
    pub max_pending: SignedDuration,
    /// How long an amphora that was in service may neither beat nor answer before it is replaced.
    pub heartbeat_timeout: SignedDuration,
    /// How long a server may take from its start until its agent answers, before it is replaced.
    pub boot_timeout: SignedDuration,
    /// How long a new amphora leaves the traffic to one that is being removed, before both may carry it.
    pub removal_patience: SignedDuration,
    /// How long before its end an agent's certificate is renewed; shorter than the certificates' lifetime.
    pub renew_before: SignedDuration,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            max_pending: SignedDuration::from_mins(25),
            heartbeat_timeout: SignedDuration::from_secs(60),
            boot_timeout: SignedDuration::from_mins(10),
            removal_patience: SignedDuration::from_secs(30),
            renew_before: SignedDuration::from_hours(24 * 14),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Observed is desired.
    Done,
    /// Steps that may run side by side; never empty. Then look again.
    Run(Vec<Step>),
    /// Nothing to do before the world changes by itself.
    Wait(Waiting),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Waiting {
    /// A server is starting: its agent answers soon.
    Boot(AmphoraId),
    /// Something does not answer that should.
    Trouble(Reason),
}

/// Plans the next batch of steps for one load balancer. `now` is when `observed` was.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp, options: &PlanOptions) -> Plan {
    if let Some(reason) = overdue(desired, now, options) {
        let generation = desired.graph.load_balancer.generation;
        return Plan::Run(vec![Step::Fail { generation, reason }]);
    }
    if desired.deleting { deletion(desired) } else { presence(desired, observed, now, options) }
}

fn overdue(desired: &Desired, now: Timestamp, options: &PlanOptions) -> Option<Reason> {
    let status = desired.graph.load_balancer.statuses.provisioning;
    let since = desired.pending_since.filter(|_| status.is_pending())?;
    if now.duration_since(since) < options.max_pending {
        return None;
    }
    let cause = desired.last_error.as_deref().unwrap_or("no step failed, but the work did not end");
    Some(Reason::new(
        ReasonCode::PendingTooLong,
        format!("{status} for more than {:#}: {cause}", options.max_pending),
        "The work goes on and the status follows it. The load balancer can be deleted at any time.",
    ))
}

fn deletion(desired: &Desired) -> Plan {
    if desired.amphorae.is_empty() {
        return Plan::Run(vec![Step::LoadBalancerDelete]);
    }
    Plan::Run(desired.amphorae.iter().map(|a| Step::AmphoraDelete { amphora: a.id }).collect())
}

fn presence(desired: &Desired, observed: &Observed, now: Timestamp, options: &PlanOptions) -> Plan {
    let wanted = wanted(desired.graph.load_balancer.topology);
    let (retired, there): (Vec<_>, Vec<_>) =
        desired.amphorae.iter().partition(|a| a.status == AmphoraStatus::PendingDelete);
    let papers = renewals(desired, observed, there.iter().copied(), now, options);
    let (marked, mut current): (Vec<_>, Vec<_>) = there.into_iter().partition(|a| a.to_replace);
    // Those in service first, then the oldest: what is more than wanted goes from the end.
    current.sort_by_key(|a| (!is_in_service(a), a.created_at, a.id));
    let surplus = current.split_off(wanted.min(current.len()));

    let mut steps = papers;
    if observed.vip.is_no() {
        steps.push(Step::VipEnsure);
    }
    steps.extend(retired.iter().map(|a| Step::AmphoraDelete { amphora: a.id }));
    steps.extend(surplus.iter().map(|a| Step::AmphoraRetire { amphora: a.id, reason: more_than_wanted() }));

    let succession = Succession { marked, retired, agreeing: observed.agreeing, now, options };
    let mut successors = Successors { wanted, there: &current, ready: 0, waiting: 0 };
    let mut faults = BTreeMap::new();
    let mut booting = None;
    let mut trouble = None;
    for amphora in &current {
        let seen = observed.amphorae.get(&amphora.id).unwrap_or(&ObservedAmphora::UNKNOWN);
        match judge(desired, amphora, seen, observed, now, options) {
            Judgement::Ready(agent) => {
                successors.ready += 1;
                faults.extend(listener_faults(desired, agent));
                let row = recorded(amphora, seen, agent);
                if row != **amphora {
                    steps.push(Step::AmphoraRecord(Box::new(row)));
                }
            }
            Judgement::Act(Step::SpecPush { .. }) if succession.must_wait(amphora) => {
                if seen.agent.as_ref().is_some_and(agent_lacks_proxy) {
                    booting = Some(amphora.id);
                } else {
                    successors.waiting += 1;
                }
            }
            Judgement::Act(step) => steps.push(step),
            Judgement::Boots => booting = Some(amphora.id),
            Judgement::Trouble(reason) => trouble = Some(reason),
        }
    }

    let leaving = succession.retire(&successors);
    let carrying = succession.marked.iter().filter(|a| is_in_service(a));
    let stays = |a: &&&Amphora| !leaving.iter().any(|step| step.amphora() == Some(a.id));
    steps.extend(carrying.filter(stays).filter_map(|a| outdated(desired, observed, a)));
    steps.extend(leaving);

    let missing = wanted - current.len();
    let room = (wanted + 1).saturating_sub(desired.amphorae.len());
    let mut roles = succession.roles(desired.graph.load_balancer.topology, &current);
    steps.extend((0..missing.min(room)).map_while(|_| roles.pop()).map(|role| Step::AmphoraCreate { role }));

    let replaced = successors.ready == wanted && succession.marked.is_empty();
    if replaced && !observed.vip.is_no() && unsettled(desired, &faults) {
        steps.push(Step::Settle { generation: desired.graph.load_balancer.generation, faults });
    }
    if !steps.is_empty() {
        return Plan::Run(steps);
    }
    match (booting, trouble) {
        (Some(amphora), _) => Plan::Wait(Waiting::Boot(amphora)),
        (None, Some(reason)) => Plan::Wait(Waiting::Trouble(reason)),
        (None, None) => Plan::Done,
    }
}

/// How many amphorae a topology asks for.
const fn wanted(topology: Topology) -> usize {
    match topology {
        Topology::Single => 1,
        Topology::ActiveStandby => 2,
    }
}

/// One that carries traffic until it is replaced does what users ask for meanwhile.
fn outdated(desired: &Desired, observed: &Observed, amphora: &Amphora) -> Option<Step> {
    let agent = observed.amphorae.get(&amphora.id)?.agent.as_ref()?;
    let outdated = agent.generation != desired.graph.load_balancer.generation
        || uninformed(desired, observed, amphora, agent);
    outdated.then_some(Step::SpecPush { amphora: amphora.id })
}

enum Judgement<'a> {
    /// It runs the desired generation.
    Ready(&'a AgentInfo),
    Act(Step),
    Boots,
    Trouble(Reason),
}

fn judge<'a>(
    desired: &Desired,
    amphora: &Amphora,
    seen: &'a ObservedAmphora,
    observed: &Observed,
    now: Timestamp,
    options: &PlanOptions,
) -> Judgement<'a> {
    let id = amphora.id;
    let started_at = amphora.updated_at.unwrap_or(amphora.created_at);
    // What seems to be far ahead was written by a clock that has gone back since: long ago, for all we know.
    let apart = |at| now.duration_since(at).abs();
    // Beats that tell of no proxy are not among the signs of life.
    let mut signs = amphora.last_heartbeat_at.into_iter().chain([started_at]);
    let silent_for_long = observed.silence_trusted && signs.all(|at| apart(at) >= options.heartbeat_timeout);
    let retire = |reason| Judgement::Act(Step::AmphoraRetire { amphora: id, reason });
    if let Some(agent) = &seen.agent {
        // One that is just being started again is there by the next attempt: a push waits for it.
        let for_long =
            if is_in_service(amphora) { silent_for_long } else { apart(started_at) >= options.boot_timeout };
        if agent_lacks_proxy(agent) && for_long && desired.attempts > 0 {
            return retire(proxy_not_running());
        }
        // Listeners that could not be opened, and interfaces that are not there, are tried again once under each lease.
        let faulty = !agent.faults.is_empty() || !agent.interfaces.is_empty();
        let try_again = faulty && agent.fence != desired.fence;
        // Asked for by an operator, before this lease and after the one it was pushed under.
        let refresh =
            amphora.refresh_after.is_some_and(|epoch| agent.fence <= epoch && epoch < desired.fence);
        // Before anybody is told of peers, all have addresses.
        if observed.agreeing && amphora.vrrp_ip.is_none() {
            return Judgement::Act(Step::PortsEnsure { amphora: id });
        }
        let alone = uninformed(desired, observed, amphora, agent);
        // What authorities say of certificates is to be had anew; whatever comes of that, once under each lease.
        let stale =
            agent.refresh_at.and_then(|at| i64::try_from(at).ok()).is_some_and(|at| at <= now.as_second());
        let stale = stale && agent.fence != desired.fence;
        let push = agent.generation != desired.graph.load_balancer.generation
            || try_again
            || refresh
            || stale
            || alone;
        return if push { Judgement::Act(Step::SpecPush { amphora: id }) } else { Judgement::Ready(agent) };
    }

    let booting = matches!(amphora.status, AmphoraStatus::PendingCreate | AmphoraStatus::Booting);
    let boots = || {
        if apart(started_at) < options.boot_timeout { Judgement::Boots } else { retire(no_boot()) }
    };
    let ensure = || {
        // Right after a start the answer may be an old one; and what falls over at once is not started in a loop.
        let again_at = backoff(desired.attempts.max(1));
        if amphora.status == AmphoraStatus::Booting && apart(started_at) < again_at {
            Judgement::Boots
        } else {
            Judgement::Act(Step::ServerEnsure { amphora: id })
        }
    };
    match &seen.server {
        Known::Unknown => Judgement::Trouble(cloud_silent()),
        Known::No => ensure(),
        Known::Yes(server) => match server.power {
            ServerPower::Stopped => ensure(),
            ServerPower::Failed => retire(server_failed()),
            ServerPower::Building => boots(),
            ServerPower::Running if booting => boots(),
            ServerPower::Running => {
                if silent_for_long {
                    retire(silent())
                } else {
                    Judgement::Trouble(unreachable())
                }
            }
        },
    }
}

/// The addresses by which the others of a pair are known, those that leave included: as long as they are there, they may
/// hold the VIPs.
pub fn peers(amphorae: &[Amphora], of: AmphoraId) -> BTreeSet<IpAddr> {
    amphorae.iter().filter(|other| other.id != of).filter_map(|other| other.vrrp_ip).collect()
}

/// It does not know all that it could hold the VIPs with. One whose router cannot be started is told once under each lease.
fn uninformed(desired: &Desired, observed: &Observed, amphora: &Amphora, agent: &AgentInfo) -> bool {
    let wanted = peers(&desired.amphorae, amphora.id);
    observed.agreeing
        && match &agent.vrrp {
            Some(vrrp) => vrrp.peers.iter().copied().collect::<BTreeSet<_>>() != wanted,
            None => agent.fence != desired.fence,
        }
}

/// The agent runs no proxy, not even one without a spec.
pub const fn agent_lacks_proxy(agent: &AgentInfo) -> bool {
    agent.boot.is_none() && agent.generation == 0
}

/// The amphora's row, with what is now known of it. The applied generation only grows.
fn recorded(amphora: &Amphora, seen: &ObservedAmphora, agent: &AgentInfo) -> Amphora {
    let mut row = amphora.clone();
    row.status = AmphoraStatus::Allocated;
    row.applied_generation = row.applied_generation.max(agent.generation);
    if let Known::Yes(server) = &seen.server {
        row.compute_id = Some(server.compute_id.clone());
        row.lb_network_ip = server.agent.map(|address| address.ip()).or(row.lb_network_ip);
    }
    row
}

fn listener_faults(desired: &Desired, agent: &AgentInfo) -> BTreeMap<ListenerId, Reason> {
    let known = agent.faults.iter().filter(|fault| desired.graph.listener(fault.listener).is_some());
    known.map(|fault| (fault.listener, fault_reason(fault))).collect()
}

/// Whether rows do not yet say that this generation is in force, with these faults.
fn unsettled(desired: &Desired, faults: &BTreeMap<ListenerId, Reason>) -> bool {
    let graph = &desired.graph;
    let lb = &graph.load_balancer;
    let children = (graph.listeners.iter().map(|l| &l.statuses))
        .chain(graph.pools.iter().map(|p| &p.statuses))
        .chain(graph.members.iter().map(|m| &m.statuses))
        .chain(graph.health_monitors.iter().map(|h| &h.statuses));
    lb.statuses.provisioning != ProvisioningStatus::Active
        || lb.applied_generation < lb.generation
        || children.into_iter().any(|statuses| statuses.provisioning.is_pending())
        || graph.listeners.iter().any(|listener| match faults.get(&listener.id) {
            Some(reason) => {
                listener.statuses.provisioning != ProvisioningStatus::Error
                    || listener.statuses.reason.as_ref() != Some(reason)
            }
            None => listener.statuses.provisioning == ProvisioningStatus::Error,
        })
}

const GOES_ON: &str = "It is tried again and again by itself; look at the cloud if it lasts.";

fn cloud_silent() -> Reason {
    let text = "The compute service could not be asked about the amphora's server.";
    Reason::new(ReasonCode::CloudUnavailable, text, GOES_ON)
}

fn unreachable() -> Reason {
    Reason::new(ReasonCode::AmphoraUnreachable, "The amphora's agent does not answer.", GOES_ON)
}

fn silent() -> Reason {
    let text = "The amphora neither beats nor answers.";
    Reason::new(ReasonCode::AmphoraSilent, text, "It is replaced by itself.")
}

fn no_boot() -> Reason {
    let text = "The amphora's server was started, but its agent never answered.";
    Reason::new(
        ReasonCode::AmphoraUnreachable,
        text,
        "Look at the server's console and at the management network.",
    )
}

fn server_failed() -> Reason {
    Reason::new(ReasonCode::CloudRefused, "The compute service gave the amphora's server up.", GOES_ON)
}

fn more_than_wanted() -> Reason {
    Reason::new(ReasonCode::Internal, "There are more amphorae than the topology asks for.", "")
}
