//! The cloud around.

options! {
    /// Certificates of users and of amphorae.
    certificates {
        /// Where references to certificates lead: barbican_cert_manager to the Barbican that [service_auth] logs in for, without that section to the embedded vault; noop_cert_manager to a made-up certificate where the vault has nothing.
        cert_manager: String = row::text().default("barbican_cert_manager").applies();
        /// Who issues certificates of amphorae: local_cert_generator.
        cert_generator: String = row::text().default("local_cert_generator");
        /// How Barbican is asked for users' secrets: barbican_acl_auth.
        barbican_auth: String = row::text().default("barbican_acl_auth").not_here(ONE_WAY);
        /// Key manager catalog name.
        service_name: String = row::text().applies();
        /// Key manager URL override.
        endpoint: String = row::text().applies();
        /// Key manager region.
        region_name: String = row::text().applies();
        /// Key manager catalog interface.
        endpoint_type: String = row::text().default("publicURL").applies();
        /// CA for key manager TLS.
        ca_certificates_file: String = row::text().applies();
        /// Skip key manager TLS verification.
        insecure: bool = row::flag().default("false").applies();
        /// Issuing CA cert.
        ca_certificate: String = row::text().default("/etc/ssl/certs/ssl-cert-snakeoil.pem");
        /// Issuing CA key.
        ca_private_key: String = row::text().default("/etc/ssl/private/ssl-cert-snakeoil.key");
        /// CA key passphrase.
        ca_private_key_passphrase: String = row::text().secret();
        /// 32-char keys encrypting certs in flow storage.
        server_certs_key_passphrase: Vec<String> = row::list_of(Item::Passphrase).default("insecure-key-do-not-use-this-key").secret().not_here(NO_FLOWS);
        /// Signature hash.
        signing_digest: String = row::text().default("sha256");
        /// Amphora certificate lifetime, seconds.
        cert_validity_time: i64 = row::int_in(Some(30), Some(315360000)).default("2592000").applies();
        /// Directory of the local certificate manager.
        storage_path: String = row::text().default("/var/lib/octavia/certificates/");
    }

    /// Servers.
    compute {
        /// Nova action tries.
        max_retries: i64 = row::int().default("15").not_here(BACKOFF);
        /// First wait, seconds.
        retry_interval: i64 = row::int().default("1").not_here(BACKOFF);
        /// Backoff seconds.
        retry_backoff: i64 = row::int().default("1").not_here(BACKOFF);
        /// Longest wait.
        retry_max: i64 = row::int().default("10").not_here(BACKOFF);
    }

    /// The compute service.
    nova {
        /// Catalog name.
        service_name: String = row::text();
        /// URL override.
        endpoint: String = row::text();
        /// Region.
        region_name: String = row::text();
        /// Catalog interface.
        endpoint_type: String = row::text().default("publicURL");
        /// CA file.
        ca_certificates_file: String = row::text();
        /// Skip TLS verification.
        insecure: bool = row::flag().default("false");
        /// Server group per ACTIVE_STANDBY LB.
        enable_anti_affinity: bool = row::flag().default("false");
        /// How strictly amphorae of one load balancer are kept apart.
        anti_affinity_policy: String = row::choice(&["anti-affinity", "soft-anti-affinity"]).default("anti-affinity");
        /// Random VM name length; 0 uses amphora-<id>.
        random_amphora_name_length: i64 = row::int().default("0");
        /// Default compute zone.
        availability_zone: String = row::text();
    }

    /// The volume service.
    cinder {
        /// Catalog name.
        service_name: String = row::text();
        /// URL override.
        endpoint: String = row::text();
        /// Region.
        region_name: String = row::text();
        /// Catalog interface.
        endpoint_type: String = row::text().default("publicURL");
        /// CA file.
        ca_certificates_file: String = row::text();
        /// Volume zone.
        availability_zone: String = row::text();
        /// Skip TLS verification.
        insecure: bool = row::flag().default("false");
        /// Root volume GiB.
        volume_size: i64 = row::int_in(Some(1), None).default("16");
        /// Root volume type.
        volume_type: String = row::text();
        /// Seconds between volume polls.
        volume_create_retry_interval: i64 = row::int().default("5");
        /// Seconds before giving up.
        volume_create_timeout: i64 = row::int().default("300");
        /// Volume creation attempts.
        volume_create_max_retries: i64 = row::int().default("5");
    }

    /// The image service.
    glance {
        /// Catalog name.
        service_name: String = row::text();
        /// URL override.
        endpoint: String = row::text();
        /// Region.
        region_name: String = row::text();
        /// Catalog interface.
        endpoint_type: String = row::text().default("publicURL");
        /// CA file.
        ca_certificates_file: String = row::text();
        /// Skip TLS verification.
        insecure: bool = row::flag().default("false");
    }

    /// The network service.
    neutron open {
        /// Old name of endpoint_override, deprecated.
        endpoint: String = row::text();
        /// Old name of valid_interfaces, deprecated.
        endpoint_type: String = row::text();
        /// Old name of cafile, deprecated.
        ca_certificates_file: String = row::text();
        /// Authority that the services' certificates are checked with, PEM.
        cafile: String = row::text();
        /// Client certificate, PEM.
        certfile: String = row::text();
        /// Key of the client certificate, PEM.
        keyfile: String = row::text();
        /// Do not check certificates.
        insecure: bool = row::flag().default("false");
        /// Seconds a request may take.
        timeout: f64 = row::float();
        /// Measure how long each request takes.
        collect_timing: bool = row::flag().default("false").not_here(NO_PYTHON);
        /// Log requests, bodies and answers each under a name of its own.
        split_loggers: bool = row::flag().default("false").not_here(NO_PYTHON);
        /// Ciphers for requests, in OpenSSL's words.
        tls_ciphers: String = row::text();
        /// Lowest TLS version for requests.
        tls_min_version: String = row::choice(&["1.2", "1.3"]);
        /// How to log in: name of a keystoneauth plug-in, such as password.
        auth_type: String = row::text().formerly(&[("neutron", "auth_plugin")]);
        /// Another section from which to take what is needed to log in.
        auth_section: String = row::text();
        /// Address of Keystone.
        auth_url: String = row::text();
        /// Scope of the token: all, for the whole system.
        system_scope: String = row::text();
        /// Scope of the token: a domain's id.
        domain_id: String = row::text();
        /// Scope of the token: a domain's name.
        domain_name: String = row::text();
        /// Scope of the token: a project's id.
        project_id: String = row::text().formerly(&[("neutron", "tenant-id"), ("neutron", "tenant_id")]);
        /// Scope of the token: a project's name.
        project_name: String = row::text().formerly(&[("neutron", "tenant-name"), ("neutron", "tenant_name")]);
        /// Id of the project's domain.
        project_domain_id: String = row::text();
        /// Name of the project's domain.
        project_domain_name: String = row::text();
        /// Id of a trust to use.
        trust_id: String = row::text();
        /// Id of the domain of user and project, if they name none.
        default_domain_id: String = row::text();
        /// Name of the domain of user and project, if they name none.
        default_domain_name: String = row::text();
        /// Id of the user to log in as.
        user_id: String = row::text();
        /// Name of the user to log in as.
        username: String = row::text().formerly(&[("neutron", "user-name"), ("neutron", "user_name")]);
        /// Id of the user's domain.
        user_domain_id: String = row::text();
        /// Name of the user's domain.
        user_domain_name: String = row::text();
        /// Password of the user.
        password: String = row::text().secret();
        /// Type of the service in the catalogue.
        service_type: String = row::text();
        /// Name of the service in the catalogue.
        service_name: String = row::text();
        /// Interfaces of the catalogue to use, the most wanted first.
        valid_interfaces: Vec<String> = row::list();
        /// Region of the service in the catalogue.
        region_name: String = row::text();
        /// Address of the service, in place of the catalogue's.
        endpoint_override: String = row::text();
        /// Version of the service's API, exactly.
        version: String = row::text();
        /// Lowest version of the service's API.
        min_version: String = row::text();
        /// Highest version of the service's API.
        max_version: String = row::text();
        /// How often a connection that fails is tried again.
        connect_retries: i64 = row::int();
        /// Seconds before a connection is tried again.
        connect_retry_delay: f64 = row::float();
        /// How often a request is tried again for its status.
        status_code_retries: i64 = row::int();
        /// Seconds before a request is tried again for its status.
        status_code_retry_delay: f64 = row::float();
        /// Statuses for which a request is tried again.
        retriable_status_codes: Vec<String> = row::list_of(Item::Int);
    }

    /// How controllers log in to other services.
    service_auth open {
        /// Authority that the services' certificates are checked with, PEM.
        cafile: String = row::text().applies();
        /// Client certificate, PEM.
        certfile: String = row::text();
        /// Key of the client certificate, PEM.
        keyfile: String = row::text();
        /// Do not check certificates.
        insecure: bool = row::flag().default("false").applies();
        /// Seconds a request may take.
        timeout: f64 = row::float().applies();
        /// Measure how long each request takes.
        collect_timing: bool = row::flag().default("false").not_here(NO_PYTHON);
        /// Log requests, bodies and answers each under a name of its own.
        split_loggers: bool = row::flag().default("false").not_here(NO_PYTHON);
        /// Ciphers for requests, in OpenSSL's words.
        tls_ciphers: String = row::text();
        /// Lowest TLS version for requests.
        tls_min_version: String = row::choice(&["1.2", "1.3"]);
        /// How to log in: password, v3password or v3applicationcredential; by what is given below if unset.
        auth_type: String = row::text().formerly(&[("service_auth", "auth_plugin")]).applies();
        /// Another section from which to take what is needed to log in, such as keystone_authtoken.
        auth_section: String = row::text().applies();
        /// Address of Keystone.
        auth_url: String = row::text().applies();
        /// Scope of the token: all, for the whole system.
        system_scope: String = row::text().applies();
        /// Scope of the token: a domain's id.
        domain_id: String = row::text();
        /// Scope of the token: a domain's name.
        domain_name: String = row::text();
        /// Scope of the token: a project's id.
        project_id: String = row::text().formerly(&[("service_auth", "tenant-id"), ("service_auth", "tenant_id")]).applies();
        /// Scope of the token: a project's name.
        project_name: String = row::text().formerly(&[("service_auth", "tenant-name"), ("service_auth", "tenant_name")]).applies();
        /// Id of the project's domain.
        project_domain_id: String = row::text().applies();
        /// Name of the project's domain.
        project_domain_name: String = row::text().applies();
        /// Id of a trust to use.
        trust_id: String = row::text();
        /// Id of the domain of user and project, if they name none.
        default_domain_id: String = row::text();
        /// Name of the domain of user and project, if they name none.
        default_domain_name: String = row::text();
        /// Id of the user to log in as.
        user_id: String = row::text().applies();
        /// Name of the user to log in as.
        username: String = row::text().formerly(&[("service_auth", "user-name"), ("service_auth", "user_name")]).applies();
        /// Id of the user's domain.
        user_domain_id: String = row::text().applies();
        /// Name of the user's domain.
        user_domain_name: String = row::text().applies();
        /// Password of the user.
        password: String = row::text().secret().applies();
        /// An application credential, by id.
        application_credential_id: String = row::text().applies();
        /// An application credential, by name; its user has to be named, too.
        application_credential_name: String = row::text().applies();
        /// The application credential's secret.
        application_credential_secret: String = row::text().secret().applies();
    }
}
