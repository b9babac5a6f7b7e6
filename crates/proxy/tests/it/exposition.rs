//! A listener that tells what is counted.

use std::net::{Ipv4Addr, SocketAddr};

use octavia_model::ListenerProtocol;
use octavia_proxy::Engine;
use octavia_wire::{AmphoraSpec, L7ActionSpec, L7PolicySpec, L7RuleSpec};
use socket2::{Domain, Socket, Type};

use crate::rig::{Client, Message, Origin, Rig, id, member, ok, until};
use crate::strict::{self, Series};

const ASK: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

/// An engine with an HTTP listener, and one that tells.
pub(crate) struct Told {
    pub(crate) rig: Rig,
    address: SocketAddr,
    /// Keeps the port, and listens to nobody.
    _port: Socket,
}

impl Told {
    pub(crate) fn start(members: &[&Origin], tune: impl FnOnce(&mut AmphoraSpec)) -> Self {
        Self::start_on(Engine::start(2).unwrap(), members, tune)
    }

    fn start_on(engine: Engine, members: &[&Origin], tune: impl FnOnce(&mut AmphoraSpec)) -> Self {
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        port.set_reuse_address(true).unwrap();
        rustix::net::sockopt::set_socket_reuseport(&port, true).unwrap();
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let rig = Rig::start_on(engine, ListenerProtocol::Http, members, |spec| {
            let mut tells = spec.listeners[0].clone();
            (tells.id, tells.protocol, tells.port) = (id(), ListenerProtocol::Prometheus, address.port());
            tells.default_pool = None;
            spec.listeners.push(tells);
            tune(spec);
        });
        Self { rig, address, _port: port }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn ask(&self) -> Message {
        let mut client = self.client();
        client.send(ASK);
        let answer = client.answer();
        client.expect_end();
        answer
    }

    pub(crate) fn series(&self) -> Series {
        strict::read(self.ask().text()).unwrap()
    }

    /// Of the name, and all these labels: the one there is.
    #[track_caller]
    pub(crate) fn value(series: &Series, name: &str, labels: &[&str]) -> f64 {
        let fits =
            |key: &str| key.split('{').next() == Some(name) && labels.iter().all(|label| key.contains(label));
        let found: Vec<_> = series.iter().filter(|(key, _)| fits(key)).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        *found[0].1
    }
}

/// So many members that their lines do not fit into what sockets hold.
fn crowd(spec: &mut AmphoraSpec) {
    let address = "127.0.0.1:9".parse().unwrap();
    spec.pools[0].members.extend((0..10_000).map(|_| member(address)));
    for member in &mut spec.pools[0].members {
        member.weight = 0;
    }
}

#[test]
fn what_happened_is_told() {
    let origin = Origin::http(|request| match request.head.split(' ').nth(1).unwrap() {
        "/missing" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        "/broken" => b"HTTP/1.1 nonsense\r\n\r\n".to_vec(),
        _ => ok("hello"),
    });
    let dead = Origin::dead();
    let told = Told::start(&[&origin, &dead], |spec| {
        let rule = L7RuleSpec {
            kind: octavia_model::L7RuleType::Path,
            compare_type: octavia_model::L7RuleCompareType::StartsWith,
            key: None,
            value: "/private".to_owned(),
            invert: false,
        };
        let policy = |action, value: &str| L7PolicySpec {
            id: id(),
            action,
            rules: vec![L7RuleSpec { value: value.to_owned(), ..rule.clone() }],
        };
        let location = "http://elsewhere/".to_owned();
        spec.listeners[0].l7policies = vec![
            policy(L7ActionSpec::Reject, "/private"),
            policy(L7ActionSpec::RedirectToUrl { location, code: 302 }, "/old"),
        ];
    });
    let rig = &told.rig;
    for (path, status) in [
        ("/", 200),
        ("/", 200),
        ("/missing", 404),
        ("/broken", 502),
        ("/private", 403),
        ("/old", 302),
        ("/", 200),
    ] {
        assert_eq!(rig.get(path).status(), status, "{path}");
    }
    let mut client = rig.client();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
    until("all are over", || rig.stats().conns == 1);
    client.end();
    client.expect_end();
    until("all are closed", || rig.stats().conns == 0);

    let series = told.series();
    let [web, tells] = [0, 1].map(|n| format!("listener=\"{}\"", rig.spec.listeners[n].id));
    let pool = format!("pool=\"{}:{}\"", rig.spec.pools[0].id, rig.spec.listeners[0].id);
    let members: Vec<_> = rig.spec.pools[0].members.iter().map(|m| format!("member=\"{}\"", m.id)).collect();
    let tried = Told::value(&series, "octavia_member_connection_errors_total", &[&members[1]]);
    assert!(tried >= 1.0, "members take turns");
    for (name, labels, expected) in [
        ("octavia_listener_status", &[&*web, "state=\"UP\""][..], 1.0),
        ("octavia_listener_sessions_total", &[&web], 8.0),
        ("octavia_listener_current_sessions", &[&web], 0.0),
        ("octavia_listener_current_sessions", &[&tells], 1.0),
        ("octavia_listener_http_requests_total", &[&web], 8.0),
        ("octavia_listener_http_requests_total", &[&tells], 1.0),
        ("octavia_listener_http_responses_total", &[&web, "2xx"], 3.0),
        ("octavia_listener_http_responses_total", &[&web, "3xx"], 1.0),
        ("octavia_listener_http_responses_total", &[&web, "4xx"], 3.0),
        ("octavia_listener_http_responses_total", &[&web, "5xx"], 1.0),
        ("octavia_listener_requests_denied_total", &[&web], 1.0),
        ("octavia_listener_intercepted_requests_total", &[&web], 1.0),
        ("octavia_listener_intercepted_requests_total", &[&tells], 1.0),
        ("octavia_listener_request_errors_total", &[&web], 1.0),
        ("octavia_listener_request_duration_seconds_count", &[&web], 7.0),
        ("octavia_listener_bytes_in_total", &[&web], rig.stats().rx as f64),
        ("octavia_listener_bytes_out_total", &[&web], rig.stats().tx as f64),
        ("octavia_loadbalancer_requests_total", &[], 9.0),
        ("octavia_pool_status", &[&pool, "state=\"UP\""], 1.0),
        ("octavia_pool_sessions_total", &[&pool], 5.0),
        ("octavia_pool_current_sessions", &[&pool], 0.0),
        ("octavia_pool_http_requests_total", &[&pool], 5.0),
        ("octavia_pool_http_responses_total", &[&pool, "2xx"], 3.0),
        ("octavia_pool_http_responses_total", &[&pool, "4xx"], 1.0),
        ("octavia_pool_http_responses_total", &[&pool, "5xx"], 1.0),
        ("octavia_pool_connection_errors_total", &[&pool], tried),
        ("octavia_pool_redispatch_warnings_total", &[&pool], tried),
        ("octavia_pool_response_errors_total", &[&pool], 1.0),
        ("octavia_pool_active_members", &[&pool], 2.0),
        ("octavia_pool_backup_members", &[&pool], 0.0),
        ("octavia_member_redispatch_warnings_total", &[&members[1]], tried),
        ("octavia_member_connection_attempts_total", &[&members[1]], tried),
        ("octavia_member_sessions_total", &[&members[0]], 5.0),
        ("octavia_member_response_errors_total", &[&members[0]], 1.0),
        ("octavia_member_http_responses_total", &[&members[0], "2xx"], 3.0),
        ("octavia_member_http_responses_total", &[&members[0], "4xx"], 1.0),
        ("octavia_member_http_responses_total", &[&members[0], "5xx"], 0.0),
        ("octavia_member_weight", &[&members[0]], 1.0),
        ("octavia_member_current_sessions", &[&members[0]], 0.0),
    ] {
        assert_eq!(Told::value(&series, name, labels), expected, "{name} {labels:?} in {series:#?}");
    }
    let connections = |what: &str, of: &str, labels: &[&str]| {
        Told::value(&series, &format!("octavia_{of}_connection_{what}_total"), labels)
    };
    let [attempts, reuses] = ["attempts", "reuses"].map(|what| connections(what, "member", &[&members[0]]));
    assert_eq!(attempts + reuses, 5.0, "each request had a connection");
    assert_eq!(connections("attempts", "pool", &[&pool]), attempts + tried);
    assert_eq!(connections("reuses", "pool", &[&pool]), reuses);
    // What comes to members is not what comes from clients: heads are written anew.
    let sent = Told::value(&series, "octavia_member_bytes_in_total", &[&members[0]]);
    let received = Told::value(&series, "octavia_member_bytes_out_total", &[&members[0]]);
    assert!(sent > 0.0 && received >= 3.0 * ok("hello").len() as f64);
    assert_eq!(Told::value(&series, "octavia_pool_bytes_in_total", &[&pool]), sent);
    assert_eq!(Told::value(&series, "octavia_pool_bytes_out_total", &[&pool]), received);
}

#[test]
fn connections_are_counted_as_sessions() {
    let origin = Origin::start(|mut client| {
        client.take(4);
        client.send("pong!");
    });
    let told = Told::start(&[&origin], |spec| {
        spec.listeners[0].protocol = ListenerProtocol::Tcp;
        spec.pools[0].protocol = octavia_model::PoolProtocol::Tcp;
    });
    let mut client = told.rig.client();
    client.send("ping");
    assert_eq!(client.take(5), b"pong!");
    client.end();
    client.expect_end();
    until("it is closed", || told.rig.stats().conns == 0);
    let series = told.series();
    let pool = format!("pool=\"{}:{}\"", told.rig.spec.pools[0].id, told.rig.spec.listeners[0].id);
    for (name, expected) in [
        ("octavia_pool_sessions_total", 1.0),
        ("octavia_pool_current_sessions", 0.0),
        ("octavia_pool_bytes_in_total", 4.0),
        ("octavia_pool_bytes_out_total", 5.0),
        ("octavia_member_bytes_in_total", 4.0),
        ("octavia_member_bytes_out_total", 5.0),
        ("octavia_member_sessions_total", 1.0),
    ] {
        assert_eq!(Told::value(&series, name, &[&pool]), expected, "{name}");
    }
    assert!(series.keys().all(|key| !key.starts_with("octavia_pool_http")), "{series:#?}");
}

/// What is asked, and the answer: its status, and whether there are lines in it.
#[test]
fn requests_and_answers() {
    let told = Told::start(&[], |_| {});
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    for (request, status, lines) in [
        (ASK, 200, true),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, true),
        ("GET /any/path?with=query HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 200, true),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 200, true),
        ("GET / HTTP/1.0\r\n\r\n", 200, true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, true),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, true),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, true),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 200, true),
        // Only the first is answered.
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, true),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, false),
        ("HEAD / HTTP/1.0\r\n\r\n", 200, false),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405, false),
        ("PUT / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 405, false),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405, false),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 405, false),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, false),
        ("GET / HTTP/1.1\r\n\r\n", 400, false),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, false),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, false),
        ("nonsense\r\n\r\n", 400, false),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505, false),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, false),
        (&large, 431, false),
    ] {
        let mut client = told.client();
        client.send(request);
        let answer = client.message(!request.starts_with("HEAD")).unwrap();
        assert_eq!(answer.status(), status, "{request}");
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
        client.expect_end();
        if status == 200 {
            assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            let coding = request.contains("HTTP/1.1").then_some("chunked");
            assert_eq!(answer.header("transfer-encoding"), coding, "{request}");
            assert_eq!(answer.header("content-length"), None);
        }
        if status == 405 && !request.starts_with("CONNECT") {
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{request}");
        }
        assert_eq!(
            status == 200 && strict::read(answer.text()).is_ok(),
            lines,
            "{request}: {}",
            answer.text()
        );
    }
}

#[test]
fn it_is_a_listener_as_every_other() {
    let mut told = Told::start(&[], |spec| {
        let tells = &mut spec.listeners[1];
        tells.timeouts.client_data = 300;
        tells.connection_limit = Some(1);
    });
    let tells = told.rig.engine.registry().listener(told.rig.spec.listeners[1].id);
    // Who says nothing is told so, and the next one waits for the place.
    let mut silent = told.client();
    silent.send("GET / HTTP/1.1\r\nHo");
    until("it has the place", || tells.stats().conns == 1);
    let mut next = told.client();
    next.send(ASK);
    assert_eq!(silent.answer().status(), 408);
    drop(silent);
    assert_eq!(next.answer().status(), 200);
    drop(next);
    until("all are closed", || tells.stats().conns == 0);
    let stats = tells.stats();
    assert_eq!((stats.totconns, stats.ereq), (2, 1));
    assert!(stats.rx > 0 && stats.tx > 2000);

    told.rig.spec.listeners[1].allowed_cidrs = vec!["192.0.2.0/24".parse().unwrap()];
    told.rig.reconfigure();
    let mut client = told.client();
    client.try_send(ASK);
    client.expect_end();
    until("nobody is in", || tells.stats().conns == 0);
    told.rig.spec.listeners[1].allowed_cidrs.push("127.0.0.0/8".parse().unwrap());
    told.rig.reconfigure();
    let label = format!("listener=\"{}\"", told.rig.spec.listeners[1].id);
    assert_eq!(Told::value(&told.series(), "octavia_listener_denied_connections_total", &[&label]), 1.0);
    assert_eq!(tells.stats().totconns, 3);
}

/// Clients that do not read what they have asked for hold a few places, and nobody else up.
#[test]
fn who_does_not_read_is_bounded() {
    let origin = Origin::says("hello");
    let told = Told::start_on(Engine::start(1).unwrap(), &[&origin], |spec| {
        crowd(spec);
        spec.pools[0].members[0].weight = 1;
        spec.listeners[1].timeouts.client_data = 0;
    });
    let mut stuck: Vec<_> = (0..4).map(|_| told.client()).collect();
    for client in &mut stuck {
        client.send(ASK);
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200 "));
    }
    let refused = told.ask();
    assert_eq!(refused.status(), 503);
    assert_eq!(told.rig.get("/").text(), "hello");
    // The place of one that goes is free again, and the others have lost nothing.
    drop(stuck.pop());
    let tells = told.rig.engine.registry().listener(told.rig.spec.listeners[1].id);
    until("it is gone", || tells.stats().conns == 3);
    let answer = told.ask();
    assert_eq!(answer.status(), 200);
    assert!(answer.body.len() > 10_000_000, "{} bytes", answer.body.len());
    strict::read(answer.text()).unwrap();
    drop(stuck);
    until("all are closed", || tells.stats().conns == 0);
}

/// As many as may ask at once, reading as fast as they can, beside traffic on the only thread.
#[test]
fn traffic_goes_on_beside_scrapes() {
    let origin = Origin::says("hello");
    let told = Told::start_on(Engine::start(1).unwrap(), &[&origin], |spec| {
        crowd(spec);
        spec.pools[0].members[0].weight = 1;
    });
    let mut between = 0;
    std::thread::scope(|scope| {
        let scrapes: Vec<_> = (0..4).map(|_| scope.spawn(|| told.ask().body.len())).collect();
        while scrapes.iter().any(|scrape| !scrape.is_finished()) {
            assert_eq!(told.rig.get("/").text(), "hello");
            between += 1;
        }
        let lengths: Vec<_> = scrapes.into_iter().map(|scrape| scrape.join().unwrap()).collect();
        assert!(lengths.iter().all(|length| *length > 10_000_000), "{lengths:?}");
    });
    assert!(between > 4, "{between} requests while four answers went out");
}

/// One that does not read ends when its time is up, and its answer is not taken for whole.
#[test]
fn silence_ends_it() {
    let told = Told::start(&[], |spec| {
        crowd(spec);
        spec.listeners[1].timeouts.client_data = 300;
    });
    let tells = told.rig.engine.registry().listener(told.rig.spec.listeners[1].id);
    for request in [ASK, "GET / HTTP/1.0\r\n\r\n"] {
        let mut client = told.client();
        client.send(request);
        until("it has begun", || tells.stats().conns == 1);
        until("its time is up", || tells.stats().conns == 0);
        let (all, end) = client.take_to_end();
        assert!(end.is_err() || !all.ends_with(b"\r\n0\r\n\r\n"), "{} bytes, {end:?}", all.len());
        if request.contains("HTTP/1.0") {
            assert!(end.is_err(), "an end that looks like one");
        }
    }
}

/// A configuration that comes while an answer is on its way does not change which lines there are.
#[test]
fn one_answer_is_of_one_configuration() {
    let mut told = Told::start(&[], crowd);
    let mut client = told.client();
    client.send(ASK);
    let first = client.head().unwrap();
    assert!(first.starts_with("HTTP/1.1 200 "));
    told.rig.members().truncate(1);
    told.rig.reconfigure();
    let rest = String::from_utf8(client.take_all()).unwrap();
    assert!(rest.ends_with("\r\n0\r\n\r\n"));
    // No line is in two chunks.
    assert_eq!(rest.lines().filter(|line| line.starts_with("octavia_member_weight{")).count(), 10_000);
    let series = told.series();
    assert_eq!(series.keys().filter(|key| key.starts_with("octavia_member_weight")).count(), 1);
}
