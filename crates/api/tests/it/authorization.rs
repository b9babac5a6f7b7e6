//! Every endpoint against every kind of caller: the test fails when an endpoint has no row here.

use octavia_api::{ENDPOINTS, Policy};
use octavia_model::{AmphoraStatus, LoadBalancerGraph};
use octavia_policy::{Enforcer, Options, defaults};
use serde_json::json;

use crate::world::{self, MEMBER, SUBNET, World};

/// Callers, in the order of the columns below.
const CALLERS: &[&str] = &[
    "@own",
    "reader@own",
    "member@own",
    "member@other",
    "admin@other",
    "load-balancer_observer@own",
    "load-balancer_member@own",
    "load-balancer_global_observer@other",
    "load-balancer_quota_admin@own",
    "load-balancer_admin@other",
    "service@other",
    "admin@!system",
    "admin@!domain",
    "reader@!system",
];

/// `y` = may, `-` = 403, for each caller, while the older defaults count beside the present ones. What the project
/// owns, the callers of `other` do not.
const READ: &str = "-yy-yyyy-y-yy-";
/// Lists show the caller's own project, so being of another one is no obstacle.
const LIST: &str = "-yyyyyyy-y-yy-";
const WRITE: &str = "--y-y-y--y-yy-";
const MEMBERS: &str = "-yy-yyyy-yyyy-";
const ADMIN: &str = "----y----y-yy-";
/// What belongs to nobody, and may be read by everybody with a role that reads.
const SHARED: &str = "-yyyyyyy-y-yy-";
const QUOTA: &str = "-yy-yyyyyy-yy-";
const QUOTA_LIST: &str = "-yyyyyyyyy-yy-";
const QUOTA_WRITE: &str = "----y---yy-yy-";
/// Nothing of the kind exists yet, so nobody is asked who they are: 404 for everybody.
const NOBODY_ASKED: &str = "yyyyyyyyyyyyyy";

/// Endpoint → who may.
const EXPECTED: &[(&str, &str)] = &[
    ("GET loadbalancers", LIST),
    // Into their own project; `other` here means the callers' own.
    ("POST loadbalancers", WRITE),
    ("GET loadbalancers/{id}", READ),
    ("PUT loadbalancers/{id}", WRITE),
    ("DELETE loadbalancers/{id}", WRITE),
    ("GET loadbalancers/{id}/status", READ),
    ("GET loadbalancers/{id}/statuses", READ),
    ("GET loadbalancers/{id}/stats", READ),
    ("PUT loadbalancers/{id}/failover", ADMIN),
    ("GET loadbalancers/{id}/operations", READ),
    ("GET listeners", LIST),
    ("POST listeners", WRITE),
    ("GET listeners/{id}", READ),
    ("PUT listeners/{id}", WRITE),
    ("DELETE listeners/{id}", WRITE),
    ("GET listeners/{id}/stats", READ),
    ("GET pools", LIST),
    ("POST pools", WRITE),
    ("GET pools/{id}", READ),
    ("PUT pools/{id}", WRITE),
    ("DELETE pools/{id}", WRITE),
    ("GET pools/{id}/members", MEMBERS),
    ("POST pools/{id}/members", WRITE),
    ("PUT pools/{id}/members", WRITE),
    ("GET pools/{id}/members/{member}", READ),
    ("PUT pools/{id}/members/{member}", WRITE),
    ("DELETE pools/{id}/members/{member}", WRITE),
    ("GET healthmonitors", LIST),
    ("POST healthmonitors", WRITE),
    ("GET healthmonitors/{id}", READ),
    ("PUT healthmonitors/{id}", WRITE),
    ("DELETE healthmonitors/{id}", WRITE),
    ("GET l7policies", LIST),
    ("POST l7policies", WRITE),
    ("GET l7policies/{id}", READ),
    ("PUT l7policies/{id}", WRITE),
    ("DELETE l7policies/{id}", WRITE),
    ("GET l7policies/{id}/rules", READ),
    ("POST l7policies/{id}/rules", WRITE),
    ("GET l7policies/{id}/rules/{rule}", READ),
    ("PUT l7policies/{id}/rules/{rule}", WRITE),
    ("DELETE l7policies/{id}/rules/{rule}", WRITE),
    ("GET quotas", QUOTA_LIST),
    ("GET quotas/{project_id}", QUOTA),
    ("PUT quotas/{project_id}", QUOTA_WRITE),
    ("DELETE quotas/{project_id}", QUOTA_WRITE),
    ("GET quotas/{project_id}/default", QUOTA),
    ("GET providers", SHARED),
    ("GET providers/{name}/flavor_capabilities", ADMIN),
    ("GET providers/{name}/availability_zone_capabilities", ADMIN),
    ("GET flavors", SHARED),
    ("POST flavors", ADMIN),
    ("GET flavors/{id}", SHARED),
    ("PUT flavors/{id}", ADMIN),
    ("DELETE flavors/{id}", ADMIN),
    ("GET flavorprofiles", ADMIN),
    ("POST flavorprofiles", ADMIN),
    ("GET flavorprofiles/{id}", ADMIN),
    ("PUT flavorprofiles/{id}", ADMIN),
    ("DELETE flavorprofiles/{id}", ADMIN),
    ("GET availabilityzones", SHARED),
    ("POST availabilityzones", ADMIN),
    ("GET availabilityzones/{name}", SHARED),
    ("PUT availabilityzones/{name}", ADMIN),
    ("DELETE availabilityzones/{name}", ADMIN),
    ("GET availabilityzoneprofiles", ADMIN),
    ("POST availabilityzoneprofiles", ADMIN),
    ("GET availabilityzoneprofiles/{id}", ADMIN),
    ("PUT availabilityzoneprofiles/{id}", ADMIN),
    ("DELETE availabilityzoneprofiles/{id}", ADMIN),
    ("GET amphorae", ADMIN),
    ("GET amphorae/{id}", ADMIN),
    ("DELETE amphorae/{id}", ADMIN),
    ("GET amphorae/{id}/stats", ADMIN),
    ("PUT amphorae/{id}/config", ADMIN),
    ("PUT amphorae/{id}/failover", ADMIN),
];

/// With the older defaults beside the present ones.
#[tokio::test]
async fn every_endpoint_lets_in_whom_it_should() {
    everybody_at_every_endpoint(false).await;
}

/// Then the roles of load balancing alone give nothing.
#[tokio::test]
async fn every_endpoint_lets_in_whom_the_present_defaults_do() {
    everybody_at_every_endpoint(true).await;
}

async fn everybody_at_every_endpoint(enforce_new_defaults: bool) {
    let mut wrong = vec![];
    let mut world = None;
    for endpoint in ENDPOINTS {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        let Some((_, expected)) = EXPECTED.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} has no authorization case"));
            continue;
        };
        let mut got = String::new();
        let mut wanted = String::new();
        for (caller, may) in CALLERS.iter().zip(expected.chars()) {
            let older = enforce_new_defaults && caller.starts_with("load-balancer_");
            wanted.push(if older && *expected != NOBODY_ASKED { '-' } else { may });
            let now = match world.take() {
                Some(world) => world,
                None => populated(enforce_new_defaults).await,
            };
            let status = ask(&now, endpoint.method, endpoint.path, caller).await;
            got.push(if status == 403 { '-' } else { 'y' });
            // A world in which something was changed is no longer the one to ask the next caller about.
            world = (endpoint.method == "GET" || status >= 400).then_some(now);
        }
        if got != wanted {
            wrong.push(format!("{name}: {got}, not {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "callers are {CALLERS:?}\n{}", wrong.join("\n"));
    assert_eq!(EXPECTED.len(), ENDPOINTS.len(), "a case is for no endpoint");
}

/// A world with a catalogue and one settled load balancer that has one of everything.
async fn populated(enforce_new_defaults: bool) -> (World, LoadBalancerGraph) {
    let options = Options { enforce_new_defaults, ..Options::default() };
    let (enforcer, _) = Enforcer::new(defaults(), &[], options).expect("right rules");
    let world = World::with_policy(Policy::new(enforcer)).await;
    world.catalogue().await;
    let lb = world
        .load_balancer(
            MEMBER,
            json!({
                "listeners": [{ "protocol": "HTTP", "protocol_port": 80, "default_pool": {
                    "name": "a", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
                    "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
                }, "l7policies": [{ "action": "REJECT", "rules": [
                    { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" },
                ] }] }],
            }),
        )
        .await;
    world.amphora(lb, AmphoraStatus::Error).await;
    world.settle(lb).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    (world, graph)
}

/// The status of the endpoint's answer to the caller.
async fn ask((world, graph): &(World, LoadBalancerGraph), method: &str, path: &str, caller: &str) -> u16 {
    let lb = graph.load_balancer.id;
    let (listener, pool) = (graph.listeners[0].id.to_string(), graph.pools[0].id.to_string());
    let (policy, rule) = (graph.l7policies[0].id.to_string(), graph.l7rules[0].id.to_string());
    let (member, monitor) = (graph.members[0].id.to_string(), graph.health_monitors[0].id.to_string());
    let first = match path.split('/').next().unwrap_or_default() {
        "loadbalancers" => lb.to_string(),
        "listeners" => listener.clone(),
        "l7policies" => policy,
        "pools" => pool.clone(),
        "healthmonitors" => monitor,
        "amphorae" => {
            let list = world.call_as(world::ADMIN, "GET", "/v2/octavia/amphorae", None).await.expect(200);
            list["amphorae"][0]["id"].as_str().expect("an id").to_owned()
        }
        "flavors" => world.flavor_ids("small").await.0,
        "flavorprofiles" => world.flavor_ids("small").await.1,
        "availabilityzoneprofiles" => world.zone_profile_id("here").await,
        _ => "anything".to_owned(),
    };
    let full = path
        .replace("{id}", &first)
        .replace("{member}", &member)
        .replace("{project_id}", "own")
        .replace("{name}", if path.starts_with("providers") { "amphora" } else { "here" })
        .replace("{rule}", &rule);
    let prefix = if path.starts_with("amphorae") { "octavia" } else { "lbaas" };
    let body = match (method, path) {
        ("GET" | "DELETE", _) => None,
        ("POST", "loadbalancers") => {
            Some(json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "project_id": "own" } }))
        }
        ("POST", "listeners") => Some(
            json!({ "listener": { "loadbalancer_id": lb.to_string(), "protocol": "TCP", "protocol_port": 81 } }),
        ),
        ("POST", "pools") => Some(
            json!({ "pool": { "loadbalancer_id": lb.to_string(), "protocol": "TCP", "lb_algorithm": "SOURCE_IP" } }),
        ),
        ("POST", "pools/{id}/members") => {
            Some(json!({ "member": { "address": "192.0.2.9", "protocol_port": 80 } }))
        }
        ("POST", "healthmonitors") => Some(json!({ "healthmonitor": {
            "pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2,
        } })),
        ("POST", "l7policies") => {
            Some(json!({ "l7policy": { "listener_id": listener, "action": "REJECT" } }))
        }
        ("PUT", "l7policies/{id}") => Some(json!({ "l7policy": { "position": 1 } })),
        ("POST", "l7policies/{id}/rules") => {
            Some(json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/x" } }))
        }
        ("PUT", "l7policies/{id}/rules/{rule}") => Some(json!({ "rule": {} })),
        ("PUT", "pools/{id}/members") => Some(json!({ "members": [] })),
        ("PUT", "loadbalancers/{id}") => Some(json!({ "loadbalancer": {} })),
        ("PUT", "listeners/{id}") => Some(json!({ "listener": {} })),
        ("PUT", "pools/{id}") => Some(json!({ "pool": {} })),
        ("PUT", "pools/{id}/members/{member}") => Some(json!({ "member": {} })),
        ("PUT", "quotas/{project_id}") => Some(json!({ "quota": { "pool": 9 } })),
        ("PUT", "healthmonitors/{id}") => Some(json!({ "healthmonitor": {} })),
        ("POST", "flavors") => Some(json!({ "flavor": {
            "name": "new", "flavor_profile_id": world.flavor_ids("small").await.1,
        } })),
        ("POST", "flavorprofiles") => Some(json!({ "flavorprofile": {
            "name": "new", "provider_name": "amphora", "flavor_data": "{}",
        } })),
        ("POST", "availabilityzones") => Some(json!({ "availability_zone": {
            "name": "new", "availability_zone_profile_id": world.zone_profile_id("here").await,
        } })),
        ("POST", "availabilityzoneprofiles") => Some(json!({ "availability_zone_profile": {
            "name": "new", "provider_name": "amphora", "availability_zone_data": "{}",
        } })),
        ("PUT", "flavors/{id}") => Some(json!({ "flavor": {} })),
        ("PUT", "flavorprofiles/{id}") => Some(json!({ "flavorprofile": {} })),
        ("PUT", "availabilityzones/{name}") => Some(json!({ "availability_zone": {} })),
        ("PUT", "availabilityzoneprofiles/{id}") => Some(json!({ "availability_zone_profile": {} })),
        _ => Some(json!({})),
    };
    let query = if path == "loadbalancers/{id}" && method == "DELETE" { "?cascade=true" } else { "" };
    let body = body.map(|body| body.to_string());
    let reply = world.call_as(caller, method, &format!("/v2/{prefix}/{full}{query}"), body.as_deref()).await;
    assert_ne!(reply.status, 500, "{method} {path} as {caller}: {}", reply.body);
    assert_ne!(reply.status, 401, "{method} {path} as {caller}");
    reply.status
}

#[tokio::test]
async fn lists_show_what_the_caller_may_see() {
    let world = World::new().await;
    world.load_balancer("member@own", json!({ "name": "mine" })).await;
    world.load_balancer("member@other", json!({ "name": "theirs" })).await;
    for (caller, query, expected) in [
        ("member@own", "", "mine"),
        ("reader@other", "", "theirs"),
        ("member@own", "?project_id=own", "mine"),
        ("reader@nobody", "", ""),
        ("admin@own", "", "mine theirs"),
        ("admin@", "", "mine theirs"),
        ("admin@!system", "", "mine theirs"),
        ("load-balancer_global_observer,reader@other", "", "theirs"),
        ("admin@own", "?project_id=other", "theirs"),
        ("admin@own", "?project_id=nobody", ""),
    ] {
        let reply = world.call_as(caller, "GET", &format!("loadbalancers{query}"), None).await.expect(200);
        let names: Vec<_> = reply["loadbalancers"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|lb| lb["name"].as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(names.join(" "), expected, "{caller} {query}");
    }
}

#[tokio::test]
async fn an_administrator_creates_for_others_and_the_tenant_alias_wins() {
    let world = World::new().await;
    let lb = world.load_balancer("admin@x", json!({ "project_id": "p", "tenant_id": "t" })).await;
    let reply = world.call_as("admin@x", "GET", &format!("loadbalancers/{lb}"), None).await.expect(200);
    assert_eq!(reply["loadbalancer"]["project_id"], "t");
    assert_eq!(reply["loadbalancer"]["tenant_id"], "t");
}
