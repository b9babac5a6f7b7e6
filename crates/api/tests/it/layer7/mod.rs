//! L7 policies and rules: what is accepted, what becomes of it, and what else it touches.

mod policies;
mod rules;
mod tree;

use octavia_model::{LoadBalancerId, ProvisioningStatus};
use serde_json::{Value, json};

use crate::world::{MEMBER, World};

/// A settled load balancer with two HTTP listeners (the first with the pool `default`) and the pool `other`.
struct Scene {
    world: World,
    lb: LoadBalancerId,
    listener: String,
    second: String,
    default: String,
    other: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let lb = world
            .load_balancer(
                MEMBER,
                json!({
                    "pools": [
                        { "name": "default", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" },
                        { "name": "other", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" },
                    ],
                    "listeners": [
                        { "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "default" } },
                        { "protocol": "HTTP", "protocol_port": 81 },
                    ],
                }),
            )
            .await;
        world.settle(lb).await;
        let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
        Self {
            lb,
            listener: graph.listeners[0].id.to_string(),
            second: graph.listeners[1].id.to_string(),
            default: graph.pools[0].id.to_string(),
            other: graph.pools[1].id.to_string(),
            world,
        }
    }

    async fn settle(&self) {
        self.world.settle(self.lb).await;
    }

    /// Replaces `$other` and `$default`.
    fn expand(&self, value: &Value) -> Value {
        let text = value.to_string().replace("$other", &self.other).replace("$default", &self.default);
        serde_json::from_str(&text).expect("JSON")
    }

    /// A policy of the first listener that rejects, but for what is said.
    async fn policy(&self, extra: Value) -> Value {
        let mut body = json!({ "listener_id": self.listener, "action": "REJECT" });
        crate::world::merge(&mut body, &self.expand(&extra));
        self.world.post("l7policies", json!({ "l7policy": body })).await.expect(201)["l7policy"].take()
    }

    async fn rule(&self, policy: &str, extra: Value) -> Value {
        let mut body = json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/api" });
        crate::world::merge(&mut body, &extra);
        let path = format!("l7policies/{policy}/rules");
        self.world.post(&path, json!({ "rule": body })).await.expect(201)["rule"].take()
    }

    /// The provisioning statuses of load balancer, both listeners, both pools: `A`ctive, pending `C`reate, `U`pdate,
    /// `D`elete.
    async fn statuses(&self) -> String {
        let graph = self.world.store.lb_fetch(self.lb).await.expect("asked").expect("there");
        let listeners = graph.listeners.iter().map(|listener| &listener.statuses);
        let pools = graph.pools.iter().map(|pool| &pool.statuses);
        [&graph.load_balancer.statuses]
            .into_iter()
            .chain(listeners)
            .chain(pools)
            .map(|statuses| match statuses.provisioning {
                ProvisioningStatus::Active => 'A',
                ProvisioningStatus::PendingCreate => 'C',
                ProvisioningStatus::PendingUpdate => 'U',
                ProvisioningStatus::PendingDelete => 'D',
                ProvisioningStatus::Deleted | ProvisioningStatus::Error => '!',
            })
            .collect()
    }
}

fn id(object: &Value) -> &str {
    object["id"].as_str().expect("an id")
}

#[track_caller]
fn check(object: &Value, expected: &Value, said: &Value) {
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&object[key], value, "{key} of {said}");
    }
}
