//! Load balancers for tests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use octavia_model::*;
use octavia_store::Store;

pub(crate) fn reason(text: &str) -> Reason {
    Reason::new(ReasonCode::Internal, text, "Do “nothing”.")
}

pub(crate) fn load_balancer(project: &str, name: &str) -> LoadBalancer {
    let vip = Vip::new([127, 100, 64, 7].into(), SubnetId::new_v4(), NetworkId::new_v4(), PortId::new_v4());
    LoadBalancer {
        name: name.to_owned(),
        generation: 0,
        ..LoadBalancer::new(LoadBalancerId::new_v4(), ProjectId::new(project), vip, Timestamp::UNIX_EPOCH)
    }
}

pub(crate) fn listener(lb: &LoadBalancer, port: u16) -> Listener {
    Listener::new(ListenerId::new_v4(), lb, port, Timestamp::UNIX_EPOCH)
}

pub(crate) fn pool(lb: &LoadBalancer) -> Pool {
    Pool::new(PoolId::new_v4(), lb, Timestamp::UNIX_EPOCH)
}

pub(crate) fn member(pool: &Pool, address: &str) -> Member {
    Member::new(MemberId::new_v4(), pool, address, 80, Timestamp::UNIX_EPOCH)
}

pub(crate) fn health_monitor(pool: &Pool) -> HealthMonitor {
    HealthMonitor::new(HealthMonitorId::new_v4(), pool, HealthMonitorType::Tcp, Timestamp::UNIX_EPOCH)
}

pub(crate) fn l7policy(listener: &Listener) -> L7Policy {
    L7Policy { position: 1, ..L7Policy::new(L7PolicyId::new_v4(), listener, Timestamp::UNIX_EPOCH) }
}

pub(crate) fn l7rule(policy: &L7Policy, path: &str) -> L7Rule {
    L7Rule::new(L7RuleId::new_v4(), policy, path, Timestamp::UNIX_EPOCH)
}

/// A flavor that nobody else has, and its profile.
pub(crate) fn flavor(id: FlavorId) -> (FlavorProfile, Flavor) {
    let profile = FlavorProfile {
        id: FlavorProfileId::new_v4(),
        name: "ñ “quoted” ".to_owned(),
        provider_name: "amphora".to_owned(),
        flavor_data: " {\"loadbalancer_topology\": \"SINGLE\"}\n".to_owned(),
    };
    let flavor = Flavor {
        id,
        name: format!("\u{1F980} {id}"),
        description: "\\ 'x' ".to_owned(),
        enabled: false,
        flavor_profile_id: profile.id,
    };
    (profile, flavor)
}

/// An availability zone and its profile.
pub(crate) fn availability_zone(name: &str) -> (AvailabilityZoneProfile, AvailabilityZone) {
    let profile = AvailabilityZoneProfile {
        id: AvailabilityZoneProfileId::new_v4(),
        name: "ñ “quoted” ".to_owned(),
        provider_name: "amphora".to_owned(),
        availability_zone_data: " {\"compute_zone\": \"z\"}\n".to_owned(),
    };
    let zone = AvailabilityZone {
        name: name.to_owned(),
        description: "\\ 'x' ".to_owned(),
        enabled: false,
        availability_zone_profile_id: profile.id,
    };
    (profile, zone)
}

/// Stores the load balancer after what it is made of.
pub(crate) async fn create(store: &Store, graph: &LoadBalancerGraph) -> LoadBalancerGraph {
    if let Some(id) = graph.load_balancer.flavor_id {
        let (profile, flavor) = flavor(id);
        store.flavor_profile_insert(&profile).await.unwrap();
        store.flavor_insert(&flavor).await.unwrap();
    }
    if let Some(name) = &graph.load_balancer.availability_zone
        && store.availability_zone_fetch(name).await.unwrap().is_none()
    {
        let (profile, zone) = availability_zone(name);
        store.availability_zone_profile_insert(&profile).await.unwrap();
        store.availability_zone_insert(&zone).await.unwrap();
    }
    store.lb_create(graph).await.unwrap()
}

/// A listener, its pool, two members, a monitor, an L7 policy with a rule.
pub(crate) fn small() -> LoadBalancerGraph {
    let lb = load_balancer("project", "small");
    let pool = pool(&lb);
    let mut listener = listener(&lb, 80);
    listener.default_pool_id = Some(pool.id);
    let members = vec![member(&pool, "127.0.0.1"), member(&pool, "127.0.0.2")];
    let health_monitors = vec![health_monitor(&pool)];
    let l7policy = l7policy(&listener);
    let l7rules = vec![l7rule(&l7policy, "/private")];
    LoadBalancerGraph {
        listeners: vec![listener],
        pools: vec![pool],
        members,
        health_monitors,
        l7policies: vec![l7policy],
        l7rules,
        ..LoadBalancerGraph::new(lb)
    }
}

/// Every attribute set, to something unusual where possible.
pub(crate) fn maximal() -> LoadBalancerGraph {
    let mut graph = small();
    let text = |word: &str| format!("{word} ñ “quoted” \\ 'x' \u{1F980} ");
    let uuid = uuid::Uuid::new_v4;
    let statuses = Statuses {
        provisioning: ProvisioningStatus::PendingUpdate,
        operating: OperatingStatus::Degraded,
        reason: Some(Reason::new(ReasonCode::PortInUse, text("why"), "{\"json\"?}")),
    };
    let tls = Tls {
        ciphers: Some("A:B".to_owned()),
        versions: Some(vec!["TLSv1.2".to_owned(), "TLSv1.3".to_owned()]),
        alpn_protocols: Some(vec![]),
    };
    let tags = || vec!["b".to_owned(), "a, \"c\"".to_owned(), "ü".to_owned()];

    let lb = &mut graph.load_balancer;
    lb.name = text("lb");
    lb.description = text("description");
    lb.admin_state_up = false;
    lb.statuses = statuses.clone();
    lb.vip.address = "fd00::7".parse().unwrap();
    lb.vip.qos_policy_id = Some(uuid());
    lb.vip.sg_ids = vec![SecurityGroupId::new_v4(), SecurityGroupId::new_v4()];
    lb.vip.vnic_type = VnicType::Direct;
    lb.vip.owned = false;
    lb.additional_vips = vec![AdditionalVip {
        address: "10.0.0.9".parse().unwrap(),
        subnet_id: SubnetId::new_v4(),
        network_id: lb.vip.network_id,
        port_id: lb.vip.port_id,
    }];
    lb.provider = "octavia".to_owned();
    lb.flavor_id = Some(FlavorId::new_v4());
    lb.availability_zone = Some(text("zone"));
    lb.topology = Topology::ActiveStandby;
    lb.tags = tags();

    let listener = &mut graph.listeners[0];
    listener.name = text("listener");
    listener.description = text("description");
    listener.admin_state_up = false;
    listener.statuses = statuses.clone();
    listener.protocol = ListenerProtocol::TerminatedHttps;
    listener.protocol_port = u16::MAX;
    listener.connection_limit = Some(i32::MAX);
    listener.insert_headers = BTreeMap::from([(text("X-Forwarded-For"), "true".to_owned())]);
    listener.timeouts =
        Timeouts { client_data: Timeouts::MAX, member_connect: 0, member_data: 1, tcp_inspect: 2 };
    listener.allowed_cidrs = Some(vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()]);
    listener.tls = tls.clone();
    listener.default_tls_container_ref = Some("https://secrets/1".to_owned());
    listener.sni_container_refs = vec!["z".to_owned(), "a".to_owned()];
    listener.client_ca_tls_container_ref = Some("ca".to_owned());
    listener.client_crl_container_ref = Some("crl".to_owned());
    listener.client_authentication = ClientAuthentication::Mandatory;
    listener.hsts_max_age = Some(u32::MAX);
    listener.hsts_include_subdomains = true;
    listener.hsts_preload = true;
    listener.tags = tags();

    let pool = &mut graph.pools[0];
    pool.name = text("pool");
    pool.description = text("description");
    pool.admin_state_up = false;
    pool.statuses = statuses.clone();
    pool.protocol = PoolProtocol::ProxyV2;
    pool.lb_algorithm = Algorithm::SourceIpPort;
    pool.session_persistence = Some(SessionPersistence {
        kind: SessionPersistenceType::AppCookie,
        cookie_name: Some("sid".to_owned()),
        persistence_timeout: Some(-7),
        persistence_granularity: Some("255.255.255.0".to_owned()),
    });
    pool.tls_enabled = true;
    pool.tls_container_ref = Some("tls".to_owned());
    pool.ca_tls_container_ref = Some("ca".to_owned());
    pool.crl_container_ref = Some("crl".to_owned());
    pool.tls = tls;
    pool.tags = tags();

    let member = &mut graph.members[0];
    member.name = text("member");
    member.admin_state_up = false;
    member.statuses = statuses.clone();
    member.address = "FD00::0001".to_owned();
    member.protocol_port = u16::MAX;
    member.weight = Some(256);
    member.backup = true;
    member.subnet_id = Some(SubnetId::new_v4());
    member.monitor_address = Some("127.0.0.3".to_owned());
    member.monitor_port = Some(1);
    member.vnic_type = VnicType::Direct;
    member.tags = tags();
    graph.members[1].weight = None;

    let monitor = &mut graph.health_monitors[0];
    monitor.name = text("monitor");
    monitor.admin_state_up = false;
    monitor.statuses = statuses.clone();
    monitor.kind = HealthMonitorType::TlsHello;
    monitor.delay = u32::MAX;
    monitor.timeout = 0;
    monitor.max_retries = 10;
    monitor.max_retries_down = 1;
    monitor.http_method = Some(HttpMethod::Patch);
    monitor.url_path = Some(text("/"));
    monitor.expected_codes = Some("200-299".to_owned());
    monitor.http_version = Some(1.1);
    monitor.domain_name = Some("example.org".to_owned());
    monitor.tags = tags();

    let policy = &mut graph.l7policies[0];
    policy.name = text("policy");
    policy.description = text("description");
    policy.admin_state_up = false;
    policy.statuses = statuses.clone();
    policy.action = L7PolicyAction::RedirectToPool;
    policy.redirect_pool_id = Some(graph.pools[0].id);
    policy.redirect_url = Some(text("https://example.org/?a=b#c"));
    policy.redirect_prefix = Some(text("http://example.org"));
    policy.redirect_http_code = Some(308);
    policy.position = L7Policy::POSITION_MAX;
    policy.tags = tags();

    let rule = &mut graph.l7rules[0];
    rule.admin_state_up = false;
    rule.statuses = statuses;
    rule.kind = L7RuleType::SslDnField;
    rule.compare_type = L7RuleCompareType::StartsWith;
    rule.key = Some(text("key"));
    rule.value = text("value").repeat(6);
    rule.invert = true;
    rule.tags = tags();
    graph.l7rules.push(l7rule(&graph.l7policies[0], "^/(a|b)$"));
    graph
}

pub(crate) fn amphora(lb: LoadBalancerId) -> Amphora {
    let role = AmphoraRole::Standalone;
    Amphora {
        status: AmphoraStatus::Allocated,
        ..Amphora::new(AmphoraId::new_v4(), lb, role, Timestamp::UNIX_EPOCH)
    }
}
