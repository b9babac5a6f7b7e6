//! What users ask for: changes of one load balancer's tree, as the API makes them, and chosen by a seed.
//!
//! The rules are the API's in short: the object and its parents become `PENDING_*`, a deleted child stays until the
//! worker has settled its absence.

use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_cloud::VipPort;
use octavia_model::{
    HealthMonitor, HealthMonitorId, HealthMonitorType, L7Policy, L7PolicyAction, L7PolicyId, L7Rule,
    L7RuleId, Listener, ListenerId, ListenerProtocol, LoadBalancer, LoadBalancerGraph, LoadBalancerId,
    Member, MemberId, Pool, PoolId, ProjectId, ProvisioningStatus, Statuses, Vip,
};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A change of a tree. Indices count the objects that are not being deleted, and wrap around.
#[derive(Debug, Clone)]
pub enum Wish {
    ListenerAdd {
        id: ListenerId,
        port: u16,
        pool: bool,
    },
    ListenerToggle(usize),
    ListenerDelete(usize),
    PoolAdd {
        id: PoolId,
        listener: Option<usize>,
    },
    PoolDelete(usize),
    MemberAdd {
        id: MemberId,
        pool: usize,
    },
    MemberWeight {
        member: usize,
        weight: u16,
    },
    MemberDelete(usize),
    MonitorAdd {
        id: HealthMonitorId,
        pool: usize,
    },
    MonitorDelete(usize),
    /// A policy of a listener with one rule; it redirects to the pool, or rejects.
    PolicyAdd {
        id: L7PolicyId,
        rule: L7RuleId,
        listener: usize,
        pool: Option<usize>,
    },
    PolicyMove {
        policy: usize,
        position: u32,
    },
    PolicyDelete(usize),
    Rename(String),
    Toggle,
    /// An operator asks that every amphora be replaced.
    Failover,
    /// One of them.
    AmphoraFailover(usize),
    /// Its spec is to be pushed again.
    AmphoraRefresh(usize),
}

/// An id from the seed.
pub(crate) fn id<T: GenericUuid>(rng: &mut StdRng) -> T {
    let bytes: [u8; 16] = rng.random();
    T::from_untyped_uuid(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

impl Wish {
    pub fn random(rng: &mut StdRng) -> Self {
        let at = rng.random_range(0..8);
        match rng.random_range(0..22) {
            0 | 1 => Self::ListenerAdd { id: id(rng), port: port(rng), pool: rng.random_bool(0.5) },
            2 => Self::ListenerToggle(at),
            3 => Self::ListenerDelete(at),
            4 => Self::PoolAdd { id: id(rng), listener: rng.random_bool(0.7).then_some(at) },
            5 => Self::PoolDelete(at),
            6 | 7 => Self::MemberAdd { id: id(rng), pool: at },
            8 => Self::MemberWeight { member: at, weight: rng.random_range(0..=256) },
            9 => Self::MemberDelete(at),
            10 => Self::MonitorAdd { id: id(rng), pool: at },
            11 => Self::MonitorDelete(at),
            12 | 13 => Self::PolicyAdd {
                id: id(rng),
                rule: id(rng),
                listener: at,
                pool: rng.random_bool(0.5).then_some(at),
            },
            14 => Self::PolicyMove { policy: at, position: rng.random_range(1..5) },
            15 => Self::PolicyDelete(at),
            16 => Self::Rename(format!("renamed-{}", rng.random_range(0..1000))),
            17 => Self::Toggle,
            18 | 19 => Self::Failover,
            20 => Self::AmphoraFailover(at),
            _ => Self::AmphoraRefresh(at),
        }
    }

    /// For the event log: which change, without ids.
    pub fn words(&self) -> String {
        match self {
            Self::ListenerAdd { port, pool, .. } => {
                format!("a listener on {port}{}", if *pool { " with the first pool" } else { "" })
            }
            Self::ListenerToggle(at) => format!("listener {at} toggled"),
            Self::ListenerDelete(at) => format!("listener {at} gone"),
            Self::PoolAdd { listener: Some(at), .. } => format!("a pool for listener {at}"),
            Self::PoolAdd { listener: None, .. } => "a pool".to_owned(),
            Self::PoolDelete(at) => format!("pool {at} gone"),
            Self::MemberAdd { pool, .. } => format!("a member in pool {pool}"),
            Self::MemberWeight { member, weight } => format!("member {member} with weight {weight}"),
            Self::MemberDelete(at) => format!("member {at} gone"),
            Self::MonitorAdd { pool, .. } => format!("a monitor for pool {pool}"),
            Self::MonitorDelete(at) => format!("monitor {at} gone"),
            Self::PolicyAdd { listener, pool: Some(pool), .. } => {
                format!("a policy from listener {listener} to pool {pool}")
            }
            Self::PolicyAdd { listener, pool: None, .. } => format!("a policy for listener {listener}"),
            Self::PolicyMove { policy, position } => format!("policy {policy} at place {position}"),
            Self::PolicyDelete(at) => format!("policy {at} gone"),
            Self::Rename(name) => format!("the name {name}"),
            Self::Toggle => "it toggled".to_owned(),
            Self::Failover => "its failover".to_owned(),
            Self::AmphoraFailover(at) => format!("the failover of amphora {at}"),
            Self::AmphoraRefresh(at) => format!("the configuration of amphora {at} again"),
        }
    }

    /// Makes the change; `false` = there is nothing to make it on.
    pub fn apply(&self, graph: &mut LoadBalancerGraph, now: Timestamp) -> bool {
        let done = self.make(graph, now).is_some();
        if done {
            let root = &mut graph.load_balancer;
            touch(&mut root.statuses, &mut root.updated_at, now);
        }
        done
    }

    fn make(&self, graph: &mut LoadBalancerGraph, now: Timestamp) -> Option<()> {
        match self {
            Self::ListenerAdd { id, port, pool } => {
                if graph.listeners.iter().any(|l| l.protocol_port == *port) {
                    return None;
                }
                let mut listener = Listener::new(*id, &graph.load_balancer, *port, now);
                if TLS_PORTS.contains(port) {
                    listener.protocol = ListenerProtocol::TerminatedHttps;
                    listener.default_tls_container_ref = Some(format!("http://keys/v1/secrets/{id}"));
                }
                if *pool {
                    listener.default_pool_id =
                        present(&graph.pools, |p| &p.statuses, 0).map(|at| graph.pools[at].id);
                }
                graph.listeners.push(listener);
            }
            Self::ListenerToggle(at) => {
                let at = present(&graph.listeners, |l| &l.statuses, *at)?;
                let listener = &mut graph.listeners[at];
                listener.admin_state_up = !listener.admin_state_up;
                touch(&mut listener.statuses, &mut listener.updated_at, now);
            }
            Self::ListenerDelete(at) => {
                let at = present(&graph.listeners, |l| &l.statuses, *at)?;
                graph.listeners[at].statuses.provisioning = ProvisioningStatus::PendingDelete;
                let id = graph.listeners[at].id;
                policies_leave(graph, |policy| policy.listener_id == id);
            }
            Self::PoolAdd { id, listener } => {
                let mut pool = Pool::new(*id, &graph.load_balancer, now);
                // Every other one shows a certificate to its members.
                if id.into_untyped_uuid().as_u128() & 1 == 0 {
                    pool.tls_enabled = true;
                    pool.tls_container_ref = Some(format!("http://keys/v1/secrets/{id}"));
                }
                if let Some(at) = listener
                    && let Some(at) = present(&graph.listeners, |l| &l.statuses, *at)
                    && graph.listeners[at].default_pool_id.is_none()
                {
                    let listener = &mut graph.listeners[at];
                    listener.default_pool_id = Some(*id);
                    touch(&mut listener.statuses, &mut listener.updated_at, now);
                }
                graph.pools.push(pool);
            }
            Self::PoolDelete(at) => {
                let at = present(&graph.pools, |p| &p.statuses, *at)?;
                let id = graph.pools[at].id;
                let leads_here = |policy: &L7Policy| {
                    policy.redirect_pool_id == Some(id) && !policy.statuses.provisioning.is_leaving()
                };
                if graph.l7policies.iter().any(leads_here) {
                    return None;
                }
                graph.pools[at].statuses.provisioning = ProvisioningStatus::PendingDelete;
                for listener in graph.listeners.iter_mut().filter(|l| l.default_pool_id == Some(id)) {
                    listener.default_pool_id = None;
                    touch(&mut listener.statuses, &mut listener.updated_at, now);
                }
            }
            Self::MemberAdd { id, pool } => {
                let pool = present(&graph.pools, |p| &p.statuses, *pool)?;
                let pool = graph.pools[pool].clone();
                let used = graph.pool_members(pool.id).count();
                graph.members.push(new_member(&pool, *id, used + 10, now));
                touch_pool(graph, pool.id, now);
            }
            Self::MemberWeight { member, weight } => {
                let at = present(&graph.members, |m| &m.statuses, *member)?;
                let member = &mut graph.members[at];
                member.weight = Some(*weight);
                touch(&mut member.statuses, &mut member.updated_at, now);
                let pool = member.pool_id;
                touch_pool(graph, pool, now);
            }
            Self::MemberDelete(at) => {
                let at = present(&graph.members, |m| &m.statuses, *at)?;
                graph.members[at].statuses.provisioning = ProvisioningStatus::PendingDelete;
                let pool = graph.members[at].pool_id;
                touch_pool(graph, pool, now);
            }
            Self::MonitorAdd { id, pool } => {
                let pool = present(&graph.pools, |p| &p.statuses, *pool)?;
                let pool = graph.pools[pool].clone();
                if graph.pool_health_monitor(pool.id).is_some() {
                    return None;
                }
                graph.health_monitors.push(HealthMonitor {
                    max_retries_down: 2,
                    ..HealthMonitor::new(*id, &pool, HealthMonitorType::Tcp, now)
                });
                touch_pool(graph, pool.id, now);
            }
            Self::MonitorDelete(at) => {
                let at = present(&graph.health_monitors, |h| &h.statuses, *at)?;
                graph.health_monitors[at].statuses.provisioning = ProvisioningStatus::PendingDelete;
                let pool = graph.health_monitors[at].pool_id;
                touch_pool(graph, pool, now);
            }
            Self::PolicyAdd { id, rule, listener, pool } => {
                let listener = present(&graph.listeners, |l| &l.statuses, *listener)?;
                let mut policy = L7Policy::new(*id, &graph.listeners[listener], now);
                if let Some(at) = pool {
                    let pool = present(&graph.pools, |p| &p.statuses, *at)?;
                    policy.action = L7PolicyAction::RedirectToPool;
                    policy.redirect_pool_id = Some(graph.pools[pool].id);
                }
                graph.l7rules.push(L7Rule::new(*rule, &policy, "/wish", now));
                graph.l7policies.push(policy);
                graph.l7policy_place(*id, L7Policy::POSITION_MAX);
                let listener = &mut graph.listeners[listener];
                touch(&mut listener.statuses, &mut listener.updated_at, now);
            }
            Self::PolicyMove { policy, position } => {
                let at = present(&graph.l7policies, |p| &p.statuses, *policy)?;
                let policy = &mut graph.l7policies[at];
                touch(&mut policy.statuses, &mut policy.updated_at, now);
                let (id, listener) = (policy.id, policy.listener_id);
                graph.l7policy_place(id, *position);
                touch_listener(graph, listener, now);
            }
            Self::PolicyDelete(at) => {
                let at = present(&graph.l7policies, |p| &p.statuses, *at)?;
                let (id, listener) = (graph.l7policies[at].id, graph.l7policies[at].listener_id);
                policies_leave(graph, |policy| policy.id == id);
                graph.l7policies_close(listener);
                touch_listener(graph, listener, now);
            }
            Self::Rename(name) => graph.load_balancer.name = name.clone(),
            Self::Toggle => graph.load_balancer.admin_state_up = !graph.load_balancer.admin_state_up,
            // Of amphorae, which are not in the tree.
            Self::Failover | Self::AmphoraFailover(_) | Self::AmphoraRefresh(_) => return None,
        }
        Some(())
    }
}

/// The index of the `at`-th object that is not leaving, wrapping around.
fn present<T>(list: &[T], statuses: impl Fn(&T) -> &Statuses, at: usize) -> Option<usize> {
    let there: Vec<usize> =
        (0..list.len()).filter(|i| !statuses(&list[*i]).provisioning.is_leaving()).collect();
    (!there.is_empty()).then(|| there[at % there.len()])
}

fn touch(statuses: &mut Statuses, updated_at: &mut Option<Timestamp>, now: Timestamp) {
    if !statuses.provisioning.is_pending() {
        statuses.provisioning = ProvisioningStatus::PendingUpdate;
    }
    *updated_at = Some(now);
}

fn touch_listener(graph: &mut LoadBalancerGraph, id: ListenerId, now: Timestamp) {
    if let Some(listener) = graph.listener_mut(id) {
        touch(&mut listener.statuses, &mut listener.updated_at, now);
    }
}

/// Sends policies on their way out, with their rules.
fn policies_leave(graph: &mut LoadBalancerGraph, which: impl Fn(&L7Policy) -> bool) {
    let leaving = ProvisioningStatus::PendingDelete;
    for policy in graph.l7policies.iter_mut().filter(|policy| which(policy)) {
        policy.statuses.provisioning = leaving;
        for rule in graph.l7rules.iter_mut().filter(|rule| rule.l7policy_id == policy.id) {
            rule.statuses.provisioning = leaving;
        }
    }
}

fn touch_pool(graph: &mut LoadBalancerGraph, id: PoolId, now: Timestamp) {
    if let Some(pool) = graph.pool_mut(id) {
        touch(&mut pool.statuses, &mut pool.updated_at, now);
    }
    for listener in graph.listeners.iter_mut().filter(|l| l.default_pool_id == Some(id)) {
        touch(&mut listener.statuses, &mut listener.updated_at, now);
    }
}

/// Listeners on these terminate TLS.
const TLS_PORTS: [u16; 2] = [9001, 9002];

/// One in eight ports needs a privilege that the simulated data plane has not.
fn port(rng: &mut StdRng) -> u16 {
    *[80, 8080, 8081, 8082, 8083, 9000, 9001, 9002].choose(rng).unwrap_or(&8080)
}

/// A new tree; every second one comes with listeners, pools and members.
pub fn new_graph(lb: LoadBalancerId, vip: &VipPort, rng: &mut StdRng, now: Timestamp) -> LoadBalancerGraph {
    let vip = Vip { owned: vip.owned, ..Vip::new(vip.address, vip.subnet_id, vip.network_id, vip.port_id) };
    let mut graph = LoadBalancerGraph::new(LoadBalancer::new(lb, ProjectId::new("sim"), vip, now));
    if rng.random_bool(0.5) {
        for _ in 0..rng.random_range(1..4) {
            for wish in [
                Wish::PoolAdd { id: id(rng), listener: None },
                Wish::ListenerAdd { id: id(rng), port: port(rng), pool: true },
                Wish::MemberAdd { id: id(rng), pool: 0 },
                Wish::MemberAdd { id: id(rng), pool: rng.random_range(0..3) },
                Wish::MonitorAdd { id: id(rng), pool: 0 },
            ] {
                wish.apply(&mut graph, now);
            }
        }
        graph.load_balancer.updated_at = None;
        graph.load_balancer.statuses.provisioning = ProvisioningStatus::PendingCreate;
    }
    graph
}

fn new_member(pool: &Pool, id: MemberId, host: usize, now: Timestamp) -> Member {
    let unique = id.into_untyped_uuid().as_u128() % 50_000;
    let port = 1024 + u16::try_from(unique).unwrap_or(0);
    Member::new(id, pool, format!("10.0.0.{}", host % 250), port, now)
}
