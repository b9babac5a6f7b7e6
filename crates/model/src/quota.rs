//! How many objects of each kind a project may have (`reference/api.md` §7).

use crate::LoadBalancerGraph;
use crate::text_enum::text_enum;

text_enum! {
    /// What a quota counts, in the order in which a request that needs several kinds is checked.
    QuotaKind {
        LoadBalancer = "load_balancer",
        Pool = "pool",
        HealthMonitor = "health_monitor",
        Member = "member",
        Listener = "listener",
        L7Policy = "l7policy",
        L7Rule = "l7rule",
    }
}

/// One value for each kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota<T> {
    pub load_balancer: T,
    pub listener: T,
    pub pool: T,
    pub member: T,
    pub health_monitor: T,
    pub l7policy: T,
    pub l7rule: T,
}

impl<T> Quota<T> {
    pub fn from_fn(mut value: impl FnMut(QuotaKind) -> T) -> Self {
        Self {
            load_balancer: value(QuotaKind::LoadBalancer),
            listener: value(QuotaKind::Listener),
            pool: value(QuotaKind::Pool),
            member: value(QuotaKind::Member),
            health_monitor: value(QuotaKind::HealthMonitor),
            l7policy: value(QuotaKind::L7Policy),
            l7rule: value(QuotaKind::L7Rule),
        }
    }

    pub const fn get(&self, kind: QuotaKind) -> &T {
        match kind {
            QuotaKind::LoadBalancer => &self.load_balancer,
            QuotaKind::Listener => &self.listener,
            QuotaKind::Pool => &self.pool,
            QuotaKind::Member => &self.member,
            QuotaKind::HealthMonitor => &self.health_monitor,
            QuotaKind::L7Policy => &self.l7policy,
            QuotaKind::L7Rule => &self.l7rule,
        }
    }
}

/// How many objects of one kind a project may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(i32);

impl Limit {
    /// The API's -1.
    pub const UNLIMITED: Self = Self(-1);
    /// The largest number the API takes.
    pub const MAX: i32 = 2_000_000_000;

    /// -1 (none) to [`Limit::MAX`]; 0 forbids.
    pub const fn new(number: i32) -> Option<Self> {
        if number >= -1 && number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// As the API writes it.
    pub const fn number(self) -> i32 {
        self.0
    }

    pub const fn is_unlimited(self) -> bool {
        self.0 < 0
    }

    /// Whether so many objects are within it.
    pub fn allows(self, count: i64) -> bool {
        self.is_unlimited() || count <= i64::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// The limits that were set for a project; absent where the configured one counts.
pub type OwnLimits = Quota<Option<Limit>>;

impl OwnLimits {
    /// Those that count.
    pub fn or(&self, defaults: &Quota<Limit>) -> Quota<Limit> {
        Quota::from_fn(|kind| self.get(kind).unwrap_or(*defaults.get(kind)))
    }
}

/// By how many objects of each kind a change would have the project's count grow; kinds that are not to be checked are
/// absent. The number may be below 1: what takes the place of other objects is checked without being more.
pub type Demand = Quota<Option<i64>>;

impl Demand {
    /// One more of one kind.
    pub fn one(of: QuotaKind) -> Self {
        Self::from_fn(|kind| (kind == of).then_some(1))
    }

    /// A whole new tree. The original does not hold the L7 policies and rules of one against their quotas; every row
    /// counts afterwards, so here they are held.
    pub fn of_tree(graph: &LoadBalancerGraph) -> Self {
        let some = |count: usize| i64::try_from(count).ok().filter(|count| *count > 0);
        Self {
            load_balancer: Some(1),
            listener: some(graph.listeners.len()),
            pool: some(graph.pools.len()),
            member: some(graph.members.len()),
            health_monitor: some(graph.health_monitors.len()),
            l7policy: some(graph.l7policies.len()),
            l7rule: some(graph.l7rules.len()),
        }
    }

    /// The kinds whose count matters under these limits.
    pub fn limited(&self, limits: &Quota<Limit>) -> impl Iterator<Item = QuotaKind> {
        let counts = |kind: &QuotaKind| self.get(*kind).is_some() && !limits.get(*kind).is_unlimited();
        QuotaKind::ALL.iter().copied().filter(counts)
    }

    /// The first kind of which there would be too many.
    pub fn exceeds(&self, limits: &Quota<Limit>, in_use: &Quota<i64>) -> Option<QuotaKind> {
        self.limited(limits).find(|kind| {
            let more = self.get(*kind).unwrap_or_default();
            !limits.get(*kind).allows(in_use.get(*kind).saturating_add(more))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_range() {
        for (number, valid) in
            [(-2, false), (-1, true), (0, true), (Limit::MAX, true), (Limit::MAX + 1, false)]
        {
            assert_eq!(Limit::new(number).is_some_and(|limit| limit.number() == number), valid, "{number}");
        }
    }

    /// Limit, default, in use, demand → whether it is too much.
    #[test]
    fn a_demand_is_held_against_the_limit() {
        for (own, default, in_use, demand, exceeded) in [
            (Some(3), -1, 2, Some(1), false),
            (Some(3), -1, 3, Some(1), true),
            (Some(3), -1, 5, Some(-2), false),
            (Some(3), -1, 5, Some(0), true),
            // Not asked for: whatever there is stays.
            (Some(3), -1, 5, None, false),
            (Some(0), -1, 0, Some(1), true),
            (Some(-1), 0, 1_000_000_000_000, Some(i64::MAX), false),
            (None, -1, 5, Some(1), false),
            (None, 5, 5, Some(1), true),
            (None, 6, 5, Some(1), false),
            (Some(Limit::MAX), -1, i64::from(Limit::MAX), Some(1), true),
        ] {
            let only = |kind: QuotaKind| kind == QuotaKind::Member;
            let own = own.map(|own| Limit::new(own).expect("in range"));
            let default = Limit::new(default).expect("in range");
            let limits = OwnLimits::from_fn(|kind| own.filter(|_| only(kind)))
                .or(&Quota::from_fn(|kind| if only(kind) { default } else { Limit::UNLIMITED }));
            let in_use = Quota { member: in_use, ..Quota::default() };
            let demand = Demand { member: demand, ..Demand::one(QuotaKind::Pool) };
            let expected = exceeded.then_some(QuotaKind::Member);
            assert_eq!(demand.exceeds(&limits, &in_use), expected, "{own:?} {default:?} {demand:?}");
        }
    }
}
