//! How one amphora takes the place of another that an operator wants replaced.
//!
//! The old one carries traffic until the new one has booted and only waits for its spec. Then the old one goes, and the
//! new one gets the spec when it is gone: both on one address would be in each other's way. So what users notice
//! lasts as long as a server takes to end, not as long as one takes to boot.
//!
//! Of a pair that agrees on who holds the VIPs, the new one gets its spec at once, and the old one goes when the new one serves.

use jiff::Timestamp;
use octavia_model::{Amphora, AmphoraRole, AmphoraStatus, Reason, ReasonCode, Topology};

use crate::PlanOptions;
use crate::step::Step;

/// The amphorae on their way out, and what time it is.
#[derive(Debug)]
pub(crate) struct Succession<'a> {
    /// To be replaced, and not retired yet.
    pub(crate) marked: Vec<&'a Amphora>,
    pub(crate) retired: Vec<&'a Amphora>,
    /// They agree on who holds the VIPs.
    pub(crate) agreeing: bool,
    pub(crate) now: Timestamp,
    pub(crate) options: &'a PlanOptions,
}

/// How far those are that are to stay.
#[derive(Debug)]
pub(crate) struct Successors<'a> {
    pub(crate) wanted: usize,
    /// Everybody who is to stay.
    pub(crate) there: &'a [&'a Amphora],
    /// How many run the desired generation.
    pub(crate) ready: usize,
    /// How many have booted, and wait for a predecessor to go.
    pub(crate) waiting: usize,
}

impl Succession<'_> {
    /// Whether the amphora, which has carried nothing yet, is to wait with its spec until others have gone.
    ///
    /// Not for ever: a server that cannot be ended must not keep another from doing its work.
    pub(crate) fn must_wait(&self, amphora: &Amphora) -> bool {
        let predecessors = self.marked.iter().filter(|marked| is_in_service(marked));
        let leaving = self.retired.iter().filter(|retired| {
            let since = retired.updated_at.unwrap_or(retired.created_at);
            self.now.duration_since(since).abs() < self.options.removal_patience
        });
        !self.agreeing
            && !is_in_service(amphora)
            && predecessors.chain(leaving).any(|other| other.role == amphora.role)
    }

    /// What becomes of those to be replaced; they come one after the other.
    pub(crate) fn retire(&self, successors: &Successors<'_>) -> Vec<Step> {
        let (in_service, idle): (Vec<&Amphora>, Vec<&Amphora>) =
            self.marked.iter().copied().partition(|marked| is_in_service(marked));
        let mut leaving = idle;
        if successors.ready == successors.wanted {
            leaving.extend(in_service);
        } else if self.retired.is_empty() && leaving.is_empty() {
            let has_heir = |marked: &&&Amphora| successors.there.iter().any(|a| a.role == marked.role);
            // Everybody else can carry: of a pair, one goes at a time.
            let calm = successors.ready + successors.waiting == successors.there.len();
            let relieved = in_service.iter().find(|marked| calm && has_heir(marked));
            // Without room for a successor there is nothing to wait for.
            let crowded = successors.there.len() + self.marked.len() > successors.wanted
                && !in_service.iter().any(|marked| has_heir(&marked));
            leaving.extend(relieved.or(in_service.last().filter(|_| crowded)).copied());
        }
        leaving.into_iter().map(|a| Step::AmphoraRetire { amphora: a.id, reason: failover_asked() }).collect()
    }

    /// Roles to give to new amphorae, the next one last: those that are wanted and that nobody has who stays. Where
    /// both of a pair are replaced, the one that does not carry comes first.
    pub(crate) fn roles(&self, topology: Topology, staying: &[&Amphora]) -> Vec<AmphoraRole> {
        let mut roles = match topology {
            Topology::Single => vec![AmphoraRole::Standalone],
            Topology::ActiveStandby => vec![AmphoraRole::Backup, AmphoraRole::Master],
        };
        roles.retain(|role| !staying.iter().any(|a| a.role == Some(*role)));
        let carried = |role: &AmphoraRole| self.marked.iter().any(|a| a.role == Some(*role));
        // What nobody does now is needed most.
        roles.sort_by_key(|role| (!carried(role), carried(role) && *role == AmphoraRole::Backup));
        roles
    }
}

pub(crate) fn is_in_service(amphora: &Amphora) -> bool {
    amphora.status == AmphoraStatus::Allocated
}

fn failover_asked() -> Reason {
    let text = "An operator asked for the amphora's replacement.";
    Reason::new(ReasonCode::FailoverAsked, text, "")
}
