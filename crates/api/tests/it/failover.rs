//! What operators ask: failover, statistics, configuration and removal of amphorae, and what workers do.

use jiff::SignedDuration;
use octavia_model::{AmphoraId, AmphoraStatus, LoadBalancerId, OperationId, ProvisioningStatus};
use octavia_store::{HeartbeatWrite, OperationRecord, OperationStart, Report, Statistics, StatusWrites};
use serde_json::{Value, json};

use crate::world::{ADMIN, MEMBER, World};

/// A load balancer with one amphora, settled.
async fn served(world: &World, amphora: AmphoraStatus) -> (LoadBalancerId, AmphoraId) {
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let amphora = world.amphora(lb, amphora).await;
    world.settle(lb).await;
    (lb, amphora)
}

async fn shown(world: &World, lb: LoadBalancerId) -> (String, u64) {
    let shown = world.get(&format!("loadbalancers/{lb}")).await;
    let status = shown["loadbalancer"]["provisioning_status"].as_str().expect("a status").to_owned();
    (status, world.generation(lb).await)
}

async fn row(world: &World, amphora: AmphoraId) -> octavia_model::Amphora {
    world.store.amphora_fetch(amphora).await.expect("asked").expect("there")
}

#[tokio::test]
async fn failover_of_a_load_balancer() {
    let world = World::new().await;
    let (lb, amphora) = served(&world, AmphoraStatus::Allocated).await;
    let (other, bystander) = served(&world, AmphoraStatus::Allocated).await;
    let path = format!("loadbalancers/{lb}/failover");
    for (before, status, text) in [
        (ProvisioningStatus::Active, 202, String::new()),
        (
            ProvisioningStatus::PendingUpdate,
            409,
            format!("Invalid state PENDING_UPDATE of loadbalancer resource {lb}"),
        ),
        (ProvisioningStatus::Error, 202, String::new()),
    ] {
        match before {
            ProvisioningStatus::Error => world.fail(lb).await,
            ProvisioningStatus::Active => world.settle(lb).await,
            _ => {}
        }
        let (_, generation) = shown(&world, lb).await;
        let reply = world.call_as(ADMIN, "PUT", &path, None).await;
        assert_eq!((reply.status, reply.text()), (status, text), "{before}");
        let moved = u64::from(status == 202);
        assert_eq!(shown(&world, lb).await, ("PENDING_UPDATE".to_owned(), generation + moved), "{before}");
        if moved == 1 {
            assert_eq!(reply.body, Value::Null);
        }
    }
    assert!(row(&world, amphora).await.to_replace);
    assert!(!row(&world, bystander).await.to_replace);
    assert_eq!(shown(&world, other).await.0, "ACTIVE");
    // The reason of an error that is left is not left behind.
    assert_eq!(world.get(&format!("loadbalancers/{lb}")).await["loadbalancer"].get("status_reason"), None);

    let leaving = world.load_balancer(MEMBER, json!({})).await;
    world.settle(leaving).await;
    world.delete(&format!("loadbalancers/{leaving}")).await;
    let reply = world.call_as(ADMIN, "PUT", &format!("loadbalancers/{leaving}/failover"), None).await;
    assert_eq!(reply.status, 409);
}

#[tokio::test]
async fn failover_of_an_amphora() {
    let world = World::new().await;
    let (lb, amphora) = served(&world, AmphoraStatus::Allocated).await;
    let second = world.amphora(lb, AmphoraStatus::Allocated).await;
    let path = format!("/v2/octavia/amphorae/{amphora}/failover");
    let immutable = format!("Load Balancer {lb} is immutable and cannot be updated.");
    let refused = async |state: &str| {
        let reply = world.call_as(ADMIN, "PUT", &path, None).await;
        assert_eq!((reply.status, reply.text()), (409, immutable.clone()), "{state}");
    };
    world.fail(lb).await;
    refused("ERROR").await;
    assert!(!row(&world, amphora).await.to_replace);
    world.settle(lb).await;
    let (_, generation) = shown(&world, lb).await;
    let reply = world.call_as(ADMIN, "PUT", &path, None).await;
    assert_eq!((reply.status, reply.body), (202, Value::Null));
    assert_eq!(shown(&world, lb).await, ("PENDING_UPDATE".to_owned(), generation + 1));
    assert!(row(&world, amphora).await.to_replace && !row(&world, second).await.to_replace);
    refused("PENDING_UPDATE").await;
}

#[tokio::test]
async fn statistics_of_an_amphora() {
    let world = World::new().await;
    let listeners = json!({ "listeners": [{ "protocol": "HTTP", "protocol_port": 80 }] });
    let lb = world.load_balancer(MEMBER, listeners).await;
    let listener = world.store.lb_fetch(lb).await.expect("asked").expect("there").listeners[0].id;
    let amphora = world.amphora(lb, AmphoraStatus::Allocated).await;
    let path = format!("/v2/octavia/amphorae/{amphora}/stats");
    let reply = world.call_as(ADMIN, "GET", &path, None).await;
    assert_eq!((reply.status, reply.text()), (404, format!("Amphora stats for {amphora} not found.")));

    let statistics = Statistics {
        bytes_in: 1,
        bytes_out: 2,
        active_connections: 3,
        total_connections: 4,
        request_errors: 5,
    };
    let received_at = world.store.now().await.expect("a clock");
    let write = HeartbeatWrite {
        amphora,
        seq: 1,
        received_at,
        alive: true,
        applied_generation: None,
        report: Report::Totals { boot: None },
        statistics: [(listener, statistics)].into(),
        statuses: StatusWrites::default(),
        vrrp: None,
    };
    assert!(world.store.heartbeat_apply(&write).await.expect("written"));
    let stats = world.call_as(ADMIN, "GET", &path, None).await.expect(200);
    let expected = json!({ "amphora_stats": [{
        "bytes_in": 1, "bytes_out": 2, "active_connections": 3, "total_connections": 4, "request_errors": 5,
        "id": amphora.to_string(), "listener_id": listener.to_string(), "loadbalancer_id": lb.to_string(),
    }] });
    assert_eq!(stats, expected);
}

#[tokio::test]
async fn an_amphora_is_deleted_in_error_only() {
    let world = World::new().await;
    for status in AmphoraStatus::ALL.iter().copied().filter(|status| *status != AmphoraStatus::Deleted) {
        let (lb, amphora) = served(&world, status).await;
        let before = shown(&world, lb).await;
        let path = format!("/v2/octavia/amphorae/{amphora}");
        let reply = world.call_as(ADMIN, "DELETE", &path, None).await;
        if status == AmphoraStatus::Error {
            assert_eq!(reply.status, 204);
            assert_eq!(row(&world, amphora).await.status, AmphoraStatus::PendingDelete);
            assert!(world.store.work_due(100).await.expect("asked").contains(&lb), "its worker is told");
        } else {
            let text = format!("amphora {amphora} is immutable and cannot be updated.");
            assert_eq!((reply.status, reply.text()), (409, text), "{status}");
            assert_eq!(row(&world, amphora).await.status, status);
        }
        assert_eq!(shown(&world, lb).await, before, "{status}: the load balancer's status stays");
    }
}

#[tokio::test]
async fn configuring_an_amphora_changes_no_status() {
    let world = World::new().await;
    for fails in [false, true] {
        let (lb, amphora) = served(&world, AmphoraStatus::Allocated).await;
        if fails {
            world.fail(lb).await;
        }
        let (before, row_before) = (shown(&world, lb).await, row(&world, amphora).await);
        let path = format!("/v2/octavia/amphorae/{amphora}/config");
        let reply = world.call_as(ADMIN, "PUT", &path, None).await;
        assert_eq!((reply.status, reply.body), (202, Value::Null));
        assert_eq!(shown(&world, lb).await, before);
        let after = row(&world, amphora).await;
        assert!(after.refresh_after.is_some(), "the next worker is to push");
        assert_eq!(octavia_model::Amphora { refresh_after: None, ..after }, row_before);
    }
}

#[tokio::test]
async fn what_is_not_there() {
    let world = World::new().await;
    let absent = AmphoraId::new_v4();
    for (method, path) in [("GET", "/stats"), ("DELETE", ""), ("PUT", "/config"), ("PUT", "/failover")] {
        for id in [absent.to_string(), "nothing".to_owned()] {
            let path = format!("/v2/octavia/amphorae/{id}{path}");
            let reply = world.call_as(ADMIN, method, &path, None).await;
            assert_eq!(
                (reply.status, reply.text()),
                (404, format!("Amphora {id} not found.")),
                "{method} {path}"
            );
        }
    }
    let (lb, amphora) = served(&world, AmphoraStatus::Error).await;
    for path in [
        format!("/v2/octavia/amphorae/{amphora}/failover"),
        format!("/v2/octavia/amphorae/{amphora}/config"),
        format!("loadbalancers/{lb}/failover"),
    ] {
        let reply = world.call_as(ADMIN, "PUT", &format!("{path}?x=1"), None).await;
        assert_eq!((reply.status, reply.text()), (400, "Unknown argument: \"x\"".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn operations_of_a_load_balancer() {
    let world = World::new().await;
    let (lb, amphora) = served(&world, AmphoraStatus::Allocated).await;
    let (other, _) = served(&world, AmphoraStatus::Allocated).await;
    let path = format!("loadbalancers/{lb}/operations");
    assert_eq!(world.get(&path).await, json!({ "operations": [], "operations_links": [] }));

    let renamed = json!({ "loadbalancer": { "name": "b" } });
    world.put(&format!("loadbalancers/{lb}"), renamed).await.expect(200);
    let lease = world.lease(lb).await;
    let step = |kind: &str, amphora_id| OperationStart {
        id: OperationId::new_v4(),
        kind: kind.to_owned(),
        amphora_id,
        generation: 1,
    };
    let mut steps: Vec<_> = (0..5).map(|n| step(&format!("step{n}"), (n == 0).then_some(amphora))).collect();
    if steps[2].id < steps[3].id {
        steps.swap(2, 3);
        let (two, three) = (steps[3].kind.clone(), steps[2].kind.clone());
        (steps[2].kind, steps[3].kind) = (two, three);
    }
    let start = world.store.now().await.expect("a clock") - SignedDuration::from_secs(10);
    // Two of them began together, as steps of one batch do.
    let records = steps[..4].iter().zip([0, 1, 2, 2]).map(|(step, second)| OperationRecord {
        step: step.clone(),
        started_at: start + SignedDuration::from_secs(second),
        finished_at: start + SignedDuration::from_secs(5),
        outcome: if step.kind == "step1" { Err("The cloud said no.".to_owned()) } else { Ok(()) },
    });
    world.store.operation_record(&lease, &records.collect::<Vec<_>>()).await.expect("noted");
    world.store.operation_start(&lease, &steps[4..]).await.expect("noted");
    world.release(&lease).await;
    let lease = world.lease(other).await;
    let foreign = step("foreign", None);
    world.store.operation_start(&lease, std::slice::from_ref(&foreign)).await.expect("noted");
    world.release(&lease).await;

    let kinds = |page: &Value| -> Vec<String> {
        let list = page["operations"].as_array().expect("a list");
        list.iter().map(|entry| entry["kind"].as_str().expect("text").to_owned()).collect()
    };
    let all = world.get(&path).await;
    assert_eq!(kinds(&all), ["step4", "step3", "step2", "step1", "step0"], "newest first");
    let first = &all["operations"][4];
    assert_eq!(first.as_object().map(serde_json::Map::len), Some(11));
    let requests = first["request_ids"].as_array().expect("a list");
    assert!(requests.len() == 1 && requests[0].as_str().is_some_and(|id| id.starts_with("req-")), "{first}");
    assert_eq!(
        (&first["id"], &first["amphora_id"], &first["generation"], &first["error"]),
        (&json!(steps[0].id.to_string()), &json!(amphora.to_string()), &json!(1), &Value::Null)
    );
    assert!(first["worker_id"].is_string() && first["started_at"].is_string());
    assert!(first["finished_at"].is_string());
    assert_eq!(all["operations"][3]["error"], "The cloud said no.");
    assert_eq!(all["operations"][0]["finished_at"], Value::Null, "it is under way");
    assert!(all["operations"][0]["position"].is_null() && all["operations"][0]["waits_for"].is_null());

    // Page by page, by the links, and back.
    let link = |page: &Value, rel: &str| {
        let links = page["operations_links"].as_array().expect("links").clone();
        let link = links.into_iter().find(|link| link["rel"] == rel)?;
        let href = link["href"].as_str().expect("a link").to_owned();
        Some(href.split_once("/v2/lbaas/").expect("a path of ours").1.to_owned())
    };
    let page = world.get(&format!("{path}?limit=2")).await;
    assert_eq!(kinds(&page), ["step4", "step3"]);
    let page = world.get(&link(&page, "next").expect("a next page")).await;
    assert_eq!(kinds(&page), ["step2", "step1"]);
    let back = world.get(&link(&page, "previous").expect("a previous page")).await;
    assert_eq!(kinds(&back), ["step4", "step3"]);
    let page = world.get(&link(&page, "next").expect("a next page")).await;
    assert_eq!((kinds(&page), link(&page, "next")), (vec!["step0".to_owned()], None));
    let fields = world.get(&format!("{path}?limit=1&fields=kind")).await;
    assert_eq!(fields["operations"], json!([{ "kind": "step4" }]));

    for (query, status, text) in [
        ("limit=x", 400, "Supplied pagination limit 'x' is not valid."),
        ("marker=nothing", 400, "Supplied pagination marker 'nothing' is not valid."),
        ("kind=settle", 400, "Unknown argument: \"kind\""),
    ] {
        let reply = world.call_as(MEMBER, "GET", &format!("{path}?{query}"), None).await;
        assert_eq!((reply.status, reply.text()), (status, text.to_owned()), "{query}");
    }
    // An entry of another load balancer marks nothing here.
    let reply = world.call_as(MEMBER, "GET", &format!("{path}?marker={}", foreign.id), None).await;
    assert_eq!(reply.status, 400);
}

/// One for which others' servers are made first: where it is among those that wait, and why.
#[tokio::test]
async fn who_waits_for_its_turn_can_see_why() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let path = format!("loadbalancers/{lb}/operations");
    let lease = world.lease(lb).await;
    let id = octavia_model::OperationId::new_v4();
    let kind = octavia_store::TURN_WAIT.to_owned();
    let waits = octavia_store::OperationStart { id, kind, amphora_id: None, generation: 1 };
    world.store.operation_start(&lease, std::slice::from_ref(&waits)).await.expect("noted");
    let project_id = octavia_model::ProjectId::new("project");
    let claim = octavia_store::TurnClaim { project_id, urgent: false, operation_id: id };
    world.store.turn_ask(&lease, &claim, |_, _| false).await.expect("asked");
    let entry = &world.get(&path).await["operations"][0];
    assert_eq!((&entry["kind"], &entry["position"]), (&json!("turn_wait"), &json!(1)));
    assert!(entry["waits_for"].as_str().is_some_and(|cause| cause.contains("number 1 of 1")), "{entry}");
    world.store.operation_finish(&lease, &[(id, Ok(()))]).await.expect("noted");
    let entry = &world.get(&path).await["operations"][0];
    assert!(entry["position"].is_null() && entry["waits_for"].is_null(), "{entry}");
}
