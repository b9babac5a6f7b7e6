//! `dry_run=true`: the same judgement as the write, what it would do, and nothing stored.

use std::sync::{Arc, Mutex};

use octavia_api::{ApiOptions, Audit, AuditSink, PendingWrites, Who};
use octavia_model::{AmphoraStatus, LoadBalancerId};
use serde_json::{Value, json};

use crate::world::{ABSENT, ADMIN, MEMBER, NETWORK, PORT, Reply, SUBNET, World};

async fn send(world: &World, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    let body = (!body.is_null()).then(|| body.to_string());
    world.call_as(token, method, path, body.as_deref()).await
}

/// The same request as a dry run.
async fn rehearse(world: &World, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    let sign = if path.contains('?') { '&' } else { '?' };
    send(world, token, method, &format!("{path}{sign}dry_run=true"), body).await
}

/// What a dry run says.
async fn told(world: &World, method: &str, path: &str, body: Value) -> Value {
    rehearse(world, ADMIN, method, path, &body).await.expect(200)["dry_run"].take()
}

/// Everything that there is to be seen.
async fn all(world: &World) -> Vec<Value> {
    let mut seen = vec![];
    for list in [
        "loadbalancers",
        "listeners",
        "pools",
        "healthmonitors",
        "l7policies",
        "quotas",
        "flavors",
        "flavorprofiles",
        "availabilityzones",
        "availabilityzoneprofiles",
        "/v2/octavia/amphorae",
    ] {
        seen.push(world.call_as(ADMIN, "GET", list, None).await.expect(200));
    }
    for lb in seen[0]["loadbalancers"].as_array().expect("a list").clone() {
        let id: LoadBalancerId = lb["id"].as_str().expect("an id").parse().expect("an id");
        let graph = world.store.lb_fetch(id).await.expect("asked");
        seen.push(json!(format!("{graph:?}")));
    }
    seen.push(json!(format!("{:?}", world.store.outbox_take(1000).await.expect("asked"))));
    seen.push(json!(format!("{:?}", world.network.vips.lock().expect("not poisoned"))));
    seen
}

#[derive(Debug)]
struct Setting {
    lb: LoadBalancerId,
    listener: String,
    pool: String,
    member: String,
    monitor: String,
    policy: String,
    rule: String,
    flavor: String,
    flavor_profile: String,
    zone_profile: String,
}

/// A load balancer in service, with one of each kind below it, and a catalogue.
async fn setting(world: &World) -> Setting {
    let tree = json!({
        "name": "web",
        "listeners": [{ "name": "front", "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "p" },
            "l7policies": [{ "action": "REJECT", "rules": [
                { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/x" }] }] }],
        "pools": [{ "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
            "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 2, "max_retries": 3 } }],
    });
    let lb = world.load_balancer(MEMBER, tree).await;
    world.settle(lb).await;
    world.amphora(lb, AmphoraStatus::Allocated).await;
    world.catalogue().await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let (flavor, flavor_profile) = world.flavor_ids("small").await;
    Setting {
        lb,
        listener: graph.listeners[0].id.to_string(),
        pool: graph.pools[0].id.to_string(),
        member: graph.members[0].id.to_string(),
        monitor: graph.health_monitors[0].id.to_string(),
        policy: graph.l7policies[0].id.to_string(),
        rule: graph.l7rules[0].id.to_string(),
        flavor,
        flavor_profile,
        zone_profile: world.zone_profile_id("here").await,
    }
}

/// Every kind of write, in an order in which each of them succeeds, with what it is told to change.
fn writes(s: &Setting) -> Vec<(&'static str, String, Value, &'static str)> {
    let Setting { lb, listener, pool, member, monitor, policy, rule, flavor, flavor_profile, zone_profile } =
        s;
    let named = |root: &str| json!({ root: { "name": "other" } });
    let lb_text = lb.to_string();
    vec![
        (
            "POST",
            "loadbalancers".into(),
            json!({ "loadbalancer": { "vip_subnet_id": SUBNET } }),
            "+loadbalancer",
        ),
        ("PUT", format!("loadbalancers/{lb}"), named("loadbalancer"), "~loadbalancer"),
        ("PUT", format!("loadbalancers/{lb}"), named("loadbalancer"), ""),
        (
            "POST",
            "listeners".into(),
            json!({ "listener": { "loadbalancer_id": lb_text, "protocol": "TCP", "protocol_port": 81 } }),
            "+listener",
        ),
        ("PUT", format!("listeners/{listener}"), named("listener"), "~listener"),
        (
            "POST",
            "pools".into(),
            json!({ "pool": { "loadbalancer_id": lb_text, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN" } }),
            "+pool",
        ),
        ("PUT", format!("pools/{pool}"), named("pool"), "~pool"),
        (
            "POST",
            format!("pools/{pool}/members"),
            json!({ "member": { "address": "192.0.2.2", "protocol_port": 80 } }),
            "+member",
        ),
        ("PUT", format!("pools/{pool}/members/{member}"), json!({ "member": { "weight": 7 } }), "~member"),
        (
            "PUT",
            format!("pools/{pool}/members"),
            json!({ "members": [{ "address": "192.0.2.1", "protocol_port": 80, "weight": 8 },
                                { "address": "192.0.2.3", "protocol_port": 80 }] }),
            "+member ~member -member",
        ),
        ("PUT", format!("healthmonitors/{monitor}"), named("healthmonitor"), "~healthmonitor"),
        ("DELETE", format!("healthmonitors/{monitor}"), Value::Null, "-healthmonitor"),
        (
            "POST",
            "healthmonitors".into(),
            json!({ "healthmonitor": { "pool_id": pool, "type": "TCP", "delay": 5, "timeout": 2, "max_retries": 3 } }),
            "+healthmonitor",
        ),
        (
            "POST",
            "l7policies".into(),
            json!({ "l7policy": { "listener_id": listener, "action": "REJECT" } }),
            "+l7policy",
        ),
        ("PUT", format!("l7policies/{policy}"), named("l7policy"), "~l7policy"),
        (
            "POST",
            format!("l7policies/{policy}/rules"),
            json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/y" } }),
            "+rule",
        ),
        ("PUT", format!("l7policies/{policy}/rules/{rule}"), json!({ "rule": { "invert": true } }), "~rule"),
        ("DELETE", format!("l7policies/{policy}/rules/{rule}"), Value::Null, "-rule"),
        ("DELETE", format!("l7policies/{policy}"), Value::Null, "~l7policy -l7policy -rule"),
        ("DELETE", format!("pools/{pool}/members/{member}"), Value::Null, "-member"),
        ("PUT", "quotas/own".into(), json!({ "quota": { "pool": 70 } }), "~quota"),
        ("DELETE", "quotas/own".into(), Value::Null, "~quota"),
        (
            "POST",
            "flavorprofiles".into(),
            json!({ "flavorprofile": { "name": "q", "provider_name": "amphora", "flavor_data": "{}" } }),
            "+flavorprofile",
        ),
        ("PUT", format!("flavorprofiles/{flavor_profile}"), named("flavorprofile"), "~flavorprofile"),
        (
            "POST",
            "flavors".into(),
            json!({ "flavor": { "name": "r", "flavor_profile_id": flavor_profile } }),
            "+flavor",
        ),
        ("PUT", format!("flavors/{flavor}"), named("flavor"), "~flavor"),
        ("DELETE", format!("flavors/{flavor}"), Value::Null, "-flavor"),
        (
            "POST",
            "availabilityzoneprofiles".into(),
            json!({ "availability_zone_profile":
                { "name": "q", "provider_name": "amphora", "availability_zone_data": "{}" } }),
            "+availabilityzoneprofile",
        ),
        (
            "PUT",
            format!("availabilityzoneprofiles/{zone_profile}"),
            named("availability_zone_profile"),
            "~availabilityzoneprofile",
        ),
        (
            "POST",
            "availabilityzones".into(),
            json!({ "availability_zone": { "name": "y", "availability_zone_profile_id": zone_profile } }),
            "+availabilityzone",
        ),
        (
            "PUT",
            "availabilityzones/here".into(),
            json!({ "availability_zone": { "enabled": false } }),
            "~availabilityzone",
        ),
        ("DELETE", "availabilityzones/here".into(), Value::Null, "-availabilityzone"),
        ("DELETE", "availabilityzones/y".into(), Value::Null, "-availabilityzone"),
        (
            "DELETE",
            format!("availabilityzoneprofiles/{zone_profile}"),
            Value::Null,
            "-availabilityzoneprofile",
        ),
        ("PUT", format!("loadbalancers/{lb}/failover"), Value::Null, ""),
        (
            "DELETE",
            format!("loadbalancers/{lb}?cascade=true"),
            Value::Null,
            "-healthmonitor -l7policy -listener -listener -loadbalancer -member -pool -pool",
        ),
    ]
}

#[tokio::test]
async fn every_write_can_be_rehearsed_and_then_done() {
    let world = World::new().await;
    let s = setting(&world).await;
    for (method, path, body, expected) in writes(&s) {
        world.settle(s.lb).await;
        let what = format!("{method} {path}");
        let before = all(&world).await;
        let plan = told(&world, method, &path, body.clone()).await;
        assert_eq!(all(&world).await, before, "{what}");
        let mut changes: Vec<_> = plan["changes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|change| {
                let sign = match change["change"].as_str() {
                    Some("created") => '+',
                    Some("updated") => '~',
                    _ => '-',
                };
                format!("{sign}{}", change["type"].as_str().expect("a word"))
            })
            .collect();
        let mut wanted: Vec<_> = expected.split_whitespace().map(str::to_owned).collect();
        changes.sort();
        wanted.sort();
        assert_eq!(changes, wanted, "{what}: {plan:#}");
        let done = send(&world, ADMIN, method, &path, &body).await;
        assert_eq!(plan["status"], done.status, "{what}: {}", done.body);
        assert_ne!(all(&world).await, before, "{what}");
    }
}

#[tokio::test]
async fn what_would_be_refused_is_refused_alike() {
    let world =
        World::with(ApiOptions { pending_writes: PendingWrites::Reject, ..ApiOptions::default() }).await;
    let s = setting(&world).await;
    let Setting { lb, listener, pool, member, flavor_profile, .. } = &s;
    let pending = world.load_balancer(MEMBER, json!({})).await;
    let quota = json!({ "quota": { "member": 1, "load_balancer": 2 } });
    send(&world, ADMIN, "PUT", "quotas/own", &quota).await.expect(202);
    let clash =
        json!({ "listener": { "loadbalancer_id": lb.to_string(), "protocol": "HTTP", "protocol_port": 80 } });
    let address = world.get(&format!("loadbalancers/{lb}")).await["loadbalancer"]["vip_address"].take();
    let renamed = json!({ "loadbalancer": { "name": "b" } });
    for (token, method, path, body, status) in [
        ("nonsense", "DELETE", format!("loadbalancers/{lb}"), Value::Null, 401),
        ("reader@own", "DELETE", format!("loadbalancers/{lb}"), Value::Null, 403),
        ("member@other", "PUT", format!("loadbalancers/{lb}"), renamed.clone(), 403),
        (
            MEMBER,
            "POST",
            "flavors".into(),
            json!({ "flavor": { "name": "x", "flavor_profile_id": flavor_profile } }),
            403,
        ),
        (MEMBER, "PUT", format!("loadbalancers/{ABSENT}"), renamed.clone(), 404),
        (MEMBER, "POST", "nothing".into(), json!({}), 404),
        (MEMBER, "PATCH", "pools".into(), json!({}), 405),
        (MEMBER, "PUT", format!("loadbalancers/{lb}"), json!({ "loadbalancer": { "nonsense": 1 } }), 400),
        (MEMBER, "PUT", format!("loadbalancers/{lb}?nonsense=1"), renamed.clone(), 400),
        (MEMBER, "DELETE", format!("loadbalancers/{lb}"), Value::Null, 400),
        (MEMBER, "PUT", format!("loadbalancers/{pending}"), renamed, 409),
        (ADMIN, "PUT", format!("loadbalancers/{pending}/failover"), Value::Null, 409),
        (MEMBER, "POST", "listeners".into(), clash, 409),
        (
            MEMBER,
            "PUT",
            format!("pools/{pool}/members/{member}"),
            json!({ "member": { "weight": 999 } }),
            400,
        ),
        (
            MEMBER,
            "POST",
            format!("pools/{pool}/members"),
            json!({ "member": { "address": "192.0.2.9", "protocol_port": 80 } }),
            403,
        ),
        (MEMBER, "POST", "loadbalancers".into(), json!({ "loadbalancer": { "vip_subnet_id": SUBNET } }), 403),
        (
            MEMBER,
            "POST",
            "l7policies".into(),
            json!({ "l7policy": { "listener_id": listener, "action": "REDIRECT_TO_URL" } }),
            400,
        ),
        (ADMIN, "DELETE", format!("flavorprofiles/{flavor_profile}"), Value::Null, 409),
        (ADMIN, "DELETE", "quotas/nobody".into(), Value::Null, 404),
        (
            ADMIN,
            "POST",
            "flavors".into(),
            json!({ "flavor": { "name": "small", "flavor_profile_id": flavor_profile } }),
            409,
        ),
        (
            ADMIN,
            "POST",
            "flavors".into(),
            json!({ "flavor": { "name": "new", "flavor_profile_id": ABSENT } }),
            400,
        ),
        (
            "member@other",
            "POST",
            "loadbalancers".into(),
            json!({ "loadbalancer": { "vip_network_id": NETWORK, "vip_address": address } }),
            409,
        ),
    ] {
        let dry = rehearse(&world, token, method, &path, &body).await;
        let wet = send(&world, token, method, &path, &body).await;
        assert_eq!((dry.status, wet.status), (status, status), "{method} {path}: {} {}", dry.body, wet.body);
        assert_eq!(dry.body, wet.body, "{method} {path}");
    }
}

#[tokio::test]
async fn a_word_that_is_neither_yes_nor_no_is_refused() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    for (query, status) in [
        ("dry_run=maybe", 400),
        ("dry_run=", 400),
        ("dry_run=true&dry_run=false", 400),
        ("dry_run=true", 200),
        ("dry_run=YES", 200),
        ("dry_run=1&cascade=true", 200),
        ("dry_run=0", 204),
    ] {
        let reply = world.delete(&format!("loadbalancers/{lb}?{query}")).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.body);
        if status == 400 {
            assert!(reply.text().ends_with("is not a valid option for dry_run"), "{}", reply.text());
        }
    }
    // To a read it means nothing: a list has no such key.
    world.call_as(MEMBER, "GET", "loadbalancers?dry_run=true", None).await.expect(400);
}

fn words(plan: &Value, list: &str, key: &str) -> String {
    let items = plan[list].as_array().expect("a list").iter();
    items.map(|item| item[key].as_str().expect("text")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_create_names_what_has_no_id_yet() {
    let world = World::new().await;
    let tree = json!({ "loadbalancer": {
        "name": "web", "vip_subnet_id": SUBNET,
        "listeners": [{ "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "p" } }],
        "pools": [{ "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    "members": [{ "address": "0.0.0.1", "protocol_port": 80 }] }],
    } });
    let plan = told(&world, "POST", "loadbalancers", tree.clone()).await;
    assert_eq!(words(&plan, "changes", "id"), "new-listener-1 new-loadbalancer-1 new-member-1 new-pool-1");
    let of = |kind: &str| {
        let changes = plan["changes"].as_array().expect("a list");
        changes.iter().find(|change| change["type"] == kind).expect("a change")["attributes"].clone()
    };
    assert_eq!(of("listener")["default_pool_id"], json!({ "after": "new-pool-1" }));
    assert_eq!(of("loadbalancer")["vip_address"], json!({ "after": null }));
    assert_eq!(of("loadbalancer")["vip_port_id"], json!({ "after": null }));
    assert_eq!(of("loadbalancer")["name"], json!({ "after": "web" }));
    assert_eq!(of("member")["address"], json!({ "after": "0.0.0.1" }));
    assert_eq!(words(&plan, "steps", "kind"), "amphora_create server_ensure spec_push settle");
    assert_eq!(plan["steps"][1]["amphora_id"], "new-amphora-1");
    assert_eq!(words(&plan, "traffic", "effect"), "opened");
    assert_eq!(plan["traffic"][0]["id"], "new-listener-1");
    assert_eq!((&plan["cuts_connections"], &plan["refuses_connections"]), (&json!(false), &json!(false)));
    assert!(world.network.vips.lock().expect("not poisoned").is_empty(), "no address was taken");
    assert!(world.store.work_due(10).await.expect("asked").is_empty());

    // What is chosen is known.
    let mut chosen = tree;
    chosen["loadbalancer"]["vip_port_id"] = json!(PORT);
    let plan = told(&world, "POST", "loadbalancers", chosen).await;
    let lb = &plan["changes"][1]["attributes"];
    assert_eq!(
        (&lb["vip_address"]["after"], &lb["vip_port_id"]["after"]),
        (&json!("10.0.0.77"), &json!(PORT))
    );

    world.catalogue().await;
    let (_, profile) = world.flavor_ids("small").await;
    let zone_profile = world.zone_profile_id("here").await;
    for (path, body, id) in [
        (
            "flavorprofiles",
            json!({ "flavorprofile": { "name": "q", "provider_name": "amphora", "flavor_data": "{}" } }),
            "new-flavorprofile-1",
        ),
        ("flavors", json!({ "flavor": { "name": "q", "flavor_profile_id": profile } }), "new-flavor-1"),
        (
            "availabilityzoneprofiles",
            json!({ "availability_zone_profile":
                { "name": "q", "provider_name": "amphora", "availability_zone_data": "{}" } }),
            "new-availabilityzoneprofile-1",
        ),
        // It is called by its name.
        (
            "availabilityzones",
            json!({ "availability_zone": { "name": "q", "availability_zone_profile_id": zone_profile } }),
            "q",
        ),
    ] {
        let plan = told(&world, "POST", path, body).await;
        assert_eq!(words(&plan, "changes", "id"), id);
        assert_eq!(
            (words(&plan, "steps", "kind"), words(&plan, "traffic", "effect")),
            (String::new(), String::new())
        );
    }
}

#[tokio::test]
async fn a_limit_is_told_once() {
    let world = World::new().await;
    let quota = json!({ "quota": { "load_balancer": 7, "health_monitor": 8 } });
    let plan = told(&world, "PUT", "quotas/own", quota).await;
    let (limits, id) = (&plan["changes"][0]["attributes"], &plan["changes"][0]["id"]);
    let after = |limit: &str| limits[limit]["after"].as_i64();
    assert_eq!((after("load_balancer"), after("health_monitor")), (Some(7), Some(8)), "{plan:#}");
    assert_eq!((limits.as_object().map(serde_json::Map::len), id), (Some(2), &json!("own")), "{plan:#}");
}

#[tokio::test]
async fn what_traffic_and_workers_would_see() {
    let world = World::new().await;
    let s = setting(&world).await;
    let Setting { lb, listener, pool, member, .. } = &s;
    let amphora = world.call_as(ADMIN, "GET", "/v2/octavia/amphorae", None).await.expect(200)["amphorae"][0]
        ["id"]
        .take();
    let amphora = amphora.as_str().expect("an id");
    let push = "spec_push settle";
    let replaced = "spec_push amphora_create server_ensure amphora_retire amphora_delete spec_push settle";
    for (method, path, body, effects, affected, steps) in [
        ("PUT", format!("loadbalancers/{lb}"), json!({ "loadbalancer": { "name": "b" } }), "", "", push),
        ("DELETE", format!("listeners/{listener}"), Value::Null, "refused drained", listener.as_str(), push),
        (
            "PUT",
            format!("listeners/{listener}"),
            json!({ "listener": { "admin_state_up": false } }),
            "refused drained",
            listener,
            push,
        ),
        (
            "PUT",
            format!("loadbalancers/{lb}"),
            json!({ "loadbalancer": { "admin_state_up": false } }),
            "refused drained",
            listener,
            push,
        ),
        ("DELETE", format!("pools/{pool}/members/{member}"), Value::Null, "unserved drained", listener, push),
        (
            "PUT",
            format!("pools/{pool}/members/{member}"),
            json!({ "member": { "weight": 0 } }),
            "unserved drained",
            listener,
            push,
        ),
        ("PUT", format!("pools/{pool}/members/{member}"), json!({ "member": { "weight": 9 } }), "", "", push),
        (
            "PUT",
            format!("pools/{pool}/members"),
            json!({ "members": [{ "address": "192.0.2.7", "protocol_port": 80 }] }),
            "drained",
            member,
            push,
        ),
        (
            "POST",
            "listeners".into(),
            json!({ "listener": { "loadbalancer_id": lb.to_string(), "protocol": "TCP", "protocol_port": 81 } }),
            "opened",
            "new-listener-1",
            push,
        ),
        (
            "DELETE",
            format!("loadbalancers/{lb}?cascade=true"),
            Value::Null,
            "cut refused",
            amphora,
            "amphora_delete load_balancer_delete",
        ),
        ("PUT", format!("loadbalancers/{lb}/failover"), Value::Null, "cut refused", amphora, replaced),
        (
            "PUT",
            format!("/v2/octavia/amphorae/{amphora}/failover"),
            Value::Null,
            "cut refused",
            amphora,
            replaced,
        ),
        ("PUT", format!("/v2/octavia/amphorae/{amphora}/config"), Value::Null, "", "", "spec_push"),
    ] {
        let before = all(&world).await;
        let what = format!("{method} {path} {body}");
        let plan = told(&world, method, &path, body).await;
        assert_eq!(all(&world).await, before, "{what}");
        assert_eq!(words(&plan, "traffic", "effect"), effects, "{what}");
        assert_eq!(plan["traffic"][0]["id"].as_str().unwrap_or_default(), affected, "{what}");
        assert_eq!(words(&plan, "steps", "kind"), steps, "{what}");
        let has = |words: &[&str]| words.iter().any(|word| effects.contains(word));
        assert_eq!(plan["cuts_connections"], has(&["cut"]), "{what}");
        assert_eq!(plan["refuses_connections"], has(&["refused", "unserved"]), "{what}");
    }
    let broken = world.amphora(*lb, AmphoraStatus::Error).await;
    let plan = told(&world, "DELETE", &format!("/v2/octavia/amphorae/{broken}"), Value::Null).await;
    assert_eq!(
        (words(&plan, "changes", "type"), words(&plan, "changes", "change")),
        ("amphora".into(), "deleted".into())
    );
    assert!(words(&plan, "steps", "kind").contains("amphora_delete"), "{plan:#}");
    let there = format!("/v2/octavia/amphorae/{broken}");
    assert_eq!(world.call_as(ADMIN, "GET", &there, None).await.expect(200)["amphora"]["status"], "ERROR");
}

#[derive(Debug, Default)]
struct Records(Mutex<Vec<String>>);

impl AuditSink for Records {
    fn record(&self, _: Who, line: String) {
        self.0.lock().expect("not poisoned").push(line);
    }
}

#[tokio::test]
async fn a_dry_run_is_recorded_as_little_as_a_read() {
    let records = Arc::new(Records::default());
    let world = World::audited(ApiOptions::default(), Audit::new(records.clone(), [])).await;
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } });
    rehearse(&world, MEMBER, "POST", "loadbalancers", &body).await.expect(200);
    rehearse(&world, "reader@own", "POST", "loadbalancers", &body).await.expect(403);
    assert_eq!(*records.0.lock().expect("not poisoned"), [""; 0]);
    let unclear = "loadbalancers?dry_run=perhaps";
    send(&world, MEMBER, "POST", unclear, &body).await.expect(400);
    send(&world, MEMBER, "POST", "loadbalancers", &body).await.expect(201);
    assert_eq!(records.0.lock().expect("not poisoned").len(), 2);
}
