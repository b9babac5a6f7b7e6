//! L7 policies alone: values, what decides what they do, positions, lists.

use serde_json::{Value, json};

use super::{Scene, check, id};

/// `action url prefix pool code`, with a letter for each that is there.
fn verdict(policy: &Value) -> String {
    let there = |key: &str, letter: &'static str| if policy[key].is_null() { "-" } else { letter };
    format!(
        "{} {}{}{} {}",
        policy["action"].as_str().expect("a word"),
        there("redirect_url", "u"),
        there("redirect_prefix", "x"),
        there("redirect_pool_id", "p"),
        policy["redirect_http_code"]
    )
}

#[tokio::test]
async fn a_policy_has_every_attribute() {
    let scene = Scene::new().await;
    let policy = scene.policy(json!({ "tags": ["b", "a"], "project_id": "ignored" })).await;
    check(
        &policy,
        &json!({
            "name": "", "description": "", "admin_state_up": true, "listener_id": scene.listener,
            "action": "REJECT", "redirect_pool_id": null, "redirect_url": null, "redirect_prefix": null,
            "redirect_http_code": null, "position": 1, "rules": [], "tags": ["b", "a"],
            "project_id": "own", "tenant_id": "own", "updated_at": null,
            "provisioning_status": "PENDING_CREATE", "operating_status": "OFFLINE",
        }),
        &policy,
    );
    assert_eq!(policy.as_object().expect("an object").len(), 19);
    let path = format!("l7policies/{}", id(&policy));
    assert_eq!(scene.world.get(&path).await["l7policy"]["action"], "REJECT");
    scene.settle().await;
    let shown = scene.world.get(&path).await;
    check(
        &shown["l7policy"],
        &json!({ "provisioning_status": "ACTIVE", "operating_status": "ONLINE" }),
        &policy,
    );
    let listener = scene.world.get(&format!("listeners/{}", scene.listener)).await;
    assert_eq!(listener["listener"]["l7policies"], json!([{ "id": policy["id"] }]));
    let fields = scene.world.get(&format!("{path}?fields=action&fields=position")).await;
    assert_eq!(fields, json!({ "l7policy": { "action": "REJECT", "position": 1 } }));
}

/// Values at the edges of what is accepted, and what null means.
#[tokio::test]
async fn values_of_a_created_policy() {
    let scene = Scene::new().await;
    let long = "x".repeat(255);
    let url = format!("https://{}", "x".repeat(247));
    for (extra, expected) in [
        (json!({ "name": long, "description": long }), json!({ "name": long, "description": long })),
        (json!({ "name": null, "description": null }), json!({ "name": "", "description": "" })),
        (json!({ "admin_state_up": null }), json!({ "admin_state_up": false })),
        (json!({ "admin_state_up": "no" }), json!({ "admin_state_up": false })),
        (json!({ "admin_state_up": 1 }), json!({ "admin_state_up": true })),
        (json!({ "position": null, "tags": null }), json!({ "tags": [] })),
        (json!({ "position": "1" }), json!({ "position": 1 })),
        (json!({ "position": 1.9 }), json!({ "position": 1 })),
        (json!({ "redirect_http_code": 308 }), json!({ "action": "REJECT", "redirect_http_code": 308 })),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": url }),
            json!({ "redirect_url": url, "redirect_http_code": 302 }),
        ),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": "HTTP://u:p@a.example:8080/p?q=1#f" }),
            json!({ "redirect_url": "HTTP://u:p@a.example:8080/p?q=1#f" }),
        ),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": "https://[2001:db8::1]:443?q" }),
            json!({ "redirect_url": "https://[2001:db8::1]:443?q" }),
        ),
        (
            json!({ "action": "REDIRECT_PREFIX", "redirect_prefix": "https://a:/", "redirect_http_code": "301" }),
            json!({ "redirect_prefix": "https://a:/", "redirect_http_code": 301 }),
        ),
        (
            json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": scene.other.to_uppercase().replace('-', "") }),
            json!({ "redirect_pool_id": scene.other }),
        ),
        (json!({ "redirect_url": null, "redirect_pool_id": null, "redirect_prefix": null }), json!({})),
    ] {
        let policy = scene.policy(extra.clone()).await;
        check(&policy, &expected, &extra);
        let shown = scene.world.get(&format!("l7policies/{}", id(&policy))).await;
        assert_eq!(shown["l7policy"], policy, "{extra}");
    }
}

/// What is sent on a create, and what the policy then is (`reference/api.md` §3.6.1).
#[tokio::test]
async fn a_target_decides_what_a_new_policy_does() {
    let scene = Scene::new().await;
    let (url, prefix, pool) = ("http://a.example/u", "http://a.example/x", "$other");
    for (sent, expected) in [
        (json!({ "action": "REJECT" }), "REJECT --- null"),
        (json!({ "action": "REJECT", "redirect_url": url }), "REJECT --- null"),
        (json!({ "action": "REJECT", "redirect_pool_id": pool }), "REJECT --- null"),
        (json!({ "action": "REJECT", "redirect_http_code": 303 }), "REJECT --- 303"),
        (json!({ "action": "REJECT", "redirect_prefix": prefix }), "REDIRECT_PREFIX -x- 302"),
        (
            json!({ "action": "REJECT", "redirect_prefix": prefix, "redirect_pool_id": pool, "redirect_url": url }),
            "REDIRECT_PREFIX -x- 302",
        ),
        (json!({ "action": "REDIRECT_TO_URL", "redirect_url": url }), "REDIRECT_TO_URL u-- 302"),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": url, "redirect_http_code": 307 }),
            "REDIRECT_TO_URL u-- 307",
        ),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": url, "redirect_http_code": null }),
            "REDIRECT_TO_URL u-- 302",
        ),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": url, "redirect_pool_id": pool }),
            "REDIRECT_TO_URL u-- 302",
        ),
        (
            json!({ "action": "REDIRECT_TO_URL", "redirect_url": url, "redirect_prefix": prefix }),
            "REDIRECT_TO_URL u-- 302",
        ),
        (json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool }), "REDIRECT_TO_POOL --p null"),
        (
            json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool, "redirect_url": url }),
            "REDIRECT_TO_POOL --p null",
        ),
        (
            json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool, "redirect_http_code": 301 }),
            "REDIRECT_TO_POOL --p null",
        ),
        (json!({ "action": "REDIRECT_PREFIX", "redirect_prefix": prefix }), "REDIRECT_PREFIX -x- 302"),
        (
            json!({ "action": "REDIRECT_PREFIX", "redirect_prefix": prefix, "redirect_http_code": 308 }),
            "REDIRECT_PREFIX -x- 308",
        ),
        (
            json!({ "action": "REDIRECT_PREFIX", "redirect_prefix": prefix, "redirect_url": url }),
            "REDIRECT_TO_URL u-- 302",
        ),
    ] {
        assert_eq!(verdict(&scene.policy(sent.clone()).await), expected, "{sent}");
    }
}

/// What a policy was, what is sent on an update, and what it then is.
#[tokio::test]
async fn a_target_switches_what_a_policy_does() {
    let scene = Scene::new().await;
    let (url, prefix, pool) = ("http://a.example/u", "http://a.example/x", "$other");
    let reject = json!({ "redirect_http_code": 303 });
    let to_url = json!({ "action": "REDIRECT_TO_URL", "redirect_url": url, "redirect_http_code": 301 });
    let to_prefix =
        json!({ "action": "REDIRECT_PREFIX", "redirect_prefix": prefix, "redirect_http_code": 301 });
    let to_pool = json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool });
    for (was, sent, expected) in [
        (&reject, json!({ "name": "a" }), "REJECT --- 303"),
        (&reject, json!({ "redirect_url": url }), "REDIRECT_TO_URL u-- 302"),
        (&reject, json!({ "redirect_prefix": prefix }), "REDIRECT_PREFIX -x- 302"),
        (&reject, json!({ "redirect_pool_id": pool }), "REDIRECT_TO_POOL --p null"),
        (&reject, json!({ "redirect_http_code": 307 }), "REJECT --- 307"),
        (&reject, json!({ "redirect_http_code": null }), "REJECT --- null"),
        (&reject, json!({ "redirect_url": null, "redirect_pool_id": null }), "REJECT --- 303"),
        (&reject, json!({ "action": "REJECT" }), "REJECT --- null"),
        (&reject, json!({ "action": "REJECT", "redirect_url": url }), "REJECT --- null"),
        (&to_url, json!({ "name": "a" }), "REDIRECT_TO_URL u-- 301"),
        (&to_url, json!({ "redirect_http_code": 308 }), "REDIRECT_TO_URL u-- 308"),
        (&to_url, json!({ "redirect_http_code": null }), "REDIRECT_TO_URL u-- 302"),
        (&to_url, json!({ "redirect_url": "https://b" }), "REDIRECT_TO_URL u-- 302"),
        (&to_url, json!({ "redirect_prefix": prefix }), "REDIRECT_PREFIX -x- 302"),
        (&to_url, json!({ "redirect_url": null, "redirect_prefix": prefix }), "REDIRECT_PREFIX -x- 302"),
        (&to_url, json!({ "redirect_pool_id": pool }), "REDIRECT_TO_POOL --p null"),
        (&to_url, json!({ "redirect_prefix": null }), "REDIRECT_TO_URL u-- 301"),
        (&to_url, json!({ "action": "REJECT" }), "REJECT --- null"),
        (&to_url, json!({ "action": "REJECT", "redirect_http_code": 301 }), "REJECT --- 301"),
        (
            &to_url,
            json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool, "redirect_url": url }),
            "REDIRECT_TO_POOL --p null",
        ),
        (&to_prefix, json!({ "position": 1 }), "REDIRECT_PREFIX -x- 301"),
        (&to_prefix, json!({ "redirect_url": url, "redirect_http_code": 307 }), "REDIRECT_TO_URL u-- 307"),
        (&to_prefix, json!({ "redirect_url": url, "redirect_prefix": prefix }), "REDIRECT_TO_URL u-- 302"),
        (&to_pool, json!({ "admin_state_up": false }), "REDIRECT_TO_POOL --p null"),
        (&to_pool, json!({ "redirect_http_code": 301 }), "REDIRECT_TO_POOL --p null"),
        (&to_pool, json!({ "redirect_pool_id": "$default" }), "REDIRECT_TO_POOL --p null"),
        (&to_pool, json!({ "redirect_url": url }), "REDIRECT_TO_URL u-- 302"),
        (&to_pool, json!({ "action": "REDIRECT_TO_URL", "redirect_url": url }), "REDIRECT_TO_URL u-- 302"),
        (&to_pool, json!({ "action": "REJECT", "redirect_pool_id": pool }), "REJECT --- null"),
    ] {
        let policy = scene.policy(was.clone()).await;
        let path = format!("l7policies/{}", id(&policy));
        let reply = scene.world.put(&path, json!({ "l7policy": scene.expand(&sent) })).await.expect(200);
        assert_eq!(verdict(&reply["l7policy"]), expected, "{was} then {sent}");
        assert_eq!(scene.world.get(&path).await["l7policy"], reply["l7policy"]);
    }
}

#[tokio::test]
async fn other_attributes_of_an_updated_policy() {
    let scene = Scene::new().await;
    let policy = scene.policy(json!({ "name": "a", "description": "d", "tags": ["x"] })).await;
    let path = format!("l7policies/{}", id(&policy));
    for (sent, expected) in [
        (json!({ "name": "b" }), json!({ "name": "b", "description": "d", "tags": ["x"] })),
        (json!({ "name": null, "description": null }), json!({ "name": "", "description": "" })),
        (json!({ "admin_state_up": null }), json!({ "admin_state_up": false })),
        (json!({ "admin_state_up": "on" }), json!({ "admin_state_up": true })),
        (json!({ "tags": ["y", "y"] }), json!({ "tags": ["y"] })),
        (json!({ "tags": null }), json!({ "tags": [] })),
        (json!({ "tags": ["z"] }), json!({ "tags": ["z"] })),
        (json!({ "tags": [] }), json!({ "tags": [] })),
        (json!({ "position": null }), json!({ "position": 1 })),
    ] {
        let reply = scene.world.put(&path, json!({ "l7policy": sent })).await.expect(200);
        check(&reply["l7policy"], &expected, &sent);
        check(&scene.world.get(&path).await["l7policy"], &expected, &sent);
    }
    assert_ne!(scene.world.get(&path).await["l7policy"]["updated_at"], json!(null));
}

/// The listener's policies by position.
async fn order(scene: &Scene, listener: &str) -> String {
    let list = scene.world.get(&format!("l7policies?listener_id={listener}&sort=position")).await;
    let policies = list["l7policies"].as_array().expect("a list");
    let ids: Vec<_> = policies.iter().map(|policy| json!({ "id": policy["id"] })).collect();
    let shown = scene.world.get(&format!("listeners/{listener}")).await;
    assert_eq!(shown["listener"]["l7policies"], json!(ids), "a listener shows them by position");
    let listed = scene.world.get("listeners").await;
    let listed = listed["listeners"].as_array().expect("a list").iter().find(|l| l["id"] == listener);
    assert_eq!(listed.expect("there")["l7policies"], json!(ids));
    for (policy, position) in policies.iter().zip(1..) {
        assert_eq!(policy["position"], json!(position));
    }
    policies.iter().map(|policy| policy["name"].as_str().expect("a name")).collect()
}

/// One after the other: what is done, and the order after it.
#[tokio::test]
async fn positions() {
    let scene = Scene::new().await;
    let mut ids = std::collections::BTreeMap::new();
    for (act, expected) in [
        ("+a", "a"),
        ("+b 1", "ba"),
        ("+c 3", "bac"),
        ("+d 2", "bdac"),
        ("+e 2147483647", "bdace"),
        ("=e 1", "ebdac"),
        ("=b 4", "edabc"),
        ("=c 99", "edabc"),
        ("=a 3", "edabc"),
        ("-d", "eabcd"),
        // On its way out, it is behind all others.
        ("+f", "eabcfd"),
        ("=e 2147483647", "abcfed"),
        (".", "abcfe"),
        ("-a", "bcfea"),
        ("-e", "bcfea"),
        (".", "bcf"),
    ] {
        let (name, position) = act[1..].split_once(' ').unwrap_or((&act[1..], ""));
        let position = position.parse::<u32>().map_or(json!(null), |position| json!(position));
        match &act[..1] {
            "+" => {
                let policy = scene.policy(json!({ "name": name, "position": position })).await;
                ids.insert(name, id(&policy).to_owned());
            }
            "=" => {
                let body = json!({ "l7policy": { "position": position } });
                scene.world.put(&format!("l7policies/{}", ids[name]), body).await.expect(200);
            }
            "-" => drop(scene.world.delete(&format!("l7policies/{}", ids[name])).await.expect(204)),
            _ => scene.settle().await,
        }
        assert_eq!(order(&scene, &scene.listener).await, expected, "{act}");
    }
    // A list is in order of creation; positions are each listener's own.
    let body = json!({ "l7policy": { "listener_id": scene.second, "action": "REJECT", "name": "x", "position": 7 } });
    scene.world.post("l7policies", body).await.expect(201);
    assert_eq!(order(&scene, &scene.second).await, "x");
    let list = scene.world.get("l7policies").await;
    let names = list["l7policies"].as_array().expect("a list").iter();
    assert_eq!(names.map(|policy| policy["name"].as_str().expect("a name")).collect::<String>(), "bcfx");
}

/// Filters, tags, sorts → names of the policies.
#[tokio::test]
async fn lists_of_policies() {
    let scene = Scene::new().await;
    let url = json!({
        "name": "b", "action": "REDIRECT_TO_URL", "redirect_url": "http://a.example/?q=1", "position": 1,
        "redirect_http_code": 301, "tags": ["red"], "admin_state_up": false,
    });
    let pool = json!({ "name": "c", "action": "REDIRECT_TO_POOL", "redirect_pool_id": "$other", "tags": ["red", "big"] });
    let prefix = json!({
        "name": "d", "action": "REDIRECT_PREFIX", "redirect_prefix": "http://p.example", "description": "x",
        "listener_id": scene.second,
    });
    for extra in [json!({ "name": "a" }), url, pool, prefix] {
        scene.policy(extra).await;
    }
    for (query, expected) in [
        ("", "abcd"),
        ("?name=c", "c"),
        ("?action=REJECT", "a"),
        ("?action=reject", ""),
        ("?listener_id=$second", "d"),
        ("?redirect_pool_id=$other", "c"),
        ("?redirect_url=http://a.example/%3Fq%3D1", "b"),
        ("?redirect_prefix=http://p.example", "d"),
        ("?redirect_http_code=301", "b"),
        ("?redirect_http_code=302", "d"),
        ("?redirect_http_code=x", ""),
        ("?position=1", "bd"),
        ("?position=2&admin_state_up=true", "a"),
        ("?admin_state_up=false", "b"),
        ("?description=x", "d"),
        ("?project_id=own", "abcd"),
        ("?provisioning_status=PENDING_CREATE&operating_status=OFFLINE", "abcd"),
        ("?provisioning_status=ACTIVE", ""),
        ("?tags=red", "bc"),
        ("?tags=red,big", "c"),
        ("?tags-any=big,none", "c"),
        ("?not-tags=red", "ad"),
        ("?not-tags-any=red,big", "ad"),
        ("?sort=name:desc", "dcba"),
        ("?sort=position,name", "bdac"),
        ("?sort=action,name:desc", "dcba"),
        ("?limit=2", "ab"),
        ("?limit=1&sort=name:desc", "d"),
    ] {
        let path = query.replace("$second", &scene.second).replace("$other", &scene.other);
        let list = scene.world.get(&format!("l7policies{path}")).await;
        let names = list["l7policies"].as_array().expect("a list").iter();
        let names: String = names.map(|policy| policy["name"].as_str().expect("a name")).collect();
        assert_eq!(names, expected, "{query}");
    }
    let list = scene.world.get("l7policies?limit=3&fields=name").await;
    assert_eq!(list["l7policies"][0], json!({ "name": "a" }));
    assert_eq!(list["l7policies_links"][0]["rel"], "next");
    let first = scene.world.get("l7policies?name=c").await["l7policies"][0].take();
    let next = scene.world.get(&format!("l7policies?marker={}", id(&first))).await;
    assert_eq!(next["l7policies"][0]["name"], "d");
    // A list shows what a GET of one shows.
    assert_eq!(scene.world.get(&format!("l7policies/{}", id(&first))).await["l7policy"], first);
    for (caller, query, status, count) in [
        ("reader@other", "", 200, 0),
        ("admin@other", "", 200, 4),
        ("admin@other", "?project_id=own", 200, 4),
        ("admin@other", "?project_id=nobody", 200, 0),
        ("reader@other", "?project_id=own", 403, 0),
        ("@own", "", 403, 0),
    ] {
        let reply = scene.world.call_as(caller, "GET", &format!("l7policies{query}"), None).await;
        let list = reply.expect(status);
        assert_eq!(list["l7policies"].as_array().map_or(0, Vec::len), count, "{caller} {query}");
    }
}
