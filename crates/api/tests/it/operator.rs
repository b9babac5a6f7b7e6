//! What operators put around the API: health checks, proxies, other origins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use http::{HeaderMap, Request};
use octavia_api::{ApiOptions, CorsOptions, HealthcheckBackend, HealthcheckOptions, Peer};
use octavia_store::{Call, Interceptor, StoreError};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{MEMBER, World};

/// An answer of whatever type: status, headers, text.
async fn raw(world: &World, request: Request<Body>) -> (u16, HeaderMap, String) {
    let response = world.router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    assert!(parts.headers.contains_key("x-openstack-request-id"), "every answer has a request id");
    (parts.status.as_u16(), parts.headers, String::from_utf8(bytes.to_vec()).expect("text"))
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "api.test");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.extension(peer("192.0.2.9")).body(Body::empty()).expect("a request")
}

fn peer(address: &str) -> Peer {
    Peer { address: format!("{address}:1234").parse().expect("an address"), port: 9876 }
}

async fn healthcheck(options: HealthcheckOptions) -> World {
    let healthcheck = HealthcheckOptions { enabled: true, ..options };
    World::with(ApiOptions { healthcheck, ..ApiOptions::default() }).await
}

#[tokio::test]
async fn healthcheck_answers_without_a_token() {
    let backends = vec![HealthcheckBackend::Database];
    let world = healthcheck(HealthcheckOptions { backends, ..HealthcheckOptions::default() }).await;
    let json = "{\n  \"detailed\": false,\n  \"reasons\": [\n    \"OK\"\n  ]\n}";
    for (method, path, accept, status, kind, body) in [
        ("GET", "/healthcheck", "", 200, "text/plain; charset=UTF-8", "OK"),
        ("GET", "/load-balancer/healthcheck", "*/*", 200, "text/plain; charset=UTF-8", "OK"),
        ("GET", "/healthcheck", "application/json", 200, "application/json; charset=UTF-8", json),
        ("GET", "/healthcheck", "image/png", 200, "text/plain; charset=UTF-8", "OK"),
        ("HEAD", "/healthcheck", "application/json", 204, "", ""),
        ("OPTIONS", "/healthcheck", "", 200, "", ""),
    ] {
        let (got, headers, text) = raw(&world, request(method, path, &[("accept", accept)])).await;
        let content_type = headers.get("content-type").map_or("", |kind| kind.to_str().expect("text"));
        assert_eq!((got, content_type, text.as_str()), (status, kind, body), "{method} {path} {accept}");
    }
    let (status, _, html) = raw(&world, request("GET", "/healthcheck", &[("accept", "text/html")])).await;
    assert!(status == 200 && html.contains("<h1>OK</h1>"), "{html}");
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let (status, headers, _) = raw(&world, request(method, "/healthcheck", &[])).await;
        assert_eq!(status, 405, "{method}");
        assert_eq!(headers["allow"], "GET, HEAD");
    }
    let other = raw(&world, request("GET", "/healthcheck/x", &[])).await;
    assert_eq!(other.0, 401, "only this path is public");
}

#[tokio::test]
async fn healthcheck_details_are_shown_when_asked_for() {
    let backends = vec![HealthcheckBackend::Database];
    let options = HealthcheckOptions { backends, detailed: true, ..HealthcheckOptions::default() };
    let world = healthcheck(options).await;
    let (_, _, text) = raw(&world, request("GET", "/healthcheck", &[("accept", "application/json")])).await;
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(shown["detailed"], true);
    assert_eq!(shown["reasons"][0]["reason"], "OK");
    assert_eq!(shown["reasons"][0]["details"], "the database answers");
    assert!(shown["reasons"][0]["class"].is_string() && shown["now"].is_string(), "{shown}");
}

#[tokio::test]
async fn healthcheck_looks_at_files() {
    let dir = std::env::temp_dir().join(format!("octavia-api-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&dir).expect("a directory");
    let path = |name: &str| dir.join(name);
    let world = healthcheck(HealthcheckOptions {
        backends: vec![
            HealthcheckBackend::DisableByFile,
            HealthcheckBackend::DisableByFilesPorts,
            HealthcheckBackend::EnableByFiles,
        ],
        disable_by_file: Some(path("off")),
        disable_by_ports: vec![(9877, path("other-port")), (9876, path("port"))],
        enable_by_files: vec![path("on"), path("on-too")],
        ..HealthcheckOptions::default()
    })
    .await;
    for (files, status, text) in [
        (&[][..], 503, "OK\nOK\nFILE PATH MISSING"),
        (&["on-too"][..], 200, "OK\nOK\nOK"),
        (&["on", "other-port"][..], 200, "OK\nOK\nOK"),
        (&["on", "port"][..], 503, "OK\nDISABLED BY FILE\nOK"),
        (&["on", "off"][..], 503, "DISABLED BY FILE\nOK\nOK"),
    ] {
        for file in files {
            std::fs::write(path(file), "").expect("a file");
        }
        let got = raw(&world, request("GET", "/healthcheck", &[])).await;
        assert_eq!((got.0, got.2.as_str()), (status, text), "{files:?}");
        let head = raw(&world, request("HEAD", "/healthcheck", &[])).await;
        assert_eq!((head.0, head.2.as_str()), (if status == 200 { 204 } else { 503 }, ""), "{files:?}");
        for file in files {
            std::fs::remove_file(path(file)).expect("removed");
        }
    }
    std::fs::remove_dir(dir).expect("removed");
}

#[tokio::test]
async fn healthcheck_answers_those_who_may_ask() {
    let world = healthcheck(HealthcheckOptions {
        allowed_sources: vec!["192.0.2.0/24".parse().expect("a network")],
        ignore_proxied: true,
        ..HealthcheckOptions::default()
    })
    .await;
    for (from, header, status) in [
        ("192.0.2.1", "x-other", 200),
        ("[::ffff:192.0.2.1]", "x-other", 200),
        ("198.51.100.1", "x-other", 404),
        ("192.0.2.1", "x-forwarded-for", 404),
        ("192.0.2.1", "forwarded", 404),
    ] {
        let mut request = request("GET", "/healthcheck", &[(header, "for=192.0.2.2")]);
        request.extensions_mut().insert(peer(from));
        assert_eq!(raw(&world, request).await.0, status, "{from} {header}");
    }
}

/// Counts looks at the database, and fails them when told to.
#[derive(Debug, Default)]
struct Pings {
    count: AtomicU32,
    fail: AtomicBool,
}

#[async_trait]
impl Interceptor for Pings {
    async fn before(&self, call: &Call) -> Result<(), StoreError> {
        if call.name == "ping" {
            self.count.fetch_add(1, Ordering::Relaxed);
            if self.fail.load(Ordering::Relaxed) {
                let error = "password of octavia@db.internal".to_owned();
                return Err(StoreError::Corrupt { table: "ping", detail: error });
            }
        }
        Ok(())
    }

    async fn after(&self, _: &Call) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn healthcheck_asks_the_database_now_and_then() {
    for (refresh, asked) in [(Duration::from_secs(3600), 1), (Duration::ZERO, 20)] {
        let pings = Arc::new(Pings::default());
        let healthcheck = HealthcheckOptions {
            enabled: true,
            backends: vec![HealthcheckBackend::Database],
            detailed: true,
            refresh,
            ..HealthcheckOptions::default()
        };
        let options = ApiOptions { healthcheck, ..ApiOptions::default() };
        let world = World::intercepted_with(options, pings.clone()).await;
        let asking = (0..20).map(|_| raw(&world, request("GET", "/healthcheck", &[])));
        let answers = futures::future::join_all(asking).await;
        assert!(answers.iter().all(|(status, ..)| *status == 200));
        assert_eq!(pings.count.load(Ordering::Relaxed), asked);
        pings.fail.store(true, Ordering::Relaxed);
        let (status, _, text) = raw(&world, request("GET", "/healthcheck", &[("accept", "text/html")])).await;
        assert_eq!(status, if refresh.is_zero() { 503 } else { 200 });
        assert!(!text.contains("db.internal"), "what the database says is not for everybody: {text}");
    }
}

#[tokio::test]
async fn links_are_as_the_client_sees_them_if_a_proxy_is_believed() {
    let headers = [
        ("host", "inner.test:9876"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "lb.test"),
        ("x-forwarded-prefix", "/cloud"),
        ("x-auth-token", MEMBER),
    ];
    for (proxy_headers, base) in [(false, "http://inner.test:9876"), (true, "https://lb.test/cloud")] {
        let world = World::with(ApiOptions { proxy_headers, ..ApiOptions::default() }).await;
        for _ in 0..2 {
            world.load_balancer(MEMBER, json!({})).await;
        }
        let (_, _, versions) = raw(&world, request("GET", "/load-balancer/", &headers)).await;
        let versions: Value = serde_json::from_str(&versions).expect("JSON");
        assert_eq!(versions["versions"][0]["links"][0]["href"], format!("{base}/load-balancer/v2"));
        let (_, _, page) = raw(&world, request("GET", "/v2/lbaas/loadbalancers?limit=1", &headers)).await;
        let page: Value = serde_json::from_str(&page).expect("JSON");
        let next = page["loadbalancers_links"][0]["href"].as_str().expect("a URL");
        assert!(next.starts_with(&format!("{base}/v2/lbaas/loadbalancers?limit=1&marker=")), "{next}");
    }
}

#[tokio::test]
async fn pages_of_other_origins() {
    let cors = CorsOptions { allowed_origins: vec!["https://a.test".to_owned()], ..CorsOptions::default() };
    let world = World::with(ApiOptions { cors: vec![cors], ..ApiOptions::default() }).await;
    let allowed = "access-control-allow-origin";
    for (method, path, token, origin, status, granted) in [
        ("GET", "/v2/lbaas/pools", MEMBER, "https://a.test", 200, true),
        ("GET", "/", "", "https://a.test", 200, true),
        // Scripts see why they are refused.
        ("GET", "/v2/lbaas/pools", "", "https://a.test", 401, true),
        ("GET", "/v2/lbaas/nothing", MEMBER, "https://a.test", 404, true),
        ("GET", "/v2/lbaas/pools", MEMBER, "https://b.test", 200, false),
        ("OPTIONS", "/v2/lbaas/pools", "", "https://b.test", 200, false),
        ("OPTIONS", "/v2/lbaas/pools", "", "https://a.test", 200, true),
    ] {
        let headers = [
            ("origin", origin),
            ("x-auth-token", token),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "X-Auth-Token"),
        ];
        let (got, headers, text) = raw(&world, request(method, path, &headers)).await;
        assert_eq!((got, headers.contains_key(allowed)), (status, granted), "{method} {path} {origin}");
        assert!(headers.get_all("vary").iter().any(|vary| vary == "Origin"), "{headers:?}");
        if granted {
            assert_eq!(headers[allowed], "https://a.test");
        }
        if method == "OPTIONS" {
            assert_eq!(text, "");
            assert_eq!(headers.contains_key("access-control-allow-methods"), granted);
        }
    }
    let without = World::new().await;
    let question = [("origin", "https://a.test"), ("access-control-request-method", "GET")];
    let (status, headers, _) = raw(&without, request("OPTIONS", "/v2", &question)).await;
    assert_eq!(status, 200);
    assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{headers:?}");
}

/// Whatever clients write, there are no more series than rows of the table; and what has ended is not in flight.
#[tokio::test]
async fn requests_are_counted_by_rows_of_the_table() {
    let world = World::new().await;
    for (method, path, token) in [
        ("GET", "/", ""),
        ("GET", "/v2", MEMBER),
        ("GET", "/healthcheck", ""),
        ("OPTIONS", "/v2/lbaas/pools", ""),
        ("GET", "/v2/lbaas/pools/QzX7", MEMBER),
        ("GET", "/load-balancer/v2.0/pools/QzX7.json", MEMBER),
        ("GET", "/v2/lbaas/pools/QzX7/extra/segments", MEMBER),
        ("DELETE", "/v2/lbaas/pools/QzX7", ""),
        ("GET", "/v2/lbaas/QzX7", MEMBER),
        ("QZX7", "/v2/lbaas/pools", MEMBER),
        ("GET", "/QzX7", ""),
        ("GET", "/v2/lbaas/pools", "panic"),
    ] {
        raw(&world, request(method, path, &[("x-auth-token", token)])).await;
    }
    let hung_up =
        world.router.clone().oneshot(request("GET", "/v2/lbaas/pools", &[("x-auth-token", "silence")]));
    // Begun, and dropped before it is answered, for it never is.
    assert!(futures::FutureExt::now_or_never(hung_up).is_none());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let text = loop {
        let (mut registry, mut text) = (Registry::default(), String::new());
        world.metrics.register(&mut registry);
        encode(&mut text, &registry).expect("encoded");
        if text.contains("api_requests_in_flight 0") {
            break text;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        tokio::task::yield_now().await;
    };
    let mut counted: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("api_requests_total"))
        .map(|line| line.replace(['{', '}', '"'], "").replace("endpoint=", "").replace("status=", ""))
        .collect();
    counted.sort();
    assert_eq!(
        counted,
        [
            "healthcheck,method=GET,4xx 1",
            "none,method=GET,4xx 2",
            "none,method=other,4xx 1",
            // Its client hung up.
            "pools,method=GET,4xx 1",
            "pools,method=GET,5xx 1",
            "pools/id,method=DELETE,4xx 1",
            "pools/id,method=GET,4xx 3",
            "preflight,method=OPTIONS,2xx 1",
            "root,method=GET,2xx 1",
            "versions,method=GET,2xx 1",
        ]
    );
    assert!(!text.contains("QzX7"), "{text}");
}
