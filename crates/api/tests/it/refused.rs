//! Requests that are refused: after every case nothing may have been stored, and no answer may be a 500.

use octavia_model::LoadBalancerId;
use serde_json::json;

use crate::cases::{self, Case, Names, REFUSED, good_body};
use crate::world::{self, MEMBER, World};

/// One load balancer with something of everything, and some in states that refuse.
struct Fixture {
    world: World,
    names: Names,
    load_balancers: Vec<LoadBalancerId>,
}

impl Fixture {
    async fn new() -> Self {
        let world = World::new().await;
        let rule = json!({ "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" });
        let mut tree = cases::tree();
        let full = json!({ "name": "full", "action": "REJECT", "rules": vec![rule.clone(); 50] });
        tree["listeners"][0]["l7policies"].as_array_mut().expect("a list").push(full);
        let lb = world.load_balancer(MEMBER, tree).await;
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
        let mut names = Names::of_every_world();
        let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
        names.tree(&graph);
        let graph = world.store.lb_fetch(failed).await.expect("asked").expect("there");
        for (name, id) in [
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
            ("failed_pool", graph.pools[0].id.to_string()),
            ("failed_listener", graph.listeners[0].id.to_string()),
            ("failed_monitor", graph.health_monitors[0].id.to_string()),
            ("failed_member", graph.members[0].id.to_string()),
            ("failed_policy", graph.l7policies[0].id.to_string()),
            ("failed_rule", graph.l7rules[0].id.to_string()),
        ] {
            names.set(name, id);
        }
        Self { world, names, load_balancers: vec![lb, pending, leaving, failed, foreign, offered] }
    }

    fn expand(&self, text: &str) -> String {
        self.names.expand(text)
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

async fn check(fixture: &Fixture, case: &Case<'_>) -> Result<(), String> {
    let body = case.sent().map(|body| fixture.expand(&body));
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
    for (table, text) in REFUSED {
        for case in cases::cases(text) {
            count += 1;
            if let Err(failure) = check(&fixture, &case).await {
                failures.push(format!("{table}, {}\n  {failure}", case.shown()));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
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
        let (root, body) = good_body("POST", path);
        let body = fixture.expand(&json!({ root: body }).to_string());
        let reply = fixture.world.call_as(MEMBER, "POST", &fixture.expand(path), Some(&body)).await;
        reply.expect(201);
    }
    for path in ["flavors", "flavorprofiles", "availabilityzones", "availabilityzoneprofiles"] {
        let (root, body) = good_body("POST", path);
        let body = fixture.expand(&json!({ root: body }).to_string());
        fixture.world.call_as(world::ADMIN, "POST", path, Some(&body)).await.expect(201);
    }
}
