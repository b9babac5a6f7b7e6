//! Creating load balancers: the single call, the VIP, and what happens when it fails half-way.

use octavia_model::{OperatingStatus, ProvisioningStatus};
use serde_json::json;

use crate::world::{self, MEMBER, NETWORK, PORT, SUBNET, SUBNET6, WIDE_PORT, World};

#[tokio::test]
async fn a_bare_load_balancer_has_every_attribute() {
    let world = World::new().await;
    let reply = world
        .post("loadbalancers", json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "tags": ["b", "a"] } }))
        .await
        .expect(201);
    let lb = &reply["loadbalancer"];
    for (key, expected) in [
        ("name", json!("")),
        ("description", json!("")),
        ("admin_state_up", json!(true)),
        ("provisioning_status", json!("PENDING_CREATE")),
        ("operating_status", json!("OFFLINE")),
        ("vip_subnet_id", json!(SUBNET)),
        ("vip_network_id", json!(NETWORK)),
        ("vip_address", json!("10.0.0.10")),
        ("vip_qos_policy_id", json!(null)),
        ("vip_sg_ids", json!([])),
        ("vip_vnic_type", json!("normal")),
        ("additional_vips", json!([])),
        ("provider", json!("amphora")),
        ("flavor_id", json!(null)),
        ("availability_zone", json!(null)),
        ("project_id", json!("own")),
        ("tenant_id", json!("own")),
        ("listeners", json!([])),
        ("pools", json!([])),
        ("updated_at", json!(null)),
    ] {
        assert_eq!(lb[key], expected, "{key}");
    }
    assert_eq!(lb.as_object().expect("an object").len(), 24);
    let created_at = lb["created_at"].as_str().expect("a time");
    assert!(created_at.len() == 19 && created_at.contains('T'), "{created_at}");
    let shown = world.get(&format!("loadbalancers/{}", lb["id"].as_str().expect("an id"))).await;
    assert_eq!(shown["loadbalancer"]["vip_address"], "10.0.0.10");
    let mut tags: Vec<_> = shown["loadbalancer"]["tags"].as_array().expect("a list").clone();
    tags.sort_by_key(ToString::to_string);
    assert_eq!(tags, [json!("a"), json!("b")]);
}

#[tokio::test]
async fn nulls_and_spellings_of_a_create() {
    let world = World::new().await;
    for (extra, key, expected) in [
        (json!({ "name": null, "description": null }), "name", json!("")),
        (json!({ "admin_state_up": null }), "admin_state_up", json!(false)),
        (json!({ "admin_state_up": "no" }), "admin_state_up", json!(false)),
        (json!({ "admin_state_up": 1 }), "admin_state_up", json!(true)),
        (json!({ "provider": null }), "provider", json!("amphora")),
        (json!({ "provider": "octavia" }), "provider", json!("octavia")),
        (json!({ "listeners": null, "pools": null, "tags": null }), "listeners", json!([])),
        (json!({ "vip_sg_ids": [], "additional_vips": [] }), "vip_sg_ids", json!([])),
        (json!({ "vip_qos_policy_id": null, "vip_port_id": null }), "vip_qos_policy_id", json!(null)),
    ] {
        let lb = world.load_balancer(MEMBER, extra.clone()).await;
        let shown = world.get(&format!("loadbalancers/{lb}")).await;
        assert_eq!(shown["loadbalancer"][key], expected, "{extra}");
    }
}

#[tokio::test]
async fn the_vip_is_resolved() {
    // given → subnet, address, is the port the one given
    let cases = [
        (json!({ "vip_network_id": NETWORK }), SUBNET, "10.0.0.10"),
        (json!({ "vip_network_id": NETWORK, "vip_subnet_id": SUBNET6 }), SUBNET6, "fd00::10"),
        (json!({ "vip_network_id": NETWORK, "vip_address": "fd00::5" }), SUBNET6, "fd00::5"),
        (json!({ "vip_subnet_id": SUBNET, "vip_address": "10.0.0.99" }), SUBNET, "10.0.0.99"),
        (json!({ "vip_port_id": PORT }), SUBNET, "10.0.0.77"),
        (json!({ "vip_port_id": WIDE_PORT, "vip_subnet_id": SUBNET6 }), SUBNET6, "fd00::79"),
        (json!({ "vip_port_id": WIDE_PORT, "vip_address": "10.0.0.79" }), SUBNET, "10.0.0.79"),
        (json!({ "vip_port_id": WIDE_PORT, "vip_address": "fd00:0:0::79" }), SUBNET6, "fd00::79"),
        (json!({ "vip_subnet_id": SUBNET.to_uppercase().replace('-', "") }), SUBNET, "10.0.0.10"),
    ];
    for (given, subnet, address) in cases {
        let world = World::new().await;
        let reply = world.post("loadbalancers", json!({ "loadbalancer": given })).await.expect(201);
        let lb = &reply["loadbalancer"];
        assert_eq!(lb["vip_subnet_id"], subnet, "{given}");
        assert_eq!(lb["vip_address"], address, "{given}");
        assert_eq!(lb["vip_network_id"], NETWORK, "{given}");
        if let Some(port) = given.get("vip_port_id") {
            assert_eq!(&lb["vip_port_id"], port);
        }
        assert_eq!(world.network.vips.lock().expect("not poisoned").len(), 1);
    }
}

#[tokio::test]
async fn a_whole_tree_is_created_in_a_single_call() {
    let world = World::new().await;
    let reply = world
        .post(
            "loadbalancers",
            json!({ "loadbalancer": {
                "name": "tree",
                "vip_subnet_id": SUBNET,
                "pools": [{
                    "name": "shared", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    "healthmonitor": {
                        "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2, "http_version": 1.1,
                        "domain_name": "www.example.com",
                    },
                    "members": [
                        { "address": "192.0.2.1", "protocol_port": 80, "weight": 3 },
                        { "address": "192.0.2.2", "protocol_port": 80, "backup": true },
                    ],
                }],
                "listeners": [
                    { "name": "a", "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "shared" } },
                    { "name": "b", "protocol": "HTTP", "protocol_port": 8080, "default_pool": { "name": "shared" } },
                    {
                        "name": "c", "protocol": "TCP", "protocol_port": 22,
                        "default_pool": {
                            "name": "own", "protocol": "TCP", "lb_algorithm": "LEAST_CONNECTIONS",
                            "members": [{ "address": "192.0.2.3", "protocol_port": 22 }],
                        },
                    },
                    { "name": "d", "protocol": "TCP", "protocol_port": 23 },
                ],
            } }),
        )
        .await
        .expect(201);
    let lb = &reply["loadbalancer"];
    let listeners = lb["listeners"].as_array().expect("a list");
    let pools = lb["pools"].as_array().expect("a list");
    assert_eq!(listeners.len(), 4);
    assert_eq!(pools.len(), 2);
    assert_eq!(listeners[0]["default_pool_id"], pools[0]["id"]);
    assert_eq!(listeners[1]["default_pool_id"], pools[0]["id"]);
    assert_eq!(listeners[2]["default_pool_id"], pools[1]["id"]);
    assert_eq!(listeners[3]["default_pool_id"], json!(null));
    assert!(listeners[0].get("loadbalancers").is_none(), "left out in this form");
    assert!(pools[0].get("loadbalancers").is_none());
    assert!(pools[0].get("healthmonitor_id").is_none());
    assert_eq!(pools[0]["listeners"].as_array().expect("a list").len(), 2);
    assert_eq!(pools[0]["healthmonitor"]["http_version"].to_string(), "1.1");
    assert!(pools[0]["healthmonitor"].get("pools").is_none());
    assert_eq!(pools[1]["healthmonitor"], json!(null));
    assert!(pools[1].as_object().expect("an object").contains_key("healthmonitor"));
    assert_eq!(pools[0]["members"][0]["weight"], 3);
    assert_eq!(pools[0]["members"][1]["backup"], true);
    for object in listeners.iter().chain(pools).chain([lb]) {
        assert_eq!(object["provisioning_status"], "PENDING_CREATE");
        assert_eq!(object["operating_status"], "OFFLINE");
    }

    let id = lb["id"].as_str().expect("an id").parse().expect("an id");
    let graph = world.store.lb_fetch(id).await.expect("asked").expect("there");
    assert_eq!((graph.listeners.len(), graph.pools.len()), (4, 2));
    assert_eq!((graph.members.len(), graph.health_monitors.len()), (3, 1));
    assert!(graph.members.iter().all(|m| m.statuses.provisioning == ProvisioningStatus::PendingCreate));
    let unmonitored = graph.members.iter().filter(|m| m.statuses.operating == OperatingStatus::NoMonitor);
    assert_eq!(unmonitored.count(), 1);
    assert_eq!(graph.load_balancer.generation, 1);

    let shown = world.get(&format!("loadbalancers/{id}")).await;
    let keys = |value: &serde_json::Value| value.as_object().expect("an object").len();
    assert_eq!(keys(&shown["loadbalancer"]["listeners"][0]), 1, "ids only");
}

#[tokio::test]
async fn a_refused_create_takes_no_address() {
    let world = World::new().await;
    let body = json!({ "loadbalancer": {
        "vip_subnet_id": world::SUBNET,
        "listeners": [{ "protocol": "HTTP", "protocol_port": 80 }, { "protocol": "TCP", "protocol_port": 80 }],
    } });
    world.post("loadbalancers", body).await.expect(409);
    assert!(world.network.vips.lock().expect("not poisoned").is_empty());
    let list = world.get("loadbalancers").await;
    assert_eq!(list["loadbalancers"], json!([]));
}
