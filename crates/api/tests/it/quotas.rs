//! Quotas: what their endpoints show, and what a create is told when there is no room.

use octavia_api::{ApiOptions, PendingWrites};
use octavia_model::{Limit, LoadBalancerGraph, LoadBalancerId, Quota};
use serde_json::{Value, json};

use crate::world::{MEMBER, SUBNET, World};

const ADMIN: &str = "admin@admin";

async fn set(world: &World, limits: Value) -> Value {
    let body = json!({ "quota": limits }).to_string();
    world.call_as(ADMIN, "PUT", "quotas/own", Some(&body)).await.expect(202)
}

/// The limits in a document, `-` for null, in a fixed order; that both spellings agree is checked.
fn limits(quota: &Value) -> String {
    assert_eq!(quota["loadbalancer"], quota["load_balancer"]);
    assert_eq!(quota["healthmonitor"], quota["health_monitor"]);
    assert_eq!(quota["project_id"], quota["tenant_id"]);
    assert_eq!(quota.as_object().expect("an object").len(), 11);
    let keys = ["load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule"];
    keys.map(|key| quota[key].as_i64().map_or("-".to_owned(), |number| number.to_string())).join(" ")
}

fn options() -> ApiOptions {
    let limit = |number| Limit::new(number).expect("in range");
    ApiOptions {
        default_quota: Quota { pool: limit(7), l7rule: limit(0), ..Quota::default() },
        ..ApiOptions::default()
    }
}

/// One project's limits through a sequence of PUTs: the body, what `show` says, what the list says.
#[tokio::test]
async fn limits_are_set_and_reset() {
    let world = World::with(options()).await;
    let show = async |path: &str| world.call_as(ADMIN, "GET", path, None).await.expect(200)["quota"].take();
    assert_eq!(limits(&show("quotas/own").await), "-1 -1 7 -1 -1 -1 0");
    assert_eq!(world.call_as(ADMIN, "GET", "quotas", None).await.expect(200)["quotas"], json!([]));
    for (body, shown, listed) in [
        (json!({}), "-1 -1 7 -1 -1 -1 0", "- - - - - - -"),
        (json!({ "load_balancer": 3, "pool": "5" }), "3 -1 5 -1 -1 -1 0", "3 - 5 - - - -"),
        (json!({ "loadbalancer": 4, "load_balancer": 9 }), "4 -1 5 -1 -1 -1 0", "4 - 5 - - - -"),
        (
            json!({ "healthmonitor": 1, "l7policy": 0, "l7rule": 2_000_000_000 }),
            "4 -1 5 -1 1 0 2000000000",
            "4 - 5 - 1 0 2000000000",
        ),
        (json!({ "health_monitor": 2, "pool": null }), "4 -1 7 -1 2 0 2000000000", "4 - - - 2 0 2000000000"),
        (
            json!({ "loadbalancer": null, "load_balancer": 9, "pool": -1 }),
            "-1 -1 -1 -1 2 0 2000000000",
            "- - -1 - 2 0 2000000000",
        ),
    ] {
        let answer = set(&world, body.clone()).await;
        assert_eq!(limits(&answer["quota"]), shown, "{body}");
        assert_eq!(show("quotas/own").await, answer["quota"], "{body}");
        let list = world.call_as(ADMIN, "GET", "quotas", None).await.expect(200);
        assert_eq!(limits(&list["quotas"][0]), listed, "{body}");
    }
    for (path, project) in [
        ("quotas/own/default", "own"),
        ("quotas/nobody/default", "nobody"),
        ("quotas/nobody", "nobody"),
        ("quotas/defaults", "defaults"),
        ("/v2.0/quotas/nobody/", "nobody"),
    ] {
        let quota = show(path).await;
        assert_eq!(
            (limits(&quota).as_str(), quota["project_id"].as_str()),
            ("-1 -1 7 -1 -1 -1 0", Some(project))
        );
    }
    for _ in 0..2 {
        let gone = world.call_as(ADMIN, "DELETE", "quotas/own", None).await;
        assert_eq!((gone.status, &gone.body), (202, &Value::Null));
    }
    assert_eq!(limits(&show("quotas/own").await), "-1 -1 7 -1 -1 -1 0");
    // Anybody who may read anything may see what is configured.
    let defaults = world.get("quotas/defaults").await;
    assert_eq!(limits(&defaults["quota"]), "-1 -1 7 -1 -1 -1 0");
}

#[tokio::test]
async fn the_list_shows_records_in_pages() {
    let world = World::new().await;
    for project in ["own", "b", "c"] {
        let body = json!({ "quota": { "pool": 1 } }).to_string();
        world.call_as(ADMIN, "PUT", &format!("quotas/{project}"), Some(&body)).await.expect(202);
    }
    // Who creates something has a record.
    world.load_balancer("member@other", json!({})).await;
    for (caller, query, expected, links) in [
        (ADMIN, "", "b c other own", json!([])),
        ("admin@x", "?project_id=c", "c", json!([])),
        (ADMIN, "?project_id=nobody", "", json!([])),
        (MEMBER, "", "own", json!([])),
        ("member@nobody", "", "", json!([])),
        (ADMIN, "?color=red&shape=round&fields=pool&tags=x", "b c other own", json!([])),
        (
            ADMIN,
            "?limit=2",
            "b c",
            json!([{ "rel": "next", "href": "http://api.test:9876/v2/lbaas/quotas?limit=2&marker=c" }]),
        ),
        (
            ADMIN,
            "?limit=3&marker=c",
            "other own",
            json!([{
                "rel": "previous",
                "href": "http://api.test:9876/v2/lbaas/quotas?limit=3&marker=other&page_reverse=True",
            }]),
        ),
        (ADMIN, "?sort=project_id:desc", "own other c b", json!([])),
    ] {
        let reply = world.call_as(caller, "GET", &format!("quotas{query}"), None).await.expect(200);
        let rows = reply["quotas"].as_array().expect("a list").iter();
        let projects: Vec<_> = rows.map(|row| row["project_id"].as_str().expect("text")).collect();
        assert_eq!(projects.join(" "), expected, "{caller} {query}");
        assert_eq!(reply["quotas_links"], links, "{caller} {query}");
    }
}

/// A tree that has one of everything.
fn tree() -> Value {
    json!({
        "vip_subnet_id": SUBNET,
        "listeners": [{ "protocol": "HTTP", "protocol_port": 80, "default_pool": {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
            "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
        }, "l7policies": [{ "action": "REJECT", "rules": [
            { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" },
        ] }] }],
        // Without a monitor, for one to be added to.
        "pools": [{ "name": "q", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }],
    })
}

async fn world_with_tree(options: ApiOptions) -> (World, LoadBalancerId, String) {
    let world = World::with(options).await;
    let lb = world.load_balancer(MEMBER, tree()).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let bare = graph.pools.iter().find(|pool| pool.name == "q").expect("a pool");
    (world, lb, bare.id.to_string())
}

/// Each create with the kind it counts as and what the fixture has of it.
fn creates(
    graph: &LoadBalancerGraph,
    bare_pool: &str,
) -> Vec<(&'static str, &'static str, i32, String, Value)> {
    let lb = graph.load_balancer.id.to_string();
    let (listener, policy) = (graph.listeners[0].id.to_string(), graph.l7policies[0].id);
    vec![
        ("load_balancer", "Load Balancer", 1, "loadbalancers".to_owned(), json!({ "loadbalancer": tree() })),
        // The single call counts what is in it, in this order.
        ("pool", "Pool", 2, "loadbalancers".to_owned(), json!({ "loadbalancer": tree() })),
        (
            "health_monitor",
            "Health Monitor",
            1,
            "loadbalancers".to_owned(),
            json!({ "loadbalancer": tree() }),
        ),
        ("member", "Member", 1, "loadbalancers".to_owned(), json!({ "loadbalancer": tree() })),
        ("listener", "Listener", 1, "loadbalancers".to_owned(), json!({ "loadbalancer": tree() })),
        ("l7policy", "L7 Policy", 1, "loadbalancers".to_owned(), json!({ "loadbalancer": tree() })),
        ("l7rule", "L7 Rule", 1, "loadbalancers".to_owned(), json!({ "loadbalancer": tree() })),
        (
            "l7policy",
            "L7 Policy",
            1,
            "l7policies".to_owned(),
            json!({ "l7policy": { "listener_id": listener, "action": "REJECT" } }),
        ),
        (
            "l7rule",
            "L7 Rule",
            1,
            format!("l7policies/{policy}/rules"),
            json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/x" } }),
        ),
        (
            "listener",
            "Listener",
            1,
            "listeners".to_owned(),
            json!({ "listener": { "loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 81 } }),
        ),
        (
            "pool",
            "Pool",
            2,
            "pools".to_owned(),
            json!({ "pool": { "loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "SOURCE_IP" } }),
        ),
        (
            "member",
            "Member",
            1,
            format!("pools/{bare_pool}/members"),
            json!({ "member": { "address": "192.0.2.9", "protocol_port": 80 } }),
        ),
        (
            "health_monitor",
            "Health Monitor",
            1,
            "healthmonitors".to_owned(),
            json!({ "healthmonitor": {
                "pool_id": bare_pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2,
            } }),
        ),
    ]
}

/// Over quota is 403 before anything is said of pending things, and leaves no trace; one more of room is enough.
#[tokio::test]
async fn creates_stay_within_the_quota() {
    for pending_writes in [PendingWrites::Queue, PendingWrites::Reject] {
        let options = || ApiOptions { pending_writes, ..ApiOptions::default() };
        let (world, lb, pool) = world_with_tree(options()).await;
        let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
        for (key, words, in_use, path, body) in creates(&graph, &pool) {
            // The load balancer is still PENDING_CREATE.
            set(&world, json!({ key: in_use })).await;
            let refused = world.post(&path, body.clone()).await;
            let text = format!("Quota has been met for resources: {words}");
            assert_eq!((refused.status, refused.text()), (403, text), "{path}");
            assert_eq!(refused.body["faultcode"], "Client");
            assert_eq!(world.network.vips.lock().expect("not poisoned").len(), 1, "no address is kept");
            set(&world, json!({ key: null })).await;
        }
        assert_eq!(world.generation(lb).await, 1, "nothing was changed");
    }
    for index in 0..13 {
        let (world, lb, pool) = world_with_tree(ApiOptions::default()).await;
        let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
        let (key, _, in_use, path, body) = creates(&graph, &pool).swap_remove(index);
        // The single call brings two pools.
        let more = if key == "pool" && path == "loadbalancers" { 2 } else { 1 };
        set(&world, json!({ key: in_use + more - 1 })).await;
        world.post(&path, body.clone()).await.expect(403);
        set(&world, json!({ key: in_use + more })).await;
        world.post(&path, body).await.expect(201);
    }
}

#[tokio::test]
async fn a_configured_limit_counts_like_a_set_one() {
    let limit = |number| Limit::new(number).expect("in range");
    let default_quota = Quota { load_balancer: limit(1), ..Quota::default() };
    let world = World::with(ApiOptions { default_quota, ..ApiOptions::default() }).await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } });
    world.post("loadbalancers", body.clone()).await.expect(201);
    world.post("loadbalancers", body.clone()).await.expect(403);
    set(&world, json!({ "load_balancer": -1 })).await;
    world.post("loadbalancers", body.clone()).await.expect(201);
    set(&world, json!({ "load_balancer": null })).await;
    world.post("loadbalancers", body).await.expect(403);
}

/// Limit 2, two members; what batches may do, one after the other, while nothing of it is in force.
#[tokio::test]
async fn a_batch_is_checked_for_what_it_adds() {
    let (world, lb, pool) = world_with_tree(ApiOptions::default()).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let first = graph.pools.iter().find(|pool| pool.name == "p").expect("a pool").id;
    world.delete(&format!("pools/{first}/members/{}", graph.members[0].id)).await.expect(204);
    world.settle(lb).await;
    set(&world, json!({ "member": 2 })).await;
    for (addresses, query, status) in [
        ("a b", "", 202),
        ("a b", "", 202),
        ("c", "?additive_only=true", 403),
        ("a b c", "", 403),
        ("", "?additive_only=true", 202),
        // As many go as come.
        ("c d", "", 202),
        // And all of them are not had by asking for those that are on their way out.
        ("a b c d", "", 403),
        ("a", "?additive_only=true", 403),
        ("c", "", 202),
        ("c d", "", 403),
    ] {
        let members = addresses.split_whitespace().map(|name| {
            let last = name.as_bytes()[0];
            json!({ "address": format!("192.0.2.{last}"), "protocol_port": 80 })
        });
        let body = json!({ "members": members.collect::<Vec<_>>() });
        let reply = world.put(&format!("pools/{pool}/members{query}"), body).await;
        assert_eq!(reply.status, status, "{addresses} {query}: {}", reply.body);
        if status == 403 {
            assert_eq!(reply.text(), "Quota has been met for resources: Member");
        }
    }
    world.settle(lb).await;
    let body = json!({ "member": { "address": "192.0.2.200", "protocol_port": 80 } });
    world.post(&format!("pools/{pool}/members"), body).await.expect(201);
}

/// What is on its way out counts until it is gone.
#[tokio::test]
async fn room_comes_with_what_is_gone() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    set(&world, json!({ "load_balancer": 1 })).await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } });
    world.delete(&format!("loadbalancers/{lb}")).await.expect(204);
    world.post("loadbalancers", body.clone()).await.expect(403);
    let lease = world.lease(lb).await;
    world.store.lb_deleted(&lease).await.expect("deleted");
    world.post("loadbalancers", body).await.expect(201);
}

#[tokio::test]
async fn without_authentication_quotas_do_not_count() {
    let world = World::noauth().await;
    set(&world, json!({ "load_balancer": 0, "listener": 0 })).await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "project_id": "own" } });
    let made = world.post("loadbalancers", body).await.expect(201);
    let id = &made["loadbalancer"]["id"];
    let body = json!({ "listener": { "loadbalancer_id": id, "protocol": "TCP", "protocol_port": 81 } });
    world.post("listeners", body).await.expect(201);
}
