//! What libraries of the original read.

options! {
    /// How tokens of callers are checked.
    keystone_authtoken open {
        /// Address of Keystone that refused clients are told.
        www_authenticate_uri: String = row::text().applies();
        /// Version of the Identity API; found out by itself if unset.
        auth_version: String = row::text();
        /// Interface of the catalogue to reach Keystone by.
        interface: String = row::text().default("internal").applies();
        /// Let requests without a valid token through, for later parts to refuse.
        delay_auth_decision: bool = row::flag().default("false").not_here(NO_PYTHON);
        /// Seconds a connection to Keystone may take.
        http_connect_timeout: i64 = row::int_in(Some(1), Some(3600)).applies();
        /// How often a request to Keystone is tried again.
        http_request_max_retries: i64 = row::int_in(Some(0), Some(100)).default("3").applies();
        /// Name of a token cache in the WSGI environment.
        cache: String = row::text().not_here(NO_PYTHON);
        /// Client certificate for Keystone, PEM.
        certfile: String = row::text();
        /// Key of the client certificate, PEM.
        keyfile: String = row::text();
        /// Authority that Keystone's certificate is checked with, PEM.
        cafile: String = row::text().applies();
        /// Do not check Keystone's certificate.
        insecure: bool = row::flag().default("false").applies();
        /// Region of Keystone in the catalogue.
        region_name: String = row::text().applies();
        /// Memcached servers that keep validated tokens, host:port each.
        memcached_servers: Vec<String> = row::list().formerly(&[("keystone_authtoken", "memcache_servers")]).not_here(NO_MEMCACHED);
        /// Seconds a validated token is believed; -1 = not at all.
        token_cache_time: i64 = row::int_in(Some(-1), None).default("300").applies();
        /// How tokens in memcached are protected.
        memcache_security_strategy: String = row::choice_any_case(&["None", "MAC", "ENCRYPT"]).default("None").not_here(NO_MEMCACHED);
        /// Key of that protection.
        memcache_secret_key: String = row::text().secret().not_here(NO_MEMCACHED);
        /// Speak TLS with memcached.
        memcache_tls_enabled: bool = row::flag().default("false").not_here(NO_MEMCACHED);
        /// Seconds before a dead memcached is tried again.
        memcache_pool_dead_retry: i64 = row::int().default("300").not_here(NO_MEMCACHED);
        /// Connections to each memcached at most.
        memcache_pool_maxsize: i64 = row::int().default("10").not_here(NO_MEMCACHED);
        /// Seconds to wait for memcached.
        memcache_pool_socket_timeout: i64 = row::int().default("3").not_here(NO_MEMCACHED);
        /// Seconds an unused connection to memcached is kept.
        memcache_pool_unused_timeout: i64 = row::int().default("60").not_here(NO_MEMCACHED);
        /// Seconds to wait for a free connection to memcached.
        memcache_pool_conn_get_timeout: i64 = row::int().default("10").not_here(NO_MEMCACHED);
        /// Use the newer pool of connections to memcached.
        memcache_use_advanced_pool: bool = row::flag().default("true").not_here(NO_MEMCACHED);
        /// Ask for the service catalogue with each token.
        include_service_catalog: bool = row::flag().default("true");
        /// How strictly bound tokens are checked.
        enforce_token_bind: String = row::text().default("permissive").not_here(NO_PYTHON);
        /// Roles of which a service token needs one.
        service_token_roles: Vec<String> = row::list().default("service").applies();
        /// Refuse service tokens without such a role.
        service_token_roles_required: bool = row::flag().default("true").applies();
        /// Service type that access rules of application credentials name.
        service_type: String = row::text();
        /// Log in to memcached by SASL.
        memcache_sasl_enabled: bool = row::flag().default("false").not_here(NO_MEMCACHED);
        /// User at memcached.
        memcache_username: String = row::text().not_here(NO_MEMCACHED);
        /// Password at memcached.
        memcache_password: String = row::text().secret().not_here(NO_MEMCACHED);
        /// How to log in: password, v3password or v3applicationcredential; by what is given below if unset.
        auth_type: String = row::text().formerly(&[("keystone_authtoken", "auth_plugin")]).applies();
        /// Another section from which to take what is needed to log in.
        auth_section: String = row::text().applies();
        /// Address of Keystone to log in at, with or without /v3; without it, www_authenticate_uri.
        auth_url: String = row::text().applies();
        /// The service's user, by name.
        username: String = row::text().formerly(&[("keystone_authtoken", "user_name")]).applies();
        /// The service's user, by id.
        user_id: String = row::text().applies();
        /// Domain of the user, by name.
        user_domain_name: String = row::text().applies();
        /// Domain of the user, by id.
        user_domain_id: String = row::text().applies();
        /// The user's password.
        password: String = row::text().secret().applies();
        /// Project to log in to, by name.
        project_name: String = row::text().formerly(&[("keystone_authtoken", "tenant_name")]).applies();
        /// Project to log in to, by id.
        project_id: String = row::text().formerly(&[("keystone_authtoken", "tenant_id")]).applies();
        /// Domain of the project, by name.
        project_domain_name: String = row::text().applies();
        /// Domain of the project, by id.
        project_domain_id: String = row::text().applies();
        /// Log in to the whole cloud (all) instead of a project.
        system_scope: String = row::text().applies();
        /// An application credential, by id.
        application_credential_id: String = row::text().applies();
        /// An application credential, by name; its user has to be named, too.
        application_credential_name: String = row::text().applies();
        /// The application credential's secret.
        application_credential_secret: String = row::text().secret().applies();
    }

    /// The database.
    database open {
        /// Let SQLite wait until data is on the disk.
        sqlite_synchronous: bool = row::flag().default("true").not_here(OWN_DATABASE);
        /// Database layer.
        backend: String = row::text().default("sqlalchemy").not_here(OWN_DATABASE);
        /// URL of the database as SQLAlchemy writes it: sqlite, postgresql, mysql or mariadb; SQLite in the state directory if unset.
        connection: String = row::text().secret().applies();
        /// URL of a read-only copy.
        slave_connection: String = row::text().secret();
        /// URL of the database for asynchronous work.
        asyncio_connection: String = row::text().secret().not_here(OWN_DATABASE);
        /// URL of a read-only copy for asynchronous work.
        asyncio_slave_connection: String = row::text().secret().not_here(OWN_DATABASE);
        /// Reads see all that was written before.
        synchronous_reader: bool = row::flag().default("true").not_here(OWN_DATABASE);
        /// SQL mode for MySQL sessions.
        mysql_sql_mode: String = row::text().default("TRADITIONAL");
        /// Galera's wsrep_sync_wait for sessions.
        mysql_wsrep_sync_wait: i64 = row::int();
        /// Seconds after which a connection is replaced.
        connection_recycle_time: i64 = row::int().default("3600");
        /// Connections to keep; here, connections at most.
        max_pool_size: i64 = row::int_in(Some(1), Some(10000)).default("10").all_in_one("8").applies();
        /// How often the first connection is tried; -1 = for ever.
        max_retries: i64 = row::int().default("10");
        /// Seconds between these tries.
        retry_interval: i64 = row::int().default("10");
        /// Connections beyond max_pool_size.
        max_overflow: i64 = row::int().default("20").not_here(OWN_DATABASE);
        /// How much SQL is logged.
        connection_debug: i64 = row::int_in(Some(0), Some(100)).default("0");
        /// Put the caller's place into SQL comments.
        connection_trace: bool = row::flag().default("false").not_here(OWN_DATABASE);
        /// Seconds to wait for a free connection.
        pool_timeout: i64 = row::int_in(Some(1), Some(86400)).default("10").applies();
        /// Try again when a connection is lost.
        use_db_reconnect: bool = row::flag().default("false").not_here(OWN_DATABASE);
        /// Seconds between tries of a transaction.
        db_retry_interval: i64 = row::int().default("1").not_here(OWN_DATABASE);
        /// Let this time grow.
        db_inc_retry_interval: bool = row::flag().default("true").not_here(OWN_DATABASE);
        /// Seconds it grows to.
        db_max_retry_interval: i64 = row::int().default("10").not_here(OWN_DATABASE);
        /// Tries of a transaction; -1 = for ever.
        db_max_retries: i64 = row::int().default("20").not_here(OWN_DATABASE);
        /// Appended to the URL.
        connection_parameters: String = row::text().default("").not_here(OWN_DATABASE);
    }

    /// In front of the API.
    oslo_middleware open {
        /// Believe X-Forwarded-* of a proxy in front.
        enable_proxy_headers_parsing: bool = row::flag().default("false").applies();
        /// Bytes of a request's body at most.
        max_request_body_size: i64 = row::int_in(Some(1024), Some(1073741824)).default("114688").applies();
        /// Users for HTTP basic authentication.
        http_basic_auth_user_file: String = row::text().default("/etc/htpasswd");
    }

    /// Who may do what.
    oslo_policy open {
        /// Refuse tokens of another scope than a rule is meant for; the newest release of the original's library always does.
        enforce_scope: bool = row::flag().default("true").applies();
        /// Do not accept what old default rules accepted (roles such as load-balancer_member).
        enforce_new_defaults: bool = row::flag().default("true").applies();
        /// File with rules that replace default ones, in YAML or JSON; looked for in --config-dir and beside --config-file.
        policy_file: String = row::text().default("policy.yaml").applies();
        /// Rule for what has none.
        policy_default_rule: String = row::text().default("default").applies();
        /// Directories with more such files; may be given several times.
        policy_dirs: Vec<String> = row::multi().default("policy.d").applies();
        /// How remote rules are asked.
        remote_content_type: String = row::choice(&["application/x-www-form-urlencoded", "application/json"]).default("application/x-www-form-urlencoded");
        /// Check certificates of remote rules.
        remote_ssl_verify_server_crt: bool = row::flag().default("false");
        /// Authority to check them with, PEM.
        remote_ssl_ca_crt_file: String = row::text();
        /// Client certificate, PEM.
        remote_ssl_client_crt_file: String = row::text();
        /// Key of the client certificate, PEM.
        remote_ssl_client_key_file: String = row::text();
        /// Seconds a remote rule may take.
        remote_timeout: f64 = row::float_in(Some(0.0), None).default("60");
    }

    /// Browsers that call the API from other origins. Sections [cors.NAME] are for more origins: what such a section does not say, this one does.
    cors open {
        /// Origins that browsers may call from.
        allowed_origin: Vec<String> = row::list().applies();
        /// Let them send credentials.
        allow_credentials: bool = row::flag().default("true").applies();
        /// Headers of answers that scripts may read.
        expose_headers: Vec<String> = row::list().default("X-Auth-Token,X-Openstack-Request-Id").applies();
        /// Seconds a browser may remember all this.
        max_age: i64 = row::int_in(Some(0), Some(4294967295)).default("3600").applies();
        /// Methods they may use.
        allow_methods: Vec<String> = row::list().default("GET,PUT,POST,DELETE").applies();
        /// Headers they may send.
        allow_headers: Vec<String> = row::list().default("X-Auth-Token,X-Openstack-Request-Id").applies();
    }

    /// What /healthcheck answers.
    healthcheck open {
        /// Say more in answers of /healthcheck.
        detailed: bool = row::flag().default("false").applies();
        /// Checks to make: disable_by_file, disable_by_files_ports, enable_by_files, octavia_db_check.
        backends: Vec<String> = row::list().default("").applies();
        /// Networks that may ask.
        allowed_source_ranges: Vec<String> = row::list().default("").applies();
        /// Do not answer what came through a proxy.
        ignore_proxied_requests: bool = row::flag().default("false").applies();
        /// Answer 503 while this file is there.
        disable_by_file_path: String = row::text().applies();
        /// The same by port, port:path each.
        disable_by_file_paths: Vec<String> = row::list().default("").applies();
        /// Answer 503 unless one of these files is there.
        enable_by_file_paths: Vec<String> = row::list().default("").applies();
    }

    /// Messages between processes.
    oslo_messaging {
        /// Legacy; worker topic is fixed by code.
        topic: String = row::text().not_here(NO_QUEUE);
    }

    /// Notifications for others.
    oslo_messaging_notifications open {
        /// How notifications are sent; may be given several times.
        driver: Vec<String> = row::multi().default("");
        /// Message queue for notifications; transport_url of [DEFAULT] if unset.
        transport_url: String = row::text().secret();
        /// Topics that notifications go to.
        topics: Vec<String> = row::list().default("notifications");
        /// How often sending is tried again; -1 = for ever.
        retry: i64 = row::int().default("-1");
    }

    /// RabbitMQ.
    oslo_messaging_rabbit open {
        /// Queues survive a restart of RabbitMQ.
        amqp_durable_queues: bool = row::flag().default("false");
        /// Use quorum queues.
        rabbit_quorum_queue: bool = row::flag().default("false");
        /// Speak TLS with RabbitMQ.
        ssl: bool = row::flag().default("false");
        /// Authority that RabbitMQ's certificate is checked with, PEM.
        ssl_ca_file: String = row::text().default("");
        /// Client certificate, PEM.
        ssl_cert_file: String = row::text().default("");
        /// Key of the client certificate, PEM.
        ssl_key_file: String = row::text().default("");
        /// Seconds without a heartbeat after which the connection is given up; 0 = no heartbeats.
        heartbeat_timeout_threshold: i64 = row::int().default("60");
        /// Seconds before a connection is tried again.
        rabbit_retry_interval: i64 = row::int_in(Some(1), None).default("1");
        /// Mirror queues.
        rabbit_ha_queues: bool = row::flag().default("false");
    }

    /// Where audit records go.
    audit_middleware_notifications open {
        /// Send audit records by the message queue, not to the log.
        use_oslo_messaging: bool = row::flag().default("true");
        /// How they are sent.
        driver: String = row::text();
        /// Topics that they go to.
        topics: Vec<String> = row::list();
        /// Message queue for them.
        transport_url: String = row::text().secret();
    }

    /// Locks between processes.
    oslo_concurrency open {
        /// Take no locks between processes.
        disable_process_locking: bool = row::flag().default("false").not_here(NO_LOCKS);
        /// Directory of lock files.
        lock_path: String = row::text().not_here(NO_LOCKS);
    }
}
