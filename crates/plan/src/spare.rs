//! Spares: amphorae that have booted and are no load balancer's yet, so that nobody who needs one waits for a boot.
//!
//! They belong to no lease. Whoever changes one says which status it shall have had: of two that want the same spare, one
//! gets it. What is too few is made, what is too many goes; what answers no more is replaced, as long as most do.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use octavia_model::{Amphora, AmphoraId, AmphoraStatus, Known};

use crate::papers::are_outdated;
use crate::planner::agent_lacks_proxy;
use crate::silence::own_fault;
use crate::world::{ObservedAmphora, ServerPower, WantedPapers};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpareOptions {
    /// Spares that there should be.
    pub size: usize,
    /// Spares that may be in the making at once.
    pub builds: usize,
    /// How long one may take from the start of its server until its agent answers.
    pub boot_timeout: SignedDuration,
    /// How long one may neither beat nor answer before another takes its place.
    pub heartbeat_timeout: SignedDuration,
    /// How long before its end an agent's certificate is renewed.
    pub renew_before: SignedDuration,
}

/// One idempotent action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpareStep {
    /// A row for a new one.
    Create,
    /// Its server is made.
    ServerEnsure(AmphoraId),
    /// It has booted: whoever needs an amphora may have it.
    Ready(AmphoraId),
    /// Its agent gets a new certificate, and the authorities and the heartbeat key that are good now.
    PapersPush(AmphoraId),
    /// Nobody may have it any more.
    Retire(AmphoraId, Unfit),
    /// Its server goes, then its row.
    Delete(AmphoraId),
}

/// Why a spare goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// There are more than there should be.
    Surplus,
    /// Its server stopped, vanished or failed.
    NoServer,
    /// Its agent never answered.
    NoBoot,
    /// It neither beats nor answers any more, or has lost its proxy.
    Silent,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Surplus => "there are more than there should be",
            Self::NoServer => "its server is gone",
            Self::NoBoot => "its agent never answered",
            Self::Silent => "it neither beats nor answers, or has no proxy",
        })
    }
}

/// What to do next about spares; nothing = it is as it should be, or has to be waited for.
pub fn plan_spares(
    rows: &[Amphora],
    observed: &BTreeMap<AmphoraId, ObservedAmphora>,
    trust: &WantedPapers,
    now: Timestamp,
    options: &SpareOptions,
) -> Vec<SpareStep> {
    let (leaving, mut there): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.status == AmphoraStatus::PendingDelete);
    let mut steps: Vec<SpareStep> = leaving.iter().map(|row| SpareStep::Delete(row.id)).collect();
    there.sort_by_key(|row| (!is_ready(row), row.created_at, row.id));
    let surplus = there.split_off(options.size.min(there.len()));
    steps.extend(surplus.iter().map(|row| SpareStep::Retire(row.id, Unfit::Surplus)));

    let seen = |row: &Amphora| observed.get(&row.id).unwrap_or(&ObservedAmphora::UNKNOWN);
    // As is one that has no proxy, and says so.
    let silent = |row: &Amphora| {
        let signs = row.last_heartbeat_at.into_iter().chain([row.updated_at.unwrap_or(row.created_at)]);
        let long = |at: Timestamp| now.duration_since(at).abs() >= options.heartbeat_timeout;
        let useless = seen(row).agent.as_ref().is_none_or(agent_lacks_proxy);
        is_ready(row) && useless && signs.into_iter().all(long)
    };
    let ready = there.iter().filter(|row| is_ready(row));
    let (mute, heard): (Vec<&Amphora>, Vec<&Amphora>) = ready.copied().partition(|row| silent(row));
    let trusted = !own_fault(mute.len(), heard.len());
    for row in &there {
        steps.extend(step(row, seen(row), trusted && silent(row), trust, now, options));
    }
    let building = there.iter().filter(|row| !is_ready(row)).count();
    let missing = options.size - there.len();
    steps.extend((building..options.builds).take(missing).map(|_| SpareStep::Create));
    steps
}

fn is_ready(row: &Amphora) -> bool {
    row.status == AmphoraStatus::Ready
}

fn step(
    row: &Amphora,
    seen: &ObservedAmphora,
    silent: bool,
    trust: &WantedPapers,
    now: Timestamp,
    options: &SpareOptions,
) -> Option<SpareStep> {
    let id = row.id;
    if let Some(agent) = seen.agent.as_ref().filter(|agent| !agent_lacks_proxy(agent)) {
        if !is_ready(row) {
            // Also one whose row was never told that its server was made.
            let made = row.status == AmphoraStatus::Booting;
            return Some(if made { SpareStep::Ready(id) } else { SpareStep::ServerEnsure(id) });
        }
        let outdated = |has| {
            are_outdated(row, has, trust, now, options.renew_before).then_some(SpareStep::PapersPush(id))
        };
        return agent.papers.as_ref().and_then(outdated);
    }
    let Known::Yes(server) = &seen.server else {
        let unmade = row.status == AmphoraStatus::PendingCreate;
        return match (&seen.server, unmade) {
            (Known::Unknown, _) => None,
            (_, true) => Some(SpareStep::ServerEnsure(id)),
            (_, false) => Some(SpareStep::Retire(id, Unfit::NoServer)),
        };
    };
    if row.status == AmphoraStatus::PendingCreate {
        return Some(SpareStep::ServerEnsure(id));
    }
    if matches!(server.power, ServerPower::Stopped | ServerPower::Failed) {
        return Some(SpareStep::Retire(id, Unfit::NoServer));
    }
    if is_ready(row) {
        return silent.then_some(SpareStep::Retire(id, Unfit::Silent));
    }
    let since = now.duration_since(row.updated_at.unwrap_or(row.created_at)).abs();
    (since >= options.boot_timeout).then_some(SpareStep::Retire(id, Unfit::NoBoot))
}

#[cfg(test)]
mod tests;
