//! The client of a Barbican elsewhere: against the embedded one over HTTP, and against one that misbehaves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use octavia_cloud::suite::{StoredSecrets, TlsMaterial, secrets_suite};
use octavia_cloud::{
    Barbican, CloudError, HttpOptions, Reader, RequestContext, SecretError, SecretRef, Secrets,
    ServiceIdentity, ServiceTokens,
};
use octavia_model::Blame;
use serde_json::{Value, json};

use crate::kit::{self, Cloud, login};

/// The first token, and another when that was refused.
#[derive(Debug)]
struct Tokens(ServiceIdentity);

#[async_trait]
impl ServiceTokens for Tokens {
    async fn service_identity(&self, stale: Option<&str>) -> Result<ServiceIdentity, CloudError> {
        let token = if stale.is_some() { "fresh".to_owned() } else { self.0.token.clone() };
        Ok(ServiceIdentity { token, ..self.0.clone() })
    }
}

async fn served(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn client(endpoint: &str, user: &str, token: &str) -> Barbican {
    let identity = ServiceIdentity { user_id: user.into(), token: token.into(), endpoint: None };
    let options = HttpOptions { timeout: Duration::from_secs(5), ..HttpOptions::default() };
    Barbican::new(Some(endpoint), options, Box::new(Tokens(identity))).unwrap()
}

#[tokio::test]
async fn it_does_over_http_what_the_suite_asks() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let context = cloud.local.identity().verify(&demo).await.unwrap();
    let service = cloud.local.identity().verify(&admin).await.unwrap();
    let owner = another(&cloud, &admin).await;
    let address = served(Router::new().nest_service("/key-manager", cloud.local.secrets_router())).await;
    let send = async |token: &str, method: &str, path: &str, body: Value| {
        let path = format!("/key-manager/v1/{path}");
        let answer = cloud.send(method, &path, &[("x-auth-token", token)], &body.to_string()).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.body);
        answer.body
    };
    let secret = async |token: &str, payload: Option<&str>| {
        let body = match payload {
            Some(text) => json!({"payload": text, "payload_content_type": "text/plain"}),
            None => json!({}),
        };
        send(token, "POST", "secrets", body).await["secret_ref"].as_str().unwrap().to_owned()
    };
    let allow = async |reference: &str, user: &str| {
        let (_, path) = reference.split_once("/v1/").unwrap();
        send(&owner, "PUT", &format!("{path}/acl"), json!({"read": {"users": [user]}})).await;
    };
    let material = TlsMaterial::new();
    let certificate = secret(&demo, Some(&material.certificate)).await;
    let authority = secret(&demo, Some(&material.authority)).await;
    let container = async |token: &str, parts: &[(&str, &String)]| {
        let part = |(name, reference): &(&str, &String)| json!({"name": name, "secret_ref": reference});
        let parts: Vec<_> = parts.iter().map(part).collect();
        let body = json!({"type": "certificate", "secret_refs": parts});
        send(token, "POST", "containers", body).await["container_ref"].as_str().unwrap().to_owned()
    };
    let (key, other_key) =
        (secret(&demo, Some(&material.private_key)).await, secret(&demo, Some(&material.other_key)).await);
    let of = |key| [("certificate", &certificate), ("private_key", key), ("intermediates", &authority)];
    let generic = send(&demo, "POST", "containers", json!({"type": "generic"})).await;
    // The caller may read it, and may let nobody else.
    let forbidden = secret(&owner, Some("x")).await;
    allow(&forbidden, &context.user_id).await;
    let stored = StoredSecrets {
        generic: generic["container_ref"].as_str().unwrap().to_owned(),
        everything: secret(&demo, Some(&material.everything())).await,
        container: container(&demo, &of(&key)).await,
        mismatched: container(&demo, &of(&other_key)).await,
        crl: secret(&demo, Some(&material.crl)).await,
        hollow: secret(&demo, None).await,
        forbidden: (forbidden.clone(), service.user_id.clone()),
        authority: authority.clone(),
    };
    let barbican = client(&format!("http://{address}/key-manager/v1/"), &service.user_id, &admin);
    let caller = Reader::Admitting(&context, Some(&demo));
    let refused = barbican.bundle_fetch(&stored.everything, Reader::Service).await;
    assert!(matches!(refused, Err(SecretError::Forbidden(_))), "nobody has let the service: {refused:?}");
    // Who only asks changes nothing.
    for reference in [&stored.everything, &stored.container] {
        let asked = barbican.bundle_fetch(reference, Reader::Caller(&context, Some(&demo))).await;
        assert_eq!(asked.err(), Some(SecretError::NotAdmitted));
        barbican.bundle_fetch(reference, Reader::Rehearsal(&context, Some(&demo))).await.unwrap();
        let (_, path) = reference.split_once("/v1/").unwrap();
        let list = send(&demo, "GET", &format!("{path}/acl"), Value::Null).await;
        assert_eq!(list["read"]["users"].as_array().map_or(0, Vec::len), 0, "{list}");
    }
    // By the caller's naming it, the service may read it from then on.
    secrets_suite(&barbican, &stored, caller).await;
    secrets_suite(&barbican, &stored, Reader::Service).await;
    let (_, path) = stored.everything.split_once("/v1/").unwrap();
    let list = send(&demo, "GET", &format!("{path}/acl"), Value::Null).await;
    assert_eq!(
        (&list["read"]["users"], &list["read"]["project-access"]),
        (&json!([service.user_id]), &json!(true))
    );

    // Of a container, everything that its owner has to allow is said at once, whoever lacks it.
    let certificate = secret(&owner, Some(&material.certificate)).await;
    let key = secret(&owner, Some(&material.private_key)).await;
    let foreign = container(&owner, &[("certificate", &certificate), ("private_key", &key)]).await;
    let lacking = async || {
        let Err(SecretError::Forbidden(lacking)) = barbican.bundle_fetch(&foreign, caller).await else {
            panic!("nobody has let the service")
        };
        let id = |reference: &str| SecretRef::parse(reference).unwrap().id;
        lacking.rights.into_iter().map(|right| (right.user, id(&right.reference))).collect::<Vec<_>>()
    };
    let right = |user: &String, reference: &str| (user.clone(), SecretRef::parse(reference).unwrap().id);
    let (his, ours) = (&context.user_id, &service.user_id);
    assert_eq!(lacking().await, [right(his, &foreign)]);
    allow(&foreign, his).await;
    allow(&certificate, his).await;
    assert_eq!(lacking().await, [right(ours, &foreign), right(ours, &certificate), right(his, &key)]);
    allow(&key, his).await;
    assert_eq!(lacking().await, [right(ours, &foreign), right(ours, &certificate), right(ours, &key)]);

    // What the service may read is not everybody's.
    let stranger = RequestContext { user_id: "stranger".into(), ..context.clone() };
    let refused =
        barbican.bundle_fetch(&stored.everything, Reader::Caller(&stranger, Some("nonsense"))).await;
    assert!(matches!(refused, Err(SecretError::Forbidden(lacking)) if lacking.rights[0].user == "stranger"));
}

/// Lists of Barbican are written whole, and know no condition.
#[tokio::test]
async fn who_is_put_on_a_list_stays_on_it() {
    const SERVICE: &str = "octavia";
    for (at_once, stolen, expected) in [
        (1, 0, Some(vec!["friend", SERVICE])),
        // Requests of one service, at the same moment.
        (8, 0, Some(vec!["friend", SERVICE])),
        // Somebody else writes what was read before ours was there.
        (1, 2, Some(vec!["friend", "rival", SERVICE])),
        (1, usize::MAX, None),
    ] {
        let list = Arc::new(Mutex::new(vec!["friend".to_owned()]));
        let steals = Arc::new(AtomicUsize::new(stolen));
        let shared = Arc::clone(&list);
        let router = Router::new().fallback(move |request: Request| {
            let (list, steals) = (Arc::clone(&shared), Arc::clone(&steals));
            async move {
                let service = request.headers()["x-auth-token"] == SERVICE;
                let path = request.uri().path().to_owned();
                let put = request.method() == "PUT";
                let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
                let mut list = list.lock().unwrap();
                match path.rsplit('/').next() {
                    Some("acl") if put => {
                        let body: Value = serde_json::from_slice(&body).unwrap();
                        *list = serde_json::from_value(body["read"]["users"].clone()).unwrap();
                        let steal = steals
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                        if steal.is_ok() {
                            *list = vec!["friend".to_owned(), "rival".to_owned()];
                        }
                        axum::Json(json!({})).into_response()
                    }
                    Some("acl") => {
                        axum::Json(json!({"read": {"users": *list, "project-access": false}})).into_response()
                    }
                    _ if service && !list.iter().any(|user| user == SERVICE) => {
                        StatusCode::FORBIDDEN.into_response()
                    }
                    Some("payload") => "open sesame".into_response(),
                    _ => axum::Json(json!({"content_types": {"default": "text/plain"}})).into_response(),
                }
            }
        });
        let barbican = Arc::new(client(&format!("http://{}", served(router).await), SERVICE, SERVICE));
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..at_once {
            let barbican = Arc::clone(&barbican);
            requests.spawn(async move {
                let reference = SecretRef::parse(&format!("http://b.example/v1/secrets/{ID}")).unwrap();
                let caller = RequestContext { user_id: "owner".into(), ..RequestContext::default() };
                barbican.payload_fetch(&reference, Reader::Admitting(&caller, Some("owner"))).await
            });
        }
        let outcomes = requests.join_all().await;
        match expected {
            Some(expected) => {
                for outcome in outcomes {
                    assert_eq!(outcome.unwrap().as_slice(), b"open sesame");
                }
                assert_eq!(*list.lock().unwrap(), expected);
            }
            None => assert_eq!(outcomes[0].as_ref().unwrap_err().blame(), Blame::Dependency),
        }
    }
}

/// The token of a third user, who has a project alone.
async fn another(cloud: &Cloud, admin: &str) -> String {
    let send = async |method: &str, path: &str, body: Value| {
        let path = format!("/identity/v3/{path}");
        let answer = cloud.send(method, &path, &[("x-auth-token", admin)], &body.to_string()).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.body);
        answer.body
    };
    let user = send("POST", "users", json!({"user": {"name": "owner", "password": "p"}})).await;
    let project = send("POST", "projects", json!({"project": {"name": "owner"}})).await;
    let roles = send("GET", "roles?name=member", Value::Null).await;
    let id = |of: &Value| of["id"].as_str().unwrap().to_owned();
    let (user, project, role) = (id(&user["user"]), id(&project["project"]), id(&roles["roles"][0]));
    send("PUT", &format!("projects/{project}/users/{user}/roles/{role}"), Value::Null).await;
    cloud.login(&login("owner", "p", &kit::project("owner"))).await.subject()
}

const ID: &str = "2b1d9b9e-9b9a-4d5e-8a77-94a5d6a1e1f3";

#[tokio::test]
async fn trouble_of_the_other_side_is_a_dependencys() {
    let metadata = || axum::Json(json!({"content_types": {"default": "text/plain"}})).into_response();
    let behave = move |token: String, path: String| -> Response {
        let payload = path.ends_with("/payload");
        match (token.as_str(), payload) {
            ("error", _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            ("busy", _) => StatusCode::TOO_MANY_REQUESTS.into_response(),
            ("garbage", _) => "not JSON".into_response(),
            ("odd", false) => axum::Json(json!({"content_types": {"default": "a\nb"}})).into_response(),
            ("large", true) => "x".repeat(2 << 20).into_response(),
            ("stale", _) => StatusCode::UNAUTHORIZED.into_response(),
            (_, true) => "open sesame".into_response(),
            (_, false) => metadata(),
        }
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: Request| {
        count.fetch_add(1, Ordering::Relaxed);
        let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
        let path = request.uri().path().to_owned();
        async move {
            if token == "silent" {
                std::future::pending::<()>().await;
            }
            behave(token, path)
        }
    });
    let endpoint = format!("http://{}", served(router).await);
    let reference = SecretRef::parse(&format!("http://elsewhere.example/v1/secrets/{ID}")).unwrap();
    for (token, words) in [
        ("error", "answered 500"),
        ("busy", "answered 429"),
        ("garbage", "not JSON"),
        ("odd", "cannot be asked for"),
        ("large", "too large"),
        ("silent", "in time"),
        ("two\nlines", "cannot be sent"),
    ] {
        let identity = ServiceIdentity { user_id: "octavia".into(), token: token.into(), endpoint: None };
        let timeout = Duration::from_millis(if token == "silent" { 500 } else { 20_000 });
        let options = HttpOptions { timeout, ..HttpOptions::default() };
        let barbican = Barbican::new(Some(&endpoint), options, Box::new(Tokens(identity))).unwrap();
        let error = barbican.payload_fetch(&reference, Reader::Service).await.expect_err(token);
        assert_eq!(error.blame(), Blame::Dependency, "{token}: {error}");
        assert!(error.to_string().contains(words), "{token}: {error}");
    }
    let before = asked.load(Ordering::Relaxed);
    let renewed = client(&endpoint, "octavia", "stale").payload_fetch(&reference, Reader::Service).await;
    assert_eq!(renewed.unwrap().as_slice(), b"open sesame", "a token that is no longer taken is renewed");
    assert_eq!(asked.load(Ordering::Relaxed) - before, 4);

    let closed =
        client("http://127.0.0.1:1", "octavia", "t").payload_fetch(&reference, Reader::Service).await;
    assert_eq!(closed.expect_err("nobody listens").blame(), Blame::Dependency);
    for endpoint in ["", "ftp://x/", "/key-manager", "https://x/"] {
        let identity = |endpoint: Option<&str>| {
            let endpoint = endpoint.map(str::to_owned);
            Box::new(Tokens(ServiceIdentity { user_id: String::new(), token: String::new(), endpoint }))
        };
        let barbican = Barbican::new(Some(endpoint), HttpOptions::default(), identity(None));
        assert_eq!(barbican.expect_err(endpoint).blame, Blame::Caller);
        // Of a catalogue, it is known only when somebody asks.
        let barbican = Barbican::new(None, HttpOptions::default(), identity(Some(endpoint))).unwrap();
        let error = barbican.payload_fetch(&reference, Reader::Service).await.expect_err(endpoint);
        assert_eq!(error.blame(), Blame::Dependency);
        assert!(error.to_string().contains("no usable address"), "{error}");
    }
}
