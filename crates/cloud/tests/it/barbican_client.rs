//! The client of a Barbican elsewhere: against the embedded one over HTTP, and against one that misbehaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use crate::kit::Cloud;

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
    let identity = ServiceIdentity { user_id: user.into(), token: token.into() };
    let options = HttpOptions { timeout: Duration::from_secs(5), ..HttpOptions::default() };
    Barbican::new(endpoint, options, Box::new(Tokens(identity))).unwrap()
}

#[tokio::test]
async fn it_does_over_http_what_the_suite_asks() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let context = cloud.local.identity().verify(&demo).await.unwrap();
    let service = cloud.local.identity().verify(&admin).await.unwrap();
    let address = served(Router::new().nest_service("/key-manager", cloud.local.secrets_router())).await;
    let send = async |method: &str, path: &str, body: Value| {
        let headers = [("x-auth-token", demo.as_str())];
        let answer =
            cloud.send(method, &format!("/key-manager/v1/{path}"), &headers, &body.to_string()).await;
        assert!(answer.status < 300, "{}", answer.body);
        answer.body
    };
    let allow = async |reference: &str| {
        let (_, path) = reference.split_once("/v1/").unwrap();
        let body = json!({"read": {"users": [service.user_id], "project-access": true}});
        send("PUT", &format!("{path}/acl"), body).await;
    };
    let secret = async |payload: Option<&str>, allowed: bool| {
        let body = match payload {
            Some(text) => json!({"payload": text, "payload_content_type": "text/plain"}),
            None => json!({}),
        };
        let reference = send("POST", "secrets", body).await["secret_ref"].as_str().unwrap().to_owned();
        if allowed {
            allow(&reference).await;
        }
        reference
    };
    let material = TlsMaterial::new();
    let certificate = secret(Some(&material.certificate), true).await;
    let authority = secret(Some(&material.authority), true).await;
    let container = async |key: &str| {
        let key = secret(Some(key), true).await;
        let parts = [("certificate", &certificate), ("private_key", &key), ("intermediates", &authority)];
        let parts = parts.map(|(name, reference)| json!({"name": name, "secret_ref": reference}));
        let made = send("POST", "containers", json!({"type": "certificate", "secret_refs": parts})).await;
        let reference = made["container_ref"].as_str().unwrap().to_owned();
        allow(&reference).await;
        reference
    };
    let generic = send("POST", "containers", json!({"type": "generic"})).await;
    let generic = generic["container_ref"].as_str().unwrap().to_owned();
    allow(&generic).await;
    let stored = StoredSecrets {
        generic,
        everything: secret(Some(&material.everything()), true).await,
        container: container(&material.private_key).await,
        mismatched: container(&material.other_key).await,
        crl: secret(Some(&material.crl), true).await,
        hollow: secret(None, true).await,
        forbidden: (secret(Some("x"), false).await, service.user_id.clone()),
        authority,
    };
    let barbican = client(&format!("http://{address}/key-manager/"), &service.user_id, &admin);
    secrets_suite(&barbican, &stored, Reader::Caller(&context, Some(&demo))).await;
    secrets_suite(&barbican, &stored, Reader::Service).await;

    // What the service may read is not everybody's.
    let stranger = RequestContext { user_id: "stranger".into(), ..context };
    let refused =
        barbican.bundle_fetch(&stored.everything, Reader::Caller(&stranger, Some("nonsense"))).await;
    assert!(matches!(refused, Err(SecretError::Forbidden(right)) if right.user == "stranger"));
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
        let identity = ServiceIdentity { user_id: "octavia".into(), token: token.into() };
        let options = HttpOptions { timeout: Duration::from_millis(500), ..HttpOptions::default() };
        let barbican = Barbican::new(&endpoint, options, Box::new(Tokens(identity))).unwrap();
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
        let identity = ServiceIdentity { user_id: String::new(), token: String::new() };
        let barbican = Barbican::new(endpoint, HttpOptions::default(), Box::new(Tokens(identity)));
        assert_eq!(barbican.expect_err(endpoint).blame, Blame::Caller);
    }
}
