//! Requests that are accepted: what is answered, and what is stored then.
//!
//! Each story has a world of its own, in which whatever the API knows is accepted. What is expected after the status:
//!
//! - `{…}` attributes of the answer. After a create or an update, what a GET of the object says has to agree, and an
//!   update may change nothing that was neither sent nor is expected. `"#any"` is anything but null, `"#absent"` says
//!   that the attribute is left out, and of objects in a list only what is named counts.
//! - `$a $b`, or names: what a list has, in its order; `nothing`, or how many.
//! - after 4xx and 5xx, the text of the error.
//!
//! `SETTLE $lb` stands for a worker that brings the load balancer's present generation into force.

use octavia_api::{ApiOptions, TlsDefaults};
use serde_json::{Value, json};

use crate::cases::{self, ACCEPTED, Case, Ground};
use crate::world::Reply;

/// The story's cases one after the other; the first that goes wrong ends it.
async fn play(story: &[Case<'_>], with_catalogue: bool, options: ApiOptions) -> Result<(), String> {
    let mut ground = Box::pin(Ground::new(with_catalogue, options)).await;
    for case in story {
        Box::pin(ground.check(case)).await.map_err(|failure| format!("{}\n  {failure}", case.shown()))?;
    }
    Ok(())
}

/// What an operator has chosen in the worlds of a table.
fn options(table: &str) -> ApiOptions {
    let defaults = ApiOptions::default();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    match table {
        "tls_options" => ApiOptions {
            minimum_tls_version: Some("TLSv1.1".to_owned()),
            tls_cipher_prohibit_list: words(&["RC4-MD5", "AES128-SHA"]),
            listener_tls: TlsDefaults {
                ciphers: "LISTENERS".to_owned(),
                versions: words(&["TLSv1.2"]),
                alpn_protocols: words(&["http/1.1"]),
            },
            pool_tls: TlsDefaults {
                ciphers: "POOLS".to_owned(),
                versions: words(&["TLSv1.3"]),
                alpn_protocols: words(&["http/1.0"]),
            },
            ..defaults
        },
        "not_allowed" => ApiOptions {
            allow_tls_terminated_listeners: false,
            allow_ping_health_monitors: false,
            ..defaults
        },
        "no_prometheus" => ApiOptions { allow_prometheus_listeners: false, ..defaults },
        _ => defaults,
    }
}

async fn play_all(name: &str) {
    let (_, text) = ACCEPTED.iter().find(|(table, _)| *table == name).expect("a table");
    let mut failures = vec![];
    let with_catalogue = matches!(name, "catalogue" | "load_balancer" | "list");
    for story in cases::stories(text) {
        if let Err(failure) = Box::pin(play(&story, with_catalogue, options(name))).await {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{} stories of {name}:\n{}", failures.len(), failures.join("\n"));
}

macro_rules! tables {
    ($($name:ident),+) => {
        $(#[tokio::test]
        async fn $name() {
            play_all(stringify!($name)).await;
        })+

        #[test]
        fn every_table_is_played() {
            let names: Vec<_> = ACCEPTED.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),+]);
        }
    };
}

tables!(
    load_balancer,
    listener,
    pool,
    member,
    health_monitor,
    l7policy,
    l7rule,
    catalogue,
    quota,
    amphora,
    list,
    tls_options,
    not_allowed,
    no_prometheus
);

impl Ground {
    async fn check(&mut self, case: &Case<'_>) -> Result<(), String> {
        let path = self.names.expand(case.path);
        if case.method == "SETTLE" {
            self.world.settle(path.parse().expect("the id of a load balancer")).await;
            return Ok(());
        }
        let body = case.sent().map(|body| self.names.expand(&body));
        let before = match case.method {
            "PUT" if case.text.starts_with('{') => self.object(case.token, &path).await,
            _ => None,
        };
        let reply = self.world.call_as(case.token, case.method, &path, body.as_deref()).await;
        if case.status >= 400 || reply.status != case.status {
            return check_refusal(&reply, case.status, &self.names.expand(case.text));
        }
        let expected = self.names.expand(case.text);
        if !expected.starts_with('{') {
            return if expected.is_empty() { Ok(()) } else { check_list(&reply.body, &expected) };
        }
        if case.method == "POST" {
            self.name_new(case, &reply.body);
        }
        let expected: Value = serde_json::from_str(&self.names.expand(case.text)).expect("JSON");
        let answered = object_of(&reply.body);
        disagreement(&expected, answered).map_or(Ok(()), |what| Err(format!("answered {what}")))?;
        if case.method == "GET" {
            return Ok(());
        }
        let path = if case.method == "POST" { format!("{path}/{}", identity(answered)) } else { path };
        let stored = self.object(case.token, &path).await.ok_or("it cannot be shown")?;
        self.name_times(&stored);
        let expected = without_children(expected, &path);
        disagreement(&expected, &stored).map_or(Ok(()), |what| Err(format!("stored {what}")))?;
        let sent: Value = body.map_or(Value::Null, |body| serde_json::from_str(&body).expect("JSON"));
        before.map_or(Ok(()), |before| check_the_rest(&before, &stored, &expected, object_of(&sent)))
    }

    /// What the path shows.
    async fn object(&self, token: &str, path: &str) -> Option<Value> {
        let reply = self.world.call_as(token, "GET", path, None).await;
        (reply.status == 200).then(|| object_of(&reply.body).clone())
    }

    fn name_new(&mut self, case: &Case<'_>, body: &Value) {
        let identity = identity(object_of(body)).to_owned();
        for name in case.name.into_iter().chain(["it"]) {
            self.names.set(name, identity.as_str());
        }
    }

    fn name_times(&mut self, object: &Value) {
        for key in ["created_at", "updated_at"] {
            if let Some(time) = object[key].as_str() {
                self.names.set(key, time);
            }
        }
    }
}

/// What is under the root key; a document that has another shape is taken as it is.
fn object_of(body: &Value) -> &Value {
    match body.as_object().map(|entries| entries.iter().collect::<Vec<_>>()).as_deref() {
        Some([(key, inside)]) if inside.is_object() && !matches!(key.as_str(), "statuses" | "stats") => {
            inside
        }
        _ => body,
    }
}

/// What an object is called by in paths.
fn identity(object: &Value) -> &str {
    let keys = ["id", "name", "project_id"].iter();
    keys.filter_map(|key| object[*key].as_str()).next().expect("an id or a name")
}

fn check_refusal(reply: &Reply, status: u16, text: &str) -> Result<(), String> {
    let said = reply.text();
    let as_said = text.strip_suffix('…').map_or(said == text, |beginning| said.starts_with(beginning));
    if reply.status == status && as_said {
        return Ok(());
    }
    Err(format!("answered {} {}\n  not {status} {text}", reply.status, reply.body))
}

fn check_list(body: &Value, expected: &str) -> Result<(), String> {
    let entries = body.as_object().expect("an object");
    let list = entries.iter().find(|(key, _)| !key.ends_with("_links")).and_then(|(_, list)| list.as_array());
    let found: Vec<&str> = list.expect("a list").iter().map(identity).collect();
    let agrees = match expected {
        "nothing" => found.is_empty(),
        count if count.parse() == Ok(found.len()) => true,
        names => found == names.split(' ').collect::<Vec<_>>(),
    };
    if agrees { Ok(()) } else { Err(format!("found {found:?}\n  not {expected}")) }
}

/// The first attribute that is not as expected.
fn disagreement(expected: &Value, actual: &Value) -> Option<String> {
    let expected = expected.as_object().expect("an object");
    let wrong = expected.iter().find(|(key, value)| !agrees(key, value, actual.get(key)));
    wrong.map(|(key, value)| match actual.get(key) {
        None => format!("no {key}, not {value}"),
        Some(actual) => format!("{key} {actual}\n  not {value}"),
    })
}

fn agrees(key: &str, expected: &Value, actual: Option<&Value>) -> bool {
    let Some(actual) = actual else { return expected == "#absent" };
    match (expected, actual) {
        (Value::String(any), actual) if any == "#any" => !actual.is_null(),
        // Their order has no meaning.
        (Value::Array(expected), Value::Array(actual)) if key == "tags" => {
            let sorted = |list: &[Value]| {
                let mut words: Vec<String> = list.iter().map(Value::to_string).collect();
                words.sort_unstable();
                words
            };
            sorted(expected) == sorted(actual)
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(one, other)| agrees("", one, Some(other)))
        }
        (Value::Object(named), Value::Object(entries)) if !named.is_empty() && !entries.is_empty() => {
            named.iter().all(|(key, value)| agrees(key, value, entries.get(key)))
        }
        (expected, actual) => expected == actual,
    }
}

/// A load balancer is made with all its children, and shown with their ids.
fn without_children(mut expected: Value, path: &str) -> Value {
    if let Some(entries) = expected.as_object_mut().filter(|_| path.starts_with("loadbalancers")) {
        entries.retain(|key, _| key != "listeners" && key != "pools");
    }
    expected
}

/// What was neither sent nor is expected has to be as before.
fn check_the_rest(before: &Value, after: &Value, expected: &Value, sent: &Value) -> Result<(), String> {
    const MOVING: &[&str] = &["updated_at", "provisioning_status", "operating_status", "status_reason"];
    for (key, was) in before.as_object().expect("an object") {
        let told = expected.get(key).is_some() || sent.get(key).is_some() || MOVING.contains(&key.as_str());
        if !told && !agrees(key, was, after.get(key)) {
            return Err(format!("{key} was {was}, and is {}", after.get(key).unwrap_or(&json!("nothing"))));
        }
    }
    Ok(())
}
