//! A key manager's list of who may read a secret changes for what is stored, and for nothing else.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::secrets::{CLOSED, FORBIDDEN, reference};
use crate::world::{ABSENT, ADMIN, MEMBER, SUBNET, World};

fn admitted(world: &World) -> usize {
    world.secrets.admitted.load(Ordering::Relaxed)
}

fn tls(lb: &str, port: u16) -> Value {
    json!({ "listener": { "loadbalancer_id": lb, "protocol": "TERMINATED_HTTPS", "protocol_port": port,
        "default_tls_container_ref": reference(CLOSED) } })
}

/// With something else in it.
fn with(mut body: Value, more: &Value) -> Value {
    let inside = body.as_object_mut().and_then(|body| body.values_mut().next()).expect("a body");
    crate::world::merge(inside, more);
    body
}

#[tokio::test]
async fn what_is_refused_lets_the_service_read_nothing() {
    let world = World::of_anything().await;
    let lb = world.load_balancer(MEMBER, json!({})).await.to_string();
    let plain = json!({ "listener": { "loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80 } });
    let plain = world.post("listeners", plain).await.expect(201)["listener"]["id"].take();
    let plain = format!("listeners/{}", plain.as_str().expect("an id"));
    let (pool, limit) =
        (json!({ "tls_container_ref": reference(CLOSED) }), json!({ "quota": { "listener": 1 } }));
    let pool = with(
        json!({ "pool": { "loadbalancer_id": lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "session_persistence": { "type": "APP_COOKIE" } } }),
        &pool,
    );
    let listener = json!({ "protocol": "TERMINATED_HTTPS", "protocol_port": 443,
        "default_tls_container_ref": reference(CLOSED) });
    let tree =
        json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "listeners": [listener.clone(), listener] } });
    for (what, token, method, path, body, status) in [
        ("no right", "reader@own", "POST", "listeners", tls(&lb, 443), 403),
        ("nobody's", MEMBER, "POST", "listeners", tls(ABSENT, 443), 404),
        ("a port that is taken", MEMBER, "POST", "listeners", tls(&lb, 80), 409),
        (
            "a bad value",
            MEMBER,
            "POST",
            "listeners",
            with(tls(&lb, 443), &json!({ "default_pool_id": ABSENT })),
            404,
        ),
        (
            "another certificate that is not to be had",
            MEMBER,
            "POST",
            "listeners",
            with(tls(&lb, 443), &json!({ "sni_container_refs": [reference(FORBIDDEN)] })),
            400,
        ),
        ("a rule", MEMBER, "POST", "pools", pool, 400),
        ("a port twice in a tree", MEMBER, "POST", "loadbalancers", tree, 409),
        ("the quota", MEMBER, "POST", "listeners", tls(&lb, 443), 403),
        (
            "a dry run",
            MEMBER,
            "PUT",
            &format!("{plain}?dry_run=true"),
            json!({ "listener": { "name": "x" } }),
            200,
        ),
    ] {
        if what == "the quota" {
            world.call_as(ADMIN, "PUT", "quotas/own", Some(&limit.to_string())).await.expect(202);
        }
        let reply = world.call_as(token, method, path, Some(&body.to_string())).await;
        assert_eq!((reply.status, admitted(&world)), (status, 0), "{what}: {}", reply.body);
    }
    world.call_as(ADMIN, "DELETE", "quotas/own", None).await.expect(202);
    assert!(world.get("listeners").await["listeners"].as_array().is_some_and(|list| list.len() == 1));
    world
        .call_as(MEMBER, "POST", "listeners?dry_run=true", Some(&tls(&lb, 443).to_string()))
        .await
        .expect(200);
    assert_eq!(admitted(&world), 0);

    let made = world.post("listeners", tls(&lb, 443)).await.expect(201);
    assert_eq!(admitted(&world), 1);
    let id = made["listener"]["id"].as_str().expect("an id");
    let path = format!("listeners/{id}");
    assert_eq!(world.get(&path).await["listener"]["default_tls_container_ref"], reference(CLOSED));
}

/// The first that names it lets the service in, also with a key, and in a tree; and makes what it makes once.
#[tokio::test]
async fn what_is_stored_lets_the_service_read() {
    let world = World::of_anything().await;
    let tree = json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "listeners": [{ "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443, "default_tls_container_ref": reference(CLOSED) }] } });
    let send = async || {
        let request = Request::builder()
            .method("POST")
            .uri("/v2/lbaas/loadbalancers")
            .header("x-auth-token", MEMBER)
            .header("content-type", "application/json")
            .header("idempotency-key", "k")
            .body(Body::from(tree.to_string()))
            .expect("a request");
        world.send(request).await.expect(201)["loadbalancer"]["id"].take()
    };
    let first = send().await;
    assert_eq!((admitted(&world), &send().await), (1, &first));
    assert_eq!(world.get("loadbalancers").await["loadbalancers"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.network.vips.lock().expect("not poisoned").len(), 1, "no address is lost");
}
