//! Whether amphorae of which one is to hold the VIPs agree on which.
//!
//! They do so by themselves, within a second or so; what they say of it reaches the rows later, and not at the same time. So what
//! they say counts once each of them has said it for a while, and has been heard since.

use jiff::{SignedDuration, Timestamp};
use octavia_model::{LoadBalancer, OperatingStatus, Reason, ReasonCode, VrrpState};

use crate::rollup::{StatusChanges, change};

/// What one of them said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// `None` = it does not say.
    pub state: Option<VrrpState>,
    /// When it said so first.
    pub since: Timestamp,
    /// When it was heard last.
    pub heard: Timestamp,
}

/// What is wrong among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disagreement {
    /// Nobody holds the VIPs.
    NoMaster,
    /// More than one does.
    ManyMasters,
}

/// What is wrong, where that is certain. Of one that is not heard any more nobody knows what it does; that is for
/// others to judge.
pub fn disagreement(claims: &[Claim], patience: SignedDuration) -> Option<Disagreement> {
    let lasts = |of: &mut dyn Iterator<Item = &Claim>| {
        let of: Vec<_> = of.collect();
        let since = of.iter().map(|claim| claim.since).max()?;
        Some(of.iter().filter(|claim| claim.heard.duration_since(since) >= patience).count())
    };
    let masters = || claims.iter().filter(|claim| claim.state == Some(VrrpState::Master));
    if masters().next().is_some() {
        let many = lasts(&mut masters()).is_some_and(|heard| heard > 1);
        return many.then_some(Disagreement::ManyMasters);
    }
    let all_say = claims.iter().all(|claim| claim.state.is_some());
    let all_heard = lasts(&mut claims.iter()) == Some(claims.len());
    (all_say && all_heard).then_some(Disagreement::NoMaster)
}

impl Disagreement {
    fn status(self) -> OperatingStatus {
        match self {
            Self::NoMaster => OperatingStatus::Error,
            // Some clients reach one, some the other, and both serve.
            Self::ManyMasters => OperatingStatus::Degraded,
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::NoMaster => Reason::new(
                ReasonCode::NoMaster,
                "None of the amphorae holds the VIPs.",
                "The amphorae are looked at by themselves. If it lasts, look at their interfaces, or fail the load balancer over.",
            ),
            Self::ManyMasters => Reason::new(
                ReasonCode::ManyMasters,
                "More than one amphora holds the VIPs: they do not hear each other.",
                "Look at the VIP's network between the amphorae: VRRP (IP protocol 112) has to pass.",
            ),
        }
    }
}

impl StatusChanges {
    /// The same, where the amphorae do not agree; what is worse stays.
    #[must_use]
    pub fn with_disagreement(mut self, lb: &LoadBalancer, disagreement: Option<Disagreement>) -> Self {
        let Some(disagreement) = disagreement.filter(|_| lb.admin_state_up) else { return self };
        let now = self.load_balancer.as_ref();
        let explains = now.map_or(&lb.statuses.reason, |change| &change.reason);
        let ours = explains.as_ref().is_some_and(|reason| reason.code == disagreement.reason().code);
        let worse = match now.map_or(lb.statuses.operating, |change| change.operating) {
            OperatingStatus::Error => !ours,
            OperatingStatus::Degraded => disagreement == Disagreement::ManyMasters && !ours,
            _ => false,
        };
        if !worse {
            let told = (disagreement.status(), Some(disagreement.reason()));
            self.load_balancer = change(&lb.statuses, told);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use octavia_model::{LoadBalancerId, NetworkId, PortId, ProjectId, Statuses, SubnetId, Vip};

    use super::*;
    use crate::StatusChange;

    #[test]
    fn what_is_certain() {
        use Disagreement::{ManyMasters, NoMaster};
        let patience = SignedDuration::from_secs(5);
        let at = |seconds: i64| Timestamp::UNIX_EPOCH + seconds.seconds();
        // Of each: M, B, F, or - for one that does not say; since when; heard when.
        for (claims, expected) in [
            (&[][..], None),
            (&[("M", 0, 9), ("B", 0, 9)], None),
            (&[("B", 0, 9), ("B", 0, 9)], Some(NoMaster)),
            (&[("B", 0, 5), ("F", 0, 5)], Some(NoMaster)),
            (&[("F", 0, 90), ("F", 0, 90)], Some(NoMaster)),
            // One has said so only now, and the other was not heard since, or does not say.
            (&[("B", 0, 9), ("B", 5, 9)], None),
            (&[("B", 0, 9), ("B", 0, 4)], None),
            (&[("B", 0, 9), ("-", 0, 9)], None),
            (&[("B", 0, 9)], Some(NoMaster)),
            (&[("M", 0, 9), ("M", 0, 9)], Some(ManyMasters)),
            (&[("M", 0, 9), ("M", 4, 9)], Some(ManyMasters)),
            // The one that was it is dead, or was not heard since, or heard too soon after.
            (&[("M", 0, 4), ("M", 4, 90)], None),
            (&[("M", 0, 8), ("M", 4, 90)], None),
            (&[("M", 0, 4), ("B", 0, 90)], None),
            // One is replaced.
            (&[("M", 0, 9), ("M", 0, 9), ("B", 0, 9)], Some(ManyMasters)),
            (&[("M", 0, 4), ("M", 4, 90), ("B", 4, 90)], None),
            (&[("M", 0, 4), ("M", 4, 90), ("M", 4, 90)], Some(ManyMasters)),
        ] {
            let of = |(state, since, heard): &(&str, i64, i64)| Claim {
                state: match *state {
                    "M" => Some(VrrpState::Master),
                    "B" => Some(VrrpState::Backup),
                    "F" => Some(VrrpState::Fault),
                    _ => None,
                },
                since: at(*since),
                heard: at(*heard),
            };
            let told: Vec<_> = claims.iter().map(of).collect();
            assert_eq!(disagreement(&told, patience), expected, "{claims:?}");
        }
    }

    #[test]
    fn the_worse_of_two_is_shown() {
        use OperatingStatus::{Degraded, Error, Offline, Online};
        use ReasonCode::{ManyMasters, MemberFailedCheck, NoHealthyMember, NoMaster};
        let reason = |code: Option<ReasonCode>| code.map(|code| Reason::new(code, "text", ""));
        for (rolled_up, code, disagreement, expected, shown) in [
            (Online, None, None, Online, None),
            (Online, None, Some(Disagreement::NoMaster), Error, Some(NoMaster)),
            (Online, None, Some(Disagreement::ManyMasters), Degraded, Some(ManyMasters)),
            (Degraded, Some(MemberFailedCheck), Some(Disagreement::NoMaster), Error, Some(NoMaster)),
            (
                Degraded,
                Some(MemberFailedCheck),
                Some(Disagreement::ManyMasters),
                Degraded,
                Some(MemberFailedCheck),
            ),
            (Error, Some(NoHealthyMember), Some(Disagreement::NoMaster), Error, Some(NoHealthyMember)),
        ] {
            let vip = Vip::new([192, 0, 2, 1].into(), SubnetId::nil(), NetworkId::nil(), PortId::nil());
            let mut lb =
                LoadBalancer::new(LoadBalancerId::nil(), ProjectId::new("p"), vip, Timestamp::UNIX_EPOCH);
            let rolled_up = (rolled_up, reason(code));
            // From what the row says, and then from what it says after that: the same, and nothing to write.
            for row in [(Offline, None), (Online, None), (Error, reason(Some(NoMaster)))] {
                lb.statuses = Statuses { operating: row.0, reason: row.1, ..lb.statuses };
                for again in [false, true] {
                    let load_balancer = change(&lb.statuses, rolled_up.clone());
                    let changes = StatusChanges { load_balancer, ..StatusChanges::default() };
                    let changes = changes.with_disagreement(&lb, disagreement);
                    assert!(!again || changes.is_empty(), "{rolled_up:?} {disagreement:?}: {changes:?}");
                    if let Some(StatusChange { operating, reason }) = changes.load_balancer {
                        lb.statuses = Statuses { operating, reason, ..lb.statuses };
                    }
                    let told = (lb.statuses.operating, lb.statuses.reason.as_ref().map(|r| r.code));
                    assert_eq!(told, (expected, shown), "{rolled_up:?} {disagreement:?}");
                }
            }
            lb.admin_state_up = false;
            let changes = StatusChanges::default().with_disagreement(&lb, Some(Disagreement::NoMaster));
            assert!(changes.is_empty(), "of one that is switched off nobody expects anything");
        }
    }
}
