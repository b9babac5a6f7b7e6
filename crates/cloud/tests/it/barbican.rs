//! The Barbican API, and the driver that reads the same secrets.

use octavia_cloud::suite::{StoredSecrets, TlsMaterial, secrets_suite};
use octavia_cloud::{Reader, SecretError};
use serde_json::{Value, json};

use crate::kit::{Answer, Cloud, options};

fn check(case: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{case}: {}", answer.body);
    if status >= 400 {
        assert_eq!(answer.body["code"], status, "{case}");
        assert!(answer.body["description"].as_str().is_some_and(|text| !text.is_empty()), "{case}");
        assert!(answer.body["title"].is_string(), "{case}");
    }
}

async fn call(cloud: &Cloud, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("x-auth-token", token), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    cloud.send(method, &format!("/key-manager/v1/{path}"), &headers, &body).await
}

/// The reference, and the path below the version.
async fn made(cloud: &Cloud, token: &str, collection: &str, body: &Value) -> (String, String) {
    let answer = call(cloud, token, "POST", collection, body).await;
    check(collection, &answer, 201);
    let key = format!("{}_ref", collection.trim_end_matches('s'));
    let reference = answer.body[key].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["location"], reference.as_str());
    let (_, path) = reference.split_once("/v1/").unwrap();
    let path = path.to_owned();
    (reference, path)
}

fn text(name: &str, payload: &str) -> Value {
    json!({"name": name, "payload": payload, "payload_content_type": "text/plain"})
}

#[tokio::test]
async fn secrets_of_every_kind() {
    let cloud = Cloud::new();
    let demo = cloud.token("demo").await;
    let payload = async |path: &str, accept: &str| {
        let headers = [("x-auth-token", demo.as_str()), ("accept", accept)];
        cloud.send("GET", &format!("/key-manager/v1/{path}"), &headers, "").await
    };
    let (_, plain) = made(&cloud, &demo, "secrets", &text("plain", "open sesame")).await;
    let answer = payload(&format!("{plain}/payload"), "text/plain").await;
    assert_eq!((answer.status, &answer.body), (200, &json!("open sesame")));
    assert_eq!(payload(&plain, "text/plain").await.body, "open sesame", "the old way");
    check("another type", &payload(&format!("{plain}/payload"), "application/octet-stream").await, 406);

    let binary = json!({
        "payload": "b3BlbiBzZXNhbWU=", "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64", "secret_type": "passphrase",
    });
    let (_, binary) = made(&cloud, &demo, "secrets", &binary).await;
    assert_eq!(payload(&format!("{binary}/payload"), "application/octet-stream").await.body, "open sesame");

    let (reference, hollow) = made(&cloud, &demo, "secrets", &json!({"name": "two steps"})).await;
    check("no payload", &payload(&format!("{hollow}/payload"), "*/*").await, 404);
    for (body, status) in [("open sesame", 204), ("again", 409)] {
        let headers = [("x-auth-token", demo.as_str()), ("content-type", "text/plain")];
        let answer = cloud.send("PUT", &format!("/key-manager/v1/{hollow}"), &headers, body).await;
        check(body, &answer, status);
    }
    assert_eq!(payload(&format!("{hollow}/payload"), "text/plain").await.body, "open sesame");

    let shown = call(&cloud, &demo, "GET", &hollow, &Value::Null).await.body;
    assert_eq!((&shown["name"], &shown["secret_ref"]), (&json!("two steps"), &json!(reference)));
    assert_eq!(
        (&shown["content_types"]["default"], &shown["status"]),
        (&json!("text/plain"), &json!("ACTIVE"))
    );
    assert!(!shown.to_string().contains("sesame"));

    for (query, names, total) in [
        ("", vec![json!("plain"), Value::Null, json!("two steps")], 3),
        ("?limit=1&offset=1", vec![Value::Null], 3),
        ("?limit=0", vec![], 3),
        ("?name=plain", vec![json!("plain")], 1),
        ("?name=nothing", vec![], 0),
        ("?secret_type=passphrase", vec![Value::Null], 1),
    ] {
        let page = call(&cloud, &demo, "GET", &format!("secrets{query}"), &Value::Null).await.body;
        let found: Vec<_> = page["secrets"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
        assert_eq!((found, &page["total"]), (names, &json!(total)), "{query}");
        assert_eq!(page.get("next").is_some(), query.contains("offset=1"), "{query}");
    }
    check("limit", &call(&cloud, &demo, "GET", "secrets?limit=x", &Value::Null).await, 400);

    for path in [&plain, &hollow, &binary] {
        check("delete", &call(&cloud, &demo, "DELETE", path, &Value::Null).await, 204);
        check("gone", &call(&cloud, &demo, "GET", path, &Value::Null).await, 404);
        check("gone", &call(&cloud, &demo, "DELETE", path, &Value::Null).await, 404);
    }
}

#[tokio::test]
async fn requests_that_are_refused() {
    let cloud = Cloud::new();
    let demo = cloud.token("demo").await;
    let (reference, path) = made(&cloud, &demo, "secrets", &text("s", "x")).await;
    let missing = "secrets/00000000-0000-4000-8000-000000000000";
    let container =
        |reference: &str| json!({"type": "generic", "secret_refs": [{"name": "a", "secret_ref": reference}]});
    for (method, path, body, status) in [
        ("GET", missing.to_owned(), Value::Null, 404),
        ("GET", "secrets/nonsense".into(), Value::Null, 404),
        ("DELETE", missing.into(), Value::Null, 404),
        ("POST", "secrets".into(), json!([]), 400),
        ("POST", "secrets".into(), json!({"payload": "x"}), 400),
        ("POST", "secrets".into(), text("large", &"x".repeat(70_000)), 400),
        ("POST", "secrets".into(), text("larger", &"x".repeat(200_000)), 413),
        ("PUT", "secrets".into(), Value::Null, 501),
        ("GET", format!("{path}/metadata"), Value::Null, 501),
        ("POST", "orders".into(), json!({}), 501),
        ("POST", "containers".into(), json!({"type": "box"}), 400),
        ("POST", "containers".into(), container(&format!("http://x/v1/{missing}")), 404),
        ("POST", "containers".into(), container("nonsense"), 400),
        ("PUT", format!("{path}/acl"), json!({"write": {}}), 400),
        ("POST", format!("{path}/consumers"), json!({"service": "s"}), 400),
        (
            "DELETE",
            format!("{path}/consumers"),
            json!({"service": "s", "resource_type": "t", "resource_id": "i"}),
            404,
        ),
        ("GET", "nonsense".into(), Value::Null, 501),
    ] {
        check(&format!("{method} {path}"), &call(&cloud, &demo, method, &path, &body).await, status);
    }
    let anonymous = call(&cloud, "nobody", "GET", "secrets", &Value::Null).await;
    check("no token", &anonymous, 401);
    assert!(anonymous.headers.contains_key("www-authenticate"));
    assert_eq!(cloud.send("GET", "/key-manager/", &[], "").await.body["versions"][0]["id"], "v1");
    assert!(reference.starts_with("http://cloud.example:9876/key-manager/v1/secrets/"));
}

#[tokio::test]
async fn projects_are_apart_unless_a_list_says_otherwise() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let demo_id = cloud.get(&demo, "/identity/v3/auth/tokens").await;
    assert_eq!(demo_id.status, 400, "the subject is missing");
    let users = cloud.get(&admin, "/identity/v3/users?name=demo").await.body;
    let demo_id = users["users"][0]["id"].as_str().unwrap();
    let (reference, path) = made(&cloud, &admin, "secrets", &text("admin's", "open sesame")).await;
    let payload = format!("{path}/payload");

    let list = call(&cloud, &demo, "GET", "secrets", &Value::Null).await.body;
    assert_eq!(list["total"], 0);
    for (method, path) in [("GET", &path), ("GET", &payload), ("DELETE", &path)] {
        check(method, &call(&cloud, &demo, method, path, &Value::Null).await, 403);
    }
    let acl = format!("{path}/acl");
    check("own", &call(&cloud, &admin, "GET", &acl, &Value::Null).await, 200);
    check("another's", &call(&cloud, &demo, "PUT", &acl, &json!({"read": {"users": [demo_id]}})).await, 403);

    let answer = call(&cloud, &admin, "PATCH", &acl, &json!({"read": {"users": [demo_id]}})).await;
    assert_eq!(answer.body, json!({"acl_ref": format!("{reference}/acl")}));
    let shown = call(&cloud, &admin, "GET", &acl, &Value::Null).await.body;
    assert_eq!(
        (&shown["read"]["users"], &shown["read"]["project-access"]),
        (&json!([demo_id]), &json!(true))
    );
    let headers = [("x-auth-token", demo.as_str()), ("accept", "text/plain")];
    let read = cloud.send("GET", &format!("/key-manager/v1/{payload}"), &headers, "").await;
    assert_eq!((read.status, &read.body), (200, &json!("open sesame")));
    check("reading is not deleting", &call(&cloud, &demo, "DELETE", &path, &Value::Null).await, 403);
    let consumer = json!({"service": "s", "resource_type": "t", "resource_id": "i"});
    check("who reads uses", &call(&cloud, &demo, "POST", &format!("{path}/consumers"), &consumer).await, 200);
    let consumers = call(&cloud, &admin, "GET", &format!("{path}/consumers"), &Value::Null).await.body;
    assert_eq!((&consumers["consumers"][0], &consumers["total"]), (&consumer, &json!(1)));
    check("used no more", &call(&cloud, &demo, "DELETE", &format!("{path}/consumers"), &consumer).await, 200);

    check("withdrawn", &call(&cloud, &admin, "DELETE", &acl, &Value::Null).await, 200);
    check("no more", &call(&cloud, &demo, "GET", &path, &Value::Null).await, 403);
}

/// What the driver finds, before and after a crash, and what the disk shows.
#[tokio::test]
async fn what_was_stored_is_found_again_and_sealed() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let material = TlsMaterial::new();
    let mut references = vec![];
    for (name, payload) in [
        ("certificate", material.certificate.as_str()),
        ("private_key", &material.private_key),
        ("intermediates", &material.authority),
        ("other", &material.other_key),
        ("crl", &material.crl),
        ("everything", &material.everything()),
    ] {
        references.push(made(&cloud, &demo, "secrets", &text(name, payload)).await.0);
    }
    let [certificate, key, authority, other, crl, everything] = references.try_into().unwrap();
    let container = async |key: &str| {
        let parts =
            [("certificate", certificate.as_str()), ("private_key", key), ("intermediates", &authority)];
        let parts = parts.map(|(name, reference)| json!({"name": name, "secret_ref": reference}));
        made(&cloud, &demo, "containers", &json!({"type": "certificate", "name": "c", "secret_refs": parts}))
            .await
            .0
    };
    let context = cloud.local.identity().verify(&demo).await.unwrap();
    let stored = StoredSecrets {
        container: container(&key).await,
        mismatched: container(&other).await,
        generic: made(&cloud, &demo, "containers", &json!({"type": "generic"})).await.0,
        hollow: made(&cloud, &demo, "secrets", &json!({})).await.0,
        forbidden: (made(&cloud, &admin, "secrets", &text("x", "x")).await.0, context.user_id.clone()),
        everything,
        authority,
        crl,
    };
    let containers = call(&cloud, &demo, "GET", "containers?type=certificate", &Value::Null).await.body;
    assert_eq!(containers["total"], 2);
    secrets_suite(cloud.local.secrets().as_ref(), &stored, Reader::Caller(&context, None)).await;
    let (client, keeper) = cloud.kept();
    secrets_suite(client.secrets().as_ref(), &stored, Reader::Caller(&context, None)).await;
    drop(keeper);

    let cloud = cloud.restarted(options());
    secrets_suite(cloud.local.secrets().as_ref(), &stored, Reader::Caller(&context, None)).await;
    let service = cloud.local.secrets().bundle_fetch(&stored.forbidden.0, Reader::Service).await;
    assert!(
        matches!(service, Err(SecretError::Content(_))),
        "the service reads what it was let use: {service:?}"
    );

    let dir = cloud.path().join("cloud");
    let mut files = 0;
    for entry in std::fs::read_dir(dir.join("secrets")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("PRIVATE KEY") && !text.contains("name"));
        files += 1;
    }
    assert_eq!(files, 11);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.join("secrets.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
