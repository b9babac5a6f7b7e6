use clap::Parser;
use octavia_config::Source;

use super::*;
use crate::args::{Args, Command};

fn read(text: &str) -> (Settings, Vec<String>) {
    let source = Source { name: "f".to_owned(), text: text.as_bytes().to_vec() };
    let (config, problems) = Config::read(&[source]);
    assert!(problems.is_empty(), "{problems:?}");
    let (settings, problems) = Settings::read(&config);
    (settings, problems.iter().map(ToString::to_string).collect())
}

/// The table and the code have the same defaults.
#[test]
fn nothing_configured_is_the_defaults() {
    let (settings, problems) = read("");
    assert_eq!(problems, [""; 0]);
    assert_eq!(format!("{:?}", settings.api), format!("{:?}", ApiOptions::default()));
    assert_eq!(format!("{:?}", settings.store), format!("{:?}", StoreOptions::default()));
    assert_eq!(settings.bind, "127.0.0.1:9876".parse().unwrap());
    assert_eq!(settings.heartbeat_timeout, SignedDuration::from_secs(10));
    assert_eq!(settings.trust.cert_lifetime, SignedDuration::from_hours(24 * 30));
    assert_eq!(settings.expiry_age, SignedDuration::from_hours(24 * 7));
}

#[test]
fn every_option_that_applies_has_an_effect() {
    let defaults = format!("{:?}", Settings::default());
    for text in [
        "[DEFAULT]\ndebug = yes",
        "[DEFAULT]\nuse_json = yes",
        "[api_settings]\nbind_host = ::1",
        "[api_settings]\nbind_port = 1",
        "[api_settings]\nauth_strategy = noauth",
        "[api_settings]\npending_writes = reject",
        "[api_settings]\nallow_pagination = no",
        "[api_settings]\nallow_sorting = no",
        "[api_settings]\nallow_filtering = no",
        "[api_settings]\nallow_field_selection = no",
        "[api_settings]\npagination_max_limit = infinite",
        "[api_settings]\napi_base_uri = https://lb/",
        "[api_settings]\nallow_ping_health_monitors = no",
        "[api_settings]\nenabled_provider_drivers = amphora: The one",
        "[api_settings]\ndefault_provider_driver = octavia",
        "[api_settings]\nudp_connect_min_interval_health_monitor = -1",
        "[api_settings]\ntls_cipher_prohibit_list = a:b",
        "[api_settings]\nallow_tls_terminated_listeners = no",
        "[api_settings]\nallow_prometheus_listeners = no",
        "[api_settings]\ndefault_listener_ciphers = TLS_AES_128_GCM_SHA256",
        "[api_settings]\ndefault_pool_ciphers = TLS_AES_128_GCM_SHA256",
        "[api_settings]\ndefault_listener_tls_versions = TLSv1.3",
        "[api_settings]\ndefault_pool_tls_versions = TLSv1.3",
        "[api_settings]\nminimum_tls_version = TLSv1.2",
        "[api_settings]\ndefault_listener_alpn_protocols = http/1.1",
        "[api_settings]\ndefault_pool_alpn_protocols = http/1.1",
        "[networking]\nreserved_ips = 10.0.0.1",
        "[networking]\nallow_vip_network_id = no",
        "[networking]\nallow_vip_subnet_id = no",
        "[networking]\nallow_vip_port_id = no",
        "[networking]\nvalid_vip_networks = 11111111-1111-4111-8111-111111111111",
        "[networking]\ndenylist_vip_networks = 11111111111141118111111111111111",
        "[health_manager]\nbind_ip = ::1",
        "[health_manager]\nbind_port = 7",
        "[health_manager]\ncontroller_ip_port_list = 10.0.0.1:5555",
        "[haproxy_amphora]\ntimeout_client_data = 7",
        "[haproxy_amphora]\ntimeout_member_connect = 7",
        "[haproxy_amphora]\ntimeout_member_data = 7",
        "[haproxy_amphora]\ntimeout_tcp_inspect = 7",
        "[haproxy_amphora]\ndefault_connection_limit = 7",
        "[haproxy_amphora]\nconnection_logging = no",
        "[haproxy_amphora]\nuser_log_format = %f",
        "[amphora_agent]\ntenant_log_targets = 192.0.2.1:514",
        "[amphora_agent]\nuser_log_facility = 7",
        "[amphora_agent]\nlog_protocol = TCP",
        "[amphora_agent]\nlog_retry_interval = 7",
        "[access_log]\njson = yes",
        "[access_log]\nfile = /f",
        "[access_log]\ndaemon = /dev/log",
        "[sorry_page]\ndirectory = /d",
        "[sorry_page]\ndefault = busy",
        "[ocsp_stapling]\nenabled = yes",
        "[ocsp_stapling]\nallowed_networks = 10.0.0.0/8",
        "[ocsp_stapling]\ntimeout = 7",
        "[controller_worker]\nloadbalancer_topology = ACTIVE_STANDBY",
        "[keepalived_vrrp]\nvrrp_advert_int = 1",
        "[keepalived_vrrp]\nvrrp_garp_refresh_interval = 0",
        "[keepalived_vrrp]\nvrrp_garp_refresh_count = 7",
        "[database]\nconnection = mysql+pymysql://u:p@h/d",
        "[database]\nmax_pool_size = 3",
        "[database]\npool_timeout = 3",
        "[oslo_middleware]\nmax_request_body_size = 2000",
        "[house_keeping]\ncleanup_interval = 7",
        "[house_keeping]\nload_balancer_expiry_age = 7",
        "[health_manager]\nheartbeat_interval = 7",
        "[health_manager]\nheartbeat_timeout = 7",
        "[health_manager]\nhealth_check_interval = 7",
        "[certificates]\ncert_validity_time = 7200",
        "[house_keeping]\ncert_expiry_buffer = 7",
        "[house_keeping]\nspare_amphora_pool_size = 7",
        "[haproxy_amphora]\nbuild_rate_limit = 7",
        "[health_manager]\nheartbeat_key = k",
        "[health_manager]\nheartbeat_key = k\nprevious_heartbeat_keys = j",
        "[haproxy_amphora]\nrest_request_conn_timeout = 0.5",
        "[haproxy_amphora]\nrest_request_read_timeout = 0.5",
        "[oslo_policy]\npolicy_file = /p.yaml",
        "[oslo_policy]\npolicy_dirs = /d",
        "[oslo_policy]\npolicy_default_rule = base",
        "[oslo_policy]\nenforce_scope = no",
        "[oslo_policy]\nenforce_new_defaults = no",
        "[quotas]\ndefault_load_balancer_quota = 7",
        "[quotas]\ndefault_listener_quota = 7",
        "[quotas]\ndefault_pool_quota = 7",
        "[quotas]\ndefault_member_quota = 7",
        "[quotas]\ndefault_health_monitor_quota = 7",
        "[DEFAULT]\ngraceful_shutdown_timeout = 7",
        "[api_settings]\nhealthcheck_enabled = yes",
        "[api_settings]\nhealthcheck_refresh_interval = 7",
        "[healthcheck]\ndetailed = yes",
        "[healthcheck]\nbackends = octavia_db_check",
        "[healthcheck]\nallowed_source_ranges = 10.0.0.0/8, ::1",
        "[healthcheck]\nignore_proxied_requests = yes",
        "[healthcheck]\ndisable_by_file_path = /f",
        "[healthcheck]\ndisable_by_file_paths = 9876:/f",
        "[healthcheck]\nenable_by_file_paths = /f",
        "[cors]\nallowed_origin = https://a.test",
        "[cors]\nallow_credentials = no",
        "[cors]\nexpose_headers = x",
        "[cors]\nmax_age = 7",
        "[cors]\nallow_methods = GET",
        "[cors]\nallow_headers = x",
        "[oslo_middleware]\nenable_proxy_headers_parsing = yes",
        "[audit]\nenabled = yes",
        "[audit]\nignore_req_list = DELETE",
        "[audit]\nfile = /f",
        "[audit]\nqueue_size = 7",
        "[metrics]\nenabled = yes",
        "[metrics]\nbind_host = ::1",
        "[metrics]\nbind_port = 7",
        "[metrics]\nrefresh_interval = 7",
        "[api_settings]\nidempotency_key_lifetime = 7",
        "[quotas]\ndefault_l7policy_quota = 7",
        "[quotas]\ndefault_l7rule_quota = 7",
    ] {
        let (settings, problems) = read(text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_ne!(format!("{settings:?}"), defaults, "{text}");
    }
    // Those of a Keystone or a Barbican only count together: they are tried beside it.
    let together = keystone::tests::OPTIONS.len() + secrets::tests::OPTIONS.len();
    let applying = octavia_config::groups()
        .flat_map(|group| group.options)
        .filter(|spec| spec.applies == octavia_config::Applies::Yes);
    assert_eq!(applying.count(), 113 + together, "an option that applies belongs into the list above");
}

#[test]
fn certificates_are_renewed_before_half_of_their_time_is_over() {
    let hours = SignedDuration::from_hours;
    for (text, wanted) in [
        ("", hours(24 * 14)),
        ("[certificates]\ncert_validity_time = 7200", hours(1)),
        ("[house_keeping]\ncert_expiry_buffer = 3600", hours(1)),
        ("[house_keeping]\ncert_expiry_buffer = 0", hours(0)),
    ] {
        let (settings, problems) = read(text);
        assert_eq!((settings.trust.renew_before, problems), (wanted, vec![]), "{text}");
    }
    let (settings, _) = read("[health_manager]\nheartbeat_key = b\nprevious_heartbeat_keys = a, z");
    let keys: Vec<_> = settings.trust.heartbeat_keys.iter().map(|key| key.reveal()).collect();
    assert_eq!(keys, ["b", "a", "z"]);
    assert!(!format!("{settings:?}").contains("\"b\""));
    let (_, problems) = read("[health_manager]\nprevious_heartbeat_keys = a");
    assert_eq!(
        problems,
        [
            "f:2: error: [health_manager] previous_heartbeat_keys: without a heartbeat_key these are not taken: the state \
          directory has its own"
        ]
    );
}

#[test]
fn what_only_all_tell_together() {
    let check = |text: &str, wanted: &str| assert_eq!(read(text).1, [wanted], "{text}");
    check(
        "[health_manager]\nheartbeat_interval = 10",
        "f:2: error: [health_manager] heartbeat_interval: every amphora would count as silent: heartbeat_timeout \
         (10 s) has to be longer than heartbeat_interval (10 s)",
    );
    check(
        "[health_manager]\nheartbeat_timeout = 1",
        "f:2: error: [health_manager] heartbeat_timeout: every amphora would count as silent: heartbeat_timeout \
         (1 s) has to be longer than heartbeat_interval (1 s)",
    );
    check(
        "[api_settings]\nenabled_provider_drivers = amphora:a,ovn:b",
        "f:2: warning: [api_settings] enabled_provider_drivers: there is no provider \"ovn\" here: it is left out; \
         there are amphora and octavia",
    );
    check(
        "[api_settings]\nenabled_provider_drivers = octavia:a",
        "f:2: error: [api_settings] enabled_provider_drivers: \"amphora\" is not an enabled provider; allowed: \
         octavia",
    );
    check(
        "[api_settings]\nminimum_tls_version = TLSv1.2\ndefault_pool_tls_versions = TLSv1.1,TLSv1.2,TLSv1",
        "f:3: error: [api_settings] default_pool_tls_versions: below minimum_tls_version (TLSv1.2): TLSv1.1, TLSv1",
    );
    check(
        "[api_settings]\ndefault_listener_tls_versions = TLSv1.1,TLSv1.2",
        "f:2: warning: [api_settings] default_listener_tls_versions: TLSv1.1 is not spoken here: it is left out; \
         there are TLSv1.2 and TLSv1.3",
    );
    check(
        "[api_settings]\ntls_cipher_prohibit_list = RC4-MD5:ECDHE-RSA-AES128-GCM-SHA256\ndefault_pool_ciphers = \
         AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384\ndefault_listener_ciphers = \
         ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
        "f:4: error: [api_settings] default_listener_ciphers: ECDHE-RSA-AES128-GCM-SHA256 is in \
         tls_cipher_prohibit_list",
    );
    check(
        "[api_settings]\ndefault_listener_ciphers = AES256-SHA",
        "f:2: error: [api_settings] default_listener_ciphers: none of them is spoken here with these versions of TLS",
    );
    check(
        "[api_settings]\ndefault_listener_tls_versions =",
        "f:2: error: [api_settings] default_listener_tls_versions: no version is left that is spoken here",
    );
    check(
        "[api_settings]\napi_base_uri = foo bar",
        "f:2: warning: [api_settings] api_base_uri: links that begin with \"foo bar\" lead nowhere; usual: \
         http(s)://HOST[:PORT][/PATH]",
    );
    check(
        "[ocsp_stapling]\nallowed_networks = ::1/128, 10.0.0.0",
        "f:2: error: [ocsp_stapling] allowed_networks: \"10.0.0.0\" is no network in CIDR notation, such as 10.0.0.0/8",
    );
    check(
        "[cors]\nallow_headers = X-Good, a b",
        "f:2: warning: [cors] allow_headers: \"a b\" is no name of a header, and has no effect",
    );
    check(
        "[cors.x]\nallow_methods = GET, P/T",
        "f:2: warning: [cors.x] allow_methods: \"P/T\" is no method, and has no effect",
    );
    check(
        "[haproxy_amphora]\nuser_log_format = %f %{+E}Tw",
        "f:2: warning: [haproxy_amphora] user_log_format: not known here, and told as a dash: +E %Tw",
    );
    check(
        "[haproxy_amphora]\nuser_log_format = {{ lb_id",
        "f:2: error: [haproxy_amphora] user_log_format: no format of lines: \"{{\" has no end",
    );
    check(
        "[amphora_agent]\ntenant_log_targets = loghost:514, [2001:db8::1]:514",
        "f:2: warning: [amphora_agent] tenant_log_targets: \"loghost:514\" is left out: amphorae look up no names, and \
         want an address",
    );
    check(
        "[healthcheck]\nbackends = octavia_db_check, nonsense",
        "f:2: error: [healthcheck] backends: there is no check \"nonsense\"; allowed: disable_by_file, \
         disable_by_files_ports, enable_by_files, octavia_db_check",
    );
    check(
        "[healthcheck]\ndisable_by_file_paths = /f",
        "f:2: error: [healthcheck] disable_by_file_paths: \"/f\" is not port:path",
    );
    check(
        "[healthcheck]\nallowed_source_ranges = 10.0.0.0/33",
        "f:2: error: [healthcheck] allowed_source_ranges: \"10.0.0.0/33\" is no network",
    );
    check(
        "[health_manager]\ncontroller_ip_port_list = 10.0.0.1:5555, controller:5555",
        "f:2: error: [health_manager] controller_ip_port_list: \"controller:5555\": amphorae look up no names, and \
         want ADDRESS:PORT",
    );
    check(
        "[networking]\nvalid_vip_networks = public",
        "f:2: error: [networking] valid_vip_networks: \"public\" is no id of a network",
    );
    check(
        "[networking]\ndenylist_vip_networks = public",
        "f:2: error: [networking] denylist_vip_networks: \"public\" is no id of a network",
    );
    check(
        "[database]\nconnection = mysql://u:QzX7@h:33o6/d",
        "f:2: error: [database] connection: invalid port number; in a user name or a password, # / ? @ have to be \
         written %23 %2F %3F %40",
    );
    check(
        "[database]\nconnection = mysql://u:a@QzX7/c@h/d",
        "f:2: error: [database] connection: in a user name or a password, # / ? @ have to be written %23 %2F %3F \
         %40",
    );
    check(
        "[database]\nconnection = oracle://h",
        "f:2: error: [database] connection: no such kind of database; allowed: sqlite, postgresql, mysql, mariadb",
    );
}

#[test]
fn origins_that_no_browser_names_are_warned_of() {
    for (origin, good) in [
        ("*", true),
        ("null", true),
        ("https://a.test", true),
        ("http://[::1]:8080", true),
        ("chrome-extension://abcdef", true),
        ("not a url", false),
        ("a.test", false),
        ("https://a.test/", false),
        ("https://a.test/path", false),
        ("https://A.test", false),
        ("https://a.test:443", false),
        ("https://u@a.test", false),
    ] {
        let (settings, problems) = read(&format!("[cors]\nallowed_origin = https://b.test, {origin}"));
        assert_eq!(settings.api.cors[0].allowed_origins, ["https://b.test", origin]);
        assert_eq!(problems.len(), usize::from(!good), "{origin}: {problems:?}");
        let named = format!("f:2: warning: [cors] allowed_origin: {origin:?} is no origin");
        assert!(problems.iter().all(|problem| problem.starts_with(&named)), "{problems:?}");
    }
}

#[test]
fn more_origins() {
    let (settings, problems) = read(
        "[cors]\nallowed_origin = https://a.test\nmax_age = 7\nallow_methods = GET,PUT\n[cors.x]\n\
         allowed_origin = https://x.test, ,\nallow_credentials = no\nexpose_headers = H\n[cors.w]\nmax_age = 8\n",
    );
    assert_eq!(problems, [""; 0]);
    let [own, w, x] = settings.api.cors.as_slice() else { panic!("{:?}", settings.api.cors) };
    assert_eq!((own.allowed_origins.join(" ").as_str(), own.max_age), ("https://a.test", 7));
    assert_eq!((w.allowed_origins.len(), w.max_age, w.allow_methods.join(" ").as_str()), (0, 8, "GET PUT"));
    assert_eq!((x.allowed_origins.join(" ").as_str(), x.max_age), ("https://x.test", 7));
    assert_eq!((x.allow_credentials, x.expose_headers.join(" ").as_str()), (false, "H"));
    assert_eq!((own.allow_credentials, &x.allow_headers), (true, &own.allow_headers));
}

#[test]
fn the_command_line_wins() {
    let (settings, _) = read(
        "[api_settings]\nbind_port = 1\nauth_strategy = noauth\npending_writes = reject\n[database]\n\
         connection = mysql://h/d\n",
    );
    let options = |more: &[&str]| {
        let arguments = ["octavia", "all-in-one", "--state-dir=x"].iter().chain(more);
        match Args::parse_from(arguments).command {
            Command::AllInOne(options) => options,
            other => panic!("{other:?}"),
        }
    };
    let same = settings.clone().with(&options(&[]));
    assert_eq!(same.bind.port(), 1);
    assert_eq!(same.auth_strategy, AuthStrategy::Noauth);
    assert_eq!(same.api.pending_writes, octavia_api::PendingWrites::Reject);
    let others = settings.with(&options(&[
        "--bind=127.0.0.2:2",
        "--auth-strategy=keystone",
        "--pending-writes=queue",
        "--database=postgres://h/d",
    ]));
    assert_eq!(others.bind, "127.0.0.2:2".parse().unwrap());
    assert_eq!(others.auth_strategy, AuthStrategy::Keystone);
    assert_eq!(others.api.pending_writes, octavia_api::PendingWrites::Queue);
    assert_eq!(others.database.as_deref(), Some("postgres://h/d"));
}
