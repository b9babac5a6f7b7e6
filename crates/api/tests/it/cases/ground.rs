//! What is there before a story begins: one load balancer with something of everything.

use octavia_api::ApiOptions;
use octavia_model::{
    Amphora, AmphoraId, AmphoraRole, AmphoraStatus, LoadBalancerGraph, LoadBalancerId, OperationId,
};
use octavia_store::{HeartbeatWrite, OperationStart, Report, Statistics, StatusWrites};
use serde_json::{Value, json};

use super::Names;
use crate::world::{self, MEMBER, World};

/// The world of a story, and the names of what is in it.
pub(crate) struct Ground {
    pub(crate) world: World,
    pub(crate) names: Names,
}

/// The load balancer, less its VIP.
pub(crate) fn tree() -> Value {
    json!({
        "name": "main",
        "pools": [
            {
                "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
                "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
            },
            { "name": "free", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" },
            { "name": "tcp", "protocol": "TCP", "lb_algorithm": "SOURCE_IP" },
            {
                "name": "http-checked", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                "healthmonitor": { "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2 },
            },
        ],
        "listeners": [
            {
                "name": "http", "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "pool" },
                "l7policies": [
                    { "name": "reject", "action": "REJECT", "rules": [
                        { "type": "PATH", "compare_type": "STARTS_WITH", "value": "/private" },
                        { "type": "HEADER", "compare_type": "CONTAINS", "key": "X", "value": "y" },
                    ] },
                    { "name": "url", "action": "REDIRECT_TO_URL", "redirect_url": "https://a.example" },
                    { "name": "pool", "action": "REDIRECT_TO_POOL", "redirect_pool": {
                        "name": "redirect", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    } },
                ],
            },
            { "name": "tcp", "protocol": "TCP", "protocol_port": 81 },
        ],
    })
}

impl Ground {
    /// Whatever the API knows is accepted; the load balancer is ACTIVE.
    pub(crate) async fn new(with_catalogue: bool, options: ApiOptions) -> Self {
        let world = World::of_anything_with(options).await;
        let mut ground = Self { world, names: Names::of_every_world() };
        let lb = ground.world.load_balancer(MEMBER, tree()).await;
        let graph = ground.graph(lb).await;
        ground.names.set("lb", lb.to_string());
        ground.names.tree(&graph);
        ground.amphorae(&graph).await;
        ground.world.settle(lb).await;
        if with_catalogue {
            ground.world.catalogue().await;
            ground.catalogue().await;
        }
        ground
    }

    pub(crate) async fn graph(&self, lb: LoadBalancerId) -> LoadBalancerGraph {
        self.world.store.lb_fetch(lb).await.expect("asked").expect("there")
    }

    async fn catalogue(&mut self) {
        let (flavor, profile) = self.world.flavor_ids("small").await;
        self.names.set("flavor", flavor);
        self.names.set("profile", profile);
        let (flavor, profile) = self.world.flavor_ids("alias").await;
        self.names.set("alias_flavor", flavor);
        self.names.set("alias_profile", profile);
        self.names.set("zone_profile", self.world.zone_profile_id("here").await);
    }

    /// One at work with statistics, one that is not, and two steps that were taken for them.
    async fn amphorae(&mut self, graph: &LoadBalancerGraph) {
        let (lb, store) = (graph.load_balancer.id, &self.world.store);
        let second = jiff::Timestamp::UNIX_EPOCH;
        let row = Amphora {
            status: AmphoraStatus::Allocated,
            compute_id: Some("c1".to_owned()),
            lb_network_ip: Some([192, 0, 2, 100].into()),
            vrrp_ip: Some([10, 0, 0, 200].into()),
            ha_ip: Some([10, 0, 0, 10].into()),
            vrrp_port_id: world::PORT.parse().ok(),
            ha_port_id: world::WIDE_PORT.parse().ok(),
            vrrp_interface: Some("eth1".to_owned()),
            vrrp_id: Some(1),
            vrrp_priority: Some(100),
            cert_expiration: "2030-01-01T00:00:00Z".parse().ok(),
            cached_zone: Some("z".to_owned()),
            image_id: world::GROUP.parse().ok(),
            compute_flavor: Some("m1".to_owned()),
            ..Amphora::new(AmphoraId::new_v4(), lb, AmphoraRole::Master, second)
        };
        let broken = Amphora {
            status: AmphoraStatus::Error,
            ..Amphora::new(AmphoraId::new_v4(), lb, AmphoraRole::Standalone, second)
        };
        let lease = self.world.lease(lb).await;
        store.amphora_insert(&lease, &row).await.expect("inserted");
        store.amphora_insert(&lease, &broken).await.expect("inserted");
        store.amphora_update(&lease, &row).await.expect("updated");
        let steps = ["older_step", "step"].map(|kind| OperationStart {
            id: OperationId::new_v4(),
            kind: kind.to_owned(),
            amphora_id: None,
            generation: 1,
        });
        for step in &steps {
            store.operation_start(&lease, std::slice::from_ref(step)).await.expect("noted");
            self.names.set(&step.kind, step.id.to_string());
        }
        self.world.release(&lease).await;
        let statistics = Statistics {
            bytes_in: 1,
            bytes_out: 2,
            active_connections: 3,
            total_connections: 4,
            request_errors: 5,
        };
        let write = HeartbeatWrite {
            amphora: row.id,
            seq: 1,
            received_at: store.now().await.expect("a clock"),
            alive: true,
            applied_generation: None,
            report: Report::Totals { boot: None },
            statistics: [(graph.listeners[0].id, statistics)].into(),
            statuses: StatusWrites::default(),
            vrrp: Some(octavia_model::VrrpState::Master),
        };
        assert!(store.heartbeat_apply(&write).await.expect("written"));
        let stored = store.amphora_fetch(row.id).await.expect("asked").expect("there");
        self.names.set("amphora", row.id.to_string());
        self.names.set("broken_amphora", broken.id.to_string());
        let shown = |time: jiff::Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        self.names.set("amphora_created", shown(stored.created_at));
        self.names.set("amphora_updated", shown(stored.updated_at.expect("updated")));
    }
}

impl Names {
    /// The ids of what is in the tree, and in one that has an L7 policy `full` more.
    pub(crate) fn tree(&mut self, graph: &LoadBalancerGraph) {
        let pool = |name: &str| graph.pools.iter().find(|pool| pool.name == name).expect("a pool").id;
        let listener = |name: &str| graph.listeners.iter().find(|l| l.name == name).expect("a listener").id;
        let monitor = |name: &str| graph.pool_health_monitor(pool(name)).expect("a monitor").id;
        let policy = |name: &str| graph.l7policies.iter().find(|p| p.name == name).expect("a policy").id;
        let rule = |n| graph.l7policy_rules(policy("reject")).nth(n).expect("a rule").id;
        for (name, id) in [
            ("policy", policy("reject").to_string()),
            ("url_policy", policy("url").to_string()),
            ("pool_policy", policy("pool").to_string()),
            ("rule", rule(0).to_string()),
            ("header_rule", rule(1).to_string()),
            ("redirect_pool", pool("redirect").to_string()),
            ("pool", pool("pool").to_string()),
            ("free_pool", pool("free").to_string()),
            ("tcp_pool", pool("tcp").to_string()),
            ("checked_pool", pool("http-checked").to_string()),
            ("listener", listener("http").to_string()),
            ("tcp_listener", listener("tcp").to_string()),
            ("monitor", monitor("pool").to_string()),
            ("http_monitor", monitor("http-checked").to_string()),
            ("member", graph.members[0].id.to_string()),
        ] {
            self.set(name, id);
        }
        if let Some(full) = graph.l7policies.iter().find(|policy| policy.name == "full") {
            self.set("full_policy", full.id.to_string());
        }
    }
}
