//! What differs between two graphs of one load balancer: a pure function, so that a write is never more than it.

use jiff::{SignedDuration, Timestamp};
use octavia_model::{
    HealthMonitor, HealthMonitorId, L7Policy, L7PolicyId, L7Rule, L7RuleId, Listener, ListenerId,
    LoadBalancerGraph, Member, MemberId, Pool, PoolId, Statuses,
};

/// What the children of a load balancer have in common.
pub(crate) trait Child: Clone + PartialEq {
    type Id: Copy + Ord + std::fmt::Display;

    fn id(&self) -> Self::Id;
    fn statuses(&self) -> &Statuses;
    fn statuses_mut(&mut self) -> &mut Statuses;
    fn tags(&self) -> &[String];
    fn created_at_mut(&mut self) -> &mut Timestamp;
    fn updated_at(&self) -> Option<Timestamp>;
    fn updated_at_mut(&mut self) -> &mut Option<Timestamp>;
}

macro_rules! children {
    ($($child:ident, $id:ident;)+) => {
        $(impl Child for $child {
            type Id = $id;

            fn id(&self) -> $id {
                self.id
            }

            fn statuses(&self) -> &Statuses {
                &self.statuses
            }

            fn statuses_mut(&mut self) -> &mut Statuses {
                &mut self.statuses
            }

            fn tags(&self) -> &[String] {
                &self.tags
            }

            fn created_at_mut(&mut self) -> &mut Timestamp {
                &mut self.created_at
            }

            fn updated_at(&self) -> Option<Timestamp> {
                self.updated_at
            }

            fn updated_at_mut(&mut self) -> &mut Option<Timestamp> {
                &mut self.updated_at
            }
        })+
    };
}

children! {
    Listener, ListenerId;
    Pool, PoolId;
    Member, MemberId;
    HealthMonitor, HealthMonitorId;
    L7Policy, L7PolicyId;
    L7Rule, L7RuleId;
}

/// Children that differ in their statuses (and `updated_at`) only, and became the same.
#[derive(Debug, PartialEq)]
pub(crate) struct Restated<'a, Id> {
    pub(crate) statuses: &'a Statuses,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) ids: Vec<Id>,
}

/// What happened to the children of one kind.
#[derive(Debug, PartialEq)]
pub(crate) struct Changes<'a, T: Child> {
    pub(crate) inserted: Vec<&'a T>,
    /// Differ in more than their statuses.
    pub(crate) updated: Vec<&'a T>,
    /// One statement for many rows.
    pub(crate) restated: Vec<Restated<'a, T::Id>>,
    pub(crate) deleted: Vec<T::Id>,
    /// Of the inserted and updated, those whose tags differ.
    pub(crate) retagged: Vec<&'a T>,
    /// Of the deleted, those that had tags.
    pub(crate) untagged: Vec<T::Id>,
}

/// The difference between two graphs.
#[derive(Debug, PartialEq)]
pub(crate) struct Difference<'a> {
    /// The load balancer's own attributes.
    pub(crate) root: bool,
    pub(crate) root_retagged: bool,
    pub(crate) root_regrouped: bool,
    pub(crate) listeners: Changes<'a, Listener>,
    pub(crate) pools: Changes<'a, Pool>,
    pub(crate) members: Changes<'a, Member>,
    pub(crate) health_monitors: Changes<'a, HealthMonitor>,
    pub(crate) l7policies: Changes<'a, L7Policy>,
    pub(crate) l7rules: Changes<'a, L7Rule>,
}

/// What leads from `before` to `after`; children are matched by id.
pub(crate) fn difference<'a>(before: &LoadBalancerGraph, after: &'a LoadBalancerGraph) -> Difference<'a> {
    Difference {
        root: before.load_balancer != after.load_balancer,
        root_retagged: before.load_balancer.tags != after.load_balancer.tags,
        root_regrouped: before.load_balancer.vip.sg_ids != after.load_balancer.vip.sg_ids,
        listeners: changes(&before.listeners, &after.listeners),
        pools: changes(&before.pools, &after.pools),
        members: changes(&before.members, &after.members),
        health_monitors: changes(&before.health_monitors, &after.health_monitors),
        l7policies: changes(&before.l7policies, &after.l7policies),
        l7rules: changes(&before.l7rules, &after.l7rules),
    }
}

/// A whole graph as the difference from nothing.
pub(crate) fn everything(graph: &LoadBalancerGraph) -> Difference<'_> {
    Difference {
        root: true,
        root_retagged: !graph.load_balancer.tags.is_empty(),
        root_regrouped: !graph.load_balancer.vip.sg_ids.is_empty(),
        listeners: changes(&[], &graph.listeners),
        pools: changes(&[], &graph.pools),
        members: changes(&[], &graph.members),
        health_monitors: changes(&[], &graph.health_monitors),
        l7policies: changes(&[], &graph.l7policies),
        l7rules: changes(&[], &graph.l7rules),
    }
}

impl<'a> Difference<'a> {
    /// The children that both differences insert, as one: of graphs that are new.
    pub(crate) fn insert_too(&mut self, other: Difference<'a>) {
        self.listeners.inserted.extend(other.listeners.inserted);
        self.pools.inserted.extend(other.pools.inserted);
        self.members.inserted.extend(other.members.inserted);
        self.health_monitors.inserted.extend(other.health_monitors.inserted);
        self.l7policies.inserted.extend(other.l7policies.inserted);
        self.l7rules.inserted.extend(other.l7rules.inserted);
    }
}

fn changes<'a, T: Child>(before: &[T], after: &'a [T]) -> Changes<'a, T> {
    let mut changes = Changes {
        inserted: vec![],
        updated: vec![],
        restated: vec![],
        deleted: vec![],
        retagged: vec![],
        untagged: vec![],
    };
    let pairs = Pairs::new(before, after);
    for (child, old) in after.iter().zip(&pairs.old) {
        match old {
            None => {
                changes.inserted.push(child);
                if !child.tags().is_empty() {
                    changes.retagged.push(child);
                }
            }
            Some(old) if *old == child => {}
            Some(old) if differs_in_statuses_only(*old, child) => {
                let (statuses, updated_at) = (child.statuses(), child.updated_at());
                match changes
                    .restated
                    .iter_mut()
                    .find(|r| (r.statuses, r.updated_at) == (statuses, updated_at))
                {
                    Some(same) => same.ids.push(child.id()),
                    None => changes.restated.push(Restated { statuses, updated_at, ids: vec![child.id()] }),
                }
            }
            Some(old) => {
                changes.updated.push(child);
                if old.tags() != child.tags() {
                    changes.retagged.push(child);
                }
            }
        }
    }
    changes.untagged =
        pairs.gone.iter().filter(|gone| !gone.tags().is_empty()).map(|gone| gone.id()).collect();
    changes.deleted = pairs.gone.into_iter().map(Child::id).collect();
    changes
}

/// Children of `after` beside what they were, and those that are no more.
struct Pairs<'b, T> {
    old: Vec<Option<&'b T>>,
    gone: Vec<&'b T>,
}

impl<'b, T: Child> Pairs<'b, T> {
    fn new(before: &'b [T], after: &[T]) -> Self {
        // Most graphs keep their children in place.
        if before.len() == after.len() && before.iter().zip(after).all(|(b, a)| b.id() == a.id()) {
            return Self { old: before.iter().map(Some).collect(), gone: vec![] };
        }
        let mut rest: std::collections::BTreeMap<_, _> = before.iter().map(|b| (b.id(), b)).collect();
        let old = after.iter().map(|a| rest.remove(&a.id())).collect();
        Self { old, gone: before.iter().filter(|b| rest.contains_key(&b.id())).collect() }
    }
}

/// Apart from `updated_at`, which is stamped on every change.
fn differs_in_statuses_only<T: Child>(old: &T, new: &T) -> bool {
    let mut old = old.clone();
    *old.statuses_mut() = new.statuses().clone();
    *old.updated_at_mut() = new.updated_at();
    old == *new
}

/// Gives new children their `created_at`, one microsecond apart so that their order is kept, and changed ones (the root
/// included) their `updated_at`. Returns whether anything differs.
pub(crate) fn stamp(before: &LoadBalancerGraph, after: &mut LoadBalancerGraph, now: Timestamp) -> bool {
    let mut births = Births(now);
    let mut changed = stamp_children(&before.pools, &mut after.pools, &mut births, now);
    changed |= stamp_children(&before.listeners, &mut after.listeners, &mut births, now);
    changed |= stamp_children(&before.members, &mut after.members, &mut births, now);
    changed |= stamp_children(&before.health_monitors, &mut after.health_monitors, &mut births, now);
    changed |= stamp_children(&before.l7policies, &mut after.l7policies, &mut births, now);
    changed |= stamp_children(&before.l7rules, &mut after.l7rules, &mut births, now);
    if before.load_balancer != after.load_balancer {
        after.load_balancer.updated_at = Some(now);
        changed = true;
    }
    changed
}

/// Gives every row of a new graph its `created_at`.
pub(crate) fn stamp_all(graph: &mut LoadBalancerGraph, now: Timestamp) {
    let nothing = LoadBalancerGraph::new(graph.load_balancer.clone());
    stamp(&nothing, graph, now);
    graph.load_balancer.created_at = now;
    graph.load_balancer.updated_at = None;
}

struct Births(Timestamp);

impl Births {
    fn next(&mut self) -> Timestamp {
        let at = self.0;
        self.0 = at.saturating_add(SignedDuration::from_micros(1)).unwrap_or(at);
        at
    }
}

fn stamp_children<T: Child>(before: &[T], after: &mut [T], births: &mut Births, now: Timestamp) -> bool {
    let pairs = Pairs::new(before, after);
    let mut changed = !pairs.gone.is_empty();
    for (child, old) in after.iter_mut().zip(pairs.old) {
        match old {
            None => {
                *child.created_at_mut() = births.next();
                *child.updated_at_mut() = None;
                changed = true;
            }
            Some(old) if *old != *child => {
                *child.updated_at_mut() = Some(now);
                changed = true;
            }
            Some(_) => {}
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use octavia_model::*;
    use proptest::prelude::*;

    use super::*;

    fn graph() -> LoadBalancerGraph {
        LoadBalancerGraph::new(LoadBalancer {
            id: LoadBalancerId::new_v4(),
            project_id: ProjectId::new("p"),
            name: String::new(),
            description: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            vip: Vip {
                address: [127, 0, 0, 1].into(),
                subnet_id: SubnetId::new_v4(),
                network_id: NetworkId::new_v4(),
                port_id: PortId::new_v4(),
                qos_policy_id: None,
                sg_ids: vec![],
                vnic_type: VnicType::Normal,
                owned: true,
            },
            additional_vips: vec![],
            provider: "amphora".to_owned(),
            flavor_id: None,
            availability_zone: None,
            topology: Topology::Single,
            tags: vec![],
            generation: 1,
            applied_generation: 0,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: None,
        })
    }

    fn pool(graph: &LoadBalancerGraph, n: u8) -> Pool {
        Pool {
            id: PoolId::new_v4(),
            load_balancer_id: graph.load_balancer.id,
            project_id: graph.load_balancer.project_id.clone(),
            name: n.to_string(),
            description: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            protocol: PoolProtocol::Http,
            lb_algorithm: Algorithm::RoundRobin,
            session_persistence: None,
            tls_enabled: false,
            tls_container_ref: None,
            ca_tls_container_ref: None,
            crl_container_ref: None,
            tls: Tls::default(),
            tags: vec![],
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: None,
        }
    }

    /// What a person may do to a list of children.
    #[derive(Debug, Clone)]
    enum Act {
        Add(u8),
        Remove(usize),
        Rename(usize, u8),
        Tag(usize, u8),
        Restate(usize, ProvisioningStatus),
    }

    fn act() -> impl Strategy<Value = Act> {
        let status = prop::sample::select(ProvisioningStatus::ALL);
        prop_oneof![
            any::<u8>().prop_map(Act::Add),
            any::<usize>().prop_map(Act::Remove),
            (any::<usize>(), 0..3u8).prop_map(|(at, n)| Act::Rename(at, n)),
            (any::<usize>(), 0..3u8).prop_map(|(at, n)| Act::Tag(at, n)),
            (any::<usize>(), status).prop_map(|(at, status)| Act::Restate(at, status)),
        ]
    }

    fn run(graph: &mut LoadBalancerGraph, acts: Vec<Act>) {
        for act in acts {
            let many = graph.pools.len().max(1);
            let at = |at: usize| at % many;
            match act {
                Act::Add(n) => graph.pools.push(pool(graph, n)),
                _ if graph.pools.is_empty() => {}
                Act::Remove(n) => drop(graph.pools.remove(at(n))),
                Act::Rename(n, name) => graph.pools[at(n)].name = name.to_string(),
                Act::Tag(n, tag) => graph.pools[at(n)].tags = vec![tag.to_string()],
                Act::Restate(n, status) => graph.pools[at(n)].statuses.provisioning = status,
            }
        }
    }

    /// What the statements would make of the rows.
    fn applied(before: &[Pool], changes: &Changes<'_, Pool>) -> Vec<Pool> {
        let mut rows: Vec<Pool> =
            before.iter().filter(|p| !changes.deleted.contains(&p.id)).cloned().collect();
        for row in &mut rows {
            if let Some(updated) = changes.updated.iter().find(|p| p.id == row.id) {
                *row = (*updated).clone();
            }
            for restated in changes.restated.iter().filter(|restated| restated.ids.contains(&row.id)) {
                row.statuses = restated.statuses.clone();
                row.updated_at = restated.updated_at;
            }
        }
        rows.extend(changes.inserted.iter().map(|p| (*p).clone()));
        rows
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_before_to_after(
            first in prop::collection::vec(act(), 0..12),
            then in prop::collection::vec(act(), 0..12),
        ) {
            let mut before = graph();
            run(&mut before, first);
            let mut after = before.clone();
            run(&mut after, then);
            let differs = before != after;
            prop_assert_eq!(stamp(&before, &mut after, Timestamp::UNIX_EPOCH), differs);
            let difference = difference(&before, &after);
            prop_assert!(!difference.root);
            prop_assert_eq!(applied(&before.pools, &difference.pools), after.pools.clone());
            let tags = |graph: &LoadBalancerGraph, id| graph.pool(id).map(|p| p.tags.clone()).unwrap_or_default();
            for id in before.pools.iter().chain(&after.pools).map(|p| p.id) {
                let said = difference.pools.retagged.iter().any(|p| p.id == id)
                    || difference.pools.untagged.contains(&id);
                prop_assert_eq!(said, tags(&before, id) != tags(&after, id));
            }
        }
    }

    #[test]
    fn nothing_differs_from_itself() {
        let mut graph = graph();
        run(&mut graph, vec![Act::Add(1), Act::Add(2)]);
        let difference = difference(&graph, &graph);
        assert!(
            !difference.root && difference.pools.inserted.is_empty() && difference.pools.deleted.is_empty()
        );
    }

    #[test]
    fn new_children_are_a_microsecond_apart() {
        let mut after = graph();
        let before = after.clone();
        run(&mut after, vec![Act::Add(1), Act::Add(2), Act::Add(3)]);
        assert!(stamp(&before, &mut after, Timestamp::UNIX_EPOCH));
        let born: Vec<_> = after.pools.iter().map(|p| p.created_at.as_microsecond()).collect();
        assert_eq!(born, [0, 1, 2]);
        assert_eq!(after.load_balancer.updated_at, None);
    }
}
