//! The API, and what it lets users do.

options! {
    /// Logging, messages, and the name of this controller.
    DEFAULT open {
        /// Name this controller reports for itself.
        host: String = row::host().default_words("the name of the machine");
        /// Log at level debug instead of info.
        debug: bool = row::flag().default("false").applies();
        /// File with a configuration of Python's logging.
        log_config_append: String = row::text().formerly(&[("DEFAULT", "log-config"), ("DEFAULT", "log_config")]).not_here(OWN_LOG);
        /// File to log to.
        log_file: String = row::text().formerly(&[("DEFAULT", "logfile")]).not_here(STDERR);
        /// Directory of that file.
        log_dir: String = row::text().formerly(&[("DEFAULT", "logdir")]).not_here(STDERR);
        /// Log to syslog.
        use_syslog: bool = row::flag().default("false").not_here(STDERR);
        /// Log to journald.
        use_journal: bool = row::flag().default("false").not_here(STDERR);
        /// Facility for syslog.
        syslog_log_facility: String = row::text().default("LOG_USER").not_here(STDERR);
        /// Log one JSON object a line.
        use_json: bool = row::flag().default("false").applies();
        /// Log to standard error.
        use_stderr: bool = row::flag().default("false").not_here(STDERR);
        /// Colours in the log.
        log_color: bool = row::flag().default("false").not_here(STDERR);
        /// How often the log file is rotated, in log_rotate_interval_type.
        log_rotate_interval: i64 = row::int().default("1").not_here(STDERR);
        /// Unit of log_rotate_interval.
        log_rotate_interval_type: String = row::choice_any_case(&["Seconds", "Minutes", "Hours", "Days", "Weekday", "Midnight"]).default("days").not_here(STDERR);
        /// Rotated files to keep.
        max_logfile_count: i64 = row::int().default("30").not_here(STDERR);
        /// Size at which the log file is rotated, MB.
        max_logfile_size_mb: i64 = row::int().default("200").not_here(STDERR);
        /// When the log file is rotated.
        log_rotation_type: String = row::choice_any_case(&["interval", "size", "none"]).default("none").not_here(STDERR);
        /// Send error lines as notifications.
        publish_errors: bool = row::flag().default("false");
        /// Seconds over which log lines are counted.
        rate_limit_interval: i64 = row::int().default("0");
        /// Log lines in that time at most; 0 = any number.
        rate_limit_burst: i64 = row::int().default("0");
        /// Level from which lines are not counted.
        rate_limit_except_level: String = row::choice(&["CRITICAL", "ERROR", "INFO", "WARNING", "DEBUG", ""]).default("CRITICAL");
        /// Fail at what is deprecated.
        fatal_deprecations: bool = row::flag().default("false").not_here(OWN_LOG);
        /// Threads that answer messages.
        executor_thread_pool_size: i64 = row::int().default("64").formerly(&[("DEFAULT", "rpc_thread_pool_size")]).not_here(NO_QUEUE);
        /// Seconds to wait for an answer to a message.
        rpc_response_timeout: i64 = row::int().default("60").not_here(NO_QUEUE);
        /// Where the message queue is, with user and password.
        transport_url: String = row::text().default("rabbit://").secret();
        /// Exchange that topics are in.
        control_exchange: String = row::text().default("octavia");
        /// Answer pings through the message queue.
        rpc_ping_enabled: bool = row::flag().default("false").not_here(NO_QUEUE);
        /// Port of a debugging console.
        backdoor_port: String = row::text().not_here(NO_PYTHON);
        /// Socket of a debugging console.
        backdoor_socket: String = row::text().not_here(NO_PYTHON);
        /// Log all options at the start.
        log_options: bool = row::flag().default("true");
        /// Seconds to finish in when asked to stop; 0 = any time.
        graceful_shutdown_timeout: i64 = row::int_in(Some(0), Some(86400)).default("60").all_in_one("5").applies();
    }

    /// The REST API.
    api_settings {
        /// API listen address.
        bind_host: IpAddr = row::ip().default("127.0.0.1").applies();
        /// API listen port.
        bind_port: u16 = row::port().default("9876").applies();
        /// Who may call: users with a token of Keystone, or anybody as administrator (noauth).
        auth_strategy: String = row::choice(&["noauth", "keystone"]).default("keystone").applies();
        /// Whether writes are accepted while a load balancer is PENDING_CREATE or PENDING_UPDATE: queue accepts (the
        /// newest wish wins), reject answers 409 as the original does.
        pending_writes: String = row::choice(&["queue", "reject"]).default("queue").ours().applies();
        /// Seconds for which an Idempotency-Key holds.
        idempotency_key_lifetime: i64 = row::int_in(Some(1), Some(31536000)).default("86400").ours().applies();
        /// Permit limit/marker paging.
        allow_pagination: bool = row::flag().default("true").applies();
        /// Permit sort query parameter.
        allow_sorting: bool = row::flag().default("true").applies();
        /// Permit attribute filters in lists.
        allow_filtering: bool = row::flag().default("true").applies();
        /// Permit fields query parameter.
        allow_field_selection: bool = row::flag().default("true").applies();
        /// Largest page; "infinite" or negative means unlimited.
        pagination_max_limit: Limit = row::limit().default("1000").applies();
        /// Link base URL override; else taken from request.
        api_base_uri: String = row::text().applies();
        /// Permit TERMINATED_HTTPS listeners.
        allow_tls_terminated_listeners: bool = row::flag().default("true").applies();
        /// Permit PING monitors.
        allow_ping_health_monitors: bool = row::flag().default("true").applies();
        /// Permit PROMETHEUS listeners.
        allow_prometheus_listeners: bool = row::flag().default("true").applies();
        /// Map provider name to description.
        enabled_provider_drivers: Vec<(String, String)> = row::dict().default("amphora:The Octavia Amphora driver.,octavia:Deprecated alias of the Octavia Amphora driver.").all_in_one("amphora:The Octavia Amphora driver.,octavia:Alias of the amphora provider.").applies();
        /// Provider when request names none.
        default_provider_driver: String = row::text().default("amphora").applies();
        /// Minimum UDP-CONNECT delay; negative disables limit.
        udp_connect_min_interval_health_monitor: i64 = row::int().default("3").applies();
        /// Expose unauthenticated /healthcheck.
        healthcheck_enabled: bool = row::flag().default("false").applies();
        /// Seconds healthcheck plugin results are cached.
        healthcheck_refresh_interval: i64 = row::int_in(Some(0), Some(86400)).default("5").applies();
        /// Ciphers of listeners that terminate TLS and name none; what of them is not spoken is passed over.
        default_listener_ciphers: String = row::text().default("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305").applies();
        /// Ciphers of pools that speak TLS and name none; what of them is not spoken is passed over.
        default_pool_ciphers: String = row::text().default("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305").applies();
        /// Ciphers rejected by the API.
        tls_cipher_prohibit_list: String = row::text().default("").formerly(&[("api_settings", "tls_cipher_blacklist")]).applies();
        /// Versions of listeners that terminate TLS and name none; what of them is not spoken is left out.
        default_listener_tls_versions: Vec<String> = row::list_of(Item::Choice(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])).default("TLSv1.2,TLSv1.3").applies();
        /// Versions of pools that speak TLS and name none; what of them is not spoken is left out.
        default_pool_tls_versions: Vec<String> = row::list_of(Item::Choice(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])).default("TLSv1.2,TLSv1.3").applies();
        /// Lowest version that listeners and pools may name.
        minimum_tls_version: String = row::choice(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]).applies();
        /// Protocols of listeners that terminate TLS and name none.
        default_listener_alpn_protocols: Vec<String> = row::list_of(Item::Choice(&["h2", "http/1.1", "http/1.0"])).default("h2,http/1.1,http/1.0").applies();
        /// Protocols of pools that speak TLS and name none.
        default_pool_alpn_protocols: Vec<String> = row::list_of(Item::Choice(&["h2", "http/1.1", "http/1.0"])).default("h2,http/1.1,http/1.0").applies();
        /// Ciphers that count as those of TLS 1.3.
        tls1_3_supported_ciphers: String = row::text().default("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256");
    }

    /// Networks, and what users may do with them.
    networking {
        /// Neutron action tries.
        max_retries: i64 = row::int().default("15").not_here(BACKOFF);
        /// First wait, seconds.
        retry_interval: i64 = row::int().default("1").not_here(BACKOFF);
        /// Backoff seconds.
        retry_backoff: i64 = row::int().default("1").not_here(BACKOFF);
        /// Longest wait.
        retry_max: i64 = row::int().default("10").not_here(BACKOFF);
        /// Seconds to wait for port detach.
        port_detach_timeout: i64 = row::int().default("300");
        /// Accept vip_network_id in requests.
        allow_vip_network_id: bool = row::flag().default("true").applies();
        /// Accept vip_subnet_id in requests.
        allow_vip_subnet_id: bool = row::flag().default("true").applies();
        /// Accept vip_port_id in requests.
        allow_vip_port_id: bool = row::flag().default("true").applies();
        /// Ids of the networks VIPs may be on, unless the availability zone has a list of its own; any if there is none.
        valid_vip_networks: Vec<String> = row::list().applies();
        /// Ids of networks no VIP may be on.
        denylist_vip_networks: Vec<String> = row::list().default("").applies();
        /// Addresses members may not use.
        reserved_ips: Vec<IpAddr> = row::ip_list().default("169.254.169.254").applies();
        /// Validate networks with service, not user, token.
        allow_invisible_resource_usage: bool = row::flag().default("false");
        /// Let amphorae of one load balancer reach each other by a rule that names their security group.
        use_remote_group_for_lb_peer_ports: bool = row::flag().default("true");
    }

    /// How much a project may have, unless it has quotas of its own.
    quotas {
        /// Project default; -1 unlimited.
        default_load_balancer_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
        /// Project default; -1 unlimited.
        default_listener_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
        /// Project default; -1 unlimited.
        default_member_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
        /// Project default; -1 unlimited.
        default_pool_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
        /// Project default; -1 unlimited.
        default_health_monitor_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
        /// Project default; -1 unlimited.
        default_l7policy_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
        /// Project default; -1 unlimited.
        default_l7rule_quota: i64 = row::int_in(Some(-1), Some(2_000_000_000)).default("-1").applies();
    }

    /// Records of who wrote what, or tried to: a JSON object a line, after the CADF event model. Reads are not recorded.
    audit {
        /// Make records of writes and of refused writes.
        enabled: bool = row::flag().default("false").applies();
        /// CADF map file.
        audit_map_file: String = row::text().default("/etc/octavia/octavia_api_audit_map.conf").not_here(OWN_MAP);
        /// HTTP methods not audited, separated by commas.
        ignore_req_list: String = row::text().default("").applies();
        /// File that records are appended to, opened anew on SIGHUP; among the lines of the log if unset.
        file: String = row::text().ours().applies();
        /// Records that may wait for a slow disk; what comes beyond is lost, counted and said.
        queue_size: i64 = row::int_in(Some(1), Some(1000000)).default("1000").ours().applies();
    }

    /// Numbers about this service for Prometheus, at /metrics of an address of their own. Whoever reaches it may read
    /// them.
    metrics {
        /// Serve them.
        enabled: bool = row::flag().default("false").ours().applies();
        /// Address to listen at.
        bind_host: IpAddr = row::ip().default("127.0.0.1").ours().applies();
        /// Port to listen at; 0 = any free one. The URL is written to metrics.url in the state directory.
        bind_port: u16 = row::port().default("9877").ours().applies();
        /// Seconds for which counts of load balancers are used again, instead of asking the database for each scrape.
        refresh_interval: i64 = row::int_in(Some(1), Some(86400)).default("15").ours().applies();
    }
}
