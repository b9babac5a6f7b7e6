//! Requests that are refused: tables of text, one case in two lines.
//!
//! ```text
//! @member@own POST listeners + {"protocol_port": 0}
//!   400 Invalid input for field/attribute protocol_port. Value: '0'. Value should be greater or equal to 1
//! ```
//!
//! `@token` may be left out. `+ {…}` lays attributes over a body that would be accepted (`"#absent"` removes one);
//! without `+` the rest of the line is the body as it is. `$name` stands for an id of the fixture. A text that ends in
//! `…` is a beginning.
//!
//! After every case nothing may have been stored, and no answer may be a 500.

use std::collections::BTreeMap;

use octavia_model::LoadBalancerId;
use serde_json::{Value, json};

use crate::world::{self, MEMBER, World, merge};

const TABLES: &[(&str, &str)] = &[
    ("transport", include_str!("refused/transport.txt")),
    ("load_balancer", include_str!("refused/load_balancer.txt")),
    ("single_call", include_str!("refused/single_call.txt")),
    ("listener", include_str!("refused/listener.txt")),
    ("pool", include_str!("refused/pool.txt")),
    ("member", include_str!("refused/member.txt")),
    ("health_monitor", include_str!("refused/health_monitor.txt")),
    ("l7policy", include_str!("refused/l7policy.txt")),
    ("l7rule", include_str!("refused/l7rule.txt")),
    ("secrets", include_str!("refused/secrets.txt")),
    ("quota", include_str!("refused/quota.txt")),
    ("list", include_str!("refused/list.txt")),
    ("catalogue", include_str!("refused/catalogue.txt")),
    ("policy", include_str!("refused/policy.txt")),
    ("status", include_str!("refused/status.txt")),
];

/// One load balancer with something of everything, and some in states that refuse.
struct Fixture {
    world: World,
    names: BTreeMap<&'static str, String>,
    load_balancers: Vec<LoadBalancerId>,
}

impl Fixture {
    async fn new() -> Self {
        let world = World::new().await;
        let rule = json!({ "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" });
        let lb = world
            .load_balancer(
                MEMBER,
                json!({
                    "name": "main",
                    "pools": [
                        {
                            "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                            "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
                            "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
                        },
                        { "name": "free", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" },
                        { "name": "tcp", "protocol": "TCP", "lb_algorithm": "SOURCE_IP" },
                        {
                            "name": "http-checked", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                            "healthmonitor": {
                                "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2,
                            },
                        },
                    ],
                    "listeners": [
                        {
                            "name": "http", "protocol": "HTTP", "protocol_port": 80,
                            "default_pool": { "name": "pool" },
                            "l7policies": [
                                { "name": "reject", "action": "REJECT", "rules": [
                                    { "type": "PATH", "compare_type": "STARTS_WITH", "value": "/private" },
                                    { "type": "HEADER", "compare_type": "CONTAINS", "key": "X", "value": "y" },
                                ] },
                                { "name": "url", "action": "REDIRECT_TO_URL", "redirect_url": "https://a.example" },
                                { "name": "pool", "action": "REDIRECT_TO_POOL", "redirect_pool": {
                                    "name": "redirect", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                                } },
                                { "name": "full", "action": "REJECT", "rules": vec![rule.clone(); 50] },
                            ],
                        },
                        { "name": "tcp", "protocol": "TCP", "protocol_port": 81 },
                    ],
                }),
            )
            .await;
        world.settle(lb).await;
        let pending = world.load_balancer(MEMBER, json!({})).await;
        let leaving = world.load_balancer(MEMBER, json!({})).await;
        world.delete(&format!("loadbalancers/{leaving}")).await.expect(204);
        let failed = world
            .load_balancer(
                MEMBER,
                json!({
                    "pools": [{
                        "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                        "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
                        "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
                    }],
                    "listeners": [{ "protocol": "HTTP", "protocol_port": 80, "l7policies": [
                        { "action": "REJECT", "rules": [rule] },
                    ] }],
                }),
            )
            .await;
        world.fail(failed).await;
        let foreign = world.load_balancer("member@other", json!({})).await;
        world.catalogue().await;
        let (flavor, flavor_profile) = world.flavor_ids("small").await;
        let (disabled, _) = world.flavor_ids("off").await;
        let (pair, _) = world.flavor_ids("pair").await;
        let zone_profile = world.zone_profile_id("here").await;
        let chosen = json!({ "flavor_id": flavor, "availability_zone": "here" });
        let offered = world.load_balancer(MEMBER, chosen).await;
        let mut fixture = Self {
            world,
            names: BTreeMap::new(),
            load_balancers: vec![lb, pending, leaving, failed, foreign, offered],
        };
        fixture.name(lb, failed).await;
        fixture.names.extend([
            ("bundle", world::secrets::reference(world::secrets::BUNDLE)),
            ("authority", world::secrets::reference(world::secrets::AUTHORITY)),
            ("crl", world::secrets::reference(world::secrets::CRL)),
            ("foreign_crl", world::secrets::reference(world::secrets::FOREIGN_CRL)),
            ("plain", world::secrets::reference(world::secrets::PLAIN)),
            ("mismatched", world::secrets::reference(world::secrets::MISMATCHED)),
            ("forbidden", world::secrets::reference(world::secrets::FORBIDDEN)),
            ("no_secret", world::secrets::reference(world::ABSENT)),
            ("away", world::secrets::reference(world::secrets::AWAY)),
            ("lb", lb.to_string()),
            ("pending", pending.to_string()),
            ("leaving", leaving.to_string()),
            ("failed", failed.to_string()),
            ("foreign", foreign.to_string()),
            ("flavor", flavor),
            ("disabled_flavor", disabled),
            ("pair_flavor", pair),
            ("profile", flavor_profile),
            ("zone_profile", zone_profile),
        ]);
        fixture
    }

    async fn name(&mut self, lb: LoadBalancerId, failed: LoadBalancerId) {
        let graph = self.world.store.lb_fetch(lb).await.expect("asked").expect("there");
        let pool = |name: &str| graph.pools.iter().find(|pool| pool.name == name).expect("a pool").id;
        let listener = |name: &str| graph.listeners.iter().find(|l| l.name == name).expect("a listener").id;
        let monitor = |name: &str| graph.pool_health_monitor(pool(name)).expect("a monitor").id;
        let policy = |name: &str| graph.l7policies.iter().find(|p| p.name == name).expect("a policy").id;
        let rule = |n| graph.l7policy_rules(policy("reject")).nth(n).expect("a rule").id.to_string();
        self.names.extend([
            ("policy", policy("reject").to_string()),
            ("url_policy", policy("url").to_string()),
            ("pool_policy", policy("pool").to_string()),
            ("full_policy", policy("full").to_string()),
            ("rule", rule(0)),
            ("header_rule", rule(1)),
            ("redirect_pool", pool("redirect").to_string()),
            ("pool", pool("pool").to_string()),
            ("free_pool", pool("free").to_string()),
            ("tcp_pool", pool("tcp").to_string()),
            ("checked_pool", pool("http-checked").to_string()),
            ("listener", listener("http").to_string()),
            ("tcp_listener", listener("tcp").to_string()),
            ("monitor", monitor("pool").to_string()),
            ("http_monitor", monitor("http-checked").to_string()),
            ("member", graph.members[0].id.to_string()),
        ]);
        let graph = self.world.store.lb_fetch(failed).await.expect("asked").expect("there");
        self.names.extend([
            ("failed_pool", graph.pools[0].id.to_string()),
            ("failed_listener", graph.listeners[0].id.to_string()),
            ("failed_monitor", graph.health_monitors[0].id.to_string()),
            ("failed_member", graph.members[0].id.to_string()),
            ("failed_policy", graph.l7policies[0].id.to_string()),
            ("failed_rule", graph.l7rules[0].id.to_string()),
        ]);
        for (name, value) in [
            ("network", world::NETWORK),
            ("empty_network", world::EMPTY_NETWORK),
            ("other_network", world::OTHER_NETWORK),
            ("subnet", world::SUBNET),
            ("subnet6", world::SUBNET6),
            ("full_subnet", world::FULL_SUBNET),
            ("other_subnet", world::OTHER_SUBNET),
            ("port", world::PORT),
            ("bound_port", world::BOUND_PORT),
            ("wide_port", world::WIDE_PORT),
            ("group", world::GROUP),
            ("absent", world::ABSENT),
        ] {
            self.names.insert(name, value.to_owned());
        }
        self.names.insert("long", "x".repeat(256));
    }

    /// Replaces `$name` by what it stands for; longer names first, so that `$pool` leaves `$pool_x` alone.
    fn expand(&self, text: &str) -> String {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }

    /// A body of the collection's resource that would be accepted.
    fn good_body(&self, method: &str, path: &str) -> (&'static str, Value) {
        let path = path.split('?').next().unwrap_or_default();
        let create = method == "POST";
        let (root, body) = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["loadbalancers", ..] => ("loadbalancer", json!({ "vip_subnet_id": "$subnet" })),
            ["listeners", ..] => {
                ("listener", json!({ "loadbalancer_id": "$lb", "protocol": "HTTP", "protocol_port": 8080 }))
            }
            ["pools"] | ["pools", _] => (
                "pool",
                json!({ "loadbalancer_id": "$lb", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }),
            ),
            ["pools", ..] => ("member", json!({ "address": "192.0.2.7", "protocol_port": 80 })),
            ["healthmonitors", ..] => (
                "healthmonitor",
                json!({ "pool_id": "$free_pool", "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2 }),
            ),
            ["l7policies"] | ["l7policies", _] => {
                ("l7policy", json!({ "listener_id": "$listener", "action": "REJECT" }))
            }
            ["l7policies", ..] => {
                ("rule", json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/api" }))
            }
            ["flavors", ..] => ("flavor", json!({ "name": "new", "flavor_profile_id": "$profile" })),
            ["flavorprofiles", ..] => {
                ("flavorprofile", json!({ "name": "new", "provider_name": "amphora", "flavor_data": "{}" }))
            }
            ["availabilityzones", ..] => (
                "availability_zone",
                json!({ "name": "new", "availability_zone_profile_id": "$zone_profile" }),
            ),
            ["availabilityzoneprofiles", ..] => (
                "availability_zone_profile",
                json!({ "name": "new", "provider_name": "amphora", "availability_zone_data": "{}" }),
            ),
            other => panic!("no good body for {other:?}"),
        };
        (root, if create { body } else { json!({}) })
    }

    async fn stored(&self) -> String {
        let mut state = format!("{:?}", self.world.network.vips.lock().expect("not poisoned").keys());
        for id in &self.load_balancers {
            state += &format!("{:?}\n", self.world.store.lb_fetch(*id).await.expect("asked"));
        }
        let (store, every) = (&self.world.store, octavia_store::ListQuery::default());
        state += &format!("{:?}\n", store.flavor_list(&every).await.expect("listed"));
        state += &format!("{:?}\n", store.flavor_profile_list(&every).await.expect("listed"));
        state += &format!("{:?}\n", store.availability_zone_list(&every).await.expect("listed"));
        state += &format!("{:?}\n", store.availability_zone_profile_list(&every).await.expect("listed"));
        state += &format!("{:?}\n", store.quota_list(&every).await.expect("listed"));
        let all = store.lb_list(&every).await.expect("listed");
        state + &all.items.len().to_string()
    }
}

struct Case<'a> {
    token: &'a str,
    method: &'a str,
    path: &'a str,
    body: Option<&'a str>,
    status: u16,
    text: &'a str,
}

fn cases(table: &str) -> Vec<Case<'_>> {
    let lines = table.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.len().is_multiple_of(2), "cases have two lines");
    lines
        .chunks(2)
        .map(|pair| {
            let [request, expected] = pair else { unreachable!("chunks of two") };
            assert!(!request.starts_with(' ') && expected.starts_with("  "), "out of step at {request}");
            let (token, request) = match request.strip_prefix('@') {
                Some(rest) => rest.split_once(' ').expect("a request after the token"),
                None => (MEMBER, *request),
            };
            let (method, rest) = request.split_once(' ').expect("a method and a path");
            let (path, body) = match rest.split_once(' ') {
                Some((path, body)) => (path, Some(body)),
                None => (rest, None),
            };
            let (status, text) = expected.trim_start().split_once(' ').unwrap_or((expected.trim(), ""));
            Case { token, method, path, body, status: status.parse().expect("a status"), text }
        })
        .collect()
}

async fn check(fixture: &Fixture, case: &Case<'_>) -> Result<(), String> {
    let body = case.body.map(|body| match body.strip_prefix("+ ") {
        Some(extra) => {
            let (root, mut good) = fixture.good_body(case.method, case.path);
            let extra: Value = serde_json::from_str(extra).unwrap_or_else(|_| panic!("not JSON: {extra}"));
            merge(&mut good, &extra);
            fixture.expand(&json!({ root: good }).to_string())
        }
        None => fixture.expand(body),
    });
    let path = fixture.expand(case.path);
    let before = fixture.stored().await;
    let reply = fixture.world.call_as(case.token, case.method, &path, body.as_deref()).await;
    let expected = fixture.expand(case.text);
    let text = reply.text();
    let as_said = match expected.strip_suffix('…') {
        Some(beginning) => text.starts_with(beginning),
        None => text == expected,
    };
    if reply.status != case.status || !as_said {
        return Err(format!("answered {} {text}\n  not {} {expected}", reply.status, case.status));
    }
    if reply.status == 500 {
        return Err("answered 500".to_owned());
    }
    if fixture.stored().await != before {
        return Err("something was stored".to_owned());
    }
    Ok(())
}

#[tokio::test]
async fn refused_requests_answer_what_is_documented_and_store_nothing() {
    let fixture = Fixture::new().await;
    let mut count = 0;
    let mut failures = vec![];
    for (table, text) in TABLES {
        for case in cases(text) {
            count += 1;
            if let Err(failure) = check(&fixture, &case).await {
                let body = case.body.unwrap_or_default();
                failures.push(format!("{table}: {} {} {body}\n  {failure}", case.method, case.path));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 250, "only {count} cases");
}

/// The bodies the tables are variations of are accepted: what refuses a case is what the case says.
#[tokio::test]
async fn the_bodies_cases_vary_are_good() {
    let fixture = Fixture::new().await;
    for path in [
        "loadbalancers",
        "listeners",
        "pools",
        "pools/$pool/members",
        "healthmonitors",
        "l7policies",
        "l7policies/$policy/rules",
    ] {
        let (root, body) = fixture.good_body("POST", path);
        let body = fixture.expand(&json!({ root: body }).to_string());
        let reply = fixture.world.call_as(MEMBER, "POST", &fixture.expand(path), Some(&body)).await;
        reply.expect(201);
    }
    for path in ["flavors", "flavorprofiles", "availabilityzones", "availabilityzoneprofiles"] {
        let (root, body) = fixture.good_body("POST", path);
        let body = fixture.expand(&json!({ root: body }).to_string());
        fixture.world.call_as(world::ADMIN, "POST", path, Some(&body)).await.expect(201);
    }
}
