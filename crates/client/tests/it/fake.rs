//! A service that answers what a test says, on a port of this machine.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use octavia_client::{Command, Console, Environment};
use serde_json::{Value, json};

/// What a fake saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// Method, path and query.
    pub(crate) line: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Value,
    /// Of a POST.
    pub(crate) key: Option<String>,
}

type Script = dyn Fn(usize, &Seen) -> (u16, Value) + Send + Sync;

pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    script: Box<Script>,
    url: String,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// `script` is told how many requests of this line came before, and the request.
    pub(crate) async fn start(script: impl Fn(usize, &Seen) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { seen: Mutex::default(), script: Box::new(script), url: url.clone() });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Runs `octavia <words>` as user demo: exit code, output, errors.
    pub(crate) async fn octavia(&self, words: &str) -> (u8, String, String) {
        self.octavia_until(std::future::pending(), words).await
    }

    /// The same; `interrupt` is Ctrl-C.
    pub(crate) async fn octavia_until(
        &self,
        interrupt: impl Future<Output = ()>,
        words: &str,
    ) -> (u8, String, String) {
        let variables = [
            ("OS_AUTH_URL", format!("{}/identity", self.url)),
            ("OS_USERNAME", "demo".to_owned()),
            ("OS_PASSWORD", "s3cret".to_owned()),
            ("OS_PROJECT_NAME", "demo".to_owned()),
        ];
        octavia_until(interrupt, words, &variables).await
    }
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

pub(crate) async fn octavia(words: &str, variables: &[(&str, String)]) -> (u8, String, String) {
    octavia_until(std::future::pending(), words, variables).await
}

async fn octavia_until(
    interrupt: impl Future<Output = ()>,
    words: &str,
    variables: &[(&str, String)],
) -> (u8, String, String) {
    let words = words.split_whitespace().map(|word| if word == "''" { "" } else { word });
    let cli = match Cli::try_parse_from(["octavia"].into_iter().chain(words)) {
        Ok(cli) => cli,
        Err(e) => return (2, String::new(), e.to_string()),
    };
    let environment = Environment {
        variables: variables.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        directory: "/nonexistent".into(),
    };
    let (mut out, mut err) = (vec![], vec![]);
    let code = {
        let mut console = Console::new(&mut out, &mut err, false);
        octavia_client::run_until(interrupt, cli.command, &environment, &mut console).await
    };
    // ExitCode has no accessor; its Debug holds the number.
    let code = [0_u8, 1, 2, 130]
        .into_iter()
        .find(|n| format!("{code:?}") == format!("{:?}", std::process::ExitCode::from(*n)))
        .unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == "/identity/v3/auth/tokens" {
        return tokens(&shared.url, &body);
    }
    let seen = Seen {
        line: format!("{method} {uri}"),
        token: headers.get("x-auth-token").map(|v| v.to_str().unwrap().to_owned()),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        key: headers.get("idempotency-key").map(|v| v.to_str().unwrap().to_owned()),
    };
    let before = {
        let mut all = shared.seen.lock().unwrap();
        let before = all.iter().filter(|s| s.line == seen.line).count();
        all.push(seen.clone());
        before
    };
    let (status, document) = (shared.script)(before, &seen);
    let status = StatusCode::from_u16(status).unwrap();
    if document.is_null() { status.into_response() } else { (status, axum::Json(document)).into_response() }
}

fn tokens(url: &str, body: &[u8]) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap();
    let user = &request["auth"]["identity"]["password"]["user"];
    if user["password"] != "s3cret" {
        let fault = json!({ "error": { "code": 401, "title": "Unauthorized", "message": "who are you?" } });
        return (StatusCode::UNAUTHORIZED, axum::Json(fault)).into_response();
    }
    let endpoint =
        |path: &str| json!([{ "interface": "public", "region": "R", "url": format!("{url}/{path}") }]);
    let catalog = json!([
        { "type": "load-balancer", "endpoints": endpoint("lb") },
        { "type": "network", "endpoints": endpoint("net") },
    ]);
    let document = json!({ "token": { "catalog": catalog } });
    (StatusCode::CREATED, [("x-subject-token", "tok-1")], axum::Json(document)).into_response()
}
