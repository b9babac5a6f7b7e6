//! Users of the API who do not wait for each other, nor for anything.

use std::time::Duration;

use anyhow::Result;
use octavia_testkit::rest::Method;
use octavia_testkit::{Populated, Rest, tree};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::Scene;

/// Creates, changes and deletes load balancers of its own kind.
pub(super) async fn stormy(scene: &Scene, mut random: StdRng) {
    while !scene.over() {
        pause(&mut random, 20..300).await;
        let all = match list(scene, "storm-").await {
            Some(all) => all,
            None => continue,
        };
        let crowded = all.len() >= scene.stormy_most;
        match (all.choose(&mut random), random.random_range(0..10)) {
            (Some(lb), 0..2) => delete(scene, lb).await,
            (Some(lb), 2..) if crowded || random.random_bool(0.7) => change(scene, lb, &mut random).await,
            _ if !crowded => create(scene, &mut random).await,
            _ => (),
        }
    }
}

/// Changes members, names and extra listeners of the load balancers under traffic, but never their first member.
pub(super) async fn steady(scene: &Scene, mut random: StdRng) {
    while !scene.over() {
        pause(&mut random, 20..200).await;
        let Some(all) = list(scene, "steady-").await else { continue };
        if let Some(lb) = all.choose(&mut random) {
            change_gently(scene, lb, &mut random).await;
        }
    }
}

/// Reads what there is to read: nothing may answer 500.
pub(super) async fn reader(scene: &Scene, mut random: StdRng) {
    while !scene.over() {
        pause(&mut random, 20..200).await;
        let path = match random.random_range(0..6) {
            0 => "/lbaas/listeners".to_owned(),
            1 => "/lbaas/pools".to_owned(),
            2 => "/lbaas/healthmonitors".to_owned(),
            3 => "/octavia/amphorae".to_owned(),
            choice => match list(scene, "").await.unwrap_or_default().choose(&mut random) {
                Some(lb) => format!(
                    "/lbaas/loadbalancers/{}/{}",
                    id(lb),
                    if choice == 4 { "status" } else { "stats" }
                ),
                None => "/lbaas/loadbalancers".to_owned(),
            },
        };
        call(scene, &scene.admin, "reads", Method::GET, &path, None).await;
    }
}

async fn pause(random: &mut StdRng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(millis))).await;
}

fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap_or_default()
}

/// The load balancers whose names begin so; `None` = could not ask.
async fn list(scene: &Scene, prefix: &str) -> Option<Vec<Value>> {
    let mut body = call(scene, &scene.demo, "lists", Method::GET, "/lbaas/loadbalancers", None).await?;
    let Value::Array(mut all) = body["loadbalancers"].take() else { return None };
    all.retain(|lb| lb["name"].as_str().is_some_and(|name| name.starts_with(prefix)));
    Some(all)
}

/// Calls, and counts what came of it: the controller may be down, the object may be gone or immutable; any other
/// refusal of a good request is a violation.
async fn call(
    scene: &Scene,
    rest: &Rest,
    what: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Option<Value> {
    let shown = format!("{method} {path}");
    match rest.call(method, path, body).await {
        Err(_) => scene.ledger.count(format!("{what}: controller away")),
        Ok(answer) => match answer.status {
            200..300 => {
                scene.ledger.count(what);
                return Some(answer.body);
            }
            404 => scene.ledger.count(format!("{what}: gone meanwhile")),
            409 => scene.ledger.count(format!("{what}: immutable or taken (409)")),
            status => {
                let body = body.map(Value::to_string).unwrap_or_default();
                scene.ledger.violation(format!("{shown} {body} answered {status}: {}", answer.body));
            }
        },
    }
    None
}

async fn create(scene: &Scene, random: &mut StdRng) {
    let mut members: Vec<_> = scene
        .origins
        .iter()
        .map(octavia_testkit::Origin::address)
        .filter(|_| random.random_bool(0.5))
        .collect();
    if random.random_bool(0.3) {
        members.push(scene.dead);
    }
    let mut body = Populated {
        name: &format!("storm-{}", random.random::<u32>()),
        subnet_id: &scene.subnet_id,
        protocol: "HTTP",
        port: 8000 + random.random_range(0..5),
        algorithm: ["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"][random.random_range(0..3)],
        members: &members,
        monitor: random.random_bool(0.7).then(|| tree::http_monitor(1, 1)),
    }
    .body();
    if random.random_bool(0.2) {
        body["listeners"] = json!([]);
    }
    let body = json!({"loadbalancer": body});
    call(scene, &scene.demo, "load balancers created", Method::POST, "/lbaas/loadbalancers", Some(&body))
        .await;
}

async fn delete(scene: &Scene, lb: &Value) {
    let path = format!("/lbaas/loadbalancers/{}?cascade=true", id(lb));
    call(scene, &scene.demo, "load balancers deleted", Method::DELETE, &path, None).await;
}

/// The ids of a load balancer's children of one kind.
fn children(lb: &Value, kind: &str) -> Vec<String> {
    lb[kind]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|child| child["id"].as_str().map(str::to_owned))
        .collect()
}

async fn members_of(scene: &Scene, pool: &str) -> Option<Vec<Value>> {
    let path = format!("/lbaas/pools/{pool}/members");
    let mut body = call(scene, &scene.demo, "lists", Method::GET, &path, None).await?;
    match body["members"].take() {
        Value::Array(members) => Some(members),
        _ => None,
    }
}

async fn change(scene: &Scene, lb: &Value, random: &mut StdRng) {
    let pool = children(lb, "pools").choose(random).cloned();
    let listener = children(lb, "listeners").choose(random).cloned();
    let demo = &scene.demo;
    match (random.random_range(0..8), pool, listener) {
        (0, _, Some(listener)) => {
            let body = json!({"listener": {"admin_state_up": random.random_bool(0.7)}});
            let path = format!("/lbaas/listeners/{listener}");
            call(scene, demo, "listeners changed", Method::PUT, &path, Some(&body)).await;
        }
        (1, _, Some(listener)) => {
            let path = format!("/lbaas/listeners/{listener}");
            call(scene, demo, "listeners deleted", Method::DELETE, &path, None).await;
        }
        (2, Some(pool), _) => {
            let path = format!("/lbaas/pools/{pool}");
            call(scene, demo, "pools deleted", Method::DELETE, &path, None).await;
        }
        (3, Some(pool), _) => {
            let body = json!({"healthmonitor": {
                "pool_id": pool, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1,
            }});
            call(scene, demo, "monitors created", Method::POST, "/lbaas/healthmonitors", Some(&body)).await;
        }
        (4, Some(pool), _) => {
            let chosen = scene.origins.iter().filter(|_| random.random_bool(0.5)).collect::<Vec<_>>();
            let weights: Vec<u16> = chosen.iter().map(|_| random.random_range(0..4)).collect();
            let members =
                chosen.iter().zip(weights).map(|(origin, weight)| tree::member(origin.address(), weight));
            let body = json!({"members": members.collect::<Vec<_>>()});
            let path = format!("/lbaas/pools/{pool}/members");
            call(scene, demo, "members replaced", Method::PUT, &path, Some(&body)).await;
        }
        (5 | 6, pool, _) => {
            let body = json!({"listener": {
                "loadbalancer_id": id(lb), "protocol": "HTTP", "protocol_port": 8000 + random.random_range(0..5),
                "default_pool_id": pool,
            }});
            call(scene, demo, "listeners created", Method::POST, "/lbaas/listeners", Some(&body)).await;
        }
        _ => rename(scene, lb, random, random_prefix(lb)).await,
    }
}

fn random_prefix(lb: &Value) -> &'static str {
    if lb["name"].as_str().is_some_and(|name| name.starts_with("steady-")) { "steady-" } else { "storm-" }
}

async fn rename(scene: &Scene, lb: &Value, random: &mut StdRng, prefix: &str) {
    let body = json!({"loadbalancer": {"name": format!("{prefix}{}", random.random::<u32>())}});
    let path = format!("/lbaas/loadbalancers/{}", id(lb));
    call(scene, &scene.demo, "load balancers renamed", Method::PUT, &path, Some(&body)).await;
}

/// A change under which no request may fail.
async fn change_gently(scene: &Scene, lb: &Value, random: &mut StdRng) {
    let Some(pool) = children(lb, "pools").first().cloned() else { return };
    let demo = &scene.demo;
    let members_path = format!("/lbaas/pools/{pool}/members");
    match random.random_range(0..8) {
        0 => rename(scene, lb, random, "steady-").await,
        1 => {
            let body = json!({"listener": {
                "loadbalancer_id": id(lb), "protocol": "HTTP", "protocol_port": 9000 + random.random_range(0..3),
                "default_pool_id": pool,
            }});
            call(scene, demo, "listeners created", Method::POST, "/lbaas/listeners", Some(&body)).await;
        }
        2 => {
            for listener in children(lb, "listeners") {
                let path = format!("/lbaas/listeners/{listener}");
                let Some(shown) = call(scene, demo, "reads", Method::GET, &path, None).await else { return };
                if shown["listener"]["protocol_port"].as_u64().is_some_and(|port| port >= 9000) {
                    call(scene, demo, "listeners deleted", Method::DELETE, &path, None).await;
                    return;
                }
            }
        }
        3 => {
            let origin = &scene.origins[random.random_range(1..scene.origins.len())];
            let body = json!({"member": tree::member(origin.address(), random.random_range(0..10))});
            call(scene, demo, "members created", Method::POST, &members_path, Some(&body)).await;
        }
        choice => {
            let Some(members) = members_of(scene, &pool).await else { return };
            let first = scene.origins[0].address().ip().to_string();
            let others: Vec<_> =
                members.iter().filter(|member| member["address"] != first.as_str()).collect();
            let Some(member) = others.choose(random) else { return };
            let path = format!("{members_path}/{}", id(member));
            if choice == 4 {
                call(scene, demo, "members deleted", Method::DELETE, &path, None).await;
            } else {
                let body = json!({"member": {"weight": random.random_range(0..10)}});
                call(scene, demo, "members changed", Method::PUT, &path, Some(&body)).await;
            }
        }
    }
}

/// Everything of one collection, as the administrator sees it.
pub(super) async fn everything(rest: &Rest, path: &str, key: &str) -> Result<Vec<Value>> {
    let mut body = rest.get(path).await?;
    match body[key].take() {
        Value::Array(all) => Ok(all),
        other => anyhow::bail!("{path} has no {key}: {other}"),
    }
}
