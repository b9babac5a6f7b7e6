//! A load balancer with everything below it.

use std::collections::BTreeSet;

use crate::{
    HealthMonitor, L7Policy, L7PolicyId, L7Rule, L7RuleId, Listener, ListenerId, LoadBalancer, Member,
    MemberId, Pool, PoolId,
};

/// The aggregate: what one API write reads and changes, and what the planner compiles.
///
/// Children are in order of creation. References are by id; [`LoadBalancerGraph`] never holds a child of another
/// load balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancerGraph {
    pub load_balancer: LoadBalancer,
    pub listeners: Vec<Listener>,
    pub pools: Vec<Pool>,
    pub members: Vec<Member>,
    pub health_monitors: Vec<HealthMonitor>,
    pub l7policies: Vec<L7Policy>,
    pub l7rules: Vec<L7Rule>,
}

impl LoadBalancerGraph {
    pub fn new(load_balancer: LoadBalancer) -> Self {
        Self {
            load_balancer,
            listeners: vec![],
            pools: vec![],
            members: vec![],
            health_monitors: vec![],
            l7policies: vec![],
            l7rules: vec![],
        }
    }

    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.iter().find(|l| l.id == id)
    }

    pub fn listener_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|l| l.id == id)
    }

    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.iter().find(|p| p.id == id)
    }

    pub fn pool_mut(&mut self, id: PoolId) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|p| p.id == id)
    }

    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|m| m.id == id)
    }

    pub fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.iter_mut().find(|m| m.id == id)
    }

    pub fn pool_members(&self, pool: PoolId) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |m| m.pool_id == pool)
    }

    pub fn pool_health_monitor(&self, pool: PoolId) -> Option<&HealthMonitor> {
        self.health_monitors.iter().find(|h| h.pool_id == pool)
    }

    pub fn l7policy(&self, id: L7PolicyId) -> Option<&L7Policy> {
        self.l7policies.iter().find(|p| p.id == id)
    }

    pub fn l7policy_mut(&mut self, id: L7PolicyId) -> Option<&mut L7Policy> {
        self.l7policies.iter_mut().find(|p| p.id == id)
    }

    pub fn l7rule(&self, id: L7RuleId) -> Option<&L7Rule> {
        self.l7rules.iter().find(|r| r.id == id)
    }

    pub fn l7rule_mut(&mut self, id: L7RuleId) -> Option<&mut L7Rule> {
        self.l7rules.iter_mut().find(|r| r.id == id)
    }

    /// In the order in which they are looked at.
    pub fn listener_l7policies(&self, listener: ListenerId) -> Vec<&L7Policy> {
        let mut policies: Vec<_> = self.l7policies.iter().filter(|p| p.listener_id == listener).collect();
        policies.sort_by_key(|p| p.position);
        policies
    }

    /// Moves an L7 policy to this place among those of its listener, counted from 1; beyond the end is the end. The
    /// others move up or down, so that positions stay without gaps.
    pub fn l7policy_place(&mut self, id: L7PolicyId, position: u32) {
        let Some(index) = self.l7policies.iter().position(|policy| policy.id == id) else { return };
        let mut order = self.l7policy_order(self.l7policies[index].listener_id);
        order.retain(|other| *other != index);
        let end = order.partition_point(|other| !self.l7policies[*other].statuses.provisioning.is_leaving());
        let at = usize::try_from(position).unwrap_or(end).saturating_sub(1).min(end);
        order.insert(at, index);
        self.l7policies_number(&order);
    }

    /// Closes the gaps between the positions of a listener's L7 policies; those on their way out come last.
    pub fn l7policies_close(&mut self, listener: ListenerId) {
        let order = self.l7policy_order(listener);
        self.l7policies_number(&order);
    }

    /// Indices of the listener's L7 policies, by position, those on their way out last.
    fn l7policy_order(&self, listener: ListenerId) -> Vec<usize> {
        let policies = self.l7policies.iter().enumerate();
        let mut order: Vec<usize> =
            policies.filter(|(_, policy)| policy.listener_id == listener).map(|(index, _)| index).collect();
        order.sort_by_key(|index| {
            let policy = &self.l7policies[*index];
            (policy.statuses.provisioning.is_leaving(), policy.position)
        });
        order
    }

    fn l7policies_number(&mut self, order: &[usize]) {
        for (index, position) in order.iter().zip(1..) {
            self.l7policies[*index].position = position;
        }
    }

    pub fn l7policy_rules(&self, policy: L7PolicyId) -> impl Iterator<Item = &L7Rule> {
        self.l7rules.iter().filter(move |r| r.l7policy_id == policy)
    }

    /// Pools to which the listener's L7 policies send requests, in order of position; a pool may come twice.
    pub fn listener_redirect_pools(&self, listener: ListenerId) -> impl Iterator<Item = PoolId> {
        let policies = self.listener_l7policies(listener).into_iter().filter(|policy| self.can_match(policy));
        policies.filter_map(|policy| policy.redirect_pool_id)
    }

    /// Without a rule a policy matches nothing.
    fn can_match(&self, policy: &L7Policy) -> bool {
        policy.admin_state_up && self.l7policy_rules(policy.id).next().is_some()
    }

    /// Listeners whose traffic can reach the pool, by default or by an L7 policy that is enabled and has a rule.
    pub fn pool_listeners(&self, pool: PoolId) -> impl Iterator<Item = &Listener> {
        let policies = self.l7policies.iter().filter(|policy| policy.redirect_pool_id == Some(pool));
        let redirecting: BTreeSet<ListenerId> =
            policies.filter(|policy| self.can_match(policy)).map(|policy| policy.listener_id).collect();
        self.listeners.iter().filter(move |listener| {
            listener.default_pool_id == Some(pool) || redirecting.contains(&listener.id)
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use newtype_uuid::GenericUuid;
    use uuid::Uuid;

    use super::*;
    use crate::*;

    fn graph() -> LoadBalancerGraph {
        let vip = Vip::new([127, 0, 0, 1].into(), SubnetId::nil(), NetworkId::nil(), PortId::nil());
        let lb = LoadBalancer::new(LoadBalancerId::nil(), ProjectId::new("p"), vip, Timestamp::UNIX_EPOCH);
        let mut graph = LoadBalancerGraph::new(lb);
        for n in [1, 2] {
            let id = ListenerId::from_untyped_uuid(Uuid::from_u128(n));
            let listener = Listener::new(id, &graph.load_balancer, 80, Timestamp::UNIX_EPOCH);
            graph.listeners.push(listener);
        }
        graph
    }

    fn create(graph: &mut LoadBalancerGraph, listener: usize, name: &str, position: u32) {
        let policy = L7Policy::new(L7PolicyId::new_v4(), &graph.listeners[listener], Timestamp::UNIX_EPOCH);
        let id = policy.id;
        graph.l7policies.push(L7Policy { name: name.to_owned(), ..policy });
        graph.l7policy_place(id, position);
    }

    fn order(graph: &LoadBalancerGraph, listener: usize) -> String {
        let policies = graph.listener_l7policies(graph.listeners[listener].id);
        assert!(policies.iter().map(|policy| policy.position).eq(1..=u32::try_from(policies.len()).unwrap()));
        policies.iter().map(|policy| policy.name.as_str()).collect()
    }

    /// What is done (`x@n` creates or moves, `x-` sends out, `x!` removes) and the order after it.
    #[test]
    fn positions_have_no_gaps() {
        for (acts, expected) in [
            ("", ""),
            ("a@1", "a"),
            ("a@9", "a"),
            ("a@2147483647 b@2147483647", "ab"),
            ("a@1 b@1", "ba"),
            ("a@1 b@2", "ab"),
            ("a@1 b@3", "ab"),
            ("a@1 b@2 c@2", "acb"),
            ("a@1 b@2 c@3 d@0", "dabc"),
            ("a@1 b@2 c@3 a@3", "bca"),
            ("a@1 b@2 c@3 a@2", "bac"),
            ("a@1 b@2 c@3 c@1", "cab"),
            ("a@1 b@2 c@3 b@2", "abc"),
            ("a@1 b@2 c@3 a@99", "bca"),
            ("a@1 b@2 c@3 a!", "bc"),
            ("a@1 b@2 c@3 b! a@2", "ca"),
            // Those on their way out are no place to come after.
            ("a@1 b@2 c@3 a-", "bca"),
            ("a@1 b@2 c@3 a- d@99", "bcda"),
            ("a@1 b@2 c@3 b- c@2", "acb"),
            ("a@1 b@2 c@3 a- b- c- d@3", "dcba"),
            ("a@1 b@2 c@3 a- c- a!", "bc"),
        ] {
            let mut graph = graph();
            create(&mut graph, 1, "x", 1);
            let listener = graph.listeners[0].id;
            for act in acts.split_whitespace() {
                let (name, what) = act.split_at(1);
                let there =
                    graph.l7policies.iter().find(|policy| policy.name == name).map(|policy| policy.id);
                match (what.strip_prefix('@'), there) {
                    (Some(position), None) => create(&mut graph, 0, name, position.parse().unwrap()),
                    (Some(position), Some(id)) => graph.l7policy_place(id, position.parse().unwrap()),
                    (None, id) => {
                        let id = id.unwrap();
                        if what == "-" {
                            let policy = graph.l7policy_mut(id).unwrap();
                            policy.statuses.provisioning = ProvisioningStatus::PendingDelete;
                        } else {
                            graph.l7policies.retain(|policy| policy.id != id);
                        }
                        graph.l7policies_close(listener);
                    }
                }
            }
            assert_eq!(order(&graph, 0), expected, "{acts}");
            assert_eq!(order(&graph, 1), "x", "{acts}: another listener's");
        }
        let mut graph = graph();
        graph.l7policy_place(L7PolicyId::nil(), 1);
    }

    /// Enabled, with a rule, redirects → whether the pool is the listener's.
    #[test]
    fn a_policy_leads_to_its_pool_if_it_can_match() {
        for (enabled, rule, redirects, expected) in [
            (true, true, true, true),
            (false, true, true, false),
            (true, false, true, false),
            (true, true, false, false),
        ] {
            let mut graph = graph();
            let pool = Pool::new(PoolId::new_v4(), &graph.load_balancer, Timestamp::UNIX_EPOCH);
            create(&mut graph, 0, "a", 1);
            let policy = &mut graph.l7policies[0];
            policy.admin_state_up = enabled;
            policy.redirect_pool_id = redirects.then_some(pool.id);
            if rule {
                let rule = L7Rule::new(L7RuleId::new_v4(), policy, "/", Timestamp::UNIX_EPOCH);
                graph.l7rules.push(rule);
            }
            let listeners: Vec<_> = graph.pool_listeners(pool.id).map(|listener| listener.id).collect();
            let expected: Vec<_> = expected.then(|| graph.listeners[0].id).into_iter().collect();
            assert_eq!(listeners, expected, "{enabled} {rule} {redirects}");
        }
    }
}
