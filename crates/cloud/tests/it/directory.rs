//! Users, projects, roles and grants that are made, changed and removed over the Keystone API.

use octavia_cloud::IdentityError;
use serde_json::{Value, json};

use crate::kit::{Answer, Cloud, login, options, project};

const V3: &str = "/identity/v3";

async fn send(cloud: &Cloud, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    cloud.send(method, &format!("{V3}/{path}"), &[("x-auth-token", token)], &body.to_string()).await
}

async fn made(cloud: &Cloud, token: &str, kind: &str, body: Value) -> String {
    let answer = send(cloud, token, "POST", &format!("{kind}s"), &json!({kind: body})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body[kind]["id"].as_str().unwrap().to_owned()
}

fn system() -> Value {
    json!({"system": {"all": true}})
}

#[tokio::test]
async fn a_user_is_made_and_works_and_goes() {
    let cloud = Cloud::new();
    let admin = cloud.token("admin").await;
    let user = json!({"name": "eve", "password": "secret", "email": "eve@example.org", "description": "ü"});
    let eve = made(&cloud, &admin, "user", user).await;
    let shop = made(&cloud, &admin, "project", json!({"name": "shop", "domain_id": "default"})).await;
    let role = made(&cloud, &admin, "role", json!({"name": "clerk"})).await;
    let in_shop = login("eve", "secret", &project("shop"));
    assert_eq!(cloud.login(&in_shop).await.status, 401, "no role yet");

    let grant = format!("projects/{shop}/users/{eve}/roles/{role}");
    let on_system = format!("system/users/{eve}/roles/{role}");
    let in_domain = format!("domains/default/users/{eve}/roles/{role}");
    for (method, path, status) in [
        ("HEAD", &grant, 404),
        ("DELETE", &grant, 404),
        ("PUT", &grant, 204),
        ("PUT", &grant, 204),
        ("HEAD", &grant, 204),
        ("GET", &grant, 204),
        ("PUT", &on_system, 204),
        ("HEAD", &on_system, 204),
        ("PUT", &in_domain, 204),
        ("DELETE", &in_domain, 204),
        ("HEAD", &in_domain, 404),
        ("POST", &grant, 501),
    ] {
        assert_eq!(send(&cloud, &admin, method, path, &json!({})).await.status, status, "{method} {path}");
    }

    // All of it is there after a restart, and a token says where it is good.
    let cloud = cloud.restarted(options());
    let answer = cloud.login(&in_shop).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["token"]["project"]["name"], "shop");
    assert_eq!(answer.body["token"]["roles"][0]["name"], "clerk");
    let whole = cloud.login(&login("eve", "secret", &system())).await;
    assert_eq!((whole.status, &whole.body["token"]["system"]["all"]), (201, &json!(true)));
    assert!(whole.body["token"].get("project").is_none());
    let seen = cloud.local.identity().verify(&answer.subject()).await.unwrap();
    assert_eq!((seen.user_name.as_str(), seen.roles), ("eve", vec!["clerk".to_owned()]));

    let list = send(&cloud, &admin, "GET", &format!("role_assignments?user.id={eve}"), &json!({})).await.body;
    assert_eq!(list["role_assignments"].as_array().unwrap().len(), 2, "{list}");
    for (filter, count) in [("scope.system", 1), ("scope.domain.id=default", 0)] {
        let path = format!("role_assignments?user.id={eve}&{filter}");
        let list = send(&cloud, &admin, "GET", &path, &json!({})).await.body;
        assert_eq!(list["role_assignments"].as_array().unwrap().len(), count, "{filter}: {list}");
    }

    // Whoever is not to come in, or is gone, holds tokens for nothing; so does who was shut out once, or has a new password.
    let mut token = answer.subject();
    let enabled = |is: bool| json!({"user": {"enabled": is}});
    for (method, path, body, verified, logged_in) in [
        ("PATCH", format!("users/{eve}"), enabled(false), false, 401),
        ("PATCH", format!("users/{eve}"), enabled(true), false, 201),
        ("PATCH", format!("projects/{shop}"), json!({"project": {"enabled": false}}), false, 401),
        ("PATCH", format!("projects/{shop}"), json!({"project": {"enabled": true}}), true, 201),
        ("PATCH", format!("users/{eve}"), json!({"user": {"email": "e@e.org"}}), true, 201),
        ("PATCH", format!("users/{eve}"), json!({"user": {"password": "other"}}), false, 401),
        ("DELETE", format!("users/{eve}"), json!({}), false, 401),
    ] {
        let answer = send(&cloud, &admin, method, &path, &body).await;
        assert!(matches!(answer.status, 200 | 204), "{path} {body}: {}", answer.body);
        let verdict = cloud.local.identity().verify(&token).await;
        assert_eq!(verdict.is_ok(), verified, "{path} {body}: {verdict:?}");
        if !verified {
            assert_eq!(verdict, Err(IdentityError::InvalidToken));
        }
        let again = cloud.login(&in_shop).await;
        assert_eq!(again.status, logged_in, "{path} {body}");
        if logged_in == 201 {
            token = again.subject();
        }
    }
}

#[tokio::test]
async fn what_is_refused() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let id = |kind: &str, name: &str| {
        let path = format!("{V3}/{kind}?name={name}");
        let (cloud, admin, kind) = (&cloud, &admin, kind.to_owned());
        async move { cloud.get(admin, &path).await.body[&kind][0]["id"].as_str().unwrap().to_owned() }
    };
    let (demo_id, demo_project, member) =
        (id("users", "demo").await, id("projects", "demo").await, id("roles", "member").await);
    let eve = made(&cloud, &admin, "user", json!({"name": "eve"})).await;
    let long = "x".repeat(256);
    let user = |body: Value| json!({"user": body});
    for (method, path, body, status, said) in [
        ("POST", "users".to_owned(), user(json!({"name": "eve"})), 409, "already"),
        ("POST", "users".into(), user(json!({"name": ""})), 400, "1 to 255 characters"),
        ("POST", "users".into(), user(json!({"name": long})), 400, "1 to 255 characters"),
        ("POST", "users".into(), user(json!({})), 400, "1 to 255 characters"),
        ("POST", "users".into(), user(json!({"name": "x", "domain_id": "other"})), 400, "one domain"),
        ("POST", "users".into(), user(json!({"name": "x", "password": ""})), 400, "1 to 1024 bytes"),
        ("POST", "users".into(), user(json!({"name": "x", "email": "y".repeat(256)})), 400, "255"),
        ("POST", "users".into(), user(json!({"name": ["s3cret"]})), 400, "one object \"user\""),
        ("POST", "users".into(), json!([]), 400, "one object \"user\""),
        ("POST", "users".into(), json!({"project": {"name": "x"}}), 400, "one object \"user\""),
        ("POST", "projects".into(), json!({"project": {"name": "demo"}}), 409, "already"),
        ("POST", "roles".into(), json!({"role": {"name": "member"}}), 409, "already"),
        ("PATCH", format!("users/{demo_id}"), user(json!({"name": "x"})), 403, "always there"),
        ("PATCH", format!("users/{eve}"), user(json!({"name": "demo"})), 409, "already"),
        ("PATCH", "users/nobody".into(), user(json!({"name": "x"})), 404, "user"),
        ("DELETE", format!("users/{demo_id}"), json!({}), 403, "always there"),
        ("DELETE", format!("projects/{demo_project}"), json!({}), 403, "always there"),
        ("DELETE", format!("roles/{member}"), json!({}), 403, "always there"),
        ("DELETE", "roles/none".into(), json!({}), 404, "role"),
        (
            "DELETE",
            format!("projects/{demo_project}/users/{demo_id}/roles/{member}"),
            json!({}),
            403,
            "always",
        ),
        ("PUT", format!("projects/none/users/{eve}/roles/{member}"), json!({}), 404, "project"),
        ("PUT", format!("projects/{demo_project}/users/none/roles/{member}"), json!({}), 404, "user"),
        ("PUT", format!("projects/{demo_project}/users/{eve}/roles/none"), json!({}), 404, "role"),
        ("PUT", format!("domains/other/users/{eve}/roles/{member}"), json!({}), 404, "domain"),
    ] {
        let answer = send(&cloud, &admin, method, &path, &body).await;
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(answer.status, status, "{method} {path} {body}: {message}");
        assert!(message.contains(said), "{method} {path} {body}: {message}");
        assert!(!message.contains("s3cret"), "{message}");
        assert_eq!(send(&cloud, &demo, method, &path, &body).await.status, 403, "demo: {method} {path}");
        assert_eq!(send(&cloud, "", method, &path, &body).await.status, 401, "nobody: {method} {path}");
    }
}

#[tokio::test]
async fn a_password_is_changed_by_its_owner() {
    let cloud = Cloud::new();
    let admin = cloud.token("admin").await;
    let eve = made(&cloud, &admin, "user", json!({"name": "eve", "password": "old"})).await;
    let unscoped = |password: &str| login("eve", password, &Value::Null);
    let token = cloud.login(&unscoped("old")).await.subject();
    let exchanged = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}});
    let child = cloud.login(&exchanged).await.subject();
    let path = format!("users/{eve}/password");
    let change = |from: &str, to: &str| json!({"user": {"original_password": from, "password": to}});
    for (token, body, status) in [
        (&admin, change("old", "new"), 403),
        (&token, change("wrong", "new"), 401),
        (&token, json!({"user": {"password": "new"}}), 400),
        (&token, change("old", "new"), 204),
        (&token, change("old", "newer"), 401),
    ] {
        assert_eq!(send(&cloud, token, "POST", &path, &body).await.status, status, "{body}");
    }
    for (password, status) in [("old", 401), ("new", 201)] {
        assert_eq!(cloud.login(&unscoped(password)).await.status, status, "{password}");
    }
    let young = cloud.login(&unscoped("new")).await.subject();
    let cloud = cloud.restarted(options());
    for (what, token, good) in
        [("old", &token, false), ("got with the old", &child, false), ("young", &young, true)]
    {
        assert_eq!(cloud.local.identity().verify(token).await.is_ok(), good, "{what}");
    }
}
