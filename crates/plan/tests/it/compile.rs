//! What reaches the data plane, and what does not.

use octavia_model::{
    HealthMonitorType, HttpMethod, ListenerProtocol, LoadBalancerGraph, PoolProtocol,
    ProvisioningStatus as P, SessionPersistence, SessionPersistenceType as Kind,
};
use octavia_plan::{AccessLogOptions, Identities, SorryPage, SorryPages, SpecOptions, compile};
use octavia_wire::{
    AccessLogSpec, AmphoraSpec, HttpCheck, InsertHeader, LogFormatSpec, LogTarget, PersistenceSpec,
};

use crate::fixture::{
    amphora_id, graph, lb_id, listener, listener_id, member, member_id, monitor, pool, pool_id, statuses,
};

/// Listener 1 on port 80 → pool 1 with members 1 and 2 and a monitor; pool 2, which nobody uses.
fn tree() -> LoadBalancerGraph {
    let mut graph = graph();
    graph.listeners.push(listener(1, 80));
    graph.listeners[0].default_pool_id = Some(pool_id(1));
    graph.pools = vec![pool(1), pool(2)];
    graph.members = vec![member(1, 1), member(2, 1), member(3, 2)];
    graph.health_monitors.push(monitor(1, 1));
    graph
}

fn compiled(change: impl FnOnce(&mut LoadBalancerGraph)) -> AmphoraSpec {
    let mut graph = tree();
    change(&mut graph);
    let spec = compile(&graph, amphora_id(1), 7, &Identities::new(), &SpecOptions::default());
    assert_eq!(spec.validate(), Ok(()));
    spec
}

/// `listeners / pools / members / monitors` of a spec.
fn shape(spec: &AmphoraSpec) -> (usize, usize, usize, usize) {
    (
        spec.listeners.len(),
        spec.pools.len(),
        spec.pools.iter().map(|p| p.members.len()).sum(),
        spec.pools.iter().filter(|p| p.monitor.is_some()).count(),
    )
}

#[test]
fn carries_identity_and_only_what_is_reachable() {
    let spec = compiled(|_| ());
    assert_eq!((spec.amphora_id, spec.load_balancer_id), (amphora_id(1), lb_id()));
    assert_eq!((spec.generation, spec.fence), (1, 7));
    assert_eq!(spec.vips, ["127.100.64.5".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(shape(&spec), (1, 1, 2, 1));
}

#[test]
fn leaves_out_what_is_disabled_or_going() {
    let check = |what: &str, expected, change: &dyn Fn(&mut LoadBalancerGraph)| {
        assert_eq!(shape(&compiled(change)), expected, "{what}");
    };
    check("load balancer disabled", (0, 0, 0, 0), &|g| g.load_balancer.admin_state_up = false);
    check("listener disabled", (0, 0, 0, 0), &|g| g.listeners[0].admin_state_up = false);
    check("pool disabled", (1, 0, 0, 0), &|g| g.pools[0].admin_state_up = false);
    check("monitor disabled", (1, 1, 2, 0), &|g| g.health_monitors[0].admin_state_up = false);
    check("member disabled stays, as maintenance", (1, 1, 2, 1), &|g| g.members[0].admin_state_up = false);
    check("listener goes", (0, 0, 0, 0), &|g| g.listeners[0].statuses = statuses(P::PendingDelete));
    check("pool goes", (1, 0, 0, 0), &|g| g.pools[0].statuses = statuses(P::PendingDelete));
    check("member goes", (1, 1, 1, 1), &|g| g.members[0].statuses = statuses(P::PendingDelete));
    check("monitor goes", (1, 1, 2, 0), &|g| g.health_monitors[0].statuses = statuses(P::PendingDelete));
    check("pool is gone", (1, 0, 0, 0), &|g| g.pools.clear());
    check("no default pool", (1, 0, 0, 0), &|g| g.listeners[0].default_pool_id = None);
    check("it tells what is counted", (1, 0, 0, 0), &|g| {
        g.listeners[0].protocol = ListenerProtocol::Prometheus;
    });
    for status in [P::PendingCreate, P::PendingUpdate, P::Error, P::Active] {
        check(status.as_str(), (1, 1, 2, 1), &|g| {
            g.listeners[0].statuses = statuses(status);
            g.pools[0].statuses = statuses(status);
            g.members[0].statuses = statuses(status);
            g.health_monitors[0].statuses = statuses(status);
        });
    }
}

#[test]
fn a_pool_two_listeners_share_is_there_once() {
    let spec = compiled(|g| {
        let mut second = listener(2, 81);
        second.default_pool_id = Some(pool_id(1));
        g.listeners.push(second);
    });
    assert_eq!(shape(&spec), (2, 1, 2, 1));
    assert_eq!(spec.listeners.iter().map(|l| l.id).collect::<Vec<_>>(), [listener_id(1), listener_id(2)]);
}

#[test]
fn connection_limits() {
    for (limit, expected) in
        [(None, None), (Some(-1), None), (Some(0), None), (Some(1), Some(1)), (Some(900), Some(900))]
    {
        let spec = compiled(|g| g.listeners[0].connection_limit = limit);
        assert_eq!(spec.listeners[0].connection_limit, expected, "{limit:?}");
    }
    for (limit, expected) in [(None, Some(7)), (Some(-1), Some(7)), (Some(0), None), (Some(9), Some(9))] {
        let mut graph = tree();
        graph.listeners[0].connection_limit = limit;
        let options = SpecOptions { default_connection_limit: Some(7), ..SpecOptions::default() };
        let spec = compile(&graph, amphora_id(1), 7, &Identities::new(), &options);
        assert_eq!(spec.listeners[0].connection_limit, expected, "{limit:?} where it is 7 by default");
    }
}

#[test]
fn the_access_log_is_the_deployments_and_says_whose_it_is() {
    assert_eq!(compiled(|_| {}).access_log, None);
    let (format, targets) = (LogFormatSpec::Json, vec![LogTarget::File("access.log".to_owned())]);
    let log = AccessLogOptions { format: format.clone(), targets: targets.clone() };
    let options = SpecOptions { access_log: Some(log), ..SpecOptions::default() };
    let graph = tree();
    let spec = compile(&graph, amphora_id(1), 7, &Identities::new(), &options);
    let project_id = graph.load_balancer.project_id.to_string();
    assert_eq!(spec.access_log, Some(AccessLogSpec { project_id, format, targets }));
    assert_eq!(spec.version, 1, "who does not know it tells nothing");
    assert_eq!(spec.validate(), Ok(()));
}

#[test]
fn listeners_choose_among_the_pages_that_are_offered() {
    let page = |body: &str| SorryPage { status: 503, content_type: "a/b".to_owned(), body: body.to_owned() };
    let pages = [("a", page("A")), ("b", page("B"))].map(|(name, page)| (name.to_owned(), page));
    let used = |default: Option<&str>, tags: &[&str], change: fn(&mut LoadBalancerGraph)| {
        let mut graph = tree();
        graph.listeners.push(listener(2, 81));
        graph.listeners[0].tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        change(&mut graph);
        let sorry_pages =
            SorryPages { pages: pages.clone().into_iter().collect(), default: default.map(str::to_owned) };
        let options = SpecOptions { sorry_pages: sorry_pages.into(), ..SpecOptions::default() };
        let spec = compile(&graph, amphora_id(1), 7, &Identities::new(), &options);
        assert_eq!(spec.validate(), Ok(()));
        spec.sorry_pages.into_iter().map(|page| (page.body, page.listeners)).collect::<Vec<_>>()
    };
    let (one, two) = (listener_id(1), listener_id(2));
    let told = |pages: &[(&str, Vec<_>)]| {
        pages.iter().map(|(body, listeners)| ((*body).to_owned(), listeners.clone())).collect::<Vec<_>>()
    };
    let same: fn(&mut LoadBalancerGraph) = |_| {};
    for (default, tags, change, expected) in [
        (None, &[][..], same, vec![]),
        (None, &["octavia:sorry_page=a"], same, vec![("A", vec![one])]),
        (Some("a"), &[], same, vec![("A", vec![one, two])]),
        (Some("a"), &["x", "octavia:sorry_page=b"], same, vec![("A", vec![two]), ("B", vec![one])]),
        (Some("a"), &["octavia:sorry_page=c"], same, vec![("A", vec![one, two])]),
        (None, &["octavia:sorry_page=c", "octavia:sorry_page", "sorry_page=a"], same, vec![]),
        // Who sees no requests, or does not run, has no page.
        (Some("a"), &[], |g| g.listeners[1].protocol = ListenerProtocol::Tcp, vec![("A", vec![one])]),
        (Some("a"), &[], |g| g.listeners[1].admin_state_up = false, vec![("A", vec![one])]),
    ] {
        assert_eq!(used(default, tags, change), told(&expected), "{default:?} {tags:?}");
    }
}

#[test]
fn listeners_believe_the_proxies_that_their_tags_name() {
    let check = |protocol, tags: &[String], expected: &[&str]| {
        let spec = compiled(|graph| {
            graph.listeners[0].protocol = protocol;
            graph.listeners[0].tags = tags.to_vec();
        });
        let believed: Vec<_> = spec.listeners[0].accept_proxy.iter().map(ToString::to_string).collect();
        assert_eq!(believed, expected, "{protocol} {tags:?}");
    };
    let tags = [
        "octavia:accept_proxy=192.0.2.0/24",
        "accept_proxy=10.0.0.0/8",
        "octavia:accept_proxy=2001:db8::/32",
        "octavia:accept_proxy=nobody",
        "octavia:accept_proxy=",
        "octavia:accept_proxy=10.0.0.1",
    ]
    .map(str::to_owned);
    check(ListenerProtocol::Http, &[], &[]);
    check(ListenerProtocol::Http, &tags, &["192.0.2.0/24", "2001:db8::/32"]);
    check(ListenerProtocol::Tcp, &tags[..1], &["192.0.2.0/24"]);
    let many: Vec<_> = (0..99).map(|n| format!("octavia:accept_proxy=10.0.{n}.0/24")).collect();
    let most: Vec<_> = (0..64).map(|n| format!("10.0.{n}.0/24")).collect();
    check(ListenerProtocol::Tcp, &many, &most.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn headers_are_inserted_when_their_value_is_true() {
    let check = |protocol, headers: &[(&str, &str)], expected: &[InsertHeader]| {
        let spec = compiled(|g| {
            g.listeners[0].protocol = protocol;
            g.listeners[0].insert_headers =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        });
        assert_eq!(spec.listeners[0].insert_headers, expected, "{headers:?}");
    };
    let http = ListenerProtocol::Http;
    check(http, &[], &[]);
    check(http, &[("X-Forwarded-For", "true")], &[InsertHeader::XForwardedFor]);
    check(
        http,
        &[("X-Forwarded-Proto", "True"), ("X-Forwarded-Port", "TRUE")],
        &[InsertHeader::XForwardedPort, InsertHeader::XForwardedProto],
    );
    check(http, &[("X-Forwarded-For", "false"), ("X-Forwarded-Port", ""), ("X-Unknown", "true")], &[]);
    check(ListenerProtocol::Tcp, &[("X-Forwarded-For", "true")], &[]);
}

#[test]
fn members() {
    let spec = compiled(|g| {
        g.members[0].weight = None;
        g.members[0].monitor_address = Some("::1".to_owned());
        g.members[0].monitor_port = Some(99);
        g.members[1].weight = Some(0);
        g.members[1].backup = true;
        g.members[1].admin_state_up = false;
        g.members[1].address = "2001:db8::2".to_owned();
    });
    let [first, second] = &spec.pools[0].members[..] else { panic!("two members") };
    assert_eq!((first.weight, first.backup, first.enabled), (1, false, true));
    assert_eq!((first.monitor_address, first.monitor_port), (Some("::1".parse().unwrap()), Some(99)));
    assert_eq!((second.weight, second.backup, second.enabled), (0, true, false));
    assert_eq!(second.address, "2001:db8::2".parse::<std::net::IpAddr>().unwrap());
    let spec = compiled(|g| g.members[0].address = "not an address".to_owned());
    assert_eq!(spec.pools[0].members.iter().map(|m| m.id).collect::<Vec<_>>(), [member_id(2)]);
}

#[test]
fn persistence() {
    let source = |granularity: Option<&str>, timeout| {
        Some(PersistenceSpec::SourceIp {
            granularity: granularity.map(|mask| mask.parse().unwrap()),
            timeout,
        })
    };
    let app = |name: &str| Some(PersistenceSpec::AppCookie { name: name.to_owned() });
    for (kind, cookie, timeout, granularity, expected) in [
        (Kind::SourceIp, None, None, None, source(None, 0)),
        (Kind::SourceIp, None, Some(0), None, source(None, 0)),
        (Kind::SourceIp, None, Some(-5), Some("mask"), source(None, 0)),
        (Kind::SourceIp, None, Some(60), Some("255.255.0.0"), source(Some("255.255.0.0"), 60)),
        (Kind::SourceIp, None, Some(60), Some("ffff:ffff::"), source(Some("ffff:ffff::"), 60)),
        (Kind::HttpCookie, None, None, None, Some(PersistenceSpec::HttpCookie)),
        (Kind::AppCookie, Some("sid"), None, None, app("sid")),
        (Kind::AppCookie, Some(""), None, None, None),
        (Kind::AppCookie, None, None, None, None),
    ] {
        let spec = compiled(|g| {
            g.pools[0].session_persistence = Some(SessionPersistence {
                kind,
                cookie_name: cookie.map(str::to_owned),
                persistence_timeout: timeout,
                persistence_granularity: granularity.map(str::to_owned),
            });
        });
        assert_eq!(spec.pools[0].persistence, expected, "{kind} {cookie:?} {timeout:?} {granularity:?}");
    }
    assert_eq!(compiled(|_| ()).pools[0].persistence, None);
    // Clients of UDP and SCTP are forgotten after a time in any case.
    let timeouts = [(None, 360), (Some(0), 360), (Some(-1), 360), (Some(60), 60)];
    let both =
        [PoolProtocol::Udp, PoolProtocol::Sctp].map(|protocol| timeouts.map(|timeout| (protocol, timeout)));
    for (protocol, (timeout, expected)) in both.concat() {
        let spec = compiled(|g| {
            g.pools[0].protocol = protocol;
            g.pools[0].tls_enabled = true;
            g.pools[0].session_persistence = Some(SessionPersistence {
                kind: Kind::SourceIp,
                cookie_name: None,
                persistence_timeout: timeout,
                persistence_granularity: None,
            });
        });
        let expected = PersistenceSpec::SourceIp { granularity: None, timeout: expected };
        assert_eq!(spec.pools[0].persistence, Some(expected), "{timeout:?}");
        assert_eq!(spec.pools[0].tls, None, "datagrams go as they are");
    }
}

#[test]
fn monitors() {
    let monitor = compiled(|_| ()).pools[0].monitor.clone().unwrap();
    assert_eq!((monitor.delay, monitor.timeout, monitor.rise, monitor.fall), (5, 3, 2, 3));
    assert_eq!(
        monitor.http,
        Some(HttpCheck {
            method: HttpMethod::Get,
            path: "/".to_owned(),
            http11: false,
            host: None,
            expected: vec![(200, 200)],
        })
    );
    let http = |version: Option<f32>, domain: Option<&str>, codes: Option<&str>| {
        let spec = compiled(|g| {
            let monitor = &mut g.health_monitors[0];
            monitor.http_method = Some(HttpMethod::Head);
            monitor.url_path = Some("/up?deep=1".to_owned());
            monitor.http_version = version;
            monitor.domain_name = domain.map(str::to_owned);
            monitor.expected_codes = codes.map(str::to_owned);
        });
        spec.pools[0].monitor.clone().unwrap().http.unwrap()
    };
    let check = http(Some(1.1), Some("example.org"), Some("200-299"));
    assert_eq!(
        (check.http11, check.host.as_deref(), &check.expected[..]),
        (true, Some("example.org"), &[(200, 299)][..])
    );
    assert_eq!((check.method, check.path.as_str()), (HttpMethod::Head, "/up?deep=1"));
    let check = http(Some(1.0), Some("example.org"), Some("200,204"));
    assert_eq!(
        (check.http11, check.host.as_deref(), &check.expected[..]),
        (false, None, &[(200, 200), (204, 204)][..])
    );
    for kind in [HealthMonitorType::Tcp, HealthMonitorType::Ping, HealthMonitorType::TlsHello] {
        let spec = compiled(|g| g.health_monitors[0].kind = kind);
        assert_eq!(spec.pools[0].monitor.clone().unwrap().http, None, "{kind}");
    }
}
