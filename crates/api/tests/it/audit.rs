//! Records of writes.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::Request;
use octavia_api::{ApiOptions, Audit, AuditSink, Peer, Who};
use serde_json::{Value, json};

use crate::world::{ABSENT, ADMIN, MEMBER, Reply, SUBNET, World};

#[derive(Debug, Default)]
struct Records(Mutex<Vec<String>>);

impl AuditSink for Records {
    fn record(&self, who: Who, line: String) {
        assert_eq!(who == Who::Nobody, line.contains("\"id\":\"unknown\""), "{line}");
        self.0.lock().expect("not poisoned").push(line);
    }
}

impl Records {
    fn take(&self) -> Vec<Value> {
        let lines = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        assert!(lines.iter().all(|line| !line.contains('\n')));
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn one(&self) -> Value {
        let mut records = self.take();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }
}

async fn world() -> (World, Arc<Records>) {
    let records = Arc::new(Records::default());
    let audit = Audit::new(records.clone(), []);
    (World::audited(ApiOptions::default(), audit).await, records)
}

async fn send(world: &World, token: &str, method: &str, path: &str, body: Value) -> Reply {
    world.call_as(token, method, path, Some(&body.to_string())).await
}

#[tokio::test]
async fn who_did_what_when_from_where() {
    let (world, records) = world().await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "name": "web" } }).to_string();
    let request = Request::post("/v2/lbaas/loadbalancers")
        .header("host", "api.test")
        .header("x-auth-token", MEMBER)
        .header("content-type", "application/json")
        .header("user-agent", "a client")
        .header("x-openstack-request-id", "req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8");
    let request = request.extension(Peer { address: "192.0.2.9:1".parse().expect("an address"), port: 1 });
    let reply = world.send(request.body(Body::from(body)).expect("a request")).await;
    let id = reply.headers["x-openstack-request-id"].clone();
    let lb = reply.expect(201)["loadbalancer"].take();
    let mut record = records.one();
    for volatile in ["id", "eventTime"] {
        assert!(record[volatile].take().is_string(), "{volatile}");
    }
    let changes = record["changes"].take();
    assert_eq!(
        record,
        json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "id": null,
            "eventType": "activity",
            "eventTime": null,
            "action": "create",
            "outcome": "success",
            "reason": { "reasonType": "HTTP", "reasonCode": "201" },
            "initiator": {
                "typeURI": "service/security/account/user", "id": "user", "name": "user",
                "project_id": "own", "roles": ["member"],
                "host": { "address": "192.0.2.9", "peer": "192.0.2.9", "agent": "a client" },
                "credential": {
                    "token": "<secret>", "identity_status": "Confirmed",
                    "assertions": { "audit_ids": ["own", "chain"] },
                },
            },
            "target": {
                "typeURI": "service/load-balancer/loadbalancer", "id": lb["id"], "project_id": "own",
            },
            "observer": { "typeURI": "service/load-balancer", "id": "octavia" },
            "requestMethod": "POST",
            "requestPath": "/v2/lbaas/loadbalancers",
            "requestId": id.to_str().expect("text"),
            "globalRequestId": "req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8",
            "changes": null,
        })
    );
    assert_eq!(changes[0]["type"], "loadbalancer");
    assert_eq!(changes[0]["change"], "created");
    assert_eq!(changes[0]["attributes"]["name"], json!({ "after": "web" }));
    assert_eq!(changes.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_a_write_changed() {
    let (world, records) = world().await;
    let lb = world.load_balancer(MEMBER, json!({ "name": "a" })).await;
    let pool =
        json!({ "pool": { "loadbalancer_id": lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" } });
    let pool = send(&world, MEMBER, "POST", "pools", pool).await.expect(201)["pool"]["id"].take();
    let pool = pool.as_str().expect("an id");
    let members = format!("pools/{pool}/members");
    let member = json!({ "member": { "address": "10.0.0.1", "protocol_port": 80 } });
    let member = send(&world, MEMBER, "POST", &members, member).await.expect(201)["member"]["id"].take();
    let member = member.as_str().expect("an id");
    let quota = json!({ "quota": { "pool": 7 } });
    let profile = world.offer(
        "flavorprofiles",
        "flavorprofile",
        json!({
            "name": "f", "provider_name": "amphora", "flavor_data": "{}",
        }),
    );
    let profile = profile.await["id"].take();
    let profile = profile.as_str().expect("an id");
    records.take();

    for (token, method, path, body, action, target, changes) in [
        (
            MEMBER,
            "PUT",
            format!("loadbalancers/{lb}"),
            json!({ "loadbalancer": { "name": "b" } }),
            "update",
            lb.to_string(),
            json!([{ "type": "loadbalancer", "id": lb, "change": "updated",
                "attributes": { "name": { "before": "a", "after": "b" } } }]),
        ),
        (
            MEMBER,
            "PUT",
            format!("loadbalancers/{lb}"),
            json!({ "loadbalancer": { "name": "b" } }),
            "update",
            lb.to_string(),
            json!([]),
        ),
        (
            MEMBER,
            "PUT",
            format!("{members}/{member}"),
            json!({ "member": { "weight": 9 } }),
            "update",
            member.to_owned(),
            json!([{ "type": "member", "id": member, "change": "updated",
                "attributes": { "weight": { "before": 1, "after": 9 } } }]),
        ),
        (
            ADMIN,
            "PUT",
            "quotas/p".to_owned(),
            quota,
            "update",
            "p".to_owned(),
            json!([{ "type": "quota", "change": "updated",
                "attributes": { "pool": { "before": -1, "after": 7 } } }]),
        ),
        (
            ADMIN,
            "PUT",
            format!("flavorprofiles/{profile}"),
            json!({ "flavorprofile": { "name": "g" } }),
            "update",
            profile.to_owned(),
            json!([{ "type": "flavorprofile", "change": "updated",
                "attributes": { "name": { "before": "f", "after": "g" } } }]),
        ),
        (
            ADMIN,
            "DELETE",
            format!("flavorprofiles/{profile}"),
            json!({}),
            "delete",
            profile.to_owned(),
            json!([{ "type": "flavorprofile", "change": "deleted", "attributes": {
                "name": { "before": "g" }, "provider_name": { "before": "amphora" },
                "flavor_data": { "before": "{}" } } }]),
        ),
    ] {
        let reply = send(&world, token, method, &path, body).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {}", reply.body);
        let record = records.one();
        assert_eq!(record["action"], action);
        assert_eq!(record["target"]["id"], target);
        assert_eq!(record["changes"], changes, "{method} {path}");
    }

    world.delete(&format!("loadbalancers/{lb}?cascade=true")).await.expect(204);
    let record = records.one();
    let mut gone: Vec<_> = record["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| format!("{} {}", change["type"].as_str().unwrap(), change["change"].as_str().unwrap()))
        .collect();
    gone.sort();
    assert_eq!(gone, ["loadbalancer deleted", "member deleted", "pool deleted"]);
}

#[tokio::test]
async fn refused_writes_are_recorded_and_reads_are_not() {
    let (world, records) = world().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    records.take();
    let long = "x".repeat(5000);
    for (token, method, path, body, status, user, action, text) in [
        ("", "DELETE", format!("loadbalancers/{lb}"), "", 401, "unknown", "delete", "authentication"),
        ("reader@own", "DELETE", format!("loadbalancers/{lb}"), "", 403, "user", "delete", "Policy"),
        (MEMBER, "DELETE", format!("pools/{ABSENT}"), "", 404, "user", "delete", "not found"),
        (MEMBER, "PATCH", "pools".to_owned(), "", 405, "user", "update", ""),
        (MEMBER, "BREW", "pools".to_owned(), "", 405, "user", "unknown", ""),
        (MEMBER, "POST", "nothing".to_owned(), "{}", 404, "user", "create", ""),
        (MEMBER, "POST", "pools".to_owned(), "QzX7", 400, "user", "create", "JSON"),
        (
            MEMBER,
            "PUT",
            format!("loadbalancers/{lb}"),
            r#"{"loadbalancer":{"admin_state_up":"QzX7"}}"#,
            400,
            "user",
            "update",
            "Invalid input for field/attribute",
        ),
        (MEMBER, "DELETE", format!("pools/{long}"), "", 404, "user", "delete", "Pool xxx"),
        ("panic", "DELETE", format!("loadbalancers/{lb}"), "", 500, "unknown", "delete", ""),
    ] {
        let body = (!body.is_empty()).then_some(body);
        let reply = world.call_as(token, method, &path, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        let record = records.one();
        assert_eq!(record["outcome"], "failure");
        assert_eq!(record["reason"]["reasonCode"], status.to_string());
        assert!(record["reason"]["text"].as_str().unwrap_or_default().contains(text), "{record}");
        assert_eq!(record["initiator"]["id"], user);
        assert_eq!(record["action"], action);
        assert!(record["changes"].is_null());
        let line = record.to_string();
        assert!(!line.contains("QzX7") && line.len() < 3000, "{line}");
    }
    for (method, path) in [("GET", "pools"), ("HEAD", "pools"), ("OPTIONS", "pools"), ("GET", "nothing")] {
        world.call_as(MEMBER, method, path, None).await;
    }
    assert_eq!(records.take(), [Value::Null; 0]);

    let some =
        World::audited(ApiOptions::default(), Audit::new(records.clone(), ["DELETE".to_owned()])).await;
    some.call_as(MEMBER, "DELETE", &format!("pools/{ABSENT}"), None).await.expect(404);
    assert_eq!(records.take(), [Value::Null; 0]);
}

#[tokio::test]
async fn the_client_behind_a_proxy_that_is_believed() {
    for (proxy_headers, address) in [(false, "192.0.2.9"), (true, "198.51.100.7")] {
        let records = Arc::new(Records::default());
        let options = ApiOptions { proxy_headers, ..ApiOptions::default() };
        let world = World::audited(options, Audit::new(records.clone(), [])).await;
        let request = Request::delete(format!("/v2/lbaas/pools/{ABSENT}"))
            .header("host", "api.test")
            .header("x-auth-token", MEMBER)
            .header("x-forwarded-for", "198.51.100.7, 10.0.0.1")
            .extension(Peer { address: "192.0.2.9:1".parse().expect("an address"), port: 1 });
        world.send(request.body(Body::empty()).expect("a request")).await.expect(404);
        let host = records.one()["initiator"]["host"].take();
        assert_eq!(host, json!({ "address": address, "peer": "192.0.2.9" }));
    }
}
