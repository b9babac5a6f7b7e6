//! `Idempotency-Key`: what is sent again makes nothing again.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::future::join_all;
use http::Request;
use octavia_api::ApiOptions;
use serde_json::{Value, json};

use crate::world::{ADMIN, MEMBER, Reply, SUBNET, World, reply};

fn request(token: &str, method: &str, path: &str, key: &str, body: &Value) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("/v2/lbaas/{path}"))
        .header("x-auth-token", token)
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn post(world: &World, token: &str, path: &str, key: &str, body: &Value) -> Reply {
    world.send(request(token, "POST", path, key, body)).await
}

fn is_replay(reply: &Reply) -> bool {
    reply.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

fn lb() -> Value {
    json!({ "loadbalancer": { "vip_subnet_id": SUBNET } })
}

async fn lbs(world: &World) -> usize {
    world.call_as(ADMIN, "GET", "loadbalancers", None).await.expect(200)["loadbalancers"]
        .as_array()
        .map_or(0, Vec::len)
}

#[tokio::test]
async fn every_create_is_made_once() {
    let world = World::new().await;
    let id = world.load_balancer(MEMBER, json!({})).await.to_string();
    let pool =
        json!({ "pool": { "loadbalancer_id": id, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" } });
    let pool = world.post("pools", pool).await.expect(201)["pool"]["id"].take();
    let pool = pool.as_str().expect("an id");
    let listener = json!({ "listener": { "loadbalancer_id": id, "protocol": "HTTP", "protocol_port": 90 } });
    let listener = world.post("listeners", listener).await.expect(201)["listener"]["id"].take();
    let policy = json!({ "l7policy": { "listener_id": listener, "action": "REJECT" } });
    let policy = world.post("l7policies", policy).await.expect(201)["l7policy"]["id"].take();
    let policy = policy.as_str().expect("an id");
    world.catalogue().await;
    let (_, flavor_profile) = world.flavor_ids("small").await;
    let zone_profile = world.zone_profile_id("here").await;
    let members = format!("pools/{pool}/members");
    let rules = format!("l7policies/{policy}/rules");
    for (path, body, other) in [
        ("loadbalancers", lb(), json!({ "name": "other" })),
        (
            "listeners",
            json!({ "listener": { "loadbalancer_id": id, "protocol": "HTTP", "protocol_port": 80 } }),
            json!({ "protocol_port": 81 }),
        ),
        (
            "pools",
            json!({ "pool": { "loadbalancer_id": id, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN" } }),
            json!({ "name": "other" }),
        ),
        (
            &members,
            json!({ "member": { "address": "192.0.2.1", "protocol_port": 80 } }),
            json!({ "address": "192.0.2.2" }),
        ),
        (
            "healthmonitors",
            json!({ "healthmonitor": { "pool_id": pool, "type": "TCP", "delay": 5, "timeout": 2, "max_retries": 3 } }),
            json!({ "delay": 6 }),
        ),
        (
            "l7policies",
            json!({ "l7policy": { "listener_id": listener, "action": "REJECT" } }),
            json!({ "name": "other" }),
        ),
        (
            &rules,
            json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/x" } }),
            json!({ "value": "/y" }),
        ),
        (
            "flavorprofiles",
            json!({ "flavorprofile": { "name": "n", "provider_name": "amphora", "flavor_data": "{}" } }),
            json!({ "name": "other" }),
        ),
        (
            "flavors",
            json!({ "flavor": { "name": "n", "flavor_profile_id": flavor_profile } }),
            json!({ "name": "other" }),
        ),
        (
            "availabilityzoneprofiles",
            json!({ "availability_zone_profile":
                { "name": "n", "provider_name": "amphora", "availability_zone_data": "{}" } }),
            json!({ "name": "other" }),
        ),
        (
            "availabilityzones",
            json!({ "availability_zone": { "name": "n", "availability_zone_profile_id": zone_profile } }),
            json!({ "name": "other" }),
        ),
    ] {
        let key = format!("key of {path}");
        let first = post(&world, ADMIN, path, &key, &body).await;
        assert!(!is_replay(&first), "{path}");
        let first = first.expect(201);
        let list = world.call_as(ADMIN, "GET", path, None).await.expect(200);
        // As it was given, quoted, and by another spelling of the path.
        for (key, path) in [(key.as_str(), path), (&format!("\"{key}\""), path), (&key, &format!("{path}/"))]
        {
            let again = post(&world, ADMIN, path, key, &body).await;
            assert!(is_replay(&again), "{path}: {}", again.body);
            assert_eq!(again.expect(201), first, "{path}");
        }
        let mut changed = body.clone();
        let inside = changed.as_object_mut().and_then(|body| body.values_mut().next()).expect("a body");
        crate::world::merge(inside, &other);
        let reused = post(&world, ADMIN, path, &key, &changed).await;
        assert_eq!(reused.text(), "This Idempotency-Key was used for another request.", "{path}");
        reused.expect(422);
        post(&world, ADMIN, &format!("{path}?x=1"), &key, &body).await.expect(400);
        // What is no key makes nothing. Who may not make it hears of that, and of nothing else.
        post(&world, ADMIN, path, "\u{e9}", &changed).await.expect(400);
        for (key, body) in [("\u{e9}", &body), (&key, &body), (&key, &changed)] {
            let reply = post(&world, "reader@own", path, key, body).await;
            assert!(!is_replay(&reply), "{path}: {}", reply.body);
            reply.expect(403);
        }
        assert_eq!(world.call_as(ADMIN, "GET", path, None).await.expect(200), list, "{path}");
    }
    let pool = json!({ "pool": { "loadbalancer_id": id, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN" } });
    post(&world, ADMIN, "pools", "key of loadbalancers", &pool).await.expect(422);
}

/// Two controllers over one store, and requests at the same moment.
#[tokio::test]
async fn of_many_at_once_one_makes_it() {
    let world = World::new().await;
    let other = world.another_controller();
    for round in 0..4 {
        let key = format!("round {round}");
        let send = |router: &Router| {
            let request = request(MEMBER, "POST", "loadbalancers", &key, &lb());
            let router = router.clone();
            async move { reply(tower::ServiceExt::oneshot(router, request).await.expect("infallible")).await }
        };
        let replies = join_all((0..8).map(|n| send(if n % 2 == 0 { &world.router } else { &other }))).await;
        let mut ids = BTreeSet::new();
        let mut made = 0;
        for reply in replies {
            if reply.status == 409 {
                assert_eq!(reply.headers["retry-after"], "1");
                assert!(reply.text().contains("under way"), "{}", reply.text());
                continue;
            }
            made += usize::from(!is_replay(&reply));
            ids.insert(reply.expect(201)["loadbalancer"]["id"].to_string());
        }
        assert_eq!((made, ids.len(), lbs(&world).await), (1, 1, round + 1));
        assert_eq!(world.network.vips.lock().expect("not poisoned").len(), round + 1, "no address is lost");
        // Later, and elsewhere, it is still known.
        assert!(is_replay(&send(&other).await));
    }
}

#[tokio::test]
async fn keys_are_each_projects_own_and_what_failed_is_tried() {
    let world = World::new().await;
    let first = post(&world, MEMBER, "loadbalancers", "k", &lb()).await.expect(201);
    let theirs = post(&world, "member@other", "loadbalancers", "k", &lb()).await;
    assert!(!is_replay(&theirs));
    assert_ne!(theirs.expect(201)["loadbalancer"]["id"], first["loadbalancer"]["id"]);

    let quota = json!({ "quota": { "load_balancer": 1 } }).to_string();
    world.call_as(ADMIN, "PUT", "quotas/own", Some(&quota)).await.expect(202);
    post(&world, MEMBER, "loadbalancers", "l", &lb()).await.expect(403);
    world.call_as(ADMIN, "DELETE", "quotas/own", None).await.expect(202);
    let tried = post(&world, MEMBER, "loadbalancers", "l", &lb()).await;
    assert!(!is_replay(&tried));
    let made = tried.expect(201);

    // As it is now, to who may make one.
    let path = format!("loadbalancers/{}", made["loadbalancer"]["id"].as_str().expect("an id"));
    world.put(&path, json!({ "loadbalancer": { "name": "b" } })).await.expect(200);
    let again = post(&world, MEMBER, "loadbalancers", "l", &lb()).await.expect(201);
    assert_eq!(
        (&again["loadbalancer"]["name"], &again["loadbalancer"]["id"]),
        (&json!("b"), &made["loadbalancer"]["id"])
    );
    post(&world, "reader@own", "loadbalancers", "l", &lb()).await.expect(403);
    post(&world, "nonsense", "loadbalancers", "l", &lb()).await.expect(401);
}

#[tokio::test]
async fn what_was_made_and_is_gone_is_not_made_again() {
    let world = World::new().await;
    let flavor = json!({ "flavorprofile": { "name": "n", "provider_name": "amphora", "flavor_data": "{}" } });
    let made = post(&world, ADMIN, "flavorprofiles", "k", &flavor).await.expect(201);
    let path = format!("flavorprofiles/{}", made["flavorprofile"]["id"].as_str().expect("an id"));
    world.call_as(ADMIN, "DELETE", &path, None).await.expect(204);
    let again = post(&world, ADMIN, "flavorprofiles", "k", &flavor).await;
    assert!(is_replay(&again), "{}", again.body);
    again.expect(404);

    // What it was below is gone, too.
    let id = world.load_balancer(MEMBER, json!({})).await;
    let listener = json!({ "listener":
        { "loadbalancer_id": id.to_string(), "protocol": "HTTP", "protocol_port": 80 } });
    let made = post(&world, MEMBER, "listeners", "l", &listener).await.expect(201);
    let path = format!("listeners/{}", made["listener"]["id"].as_str().expect("an id"));
    world.delete(&path).await.expect(204);
    world.settle(id).await;
    let again = post(&world, MEMBER, "listeners", "l", &listener).await;
    assert!(is_replay(&again), "{}", again.body);
    again.expect(404);
    let reply = post(&world, "reader@own", "listeners", "l", &listener).await;
    assert!(!is_replay(&reply));
    reply.expect(403);
}

#[tokio::test]
async fn keys_expire_and_mean_nothing_elsewhere() {
    let world = World::with(ApiOptions { key_lifetime: Duration::ZERO, ..ApiOptions::default() }).await;
    for count in 1..4 {
        let reply = post(&world, MEMBER, "loadbalancers", "k", &lb()).await;
        assert!(!is_replay(&reply));
        reply.expect(201);
        assert_eq!(lbs(&world).await, count);
    }
    let world = World::new().await;
    let id = world.load_balancer(MEMBER, json!({})).await;
    for key in ["", "\"", "\u{e9}", &"k".repeat(256)] {
        let reply = post(&world, MEMBER, "loadbalancers", key, &lb()).await;
        assert!(reply.text().starts_with("Idempotency-Key must be"), "{}", reply.body);
        reply.expect(400);
        let rename = json!({ "loadbalancer": { "name": "b" } });
        world.send(request(MEMBER, "PUT", &format!("loadbalancers/{id}"), key, &rename)).await.expect(200);
    }
    // A dry run makes nothing, so it uses no key up.
    post(&world, MEMBER, "loadbalancers?dry_run=true", "k", &lb()).await.expect(200);
    let reply = post(&world, MEMBER, "loadbalancers", "k", &lb()).await;
    assert!(!is_replay(&reply));
    reply.expect(201);
}
