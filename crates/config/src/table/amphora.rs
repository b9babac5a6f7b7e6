//! Amphorae.

options! {
    /// How controllers and amphorae work together.
    haproxy_amphora {
        /// Amphora data directory.
        base_path: String = row::text().default("/var/lib/octavia").not_here(NO_HAPROXY);
        /// Amphora TLS material directory.
        base_cert_dir: String = row::text().default("/var/lib/octavia/certs").not_here(NO_HAPROXY);
        /// Replacement config template on the controller.
        haproxy_template: String = row::text().not_here(NO_HAPROXY);
        /// Tell of each finished request and connection, if there is where to: by tenant_log_targets or the group access_log.
        connection_logging: bool = row::flag().default("true").applies();
        /// Agent connection tries, new amphora.
        connection_max_retries: i64 = row::int().default("120").not_here(BACKOFF);
        /// Seconds between those tries.
        connection_retry_interval: i64 = row::int().default("5").not_here(BACKOFF);
        /// Tries for amphorae already serving.
        active_connection_max_retries: i64 = row::int().default("15").not_here(BACKOFF);
        /// Seconds between those tries.
        active_connection_retry_interval: i64 = row::int().default("2").formerly(&[("haproxy_amphora", "active_connection_rety_interval")]).not_here(BACKOFF);
        /// Tries for possibly dead amphora in failover.
        failover_connection_max_retries: i64 = row::int().default("2").not_here(BACKOFF);
        /// Seconds between those tries.
        failover_connection_retry_interval: i64 = row::int().default("5").not_here(BACKOFF);
        /// Concurrent VM builds; -1 means unlimited.
        build_rate_limit: i64 = row::int_in(Some(-1), Some(100000)).default("-1").applies();
        /// Polls waiting for a build slot.
        build_active_retries: i64 = row::int().default("120").not_here(BACKOFF);
        /// Seconds between slot polls.
        build_retry_interval: i64 = row::int().default("5").not_here(BACKOFF);
        /// Clients that a table of session persistence has room for.
        haproxy_stick_size: String = row::text().default("10k").not_here(OWN_TABLES);
        /// Format of those lines, in HAProxy's language; what is not known here is a dash.
        user_log_format: String = row::text().default("{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U %[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc").applies();
        /// Agent listen address.
        bind_host: IpAddr = row::ip().default("::");
        /// Agent listen port.
        bind_port: u16 = row::port().default("9443");
        /// Controller interface for IPv6 link-local zone.
        lb_network_interface: String = row::text().default("o-hm0");
        /// HAProxy binary.
        haproxy_cmd: String = row::text().default("/usr/sbin/haproxy").not_here(NO_HAPROXY);
        /// Unused upstart setting, deprecated.
        respawn_count: i64 = row::int().default("2").not_here(UNUSED);
        /// Unused upstart setting, deprecated.
        respawn_interval: i64 = row::int().default("2").not_here(UNUSED);
        /// Agent call connect timeout, seconds.
        rest_request_conn_timeout: f64 = row::float_in(Some(0.001), Some(86400.0)).default("10").all_in_one("2").applies();
        /// Agent call read timeout, seconds.
        rest_request_read_timeout: f64 = row::float_in(Some(0.001), Some(86400.0)).default("60").all_in_one("10").applies();
        /// Default listener client timeout, ms.
        timeout_client_data: i64 = row::int_in(Some(0), Some(2073600000)).default("50000").applies();
        /// Default member connect timeout, ms.
        timeout_member_connect: i64 = row::int_in(Some(0), Some(2073600000)).default("5000").applies();
        /// Default member data timeout, ms.
        timeout_member_data: i64 = row::int_in(Some(0), Some(2073600000)).default("50000").applies();
        /// Default TCP inspect delay, ms.
        timeout_tcp_inspect: i64 = row::int_in(Some(0), Some(2073600000)).default("0").applies();
        /// Controller client certificate plus key PEM.
        client_cert: String = row::text().default("/etc/octavia/certs/client.pem");
        /// CA verifying agent certificates.
        server_ca: String = row::text().default("/etc/octavia/certs/server_ca.pem");
        /// Worker waits for the API's DB commit.
        api_db_commit_retry_attempts: i64 = row::int().default("15").not_here(COMMITTED);
        /// First wait, seconds.
        api_db_commit_retry_initial_delay: i64 = row::int().default("1").not_here(COMMITTED);
        /// Backoff increment, seconds.
        api_db_commit_retry_backoff: i64 = row::int().default("1").not_here(COMMITTED);
        /// Longest wait, seconds.
        api_db_commit_retry_max: i64 = row::int().default("5").not_here(COMMITTED);
        /// Connections at once to a listener whose connection_limit is unset or -1; -1 = any number.
        default_connection_limit: i64 = row::int_in(Some(-1), Some(2147483647)).default("50000").all_in_one("-1").applies();
    }

    /// The agent inside an amphora.
    amphora_agent {
        /// CA verifying controller client certs.
        agent_server_ca: String = row::text().default("/etc/octavia/certs/client_ca.pem");
        /// Agent certificate plus key.
        agent_server_cert: String = row::text().default("/etc/octavia/certs/server.pem");
        /// Interface file directory; default /etc/octavia/interfaces.
        agent_server_network_dir: String = row::text().not_here(OWN_AGENT);
        /// Seconds the agent's web server gives a request.
        agent_request_read_timeout: i64 = row::int().default("180").not_here(OWN_AGENT);
        /// Lowest TLS version on the agent port.
        agent_tls_protocol: String = row::choice(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]).default("TLSv1.2");
        /// Where system logs go, host:port each; later ones are backups.
        admin_log_targets: Vec<String> = row::list_of(Item::HostPort);
        /// Syslog daemons that lines about finished requests and connections go to, host:port each; later ones are
        /// backups. A host is an address.
        tenant_log_targets: Vec<String> = row::list_of(Item::HostPort).applies();
        /// LOCALn for those lines, 0..7.
        user_log_facility: i64 = row::int_in(Some(0), Some(7)).default("0").applies();
        /// LOCALn for process logs, 0..7.
        administrative_log_facility: i64 = row::int_in(Some(0), Some(7)).default("1");
        /// UDP or TCP forwarding.
        log_protocol: String = row::choice(&["TCP", "UDP"]).default("UDP").applies();
        /// Reconnect tries to log host.
        log_retry_count: i64 = row::int().default("5").not_here(NEXT_TARGET);
        /// Seconds after which a log host that failed is tried again.
        log_retry_interval: i64 = row::int_in(Some(1), Some(3600)).default("2").applies();
        /// Messages buffered per target.
        log_queue_size: i64 = row::int().default("10000").not_here(OWN_QUEUE);
        /// Replacement rsyslog template on the controller.
        logging_template_override: String = row::text().not_here(OWN_AGENT);
        /// Also forward all system logs.
        forward_all_logs: bool = row::flag().default("false");
        /// Write nothing to amphora disk.
        disable_local_log_storage: bool = row::flag().default("false").not_here(LOG_FILE);
        /// Own amphora UUID, set at boot.
        amphora_id: String = row::text();
        /// Datagram backend plug-in name, deprecated.
        amphora_udp_driver: String = row::text().default("keepalived_lvs").not_here(OWN_AGENT);
    }

    /// Where else than to tenant_log_targets amphorae tell of finished requests and connections, and how. A line goes to
    /// every place; who is slow loses lines, and the log and a metric say how many.
    access_log {
        /// JSON, one object a line, instead of user_log_format.
        json: bool = row::flag().default("false").ours().applies();
        /// File on the amphora to append lines to, opened anew within seconds when it was renamed; a path that is not
        /// absolute begins in the amphora's directory.
        file: String = row::text().ours().applies();
        /// Socket of a syslog daemon on the amphora, such as /dev/log.
        daemon: String = row::text().ours().applies();
    }

    /// What clients get from listeners that read HTTP when no member can take their request.
    sorry_page {
        /// Directory with pages, each called NAME.STATUS.EXTENSION (html, txt or json), read at the start. A listener
        /// chooses one by its tag octavia:sorry_page=NAME.
        directory: String = row::text().ours().applies();
        /// Name of the page for listeners that choose none; the plain answer, 503, if unset.
        default: String = row::text().ours().applies();
    }

    /// Whether clients of listeners that terminate TLS are shown what the authority of a certificate says of it (OCSP).
    ocsp_stapling {
        /// Ask the responders that certificates of listeners name, whenever an amphora is configured and when half of an
        /// answer's time is over. Users choose certificates, and with them who is asked by this host.
        enabled: bool = row::flag().default("false").ours().applies();
        /// Networks in CIDR notation whose responders are asked at any port, although they are not on the internet; of that,
        /// hosts are asked at port 80.
        allowed_networks: Vec<String> = row::list().default("").ours().applies();
        /// Seconds that one responder may take.
        timeout: i64 = row::int_in(Some(1), Some(60)).default("3").ours().applies();
    }

    /// Two amphorae that share an address.
    keepalived_vrrp {
        /// Seconds between two advertisements; another amphora takes over after three to four of them. Where nothing is given, they
        /// come every 200 ms.
        vrrp_advert_int: i64 = row::int_in(Some(1), Some(40)).default("1").applies();
        /// Check script period.
        vrrp_check_interval: i64 = row::int().default("5").not_here(NO_CHECK_SCRIPT);
        /// Failures before FAULT.
        vrrp_fail_count: i64 = row::int().default("2").not_here(NO_CHECK_SCRIPT);
        /// Successes before leaving FAULT.
        vrrp_success_count: i64 = row::int().default("2").not_here(NO_CHECK_SCRIPT);
        /// Seconds after which the holder announces again where the VIPs are (gratuitous ARP, neighbor advertisements); 0 = only when
        /// it takes them.
        vrrp_garp_refresh_interval: i64 = row::int_in(Some(0), Some(86400)).default("5").applies();
        /// How often each time.
        vrrp_garp_refresh_count: i64 = row::int_in(Some(1), Some(16)).default("2").applies();
    }
}
