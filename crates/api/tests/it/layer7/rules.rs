//! L7 rules.

use serde_json::json;

use super::{Scene, check, id};

/// What is accepted of a rule, and what of it is shown.
#[tokio::test]
async fn values_of_a_created_rule() {
    let scene = Scene::new().await;
    let policy = scene.policy(json!({})).await;
    let collection = format!("l7policies/{}/rules", id(&policy));
    let long = "x".repeat(255);
    for (extra, expected) in [
        (json!({}), json!({ "type": "PATH", "compare_type": "STARTS_WITH", "key": null, "value": "/api" })),
        (json!({}), json!({ "invert": false, "admin_state_up": true, "tags": [], "updated_at": null })),
        (json!({}), json!({ "provisioning_status": "PENDING_CREATE", "operating_status": "OFFLINE" })),
        (json!({ "project_id": "ignored" }), json!({ "project_id": "own", "tenant_id": "own" })),
        (
            json!({ "invert": true, "admin_state_up": false }),
            json!({ "invert": true, "admin_state_up": false }),
        ),
        (
            json!({ "invert": null, "admin_state_up": null }),
            json!({ "invert": false, "admin_state_up": false }),
        ),
        (json!({ "invert": "yes", "tags": ["t"] }), json!({ "invert": true, "tags": ["t"] })),
        (json!({ "value": long }), json!({ "value": long })),
        (json!({ "value": "no-slash" }), json!({ "value": "no-slash" })),
        (json!({ "value": "\"/a b\tc\"" }), json!({ "value": "\"/a b\tc\"" })),
        (json!({ "key": "idle" }), json!({ "key": null })),
        (json!({ "key": "not a name" }), json!({ "key": null })),
        (json!({ "compare_type": "REGEX", "value": "^/(a|b) *$" }), json!({ "value": "^/(a|b) *$" })),
        (json!({ "compare_type": "ENDS_WITH", "value": "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\\" }), json!({})),
        (json!({ "compare_type": "CONTAINS" }), json!({ "compare_type": "CONTAINS" })),
        (json!({ "compare_type": "EQUAL_TO" }), json!({ "compare_type": "EQUAL_TO" })),
        (json!({ "type": "HOST_NAME", "value": "a.example" }), json!({ "type": "HOST_NAME", "key": null })),
        (json!({ "type": "HOST_NAME", "compare_type": "REGEX", "value": "^.*[.]example$" }), json!({})),
        (
            json!({ "type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "jpg", "key": "x" }),
            json!({ "key": null }),
        ),
        (json!({ "type": "FILE_TYPE", "compare_type": "REGEX", "value": "jpe?g|png" }), json!({})),
        (
            json!({ "type": "HEADER", "key": "X-Some_Header.1", "value": "a" }),
            json!({ "key": "X-Some_Header.1" }),
        ),
        (json!({ "type": "HEADER", "key": "!#$%&'*+-.^_`|~09azAZ", "value": "a" }), json!({})),
        (json!({ "type": "HEADER", "key": long, "value": "\"a b\"" }), json!({ "key": long })),
        (json!({ "type": "HEADER", "key": "X", "compare_type": "REGEX", "value": "a b" }), json!({})),
        (
            json!({ "type": "COOKIE", "key": "sid", "value": "a=b&c" }),
            json!({ "type": "COOKIE", "key": "sid" }),
        ),
        (json!({ "type": "COOKIE", "key": "sid", "compare_type": "REGEX", "value": "a;b" }), json!({})),
        (
            json!({ "type": "SSL_CONN_HAS_CERT", "compare_type": "EQUAL_TO", "value": "tRuE" }),
            json!({ "value": "tRuE" }),
        ),
        (
            json!({ "type": "SSL_CONN_HAS_CERT", "compare_type": "EQUAL_TO", "value": "true", "key": null }),
            json!({ "key": null }),
        ),
        (
            json!({ "type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "0" }),
            json!({ "value": "0" }),
        ),
        (json!({ "type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "65535" }), json!({})),
        (
            json!({ "type": "SSL_DN_FIELD", "key": "C-1", "value": "any thing, ü" }),
            json!({ "value": "any thing, ü" }),
        ),
        (json!({ "type": "SSL_DN_FIELD", "key": "CN", "compare_type": "REGEX", "value": "^a" }), json!({})),
    ] {
        let rule = scene.rule(id(&policy), extra.clone()).await;
        assert_eq!(rule.as_object().expect("an object").len(), 14);
        check(&rule, &expected, &extra);
        assert_eq!(scene.world.get(&format!("{collection}/{}", id(&rule))).await["rule"], rule);
    }
    scene.settle().await;
    let list = scene.world.get(&collection).await;
    for rule in list["rules"].as_array().expect("a list") {
        let online = if rule["admin_state_up"] == json!(true) { "ONLINE" } else { "OFFLINE" };
        assert_eq!(rule["operating_status"], online);
    }
    let shown = scene.world.get(&format!("l7policies/{}", id(&policy))).await;
    assert_eq!(shown["l7policy"]["rules"].as_array().map(Vec::len), list["rules"].as_array().map(Vec::len));
}

/// One after the other, what is sent and what the rule then is: the whole counts.
#[tokio::test]
async fn values_of_an_updated_rule() {
    let scene = Scene::new().await;
    let policy = scene.policy(json!({})).await;
    let rule = scene.rule(id(&policy), json!({ "tags": ["x"] })).await;
    let path = format!("l7policies/{}/rules/{}", id(&policy), id(&rule));
    for (sent, expected) in [
        (json!({}), json!({ "value": "/api", "tags": ["x"] })),
        (json!({ "value": "/b" }), json!({ "value": "/b", "compare_type": "STARTS_WITH" })),
        (json!({ "key": "idle" }), json!({ "key": null })),
        (json!({ "type": "HEADER", "key": "X" }), json!({ "type": "HEADER", "key": "X", "value": "/b" })),
        (json!({ "compare_type": "REGEX", "value": "a b" }), json!({ "compare_type": "REGEX" })),
        (json!({ "type": "COOKIE" }), json!({ "type": "COOKIE", "key": "X", "value": "a b" })),
        (json!({ "type": "HOST_NAME" }), json!({ "type": "HOST_NAME", "key": null })),
        (
            json!({ "type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "7" }),
            json!({ "type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "7" }),
        ),
        (json!({ "type": "SSL_DN_FIELD", "key": "CN" }), json!({ "key": "CN", "value": "7" })),
        (
            json!({ "type": "SSL_CONN_HAS_CERT", "key": null, "value": "TRUE" }),
            json!({ "type": "SSL_CONN_HAS_CERT", "key": null, "value": "TRUE" }),
        ),
        (
            json!({ "invert": true, "admin_state_up": false }),
            json!({ "invert": true, "admin_state_up": false }),
        ),
        (json!({ "invert": null }), json!({ "invert": false, "admin_state_up": false })),
        (json!({ "admin_state_up": true }), json!({ "admin_state_up": true })),
        (json!({ "admin_state_up": null }), json!({ "admin_state_up": false })),
        (json!({ "tags": ["y", "y"] }), json!({ "tags": ["y"] })),
        (json!({ "tags": null }), json!({ "tags": [] })),
    ] {
        let reply = scene.world.put(&path, json!({ "rule": sent })).await.expect(200);
        check(&reply["rule"], &expected, &sent);
        assert_eq!(scene.world.get(&path).await["rule"], reply["rule"], "{sent}");
    }
}

#[tokio::test]
async fn a_policy_has_at_most_fifty_rules() {
    let scene = Scene::new().await;
    let rules =
        |count: usize| vec![json!({ "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" }); count];
    for (count, status) in [(50, 201), (51, 409)] {
        let body = json!({ "loadbalancer": { "vip_subnet_id": crate::world::SUBNET, "listeners": [{
            "protocol": "HTTP", "protocol_port": 80, "l7policies": [{ "action": "REJECT", "rules": rules(count) }],
        }] } });
        let reply = scene.world.post("loadbalancers", body).await;
        assert_eq!(reply.text().starts_with("Too many rules on L7 policy "), status == 409);
        reply.expect(status);
    }
    let policy = scene.policy(json!({})).await;
    for _ in 0..50 {
        scene.rule(id(&policy), json!({})).await;
    }
    let path = format!("l7policies/{}/rules", id(&policy));
    scene.world.post(&path, json!({ "rule": rules(1)[0] })).await.expect(409);
}

#[tokio::test]
async fn lists_of_rules() {
    let scene = Scene::new().await;
    let policy = scene.policy(json!({})).await;
    let other = scene.policy(json!({})).await;
    scene.rule(id(&other), json!({ "value": "z" })).await;
    for extra in [
        json!({ "value": "a", "tags": ["red"] }),
        json!({ "value": "b", "type": "HEADER", "key": "X", "invert": true }),
        json!({ "value": "c", "compare_type": "REGEX", "admin_state_up": false, "tags": ["red", "big"] }),
    ] {
        scene.rule(id(&policy), extra).await;
    }
    for (query, expected) in [
        ("", "abc"),
        ("?type=PATH", "ac"),
        ("?compare_type=REGEX", "c"),
        ("?key=X", "b"),
        ("?value=a", "a"),
        ("?invert=true", "b"),
        ("?invert=no", "ac"),
        ("?admin_state_up=0", "c"),
        ("?project_id=own", "abc"),
        ("?project_id=other", ""),
        ("?operating_status=OFFLINE&provisioning_status=PENDING_CREATE", "abc"),
        ("?tags=red", "ac"),
        ("?not-tags-any=big", "ab"),
        ("?sort=value:desc", "cba"),
        ("?sort=type,value:desc", "bca"),
        ("?limit=1", "a"),
    ] {
        let list = scene.world.get(&format!("l7policies/{}/rules{query}", id(&policy))).await;
        let values = list["rules"].as_array().expect("a list").iter();
        let values: String = values.map(|rule| rule["value"].as_str().expect("a value")).collect();
        assert_eq!(values, expected, "{query}");
    }
    let list = scene.world.get(&format!("l7policies/{}/rules?limit=1&fields=value", id(&policy))).await;
    assert_eq!(list["rules"], json!([{ "value": "a" }]));
    assert_eq!(list["rules_links"][0]["rel"], "next");
}
