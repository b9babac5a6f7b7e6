//! L7 policies: who answers a request, and what becomes of its connection.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use octavia_model::{Algorithm, L7RuleCompareType, L7RuleType, ListenerProtocol, PoolId, PoolProtocol};
use octavia_proxy::{Health, Snapshot};
use octavia_wire::{AmphoraSpec, L7ActionSpec, L7PolicySpec, L7RuleSpec, PoolSpec, SpecError};

use crate::rig::{Client, Message, Origin, Rig, id, member, ok, until};

/// A policy for paths that begin so.
pub(crate) fn policy(path: &str, action: L7ActionSpec) -> L7PolicySpec {
    let rule = L7RuleSpec {
        kind: L7RuleType::Path,
        compare_type: L7RuleCompareType::StartsWith,
        key: None,
        value: path.to_owned(),
        invert: false,
    };
    L7PolicySpec { id: id(), action, rules: vec![rule] }
}

pub(crate) fn url(location: &str, code: u16) -> L7ActionSpec {
    L7ActionSpec::RedirectToUrl { location: location.to_owned(), code }
}

pub(crate) fn prefix(prefix: &str, code: u16) -> L7ActionSpec {
    L7ActionSpec::RedirectPrefix { prefix: prefix.to_owned(), code }
}

/// Adds a pool of these members.
pub(crate) fn pool(spec: &mut AmphoraSpec, members: &[&Origin]) -> PoolId {
    let pool = PoolSpec {
        id: id(),
        protocol: PoolProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        persistence: None,
        members: members.iter().map(|origin| member(origin.address)).collect(),
        monitor: None,
        tls: None,
    };
    let id = pool.id;
    spec.pools.push(pool);
    id
}

/// A rig whose listener has these policies before its default pool of one member.
fn rig(origin: &Origin, policies: &[L7PolicySpec]) -> Rig {
    Rig::start(ListenerProtocol::Http, &[origin], |spec| spec.listeners[0].l7policies = policies.to_vec())
}

fn ask(client: &mut Client, request: &str) -> Message {
    client.send(format!("{request}\r\nHost: a\r\n\r\n"));
    client.answer()
}

#[test]
fn what_is_refused_reaches_no_member() {
    let origin = Origin::says("hello");
    let rig = rig(&origin, &[policy("/admin", L7ActionSpec::Reject)]);
    let mut client = rig.client();
    for _ in 0..3 {
        let answer = ask(&mut client, "GET /admin/x HTTP/1.1");
        assert_eq!((answer.status(), answer.header("connection")), (403, None));
        assert!(answer.text().contains("403 Forbidden"));
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(ask(&mut client, "GET /Admin HTTP/1.1").text(), "hello");
    assert_eq!(ask(&mut client, "GET /x?/admin HTTP/1.1").text(), "hello");
    assert_eq!(rig.member_state(0).requests(), 2);
    let stats = rig.stats();
    assert_eq!((stats.ereq, stats.totconns), (0, 1), "the client did nothing wrong");
    let sent = client_bytes(3, 2);
    until("what we said is counted", || rig.stats().tx == sent);
}

/// The bytes of so many refusals and of so many answers of the member.
fn client_bytes(refused: u64, served: u64) -> u64 {
    let body = "<html><body><h1>403 Forbidden</h1>\nA policy of the load balancer refuses the request.\n</body></html>\n";
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\n\r\n",
        body.len()
    );
    refused * (head.len() + body.len()) as u64 + served * ok("hello").len() as u64
}

#[test]
fn redirects_of_both_kinds() {
    let origin = Origin::says("hello");
    let rig = rig(
        &origin,
        &[policy("/url", url("https://b/c?d#e", 301)), policy("/pre", prefix("https://b:8443/c", 307))],
    );
    let mut client = rig.client();
    for (request, code, location, cached) in [
        ("GET /url HTTP/1.1", 301, "https://b/c?d#e", None),
        ("GET /url/x?y HTTP/1.1", 301, "https://b/c?d#e", None),
        ("GET /pre?a=b&c HTTP/1.1", 307, "https://b:8443/c/pre?a=b&c", Some("no-cache")),
        ("GET http://a/pre//x HTTP/1.1", 307, "https://b:8443/c/pre//x", Some("no-cache")),
        (
            "GET /pre/%0d%0aSet-Cookie:x HTTP/1.1",
            307,
            "https://b:8443/c/pre/%0d%0aSet-Cookie:x",
            Some("no-cache"),
        ),
    ] {
        let answer = ask(&mut client, request);
        assert_eq!((answer.status(), answer.header("location")), (code, Some(location)), "{request}");
        assert_eq!((answer.header("content-length"), answer.text()), (Some("0"), ""), "{request}");
        assert_eq!(answer.header("cache-control"), cached, "{request}");
        assert_eq!(answer.header("connection"), None, "{request}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(ask(&mut client, "GET / HTTP/1.1").text(), "hello");
    assert_eq!(rig.stats().ereq, 0);
}

#[test]
fn a_policy_chooses_the_pool() {
    let (default, images, dead) = (Origin::says("default"), Origin::says("images"), Origin::dead());
    let mut rig = Rig::start(ListenerProtocol::Http, &[&default], |spec| {
        let pool = pool(spec, &[&dead, &images]);
        spec.listeners[0].l7policies = vec![policy("/images", L7ActionSpec::RedirectToPool(pool))];
    });
    let mut client = rig.client();
    for _ in 0..4 {
        // Another member of the same pool, when one cannot be reached.
        assert_eq!(ask(&mut client, "GET /images/a HTTP/1.1").text(), "images");
        assert_eq!(ask(&mut client, "GET /x HTTP/1.1").text(), "default");
    }
    client.send("POST /images HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    client.send("abc");
    assert_eq!(client.answer().text(), "images");
    // A pool that cannot serve is no reason to go to another.
    let state = rig.engine.registry().member(rig.spec.pools[1].members[1].id);
    state.set_health(Health::Down);
    rig.spec.pools[1].members.remove(0);
    rig.reconfigure();
    assert_eq!(ask(&mut client, "GET /images HTTP/1.1").status(), 503);
    assert_eq!(ask(&mut client, "GET / HTTP/1.1").text(), "default");
    // Without a default pool only what a policy takes is served.
    state.set_health(Health::Up);
    rig.listener().default_pool = None;
    rig.reconfigure();
    assert_eq!(ask(&mut client, "GET / HTTP/1.1").status(), 503);
    assert_eq!(ask(&mut client, "GET /images HTTP/1.1").text(), "images");
}

#[test]
fn each_request_meets_the_policies_of_its_time() {
    let (a, b) = (Origin::says("a"), Origin::says("b"));
    let mut rig = rig(&a, &[]);
    let mut client = rig.client();
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").text(), "a");
    rig.listener().l7policies = vec![policy("/x", L7ActionSpec::Reject)];
    rig.reconfigure();
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").status(), 403);
    rig.listener().l7policies = vec![policy("/", url("http://b", 302)), policy("/x", L7ActionSpec::Reject)];
    rig.reconfigure();
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").status(), 302);
    let pool = pool(&mut rig.spec, &[&b]);
    rig.listener().l7policies = vec![policy("/x", L7ActionSpec::RedirectToPool(pool))];
    rig.reconfigure();
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").text(), "b");
    rig.listener().l7policies.clear();
    rig.spec.pools.pop();
    rig.reconfigure();
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").text(), "a");
}

#[test]
fn an_exchange_keeps_its_policy_to_the_end() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Serves one request a connection; when the second comes, it waits and breaks off.
    let special = Origin::start(move |mut client| {
        client.message(true);
        let n = count.fetch_add(1, SeqCst);
        client.send(ok(format!("special {n}")));
        if client.head().is_some() {
            released.lock().unwrap().recv().unwrap();
            client.reset();
        }
    });
    let default = Origin::says("default");
    let mut rig = rig(&default, &[]);
    let pool = pool(&mut rig.spec, &[&special]);
    let policies = [policy("/none", L7ActionSpec::Reject), policy("/x", L7ActionSpec::RedirectToPool(pool))];
    rig.listener().l7policies = policies.to_vec();
    rig.reconfigure();
    let mut client = rig.client();
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").text(), "special 0");
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let state = rig.engine.registry().member(rig.spec.pools[1].members[0].id);
    until("it is being served", || state.requests() == 2);
    // Now there is no such policy; the request is tried again where it belongs.
    rig.listener().l7policies.clear();
    rig.reconfigure();
    release.send(()).unwrap();
    assert_eq!(client.answer().text(), "special 1");
    assert_eq!(ask(&mut client, "GET /x HTTP/1.1").text(), "default");
}

#[test]
fn bodies_of_requests_that_we_answer() {
    let origin = Origin::says("hello");
    let rig = rig(&origin, &[policy("/no", L7ActionSpec::Reject), policy("/to", url("http://b/", 303))]);
    for (path, status) in [("/no", 403), ("/to", 303)] {
        // All there: the connection goes on, with what came after it.
        let mut client = rig.client();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n\
             PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!(client.answer().status(), status);
        assert_eq!(client.answer().text(), "hello");
        assert_eq!(client.answer().status(), status);
        let head = client.message(false).unwrap();
        assert_eq!(head.status(), status);
        assert_eq!(client.answer().text(), "hello");
        // Not there yet, or never: told at once, and the connection ends.
        for rest in [
            "Content-Length: 3\r\n\r\nab",
            "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nab",
        ] {
            let mut client = rig.client();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{rest}"));
            let answer = client.answer();
            assert_eq!((answer.status(), answer.header("connection")), (status, Some("close")), "{rest}");
            client.try_send("cGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
            client.expect_end();
        }
        assert_eq!(rig.stats().ereq, 0);
    }
    let mut client = rig.client();
    client.send("POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n");
    assert_eq!(client.answer().status(), 400, "broken is broken, also for who is refused anyway");
    assert_eq!(rig.stats().ereq, 1);
}

#[test]
fn old_clients_and_those_that_go() {
    let origin = Origin::says("hello");
    let rig = rig(&origin, &[policy("/no", L7ActionSpec::Reject)]);
    let mut client = rig.client();
    client.send("GET /no HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.header("connection")), (403, Some("keep-alive")));
    client.send("GET /no HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.header("connection")), (403, Some("close")));
    client.expect_end();
    let answer = rig.get("/no");
    assert_eq!((answer.status(), answer.header("connection")), (403, Some("close")));
}

#[test]
fn a_hundred_pipelined_requests_that_we_answer() {
    let origin = Origin::says("hello");
    let rig = rig(&origin, &[policy("/no", L7ActionSpec::Reject), policy("/to", prefix("http://b", 302))]);
    let mut client = rig.client();
    let requests: String =
        (0..100).map(|n| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", ["no", "to", ""][n % 3])).collect();
    client.send(requests);
    for n in 0..100 {
        assert_eq!(client.answer().status(), [403, 302, 200][n % 3]);
    }
}

#[test]
fn policies_that_cannot_be_run_change_nothing() {
    let origin = Origin::says("hello");
    let mut rig = rig(&origin, &[policy("/no", L7ActionSpec::Reject)]);
    let mut broken = policy("/", L7ActionSpec::Reject);
    broken.rules[0].compare_type = L7RuleCompareType::Regex;
    broken.rules[0].value = "(".to_owned();
    rig.listener().l7policies = vec![broken];
    let refused = Snapshot::compile(&rig.spec, rig.engine.registry());
    assert!(matches!(refused, Err(SpecError::L7Policy { .. })));
    assert_eq!(rig.get("/no").status(), 403);
    assert_eq!(rig.get("/").text(), "hello");
}
