//! Bytes nobody means well with. None of them may be answered 500, and the server goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use octavia_store::{Call, Interceptor, StoreError};
use serde_json::json;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::world::{MEMBER, SUBNET, World};

async fn post(world: &World, path: &str, body: impl Into<Body>) -> u16 {
    let request = Request::post(path)
        .header("host", "h")
        .header("x-auth-token", MEMBER)
        .header("content-type", "application/json")
        .body(body.into())
        .expect("a request");
    let reply = world.send(request).await;
    assert_ne!(reply.status, 500, "{path}: {}", reply.body);
    reply.status
}

#[tokio::test]
async fn bodies() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let path = "/v2/lbaas/listeners";
    let inner =
        |text: &str| format!(r#"{{"listener":{{"loadbalancer_id":"{lb}","protocol":"HTTP",{text}}}}}"#);
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    for (what, body, status) in [
        ("deep lists", deep("[", "]", 20_000).into_bytes(), 400),
        ("deep objects", deep(r#"{"a":"#, "}", 10_000).into_bytes(), 400),
        ("deep value", inner(&format!(r#""tags":{}"#, deep("[", "]", 100))).into_bytes(), 400),
        ("invalid UTF-8", b"{\"listener\":{\"name\":\"\xff\xfe\"}}".to_vec(), 400),
        ("overlong UTF-8", b"{\"listener\":{\"name\":\"\xc0\x80\"}}".to_vec(), 400),
        ("byte order mark", b"\xef\xbb\xbf{\"listener\":{}}".to_vec(), 400),
        ("NUL bytes", vec![0; 100], 400),
        ("huge number", inner(r#""protocol_port":1e308"#).into_bytes(), 400),
        ("infinite number", inner(r#""protocol_port":1e999"#).into_bytes(), 400),
        ("long number", inner(&format!(r#""protocol_port":{}"#, "9".repeat(5000))).into_bytes(), 400),
        ("negative zero", inner(r#""protocol_port":-0.0"#).into_bytes(), 400),
        ("number in text", inner(r#""protocol_port":"١٢""#).into_bytes(), 400),
        ("long text", inner(&format!(r#""name":"{}""#, "x".repeat(100_000))).into_bytes(), 400),
        ("escaped NUL", inner(r#""protocol_port":80,"name":"\u0000""#).into_bytes(), 400),
        ("lone surrogate", inner(r#""protocol_port":80,"name":"\udc00""#).into_bytes(), 400),
        (
            "many keys",
            format!(
                "{{\"listener\":{{{}}}}}",
                (0..5000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",")
            )
            .into_bytes(),
            400,
        ),
        ("too large", vec![b' '; 114_689], 413),
        ("exactly as large as allowed", vec![b' '; 114_688], 400),
    ] {
        assert_eq!(post(&world, path, body).await, status, "{what}");
    }
    // Of a repeated key the last one counts, as in the original.
    let twice = inner(r#""protocol_port":80,"name":"first","name":"last""#);
    assert_eq!(post(&world, path, twice).await, 201);
    let list = world.get("listeners").await;
    assert_eq!(list["listeners"][0]["name"], "last");
    // Names may hold anything else there is.
    let odd =
        inner(r#""protocol_port":81,"name":"\u001b[31m \"'; DROP TABLE listener; -- \ud83d\ude00\u202e\\""#);
    assert_eq!(post(&world, path, odd).await, 201);
    let list = world.get("listeners?protocol_port=81").await;
    assert_eq!(list["listeners"][0]["name"], "\u{1b}[31m \"'; DROP TABLE listener; -- \u{1f600}\u{202e}\\");
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let world = World::new().await;
    let chunks = (0..1000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 16 * 1024]));
    let endless = Body::from_stream(futures::stream::iter(chunks));
    assert_eq!(post(&world, "/v2/lbaas/loadbalancers", endless).await, 413);
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let options = octavia_api::ApiOptions {
        body_timeout: std::time::Duration::from_millis(20),
        ..octavia_api::ApiOptions::default()
    };
    let world = World::with(options).await;
    let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(post(&world, "/v2/lbaas/loadbalancers", never).await, 408);
}

#[tokio::test]
async fn paths_and_queries() {
    let world = World::new().await;
    let long = "x".repeat(8000);
    for (path, status) in [
        ("/v2/lbaas/loadbalancers/%", 404),
        ("/v2/lbaas/loadbalancers/%zz", 404),
        ("/v2/lbaas/loadbalancers/%00", 404),
        ("/v2/lbaas/loadbalancers/%ff%fe", 404),
        ("/v2/lbaas/loadbalancers/..%2f..%2fetc%2fpasswd", 404),
        ("/v2/lbaas/../../etc/passwd", 404),
        ("/v2/lbaas/loadbalancers/'%20OR%201=1", 404),
        ("/v2/lbaas/loadbalancers//", 200),
        ("/v2/lbaas//loadbalancers", 404),
        ("/v2%2flbaas/loadbalancers", 404),
        ("/v2/lbaas/LOADBALANCERS", 404),
        ("/v2/lbaas/loadbalancers?%00=1", 400),
        ("/v2/lbaas/loadbalancers?name=%00", 400),
        ("/v2/lbaas/loadbalancers?name=%ff", 200),
        ("/v2/lbaas/loadbalancers?name='%20OR%201=1", 200),
        ("/v2/lbaas/loadbalancers?&&&=&=", 400),
        ("/v2/lbaas/loadbalancers?limit=99999999999999999999", 200),
        ("/v2/lbaas/loadbalancers?limit=9_9", 400),
        ("/v2/lbaas/loadbalancers?limit=-99999999999", 200),
        ("/v2/lbaas/loadbalancers?limit=%00", 400),
        ("/v2/lbaas/loadbalancers?marker=%00", 400),
        ("/v2/lbaas/loadbalancers?marker='", 400),
        ("/v2/lbaas/loadbalancers?sort=%00", 400),
        ("/v2/lbaas/loadbalancers?sort=id;drop", 400),
        ("/v2/lbaas/loadbalancers?sort=,,,", 200),
        ("/v2/lbaas/loadbalancers?tags=%00", 200),
        ("/v2/lbaas/loadbalancers?project_id=%00", 403),
        ("/v2/lbaas/loadbalancers?created_at=yesterday", 200),
        ("/v2/lbaas/loadbalancers?vip_address=nowhere", 200),
        ("/v2/lbaas/listeners?protocol_port=x", 200),
        ("/v2/lbaas/listeners?protocol_port=99999999999999999999", 200),
        ("/v2/lbaas/healthmonitors?http_version=NaN", 200),
    ] {
        let reply = world.call_as(MEMBER, "GET", path, None).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
    }
    let reply = world.call_as(MEMBER, "GET", &format!("/v2/lbaas/loadbalancers/{long}"), None).await;
    assert_eq!(reply.status, 404);
    let reply = world.call_as(MEMBER, "GET", &format!("/v2/lbaas/loadbalancers?name={long}"), None).await;
    assert_eq!(reply.status, 200);
    // Each tag once made the statement deeper, until the stack was full.
    for argument in ["tags", "tags-any", "not-tags", "not-tags-any"] {
        for (count, status) in [(1_000, 200), (1_001, 400), (10_000, 400)] {
            let tags: Vec<_> = (0..count).map(|n| format!("{n:x}")).collect();
            for resource in ["loadbalancers", "pools"] {
                let path = format!("/v2/lbaas/{resource}?{argument}={}", tags.join(","));
                let reply = world.call_as(MEMBER, "GET", &path, None).await;
                assert_eq!(reply.status, status, "{argument} of {count}: {}", reply.body);
            }
        }
    }
    for query in ["name=%00", "project_id=%00", "tags=%00", "marker=%00"] {
        let path = format!("/v2/lbaas/loadbalancers?{query}");
        let reply = world.call_as("admin@own", "GET", &path, None).await;
        assert_ne!(reply.status, 500, "{query}");
    }
}

#[tokio::test]
async fn headers() {
    let world = World::new().await;
    for (name, value) in [
        ("host", "evil\"host"),
        ("host", "a b"),
        ("host", ""),
        ("x-openstack-request-id", "req-\u{7f}"),
        ("x-openstack-request-id", "nonsense"),
        ("accept", ";;;,,,"),
        ("content-type", ";"),
        ("x-forwarded-host", "elsewhere"),
    ] {
        let request = Request::get("/v2/lbaas/loadbalancers").header("x-auth-token", MEMBER);
        let Ok(request) = request.header(name, value.as_bytes()).body(Body::empty()) else { continue };
        let reply = world.send(request).await;
        assert!([200, 406].contains(&reply.status), "{name}: {value}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_panic_ends_one_request_only() {
    let world = World::new().await;
    let reply = world.call_as("panic", "GET", "loadbalancers", None).await;
    assert_eq!(reply.status, 500);
    assert_eq!(reply.body["faultcode"], "Server");
    assert!(!reply.body.to_string().contains("on purpose"), "no internals");
    world.load_balancer(MEMBER, json!({ "vip_subnet_id": SUBNET })).await;
}

/// Lets operations of the store begin when there is a permit, and counts those that have come to it.
#[derive(Debug)]
struct Gate {
    operation: &'static str,
    permits: Semaphore,
    come: AtomicUsize,
}

#[async_trait]
impl Interceptor for Gate {
    async fn before(&self, call: &Call) -> Result<(), StoreError> {
        if call.name == self.operation {
            self.come.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.expect("open").forget();
        }
        Ok(())
    }

    async fn after(&self, _: &Call) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads are forgotten, or a client without patience could have any number of them under way; writes that have begun are
/// not cut in half.
#[tokio::test]
async fn clients_that_hang_up() {
    const CLIENTS: usize = 20;
    for (operation, method, body, goes_on) in [
        ("lb_list", "GET", json!(null), false),
        ("lb_create", "POST", json!({ "loadbalancer": { "vip_subnet_id": SUBNET } }), true),
    ] {
        let gate = Arc::new(Gate { operation, permits: Semaphore::new(0), come: AtomicUsize::new(0) });
        let world = World::intercepted(gate.clone()).await;
        let until = async |what: &str, holds: &dyn Fn() -> bool| {
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while !holds() {
                assert!(std::time::Instant::now() < deadline, "{operation}: {what}");
                tokio::task::yield_now().await;
            }
        };
        let body = body.to_string();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let request = Request::builder()
                    .method(method)
                    .uri("/v2/lbaas/loadbalancers")
                    .header("x-auth-token", MEMBER)
                    .header("content-type", "application/json")
                    .body(Body::from(body.clone()))
                    .expect("a request");
                tokio::spawn(world.router.clone().oneshot(request))
            })
            .collect();
        until("all are under way", &|| gate.come.load(Ordering::Relaxed) == CLIENTS).await;
        assert_eq!(world.in_flight(), CLIENTS as i64);
        clients.iter().for_each(tokio::task::JoinHandle::abort);
        if goes_on {
            gate.permits.add_permits(CLIENTS);
        }
        until("all have ended", &|| world.in_flight() == 0).await;
        gate.permits.add_permits(1);
        let census = world.store.census().await.expect("counted");
        let stored: u64 = census.statuses.iter().map(|(.., count)| count).sum();
        assert_eq!(stored, if goes_on { CLIENTS as u64 } else { 0 }, "{operation}");
    }
}
