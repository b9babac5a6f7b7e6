//! Small rows: a load balancer and what hangs below it, each with an id made of a number.

use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_model::{
    Amphora, AmphoraId, AmphoraRole, AmphoraStatus, HealthMonitor, HealthMonitorId, HealthMonitorType,
    L7Policy, L7PolicyAction, L7PolicyId, L7Rule, L7RuleId, Listener, ListenerId, LoadBalancer,
    LoadBalancerGraph, LoadBalancerId, Member, MemberId, NetworkId, OperatingStatus, Pool, PoolId, PortId,
    ProjectId, ProvisioningStatus, Statuses, SubnetId, Vip,
};
use uuid::Uuid;

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn number(kind: u16, n: u16) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 64 | u128::from(n))
}

pub(crate) fn amphora_id(n: u16) -> AmphoraId {
    AmphoraId::from_untyped_uuid(number(0xa, n))
}

pub(crate) fn listener_id(n: u16) -> ListenerId {
    ListenerId::from_untyped_uuid(number(0xb, n))
}

pub(crate) fn pool_id(n: u16) -> PoolId {
    PoolId::from_untyped_uuid(number(0xc, n))
}

pub(crate) fn member_id(n: u16) -> MemberId {
    MemberId::from_untyped_uuid(number(0xd, n))
}

pub(crate) fn monitor_id(n: u16) -> HealthMonitorId {
    HealthMonitorId::from_untyped_uuid(number(0xe, n))
}

pub(crate) fn policy_id(n: u16) -> L7PolicyId {
    L7PolicyId::from_untyped_uuid(number(0x10, n))
}

pub(crate) fn lb_id() -> LoadBalancerId {
    LoadBalancerId::from_untyped_uuid(number(0xf, 1))
}

pub(crate) fn statuses(provisioning: ProvisioningStatus) -> Statuses {
    Statuses { provisioning, operating: OperatingStatus::Online, reason: None }
}

const ACTIVE: ProvisioningStatus = ProvisioningStatus::Active;

fn lb() -> LoadBalancer {
    let vip = Vip::new(
        [127, 100, 64, 5].into(),
        SubnetId::from_untyped_uuid(number(1, 1)),
        NetworkId::from_untyped_uuid(number(2, 1)),
        PortId::from_untyped_uuid(number(3, 1)),
    );
    LoadBalancer {
        name: "lb".to_owned(),
        statuses: statuses(ACTIVE),
        applied_generation: 1,
        ..LoadBalancer::new(lb_id(), ProjectId::new("0123456789abcdef0123456789abcdef"), vip, start())
    }
}

pub(crate) fn graph() -> LoadBalancerGraph {
    LoadBalancerGraph::new(lb())
}

pub(crate) fn listener(n: u16, port: u16) -> Listener {
    Listener {
        name: format!("listener {n}"),
        statuses: statuses(ACTIVE),
        ..Listener::new(listener_id(n), &lb(), port, start())
    }
}

pub(crate) fn pool(n: u16) -> Pool {
    Pool { name: format!("pool {n}"), statuses: statuses(ACTIVE), ..Pool::new(pool_id(n), &lb(), start()) }
}

pub(crate) fn member(n: u16, pool_n: u16) -> Member {
    Member {
        name: format!("member {n}"),
        statuses: statuses(ACTIVE),
        ..Member::new(member_id(n), &pool(pool_n), format!("127.0.1.{n}"), 8080, start())
    }
}

pub(crate) fn monitor(n: u16, pool_n: u16) -> HealthMonitor {
    HealthMonitor {
        name: format!("monitor {n}"),
        statuses: statuses(ACTIVE),
        ..HealthMonitor::new(monitor_id(n), &pool(pool_n), HealthMonitorType::Http, start())
    }
}

pub(crate) fn policy(n: u16, listener_n: u16, action: L7PolicyAction) -> L7Policy {
    L7Policy {
        name: format!("policy {n}"),
        statuses: statuses(ACTIVE),
        action,
        position: n.into(),
        ..L7Policy::new(policy_id(n), &listener(listener_n, 80), start())
    }
}

/// A rule for paths that are `value`.
pub(crate) fn rule(n: u16, policy: &L7Policy, value: &str) -> L7Rule {
    let id = L7RuleId::from_untyped_uuid(number(0x11, n));
    L7Rule { statuses: statuses(ACTIVE), ..L7Rule::new(id, policy, value, start()) }
}

pub(crate) fn amphora(n: u16, status: AmphoraStatus, now: Timestamp) -> Amphora {
    Amphora { status, ..Amphora::new(amphora_id(n), lb_id(), AmphoraRole::Standalone, now) }
}
