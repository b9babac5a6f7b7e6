//! A cloud in a temporary directory, and HTTP requests to it without sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use octavia_cloud::local::{
    IDENTITY_PATH, LocalClient, LocalCloud, LocalOptions, NETWORK_PATH, OpenError, SECRETS_PATH,
};
use octavia_cloud::{Compute, NoopCompute};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

pub(crate) struct Cloud {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) local: LocalCloud,
    router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn options() -> LocalOptions {
    LocalOptions { login_penalty: Duration::ZERO, ..Default::default() }
}

impl Cloud {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: LocalOptions) -> Self {
        Self::open(tempfile::tempdir().unwrap(), options)
    }

    fn open(dir: tempfile::TempDir, options: LocalOptions) -> Self {
        let local = open_again(dir.path(), options).unwrap();
        local.clouds_yaml("http://127.0.0.1:9876/identity").unwrap();
        let router = Router::new()
            .nest_service(IDENTITY_PATH, local.identity_router())
            .nest_service(NETWORK_PATH, local.network_router())
            .nest_service(SECRETS_PATH, local.secrets_router());
        Self { dir, local, router }
    }

    /// As after a crash: nothing was closed in order.
    pub(crate) fn restarted(self, options: LocalOptions) -> Self {
        let Self { dir, local, router } = self;
        drop((local, router));
        Self::open(dir, options)
    }

    /// The cloud as other processes see it, for as long as the tasks are not dropped.
    pub(crate) fn kept(&self) -> (LocalClient, JoinSet<()>) {
        self.kept_with(Arc::new(NoopCompute::default()))
    }

    pub(crate) fn kept_with(&self, compute: Arc<dyn Compute>) -> (LocalClient, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.local.keeper(compute).unwrap().run(std::future::pending()));
        (LocalClient::open(self.path(), "http://127.0.0.1:9876", vec![]).unwrap(), tasks)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn password(&self, user: &str) -> String {
        password(self.path(), user)
    }

    /// `headers`: name, value.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "cloud.example:9876");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = match serde_json::from_slice(&body) {
            Ok(document) => document,
            Err(_) if body.is_empty() => Value::Null,
            // A payload.
            Err(_) => String::from_utf8_lossy(&body).into(),
        };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send("GET", path, &[("x-auth-token", token)], "").await
    }

    pub(crate) async fn login(&self, body: &Value) -> Answer {
        self.send("POST", "/identity/v3/auth/tokens", &[], &body.to_string()).await
    }

    /// A token of the user's, for the project of the same name.
    pub(crate) async fn token(&self, user: &str) -> String {
        let answer = self.login(&login(user, &self.password(user), &project(user))).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.subject()
    }
}

/// Opens a cloud that may have been open before. Its network is free for a moment in between, and another test may be
/// in it: then waits until that ends.
pub(crate) fn open_again(dir: &Path, options: LocalOptions) -> Result<LocalCloud, OpenError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match LocalCloud::open(dir, options.clone()) {
            Err(OpenError::NetworkTaken(_)) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

impl Answer {
    pub(crate) fn subject(&self) -> String {
        self.headers["x-subject-token"].to_str().unwrap().to_owned()
    }
}

pub(crate) fn password(dir: &Path, user: &str) -> String {
    let text = std::fs::read_to_string(dir.join("clouds.yaml")).unwrap();
    let from = text.split_once(&format!("username: {user}\n")).unwrap().1;
    let line = from.split_once("password: ").unwrap().1.lines().next().unwrap();
    line.trim_matches(['\'', '"']).to_owned()
}

pub(crate) fn login(user: &str, password: &str, scope: &Value) -> Value {
    let user = json!({"name": user, "domain": {"name": "Default"}, "password": password});
    json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}})
}

pub(crate) fn project(name: &str) -> Value {
    json!({"project": {"name": name, "domain": {"id": "default"}}})
}
