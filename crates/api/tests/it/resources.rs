//! The plain life of each resource: create, show, update, delete, and what is stored.

use octavia_api::ApiOptions;
use octavia_model::{LoadBalancerId, ProvisioningStatus};
use serde_json::{Value, json};

use crate::world::{MEMBER, SUBNET, World, secrets};

async fn active(extra: Value) -> (World, LoadBalancerId) {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, extra).await;
    world.settle(lb).await;
    (world, lb)
}

fn id(object: &Value) -> &str {
    object["id"].as_str().expect("an id")
}

/// Checks the attributes of an update's answer, and that a GET says the same.
async fn check_update(world: &World, path: &str, root: &str, sent: Value, expected: Value) {
    let reply = world.put(path, json!({ root: sent })).await.expect(200);
    let shown = world.get(path).await;
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&reply[root][key], value, "{path} {key} after {sent}");
        assert_eq!(&shown[root][key], value, "{path} {key} shown after {sent}");
    }
}

#[tokio::test]
async fn load_balancers() {
    let (world, lb) = active(json!({ "name": "a", "tags": ["x"] })).await;
    let path = format!("loadbalancers/{lb}");
    assert_eq!(world.get(&path).await["loadbalancer"]["provisioning_status"], "ACTIVE");
    check_update(
        &world,
        &path,
        "loadbalancer",
        json!({ "name": "b", "description": "d", "admin_state_up": false, "tags": ["y", "y"] }),
        json!({ "name": "b", "description": "d", "admin_state_up": false, "tags": ["y"],
                "provisioning_status": "PENDING_UPDATE", "operating_status": "OFFLINE" }),
    )
    .await;
    assert_ne!(world.get(&path).await["loadbalancer"]["updated_at"], json!(null));
    world.settle(lb).await;
    check_update(
        &world,
        &path,
        "loadbalancer",
        json!({ "name": null, "admin_state_up": null, "tags": null, "vip_qos_policy_id": null, "vip_sg_ids": null }),
        json!({ "name": "", "description": "d", "admin_state_up": false, "tags": ["y"] }),
    )
    .await;
    check_update(&world, &path, "loadbalancer", json!({ "tags": [] }), json!({ "tags": [] })).await;
    world.settle(lb).await;
    let before = world.generation(lb).await;
    check_update(
        &world,
        &path,
        "loadbalancer",
        json!({}),
        json!({ "provisioning_status": "PENDING_UPDATE" }),
    )
    .await;
    assert_eq!(world.generation(lb).await, before + 1, "an empty update is an update");
    world.delete(&path).await.expect(204);
    assert_eq!(world.get(&path).await["loadbalancer"]["provisioning_status"], "PENDING_DELETE");
}

#[tokio::test]
async fn listeners() {
    let (world, lb) = active(json!({
        "pools": [
            { "name": "a", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" },
            { "name": "b", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" },
        ],
    }))
    .await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let (a, b) = (graph.pools[0].id.to_string(), graph.pools[1].id.to_string());
    let reply = world
        .post(
            "listeners",
            json!({ "listener": {
                "loadbalancer_id": lb.to_string(), "protocol": "HTTP", "protocol_port": "80", "default_pool_id": a,
                "allowed_cidrs": ["10.0.0.5/24", "10.0.0.0/24", "192.0.2.1"], "project_id": "ignored",
                "insert_headers": { "X-Forwarded-For": "true" }, "timeout_client_data": null,
            } }),
        )
        .await
        .expect(201);
    let listener = &reply["listener"];
    for (key, expected) in [
        ("project_id", json!("own")),
        ("protocol", json!("HTTP")),
        ("protocol_port", json!(80)),
        ("connection_limit", json!(-1)),
        ("default_pool_id", json!(a)),
        ("loadbalancers", json!([{ "id": lb.to_string() }])),
        ("l7policies", json!([])),
        ("insert_headers", json!({ "X-Forwarded-For": "true" })),
        ("allowed_cidrs", json!(["10.0.0.0/24", "192.0.2.1/32"])),
        ("timeout_client_data", json!(50000)),
        ("timeout_member_connect", json!(5000)),
        ("timeout_member_data", json!(50000)),
        ("timeout_tcp_inspect", json!(0)),
        ("client_authentication", json!("NONE")),
        ("sni_container_refs", json!([])),
        ("default_tls_container_ref", json!(null)),
        ("tls_ciphers", json!(null)),
        ("tls_versions", json!(null)),
        ("alpn_protocols", json!(null)),
        ("hsts_max_age", json!(null)),
        ("hsts_include_subdomains", json!(false)),
        ("hsts_preload", json!(false)),
        ("tags", json!([])),
        ("provisioning_status", json!("PENDING_CREATE")),
        ("operating_status", json!("OFFLINE")),
    ] {
        assert_eq!(listener[key], expected, "{key}");
    }
    assert_eq!(listener.as_object().expect("an object").len(), 34);
    world.settle(lb).await;
    let path = format!("listeners/{}", id(listener));
    check_update(
        &world,
        &path,
        "listener",
        json!({ "connection_limit": 5, "default_pool_id": b, "timeout_client_data": 1, "name": "n" }),
        json!({ "connection_limit": 5, "default_pool_id": b, "timeout_client_data": 1, "name": "n",
                "provisioning_status": "PENDING_UPDATE" }),
    )
    .await;
    // Both pools are touched: the one that lost the listener and the one that gained it.
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    assert!(graph.pools.iter().all(|p| p.statuses.provisioning == ProvisioningStatus::PendingUpdate));
    assert_eq!(graph.load_balancer.statuses.provisioning, ProvisioningStatus::PendingUpdate);
    world.settle(lb).await;
    check_update(
        &world,
        &path,
        "listener",
        json!({ "connection_limit": null, "default_pool_id": null, "timeout_client_data": null, "name": null,
                "allowed_cidrs": [], "insert_headers": null, "tls_ciphers": null, "alpn_protocols": null,
                "client_authentication": null }),
        json!({ "connection_limit": -1, "default_pool_id": null, "timeout_client_data": 50000, "name": "",
                "allowed_cidrs": null, "insert_headers": {}, "alpn_protocols": ["h2", "http/1.1", "http/1.0"] }),
    )
    .await;
    let stats = world.get(&format!("{path}/stats")).await;
    assert_eq!(
        stats,
        json!({ "stats": { "bytes_in": 0, "bytes_out": 0, "active_connections": 0, "total_connections": 0, "request_errors": 0 } })
    );
    world.delete(&path).await.expect(204);
    assert_eq!(world.get(&path).await["listener"]["provisioning_status"], "PENDING_DELETE");
    world.settle(lb).await;
    world.call_as(MEMBER, "GET", &path, None).await.expect(404);
}

#[tokio::test]
async fn pools() {
    let (world, lb) = active(json!({ "listeners": [{ "protocol": "HTTP", "protocol_port": 80 }] })).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let listener = graph.listeners[0].id.to_string();
    let reply = world
        .post(
            "pools",
            json!({ "pool": { "listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" } }),
        )
        .await
        .expect(201);
    let pool = &reply["pool"];
    for (key, expected) in [
        ("loadbalancers", json!([{ "id": lb.to_string() }])),
        ("listeners", json!([{ "id": listener }])),
        ("members", json!([])),
        ("session_persistence", json!(null)),
        ("tls_enabled", json!(false)),
        ("tls_container_ref", json!(null)),
        ("tls_ciphers", json!(null)),
        ("provisioning_status", json!("PENDING_CREATE")),
    ] {
        assert_eq!(pool[key], expected, "{key}");
    }
    assert!(pool.get("healthmonitor_id").is_none(), "left out when there is none");
    assert_eq!(world.get(&format!("listeners/{listener}")).await["listener"]["default_pool_id"], pool["id"]);
    world.settle(lb).await;
    let path = format!("pools/{}", id(pool));
    check_update(
        &world,
        &path,
        "pool",
        json!({ "lb_algorithm": "SOURCE_IP", "tls_ciphers": null, "alpn_protocols": null, "session_persistence": null }),
        json!({ "lb_algorithm": "SOURCE_IP", "alpn_protocols": null, "session_persistence": null,
                "provisioning_status": "PENDING_UPDATE" }),
    )
    .await;
    assert!(world.get(&path).await["pool"]["tls_ciphers"].is_string(), "null chooses the default list");
    let shown = world.get(&format!("listeners/{listener}")).await;
    assert_eq!(shown["listener"]["provisioning_status"], "PENDING_UPDATE", "the listener uses the pool");
    let stand_alone = world
        .post(
            "pools",
            json!({ "pool": { "loadbalancer_id": lb.to_string(), "protocol": "HTTPS", "lb_algorithm": "ROUND_ROBIN" } }),
        )
        .await
        .expect(201);
    assert_eq!(stand_alone["pool"]["listeners"], json!([]));
    world
        .post(
            &format!("{path}/members"),
            json!({ "member": { "address": "192.0.2.1", "protocol_port": 80 } }),
        )
        .await
        .expect(201);
    world.settle(lb).await;
    world.delete(&path).await.expect(204);
    assert_eq!(world.get(&path).await["pool"]["provisioning_status"], "PENDING_DELETE");
    assert_eq!(world.get(&format!("listeners/{listener}")).await["listener"]["default_pool_id"], json!(null));
    world.settle(lb).await;
    world.call_as(MEMBER, "GET", &path, None).await.expect(404);
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    assert!(graph.members.is_empty(), "members go with their pool");
}

const POOL: &str = r#"{ "pools": [{ "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }] }"#;

async fn with_pool() -> (World, LoadBalancerId, String) {
    let (world, lb) = active(serde_json::from_str(POOL).expect("JSON")).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let pool = graph.pools[0].id.to_string();
    (world, lb, pool)
}

#[tokio::test]
async fn members() {
    let (world, lb, pool) = with_pool().await;
    let collection = format!("pools/{pool}/members");
    let reply = world
        .post(
            &collection,
            json!({ "member": { "address": "2001:DB8::1", "protocol_port": 80, "subnet_id": SUBNET } }),
        )
        .await
        .expect(201);
    let member = &reply["member"];
    for (key, expected) in [
        ("address", json!("2001:DB8::1")),
        ("protocol_port", json!(80)),
        ("weight", json!(1)),
        ("backup", json!(false)),
        ("subnet_id", json!(SUBNET)),
        ("monitor_address", json!(null)),
        ("monitor_port", json!(null)),
        ("vnic_type", json!("normal")),
        ("provisioning_status", json!("PENDING_CREATE")),
        ("operating_status", json!("NO_MONITOR")),
    ] {
        assert_eq!(member[key], expected, "{key}");
    }
    assert!(member.get("request_sriov").is_none());
    assert!(member.get("description").is_none());
    let path = format!("{collection}/{}", id(member));
    check_update(
        &world,
        &path,
        "member",
        json!({ "weight": 0, "backup": true, "monitor_port": 81, "monitor_address": "192.0.2.9", "name": "m" }),
        json!({ "weight": 0, "backup": true, "monitor_port": 81, "monitor_address": "192.0.2.9", "name": "m" }),
    )
    .await;
    check_update(
        &world,
        &path,
        "member",
        json!({ "weight": null, "backup": null, "monitor_port": null, "monitor_address": null, "name": null }),
        json!({ "weight": 1, "backup": false, "monitor_port": null, "monitor_address": null, "name": "" }),
    )
    .await;
    world.settle(lb).await;
    world.delete(&path).await.expect(204);
    assert_eq!(world.get(&path).await["member"]["provisioning_status"], "PENDING_DELETE");
    assert_eq!(world.get(&format!("pools/{pool}")).await["pool"]["provisioning_status"], "PENDING_UPDATE");
    world.settle(lb).await;
    world.call_as(MEMBER, "GET", &path, None).await.expect(404);
}

/// The members of the pool as `address:weight:status`.
async fn membership(world: &World, collection: &str) -> String {
    let list = world.get(collection).await;
    let mut members: Vec<String> = list["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| {
            let text = |key: &str| m[key].as_str().map_or_else(|| m[key].to_string(), str::to_owned);
            format!("{}:{}:{}", text("address"), text("weight"), text("provisioning_status"))
        })
        .collect();
    members.sort();
    members.join(" ")
}

#[tokio::test]
async fn batches() {
    let (world, lb, pool) = with_pool().await;
    let collection = format!("pools/{pool}/members");
    let batch = |members: Value| world.put(&collection, json!({ "members": members }));
    let before = world.generation(lb).await;
    assert_eq!(batch(json!([])).await.expect(202), Value::Null);
    assert_eq!(world.generation(lb).await, before, "nothing to do is nothing done");
    assert_eq!(
        world.get(&format!("loadbalancers/{lb}")).await["loadbalancer"]["provisioning_status"],
        "ACTIVE"
    );

    batch(json!([
        { "address": "192.0.2.1", "protocol_port": 80, "weight": 5, "name": "one" },
        { "address": "192.0.2.2", "protocol_port": 80 },
    ]))
    .await
    .expect(202);
    assert_eq!(world.generation(lb).await, before + 1);
    assert_eq!(
        membership(&world, &collection).await,
        "192.0.2.1:5:PENDING_CREATE 192.0.2.2:1:PENDING_CREATE"
    );
    world.settle(lb).await;

    // Defaults come back for what is not sent, the name stays; the one left out goes.
    batch(json!([
        { "address": "192.0.2.1", "protocol_port": 80 },
        { "address": "192.0.2.3", "protocol_port": 80 },
    ]))
    .await
    .expect(202);
    assert_eq!(
        membership(&world, &collection).await,
        "192.0.2.1:1:PENDING_UPDATE 192.0.2.2:1:PENDING_DELETE 192.0.2.3:1:PENDING_CREATE"
    );
    // Wanted again before it was gone.
    batch(json!([{ "address": "192.0.2.2", "protocol_port": 80, "weight": 9 }])).await.expect(202);
    assert_eq!(
        membership(&world, &collection).await,
        "192.0.2.1:1:PENDING_DELETE 192.0.2.2:9:PENDING_UPDATE 192.0.2.3:1:PENDING_DELETE"
    );
    world.settle(lb).await;
    assert_eq!(membership(&world, &collection).await, "192.0.2.2:9:ACTIVE");

    let additive = format!("{collection}?additive_only=True");
    let members = json!([{ "address": "192.0.2.4", "protocol_port": 80 }]);
    world.put(&additive, json!({ "members": members })).await.expect(202);
    assert_eq!(membership(&world, &collection).await, "192.0.2.2:9:ACTIVE 192.0.2.4:1:PENDING_CREATE");
    world.settle(lb).await;
    // An empty list empties the pool; with a slash at the end of the path as well.
    world.put(&format!("{collection}/"), json!({ "members": [] })).await.expect(202);
    assert_eq!(
        membership(&world, &collection).await,
        "192.0.2.2:9:PENDING_DELETE 192.0.2.4:1:PENDING_DELETE"
    );
}

#[tokio::test]
async fn health_monitors() {
    let (world, lb, pool) = with_pool().await;
    let body = json!({ "healthmonitor": {
        "pool_id": pool, "type": "HTTP", "delay": 5, "timeout": "3", "max_retries": 2, "http_version": "1.1",
        "domain_name": "www.example.com",
    } });
    let reply = world.post("healthmonitors", body).await.expect(201);
    let monitor = &reply["healthmonitor"];
    for (key, expected) in [
        ("pools", json!([{ "id": pool }])),
        ("type", json!("HTTP")),
        ("delay", json!(5)),
        ("timeout", json!(3)),
        ("max_retries", json!(2)),
        ("max_retries_down", json!(3)),
        ("http_method", json!("GET")),
        ("url_path", json!("/")),
        ("expected_codes", json!("200")),
        ("http_version", json!(1.1)),
        ("domain_name", json!("www.example.com")),
        ("operating_status", json!("OFFLINE")),
    ] {
        assert_eq!(monitor[key], expected, "{key}");
    }
    assert!(monitor.get("description").is_none());
    assert_eq!(world.get(&format!("pools/{pool}")).await["pool"]["healthmonitor_id"], monitor["id"]);
    // A member of a monitored pool waits for its first check.
    let member = json!({ "member": { "address": "192.0.2.1", "protocol_port": 80 } });
    let member = world.post(&format!("pools/{pool}/members"), member).await.expect(201);
    assert_eq!(member["member"]["operating_status"], "OFFLINE");
    world.settle(lb).await;
    let path = format!("healthmonitors/{}", id(monitor));
    check_update(
        &world,
        &path,
        "healthmonitor",
        json!({ "delay": 9, "http_method": null, "url_path": "/x?y=z", "expected_codes": "200-204", "domain_name": null,
                "http_version": null, "max_retries_down": null }),
        json!({ "delay": 9, "http_method": "GET", "url_path": "/x?y=z", "expected_codes": "200-204", "domain_name": null,
                "http_version": null, "max_retries_down": 3, "provisioning_status": "PENDING_UPDATE" }),
    )
    .await;
    world.settle(lb).await;
    world.delete(&path).await.expect(204);
    world.settle(lb).await;
    world.call_as(MEMBER, "GET", &path, None).await.expect(404);
    let again = json!({ "healthmonitor": { "pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 } });
    let monitor = world.post("healthmonitors", again).await.expect(201);
    assert_eq!(monitor["healthmonitor"]["url_path"], json!(null));
}

#[tokio::test]
async fn the_status_tree_and_cascade() {
    let (world, lb) = active(json!({
        "name": "lb",
        "pools": [{ "name": "unused", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }],
        "listeners": [{ "name": "l", "protocol": "HTTP", "protocol_port": 80, "default_pool": {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
            "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
        } }],
    }))
    .await;
    let tree = world.get(&format!("loadbalancers/{lb}/status")).await;
    assert_eq!(tree, world.get(&format!("loadbalancers/{lb}/statuses")).await);
    let node = &tree["statuses"]["loadbalancer"];
    assert_eq!(node["name"], "lb");
    assert_eq!(node["provisioning_status"], "ACTIVE");
    assert!(node.get("status_reason").is_none(), "nothing is bad");
    assert!(node.get("pools").is_none(), "unused pools are not shown");
    let pools = node["listeners"][0]["pools"].as_array().expect("a list");
    assert_eq!(pools.len(), 1);
    assert_eq!(pools[0]["name"], "p");
    assert_eq!(pools[0]["health_monitor"]["type"], "TCP");
    assert_eq!(pools[0]["members"][0]["address"], "192.0.2.1");
    assert_eq!(pools[0]["members"][0]["protocol_port"], 80);
    let stats = world.get(&format!("loadbalancers/{lb}/stats")).await;
    assert_eq!(stats["stats"]["total_connections"], 0);

    world.delete(&format!("loadbalancers/{lb}?cascade=True")).await.expect(204);
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    assert_eq!(graph.load_balancer.statuses.provisioning, ProvisioningStatus::PendingDelete);
    assert!(graph.listeners.iter().all(|l| l.statuses.provisioning == ProvisioningStatus::PendingDelete));
}

#[tokio::test]
async fn what_failed_says_why_where_one_looks_at_it() {
    let (world, lb) = active(json!({})).await;
    world.put(&format!("loadbalancers/{lb}"), json!({ "loadbalancer": { "name": "x" } })).await.expect(200);
    world.fail(lb).await;
    let shown = world.get(&format!("loadbalancers/{lb}")).await;
    assert_eq!(shown["loadbalancer"]["provisioning_status"], "ERROR");
    assert_eq!(shown["loadbalancer"]["status_reason"], "CLOUD_REFUSED: The cloud said no. (Ask it why.)");
    let tree = world.get(&format!("loadbalancers/{lb}/status")).await;
    assert_eq!(tree["statuses"]["loadbalancer"]["status_reason"], shown["loadbalancer"]["status_reason"]);
    let list = world.get("loadbalancers").await;
    assert!(list["loadbalancers"][0].get("status_reason").is_none());
    world.delete(&format!("loadbalancers/{lb}")).await.expect(204);
}

#[tokio::test]
async fn what_is_truly_empty_is_an_empty_list() {
    let world = World::new().await;
    for (path, key, links) in [
        ("l7policies", "l7policies", "l7policies_links"),
        ("listeners", "listeners", "listeners_links"),
        ("flavors", "flavors", "flavors_links"),
        ("flavorprofiles", "flavorprofiles", "flavorprofile_links"),
        ("availabilityzones", "availability_zones", "availability_zones_links"),
        ("availabilityzoneprofiles", "availability_zone_profiles", "availability_zone_profile_links"),
        ("/v2/octavia/amphorae", "amphorae", "amphorae_links"),
    ] {
        let reply = world.call_as("admin@own", "GET", path, None).await.expect(200);
        assert_eq!(reply, json!({ key: [], links: [] }), "{path}");
    }
    let providers = world.get("providers?fields=name").await;
    assert_eq!(providers, json!({ "providers": [{ "name": "amphora" }, { "name": "octavia" }] }));
}

#[tokio::test]
async fn listeners_that_terminate_tls() {
    let (world, lb) = active(json!({})).await;
    let body = json!({ "listener": {
        "loadbalancer_id": lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 443,
        "default_tls_container_ref": secrets::reference(secrets::BUNDLE),
    } });
    let made = world.post("listeners", body).await.expect(201);
    let path = format!("listeners/{}", id(&made["listener"]));
    // What is there counts together with what is sent.
    for (sent, status) in [
        (json!({ "tls_versions": ["TLSv1.3"] }), 200),
        (json!({ "tls_ciphers": "ECDHE-RSA-AES128-GCM-SHA256" }), 200),
        (json!({ "tls_ciphers": "AES256-SHA" }), 501),
        (json!({ "tls_versions": ["TLSv1.1", "TLSv1.3"] }), 501),
        (json!({ "tls_ciphers": "TLS_AES_128_GCM_SHA256" }), 200),
        (json!({ "tls_versions": ["TLSv1.2"] }), 501),
        (json!({ "tls_versions": ["TLSv1.2"], "tls_ciphers": null }), 200),
        (json!({ "tls_versions": null, "tls_ciphers": "HIGH:!aNULL" }), 200),
        (json!({ "alpn_protocols": ["h2"] }), 200),
        (json!({ "name": "n", "hsts_max_age": 9, "hsts_preload": true }), 200),
    ] {
        let shown = sent.to_string();
        let reply = world.put(&path, json!({ "listener": sent })).await;
        assert_eq!(reply.status, status, "{shown}: {}", reply.body);
    }
}

#[tokio::test]
async fn udp_beside_tcp() {
    let (world, lb) = active(json!({})).await;
    for protocol in ["UDP", "TCP"] {
        let body =
            json!({ "listener": { "loadbalancer_id": lb, "protocol": protocol, "protocol_port": 53 } });
        world.post("listeners", body.clone()).await.expect(201);
        assert_eq!(world.post("listeners", body).await.status, 409, "{protocol}: the port is taken");
    }
    let pool =
        json!({ "pool": { "loadbalancer_id": lb, "protocol": "UDP", "lb_algorithm": "SOURCE_IP_PORT" } });
    let pool = world.post("pools", pool).await.expect(201)["pool"].take();
    let pool = id(&pool);
    let member = json!({ "member": { "address": "192.0.2.1", "protocol_port": 53, "weight": 7 } });
    world.post(&format!("pools/{pool}/members"), member).await.expect(201);
    // Which monitor goes with datagrams, and how often it may ask.
    for (kind, delay, status) in
        [("UDP-CONNECT", 2, 400), ("PING", 5, 400), ("TLS-HELLO", 5, 400), ("UDP-CONNECT", 3, 201)]
    {
        let monitor = json!({ "healthmonitor": {
            "pool_id": pool, "type": kind, "delay": delay, "timeout": 2, "max_retries": 2,
        } });
        let reply = world.post("healthmonitors", monitor).await;
        assert_eq!(reply.status, status, "{kind} {delay}: {}", reply.body);
    }
    let persistence =
        json!({ "type": "SOURCE_IP", "persistence_granularity": "255.255.0.0", "persistence_timeout": 9 });
    let changed = json!({ "pool": { "session_persistence": persistence } });
    let changed = world.put(&format!("pools/{pool}"), changed).await.expect(200);
    assert_eq!(changed["pool"]["session_persistence"]["persistence_timeout"], 9);
}

/// The kernel forwards it, where amphorae have interfaces of their own.
#[tokio::test]
async fn sctp_by_what_amphorae_have() {
    for (interfaces, status) in [(false, 501), (true, 201)] {
        let world = World::with(ApiOptions { interfaces, ..ApiOptions::default() }).await;
        let lb = world.load_balancer(MEMBER, json!({})).await.to_string();
        let mut pool = json!({ "loadbalancer_id": lb, "protocol": "SCTP", "lb_algorithm": "SOURCE_IP" });
        pool["session_persistence"] = json!({ "type": "SOURCE_IP", "persistence_timeout": 60 });
        let pool = world.post("pools", json!({ "pool": pool })).await;
        assert_eq!(pool.status, status, "{}", pool.body);
        let listener = json!({ "loadbalancer_id": lb, "protocol": "SCTP", "protocol_port": 80 });
        let listener = world.post("listeners", json!({ "listener": listener })).await;
        assert_eq!(listener.status, status, "{}", listener.body);
        if status == 201 {
            let monitor = json!({ "pool_id": pool.body["pool"]["id"], "type": "SCTP", "delay": 2, "timeout": 1, "max_retries": 1 });
            world.post("healthmonitors", json!({ "healthmonitor": monitor })).await.expect(201);
        }
    }
}

/// Where datagrams are passed on as they are, members are of an IP version that a VIP is of; elsewhere of any.
#[tokio::test]
async fn members_by_the_ip_version_of_the_vip() {
    let world = World::of_anything().await;
    let lb = world.load_balancer(MEMBER, json!({})).await.to_string();
    // (protocol, port of the listener that uses the pool, address, status)
    for (protocol, port, address, status) in [
        ("UDP", Some(1), "192.0.2.1", 201),
        ("UDP", Some(2), "2001:db8::1", 501),
        ("UDP", None, "2001:db8::1", 201),
        ("SCTP", Some(3), "2001:db8::1", 501),
        ("SCTP", None, "2001:db8::1", 201),
        ("TCP", Some(4), "2001:db8::1", 201),
    ] {
        let pool =
            json!({ "pool": { "loadbalancer_id": lb, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN" } });
        let pool = world.post("pools", pool).await.expect(201)["pool"]["id"].take();
        let path = format!("pools/{}/members", pool.as_str().expect("an id"));
        if let Some(port) = port {
            let listener = json!({ "listener": {
                "loadbalancer_id": lb, "protocol": protocol, "protocol_port": port, "default_pool_id": pool,
            }});
            world.post("listeners", listener).await.expect(201);
        }
        let member = json!({ "address": address, "protocol_port": 80 });
        let reply = world.post(&path, json!({ "member": member })).await;
        assert_eq!(reply.status, status, "{protocol} {address}: {}", reply.body);
        let batch = json!({ "members": [member] }).to_string();
        let reply = world.call_as(MEMBER, "PUT", &path, Some(&batch)).await;
        let expected = if status == 201 { 202 } else { status };
        assert_eq!(reply.status, expected, "{protocol} {address}, as a batch: {}", reply.body);
    }
}
