//! A load balancer with everything below it.

use crate::{HealthMonitor, Listener, ListenerId, LoadBalancer, Member, MemberId, Pool, PoolId};

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
}

impl LoadBalancerGraph {
    pub fn new(load_balancer: LoadBalancer) -> Self {
        Self { load_balancer, listeners: vec![], pools: vec![], members: vec![], health_monitors: vec![] }
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

    /// Listeners whose traffic can reach the pool.
    pub fn pool_listeners(&self, pool: PoolId) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(move |l| l.default_pool_id == Some(pool))
    }
}
