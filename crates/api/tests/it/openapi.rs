//! The description of the API against its answers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use octavia_model::{Amphora, AmphoraId, AmphoraRole};
use serde_json::{Value, json};

use crate::schema;
use crate::world::{ABSENT, ADMIN, MEMBER, Reply, SUBNET, World};

/// A world whose every answer is held against the document.
struct Checked {
    world: World,
    /// With objects closed: what is not described is a mistake.
    document: Value,
    /// Operations that have succeeded.
    succeeded: BTreeSet<String>,
}

impl Checked {
    async fn new() -> Self {
        let world = World::new().await;
        let mut document = world.call_as("", "GET", "/openapi.json", None).await.expect(200);
        close(&mut document["components"]["schemas"]);
        Self { world, document, succeeded: BTreeSet::new() }
    }

    /// Calls, and checks the answer's status and body.
    async fn call(&mut self, token: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let prefix = if path.starts_with("amphorae") { "octavia" } else { "lbaas" };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/{prefix}/{path}") };
        let body = body.map(|body| body.to_string());
        let reply = self.world.call_as(token, method, &path, body.as_deref()).await;
        self.check(method, &path, &reply);
        reply
    }

    fn check(&mut self, method: &str, path: &str, reply: &Reply) {
        let template = self.template(path);
        let what = format!("{method} {template} {}: {}", reply.status, reply.body);
        let operation = &self.document["paths"][&template][method.to_ascii_lowercase()];
        let mut response = &operation["responses"][reply.status.to_string()];
        if let Some(pointer) = response["$ref"].as_str() {
            response = self.document.pointer(pointer.trim_start_matches('#')).expect("a response");
        }
        assert!(response.is_object(), "not described: {what}");
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            assert_eq!(reply.body, Value::Null, "a body that is not described: {what}");
        } else {
            let mut schema = schema.clone();
            close(&mut schema);
            let errors = schema::errors(&self.document, &schema, &reply.body);
            assert!(errors.is_empty(), "{what}\n{}", errors.join("\n"));
        }
        if reply.status < 300 {
            self.succeeded.insert(format!("{method} {template}"));
        }
    }

    /// The described path that this one is of.
    fn template(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == segments.len()
                && parts.iter().zip(&segments).all(|(part, segment)| part == segment || part.starts_with('{'))
        };
        let paths = self.document["paths"].as_object().expect("paths");
        let literal = paths.keys().find(|template| *template == path);
        literal
            .or_else(|| paths.keys().find(|template| fits(template)))
            .unwrap_or_else(|| panic!("{path} is not described"))
            .clone()
    }

    async fn get(&mut self, path: &str) -> Value {
        self.call(ADMIN, "GET", path, None).await.expect(200)
    }

    /// Creates, and returns the id.
    async fn create(&mut self, path: &str, root: &str, body: Value) -> String {
        let reply = self.call(ADMIN, "POST", path, Some(json!({ root: body }))).await.expect(201);
        let object = &reply[root];
        object.get("id").unwrap_or(&object["name"]).as_str().expect("an id").to_owned()
    }

    async fn update(&mut self, path: &str, root: &str, body: Value) {
        let body = Some(json!({ root: body }));
        let reply = self.call(ADMIN, "PUT", path, body).await;
        assert!(reply.status < 300, "{path} {}: {}", reply.status, reply.body);
    }

    async fn delete(&mut self, path: &str) {
        let reply = self.call(ADMIN, "DELETE", path, None).await;
        assert!(reply.status < 300, "{path} {}: {}", reply.status, reply.body);
    }
}

/// Forbids what a schema does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            if entries.get("properties").is_some_and(Value::is_object)
                && !entries.contains_key("additionalProperties")
            {
                entries.insert("additionalProperties".to_owned(), json!(false));
            }
            entries.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[tokio::test]
async fn openapi_describes_every_answer() {
    let mut api = Checked::new().await;
    for path in ["/", "/v2", "/openapi.json"] {
        api.get(path).await;
    }

    // The catalogue.
    let profile = json!({ "name": "p", "provider_name": "amphora", "flavor_data": "{}" });
    let flavor_profile = api.create("flavorprofiles", "flavorprofile", profile).await;
    let flavor = json!({ "name": "f", "flavor_profile_id": flavor_profile });
    let flavor = api.create("flavors", "flavor", flavor).await;
    let profile = json!({ "name": "p", "provider_name": "amphora", "availability_zone_data": "{}" });
    let zone_profile = api.create("availabilityzoneprofiles", "availability_zone_profile", profile).await;
    let zone = json!({ "name": "z", "availability_zone_profile_id": zone_profile });
    api.create("availabilityzones", "availability_zone", zone).await;

    // A whole tree.
    let tree = json!({ "loadbalancer": {
        "vip_subnet_id": SUBNET, "name": "tree", "flavor_id": flavor, "availability_zone": "z", "tags": ["a"],
        "listeners": [{ "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "p" },
                        "insert_headers": { "X-Forwarded-For": "true" }, "allowed_cidrs": ["10.0.0.0/8"],
                        "l7policies": [{ "action": "REDIRECT_TO_POOL", "redirect_pool": { "name": "p" }, "rules": [
                            { "type": "HEADER", "compare_type": "REGEX", "key": "X", "value": "^a", "tags": ["a"] },
                        ] }] }],
        "pools": [{ "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
                    "healthmonitor": { "type": "HTTP", "delay": 5, "timeout": 2, "max_retries": 3 } },
                  { "name": "q", "protocol": "TCP", "lb_algorithm": "SOURCE_IP" }],
    } });
    let tree = api.call(MEMBER, "POST", "loadbalancers", Some(tree)).await.expect(201)["loadbalancer"].take();
    let lb = tree["id"].as_str().expect("an id").parse().expect("an id");
    api.world.settle(lb).await;

    // One at a time.
    let listener = json!({ "loadbalancer_id": lb.to_string(), "protocol": "TCP", "protocol_port": 81 });
    let listener = api.create("listeners", "listener", listener).await;
    let pool = json!({ "listener_id": listener, "protocol": "TCP", "lb_algorithm": "LEAST_CONNECTIONS" });
    let pool = api.create("pools", "pool", pool).await;
    let member =
        json!({ "address": "192.0.2.2", "protocol_port": 80, "subnet_id": SUBNET, "monitor_port": 81 });
    let member = api.create(&format!("pools/{pool}/members"), "member", member).await;
    let monitor = json!({ "pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 2, "max_retries": 3,
                          "http_version": 1.1, "domain_name": "a.example" });
    let monitor = api.create("healthmonitors", "healthmonitor", monitor).await;
    let front = tree["listeners"][0]["id"].as_str().expect("an id");
    let policy =
        json!({ "listener_id": front, "action": "REDIRECT_PREFIX", "redirect_prefix": "https://a.example" });
    let policy = api.create("l7policies", "l7policy", policy).await;
    let rules = format!("l7policies/{policy}/rules");
    let rule = json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/a" });
    let rule = api.create(&rules, "rule", rule).await;
    let amphora = AmphoraId::new_v4();
    {
        let lease = api.world.lease(lb).await;
        let now = api.world.store.now().await.expect("a clock");
        let row = Amphora::new(amphora, lb, AmphoraRole::Standalone, now);
        api.world.store.amphora_insert(&lease, &row).await.expect("stored");
        api.world.release(&lease).await;
    }
    api.update("quotas/own", "quota", json!({ "pool": 7, "listener": null })).await;

    // Once as things are, once with reasons why they are not well.
    for _ in 0..2 {
        let lists = [
            "loadbalancers",
            "listeners",
            "pools",
            &format!("pools/{pool}/members"),
            "healthmonitors",
            "quotas",
            "providers",
            "providers/amphora/flavor_capabilities",
            "providers/amphora/availability_zone_capabilities",
            "flavors",
            "flavorprofiles",
            "availabilityzones",
            "availabilityzoneprofiles",
            "amphorae",
            "l7policies",
            &rules,
        ];
        for list in lists {
            let items = api.get(list).await;
            let key = items.as_object().expect("an object").keys().find(|key| !key.ends_with("links"));
            let empty = items[key.expect("a key")].as_array().is_none_or(Vec::is_empty);
            assert!(!empty, "{list} shows nothing");
            api.get(&format!("{list}?limit=1&fields=name")).await;
        }
        for item in [
            format!("loadbalancers/{lb}"),
            format!("loadbalancers/{lb}/status"),
            format!("loadbalancers/{lb}/statuses"),
            format!("loadbalancers/{lb}/stats"),
            format!("loadbalancers/{lb}/operations"),
            format!("listeners/{listener}"),
            format!("listeners/{listener}/stats"),
            format!("pools/{pool}"),
            format!("pools/{pool}/members/{member}"),
            format!("healthmonitors/{monitor}"),
            format!("l7policies/{policy}"),
            format!("{rules}/{rule}"),
            format!("flavors/{flavor}"),
            format!("flavorprofiles/{flavor_profile}"),
            "availabilityzones/z".to_owned(),
            format!("availabilityzoneprofiles/{zone_profile}"),
            "quotas/own".to_owned(),
            "quotas/own/default".to_owned(),
            format!("amphorae/{amphora}"),
        ] {
            api.get(&item).await;
        }
        api.get(&format!("loadbalancers/{lb}?fields=name")).await;
        api.world.fail(lb).await;
    }
    let shown = api.get(&format!("loadbalancers/{lb}")).await;
    assert!(shown["loadbalancer"]["status_reason"].is_string(), "{shown}");
    let refused = json!({ "listener": { "name": "b" } });
    api.call(MEMBER, "PUT", &format!("listeners/{listener}"), Some(refused)).await.expect(409);

    // Another one, for what changes and goes.
    let lb = api.world.load_balancer(MEMBER, json!({})).await;
    let listener = json!({ "loadbalancer_id": lb.to_string(), "protocol": "HTTP", "protocol_port": 80 });
    let listener = api.create("listeners", "listener", listener).await;
    let pool = json!({ "listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" });
    let pool = api.create("pools", "pool", pool).await;
    let members = format!("pools/{pool}/members");
    let member = api.create(&members, "member", json!({ "address": "192.0.2.2", "protocol_port": 80 })).await;
    let monitor = json!({ "pool_id": pool, "type": "TCP", "delay": 5, "timeout": 2, "max_retries": 3 });
    let monitor = api.create("healthmonitors", "healthmonitor", monitor).await;
    let policy = json!({ "listener_id": listener, "action": "REJECT" });
    let policy = api.create("l7policies", "l7policy", policy).await;
    let rules = format!("l7policies/{policy}/rules");
    let rule = json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/a" });
    let rule = api.create(&rules, "rule", rule).await;
    let renamed = json!({ "name": "other" });
    api.update(&format!("loadbalancers/{lb}"), "loadbalancer", renamed.clone()).await;
    api.update(&format!("listeners/{listener}"), "listener", renamed.clone()).await;
    api.update(&format!("pools/{pool}"), "pool", renamed.clone()).await;
    api.update(&format!("{members}/{member}"), "member", renamed.clone()).await;
    api.update(&members, "members", json!([{ "address": "192.0.2.2", "protocol_port": 80 }])).await;
    api.update(&format!("healthmonitors/{monitor}"), "healthmonitor", renamed.clone()).await;
    let redirect = json!({ "redirect_url": "https://a.example/", "redirect_http_code": 307 });
    api.update(&format!("l7policies/{policy}"), "l7policy", redirect).await;
    api.update(&format!("{rules}/{rule}"), "rule", json!({ "invert": true })).await;
    api.update(&format!("flavors/{flavor}"), "flavor", renamed.clone()).await;
    api.update(&format!("flavorprofiles/{flavor_profile}"), "flavorprofile", renamed.clone()).await;
    api.update(&format!("availabilityzoneprofiles/{zone_profile}"), "availability_zone_profile", renamed)
        .await;
    api.update("availabilityzones/z", "availability_zone", json!({ "enabled": false })).await;
    api.delete(&format!("{rules}/{rule}")).await;
    api.delete(&format!("l7policies/{policy}")).await;
    api.delete(&format!("healthmonitors/{monitor}")).await;
    api.delete(&format!("{members}/{member}")).await;
    api.delete(&format!("pools/{pool}")).await;
    api.delete(&format!("listeners/{listener}")).await;
    api.delete(&format!("loadbalancers/{lb}?cascade=true")).await;
    api.delete("quotas/own").await;
    // What is in use stays, so these are others.
    let profile = json!({ "name": "p", "provider_name": "amphora", "flavor_data": "{}" });
    let profile = api.create("flavorprofiles", "flavorprofile", profile).await;
    let flavor = json!({ "name": "g", "flavor_profile_id": profile });
    let flavor = api.create("flavors", "flavor", flavor).await;
    api.call(ADMIN, "DELETE", &format!("flavorprofiles/{profile}"), None).await.expect(409);
    api.delete(&format!("flavors/{flavor}")).await;
    api.delete(&format!("flavorprofiles/{profile}")).await;
    let profile = json!({ "name": "p", "provider_name": "amphora", "availability_zone_data": "{}" });
    let profile = api.create("availabilityzoneprofiles", "availability_zone_profile", profile).await;
    let zone = json!({ "name": "y", "availability_zone_profile_id": profile });
    api.create("availabilityzones", "availability_zone", zone).await;
    api.delete("availabilityzones/y").await;
    api.delete(&format!("availabilityzoneprofiles/{profile}")).await;

    let all = api.document["paths"].as_object().expect("paths").iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("a path").keys();
        methods.map(move |method| format!("{} {path}", method.to_ascii_uppercase()))
    });
    // Their own tests see these succeed, as far as they can.
    let elsewhere =
        |operation: &str| operation.ends_with("/failover") || operation.contains("/amphorae/{id}");
    let missing: Vec<String> =
        all.filter(|operation| !api.succeeded.contains(operation) && !elsewhere(operation)).collect();
    assert!(missing.is_empty(), "never seen to succeed: {missing:#?}");
}

/// Whatever goes wrong is described at every endpoint.
#[tokio::test]
async fn openapi_describes_every_refusal() {
    let mut api = Checked::new().await;
    let paths = api.document["paths"].as_object().expect("paths").clone();
    for (template, item) in &paths {
        let public = matches!(template.as_str(), "/" | "/openapi.json");
        let path = template
            .replace("{name}", "nobody")
            .replace("{project_id}", "other")
            .split('/')
            .map(|part| if part.starts_with('{') { ABSENT } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for method in item.as_object().expect("a path").keys() {
            let method = method.to_ascii_uppercase();
            for (token, query) in [
                ("nonsense", ""),
                ("reader@own", ""),
                (ADMIN, ""),
                (ADMIN, "?limit=x"),
                (ADMIN, "?nonsense=1"),
                ("down", ""),
            ] {
                let reply = api.call(token, &method, &format!("{path}{query}"), None).await;
                if token == "nonsense" && !public {
                    assert_eq!(reply.status, 401, "{method} {path}");
                }
            }
            for body in [json!({}), json!([]), json!({ "nonsense": 1 })] {
                api.call(ADMIN, &method, &path, Some(body)).await;
            }
        }
    }
}

#[tokio::test]
async fn openapi_needs_no_token_and_takes_only_get() {
    let world = World::new().await;
    for path in ["/openapi.json", "/load-balancer/openapi.json"] {
        let reply = world.call_as("", "GET", path, None).await;
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(reply.expect(200)["openapi"], "3.1.0");
    }
    world.call_as("", "POST", "/openapi.json", Some("{}")).await.expect(405);
}

/// Another reader of OpenAPI 3.1 is content with the file.
#[test]
fn openapi_is_valid_openapi() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("OCTAVIA_TEST_VENV").map(PathBuf::from);
    let must = named.is_some();
    let python = named.unwrap_or_else(|| here.join("../../target/venv")).join("bin/python");
    let there = python.exists()
        && Command::new(&python)
            .args(["-c", "import openapi_spec_validator"])
            .output()
            .is_ok_and(|out| out.status.success());
    if !there && !must {
        eprintln!("SKIPPED: openapi-spec-validator is not there; `cargo xtask setup` installs it");
        return;
    }
    let script = "import json, sys, openapi_spec_validator as v\n\
                  v.OpenAPIV31SpecValidator(json.load(open(sys.argv[1]))).validate()";
    let out = Command::new(&python).args(["-c", script]).arg(here.join("../../docs/openapi.json")).output();
    let out = out.expect("python");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
