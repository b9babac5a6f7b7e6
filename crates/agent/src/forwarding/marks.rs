//! The numbers by which the kernel's flows tell their members; pure.

use std::collections::{BTreeMap, BTreeSet};

use octavia_model::MemberId;
use octavia_wire::AmphoraSpec;

/// Of each member that the kernel may bring packets to. A member has the same number in every spec, and on every amphora of the
/// load balancer: it is a part of its id, but for the rare ones that another has already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<MemberId, u32>);

impl Marks {
    pub(super) fn of(spec: &AmphoraSpec) -> Self {
        let pools: BTreeSet<_> = spec.forwarded().filter_map(|listener| listener.default_pool).collect();
        let pools = spec.pools.iter().filter(|pool| pools.contains(&pool.id));
        let members: BTreeSet<_> = pools.flat_map(|pool| &pool.members).map(|member| member.id).collect();
        let mut taken = BTreeSet::new();
        let mark = |id: MemberId| {
            // 0 = none. There are far fewer members than numbers.
            let mut mark = (bits(id) as u32).max(1);
            while !taken.insert(mark) {
                mark = mark.wrapping_add(1).max(1);
            }
            (id, mark)
        };
        Self(members.into_iter().map(mark).collect())
    }

    pub(super) fn mark(&self, member: MemberId) -> u32 {
        self.0.get(&member).copied().unwrap_or(0)
    }
}

/// The less significant half of an id.
pub(super) fn bits(member: MemberId) -> u64 {
    use newtype_uuid::GenericUuid as _;

    member.into_untyped_uuid().as_u64_pair().1
}
