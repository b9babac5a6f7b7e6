//! The Keystone API: what it grants, and every way of asking for what one may not have.

use jiff::SignedDuration;
use octavia_cloud::local::LocalOptions;
use serde_json::{Value, json};

use crate::kit::{Cloud, login, options, project};

/// Fails with the case's name; checks the shape of every refusal.
fn check(case: &str, answer: &crate::kit::Answer, status: u16) {
    assert_eq!(answer.status, status, "{case}: {}", answer.body);
    if status >= 400 {
        let error = &answer.body["error"];
        assert_eq!(error["code"], status, "{case}");
        assert!(
            !error["title"].as_str().unwrap().is_empty() && !error["message"].as_str().unwrap().is_empty(),
            "{case}"
        );
    }
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{case}");
}

#[tokio::test]
async fn who_gets_a_token() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.password("admin"), cloud.password("demo"));
    let token = cloud.token("demo").await;
    let subject = cloud.get(&token, "/identity/v3/auth/projects").await;
    let project_id = subject.body["projects"][0]["id"].as_str().unwrap().to_owned();
    let by_token = |token: &str, scope: Value| json!({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}});
    let identity = |identity: Value| json!({"auth": {"identity": identity}});
    let none = Value::Null;
    for (case, body, status) in [
        ("project by name", login("demo", &demo, &project("demo")), 201),
        ("project by id", login("demo", &demo, &json!({"project": {"id": project_id}})), 201),
        ("no scope", login("demo", &demo, &none), 201),
        ("the administrator in demo", login("admin", &admin, &project("demo")), 201),
        ("by token", by_token(&token, project("demo")), 201),
        ("by token, unscoped", by_token(&token, none.clone()), 201),
        ("another's project", login("demo", &demo, &project("admin")), 401),
        ("another's project, by token", by_token(&token, project("admin")), 401),
        ("no such project", login("demo", &demo, &project("nowhere")), 401),
        ("domain scope", login("admin", &admin, &json!({"domain": {"id": "default"}})), 201),
        ("system scope", login("admin", &admin, &json!({"system": {"all": true}})), 201),
        ("another domain", login("admin", &admin, &json!({"domain": {"id": "other"}})), 401),
        ("domain without a role", login("demo", &demo, &json!({"domain": {"id": "default"}})), 401),
        ("system without a role", login("demo", &demo, &json!({"system": {"all": true}})), 401),
        ("a trust", login("admin", &admin, &json!({"OS-TRUST:trust": {"id": "x"}})), 401),
        ("wrong password", login("demo", "guess", &project("demo")), 401),
        ("another's password", login("demo", &admin, &project("demo")), 401),
        ("empty password", login("demo", "", &project("demo")), 401),
        ("long password", login("demo", &"x".repeat(100_000), &project("demo")), 401),
        ("no such user", login("root", &demo, &project("demo")), 401),
        ("a user's name in other letters", login("Demo", &demo, &project("demo")), 401),
        ("altered token", by_token(&altered(&token), none.clone()), 401),
        ("foreign token", by_token("gAAAAABmYWtl", none.clone()), 401),
        ("empty token", by_token("", none.clone()), 401),
        ("method not offered", identity(json!({"methods": ["totp"]})), 401),
        ("two methods", identity(json!({"methods": ["password", "token"], "token": {"id": token}})), 401),
        ("no method", identity(json!({"methods": []})), 400),
        ("method without its part", identity(json!({"methods": ["password"]})), 400),
        (
            "user without domain",
            identity(
                json!({"methods": ["password"], "password": {"user": {"name": "demo", "password": demo}}}),
            ),
            400,
        ),
        (
            "password is a number",
            identity(json!({"methods": ["password"], "password": {"user": {"id": "x", "password": 1}}})),
            400,
        ),
        ("project without domain", login("demo", &demo, &json!({"project": {"name": "demo"}})), 400),
        ("scope of nothing", login("demo", &demo, &json!({})), 400),
        ("no auth", json!({}), 400),
        ("a list", json!([]), 400),
        ("null", none.clone(), 400),
    ] {
        check(case, &cloud.login(&body).await, status);
    }
    for (case, body) in [
        ("empty", String::new()),
        ("not JSON", "{\"auth\":".into()),
        ("deep", "[".repeat(50_000)),
        ("binary", "\u{0}\u{1}".into()),
    ] {
        check(case, &cloud.send("POST", "/identity/v3/auth/tokens", &[], &body).await, 400);
    }
    let large = format!("{{\"auth\": \"{}\"}}", "x".repeat(200_000));
    check("large", &cloud.send("POST", "/identity/v3/auth/tokens", &[], &large).await, 413);
}

/// With another character in the middle of its content.
fn altered(token: &str) -> String {
    let at = token.len() / 2;
    let other = if token.as_bytes()[at] == b'x' { "y" } else { "x" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

#[tokio::test]
async fn a_refusal_does_not_tell_what_was_wrong_nor_repeat_a_secret() {
    let cloud = Cloud::new();
    let wrong = cloud.login(&login("demo", "s3cret-guess", &project("demo"))).await.body;
    let nobody = cloud.login(&login("nobody", "s3cret-guess", &project("demo"))).await.body;
    assert_eq!(wrong, nobody);
    let typo =
        json!({"auth": {"identity": {"methods": ["password"], "password": {"user": ["s3cret-guess"]}}}});
    for body in [wrong, cloud.login(&typo).await.body] {
        assert!(!body.to_string().contains("s3cret"), "{body}");
    }
}

#[tokio::test]
async fn a_token_says_who_where_and_what() {
    let cloud = Cloud::new();
    let answer = cloud.login(&login("demo", &cloud.password("demo"), &project("demo"))).await;
    let token = &answer.body["token"];
    let roles: Vec<_> =
        token["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(roles, ["member", "reader", "load-balancer_member"]);
    assert_eq!((&token["user"]["name"], &token["project"]["name"]), (&json!("demo"), &json!("demo")));
    assert_eq!(
        (&token["methods"], &token["project"]["domain"]["id"]),
        (&json!(["password"]), &json!("default"))
    );
    let urls: Vec<_> = token["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| {
            format!(
                "{} {}",
                service["type"].as_str().unwrap(),
                service["endpoints"][0]["url"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        urls,
        [
            "identity http://cloud.example:9876/identity",
            "network http://cloud.example:9876/networking",
            "key-manager http://cloud.example:9876/key-manager",
            "load-balancer http://cloud.example:9876/load-balancer",
        ]
    );
    let unscoped = cloud.login(&login("demo", &cloud.password("demo"), &Value::Null)).await.body;
    assert!(unscoped["token"].get("project").is_none() && unscoped["token"].get("catalog").is_none());
    let without = cloud
        .send(
            "POST",
            "/identity/v3/auth/tokens?nocatalog",
            &[],
            &login("demo", &cloud.password("demo"), &project("demo")).to_string(),
        )
        .await;
    assert!(without.body["token"].get("catalog").is_none());
}

#[tokio::test]
async fn who_may_look_at_and_take_back_a_token() {
    let cloud = Cloud::new();
    let (admin, demo, other) =
        (cloud.token("admin").await, cloud.token("demo").await, cloud.token("demo").await);
    let path = "/identity/v3/auth/tokens";
    for (case, method, token, subject, status) in [
        ("own", "GET", demo.as_str(), demo.as_str(), 200),
        ("own, another", "GET", &demo, &other, 200),
        ("the administrator", "GET", &admin, &demo, 200),
        ("without a body", "HEAD", &admin, &demo, 200),
        ("another's", "GET", &demo, &admin, 403),
        ("nonsense", "GET", &admin, "nonsense", 404),
        ("none", "GET", &admin, "", 400),
        ("nobody", "GET", "", &demo, 401),
        ("a bad one", "GET", "o1.x.y", &demo, 401),
        ("revoke another's", "DELETE", &demo, &admin, 403),
        ("revoke", "DELETE", &demo, &other, 204),
        ("revoked", "GET", &admin, &other, 404),
        ("use a revoked one", "GET", &other, &demo, 401),
        ("revoke it again", "DELETE", &demo, &other, 404),
        ("the administrator revokes", "DELETE", &admin, &demo, 204),
        ("change it", "PUT", &admin, &admin, 501),
    ] {
        let answer =
            cloud.send(method, path, &[("x-auth-token", token), ("x-subject-token", subject)], "").await;
        check(case, &answer, status);
    }
    let shown = cloud.send("GET", path, &[("x-auth-token", &admin), ("x-subject-token", &admin)], "").await;
    assert_eq!(shown.subject(), admin);
    assert_eq!(shown.body["token"]["user"]["name"], "admin");
}

#[tokio::test]
async fn a_token_ends_in_time_and_cannot_be_prolonged() {
    let cloud = Cloud::new();
    let token = cloud.token("demo").await;
    let rescope = |token: &str| json!({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}});
    let first = cloud.login(&login("demo", &cloud.password("demo"), &Value::Null)).await;
    let cloud = cloud.restarted(LocalOptions { token_lifetime: SignedDuration::from_hours(24), ..options() });
    let second = cloud.login(&rescope(&first.subject())).await;
    assert_eq!(first.body["token"]["expires_at"], second.body["token"]["expires_at"]);
    assert_eq!(second.body["token"]["audit_ids"][1], first.body["token"]["audit_ids"][0]);
    assert_eq!(second.body["token"]["methods"], json!(["password", "token"]));
    assert_eq!(cloud.get(&token, "/identity/v3/regions").await.status, 200);

    let cloud = cloud.restarted(LocalOptions { token_lifetime: SignedDuration::ZERO, ..options() });
    let expired = cloud.token("demo").await;
    check("expired", &cloud.get(&expired, "/identity/v3/regions").await, 401);
    check("expired, as a password", &cloud.login(&rescope(&expired)).await, 401);
    let foreign = Cloud::new().token("demo").await;
    check("of another cloud", &cloud.get(&foreign, "/identity/v3/regions").await, 401);
}

#[tokio::test]
async fn what_there_is_and_who_sees_it() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let id = async |path: &str, key: &str| {
        cloud.get(&admin, path).await.body[key][0]["id"].as_str().unwrap().to_owned()
    };
    let admin_id = id("/identity/v3/users?name=admin", "users").await;
    let demo_id = id("/identity/v3/users?name=demo", "users").await;
    let admin_project = id("/identity/v3/projects?name=admin", "projects").await;
    let demo_project = id("/identity/v3/projects?name=demo", "projects").await;
    let role = id("/identity/v3/roles?name=load-balancer_member", "roles").await;
    let service = id("/identity/v3/services?type=load-balancer", "services").await;
    let endpoint = id("/identity/v3/endpoints?interface=public", "endpoints").await;
    for (path, admin_sees, demo_sees) in [
        ("projects".to_owned(), 200, 200),
        (format!("projects/{admin_project}"), 200, 403),
        (format!("projects/{demo_project}"), 200, 200),
        ("projects/nonsense".into(), 404, 403),
        ("users".into(), 200, 200),
        (format!("users/{admin_id}"), 200, 403),
        (format!("users/{demo_id}"), 200, 200),
        (format!("users/{demo_id}/projects"), 200, 200),
        (format!("users/{admin_id}/projects"), 200, 403),
        (format!("users/{demo_id}/groups"), 200, 200),
        ("users/%2e%2e".into(), 404, 403),
        ("domains".into(), 200, 200),
        ("domains/default".into(), 200, 200),
        ("domains/other".into(), 404, 404),
        ("roles".into(), 200, 200),
        (format!("roles/{role}"), 200, 200),
        ("groups".into(), 200, 403),
        ("services".into(), 200, 403),
        (format!("services/{service}"), 200, 403),
        ("endpoints".into(), 200, 403),
        (format!("endpoints/{endpoint}"), 200, 403),
        ("regions".into(), 200, 200),
        ("regions/RegionOne".into(), 200, 200),
        ("regions/RegionTwo".into(), 404, 404),
        ("role_assignments".into(), 200, 403),
        (format!("projects/{demo_project}/users/{demo_id}/roles"), 200, 200),
        (format!("projects/{demo_project}/users/{admin_id}/roles"), 200, 403),
        ("auth/catalog".into(), 200, 200),
        ("auth/projects".into(), 200, 200),
        ("auth/domains".into(), 200, 200),
        ("limits".into(), 404, 404),
        ("projects/a/b/c/d".into(), 404, 404),
    ] {
        let path = format!("/identity/v3/{path}");
        check(&path, &cloud.get(&admin, &path).await, admin_sees);
        check(&path, &cloud.get(&demo, &path).await, demo_sees);
        check(&path, &cloud.get("", &path).await, 401);
        check(&path, &cloud.get(&admin, &format!("{path}/")).await, admin_sees);
    }
    for (path, key, names) in [
        ("projects", "projects", "demo"),
        ("users", "users", "demo"),
        ("auth/projects", "projects", "demo"),
        ("roles?name=member", "roles", "member"),
        ("roles?name=nobody", "roles", ""),
        ("domains?enabled=False", "domains", ""),
    ] {
        let list = cloud.get(&demo, &format!("/identity/v3/{path}")).await.body;
        let found: Vec<_> =
            list[key].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
        assert_eq!(found.join(" "), names, "{path}");
    }
    let grants = cloud
        .get(&admin, &format!("/identity/v3/role_assignments?user.id={demo_id}&include_names"))
        .await
        .body;
    assert_eq!(grants["role_assignments"].as_array().unwrap().len(), 2);
    for (method, path, status) in [
        ("POST", "groups", 501),
        ("PATCH", "domains/default", 501),
        ("DELETE", "services/x", 501),
        ("PUT", "nonsense", 501),
    ] {
        let path = format!("/identity/v3/{path}");
        check(&path, &cloud.send(method, &path, &[("x-auth-token", &admin)], "{}").await, status);
        check(&path, &cloud.send(method, &path, &[], "{}").await, 401);
    }
}

#[tokio::test]
async fn versions_are_told_to_everyone() {
    let cloud = Cloud::new();
    for (path, status) in [
        ("/identity", 300),
        ("/identity/", 300),
        ("/identity/v3", 200),
        ("/identity/v3/", 200),
        ("/identity/v2.0", 404),
        ("/identity/nonsense", 404),
    ] {
        check(path, &cloud.get("", path).await, status);
    }
    let version = cloud.get("", "/identity/v3").await.body;
    assert_eq!(version["version"]["links"][0]["href"], "http://cloud.example:9876/identity/v3/");
    // A host that could break out of a link is not repeated.
    let hostile = cloud.send("GET", "/identity/v3", &[("host", "evil/\"><x>")], "").await;
    assert!(!hostile.body.to_string().contains("evil"));
}
