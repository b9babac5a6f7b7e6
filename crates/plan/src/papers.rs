//! When an agent is given new papers: a certificate, the authorities it believes, the key of its heartbeats.

use jiff::{SignedDuration, Timestamp};
use octavia_model::{Amphora, AmphoraStatus};
use octavia_wire::{AgentInfo, PapersReport};

use crate::PlanOptions;
use crate::step::Step;
use crate::world::{Desired, Observed, WantedPapers};

/// For each amphora whose agent answers, also for those that are to be replaced: as long as they are there, they have to
/// be reached. Beside everything else that is done for it, which neither waits for the other.
pub(crate) fn renewals<'a>(
    desired: &Desired,
    observed: &Observed,
    amphorae: impl Iterator<Item = &'a Amphora>,
    now: Timestamp,
    options: &PlanOptions,
) -> Vec<Step> {
    let due = amphorae.filter(|amphora| {
        let agent = observed.amphorae.get(&amphora.id).and_then(|seen| seen.agent.as_ref());
        agent.is_some_and(|agent| is_due(desired, observed, amphora, agent, now, options))
    });
    due.map(|amphora| Step::PapersPush { amphora: amphora.id }).collect()
}

/// Those whose certificate is not known to be of this authority: for their sake no other may be dropped. Who is on its way
/// out is asked nothing any more.
pub fn not_yet_of<'a>(amphorae: &'a [Amphora], authority: &str) -> Vec<&'a Amphora> {
    let leaving = |status| matches!(status, AmphoraStatus::PendingDelete | AmphoraStatus::Deleted);
    let there = amphorae.iter().filter(|amphora| !leaving(amphora.status));
    there.filter(|amphora| amphora.cert_authority.as_deref() != Some(authority)).collect()
}

/// The certificate ends soon, or authorities or the key are others now; whatever comes of it, once under each lease. What
/// the row says counts as well: who took the papers may not have lived to write it.
fn is_due(
    desired: &Desired,
    observed: &Observed,
    amphora: &Amphora,
    agent: &AgentInfo,
    now: Timestamp,
    options: &PlanOptions,
) -> bool {
    let (Some(wanted), Some(has)) = (&observed.trust, &agent.papers) else { return false };
    has.fence != desired.fence && are_outdated(amphora, has, wanted, now, options.renew_before)
}

pub(crate) fn are_outdated(
    amphora: &Amphora,
    has: &PapersReport,
    wanted: &WantedPapers,
    now: Timestamp,
    renew_before: SignedDuration,
) -> bool {
    let ends_soon = amphora.cert_expiration.is_none_or(|end| end.duration_since(now) < renew_before);
    ends_soon || amphora.cert_authority.as_ref() != Some(&wanted.authority) || has.mark != wanted.mark
}

#[cfg(test)]
mod tests {
    use octavia_model::{AmphoraId, AmphoraRole, LoadBalancerId};

    use super::*;

    #[test]
    fn an_authority_is_needed_by_who_is_not_known_to_have_another() {
        for (status, authority, needs) in [
            (AmphoraStatus::Allocated, Some("old"), true),
            (AmphoraStatus::Allocated, Some("new"), false),
            // Its server may be in the making.
            (AmphoraStatus::PendingCreate, None, true),
            (AmphoraStatus::Booting, None, true),
            (AmphoraStatus::Error, Some("old"), true),
            (AmphoraStatus::PendingDelete, Some("old"), false),
            (AmphoraStatus::Deleted, Some("old"), false),
        ] {
            let (id, lb) = (AmphoraId::nil(), LoadBalancerId::nil());
            let mut row = Amphora::new(id, lb, AmphoraRole::Standalone, Timestamp::UNIX_EPOCH);
            row.status = status;
            row.cert_authority = authority.map(str::to_owned);
            assert_eq!(not_yet_of(&[row], "new").len(), usize::from(needs), "{status} {authority:?}");
        }
    }
}
