//! Worker, health manager and housekeeping.

options! {
    /// The worker, and the amphorae it makes.
    controller_worker {
        /// RPC consumer processes.
        workers: i64 = row::int_in(Some(1), None).default("1").not_here(ONE_PROCESS);
        /// Polls waiting for Nova ACTIVE.
        amp_active_retries: i64 = row::int().default("30").not_here(BACKOFF);
        /// Seconds between Nova ACTIVE polls.
        amp_active_wait_sec: i64 = row::int().default("10").not_here(BACKOFF);
        /// Nova flavor for amphorae.
        amp_flavor_id: String = row::text().default("");
        /// Glance tag selecting the image.
        amp_image_tag: String = row::text().default("");
        /// Only accept images of this project.
        amp_image_owner_id: String = row::text().default("");
        /// Nova keypair injected in amphorae.
        amp_ssh_key_name: String = row::text().default("");
        /// Zoneinfo name set inside amphorae.
        amp_timezone: String = row::text().default("UTC");
        /// Networks plugged at boot; first is management.
        amp_boot_network_list: Vec<String> = row::list().default("");
        /// SGs for management ports.
        amp_secgroup_list: Vec<String> = row::list().default("");
        /// CA file injected to verify controllers.
        client_ca: String = row::text().default("/etc/octavia/certs/ca_01.pem");
        /// Driver that speaks with amphorae.
        amphora_driver: String = row::text().default("amphora_haproxy_rest_driver");
        /// Driver of the compute service.
        compute_driver: String = row::text().default("compute_nova_driver");
        /// Driver of the network service.
        network_driver: String = row::text().default("allowed_address_pairs_driver");
        /// Driver of the volume service.
        volume_driver: String = row::choice(&["volume_noop_driver", "volume_cinder_driver"]).default("volume_noop_driver");
        /// Image_glance_driver or image_noop_driver.
        image_driver: String = row::choice(&["image_noop_driver", "image_glance_driver"]).default("image_glance_driver");
        /// Only a no-op exists.
        distributor_driver: String = row::text().default("distributor_noop_driver").not_here(UNUSED);
        /// Ordered stats sinks: stats_db, stats_logger.
        statistics_drivers: Vec<String> = row::list().default("stats_db");
        /// Topology of load balancers whose flavor does not say. Where amphorae have no interfaces of their own, all are SINGLE.
        loadbalancer_topology: String = row::choice(&["ACTIVE_STANDBY", "SINGLE"]).default("SINGLE").applies();
        /// Pass boot files through cloud-init user-data, deprecated.
        user_data_config_drive: bool = row::flag().default("false").not_here(UNUSED);
        /// Attempts of the amphora delete subflow.
        amphora_delete_retries: i64 = row::int().default("5").not_here(BACKOFF);
        /// Seconds between those attempts.
        amphora_delete_retry_interval: i64 = row::int().default("5").not_here(BACKOFF);
        /// Emit octavia.loadbalancer.* notifications.
        event_notifications: bool = row::flag().default("true");
        /// Tries writing ERROR status on revert.
        db_commit_retry_attempts: i64 = row::int().default("2000").not_here(NO_FLOWS);
        /// First wait, seconds.
        db_commit_retry_initial_delay: i64 = row::int().default("1").not_here(NO_FLOWS);
        /// Backoff increment, seconds.
        db_commit_retry_backoff: i64 = row::int().default("1").not_here(NO_FLOWS);
        /// Longest wait, seconds.
        db_commit_retry_max: i64 = row::int().default("5").not_here(NO_FLOWS);
    }

    /// Heartbeats of amphorae.
    health_manager {
        /// Heartbeat listen address. On the local cloud, unless it is given, where amphorae see this machine.
        bind_ip: IpAddr = row::ip().default("127.0.0.1").applies();
        /// Heartbeat UDP port.
        bind_port: u16 = row::port().default("5555").applies();
        /// Concurrent automatic failovers.
        failover_threads: i64 = row::int().default("10").not_here(ONE_PROCESS);
        /// Health worker processes; unset means CPU count.
        health_update_threads: i64 = row::int().not_here(ONE_PROCESS);
        /// Stats worker processes; unset means CPU count.
        stats_update_threads: i64 = row::int().not_here(ONE_PROCESS);
        /// HMAC key shared with amphorae (mutable, secret).
        heartbeat_key: String = row::text().secret().applies();
        /// Keys of before, which are taken as well: a new heartbeat_key reaches amphorae one after the other.
        previous_heartbeat_keys: Vec<String> = row::list().default("").secret().ours().applies();
        /// Seconds of silence before failover.
        heartbeat_timeout: i64 = row::int_in(Some(1), Some(86400)).default("60").all_in_one("10").applies();
        /// Seconds between stale scans.
        health_check_interval: i64 = row::int_in(Some(1), Some(86400)).default("3").all_in_one("1").applies();
        /// SO_RCVBUF bytes; 0 leaves kernel default.
        sock_rlimit: i64 = row::int().default("0");
        /// Circuit breaker count of stale amphorae.
        failover_threshold: i64 = row::int();
        /// Heartbeat destinations given to new amphorae, which take turns: every health manager there is. Empty: the bind address.
        controller_ip_port_list: Vec<String> = row::list_of(Item::HostPort).default("").applies();
        /// Seconds between heartbeats.
        heartbeat_interval: i64 = row::int_in(Some(1), Some(86400)).default("10").all_in_one("1").applies();
    }

    /// Removing and renewing what is old.
    house_keeping {
        /// Seconds between database purges.
        cleanup_interval: i64 = row::int_in(Some(1), Some(86400)).default("30").all_in_one("10").applies();
        /// Age before DELETED amphora rows vanish.
        amphora_expiry_age: i64 = row::int().default("604800");
        /// Age before DELETED LB rows vanish.
        load_balancer_expiry_age: i64 = row::int_in(Some(0), Some(3153600000)).default("604800").applies();
        /// Amphorae that boot before anybody needs them, so that a load balancer does not wait for it.
        spare_amphora_pool_size: i64 = row::int_in(Some(0), Some(1000)).default("0").ours().applies();
        /// Seconds between certificate expiry scans.
        cert_interval: i64 = row::int().default("3600").not_here(LOOKED_AT);
        /// Rotate when fewer seconds remain.
        cert_expiry_buffer: i64 = row::int_in(Some(0), Some(315360000)).default("1209600").applies();
        /// Concurrent certificate rotations.
        cert_rotate_threads: i64 = row::int().default("10").not_here(ONE_PROCESS);
    }

    /// The flow engine of the original.
    task_flow {
        /// How tasks of a flow are run.
        engine: String = row::choice(&["serial", "parallel"]).default("parallel").not_here(NO_FLOWS);
        /// Threads per flow engine.
        max_workers: i64 = row::int().default("5").not_here(NO_FLOWS);
        /// Debug: never undo failed flows.
        disable_revert: bool = row::flag().default("false").not_here(NO_FLOWS);
        /// Logbook database URL.
        persistence_connection: String = row::text().default("sqlite://").secret().not_here(NO_FLOWS);
        /// Use job board with resumable flows.
        jobboard_enabled: bool = row::flag().default("false").not_here(NO_FLOWS);
        /// Driver of the job board.
        jobboard_backend_driver: String = row::choice(&["redis_taskflow_driver", "zookeeper_taskflow_driver", "etcd_taskflow_driver"]).default("redis_taskflow_driver").not_here(NO_FLOWS);
        /// Backend hosts.
        jobboard_backend_hosts: Vec<String> = row::list().default("127.0.0.1").not_here(NO_FLOWS);
        /// Backend port.
        jobboard_backend_port: u16 = row::port().default("6379").not_here(NO_FLOWS);
        /// Backend user.
        jobboard_backend_username: String = row::text().not_here(NO_FLOWS);
        /// Backend password.
        jobboard_backend_password: String = row::text().secret().not_here(NO_FLOWS);
        /// Key prefix of the board.
        jobboard_backend_namespace: String = row::text().default("octavia_jobboard").not_here(NO_FLOWS);
        /// Redis database number.
        jobboard_redis_backend_db: i64 = row::int_in(Some(0), None).default("0").not_here(NO_FLOWS);
        /// Sentinel service name.
        jobboard_redis_sentinel: String = row::text().not_here(NO_FLOWS);
        /// Sentinel user.
        jobboard_redis_sentinel_username: String = row::text().not_here(NO_FLOWS);
        /// Sentinel password.
        jobboard_redis_sentinel_password: String = row::text().secret().not_here(NO_FLOWS);
        /// Redis TLS settings.
        jobboard_redis_backend_ssl_options: Vec<(String, String)> = row::dict().default("ssl:False,ssl_ca_certs:None,ssl_cert_reqs:required,ssl_certfile:None,ssl_keyfile:None").secret().not_here(NO_FLOWS);
        /// Sentinel TLS settings.
        jobboard_redis_sentinel_ssl_options: Vec<(String, String)> = row::dict().default("ssl:False,ssl_ca_certs:None,ssl_cert_reqs:required,ssl_certfile:None,ssl_keyfile:None").secret().not_here(NO_FLOWS);
        /// Zookeeper TLS settings.
        jobboard_zookeeper_ssl_options: Vec<(String, String)> = row::dict().default("certfile:None,keyfile:None,keyfile_password:None,use_ssl:False,verify_certs:True").secret().not_here(NO_FLOWS);
        /// Etcd TLS settings.
        jobboard_etcd_ssl_options: Vec<(String, String)> = row::dict().default("ca_cert:None,cert_cert:None,cert_key:None,use_ssl:False").not_here(NO_FLOWS);
        /// Etcd call timeout.
        jobboard_etcd_timeout: i64 = row::int().not_here(NO_FLOWS);
        /// Etcd API path override.
        jobboard_etcd_api_path: String = row::text().not_here(NO_FLOWS);
        /// Seconds before an unrenewed claim lapses.
        jobboard_expiration_time: i64 = row::int().default("30").not_here(NO_FLOWS);
        /// Keep finished logbooks.
        jobboard_save_logbook: bool = row::flag().default("false").not_here(NO_FLOWS);
    }

    /// Drivers of other providers.
    driver_agent {
        /// Status socket.
        status_socket_path: String = row::text().default("/var/run/octavia/status.sock").not_here(NO_PLUGINS);
        /// Statistics socket.
        stats_socket_path: String = row::text().default("/var/run/octavia/stats.sock").not_here(NO_PLUGINS);
        /// Get socket.
        get_socket_path: String = row::text().default("/var/run/octavia/get.sock").not_here(NO_PLUGINS);
        /// Seconds waiting for request data.
        status_request_timeout: i64 = row::int().default("5").not_here(NO_PLUGINS);
        /// Concurrent handlers.
        status_max_processes: i64 = row::int().default("50").not_here(NO_PLUGINS);
        /// Seconds waiting for request data.
        stats_request_timeout: i64 = row::int().default("5").not_here(NO_PLUGINS);
        /// Concurrent handlers.
        stats_max_processes: i64 = row::int().default("50").not_here(NO_PLUGINS);
        /// Seconds waiting for request data.
        get_request_timeout: i64 = row::int().default("5").not_here(NO_PLUGINS);
        /// Concurrent handlers.
        get_max_processes: i64 = row::int().default("50").not_here(NO_PLUGINS);
        /// Not read by the code.
        max_process_warning_percent: f64 = row::float_in(Some(0.01), Some(0.99)).default("0.75").not_here(NO_PLUGINS);
        /// Grace seconds for provider agents.
        provider_agent_shutdown_timeout: i64 = row::int().default("60").not_here(NO_PLUGINS);
        /// Agents of providers to run.
        enabled_provider_agents: Vec<String> = row::list().default("").not_here(NO_PLUGINS);
    }
}
