//! A load balancer with everything below it.

use crate::{
    HealthMonitor, L7Policy, L7PolicyId, L7Rule, Listener, ListenerId, LoadBalancer, Member, MemberId, Pool,
    PoolId,
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

    /// In the order in which they are looked at.
    pub fn listener_l7policies(&self, listener: ListenerId) -> Vec<&L7Policy> {
        let mut policies: Vec<_> = self.l7policies.iter().filter(|p| p.listener_id == listener).collect();
        policies.sort_by_key(|p| p.position);
        policies
    }

    pub fn l7policy_rules(&self, policy: L7PolicyId) -> impl Iterator<Item = &L7Rule> {
        self.l7rules.iter().filter(move |r| r.l7policy_id == policy)
    }

    /// Listeners whose traffic can reach the pool, by default or by an L7 policy.
    pub fn pool_listeners(&self, pool: PoolId) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(move |l| {
            l.default_pool_id == Some(pool)
                || self.l7policies.iter().any(|p| p.listener_id == l.id && p.redirect_pool_id == Some(pool))
        })
    }
}
