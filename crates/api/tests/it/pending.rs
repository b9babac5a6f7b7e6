//! Writes while an earlier one is still on its way: accepted (`queue`) or refused as the original does (`reject`).

use octavia_model::ProvisioningStatus;
use serde_json::json;

use crate::world::{MEMBER, World};

const TREE: &str = r#"{ "listeners": [{ "protocol": "HTTP", "protocol_port": 80, "default_pool": {
    "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
    "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
    "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 } },
    "l7policies": [{ "action": "REJECT", "rules": [
        { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" }
    ] }] }] }"#;

/// Every kind of write to the tree of a load balancer, with the text the original refuses it with while pending.
fn writes(
    lb: &str,
    listener: &str,
    pool: &str,
    member: &str,
    monitor: &str,
    policy: &str,
    rule: &str,
) -> Vec<(String, serde_json::Value, String)> {
    let lb_state = format!("Invalid state PENDING_CREATE of loadbalancer resource {lb}");
    let lb_immutable = format!("Load Balancer {lb} is immutable and cannot be updated.");
    let pool_immutable = format!("Pool {pool} is immutable and cannot be updated.");
    let policy_immutable = format!("L7Policy {policy} is immutable and cannot be updated.");
    [
        (format!("PUT loadbalancers/{lb}"), json!({ "loadbalancer": {} }), &lb_state),
        (
            "POST listeners".to_owned(),
            json!({ "listener": { "loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 81 } }),
            &lb_immutable,
        ),
        (format!("PUT listeners/{listener}"), json!({ "listener": { "name": "x" } }), &lb_immutable),
        (
            "POST pools".to_owned(),
            json!({ "pool": { "loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "SOURCE_IP" } }),
            &lb_immutable,
        ),
        (format!("PUT pools/{pool}"), json!({ "pool": { "name": "x" } }), &lb_immutable),
        (
            format!("POST pools/{pool}/members"),
            json!({ "member": { "address": "192.0.2.2", "protocol_port": 80 } }),
            &pool_immutable,
        ),
        (format!("PUT pools/{pool}/members/{member}"), json!({ "member": { "weight": 2 } }), &pool_immutable),
        (
            format!("PUT pools/{pool}/members"),
            json!({ "members": [{ "address": "192.0.2.3", "protocol_port": 80 }] }),
            &pool_immutable,
        ),
        (
            format!("PUT healthmonitors/{monitor}"),
            json!({ "healthmonitor": { "delay": 7 } }),
            &pool_immutable,
        ),
        (
            "POST l7policies".to_owned(),
            json!({ "l7policy": { "listener_id": listener, "action": "REJECT" } }),
            &lb_immutable,
        ),
        (format!("PUT l7policies/{policy}"), json!({ "l7policy": { "name": "x" } }), &lb_immutable),
        (
            format!("POST l7policies/{policy}/rules"),
            json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/x" } }),
            &policy_immutable,
        ),
        (format!("PUT l7policies/{policy}/rules/{rule}"), json!({ "rule": {} }), &policy_immutable),
        (format!("DELETE l7policies/{policy}/rules/{rule}"), json!(null), &policy_immutable),
        (format!("DELETE l7policies/{policy}"), json!(null), &lb_immutable),
        (format!("DELETE healthmonitors/{monitor}"), json!(null), &pool_immutable),
        (format!("DELETE pools/{pool}"), json!(null), &lb_immutable),
        (format!("DELETE listeners/{listener}"), json!(null), &lb_immutable),
        (format!("DELETE loadbalancers/{lb}?cascade=1"), json!(null), &lb_state),
    ]
    .map(|(request, body, text)| (request, body, text.clone()))
    .to_vec()
}

async fn run(world: &World) -> Vec<(String, u16, String, String)> {
    let lb = world.load_balancer(MEMBER, serde_json::from_str(TREE).expect("JSON")).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let (policy, rule) = (graph.l7policies[0].id.to_string(), graph.l7rules[0].id.to_string());
    let ids = (
        lb.to_string(),
        graph.listeners[0].id.to_string(),
        graph.pools[0].id.to_string(),
        graph.members[0].id.to_string(),
        graph.health_monitors[0].id.to_string(),
    );
    let mut results = vec![];
    for (request, body, text) in writes(&ids.0, &ids.1, &ids.2, &ids.3, &ids.4, &policy, &rule) {
        let (method, path) = request.split_once(' ').expect("two words");
        let body = (!body.is_null()).then(|| body.to_string());
        let reply = world.call_as(MEMBER, method, path, body.as_deref()).await;
        results.push((request, reply.status, reply.text(), text));
    }
    results
}

#[tokio::test]
async fn queue_accepts_every_write_while_the_load_balancer_is_made() {
    for (request, status, text, _) in run(&World::new().await).await {
        assert!((200..300).contains(&status), "{request}: {status} {text}");
    }
}

#[tokio::test]
async fn reject_answers_as_the_original_does() {
    for (request, status, text, expected) in run(&World::rejecting().await).await {
        assert_eq!((status, text.as_str()), (409, expected.as_str()), "{request}");
    }
}

#[tokio::test]
async fn what_is_being_made_stays_so_until_it_is() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let path = format!("loadbalancers/{lb}");
    let reply = world.put(&path, json!({ "loadbalancer": { "name": "x" } })).await.expect(200);
    assert_eq!(reply["loadbalancer"]["provisioning_status"], "PENDING_CREATE");
    assert_eq!(world.generation(lb).await, 2);
    world.settle(lb).await;
    let reply = world.put(&path, json!({ "loadbalancer": { "name": "y" } })).await.expect(200);
    assert_eq!(reply["loadbalancer"]["provisioning_status"], "PENDING_UPDATE");
}

#[tokio::test]
async fn what_is_on_its_way_out_takes_no_more() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, serde_json::from_str(TREE).expect("JSON")).await;
    world.settle(lb).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let (listener, pool) = (graph.listeners[0].id, graph.pools[0].id);
    let member = format!("pools/{pool}/members/{}", graph.members[0].id);
    world.delete(&member).await.expect(204);
    let again = world.delete(&member).await;
    assert_eq!(again.text(), format!("Member {} is immutable and cannot be updated.", graph.members[0].id));
    again.expect(409);
    world.put(&member, json!({ "member": {} })).await.expect(409);

    world.delete(&format!("pools/{pool}")).await.expect(204);
    let refused = world.delete(&format!("pools/{pool}")).await;
    assert_eq!(refused.text(), format!("Pool {pool} is immutable and cannot be updated."));
    // Nothing may come to hang on it again.
    let body = json!({ "listener": { "default_pool_id": pool.to_string() } });
    world.put(&format!("listeners/{listener}"), body).await.expect(409);
    let body = json!({ "member": { "address": "192.0.2.5", "protocol_port": 80 } });
    world.post(&format!("pools/{pool}/members"), body).await.expect(409);

    world.delete(&format!("listeners/{listener}")).await.expect(204);
    world.delete(&format!("listeners/{listener}")).await.expect(409);
    // Its port is not free before it is gone.
    let body =
        json!({ "listener": { "loadbalancer_id": lb.to_string(), "protocol": "TCP", "protocol_port": 80 } });
    world.post("listeners", body.clone()).await.expect(409);
    // Children that leave do not hold their load balancer.
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    assert!(graph.pools.iter().all(|p| p.statuses.provisioning == ProvisioningStatus::PendingDelete));
    world.settle(lb).await;
    world.post("listeners", body).await.expect(201);
}

#[tokio::test]
async fn a_load_balancer_whose_children_leave_may_leave() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, serde_json::from_str(TREE).expect("JSON")).await;
    world.settle(lb).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    world.delete(&format!("listeners/{}", graph.listeners[0].id)).await.expect(204);
    world.delete(&format!("pools/{}", graph.pools[0].id)).await.expect(204);
    world.delete(&format!("loadbalancers/{lb}")).await.expect(204);
}
