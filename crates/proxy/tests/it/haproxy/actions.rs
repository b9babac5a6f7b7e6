//! The same policies in front of the same members: the same answers.

use std::net::SocketAddr;

use octavia_model::ListenerProtocol;
use octavia_wire::{L7ActionSpec, L7PolicySpec};

use super::HaProxy;
use crate::layer7::{policy, pool, prefix, url};
use crate::rig::{Client, Message, Origin, Rig, ok};

#[test]
fn answers_the_same() {
    let origins = ["default", "one", "two"].map(|name| {
        Origin::http(move |request| ok(format!("{name} {}", request.head.split(' ').nth(1).unwrap())))
    });
    let rig = Rig::start(ListenerProtocol::Http, &[&origins[0]], |spec| {
        let pools = [spec.pools[0].id, pool(spec, &[&origins[1]]), pool(spec, &[&origins[2]])];
        // By position: those that HAProxy looks at first come last here, and are put first as controllers do it.
        let mut policies = vec![
            policy("/a", L7ActionSpec::RedirectToPool(pools[1])),
            not("/a", L7ActionSpec::RedirectToPool(pools[2])),
            policy("/a/b/c", url("http://y.example/?z#w", 301)),
            policy("/a/b", prefix("https://x.example/pre", 308)),
            policy("/x", url("http://y.example/", 303)),
            policy("/x/y", prefix("http://never.example", 302)),
            policy("/p", prefix("http://z.example", 307)),
            policy("/a/b/c/d", L7ActionSpec::Reject),
            policy("/q", L7ActionSpec::Reject),
        ];
        policies.sort_by_key(|policy| turn(&policy.action));
        spec.listeners[0].l7policies = policies;
    });
    let Some(haproxy) = HaProxy::beside(&rig) else { return };
    let mut seen = vec![];
    for path in [
        "/a",
        "/ab",
        "/a/b",
        "/a/b?c=d&e",
        "/a/b/c",
        "/a/b/c?x",
        "/a/b/c/d",
        "/a/b/c/d/e?f",
        "/x",
        "/x/y",
        "/x/y/z",
        "/p/?",
        "/q",
        "/q?/a",
        "/A",
        "/",
        "/?a",
        "//a/b",
        "/%61",
        "/a/../q",
        "/a/b/%0d%0aX:y",
    ] {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let [ours, theirs] = [rig.address, haproxy.address].map(|address| ask(address, &request));
            assert_eq!(essence(&ours), essence(&theirs), "{request}\n{ours:?}\n{theirs:?}");
            seen.push(ours.status());
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [200, 301, 303, 307, 308, 403]);
}

/// A policy for paths that do not begin so.
fn not(path: &str, action: L7ActionSpec) -> L7PolicySpec {
    let mut policy = policy(path, action);
    policy.rules[0].invert = true;
    policy
}

/// Which actions are looked at first, whatever their positions.
fn turn(action: &L7ActionSpec) -> u8 {
    match action {
        L7ActionSpec::Reject => 0,
        L7ActionSpec::RedirectToUrl { .. } | L7ActionSpec::RedirectPrefix { .. } => 1,
        L7ActionSpec::RedirectToPool(_) => 2,
    }
}

fn ask(address: SocketAddr, request: &str) -> Message {
    let mut client = Client::connect(address);
    client.send(request);
    client.message(!request.starts_with("HEAD")).unwrap()
}

/// What of an answer is the same for everybody: refusals have words of their own.
fn essence(answer: &Message) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    let of_member = (answer.status() == 200).then(|| answer.text());
    (answer.status(), answer.header("location"), answer.header("cache-control"), of_member)
}
