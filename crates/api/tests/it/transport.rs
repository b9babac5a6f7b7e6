//! What surrounds the resources: versions, headers, content types, mounts, authentication.

use axum::Router;
use axum::body::Body;
use http::Request;
use serde_json::json;
use tower::ServiceExt;

use crate::world::{ADMIN, MEMBER, SUBNET, World};

fn request(method: &str, uri: &str) -> http::request::Builder {
    Request::builder().method(method).uri(uri).header("host", "api.test").header("x-auth-token", MEMBER)
}

#[tokio::test]
async fn the_version_document_needs_no_token() {
    let world = World::new().await;
    let request = Request::get("/").header("host", "api.test:1").body(Body::empty()).expect("a request");
    let body = world.send(request).await.expect(200);
    let versions = body["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 31);
    assert_eq!(versions[0]["id"], "v2.0");
    assert_eq!(versions[30]["id"], "v2.30");
    let current: Vec<_> = versions.iter().filter(|version| version["status"] == "CURRENT").collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], "v2.30");
    assert!(versions.iter().all(|version| version["links"][0]["href"] == "http://api.test:1/v2"));
}

#[tokio::test]
async fn the_api_is_the_same_under_every_prefix() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({ "name": "x" })).await;
    let mounted = Router::new().nest("/elsewhere", world.router.clone()).merge(world.router.clone());
    let world = World { router: mounted, ..world };
    for mount in ["", "/load-balancer", "/elsewhere"] {
        for version in ["/v2", "/v2.0"] {
            let root = world.get(&format!("{mount}{version}")).await;
            assert_eq!(root, json!("v2"));
            assert_eq!(world.get(&format!("{mount}{version}/lbaas/")).await, json!("v2"));
            for infix in ["", "/lbaas"] {
                for end in ["", "/", ".json"] {
                    let list = world.get(&format!("{mount}{version}{infix}/loadbalancers{end}")).await;
                    assert_eq!(list["loadbalancers"][0]["name"], "x");
                    let one = world.get(&format!("{mount}{version}{infix}/loadbalancers/{lb}{end}")).await;
                    assert_eq!(one["loadbalancer"]["name"], "x");
                }
            }
        }
        let one = world.get(&format!("{mount}/v2/lbaas/loadbalancers/{lb}/foo")).await;
        assert_eq!(one["loadbalancer"]["name"], "x", "extra segments are ignored");
    }
    for path in ["/load-balancer", "/load-balancer/"] {
        let request = Request::get(path).header("host", "h").body(Body::empty()).expect("a request");
        let body = world.send(request).await.expect(200);
        assert_eq!(body["versions"][0]["links"][0]["href"], "http://h/load-balancer/v2", "{path}");
    }
    let page = world.get("/load-balancer/v2/lbaas/loadbalancers?limit=1").await;
    let next = page["loadbalancers_links"][0]["href"].as_str().expect("a URL");
    assert!(
        next.starts_with("http://api.test:9876/load-balancer/v2/lbaas/loadbalancers?limit=1&marker="),
        "{next}"
    );
}

#[tokio::test]
async fn a_call_without_a_good_token_is_401() {
    let world = World::new().await;
    for token in [None, Some(""), Some("nonsense"), Some("caf\u{e9}")] {
        let mut request = Request::get("/v2/lbaas/loadbalancers").header("host", "h");
        if let Some(token) = token {
            request = request.header("x-auth-token", token.as_bytes());
        }
        let reply = world.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.headers["www-authenticate"], "Keystone uri=\"http://identity.test/v3\"");
        assert_eq!(reply.body["error"]["code"], 401);
        assert_eq!(reply.body["error"]["title"], "Unauthorized");
    }
}

#[tokio::test]
async fn noauth_takes_the_context_from_headers_and_everybody_is_an_administrator() {
    let world = World::noauth().await;
    let create = |project: Option<&str>| {
        let mut request = Request::post("/v2/lbaas/loadbalancers").header("content-type", "application/json");
        if let Some(project) = project {
            request = request.header("x-project-id", project);
        }
        let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } }).to_string();
        world.send(request.body(Body::from(body)).expect("a request"))
    };
    create(None).await.expect(400);
    let lb = create(Some("p")).await.expect(201);
    assert_eq!(lb["loadbalancer"]["project_id"], "p");
    create(Some("q")).await.expect(201);
    let request = Request::get("/v2/lbaas/loadbalancers").header("x-project-id", "p");
    let list = world.send(request.body(Body::empty()).expect("a request")).await.expect(200);
    assert_eq!(list["loadbalancers"].as_array().map(Vec::len), Some(2), "of all projects");
}

#[tokio::test]
async fn answers_are_json_only() {
    let world = World::new().await;
    for (accept, status) in [
        (None, 200),
        (Some(""), 200),
        (Some("*/*"), 200),
        (Some("application/json"), 200),
        (Some("APPLICATION/JSON"), 200),
        (Some("application/*"), 200),
        (Some("text/html, application/json;q=0.5"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("text/html"), 406),
        (Some("application/xml"), 406),
        (Some("application/json;q=0"), 406),
        (Some("nonsense"), 406),
    ] {
        let mut request = request("GET", "/v2/lbaas/loadbalancers");
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let reply = world.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(reply.status, status, "{accept:?}");
        assert_eq!(reply.headers["content-type"], "application/json");
        if status == 406 {
            assert_eq!(reply.body["title"], "Not Acceptable");
            assert_eq!(reply.body["code"], 406);
        }
    }
}

#[tokio::test]
async fn bodies_say_that_they_are_json() {
    let world = World::new().await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } }).to_string();
    for (kind, status, text) in [
        (Some("application/json"), 201, ""),
        (Some("application/json; charset=UTF-8"), 201, ""),
        (Some("text/javascript"), 201, ""),
        (Some("application/javascript"), 201, ""),
        (Some("text/plain"), 415, "Unknown mimetype: text/plain"),
        (Some("application/xml"), 415, "Unknown mimetype: application/xml"),
        (None, 415, "Unknown mimetype: "),
        (Some("application/x-www-form-urlencoded"), 400, "Form-encoded bodies are not accepted; send JSON."),
    ] {
        let mut request = request("POST", "/v2/lbaas/loadbalancers");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let reply = world.send(request.body(Body::from(body.clone())).expect("a request")).await;
        assert_eq!((reply.status, reply.text().as_str()), (status, text), "{kind:?}");
    }
}

#[tokio::test]
async fn error_shapes() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let main = world.call_as(MEMBER, "GET", "loadbalancers/x", None).await;
    assert_eq!(
        main.body,
        json!({ "faultcode": "Client", "faultstring": "Load Balancer x not found.", "debuginfo": null })
    );
    let sctp =
        json!({ "listener": { "loadbalancer_id": lb.to_string(), "protocol": "SCTP", "protocol_port": 53 } });
    let server = world.call_as(MEMBER, "POST", "listeners", Some(&sctp.to_string())).await;
    assert_eq!((server.status, &server.body["faultcode"]), (501, &json!("Server")));
    let path = world.call_as(MEMBER, "GET", "nothing", None).await;
    assert_eq!(path.body, json!({ "code": 404, "title": "Not Found", "description": "" }));
    let parent = world.call_as(MEMBER, "GET", "pools/x/members", None).await;
    assert_eq!(parent.status, 404);
    assert_eq!(
        parent.body,
        json!({ "code": 404, "title": "Bad Request", "description": "Pool x not found." })
    );
    let limit = world.call_as(MEMBER, "GET", "pools?limit=x", None).await;
    assert_eq!(
        limit.body,
        json!({ "code": 400, "title": "Bad Request", "description": "Supplied pagination limit 'x' is not valid." })
    );
    let method = world.call_as(MEMBER, "PATCH", "pools", None).await;
    assert_eq!(method.body["title"], "Method Not Allowed");
    assert_eq!(method.headers["allow"], "GET, HEAD, POST");
}

/// RFC 9110 §9.3.2.
#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    for (token, path, status) in [
        (MEMBER, "/".to_owned(), 200),
        (MEMBER, "/v2".to_owned(), 200),
        (MEMBER, "/openapi.json".to_owned(), 200),
        (MEMBER, "/v2/lbaas/loadbalancers".to_owned(), 200),
        (MEMBER, format!("/v2/lbaas/loadbalancers/{lb}"), 200),
        (MEMBER, "/v2/lbaas/loadbalancers?limit=x".to_owned(), 400),
        ("nonsense", "/v2/lbaas/loadbalancers".to_owned(), 401),
        (MEMBER, "/v2/lbaas/flavorprofiles".to_owned(), 403),
        (MEMBER, "/v2/lbaas/pools/x".to_owned(), 404),
        (ADMIN, format!("/v2/lbaas/loadbalancers/{lb}/failover"), 405),
    ] {
        let answer = async |method: &str| {
            let request = Request::builder().method(method).uri(&path).header("x-auth-token", token);
            let request = request.body(Body::empty()).expect("a request");
            let (mut parts, body) =
                world.router.clone().oneshot(request).await.expect("infallible").into_parts();
            parts.headers.remove("x-openstack-request-id");
            (parts.status, parts.headers, axum::body::to_bytes(body, usize::MAX).await.expect("a body").len())
        };
        let (get, head) = (answer("GET").await, answer("HEAD").await);
        assert_eq!((get.0.as_u16(), head.0.as_u16()), (status, status), "{path}");
        assert_eq!(get.1, head.1, "{path}");
        assert_eq!(head.1["content-length"], get.2.to_string(), "{path}");
        assert_eq!(head.2, 0, "{path}");
        let Some(tag) = get.1.get("etag") else { continue };
        let known = request("HEAD", &path).header("if-none-match", tag);
        let known = world.send(known.body(Body::empty()).expect("a request")).await;
        assert_eq!(known.status, 304, "{path}");
    }
}

#[tokio::test]
async fn request_ids_are_our_own() {
    let world = World::new().await;
    let global = "req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let request = request("GET", "/v2/lbaas/pools").header("x-openstack-request-id", global);
        let reply = world.send(request.body(Body::empty()).expect("a request")).await;
        let id = reply.headers["x-openstack-request-id"].to_str().expect("text").to_owned();
        assert_ne!(id, global);
        assert_eq!(id.len(), global.len());
        seen.insert(id);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn work_goes_by_the_callers_id_and_our_own() {
    let world = World::new().await;
    let global = "req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8";
    let mut expected = vec![];
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let path = format!("/v2/lbaas/loadbalancers/{lb}");
    for (sent, is_taken) in [(global, true), ("req-1 lb=x", false), (global, true)] {
        let body = json!({ "loadbalancer": { "description": expected.len().to_string() } }).to_string();
        let put = request("PUT", &path)
            .header("content-type", "application/json")
            .header("x-openstack-request-id", sent);
        let reply = world.send(put.body(Body::from(body)).expect("a request")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        if is_taken {
            expected.retain(|id| id != global);
            expected.push(global.to_owned());
        }
        expected.push(reply.headers["x-openstack-request-id"].to_str().expect("text").to_owned());
    }
    let lease = world.lease(lb).await;
    let noted = world.store.desired_load(&lease).await.expect("it is there").request_ids;
    assert_eq!(noted[1..], expected, "after the creation's");
}

#[tokio::test]
async fn options_and_the_absent_healthcheck() {
    let world = World::new().await;
    let options = Request::options("/v2/lbaas/loadbalancers").body(Body::empty()).expect("a request");
    world.send(options).await.expect(200);
    let health = Request::get("/healthcheck").body(Body::empty()).expect("a request");
    world.send(health).await.expect(404);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cut_a_write_in_half() {
    let world = World::new().await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } }).to_string();
    let request = request("POST", "/v2/lbaas/loadbalancers").header("content-type", "application/json");
    let call = world.router.clone().oneshot(request.body(Body::from(body)).expect("a request"));
    // Polled once, then dropped: the task it started goes on.
    let _ = tokio::time::timeout(std::time::Duration::ZERO, call).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let list = world.get("loadbalancers").await;
        if list["loadbalancers"].as_array().map(Vec::len) == Some(1) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the write was lost");
        tokio::task::yield_now().await;
    }
}
