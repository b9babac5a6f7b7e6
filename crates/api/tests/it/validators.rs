//! ETag and If-None-Match.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{ADMIN, MEMBER, Reply, World};

async fn get(world: &World, token: &str, path: &str, known: &[&str]) -> Reply {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/lbaas/{path}") };
    let mut request = Request::get(path).header("host", "api.test:9876").header("x-auth-token", token);
    for known in known {
        request = request.header("if-none-match", *known);
    }
    world.send(request.body(Body::empty()).expect("a request")).await
}

fn tag(reply: &Reply) -> String {
    reply.headers["etag"].to_str().expect("text").to_owned()
}

/// 304 has what a cache needs to go on with what it has, and nothing else.
#[track_caller]
fn unchanged(reply: &Reply, full: &Reply) {
    assert_eq!((reply.status, &reply.body), (304, &Value::Null));
    for name in ["etag", "vary", "cache-control"] {
        assert_eq!(reply.headers.get(name), full.headers.get(name), "{name}");
    }
    assert!(reply.headers.contains_key("x-openstack-request-id"));
    assert!(!reply.headers.contains_key("content-type"));
}

#[tokio::test]
async fn who_has_an_answer_is_not_sent_it_again() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({ "name": "a" })).await;
    world.catalogue().await;
    for path in [
        "/openapi.json".to_owned(),
        "loadbalancers".to_owned(),
        "loadbalancers?fields=name&sort=id".to_owned(),
        format!("loadbalancers/{lb}"),
        format!("loadbalancers/{lb}/status"),
        format!("loadbalancers/{lb}/stats"),
        format!("loadbalancers/{lb}/operations"),
        "listeners".to_owned(),
        "quotas/own".to_owned(),
        "quotas/own/default".to_owned(),
        "providers".to_owned(),
        "flavors".to_owned(),
        "availabilityzones/here".to_owned(),
        "/v2/octavia/amphorae".to_owned(),
    ] {
        let full = get(&world, ADMIN, &path, &[]).await;
        let (tag, again) = (tag(&full), get(&world, ADMIN, &path, &[]).await);
        assert_eq!(full.headers["content-type"], "application/json", "{path}");
        assert_eq!(again.headers["etag"], full.headers["etag"], "{path}");
        assert!(full.status == 200 && !full.body.is_null(), "{path}: {}", full.body);
        let weak = format!("W/{tag}");
        let listed = format!("\"x\", {tag}");
        for known in [&[tag.as_str()][..], &[weak.as_str()], &[listed.as_str()], &["\"x\"", &tag], &["*"]] {
            unchanged(&get(&world, ADMIN, &path, known).await, &full);
        }
        for known in [&["\"x\""][..], &["nonsense"], &[&tag[1..]], &[""]] {
            assert_eq!(get(&world, ADMIN, &path, known).await.expect(200), full.body, "{path} {known:?}");
        }
    }
}

#[tokio::test]
async fn a_change_changes_the_tag() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({ "name": "a" })).await;
    let (list, one) = ("loadbalancers".to_owned(), format!("loadbalancers/{lb}"));
    let tags =
        async || [tag(&get(&world, MEMBER, &list, &[]).await), tag(&get(&world, MEMBER, &one, &[]).await)];
    let first = tags().await;
    // Also what changes by itself.
    world.settle(lb).await;
    let settled = tags().await;
    let renamed = json!({ "loadbalancer": { "name": "b" } });
    world.put(&one, renamed).await.expect(200);
    let renamed = tags().await;
    for n in [0, 1] {
        assert!(first[n] != settled[n] && settled[n] != renamed[n] && first[n] != renamed[n]);
    }
    let stale = get(&world, MEMBER, &one, &[&settled[1]]).await;
    assert_eq!(stale.expect(200)["loadbalancer"]["name"], "b");
}

#[tokio::test]
async fn a_tag_opens_nothing() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let path = format!("loadbalancers/{lb}");
    let full = get(&world, MEMBER, &path, &[]).await;
    assert_eq!(full.headers["vary"], "X-Auth-Token");
    assert_eq!(full.headers["cache-control"], "private, no-cache");
    let tag = tag(&full);
    for (token, path, status) in [
        ("nonsense", path.as_str(), 401),
        ("member@other", &path, 403),
        (MEMBER, "loadbalancers/x", 404),
        (MEMBER, "loadbalancers?limit=x", 400),
    ] {
        for known in [tag.as_str(), "*"] {
            let reply = get(&world, token, path, &[known]).await;
            assert_eq!(reply.status, status, "{path}");
            assert!(!reply.headers.contains_key("etag"));
        }
    }
}

#[tokio::test]
async fn only_reads_have_tags() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let request = Request::put(format!("/v2/lbaas/loadbalancers/{lb}"))
        .header("x-auth-token", MEMBER)
        .header("content-type", "application/json")
        .header("if-none-match", "*");
    let body = json!({ "loadbalancer": { "name": "b" } }).to_string();
    let reply = world.send(request.body(Body::from(body)).expect("a request")).await;
    assert!(!reply.headers.contains_key("etag") && !reply.headers.contains_key("vary"));
    assert_eq!(reply.expect(200)["loadbalancer"]["name"], "b");
}
