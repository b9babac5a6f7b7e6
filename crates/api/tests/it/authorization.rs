//! Every endpoint against every kind of caller: the test fails when an endpoint has no row here.

use octavia_api::{ENDPOINTS, Policy};
use octavia_model::{AmphoraStatus, LoadBalancerGraph};
use octavia_policy::{Enforcer, Options, PREFIX, PolicyFile, defaults};
use octavia_store::ListQuery;
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

/// Who sees what other projects have.
const GLOBAL: &str = "----y--y-y-yy-";
const QUOTA_GLOBAL: &str = "----y--yyy-yy-";

/// Rules that are asked beside the endpoint's own: rule, method, path, body, who may. `{id}` is a load balancer of `own`.
const BESIDE: &[(&str, &str, &str, &str, &str)] = &[
    ("loadbalancer:get_all-global", "GET", "loadbalancers?project_id=third", "", GLOBAL),
    ("listener:get_all-global", "GET", "listeners?project_id=third", "", GLOBAL),
    ("pool:get_all-global", "GET", "pools?project_id=third", "", GLOBAL),
    ("healthmonitor:get_all-global", "GET", "healthmonitors?project_id=third", "", GLOBAL),
    ("l7policy:get_all-global", "GET", "l7policies?project_id=third", "", GLOBAL),
    ("quota:get_all-global", "GET", "quotas?project_id=third", "", QUOTA_GLOBAL),
    (
        "loadbalancer:post:vip_sg_ids",
        "POST",
        "loadbalancers",
        r#"{"loadbalancer": {"vip_subnet_id": "{subnet}", "project_id": "own", "vip_sg_ids": []}}"#,
        WRITE,
    ),
    (
        "loadbalancer:put:vip_sg_ids",
        "PUT",
        "loadbalancers/{id}",
        r#"{"loadbalancer": {"vip_sg_ids": null}}"#,
        WRITE,
    ),
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

#[tokio::test]
async fn every_other_rule_lets_in_whom_it_should() {
    let mut wrong = vec![];
    for enforce_new_defaults in [false, true] {
        let scene = populated(enforce_new_defaults).await;
        for (rule, method, path, body, expected) in BESIDE {
            let mut got = String::new();
            let mut wanted = String::new();
            for (caller, may) in CALLERS.iter().zip(expected.chars()) {
                let older = enforce_new_defaults && caller.starts_with("load-balancer_");
                wanted.push(if older { '-' } else { may });
                let status = ask_beside(&scene, method, path, body, caller).await;
                got.push(if status == 403 { '-' } else { 'y' });
            }
            if got != wanted {
                wrong.push(format!("{rule}: {got}, not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "callers are {CALLERS:?}\n{}", wrong.join("\n"));
}

/// Whom an operator's rule lets in is let in, and nobody else: each is asked, and the tables above have each.
#[tokio::test]
async fn every_rule_decides_by_itself() {
    let mut wrong = vec![];
    let rules: Vec<&str> = defaults().iter().filter_map(|rule| rule.name.strip_prefix(PREFIX)).collect();
    for rule in &rules {
        let endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.policy == *rule);
        let beside = BESIDE.iter().filter(|(name, ..)| name == rule);
        if endpoints.clone().count() + beside.clone().count() == 0 {
            wrong.push(format!("{rule} has no authorization case"));
        }
        // Administrators see lists by the rule of what every project has.
        let global = rules.contains(&format!("{rule}-global").as_str());
        let caller = if global { MEMBER } else { world::ADMIN };
        let nobody = ruled(&[(rule, "!")]).await;
        for endpoint in endpoints.clone() {
            let status = ask(&nobody, endpoint.method, endpoint.path, caller).await;
            if status != 403 {
                wrong.push(format!("{rule}: nobody may {} {}, but {status}", endpoint.method, endpoint.path));
            }
        }
        for endpoint in endpoints {
            // A batch makes, changes and removes.
            let batch = endpoint.method == "PUT" && endpoint.path == "pools/{id}/members";
            let more: &[(&str, &str)] =
                if batch { &[("member:post", "@"), ("member:delete", "@")] } else { &[] };
            let anybody = ruled(&[&[(*rule, "@")], more].concat()).await;
            let status = ask(&anybody, endpoint.method, endpoint.path, "@own").await;
            if status == 403 {
                wrong.push(format!("{rule}: anybody may {} {}, but 403", endpoint.method, endpoint.path));
            }
        }
        for (_, method, path, body, _) in beside {
            if let Some(list) = path.strip_suffix("?project_id=third") {
                // Without it, administrators are left what their own project has.
                let seen = |scene, caller| list_length(scene, caller, list);
                let anybody = ruled(&[(rule, "@")]).await;
                let counts = (seen(&nobody, "admin@third").await, seen(&anybody, "reader@third").await);
                if counts.0 != 0 || counts.1 == 0 {
                    wrong.push(format!("{rule}: {list} shows {counts:?}"));
                }
            } else if ask_beside(&nobody, method, path, body, world::ADMIN).await != 403 {
                wrong.push(format!("{rule}: nobody may {method} {path}, but somebody does"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn list_length((world, _): &(World, LoadBalancerGraph), caller: &str, list: &str) -> usize {
    let reply = world.call_as(caller, "GET", list, None).await.expect(200);
    reply[list].as_array().expect("a list").len()
}

async fn ask_beside(
    (world, graph): &(World, LoadBalancerGraph),
    method: &str,
    path: &str,
    body: &str,
    caller: &str,
) -> u16 {
    let path = path.replace("{id}", &graph.load_balancer.id.to_string());
    let body = body.replace("{subnet}", SUBNET);
    let reply = world.call_as(caller, method, &path, (!body.is_empty()).then_some(&body)).await;
    assert!(matches!(reply.status, 200 | 201 | 403), "{method} {path} as {caller}: {}", reply.body);
    reply.status
}

/// With the defaults, the older ones beside the present ones or not.
async fn populated(enforce_new_defaults: bool) -> (World, LoadBalancerGraph) {
    let options = Options { enforce_new_defaults, ..Options::default() };
    let (enforcer, _) = Enforcer::new(defaults(), &[], options).expect("right rules");
    populated_under(Policy::new(enforcer)).await
}

/// With an operator's rules, which come into force when everything is there.
async fn ruled(rules: &[(&str, &str)]) -> (World, LoadBalancerGraph) {
    let policy = Policy::default();
    let scene = populated_under(policy.clone()).await;
    let lines: Vec<String> =
        rules.iter().map(|(name, check)| format!("\"{PREFIX}{name}\": \"{check}\"\n")).collect();
    let file = PolicyFile::read("policy.yaml", lines.concat().as_bytes()).expect("a policy file");
    policy.replace(Enforcer::new(defaults(), &[file], Options::default()).expect("right rules").0);
    scene
}

/// A world with a catalogue and one settled load balancer that has one of everything.
async fn populated_under(policy: Policy) -> (World, LoadBalancerGraph) {
    let world = World::with_policy(policy).await;
    world.catalogue().await;
    let quota = Some(r#"{"quota": {"pool": 9}}"#);
    world.call_as(world::ADMIN, "PUT", "quotas/own", quota).await.expect(202);
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

/// Ids that no caller is asked for.
struct Stored {
    amphora: String,
    flavor: String,
    flavor_profile: String,
    zone_profile: String,
}

impl Stored {
    async fn of(world: &World) -> Self {
        let (store, every) = (&world.store, ListQuery::default());
        let amphorae = store.amphora_list(&every).await.expect("listed").items;
        let flavors = store.flavor_list(&every).await.expect("listed").items;
        let flavor = flavors.iter().find(|flavor| flavor.name == "small").expect("a flavor");
        let zones = store.availability_zone_list(&every).await.expect("listed").items;
        let zone = zones.iter().find(|zone| zone.name == "here").expect("a zone");
        Self {
            amphora: amphorae[0].id.to_string(),
            flavor: flavor.id.to_string(),
            flavor_profile: flavor.flavor_profile_id.to_string(),
            zone_profile: zone.availability_zone_profile_id.to_string(),
        }
    }
}

/// The status of the endpoint's answer to the caller.
async fn ask((world, graph): &(World, LoadBalancerGraph), method: &str, path: &str, caller: &str) -> u16 {
    let stored = Stored::of(world).await;
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
        "amphorae" => stored.amphora.clone(),
        "flavors" => stored.flavor.clone(),
        "flavorprofiles" => stored.flavor_profile.clone(),
        "availabilityzoneprofiles" => stored.zone_profile.clone(),
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
            "name": "new", "flavor_profile_id": stored.flavor_profile,
        } })),
        ("POST", "flavorprofiles") => Some(json!({ "flavorprofile": {
            "name": "new", "provider_name": "amphora", "flavor_data": "{}",
        } })),
        ("POST", "availabilityzones") => Some(json!({ "availability_zone": {
            "name": "new", "availability_zone_profile_id": stored.zone_profile,
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
