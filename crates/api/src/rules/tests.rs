use std::collections::HashSet;

use newtype_uuid::GenericUuid;
use octavia_model::{
    HealthMonitorId, L7PolicyId, L7RuleId, LoadBalancerId, MemberId, NetworkId, PortId, ProjectId, SubnetId,
    Transport, Vip,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::body::Document;
use crate::request::Call;
use crate::request::health_monitor::HealthMonitorBody;
use crate::request::l7policy::L7PolicyBody;
use crate::request::l7rule::L7RuleBody;
use crate::request::listener::ListenerBody;
use crate::request::load_balancer::LoadBalancerBody;
use crate::request::member::MemberBody;
use crate::request::pool::PoolBody;

fn document(argument: &'static str, value: &Value) -> Document {
    Document::parse(argument, value.to_string().as_bytes()).expect("JSON")
}

fn vip() -> Vip {
    Vip::new([10, 0, 0, 5].into(), SubnetId::nil(), NetworkId::nil(), PortId::nil())
}

fn tree(body: Value) -> Result<LoadBalancerGraph, Fault> {
    let body =
        LoadBalancerBody::decode(&document("load_balancer", &json!({ "loadbalancer": body })), Call::Create)?;
    let origin = load_balancer::Origin {
        id: LoadBalancerId::nil(),
        project_id: ProjectId::new("own"),
        provider: "amphora".to_owned(),
        flavor_id: None,
        availability_zone: None,
        topology: octavia_model::Topology::Single,
        vip: vip(),
        additional_vips: vec![],
    };
    let mut next = 0u128;
    let mut fresh = || {
        next += 1;
        Uuid::from_u128(next)
    };
    load_balancer::create(body, origin, &mut fresh, &ApiOptions::default())
}

#[test]
fn a_touched_object_is_on_its_way_unless_it_is_coming_or_going() {
    use ProvisioningStatus as P;
    for (before, after) in [
        (P::Active, P::PendingUpdate),
        (P::Error, P::PendingUpdate),
        (P::PendingUpdate, P::PendingUpdate),
        (P::PendingCreate, P::PendingCreate),
        (P::PendingDelete, P::PendingDelete),
    ] {
        let mut statuses = Statuses {
            provisioning: before,
            operating: octavia_model::OperatingStatus::Offline,
            reason: None,
        };
        touch(&mut statuses);
        assert_eq!(statuses.provisioning, after, "{before}");
    }
}

#[test]
fn rules_give_the_same_answer_when_they_run_again() {
    let graph =
        tree(json!({ "pools": [{ "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }] })).expect("a tree");
    let pool = graph.pools[0].id;
    let body = json!({ "member": { "address": "192.0.2.1", "protocol_port": 80 } });
    let body = MemberBody::decode(&document("member_", &body), Call::Create).expect("a body");
    let id = MemberId::from_untyped_uuid(Uuid::from_u128(99));
    let (mut first, mut second) = (graph.clone(), graph);
    for graph in [&mut first, &mut second] {
        member::create(graph, pool, &body, id, &ApiOptions::default()).expect("created");
    }
    assert_eq!(first, second);
    assert_eq!(first.members.len(), 1);
}

#[test]
fn a_pool_that_two_listeners_share_touches_both() {
    let mut graph = tree(json!({
        "pools": [{ "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }],
        "listeners": [
            { "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "p" } },
            { "protocol": "HTTP", "protocol_port": 81, "default_pool": { "name": "p" } },
            { "protocol": "HTTP", "protocol_port": 82 },
        ],
    }))
    .expect("a tree");
    graph.listeners.iter_mut().for_each(|l| l.statuses.provisioning = ProvisioningStatus::Active);
    let pool = graph.pools[0].id;
    touch_pool(&mut graph, pool);
    let touched: Vec<_> = graph
        .listeners
        .iter()
        .map(|l| l.statuses.provisioning == ProvisioningStatus::PendingUpdate)
        .collect();
    assert_eq!(touched, [true, true, false]);
}

/// One write, with small numbers instead of ids: they choose among what is there.
#[derive(Debug, Clone)]
enum Write {
    ListenerCreate {
        protocol: &'static str,
        port: u16,
        pool: Option<usize>,
    },
    ListenerUpdate {
        listener: usize,
        pool: Option<Option<usize>>,
    },
    ListenerDelete(usize),
    PoolCreate {
        protocol: &'static str,
        listener: Option<usize>,
    },
    PoolUpdate(usize),
    PoolDelete(usize),
    MemberCreate {
        pool: usize,
        address: u8,
    },
    MemberUpdate {
        pool: usize,
        member: usize,
    },
    MemberDelete {
        pool: usize,
        member: usize,
    },
    MemberBatch {
        pool: usize,
        addresses: Vec<u8>,
        additive_only: bool,
    },
    MonitorCreate(usize),
    MonitorUpdate(usize),
    MonitorDelete(usize),
    PolicyCreate {
        listener: usize,
        pool: Option<usize>,
        position: u32,
    },
    PolicyUpdate {
        policy: usize,
        pool: Option<usize>,
        position: u32,
    },
    PolicyDelete(usize),
    RuleCreate(usize),
    RuleDelete(usize),
    /// What a worker does: what is leaving is gone, what is on its way has arrived.
    Settle,
}

fn writes() -> impl Strategy<Value = Write> {
    let index = || 0..4usize;
    let protocol = || prop::sample::select(vec!["HTTP", "HTTPS", "TCP"]);
    prop_oneof![
        (protocol(), 1..5u16, prop::option::of(index()))
            .prop_map(|(protocol, port, pool)| { Write::ListenerCreate { protocol, port, pool } }),
        (index(), prop::option::of(prop::option::of(index())))
            .prop_map(|(listener, pool)| Write::ListenerUpdate { listener, pool }),
        index().prop_map(Write::ListenerDelete),
        (protocol(), prop::option::of(index()))
            .prop_map(|(protocol, listener)| Write::PoolCreate { protocol, listener }),
        index().prop_map(Write::PoolUpdate),
        index().prop_map(Write::PoolDelete),
        (index(), 1..4u8).prop_map(|(pool, address)| Write::MemberCreate { pool, address }),
        (index(), index()).prop_map(|(pool, member)| Write::MemberUpdate { pool, member }),
        (index(), index()).prop_map(|(pool, member)| Write::MemberDelete { pool, member }),
        (index(), prop::collection::vec(1..4u8, 0..3), any::<bool>()).prop_map(
            |(pool, addresses, additive_only)| Write::MemberBatch { pool, addresses, additive_only }
        ),
        index().prop_map(Write::MonitorCreate),
        index().prop_map(Write::MonitorUpdate),
        index().prop_map(Write::MonitorDelete),
        (index(), prop::option::of(index()), 1..5u32)
            .prop_map(|(listener, pool, position)| Write::PolicyCreate { listener, pool, position }),
        (index(), prop::option::of(index()), 1..5u32)
            .prop_map(|(policy, pool, position)| Write::PolicyUpdate { policy, pool, position }),
        index().prop_map(Write::PolicyDelete),
        index().prop_map(Write::RuleCreate),
        index().prop_map(Write::RuleDelete),
        Just(Write::Settle),
    ]
}

fn apply(graph: &mut LoadBalancerGraph, write: &Write, id: Uuid) -> Result<(), Fault> {
    let options = &ApiOptions::default();
    let absent = || Fault::not_found("Something", "there");
    let pool_id = |graph: &LoadBalancerGraph, n: usize| graph.pools.get(n).map(|p| p.id).ok_or_else(absent);
    let listener_id =
        |graph: &LoadBalancerGraph, n: usize| graph.listeners.get(n).map(|l| l.id).ok_or_else(absent);
    let member_id = |graph: &LoadBalancerGraph, pool: PoolId, n: usize| {
        graph.pool_members(pool).nth(n).map(|m| m.id).ok_or_else(absent)
    };
    let monitor_id =
        |graph: &LoadBalancerGraph, n: usize| graph.health_monitors.get(n).map(|m| m.id).ok_or_else(absent);
    let policy_id =
        |graph: &LoadBalancerGraph, n: usize| graph.l7policies.get(n).map(|p| p.id).ok_or_else(absent);
    let member_json = |address: u8| json!({ "address": format!("192.0.2.{address}"), "protocol_port": 80 });
    match write {
        Write::ListenerCreate { protocol, port, pool } => {
            let mut body = json!({
                "loadbalancer_id": graph.load_balancer.id.to_string(), "protocol": protocol, "protocol_port": port,
            });
            if let Some(pool) = pool {
                body["default_pool_id"] = json!(pool_id(graph, *pool)?.to_string());
            }
            let body =
                ListenerBody::decode(&document("listener_", &json!({ "listener": body })), Call::Create)?;
            listener::create(graph, &body, ListenerId::from_untyped_uuid(id), options)
        }
        Write::ListenerUpdate { listener, pool } => {
            let mut body = json!({});
            if let Some(pool) = pool {
                let pool = pool.map(|pool| pool_id(graph, pool)).transpose()?;
                body["default_pool_id"] = json!(pool.map(|pool| pool.to_string()));
            }
            let body =
                ListenerBody::decode(&document("listener_", &json!({ "listener": body })), Call::Update)?;
            let listener = listener_id(graph, *listener)?;
            listener::update(graph, listener, &body, options)
        }
        Write::ListenerDelete(listener) => {
            let listener = listener_id(graph, *listener)?;
            listener::delete(graph, listener)
        }
        Write::PoolCreate { protocol, listener } => {
            let mut body = json!({
                "loadbalancer_id": graph.load_balancer.id.to_string(), "protocol": protocol,
                "lb_algorithm": "ROUND_ROBIN",
            });
            if let Some(listener) = listener {
                body["listener_id"] = json!(listener_id(graph, *listener)?.to_string());
            }
            let body = PoolBody::decode(&document("pool_", &json!({ "pool": body })), Call::Create)?;
            pool::create(graph, &body, PoolId::from_untyped_uuid(id), options)
        }
        Write::PoolUpdate(pool) => {
            let body = PoolBody::decode(&document("pool_", &json!({ "pool": {} })), Call::Update)?;
            let pool = pool_id(graph, *pool)?;
            pool::update(graph, pool, &body, options)
        }
        Write::PoolDelete(pool) => {
            let pool = pool_id(graph, *pool)?;
            pool::delete(graph, pool)
        }
        Write::MemberCreate { pool, address } => {
            let body = json!({ "member": member_json(*address) });
            let body = MemberBody::decode(&document("member_", &body), Call::Create)?;
            let pool = pool_id(graph, *pool)?;
            member::create(graph, pool, &body, MemberId::from_untyped_uuid(id), options)
        }
        Write::MemberUpdate { pool, member } => {
            let body = MemberBody::decode(&document("member_", &json!({ "member": {} })), Call::Update)?;
            let pool = pool_id(graph, *pool)?;
            let member = member_id(graph, pool, *member)?;
            member::update(graph, pool, member, &body, options)
        }
        Write::MemberDelete { pool, member } => {
            let pool = pool_id(graph, *pool)?;
            let member = member_id(graph, pool, *member)?;
            member::delete(graph, pool, member, options)
        }
        Write::MemberBatch { pool, addresses, additive_only } => {
            let members: Vec<Value> = addresses.iter().map(|address| member_json(*address)).collect();
            let bodies = MemberBody::decode_batch(&document("members_", &json!({ "members": members })))?;
            let ids: Vec<MemberId> = (0..bodies.len() as u128)
                .map(|n| MemberId::from_untyped_uuid(Uuid::from_u128(id.as_u128() + (n << 64))))
                .collect();
            let pool = pool_id(graph, *pool)?;
            let batch = member::Batch { bodies: &bodies, ids: &ids, additive_only: *additive_only };
            batch.apply(graph, pool, options)
        }
        Write::MonitorCreate(pool) => {
            let pool = pool_id(graph, *pool)?;
            let body = json!({ "healthmonitor": {
                "pool_id": pool.to_string(), "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1,
            } });
            let body = HealthMonitorBody::decode(&document("health_monitor_", &body), Call::Create)?;
            health_monitor::create(graph, pool, &body, HealthMonitorId::from_untyped_uuid(id), options)
        }
        Write::MonitorUpdate(monitor) => {
            let body = json!({ "healthmonitor": { "delay": 2 } });
            let body = HealthMonitorBody::decode(&document("health_monitor_", &body), Call::Update)?;
            let monitor = monitor_id(graph, *monitor)?;
            health_monitor::update(graph, monitor, &body, options)
        }
        Write::MonitorDelete(monitor) => {
            let monitor = monitor_id(graph, *monitor)?;
            health_monitor::delete(graph, monitor, options)
        }
        Write::PolicyCreate { listener, pool, position } => {
            let listener = listener_id(graph, *listener)?.to_string();
            let mut body = json!({ "listener_id": listener, "action": "REJECT", "position": position });
            if let Some(pool) = pool {
                body["action"] = json!("REDIRECT_TO_POOL");
                body["redirect_pool_id"] = json!(pool_id(graph, *pool)?.to_string());
            }
            let body =
                L7PolicyBody::decode(&document("l7policy_", &json!({ "l7policy": body })), Call::Create)?;
            l7policy::create(graph, &body, L7PolicyId::from_untyped_uuid(id))
        }
        Write::PolicyUpdate { policy, pool, position } => {
            let mut body = json!({ "position": position });
            match pool {
                Some(pool) => body["redirect_pool_id"] = json!(pool_id(graph, *pool)?.to_string()),
                None => body["action"] = json!("REJECT"),
            }
            let body =
                L7PolicyBody::decode(&document("l7policy_", &json!({ "l7policy": body })), Call::Update)?;
            let policy = policy_id(graph, *policy)?;
            l7policy::update(graph, policy, &body)
        }
        Write::PolicyDelete(policy) => {
            let policy = policy_id(graph, *policy)?;
            l7policy::delete(graph, policy)
        }
        Write::RuleCreate(policy) => {
            let body = json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" } });
            let body = L7RuleBody::decode(&document("rule_", &body), Call::Create)?;
            let policy = policy_id(graph, *policy)?;
            l7rule::create(graph, policy, &body, L7RuleId::from_untyped_uuid(id), options)
        }
        Write::RuleDelete(rule) => {
            let rule = graph.l7rules.get(*rule).ok_or_else(absent)?;
            let (policy, rule) = (rule.l7policy_id, rule.id);
            l7rule::delete(graph, policy, rule, options)
        }
        Write::Settle => {
            settle(graph);
            Ok(())
        }
    }
}

fn settle(graph: &mut LoadBalancerGraph) {
    graph.listeners.retain(|l| !l.statuses.provisioning.is_leaving());
    graph.pools.retain(|p| !p.statuses.provisioning.is_leaving());
    graph.members.retain(|m| !m.statuses.provisioning.is_leaving());
    graph.health_monitors.retain(|m| !m.statuses.provisioning.is_leaving());
    graph.l7policies.retain(|p| !p.statuses.provisioning.is_leaving());
    graph.l7rules.retain(|r| !r.statuses.provisioning.is_leaving());
    graph.l7policies.iter_mut().for_each(|p| p.statuses.provisioning = ProvisioningStatus::Active);
    graph.l7rules.iter_mut().for_each(|r| r.statuses.provisioning = ProvisioningStatus::Active);
    graph.listeners.iter_mut().for_each(|l| l.statuses.provisioning = ProvisioningStatus::Active);
    graph.pools.iter_mut().for_each(|p| p.statuses.provisioning = ProvisioningStatus::Active);
    graph.members.iter_mut().for_each(|m| m.statuses.provisioning = ProvisioningStatus::Active);
    graph.health_monitors.iter_mut().for_each(|m| m.statuses.provisioning = ProvisioningStatus::Active);
}

fn check_invariants(graph: &LoadBalancerGraph) {
    let mut ports: HashSet<(Transport, u16)> = HashSet::new();
    for listener in &graph.listeners {
        assert!(ports.insert((listener.protocol.transport(), listener.protocol_port)), "a port twice");
        if let Some(pool) = listener.default_pool_id {
            let pool = graph.pool(pool).expect("a default pool is there");
            assert!(!pool.statuses.provisioning.is_leaving(), "a default pool stays");
            assert!(listener.protocol.accepts_pool(pool.protocol), "protocols fit");
        }
        let policies = graph.listener_l7policies(listener.id);
        let mut stays = true;
        for (policy, position) in policies.into_iter().zip(1..) {
            let leaving = policy.statuses.provisioning.is_leaving();
            assert_eq!(policy.position, position, "no gap");
            assert!(stays || leaving, "those that leave come last");
            stays = !leaving;
            assert!(
                leaving || !listener.statuses.provisioning.is_leaving(),
                "policies leave with their listener"
            );
            let pool = policy.redirect_pool_id.map(|pool| graph.pool(pool).expect("a pool is there"));
            assert_eq!(pool.is_some(), policy.action == octavia_model::L7PolicyAction::RedirectToPool);
            let Some(pool) = pool else { continue };
            assert!(listener.protocol.accepts_pool(pool.protocol), "protocols fit");
            assert!(leaving || !pool.statuses.provisioning.is_leaving(), "a policy's pool stays");
        }
    }
    for policy in &graph.l7policies {
        assert!(graph.listener(policy.listener_id).is_some(), "a policy's listener is there");
    }
    for rule in &graph.l7rules {
        let policy = graph.l7policy(rule.l7policy_id).expect("a rule's policy is there");
        let leaving = policy.statuses.provisioning.is_leaving();
        assert!(!leaving || rule.statuses.provisioning.is_leaving(), "rules leave with their policy");
    }
    let mut members = HashSet::new();
    for member in &graph.members {
        assert!(members.insert((member.pool_id, &member.address, member.protocol_port)), "a member twice");
        let pool = graph.pool(member.pool_id).expect("a member's pool is there");
        let leaving = pool.statuses.provisioning.is_leaving();
        assert!(!leaving || member.statuses.provisioning.is_leaving(), "members leave with their pool");
    }
    let mut monitored = HashSet::new();
    for monitor in &graph.health_monitors {
        assert!(monitored.insert(monitor.pool_id), "two monitors");
        assert!(graph.pool(monitor.pool_id).is_some(), "a monitor's pool is there");
    }
}

proptest! {
    /// Whatever is written in whatever order: what the rules let through is a tree the planner can compile.
    #[test]
    fn no_sequence_of_writes_breaks_the_tree(writes in prop::collection::vec(writes(), 1..40)) {
        let mut graph = tree(json!({})).expect("a tree");
        for (n, write) in writes.iter().enumerate() {
            let mut changed = graph.clone();
            if apply(&mut changed, write, Uuid::from_u128(1000 + n as u128)).is_ok() {
                graph = changed;
            }
            check_invariants(&graph);
        }
    }

    /// No JSON makes a decoder panic.
    #[test]
    fn decoders_survive_any_json(value in any_json(), root in any::<bool>()) {
        let wrap = |key: &str| if root { json!({ key: value }) } else { value.clone() };
        for call in [Call::Create, Call::Update] {
            let _ = LoadBalancerBody::decode(&document("load_balancer", &wrap("loadbalancer")), call);
            let _ = ListenerBody::decode(&document("listener_", &wrap("listener")), call);
            let _ = PoolBody::decode(&document("pool_", &wrap("pool")), call);
            let _ = MemberBody::decode(&document("member_", &wrap("member")), call);
            let _ = L7PolicyBody::decode(&document("l7policy_", &wrap("l7policy")), call);
            let _ = L7RuleBody::decode(&document("rule_", &wrap("rule")), call);
            let _ = HealthMonitorBody::decode(&document("health_monitor_", &wrap("healthmonitor")), call);
        }
        let _ = MemberBody::decode_batch(&document("members_", &wrap("members")));
    }
}

/// JSON whose keys are often attributes, with values of any kind.
fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "name",
        "listeners",
        "pools",
        "members",
        "healthmonitor",
        "default_pool",
        "protocol",
        "protocol_port",
        "address",
        "weight",
        "insert_headers",
        "session_persistence",
        "type",
        "url_path",
        "expected_codes",
        "http_version",
        "domain_name",
        "vip_subnet_id",
        "allowed_cidrs",
        "tags",
        "admin_state_up",
        "additional_vips",
        "l7policies",
        "rules",
        "redirect_pool",
        "redirect_url",
        "redirect_http_code",
        "position",
        "action",
        "value",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["HTTP", "TCP", "192.0.2.1", "/", "200", "1.1", "10.0.0.0/8", "a.b"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..8).prop_map(|entries| entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}
