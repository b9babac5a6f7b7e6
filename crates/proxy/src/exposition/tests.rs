use std::sync::atomic::Ordering::Relaxed;

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::{
    Algorithm, AmphoraId, HealthMonitorType, IdKind, ListenerProtocol, LoadBalancerId, PoolProtocol,
};
use octavia_wire::{
    AmphoraSpec, L7ActionSpec, L7PolicySpec, ListenerSpec, MemberSpec, MonitorSpec, PoolSpec, TimeoutsSpec,
    WIRE_VERSION,
};
use uuid::Uuid;

use super::*;
use crate::state::{Health, Registry, Tally};

#[path = "../../tests/it/strict.rs"]
mod strict;

const NOW: u64 = 1_000_000;

fn id<K: IdKind>(n: u128) -> TypedUuid<K> {
    TypedUuid::from_untyped_uuid(Uuid::from_u128(n))
}

fn listener(n: u128, protocol: ListenerProtocol, port: u16, pool: Option<u128>) -> ListenerSpec {
    ListenerSpec {
        id: id(n),
        protocol,
        port,
        connection_limit: None,
        default_pool: pool.map(id),
        insert_headers: vec![],
        timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
        allowed_cidrs: vec![],
        accept_proxy: vec![],
        l7policies: vec![],
        tls: None,
    }
}

fn pool(n: u128, members: impl IntoIterator<Item = u128>) -> PoolSpec {
    PoolSpec {
        id: id(n),
        protocol: PoolProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        persistence: None,
        members: members
            .into_iter()
            .map(|n| MemberSpec {
                id: id(n),
                address: [127, 0, 0, 1].into(),
                port: 80,
                weight: 1,
                backup: false,
                enabled: true,
                monitor_address: None,
                monitor_port: None,
            })
            .collect(),
        monitor: None,
        tls: None,
    }
}

fn spec(listeners: Vec<ListenerSpec>, pools: Vec<PoolSpec>) -> AmphoraSpec {
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: AmphoraId::nil(),
        load_balancer_id: LoadBalancerId::nil(),
        generation: 7,
        fence: 1,
        vips: vec![[127, 0, 0, 1].into()],
        listeners,
        pools,
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}

/// An HTTP listener with a limit and a policy for a second pool, one of TCP with the first pool as well, and one that tells.
fn some() -> AmphoraSpec {
    let mut web = listener(0x11, ListenerProtocol::Http, 80, Some(0x21));
    web.connection_limit = Some(100);
    web.l7policies = vec![
        L7PolicySpec { id: id(0x41), action: L7ActionSpec::RedirectToPool(id(0x22)), rules: vec![] },
        L7PolicySpec { id: id(0x42), action: L7ActionSpec::RedirectToPool(id(0x22)), rules: vec![] },
    ];
    let mut first = pool(0x21, [0x31, 0x32, 0x33]);
    first.members[1].weight = 0;
    first.members[2].backup = true;
    first.monitor = Some(MonitorSpec {
        id: id(0x51),
        kind: HealthMonitorType::Tcp,
        delay: 1,
        timeout: 1,
        rise: 1,
        fall: 1,
        http: None,
    });
    let mut second = pool(0x22, [0x34]);
    second.members[0].enabled = false;
    let listeners = vec![
        listener(0x13, ListenerProtocol::Prometheus, 9100, None),
        listener(0x12, ListenerProtocol::Tcp, 81, Some(0x21)),
        web,
    ];
    spec(listeners, vec![first, second])
}

fn exposition(spec: &AmphoraSpec, registry: &Registry, closed: &[u128]) -> Exposition {
    let snapshot = Snapshot::compile(spec, registry).unwrap();
    let open = spec.listeners.iter().map(|listener| listener.id);
    let open = open.filter(|open| !closed.iter().any(|&n| id(n) == *open)).collect();
    let process = Process {
        totals: registry.totals(),
        log: LogTotals { written: 22, dropped: 23 },
        max_connections: 4096,
        cpu: Some(12.34),
        memory: Some(50.0),
    };
    Exposition::new(&snapshot, &open, process, NOW)
}

fn text(exposition: &mut Exposition, size: usize) -> String {
    let mut out = vec![];
    while exposition.write(&mut out, size) {}
    String::from_utf8(out).unwrap()
}

/// Numbers that are all different, so that none can stand in another's place.
fn count(registry: &Registry) {
    let web = registry.listener(id(0x11));
    web.open.store(3, Relaxed);
    for (n, thread) in (1..).zip([0, 1]) {
        let c = web.on(thread);
        c.rx.add(100 * n);
        c.tx.add(1000 * n);
        c.connections.add(5 * n);
        c.request_errors.add(n);
        c.denied_connections.add(2 * n);
        c.requests.add(7 * n);
        c.denied_requests.add(3 * n);
        c.intercepted.add(4 * n);
    }
    for status in [101, 200, 204, 302, 404, 404, 404, 500, 999] {
        web.on(1).responses.count(status);
    }
    for ms in [0, 10, 11, 99, 30_000, 40_000] {
        web.on(0).durations.count(ms);
    }
    let route = registry.route(id(0x11), id(0x21));
    let member = registry.member(id(0x31));
    for (n, counters) in (1..).zip([&route.on(1).upstream, member.on(0)]) {
        counters.attempts.add(11 * n);
        counters.connections.add(10 * n);
        counters.reuses.add(12 * n);
        counters.requests.add(13 * n);
        counters.connect_errors.add(14 * n);
        counters.response_errors.add(15 * n);
        counters.retries.add(16 * n);
        counters.redispatches.add(17 * n);
        counters.sent.add(18 * n);
        counters.received.add(19 * n);
        counters.responses.count(201);
        counters.balanced.add(20 * n);
        for ms in [10, 20] {
            counters.connect.count(ms * n);
            counters.response.count(100 * ms * n);
        }
    }
    for thread in [0, 1] {
        Tally { route: Some(&route.on(thread).upstream), member: member.on(1) }.begun(NOW - 4_000);
    }
    route.on(0).entered.add(30);
    route.on(1).entered.add(1);
    route.on(1).left.add(4);
    member.active.store(6, Relaxed);
    // Up, down for 5 s, up, down again for 2 s.
    for (health, at) in
        [(Health::Up, 0), (Health::Down, 10_000), (Health::Up, 15_000), (Health::Down, NOW - 2_000)]
    {
        member.turn(health, at);
    }
    member.check_failed();
    registry.member(id(0x32)).turn(Health::Down, 1_000);
    registry.member(id(0x32)).turn(Health::Up, 2_000);
}

#[test]
fn lines_are_the_originals() {
    let registry = Registry::new(2).unwrap();
    // Holds the states that are counted in.
    let _held = Snapshot::compile(&some(), &registry).unwrap();
    count(&registry);
    let text = text(&mut exposition(&some(), &registry, &[0x12]), usize::MAX / 2);
    let series = strict::read(&text).unwrap();
    let uuid = |n| Uuid::from_u128(n);
    let web = format!("listener=\"{}\"", uuid(0x11));
    let tcp = format!("listener=\"{}\"", uuid(0x12));
    let tells = format!("listener=\"{}\"", uuid(0x13));
    let lane = |pool, listener| format!("pool=\"{}:{}\"", uuid(pool), uuid(listener));
    let (first, second, by_tcp) = (lane(0x21, 0x11), lane(0x22, 0x11), lane(0x21, 0x12));
    let member = |n| format!("{first},member=\"{}\"", uuid(n));
    let (down, drained, backup) = (member(0x31), member(0x32), member(0x33));
    let disabled = format!("{second},member=\"{}\"", uuid(0x34));
    for (name, labels, expected) in [
        ("octavia_loadbalancer_max_connections", "", Some(4096.0)),
        ("octavia_loadbalancer_current_connections", "", Some(3.0)),
        ("octavia_loadbalancer_connections_total", "", Some(15.0)),
        ("octavia_loadbalancer_requests_total", "", Some(21.0)),
        ("octavia_loadbalancer_listeners", "", Some(3.0)),
        ("octavia_loadbalancer_cpu", "", Some(12.3)),
        ("octavia_loadbalancer_memory", "", Some(50.0)),
        ("octavia_loadbalancer_logs_total", "", Some(22.0)),
        ("octavia_loadbalancer_dropped_logs_total", "", Some(23.0)),
        ("octavia_listener_status", &format!("{web},state=\"UP\""), Some(1.0)),
        ("octavia_listener_status", &format!("{web},state=\"DOWN\""), Some(0.0)),
        ("octavia_listener_status", &format!("{tcp},state=\"UP\""), Some(0.0)),
        ("octavia_listener_status", &format!("{tcp},state=\"DOWN\""), Some(1.0)),
        ("octavia_listener_status", &format!("{tells},state=\"UP\""), Some(1.0)),
        ("octavia_listener_current_sessions", &web, Some(3.0)),
        ("octavia_listener_limit_sessions", &web, Some(100.0)),
        ("octavia_listener_limit_sessions", &tcp, None),
        ("octavia_listener_sessions_total", &web, Some(15.0)),
        ("octavia_listener_connections_total", &web, Some(15.0)),
        ("octavia_listener_bytes_in_total", &web, Some(300.0)),
        ("octavia_listener_bytes_out_total", &web, Some(3000.0)),
        ("octavia_listener_denied_connections_total", &web, Some(6.0)),
        ("octavia_listener_request_errors_total", &web, Some(3.0)),
        ("octavia_listener_requests_denied_total", &web, Some(9.0)),
        ("octavia_listener_intercepted_requests_total", &web, Some(12.0)),
        ("octavia_listener_http_requests_total", &web, Some(21.0)),
        ("octavia_listener_http_requests_total", &tells, Some(0.0)),
        ("octavia_listener_http_requests_total", &tcp, None),
        ("octavia_listener_http_responses_total", &format!("{web},code=\"1xx\""), Some(1.0)),
        ("octavia_listener_http_responses_total", &format!("{web},code=\"2xx\""), Some(2.0)),
        ("octavia_listener_http_responses_total", &format!("{web},code=\"3xx\""), Some(1.0)),
        ("octavia_listener_http_responses_total", &format!("{web},code=\"4xx\""), Some(3.0)),
        ("octavia_listener_http_responses_total", &format!("{web},code=\"5xx\""), Some(1.0)),
        ("octavia_listener_http_responses_total", &format!("{web},code=\"other\""), Some(1.0)),
        ("octavia_listener_request_duration_seconds_bucket", &format!("{web},le=\"0.01\""), Some(2.0)),
        ("octavia_listener_request_duration_seconds_bucket", &format!("{web},le=\"0.025\""), Some(3.0)),
        ("octavia_listener_request_duration_seconds_bucket", &format!("{web},le=\"0.1\""), Some(4.0)),
        ("octavia_listener_request_duration_seconds_bucket", &format!("{web},le=\"30\""), Some(5.0)),
        ("octavia_listener_request_duration_seconds_bucket", &format!("{web},le=\"+Inf\""), Some(6.0)),
        ("octavia_listener_request_duration_seconds_sum", &web, Some(70.12)),
        ("octavia_listener_request_duration_seconds_count", &web, Some(6.0)),
        ("octavia_pool_status", &format!("{first},state=\"UP\""), Some(1.0)),
        ("octavia_pool_status", &format!("{second},state=\"UP\""), Some(0.0)),
        ("octavia_pool_status", &format!("{second},state=\"DOWN\""), Some(1.0)),
        ("octavia_pool_current_sessions", &first, Some(27.0)),
        ("octavia_pool_sessions_total", &first, Some(31.0)),
        ("octavia_pool_sessions_total", &by_tcp, Some(0.0)),
        ("octavia_pool_bytes_in_total", &first, Some(18.0)),
        ("octavia_pool_bytes_out_total", &first, Some(19.0)),
        ("octavia_pool_connection_attempts_total", &first, Some(11.0)),
        ("octavia_pool_connection_reuses_total", &first, Some(12.0)),
        ("octavia_pool_connection_errors_total", &first, Some(14.0)),
        ("octavia_pool_response_errors_total", &first, Some(15.0)),
        ("octavia_pool_retry_warnings_total", &first, Some(16.0)),
        ("octavia_pool_redispatch_warnings_total", &first, Some(17.0)),
        ("octavia_pool_loadbalanced_total", &first, Some(20.0)),
        ("octavia_pool_last_session_seconds", &first, Some(4.0)),
        ("octavia_pool_last_session_seconds", &second, None),
        ("octavia_pool_connect_time_average_seconds", &first, Some(0.015)),
        ("octavia_pool_connect_time_average_seconds", &second, None),
        ("octavia_pool_response_time_average_seconds", &first, Some(1.5)),
        ("octavia_pool_active_members", &first, Some(0.0)),
        ("octavia_pool_backup_members", &first, Some(1.0)),
        ("octavia_pool_http_requests_total", &first, Some(31.0)),
        ("octavia_pool_http_requests_total", &by_tcp, None),
        ("octavia_pool_http_responses_total", &format!("{first},code=\"2xx\""), Some(1.0)),
        ("octavia_member_status", &format!("{down},state=\"DOWN\""), Some(1.0)),
        ("octavia_member_status", &format!("{down},state=\"UP\""), Some(0.0)),
        ("octavia_member_status", &format!("{drained},state=\"DRAIN\""), Some(1.0)),
        ("octavia_member_status", &format!("{backup},state=\"UP\""), Some(1.0)),
        ("octavia_member_status", &format!("{disabled},state=\"MAINT\""), Some(1.0)),
        ("octavia_member_current_sessions", &down, Some(6.0)),
        ("octavia_member_sessions_total", &down, Some(28.0)),
        ("octavia_member_bytes_in_total", &down, Some(36.0)),
        ("octavia_member_bytes_out_total", &down, Some(38.0)),
        ("octavia_member_connection_attempts_total", &down, Some(22.0)),
        ("octavia_member_connection_reuses_total", &down, Some(24.0)),
        ("octavia_member_connection_errors_total", &down, Some(28.0)),
        ("octavia_member_response_errors_total", &down, Some(30.0)),
        ("octavia_member_retry_warnings_total", &down, Some(32.0)),
        ("octavia_member_redispatch_warnings_total", &down, Some(34.0)),
        ("octavia_member_loadbalanced_total", &down, Some(40.0)),
        ("octavia_member_last_session_seconds", &down, Some(4.0)),
        ("octavia_member_last_session_seconds", &backup, None),
        ("octavia_member_connect_time_average_seconds", &down, Some(0.03)),
        ("octavia_member_response_time_average_seconds", &down, Some(3.0)),
        ("octavia_member_weight", &drained, Some(0.0)),
        ("octavia_member_check_failures_total", &down, Some(1.0)),
        ("octavia_member_check_up_down_total", &down, Some(2.0)),
        ("octavia_member_downtime_seconds_total", &down, Some(7.0)),
        ("octavia_member_check_last_change_seconds", &down, Some(2.0)),
        ("octavia_member_check_failures_total", &backup, None),
        ("octavia_member_http_responses_total", &format!("{down},code=\"2xx\""), Some(1.0)),
    ] {
        let name = if labels.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") };
        assert_eq!(series.get(&name), expected.as_ref(), "{name} in\n{text}");
    }
    // Each member once, although two listeners lead to three of them.
    let weights = series.keys().filter(|name| name.starts_with("octavia_member_weight")).count();
    assert_eq!(weights, 4, "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn names_are_told_of_and_nothing_else_is() {
    let page = include_str!("../../../../docs/metrics.md");
    for family in FAMILIES {
        assert!(page.contains(&format!("| `{}` |", family.name)), "{} is not on the page", family.name);
    }
    for line in page.lines().filter(|line| line.starts_with("| `octavia_")) {
        let name = line.split('`').nth(1).unwrap();
        assert!(FAMILIES.iter().any(|family| family.name == name), "{name} is nowhere but on the page");
    }
}

#[test]
fn a_load_balancer_with_nothing_in_it_has_lines_as_well() {
    let registry = Registry::new(1).unwrap();
    let empty = spec(vec![listener(0x13, ListenerProtocol::Prometheus, 9100, None)], vec![]);
    let text = text(&mut exposition(&empty, &registry, &[]), 1);
    let series = strict::read(&text).unwrap();
    assert!(series.contains_key("octavia_loadbalancer_listeners"));
    assert!(!text.contains("octavia_pool") && !text.contains("octavia_member"), "{text}");
}

#[test]
fn what_was_counted_for_a_listener_that_is_gone_stays_in_the_totals() {
    let registry = Registry::new(2).unwrap();
    let snapshot = Snapshot::compile(&some(), &registry).unwrap();
    count(&registry);
    let before = registry.totals();
    assert_eq!((before.connections, before.requests), (15, 21));
    drop(snapshot);
    registry.listener(id(0x11)).open.store(0, Relaxed);
    registry.prune();
    assert_eq!(registry.totals(), Totals { open: 0, ..before });
}

/// Whatever size is asked for, it is the same text, and no piece is much larger or more work.
#[test]
fn pieces_make_up_the_whole() {
    let registry = Registry::new(2).unwrap();
    let mut many = some();
    many.pools[0].members.extend(pool(0x21, 0x1_0000..0x1_2000).members);
    let _held = Snapshot::compile(&many, &registry).unwrap();
    let whole = text(&mut exposition(&many, &registry, &[]), usize::MAX / 2);
    strict::read(&whole).unwrap();
    for size in [1, 100, 32 * 1024] {
        let mut exposition = exposition(&many, &registry, &[]);
        let mut out = vec![];
        let mut pieces = 0;
        loop {
            let before = out.len();
            let more = exposition.write(&mut out, size);
            let piece = out.len() - before;
            // No thing takes more than a histogram does.
            assert!(piece < size + 4096, "{piece} bytes at once, asked for {size}");
            if !more {
                break;
            }
            pieces += 1;
            assert!(pieces < 2_000_000);
        }
        assert!(out == whole.as_bytes(), "{size}");
    }
}
