//! L7 policies and rules among the rest of the tree.

use octavia_model::ProvisioningStatus;
use serde_json::{Value, json};

use super::{Scene, id};
use crate::world::{MEMBER, World};

/// What each write makes of load balancer, listeners and pools (`reference/api.md` §5.2).
#[tokio::test]
async fn what_a_write_touches() {
    let scene = Scene::new().await;
    let world = &scene.world;
    assert_eq!(scene.statuses().await, "AAAAA");
    let policy = scene.policy(json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": "$other" })).await;
    assert_eq!(scene.statuses().await, "UUAAA");
    scene.settle().await;
    let path = format!("l7policies/{}", id(&policy));
    let of = |path: &str| {
        let path = path.to_owned();
        async move {
            let reply = world.get(&path).await;
            let object = reply.as_object().expect("an object").values().next().expect("a root").clone();
            object["provisioning_status"].as_str().expect("a status").to_owned()
        }
    };
    world.put(&path, json!({ "l7policy": { "name": "a" } })).await.expect(200);
    assert_eq!((scene.statuses().await.as_str(), of(&path).await.as_str()), ("UUAAA", "PENDING_UPDATE"));
    scene.settle().await;
    let rule = scene.rule(id(&policy), json!({})).await;
    let rule_path = format!("{path}/rules/{}", id(&rule));
    assert_eq!((scene.statuses().await.as_str(), of(&path).await.as_str()), ("UUAAA", "PENDING_UPDATE"));
    assert_eq!(of(&rule_path).await, "PENDING_CREATE");
    scene.settle().await;
    world.put(&rule_path, json!({ "rule": {} })).await.expect(200);
    assert_eq!((scene.statuses().await.as_str(), of(&path).await.as_str()), ("UUAAA", "PENDING_UPDATE"));
    assert_eq!(of(&rule_path).await, "PENDING_UPDATE");
    scene.settle().await;
    // A pool that a policy leads to has the policy's listener.
    world.put(&format!("pools/{}", scene.other), json!({ "pool": { "name": "x" } })).await.expect(200);
    assert_eq!(scene.statuses().await, "UUAAU");
    scene.settle().await;
    let members = format!("pools/{}/members", scene.other);
    let member = json!({ "member": { "address": "192.0.2.1", "protocol_port": 80 } });
    world.post(&members, member).await.expect(201);
    assert_eq!(scene.statuses().await, "UUAAU");
    scene.settle().await;
    world.delete(&rule_path).await.expect(204);
    assert_eq!((scene.statuses().await.as_str(), of(&path).await.as_str()), ("UUAAA", "PENDING_UPDATE"));
    assert_eq!(of(&rule_path).await, "PENDING_DELETE");
    world.delete(&rule_path).await.expect(409);
    world.put(&rule_path, json!({ "rule": {} })).await.expect(409);
    scene.settle().await;
    world.call_as(MEMBER, "GET", &rule_path, None).await.expect(404);
    world.delete(&path).await.expect(204);
    assert_eq!((scene.statuses().await.as_str(), of(&path).await.as_str()), ("UUAAA", "PENDING_DELETE"));
    for refused in [
        world.delete(&path).await,
        world.put(&path, json!({ "l7policy": { "name": "x" } })).await,
        world
            .post(
                &format!("{path}/rules"),
                json!({ "rule": {
            "type": "PATH", "compare_type": "EQUAL_TO", "value": "/",
        } }),
            )
            .await,
    ] {
        let text = refused.text();
        assert!(text.ends_with("is immutable and cannot be updated."), "{text}");
        refused.expect(409);
    }
    scene.settle().await;
    world.call_as(MEMBER, "GET", &path, None).await.expect(404);
    let gone = world.call_as(MEMBER, "GET", &format!("{path}/rules"), None).await;
    assert_eq!(gone.body["title"], "Bad Request");
    gone.expect(404);
}

#[tokio::test]
async fn pools_listeners_and_the_status_tree_follow_policies() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let pool = |pool: &str| {
        let path = format!("pools/{pool}");
        async move {
            let shown = world.get(&path).await["pool"].take();
            let listed = world.get("pools").await;
            let listed = listed["pools"].as_array().expect("a list").iter().find(|p| p["id"] == shown["id"]);
            assert_eq!(listed.expect("there")["listeners"], shown["listeners"]);
            shown["listeners"].as_array().expect("a list").len()
        }
    };
    let tree = || async {
        let tree = world.get(&format!("loadbalancers/{}/status", scene.lb)).await;
        let listeners = tree["statuses"]["loadbalancer"]["listeners"].as_array().expect("a list").clone();
        let names = listeners.iter().map(|listener| {
            let pools = listener["pools"].as_array().expect("a list").iter();
            pools.map(|pool| pool["name"].as_str().expect("a name")).collect::<Vec<_>>().join(" ")
        });
        names.collect::<Vec<_>>().join(" / ")
    };
    assert_eq!((pool(&scene.other).await, tree().await.as_str()), (0, "default / "));
    let policy = scene.policy(json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": "$other" })).await;
    assert_eq!((pool(&scene.other).await, tree().await.as_str()), (0, "default / "), "it has no rule");
    scene.rule(id(&policy), json!({})).await;
    assert_eq!((pool(&scene.other).await, tree().await.as_str()), (1, "default other / "));
    // A second way to the default pool makes no second entry.
    let again = scene.policy(json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": "$default" })).await;
    scene.rule(id(&again), json!({})).await;
    assert_eq!((pool(&scene.default).await, tree().await.as_str()), (1, "default other / "));
    let path = format!("l7policies/{}", id(&policy));
    world.put(&path, json!({ "l7policy": { "admin_state_up": false } })).await.expect(200);
    assert_eq!((pool(&scene.other).await, tree().await.as_str()), (0, "default / "));

    // A pool stays while a policy leads to it, be it disabled; the pool's default listener is not what counts.
    let refused = world.delete(&format!("pools/{}", scene.other)).await;
    assert_eq!(refused.text(), format!("Pool {} is in use by L7 policy {}", scene.other, id(&policy)));
    refused.expect(409);
    world.put(&path, json!({ "l7policy": { "action": "REJECT" } })).await.expect(200);
    world.delete(&format!("pools/{}", scene.other)).await.expect(204);
    let listener = world.get(&format!("listeners/{}", scene.listener)).await;
    assert_eq!(listener["listener"]["default_pool_id"], json!(scene.default), "another pool's end");
    // Nothing may lead to it again.
    let body = json!({ "l7policy": { "redirect_pool_id": scene.other } });
    world.put(&path, body).await.expect(409);

    // A policy on its way out does not hold its pool.
    world.delete(&format!("l7policies/{}", id(&again))).await.expect(204);
    world.delete(&format!("pools/{}", scene.default)).await.expect(204);
    scene.settle().await;
    assert_eq!(world.get("pools").await["pools"], json!([]));
    assert_eq!(world.get("l7policies").await["l7policies"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn policies_go_with_their_listener() {
    let scene = Scene::new().await;
    let policy = scene.policy(json!({})).await;
    let rule = scene.rule(id(&policy), json!({})).await;
    scene.settle().await;
    scene.world.delete(&format!("listeners/{}", scene.listener)).await.expect(204);
    let path = format!("l7policies/{}", id(&policy));
    let shown = scene.world.get(&path).await;
    assert_eq!(shown["l7policy"]["provisioning_status"], "PENDING_DELETE");
    let shown = scene.world.get(&format!("{path}/rules/{}", id(&rule))).await;
    assert_eq!(shown["rule"]["provisioning_status"], "PENDING_DELETE");
    let body = json!({ "l7policy": { "listener_id": scene.listener, "action": "REJECT" } });
    scene.world.post("l7policies", body).await.expect(409);
    scene.settle().await;
    scene.world.call_as(MEMBER, "GET", &path, None).await.expect(404);

    let second = json!({ "l7policy": { "listener_id": scene.second, "action": "REJECT" } });
    scene.world.post("l7policies", second).await.expect(201);
    scene.world.delete(&format!("loadbalancers/{}?cascade=true", scene.lb)).await.expect(204);
    let graph = scene.world.store.lb_fetch(scene.lb).await.expect("asked").expect("there");
    assert!(graph.l7policies.iter().all(|p| p.statuses.provisioning == ProvisioningStatus::PendingDelete));
}

#[tokio::test]
async fn policies_come_with_a_whole_tree() {
    let world = World::new().await;
    let rule = |value: &str| json!({ "type": "PATH", "compare_type": "EQUAL_TO", "value": value });
    let reply = world
        .post(
            "loadbalancers",
            json!({ "loadbalancer": {
                "vip_subnet_id": crate::world::SUBNET,
                "pools": [{ "name": "shared", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }],
                "listeners": [
                    {
                        "protocol": "HTTP", "protocol_port": 80,
                        "l7policies": [
                            {
                                "name": "second", "action": "REDIRECT_TO_POOL", "tags": ["t"],
                                "redirect_pool": {
                                    "name": "own", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                                    "members": [{ "address": "192.0.2.1", "protocol_port": 80 }],
                                },
                                "rules": [rule("/a"), rule("/b")],
                            },
                            { "name": "third", "action": "REDIRECT_TO_POOL", "redirect_pool": { "name": "shared" } },
                            {
                                "name": "first", "action": "REDIRECT_TO_URL", "redirect_url": "http://a",
                                "position": 1, "rules": null,
                            },
                        ],
                    },
                    {
                        "protocol": "HTTP", "protocol_port": 81, "default_pool": { "name": "own" },
                        "l7policies": [
                            { "action": "REDIRECT_TO_POOL", "redirect_pool": { "name": "shared" }, "rules": [rule("/")] },
                            // The action does not want it; it is made all the same.
                            { "action": "REJECT", "redirect_pool": {
                                "name": "idle", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                            } },
                        ],
                    },
                    { "protocol": "HTTP", "protocol_port": 82, "l7policies": null },
                ],
            } }),
        )
        .await
        .expect(201);
    let lb = &reply["loadbalancer"];
    let pools = lb["pools"].as_array().expect("a list");
    let names: Vec<_> = pools.iter().map(|pool| pool["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["shared", "own", "idle"]);
    let (shared, own) = (&pools[0], &pools[1]);
    let policies = lb["listeners"][0]["l7policies"].as_array().expect("a list");
    let shown: Vec<_> = policies
        .iter()
        .map(|policy| (policy["name"].as_str().expect("a name"), &policy["position"]))
        .collect();
    assert_eq!(shown, [("first", &json!(1)), ("second", &json!(2)), ("third", &json!(3))]);
    assert_eq!(policies[0]["redirect_http_code"], 302);
    assert_eq!(policies[1]["redirect_pool_id"], own["id"]);
    assert_eq!(policies[1]["rules"].as_array().expect("a list").len(), 2);
    assert_eq!(policies[1]["rules"][1]["value"], "/b");
    assert_eq!(policies[1]["rules"][1].as_object().expect("an object").len(), 14, "whole rules");
    assert_eq!(policies[2]["redirect_pool_id"], shared["id"]);
    for object in policies.iter().chain(policies[1]["rules"].as_array().expect("a list")) {
        assert_eq!(object["provisioning_status"], "PENDING_CREATE");
        assert_eq!(object["operating_status"], "OFFLINE");
        assert_eq!(object["project_id"], "own");
    }
    // Of the ways to `shared`, only one has a rule; `own` is a default too.
    let listeners = |pool: &Value| pool["listeners"].as_array().expect("a list").len();
    assert_eq!((listeners(shared), listeners(own), listeners(&pools[2])), (1, 2, 0));
    assert_eq!(lb["listeners"][2]["l7policies"], json!([]));

    let listed = world.get("l7policies?name=second").await["l7policies"][0].take();
    assert_eq!(listed["rules"][0].as_object().expect("an object").len(), 1, "ids only");
    let shown = world.get(&format!("listeners/{}", id(&lb["listeners"][0]))).await;
    assert_eq!(shown["listener"]["l7policies"][1], json!({ "id": listed["id"] }));
}
