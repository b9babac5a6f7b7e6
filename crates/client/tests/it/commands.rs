//! Commands end to end: what is asked of the service, what is printed, which exit code.

use serde_json::{Value, json};

use crate::fake::{Fake, octavia};

pub(crate) const ID: &str = "6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3b1";
pub(crate) const OTHER: &str = "0bd2ad1f-4b63-44a6-8d5b-2e86a9d1e1c2";

fn lb(status: &str) -> Value {
    json!({
        "id": ID, "name": "web", "vip_address": "127.100.64.5", "provider": "amphora",
        "provisioning_status": status, "operating_status": "ONLINE", "listeners": [{ "id": OTHER }],
    })
}

pub(crate) fn fault(text: &str) -> Value {
    json!({ "faultcode": "Client", "faultstring": text, "debuginfo": null })
}

#[tokio::test]
async fn lists_as_table_json_and_values() {
    let fake =
        Fake::start(|_, _| (200, json!({ "loadbalancers": [lb("ACTIVE")], "loadbalancers_links": [] })))
            .await;
    let (code, out, err) = fake.octavia("lb list").await;
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r"
    id                                    name  vip_address   provisioning_status  operating_status  provider
    ------------------------------------  ----  ------------  -------------------  ----------------  --------
    6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3b1  web   127.100.64.5  ACTIVE               ONLINE            amphora
    ");
    let (_, out, _) = fake.octavia("lb list --json").await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!([lb("ACTIVE")]));
    let (_, out, _) = fake.octavia("loadbalancer list -f value -c name -c vip_address").await;
    assert_eq!(out, "web 127.100.64.5\n");
    let (_, out, _) = fake.octavia("lb list -f json -c name").await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!([{ "name": "web" }]));
    assert!(
        fake.seen()
            .iter()
            .all(|s| s.token.as_deref() == Some("tok-1") && s.line == "GET /lb/v2.0/lbaas/loadbalancers")
    );
}

#[tokio::test]
async fn creates_fully_populated_by_subnet_name_and_waits() {
    let fake = Fake::start(|before, seen| match seen.line.as_str() {
        "GET /net/v2.0/subnets?name=private-subnet" => (200, json!({ "subnets": [{ "id": OTHER }] })),
        "POST /lb/v2.0/lbaas/loadbalancers" => (201, json!({ "loadbalancer": lb("PENDING_CREATE") })),
        line if line.contains("/listeners/") => {
            (200, json!({ "listener": { "id": OTHER, "provisioning_status": "ACTIVE" } }))
        }
        _ => (200, json!({ "loadbalancer": lb(if before < 2 { "PENDING_CREATE" } else { "ACTIVE" }) })),
    })
    .await;
    let (code, out, err) = fake
        .octavia(
            "lb create --name web --vip-subnet-id private-subnet --tag t --listener http:8080 \
             --member 127.0.0.1:8081@3 --monitor tcp --wait",
        )
        .await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("127.100.64.5"), "{out}");
    let lines: Vec<_> = err.lines().map(|l| l.split(" after").next().unwrap()).collect();
    assert_eq!(lines, ["load balancer web: PENDING_CREATE", "load balancer web: ACTIVE"]);
    let body = &fake.seen()[1].body["loadbalancer"];
    assert_eq!(body["vip_subnet_id"], OTHER);
    assert_eq!(body["tags"], json!(["t"]));
    assert_eq!(body["listeners"][0]["default_pool"]["name"], body["pools"][0]["name"]);
    assert_eq!(body["pools"][0]["members"][0]["weight"], 3);
    assert_eq!(body["pools"][0]["healthmonitor"]["type"], "TCP");
}

#[tokio::test]
async fn a_wait_fails_with_the_reason() {
    let fake = Fake::start(|_, seen| {
        let mut lb = lb(if seen.line.starts_with("PUT") { "PENDING_UPDATE" } else { "ERROR" });
        lb["status_reason"] = json!({ "code": "CLOUD_REFUSED", "text": "no server", "advice": "free some" });
        (200, json!({ "loadbalancer": lb }))
    })
    .await;
    let (code, out, err) = fake.octavia(&format!("lb set {ID} --name w --wait")).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.ends_with("error: web went to ERROR: no server (free some)\n"), "{err}");
}

#[tokio::test]
async fn a_wait_outlasts_a_service_that_is_away() {
    let fake = Fake::start(|before, seen| match before {
        _ if seen.line.starts_with("PUT") => (200, json!({ "loadbalancer": lb("PENDING_UPDATE") })),
        // After the look at it before the change.
        1..=2 => (502, fault("away")),
        _ => (200, json!({ "loadbalancer": lb("ACTIVE") })),
    })
    .await;
    let (code, _, err) = fake.octavia(&format!("lb set {ID} --name w --wait")).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains(": not known (away (HTTP 502)) after "), "{err}");
    let fake = Fake::start(|_, seen| match seen.line.starts_with("DELETE") {
        true => (204, Value::Null),
        false if seen.line.contains("name=") => (200, json!({ "loadbalancers": [lb("ACTIVE")] })),
        false => (502, fault("away")),
    })
    .await;
    let (code, _, err) = fake.octavia("lb delete web --wait --wait-timeout 0").await;
    assert_eq!(code, 1);
    assert!(err.contains("error: away (HTTP 502)"), "{err}");
}

#[tokio::test]
async fn who_interrupts_a_wait_learns_that_work_goes_on() {
    let fake = Fake::start(|_, _| (200, json!({ "loadbalancer": lb("PENDING_UPDATE") }))).await;
    let seen = || fake.seen().len();
    for (words, requests, said) in [
        // One look before the change, the change, and looks while waiting.
        (format!("lb set {ID} --name w --wait"), 4, true),
        (format!("lb show {ID}"), 0, false),
    ] {
        let enough = seen() + requests;
        let interrupt = async {
            while seen() < enough {
                tokio::task::yield_now().await;
            }
        };
        let (code, out, err) = fake.octavia_until(interrupt, &words).await;
        assert_eq!((code, out.as_str()), (130, ""), "{words}");
        assert_eq!(err.contains("interrupted: the service goes on"), said, "{words}: {err}");
    }
}

#[tokio::test]
async fn a_reason_is_shown_also_of_what_was_named() {
    let fake = Fake::start(|_, seen| {
        let mut object = json!({ "id": ID, "name": "low", "provisioning_status": "ERROR" });
        let (path, query) = seen.line.split_once('?').unwrap_or((&seen.line, ""));
        let kinds = [
            ("members", "member"),
            ("healthmonitors", "healthmonitor"),
            ("listeners", "listener"),
            ("loadbalancers", "loadbalancer"),
            ("pools", "pool"),
        ];
        let (plural, singular) = kinds.into_iter().find(|(plural, _)| path.contains(plural)).unwrap();
        if query.is_empty() && path.ends_with(ID) {
            object["status_reason"] = json!("port 80 needs privilege");
            (200, json!({ singular: object }))
        } else {
            (200, json!({ plural: [object] }))
        }
    })
    .await;
    for words in ["lb show low", "listener show low", "pool show low", "hm show low", "member show low low"] {
        let (code, out, err) = fake.octavia(words).await;
        assert_eq!(code, 0, "{words}: {err}");
        assert!(out.contains("port 80 needs privilege"), "{words}: {out}");
    }
}

#[tokio::test]
async fn an_unknown_column_is_a_mistake_and_an_absent_reason_is_none() {
    let fake = Fake::start(|_, seen| match seen.line.contains(ID) {
        true => (200, json!({ "loadbalancer": lb("ACTIVE") })),
        false if seen.line.contains("name=none") => (200, json!({ "loadbalancers": [] })),
        false => (200, json!({ "loadbalancers": [lb("ACTIVE")] })),
    })
    .await;
    for words in [
        "lb list -c nmae",
        "lb list -c name -c nmae --json",
        "lb show 6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3b1 -c nmae",
    ] {
        let (code, out, err) = fake.octavia(words).await;
        assert_eq!((code, out.as_str()), (2, ""), "{words}");
        assert!(
            err.starts_with("error: no attribute is called \"nmae\"; there are id, listeners, name"),
            "{err}"
        );
    }
    for (words, expected) in [
        (
            format!("lb show {ID} -f json -c name -c status_reason"),
            json!({ "name": "web", "status_reason": null }),
        ),
        ("lb list --json -c status_reason".to_owned(), json!([{ "status_reason": null }])),
        ("lb list --json -c nmae --name none".to_owned(), json!([])),
    ] {
        let (code, out, err) = fake.octavia(&words).await;
        assert_eq!(code, 0, "{words}: {err}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected, "{words}");
    }
}

#[tokio::test]
async fn a_wait_ends_in_time() {
    let fake = Fake::start(|_, _| (200, json!({ "loadbalancer": lb("PENDING_UPDATE") }))).await;
    let (code, _, err) = fake.octavia(&format!("lb set {ID} --disable --wait --wait-timeout 0")).await;
    assert_eq!(code, 1);
    assert!(err.contains("error: web is still PENDING_UPDATE after 0 s\n  hint: "), "{err}");
}

#[tokio::test]
async fn deletes_with_cascade_and_waits_until_gone() {
    let fake = Fake::start(|before, seen| match seen.line.as_str() {
        line if line.starts_with("DELETE") => (204, Value::Null),
        line if line.starts_with("GET /lb/v2.0/lbaas/loadbalancers?name=web") => {
            (200, json!({ "loadbalancers": [lb("ACTIVE")], "loadbalancers_links": [] }))
        }
        _ if before < 2 => (200, json!({ "loadbalancer": lb("PENDING_DELETE") })),
        _ => (404, fault("Load Balancer not found.")),
    })
    .await;
    let (code, _, err) = fake.octavia("lb delete web --cascade --wait").await;
    assert_eq!(code, 0, "{err}");
    assert!(err.lines().last().unwrap().starts_with("load balancer web: DELETED after "), "{err}");
    assert_eq!(fake.lines()[1], format!("DELETE /lb/v2.0/lbaas/loadbalancers/{ID}?cascade=true"));
}

#[tokio::test]
async fn names_resolve_or_say_why_not() {
    let fake = Fake::start(|_, seen| {
        let lbs = match seen.line.as_str() {
            line if line.ends_with("?name=two") => json!([{ "id": ID }, { "id": OTHER }]),
            line if line.ends_with(&format!("/{OTHER}")) => return (404, fault("Load Balancer not found.")),
            line if line.contains("name=") => json!([]),
            _ => return (200, json!({ "loadbalancer": lb("ACTIVE") })),
        };
        (200, json!({ "loadbalancers": lbs }))
    })
    .await;
    for (name, code, text) in [
        ("two", 2, format!("error: 2 load balancers are called \"two\": {ID}, {OTHER}\n  hint: use an id")),
        ("none", 1, "error: no load balancer is called \"none\"\n".to_owned()),
        (OTHER, 1, format!("error: no load balancer is called \"{OTHER}\"\n")),
        (ID, 0, String::new()),
    ] {
        let (got, _, err) = fake.octavia(&format!("lb show {name}")).await;
        assert_eq!(got, code, "{err}");
        assert!(err.starts_with(&text), "{err}");
    }
}

#[tokio::test]
async fn pages_are_followed() {
    let fake = Fake::start(|_, seen| {
        let (page, next): (Value, bool) = if seen.line.contains("marker=a") {
            (json!([{ "id": "b", "name": "2" }]), false)
        } else {
            (json!([{ "id": "a", "name": "1" }]), true)
        };
        let links = if next {
            json!([{ "rel": "next", "href": "http://elsewhere.invalid/?limit=None" }])
        } else {
            json!([])
        };
        (200, json!({ "pools": page, "pools_links": links }))
    })
    .await;
    let (code, out, err) = fake.octavia("pool list --name x -f value -c id").await;
    assert_eq!((code, out.as_str()), (0, "a\nb\n"), "{err}");
    assert_eq!(fake.lines()[1], "GET /lb/v2.0/lbaas/pools?name=x&marker=a", "filters go along");
}

#[tokio::test]
async fn errors_are_readable() {
    for (status, body, text) in [
        (
            409,
            fault(&format!("Load Balancer {ID} is immutable and cannot be updated.")),
            "(HTTP 409)\n  hint: a change is under way",
        ),
        (
            403,
            fault("Policy does not allow this request to be performed."),
            "(HTTP 403)\n  hint: this needs another role",
        ),
        (403, fault("Quota has been met for resources: Load Balancer"), "hint: delete something"),
        (
            400,
            fault(
                "Validation failure: Cannot delete load balancer x: it has listeners, and cascade was not asked for.",
            ),
            "(HTTP 400)\n  hint: --cascade deletes what is below it too",
        ),
        (
            400,
            fault("Invalid input for field/attribute name."),
            "error: Invalid input for field/attribute name. (HTTP 400)\n",
        ),
        (
            501,
            fault("Provider 'amphora' does not support a requested option: x"),
            "requested option: x (HTTP 501)\n",
        ),
        (500, json!("?"), "error: Internal Server Error (HTTP 500)\n"),
        (200, json!({ "unexpected": 1 }), "gave an answer that is not understood: no loadbalancer in it"),
    ] {
        let fake = Fake::start(move |_, _| (status, body.clone())).await;
        let (code, out, err) = fake.octavia(&format!("lb show {ID}")).await;
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains(text), "{err}");
        assert!(!err.contains("s3cret") && !err.contains("tok-1"), "{err}");
    }
}

#[tokio::test]
async fn a_refused_user_is_told_so() {
    let fake = Fake::start(|_, _| (200, Value::Null)).await;
    let variables = [
        ("OS_AUTH_URL", format!("{}/identity/v3", fake.url)),
        ("OS_USERNAME", "demo".to_owned()),
        ("OS_PASSWORD", "wrong-pw".to_owned()),
    ];
    let (code, _, err) = octavia("lb list", &variables).await;
    assert_eq!(code, 1);
    assert!(err.contains("refused user demo: who are you?") && !err.contains("wrong-pw"), "{err}");
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_an_expired_token_renewed() {
    let fake = Fake::start(|before, _| match before {
        0 => (503, fault("busy")),
        1 => (401, json!({ "error": { "code": 401, "message": "expired" } })),
        _ => (200, json!({ "loadbalancers": [] })),
    })
    .await;
    let (code, _, err) = fake.octavia("lb list").await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn an_absent_service_is_unreachable() {
    // A port that nobody is given.
    let (code, _, err) = octavia("lb list --os-endpoint http://127.0.0.1:1", &[]).await;
    assert_eq!(code, 1);
    assert!(
        err.contains("error: cannot reach http://127.0.0.1") && err.contains("hint: is the service running"),
        "{err}"
    );
}

#[tokio::test]
async fn members_are_found_by_address_and_changed() {
    let member =
        json!({ "id": OTHER, "name": "", "address": "10.0.0.1", "protocol_port": 80, "tags": ["a"] });
    let fake = Fake::start(move |_, seen| match seen.line.split(' ').next().unwrap() {
        "PUT" => (200, json!({ "member": member })),
        _ if seen.line.contains("/members") => (200, json!({ "members": [member] })),
        _ => (200, json!({ "pool": { "id": ID, "loadbalancers": [{ "id": ID }] } })),
    })
    .await;
    let (code, _, err) = fake.octavia(&format!("member set {ID} 10.0.0.1:80 --weight 0 --tag b")).await;
    assert_eq!(code, 0, "{err}");
    let last = fake.seen().pop().unwrap();
    assert_eq!(last.line, format!("PUT /lb/v2.0/lbaas/pools/{ID}/members/{OTHER}"));
    assert_eq!(last.body, json!({ "member": { "weight": 0, "tags": ["a", "b"] } }));
}

#[tokio::test]
async fn a_listener_that_fails_alone_fails_the_wait() {
    let fake = Fake::start(|_, seen| match seen.line.split("lbaas/").nth(1).unwrap() {
        path if path.starts_with("loadbalancers") => (200, json!({ "loadbalancer": lb("ACTIVE") })),
        _ => (
            200,
            json!({ "listener": {
                "id": OTHER, "name": "low", "loadbalancers": [{ "id": ID }],
                "provisioning_status": "ERROR", "status_reason": "port 80 needs privilege",
            } }),
        ),
    })
    .await;
    for words in [
        format!("listener create {ID} --protocol http --protocol-port 80 --wait"),
        format!("listener set {ID} --enable --wait"),
        format!("lb create --vip-subnet-id {ID} --listener http:80 --wait"),
    ] {
        let (code, out, err) = fake.octavia(&words).await;
        assert_eq!((code, out.as_str()), (1, ""), "{words}");
        assert!(err.contains("error: listener low went to ERROR: port 80 needs privilege"), "{words}: {err}");
    }
}

/// The command, what it sends, and what it prints of the answer.
#[tokio::test]
async fn quotas() {
    let fake = Fake::start(|_, seen| {
        let quota = json!({
            "project_id": "p 1", "tenant_id": "p 1", "loadbalancer": 5, "load_balancer": 5, "listener": -1,
            "pool": -1, "member": -1, "healthmonitor": -1, "health_monitor": -1, "l7policy": 0, "l7rule": 0,
        });
        match seen.line.as_str() {
            line if line.starts_with("DELETE") => (202, Value::Null),
            line if line.starts_with("PUT") => (202, json!({ "quota": quota })),
            "GET /lb/v2.0/lbaas/quotas" => {
                let next = json!([{ "rel": "next", "href": "http://elsewhere.invalid" }]);
                (200, json!({ "quotas": [quota], "quotas_links": next }))
            }
            line if line.contains("quotas?") => (200, json!({ "quotas": [], "quotas_links": [] })),
            _ => (200, json!({ "quota": quota })),
        }
    })
    .await;
    let limits = "load_balancer   5";
    for (words, line, body, printed) in [
        ("quota show p", "GET quotas/p", json!(null), limits),
        ("quota defaults", "GET quotas/defaults", json!(null), limits),
        (
            "quota set p --loadbalancer 5 --healthmonitor -1 --l7rule 0",
            "PUT quotas/p",
            json!({ "quota": { "load_balancer": 5, "health_monitor": -1, "l7rule": 0 } }),
            limits,
        ),
        (
            "quota unset p --member --loadbalancer",
            "PUT quotas/p",
            json!({ "quota": { "load_balancer": null, "member": null } }),
            "",
        ),
        ("quota unset p", "DELETE quotas/p", json!(null), ""),
        ("quota list --project x", "GET quotas?project_id=x", json!(null), ""),
        // The next page is asked for by project.
        ("quota list", "GET quotas?marker=p+1", json!(null), "p 1         5              -1"),
    ] {
        let (code, out, err) = fake.octavia(words).await;
        assert_eq!(code, 0, "{words}: {err}");
        let last = fake.seen().pop().unwrap();
        assert_eq!(
            (last.line, last.body),
            (line.replace("quotas", "/lb/v2.0/lbaas/quotas"), body),
            "{words}"
        );
        assert!(out.contains(printed) && !out.contains("tenant_id"), "{words}: {out}");
    }
}

#[tokio::test]
async fn mistakes_on_the_command_line_are_usage_errors() {
    let fake = Fake::start(|_, _| (200, json!({ "loadbalancer": lb("ACTIVE") }))).await;
    for (words, text) in [
        ("lb create --name x", "--vip-subnet-id"),
        ("lb create --vip-subnet-id s --member 1.2.3.4:80", "--listener"),
        ("lb create --vip-subnet-id s --listener 80", "PROTOCOL:PORT"),
        ("lb frobnicate", "unrecognized subcommand"),
        ("listener create lb --protocol HTTP --protocol-port 0", "not in 1..=65535"),
        ("member create p --address host --protocol-port 80", "invalid IP address"),
        ("member set p m --weight 257", "not in 0..=256"),
        ("pool create --protocol HTTP --lb-algorithm ROUND_ROBIN", "--listener"),
        ("lb set 6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3b1", "nothing to change"),
        ("quota set p", "nothing to change"),
        ("l7policy create l", "--action"),
        ("l7policy create l --action reject --position 0", "not in 1..=2147483647"),
        ("l7rule create p --type path --compare-type regex", "--value"),
        ("quota set p --pool -2", "not in -1..=2000000000"),
        ("hm create p --type TCP --delay -1 --timeout 1 --max-retries 1", "-1 is not in 0..=4294967295"),
        ("member create p --address 1.2.3.4 --protocol-port -1", "-1 is not in 1..=65535"),
        ("member create p --address 1.2.3.4 --protocol-port 80 --monitor-port -1", "-1 is not in 1..=65535"),
        ("listener set l --timeout-client-data -1", "-1"),
        ("lb show ''", "an empty name or id"),
        ("lb delete '' --cascade", "an empty name or id"),
        ("member delete '' m", "an empty name or id"),
        ("lb create --vip-subnet-id ''", "an empty name or id"),
        ("quota show ''", "an empty name or id"),
        ("quota set '' --pool 1", "an empty name or id"),
        ("availabilityzone show ''", "an empty name or id"),
        ("availabilityzone delete ''", "an empty name or id"),
        ("provider capability list ''", "an empty name or id"),
        ("lb list --provisioning-status pending", "PENDING_CREATE, PENDING_UPDATE"),
        ("lb list --operating-status up", "ONLINE, OFFLINE"),
        ("lb list --os-endpoint localhost:9876", "\"localhost:9876/v2.0/lbaas/loadbalancers\" is not a URL"),
        ("lb list --os-auth-url 127.0.0.1", "\"127.0.0.1/v3/auth/tokens\" is not a URL"),
    ] {
        let (code, _, err) = fake.octavia(words).await;
        assert_eq!(code, 2, "{words}: {err}");
        assert!(err.contains(text), "{words}: {err}");
    }
}

/// What is asked of the service, for flavors, availability zones, their profiles and providers.
#[tokio::test]
async fn the_catalogue() {
    let fake = Fake::start(|_, seen| {
        let object = json!({ "id": ID, "name": "small", "enabled": true });
        let path =
            seen.line.split(['?', ' ']).nth(1).unwrap_or_default().trim_start_matches("/lb/v2.0/lbaas/");
        let (method, _) = seen.line.split_once(' ').unwrap_or_default();
        let (one, many) = match path.split('/').next().unwrap_or_default() {
            "flavors" => ("flavor", "flavors"),
            "flavorprofiles" => ("flavorprofile", "flavorprofiles"),
            "availabilityzones" => ("availability_zone", "availability_zones"),
            _ => ("availability_zone_profile", "availability_zone_profiles"),
        };
        match (method, path.contains('/')) {
            ("DELETE", _) => (204, Value::Null),
            ("GET", false) => (200, json!({ many: [object] })),
            _ => (if method == "POST" { 201 } else { 200 }, json!({ one: object })),
        }
    })
    .await;
    let flavor = format!("PUT /flavors/{ID}");
    for (words, line, body) in [
        (
            "flavor create --name small --flavorprofile p --disable",
            "POST /flavors",
            json!({ "flavor": { "name": "small", "flavor_profile_id": ID, "enabled": false } }),
        ),
        (
            "flavor set small --name big --enable",
            &flavor,
            json!({ "flavor": { "name": "big", "enabled": true } }),
        ),
        ("flavor unset small --description", &flavor, json!({ "flavor": { "description": null } })),
        ("flavor list --name small --disable", "GET /flavors?name=small&enabled=false", Value::Null),
        (
            "flavorprofile create --name p --provider amphora --flavor-data {}",
            "POST /flavorprofiles",
            json!({ "flavorprofile": { "name": "p", "provider_name": "amphora", "flavor_data": "{}" } }),
        ),
        (
            "availabilityzone create --name a/b --availabilityzoneprofile p",
            "POST /availabilityzones",
            json!({ "availability_zone": { "name": "a/b", "availability_zone_profile_id": ID } }),
        ),
        (
            "availabilityzone set a/b --disable",
            "PUT /availabilityzones/a%2Fb",
            json!({ "availability_zone": { "enabled": false } }),
        ),
        ("availabilityzone delete a/b", "DELETE /availabilityzones/a%2Fb", Value::Null),
        (
            "availabilityzoneprofile set p --availability-zone-data {}",
            "PUT /availabilityzoneprofiles/6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3b1",
            json!({ "availability_zone_profile": { "availability_zone_data": "{}" } }),
        ),
    ] {
        let (code, _, err) = fake.octavia(words).await;
        assert_eq!((code, err.as_str()), (0, ""), "{words}");
        let last = fake.seen().pop().expect("a request");
        assert_eq!(last.line.replace("/lb/v2.0/lbaas", ""), line, "{words}");
        assert_eq!(last.body, body, "{words}");
    }
    let (code, _, err) = fake.octavia("flavor set small").await;
    assert_eq!(code, 2, "{err}");
}

/// Zones have no ids, and the links of profiles are called otherwise.
#[tokio::test]
async fn pages_of_the_catalogue_are_followed() {
    let fake = Fake::start(|_, seen| {
        let profiles = seen.line.contains("profiles");
        let (key, links, marker) = if profiles {
            ("availability_zone_profiles", "availability_zone_profile_links", ID)
        } else {
            ("availability_zones", "availability_zones_links", "a%2Fb")
        };
        let mut row = json!({ "name": "a/b" });
        if profiles {
            row["id"] = ID.into();
        }
        match seen.line.split_once("marker=") {
            None => (200, json!({ key: [row], links: [{ "rel": "next", "href": "x" }] })),
            Some((_, given)) => {
                assert_eq!(given, marker);
                (200, json!({ key: [{ "name": "c" }], links: [] }))
            }
        }
    })
    .await;
    for words in ["availabilityzone list -f value -c name", "availabilityzoneprofile list -f value -c name"] {
        let (_, out, err) = fake.octavia(words).await;
        assert_eq!((out.as_str(), err.as_str()), ("a/b\nc\n", ""), "{words}");
    }
}

#[tokio::test]
async fn capabilities_say_of_what_they_are() {
    let fake = Fake::start(|_, seen| {
        let key = seen.line.rsplit('/').next().unwrap_or_default().to_owned();
        (200, json!({ key.clone(): [{ "name": "key", "description": key }] }))
    })
    .await;
    let (_, out, err) = fake.octavia("provider capability list amphora").await;
    assert_eq!(err, "");
    insta::assert_snapshot!(out, @r"
    type               name  description
    -----------------  ----  ------------------------------
    flavor             key   flavor_capabilities
    availability_zone  key   availability_zone_capabilities
    ");
    let (_, out, _) = fake.octavia("provider capability list amphora --flavor -f value").await;
    assert_eq!(out, "flavor key flavor_capabilities\n");
    let (_, out, _) = fake.octavia("provider list -f value").await;
    assert_eq!(out, "key providers\n");
}

#[tokio::test]
async fn operators_ask() {
    let fake = Fake::start(|before, seen| match seen.line.as_str() {
        line if line.ends_with("/failover") || line.ends_with("/config") => (202, Value::Null),
        line if line.starts_with("DELETE") => (204, Value::Null),
        line if line.ends_with("/stats") => (
            200,
            json!({ "amphora_stats": [{
                "id": OTHER, "listener_id": ID, "loadbalancer_id": ID, "bytes_in": 1, "bytes_out": 2,
                "active_connections": 3, "total_connections": 4, "request_errors": 5,
            }] }),
        ),
        line if line.contains("/amphorae/") => {
            (200, json!({ "amphora": { "id": OTHER, "loadbalancer_id": ID, "status": "ALLOCATED" } }))
        }
        _ => (200, json!({ "loadbalancer": lb(if before < 2 { "PENDING_UPDATE" } else { "ACTIVE" }) })),
    })
    .await;
    let waited = ["load balancer web: PENDING_UPDATE", "load balancer web: ACTIVE"];
    for (words, lines, said) in [
        (
            format!("lb failover {ID} --wait"),
            vec![format!("PUT /lb/v2.0/lbaas/loadbalancers/{ID}/failover")],
            &waited[..],
        ),
        (
            format!("amphorae failover {OTHER}"),
            vec![format!("PUT /lb/v2.0/octavia/amphorae/{OTHER}/failover")],
            &[],
        ),
        (
            format!("amphorae failover {OTHER} --wait"),
            vec![format!("PUT /lb/v2.0/octavia/amphorae/{OTHER}/failover")],
            &waited[1..],
        ),
        (
            format!("amphorae configure {OTHER}"),
            vec![format!("PUT /lb/v2.0/octavia/amphorae/{OTHER}/config")],
            &[],
        ),
        (format!("amphorae delete {OTHER}"), vec![format!("DELETE /lb/v2.0/octavia/amphorae/{OTHER}")], &[]),
    ] {
        let before = fake.seen().len();
        let (code, out, err) = fake.octavia(&words).await;
        assert_eq!((code, out.as_str()), (0, ""), "{words}: {err}");
        let changes: Vec<_> =
            fake.lines().into_iter().skip(before).filter(|line| !line.starts_with("GET")).collect();
        assert_eq!(changes, lines, "{words}");
        let progress: Vec<_> = err.lines().map(|line| line.split(" after").next().unwrap()).collect();
        assert_eq!(progress, said, "{words}");
    }
    let (_, out, _) = fake.octavia(&format!("amphorae stats {OTHER} -f value")).await;
    assert_eq!(out, format!("{ID} 1 2 3 4 5\n"));
}

#[tokio::test]
async fn operations_are_listed() {
    let fake = Fake::start(|_, seen| {
        if seen.line.contains("/operations") {
            let operation = json!({
                "id": OTHER, "kind": "spec_push", "amphora_id": null, "generation": 7, "worker_id": OTHER,
                "started_at": "2026-01-01T00:00:00", "finished_at": null, "error": null,
            });
            // That there are more does not matter: as many as asked for are shown.
            let next = json!([{ "rel": "next", "href": "http://x" }]);
            return (200, json!({ "operations": [operation], "operations_links": next }));
        }
        (200, json!({ "loadbalancer": lb("PENDING_UPDATE") }))
    })
    .await;
    let (code, out, err) =
        fake.octavia(&format!("lb operations {ID} --limit 1 -f value -c kind -c generation")).await;
    assert_eq!((code, out.as_str()), (0, "spec_push 7\n"), "{err}");
    assert_eq!(fake.lines()[1], format!("GET /lb/v2.0/lbaas/loadbalancers/{ID}/operations?limit=1"));
    let (code, _, _) = fake.octavia(&format!("lb operations {ID} --limit 0")).await;
    assert_eq!(code, 2);
}
