//! Commands of L7 policies and rules.

use serde_json::{Value, json};

use crate::commands::{ID, OTHER, fault};
use crate::fake::Fake;

/// What is asked of the service, for L7 policies and rules, and what is printed.
#[tokio::test]
async fn layer7() {
    let fake = Fake::start(|_, seen| {
        let (method, path) = seen.line.split_once(" /lb/v2.0/lbaas/").unwrap();
        let path = path.split('?').next().unwrap();
        let mut object = json!({
            "id": ID, "name": "one", "listener_id": OTHER, "tags": ["a"], "action": "REJECT", "type": "PATH",
            "loadbalancers": [{ "id": ID }], "provisioning_status": "ACTIVE",
        });
        if seen.line.starts_with("GET") && path.ends_with("/gone") {
            return (404, fault("L7 Rule gone not found."));
        }
        let kinds = [
            ("rules", "rule"),
            ("l7policies", "l7policy"),
            ("listeners", "listener"),
            ("pools", "pool"),
            ("loadbalancers", "loadbalancer"),
        ];
        let (many, one) = kinds.into_iter().find(|(many, _)| path.contains(many)).unwrap();
        match method {
            "DELETE" => (204, Value::Null),
            "GET" if path.ends_with(many) => (200, json!({ many: [object.take()] })),
            "POST" => (201, json!({ one: object.take() })),
            _ => (200, json!({ one: object.take() })),
        }
    })
    .await;
    let (policy, rules) = (format!("PUT l7policies/{ID}"), format!("l7policies/{ID}/rules"));
    let set_rule = format!("PUT {rules}/r");
    for (words, line, body, printed) in [
        (
            "l7policy create web --action reject --name p --disable --tag t",
            "POST l7policies",
            json!({ "l7policy": {
                "listener_id": ID, "action": "REJECT", "name": "p", "admin_state_up": false, "tags": ["t"],
            } }),
            "one",
        ),
        (
            "l7policy create web --action REDIRECT_TO_POOL --redirect-pool p --position 2",
            "POST l7policies",
            json!({ "l7policy": {
                "listener_id": ID, "action": "REDIRECT_TO_POOL", "redirect_pool_id": ID, "position": 2,
            } }),
            "one",
        ),
        (
            "l7policy set one --redirect-url http://a --redirect-http-code 301 --tag b",
            &policy,
            json!({ "l7policy": {
                "redirect_url": "http://a", "redirect_http_code": 301, "tags": ["a", "b"],
            } }),
            "one",
        ),
        (
            "l7policy set one --action redirect_prefix --redirect-prefix https://a --description d",
            &policy,
            json!({ "l7policy": {
                "action": "REDIRECT_PREFIX", "redirect_prefix": "https://a", "description": "d",
            } }),
            "one",
        ),
        (
            "l7policy unset one --name --description --redirect-http-code",
            &policy,
            json!({ "l7policy": { "name": null, "description": null, "redirect_http_code": null } }),
            "one",
        ),
        (
            "l7policy list --listener web --tag a",
            &format!("GET l7policies?tags=a&listener_id={ID}"),
            Value::Null,
            "REJECT",
        ),
        ("l7policy show one", &format!("GET l7policies/{ID}"), Value::Null, "one"),
        ("l7policy delete one", &format!("DELETE l7policies/{ID}"), Value::Null, ""),
        (
            "l7rule create one --type path --compare-type starts_with --value -x --invert --key k",
            &format!("POST {rules}"),
            json!({ "rule": {
                "type": "PATH", "compare_type": "STARTS_WITH", "value": "-x", "invert": true, "key": "k",
            } }),
            "PATH",
        ),
        ("l7rule list one", &format!("GET {rules}"), Value::Null, "PATH"),
        ("l7rule show one r", &format!("GET {rules}/r"), Value::Null, "PATH"),
        (
            "l7rule set one r --value /y --type header --key X --enable --no-tag --tag b",
            &set_rule,
            json!({ "rule": {
                "value": "/y", "type": "HEADER", "key": "X", "admin_state_up": true, "tags": ["b"],
            } }),
            "PATH",
        ),
        (
            "l7rule unset one r --invert --key",
            &set_rule,
            json!({ "rule": { "invert": null, "key": null } }),
            "PATH",
        ),
        ("l7rule delete one r s", &format!("DELETE {rules}/s"), Value::Null, ""),
    ] {
        let (code, out, err) = fake.octavia(words).await;
        assert_eq!(code, 0, "{words}: {err}");
        let last = fake.seen().pop().unwrap();
        assert_eq!(last.line.replace("/lb/v2.0/lbaas/", ""), line, "{words}");
        assert_eq!(last.body, body, "{words}");
        assert!(out.contains(printed), "{words}: {out}");
    }
    for words in ["l7policy unset one", "l7policy set one", "l7rule unset one r", "l7rule set one r"] {
        let (code, _, err) = fake.octavia(words).await;
        assert_eq!(code, 2, "{words}: {err}");
        assert!(err.contains("nothing to change"), "{words}: {err}");
    }
    // A wait is for the listener's load balancer, then for what goes.
    for (words, last) in [
        ("l7policy set one --disable --wait", format!("GET l7policies/{ID}")),
        ("l7rule create one --type path --compare-type regex --value x --wait", format!("GET {rules}/{ID}")),
        ("l7rule delete one gone --wait", format!("GET {rules}/gone")),
    ] {
        let (code, _, err) = fake.octavia(words).await;
        assert_eq!(code, 0, "{words}: {err}");
        let lines: Vec<_> = fake.lines().iter().map(|line| line.replace("/lb/v2.0/lbaas/", "")).collect();
        assert!(
            lines.ends_with(&[format!("GET listeners/{OTHER}"), format!("GET loadbalancers/{ID}"), last]),
            "{lines:?}"
        );
    }
}
