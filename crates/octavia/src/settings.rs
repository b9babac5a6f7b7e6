//! What an `all-in-one` runs with: what `octavia.conf` says, and over it what the command line says.

pub(crate) mod keystone;
mod login;
pub(crate) mod secrets;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::SignedDuration;
use octavia_api::{ApiOptions, DataPlane};
use octavia_cloud::local::NetnsOptions;
use octavia_config::option::{
    DEFAULT, api_settings, certificates, database, haproxy_amphora, health_manager, house_keeping,
    networking, oslo_middleware, oslo_policy, quotas,
};
use octavia_config::{Config, Limit, Opt, Origin, Problem, Severity};
use octavia_model::QuotaKind;
use octavia_store::{StoreError, StoreOptions};

use self::access_log::AccessLogSettings;
use self::keystone::KeystoneSettings;
use self::secrets::SecretsSettings;
use self::sorry::SorrySettings;
use self::stapling::StaplingSettings;
use self::tls::{LISTENER_TLS, POOL_TLS};
use crate::args::{AllInOneOptions, AuthStrategy, NetworkKind, PendingWrites};
use crate::audit::AuditSettings;
use crate::metrics::MetricsSettings;
use crate::policy::PolicySettings;

mod access_log;
mod cors;
mod files;
mod service;
mod sorry;
mod stapling;
mod tls;
mod users;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) bind: SocketAddr,
    /// `None` = SQLite in the state directory.
    pub(crate) database: Option<String>,
    pub(crate) store: StoreOptions,
    pub(crate) auth_strategy: AuthStrategy,
    pub(crate) network: NetworkKind,
    /// With [`NetworkKind::Netns`].
    pub(crate) netns: NetnsOptions,
    /// Whether worker, health manager and housekeeping run.
    pub(crate) controller: bool,
    /// `None` = the embedded one.
    pub(crate) keystone: Option<KeystoneSettings>,
    pub(crate) secrets: SecretsSettings,
    pub(crate) policy: PolicySettings,
    pub(crate) api: ApiOptions,
    /// Connections at once to a listener that has no limit of its own; `None` = any number.
    pub(crate) default_connection_limit: Option<u32>,
    pub(crate) access_log: AccessLogSettings,
    pub(crate) sorry: SorrySettings,
    pub(crate) stapling: StaplingSettings,
    pub(crate) agent_connect_timeout: Duration,
    pub(crate) agent_request_timeout: Duration,
    /// Lifetime of an amphora's certificate.
    pub(crate) cert_lifetime: SignedDuration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: SignedDuration,
    pub(crate) health_check_interval: Duration,
    pub(crate) cleanup_interval: Duration,
    pub(crate) expiry_age: SignedDuration,
    pub(crate) audit: AuditSettings,
    pub(crate) metrics: MetricsSettings,
    /// How long requests may take to end when the service stops.
    pub(crate) grace: Duration,
    pub(crate) debug: bool,
    pub(crate) log_json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&Config::default()).0
    }
}

impl Settings {
    /// Takes what has an effect from the configuration. What one option alone cannot tell to be wrong is among the
    /// problems.
    pub(crate) fn read(config: &Config) -> (Self, Vec<Problem>) {
        let mut reader = Reader { config, problems: vec![] };
        let settings = reader.settings();
        (settings, reader.problems)
    }

    /// What is wrong with the files that it names, read now. A start says the same, one at a time.
    pub(crate) fn check_files(&self, config: &Config) -> Vec<Problem> {
        files::check(self, config)
    }

    /// The same, where the command line says nothing else.
    pub(crate) fn with(mut self, options: &AllInOneOptions) -> Self {
        self.bind = options.bind.unwrap_or(self.bind);
        self.database = options.database.clone().or(self.database);
        self.network = options.network;
        self.netns = NetnsOptions { hosts: options.hosts, zones: options.zones.unwrap_or(options.hosts) };
        self.controller = !options.no_controller;
        self.api.interfaces = options.network == NetworkKind::Netns;
        self.api.data_plane = match options.network {
            NetworkKind::Loopback | NetworkKind::Netns => DataPlane::Built,
            NetworkKind::Noop => DataPlane::Anything,
        };
        if let (NetworkKind::Noop, SecretsSettings::Vault) = (options.network, &self.secrets) {
            self.secrets = SecretsSettings::Anything;
        }
        self.auth_strategy = options.auth_strategy.unwrap_or(self.auth_strategy);
        self.api.pending_writes = match options.pending_writes {
            Some(PendingWrites::Queue) => octavia_api::PendingWrites::Queue,
            Some(PendingWrites::Reject) => octavia_api::PendingWrites::Reject,
            None => self.api.pending_writes,
        };
        self
    }
}

struct Reader<'a> {
    config: &'a Config,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn settings(&mut self) -> Settings {
        let bind_host = self.config.all_in_one(&api_settings::bind_host);
        let bind_port = self.config.all_in_one(&api_settings::bind_port);
        let host = bind_host.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let settings = Settings {
            bind: SocketAddr::new(host, bind_port.unwrap_or(9876)),
            database: self.database(),
            store: StoreOptions {
                connections: u32::try_from(self.number(&database::max_pool_size)).unwrap_or(u32::MAX),
                timeout: self.seconds(&database::pool_timeout),
                ..StoreOptions::default()
            },
            auth_strategy: self.auth_strategy(),
            network: NetworkKind::Loopback,
            netns: NetnsOptions::default(),
            controller: true,
            keystone: keystone::read(self.config, &mut self.problems),
            secrets: self.secrets(),
            policy: self.policy(),
            api: self.api(),
            default_connection_limit: self.connection_limit(),
            access_log: self.access_log(),
            sorry: self.sorry(),
            stapling: self.stapling(),
            agent_connect_timeout: self.fraction(&haproxy_amphora::rest_request_conn_timeout),
            agent_request_timeout: self.fraction(&haproxy_amphora::rest_request_read_timeout),
            cert_lifetime: SignedDuration::from_secs(self.number(&certificates::cert_validity_time)),
            heartbeat_interval: self.seconds(&health_manager::heartbeat_interval),
            heartbeat_timeout: SignedDuration::from_secs(self.number(&health_manager::heartbeat_timeout)),
            health_check_interval: self.seconds(&health_manager::health_check_interval),
            cleanup_interval: self.seconds(&house_keeping::cleanup_interval),
            expiry_age: SignedDuration::from_secs(self.number(&house_keeping::load_balancer_expiry_age)),
            audit: self.audit(),
            metrics: self.metrics(),
            grace: self.grace(),
            debug: self.flag(&DEFAULT::debug),
            log_json: self.flag(&DEFAULT::use_json),
        };
        if settings.heartbeat_timeout.unsigned_abs() <= settings.heartbeat_interval {
            let culprit = match self.config.origin(&health_manager::heartbeat_timeout) {
                Origin::Default => &health_manager::heartbeat_interval,
                Origin::File { .. } => &health_manager::heartbeat_timeout,
            };
            let what = format!(
                "every amphora would count as silent: heartbeat_timeout ({} s) has to be longer than \
                 heartbeat_interval ({} s)",
                settings.heartbeat_timeout.as_secs(),
                settings.heartbeat_interval.as_secs()
            );
            self.say(Severity::Error, culprit, what);
        }
        settings
    }

    fn api(&mut self) -> ApiOptions {
        let defaults = ApiOptions::default();
        let reject =
            self.config.all_in_one(&api_settings::pending_writes).is_some_and(|word| word == "reject");
        let enabled_providers = self.providers();
        let prohibited = self.ciphers(&api_settings::tls_cipher_prohibit_list);
        let minimum = self.config.all_in_one(&api_settings::minimum_tls_version);
        ApiOptions {
            pending_writes: match reject {
                true => octavia_api::PendingWrites::Reject,
                false => octavia_api::PendingWrites::Queue,
            },
            data_plane: defaults.data_plane,
            interfaces: defaults.interfaces,
            default_provider: self.default_provider(&enabled_providers),
            enabled_providers,
            pagination_max_limit: self
                .config
                .all_in_one(&api_settings::pagination_max_limit)
                .map_or(defaults.pagination_max_limit, |Limit(most)| most),
            allow_filtering: self.flag(&api_settings::allow_filtering),
            allow_sorting: self.flag(&api_settings::allow_sorting),
            allow_pagination: self.flag(&api_settings::allow_pagination),
            allow_field_selection: self.flag(&api_settings::allow_field_selection),
            allow_ping_health_monitors: self.flag(&api_settings::allow_ping_health_monitors),
            allow_tls_terminated_listeners: self.flag(&api_settings::allow_tls_terminated_listeners),
            allow_prometheus_listeners: self.flag(&api_settings::allow_prometheus_listeners),
            vip: self.vip(),
            default_timeouts: self.timeouts(),
            // Below 0 = no limit.
            udp_connect_min_interval: self
                .number(&api_settings::udp_connect_min_interval_health_monitor)
                .clamp(0, u32::MAX.into()) as u32,
            reserved_ips: {
                let reserved = self.config.all_in_one(&networking::reserved_ips);
                reserved.unwrap_or_default().iter().map(IpAddr::to_canonical).collect()
            },
            minimum_tls_version: minimum.clone(),
            listener_tls: self.tls_defaults(&LISTENER_TLS, &prohibited, minimum.as_deref()),
            pool_tls: self.tls_defaults(&POOL_TLS, &prohibited, minimum.as_deref()),
            tls_cipher_prohibit_list: prohibited,
            default_quota: octavia_model::Quota::from_fn(|kind| self.quota(kind)),
            api_base_uri: self.base_uri(),
            proxy_headers: self.flag(&oslo_middleware::enable_proxy_headers_parsing),
            cors: self.cors(),
            healthcheck: self.healthcheck(),
            max_body: usize::try_from(self.number(&oslo_middleware::max_request_body_size))
                .unwrap_or(defaults.max_body),
            body_timeout: defaults.body_timeout,
            turn_timeout: defaults.turn_timeout,
            key_lifetime: self.seconds(&api_settings::idempotency_key_lifetime),
        }
    }

    fn policy(&self) -> PolicySettings {
        let file = self.config.all_in_one(&oslo_policy::policy_file).unwrap_or_default();
        PolicySettings {
            file_is_named: self.config.given(&oslo_policy::policy_file).is_some(),
            file,
            dirs: self.config.all_in_one(&oslo_policy::policy_dirs).unwrap_or_default(),
            places: vec![],
            options: octavia_policy::Options {
                default_rule: self.config.all_in_one(&oslo_policy::policy_default_rule).unwrap_or_default(),
                enforce_scope: self.flag(&oslo_policy::enforce_scope),
                enforce_new_defaults: self.flag(&oslo_policy::enforce_new_defaults),
            },
        }
    }

    fn quota(&self, kind: QuotaKind) -> octavia_model::Limit {
        let option = match kind {
            QuotaKind::LoadBalancer => &quotas::default_load_balancer_quota,
            QuotaKind::Listener => &quotas::default_listener_quota,
            QuotaKind::Pool => &quotas::default_pool_quota,
            QuotaKind::Member => &quotas::default_member_quota,
            QuotaKind::HealthMonitor => &quotas::default_health_monitor_quota,
            QuotaKind::L7Policy => &quotas::default_l7policy_quota,
            QuotaKind::L7Rule => &quotas::default_l7rule_quota,
        };
        // The table bounds it.
        i32::try_from(self.number(option))
            .ok()
            .and_then(octavia_model::Limit::new)
            .unwrap_or(octavia_model::Limit::UNLIMITED)
    }

    /// Only those that there are: load balancers of another would be made by the wrong one.
    fn providers(&mut self) -> Vec<(String, String)> {
        let option = &api_settings::enabled_provider_drivers;
        let (known, unknown): (Vec<_>, Vec<_>) = self
            .config
            .all_in_one(option)
            .unwrap_or_default()
            .into_iter()
            .partition(|(name, _)| ["amphora", "octavia"].contains(&name.as_str()));
        for (name, _) in unknown {
            let what =
                format!("there is no provider {name:?} here: it is left out; there are amphora and octavia");
            self.say(Severity::Warning, option, what);
        }
        if known.is_empty() {
            self.say(
                Severity::Error,
                option,
                "no provider is left; there are amphora and octavia".to_owned(),
            );
        }
        known
    }

    fn default_provider(&mut self, enabled: &[(String, String)]) -> String {
        let option = &api_settings::default_provider_driver;
        let default = self.config.all_in_one(option).unwrap_or_default();
        if !enabled.is_empty() && !enabled.iter().any(|(name, _)| *name == default) {
            let names: Vec<_> = enabled.iter().map(|(name, _)| name.as_str()).collect();
            let what = format!("{default:?} is not an enabled provider; allowed: {}", names.join(", "));
            // The default may have been left out of those enabled.
            match self.config.origin(option) {
                Origin::Default => self.say(Severity::Error, &api_settings::enabled_provider_drivers, what),
                Origin::File { .. } => self.say(Severity::Error, option, what),
            }
        }
        default
    }

    fn auth_strategy(&self) -> AuthStrategy {
        match self.config.all_in_one(&api_settings::auth_strategy).as_deref() {
            Some("noauth") => AuthStrategy::Noauth,
            _ => AuthStrategy::Keystone,
        }
    }

    fn base_uri(&mut self) -> Option<String> {
        let option = &api_settings::api_base_uri;
        let uri = self.config.all_in_one(option).filter(|uri| !uri.is_empty())?;
        let leads = |url: reqwest::Url| {
            ["http", "https"].contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none()
        };
        if uri.contains(char::is_whitespace) || !reqwest::Url::parse(&uri).is_ok_and(leads) {
            let what =
                format!("links that begin with {uri:?} lead nowhere; usual: http(s)://HOST[:PORT][/PATH]");
            self.say(Severity::Warning, option, what);
        }
        Some(uri)
    }

    fn database(&mut self) -> Option<String> {
        let url = self.config.all_in_one(&database::connection).filter(|url| !url.is_empty())?;
        match database_url(&url) {
            Ok(url) => Some(url),
            Err(what) => {
                self.say(Severity::Error, &database::connection, what);
                None
            }
        }
    }

    fn flag(&self, option: &Opt<bool>) -> bool {
        self.config.all_in_one(option).unwrap_or_default()
    }

    fn number(&self, option: &Opt<i64>) -> i64 {
        self.config.all_in_one(option).unwrap_or_default()
    }

    fn seconds(&self, option: &Opt<i64>) -> Duration {
        Duration::from_secs(self.number(option).unsigned_abs())
    }

    /// Of seconds, which the table bounds.
    fn fraction(&self, option: &Opt<f64>) -> Duration {
        Duration::try_from_secs_f64(self.config.all_in_one(option).unwrap_or_default()).unwrap_or_default()
    }

    fn say<T>(&mut self, severity: Severity, option: &Opt<T>, what: String) {
        let (file, line) = match self.config.origin(option) {
            Origin::Default => ("default".to_owned(), None),
            Origin::File { name, line } => (name.clone(), Some(*line)),
        };
        let (section, option) = (Some(option.spec.group.to_owned()), Some(option.spec.name.to_owned()));
        self.problems.push(Problem { severity, file, line, section, option, what });
    }
}

/// A URL for the store, of one that SQLAlchemy takes: that names the Python driver, too, a path without or with a fourth
/// slash is relative or absolute, and a password goes up to the `@`. What is said of a wrong one quotes nothing of it.
pub(crate) fn database_url(url: &str) -> Result<String, String> {
    let url = known_url(url)?;
    match octavia_store::check_url(&url) {
        Ok(()) => Ok(url),
        Err(StoreError::Url(what)) => Err(what),
        Err(error) => Err(error.to_string()),
    }
}

fn known_url(url: &str) -> Result<String, &'static str> {
    let (scheme, rest) =
        url.split_once("://").ok_or("not a URL; allowed: SCHEME://USER:PASSWORD@HOST/DATABASE")?;
    match scheme.split('+').next().unwrap_or_default() {
        "mysql" | "mariadb" => Ok(format!("mysql://{}", encoded(rest))),
        "postgresql" | "postgres" => Ok(format!("postgres://{}", encoded(rest))),
        "sqlite" => match rest.strip_prefix('/').map(|path| path.split('?').next().unwrap_or_default()) {
            Some(path) if !path.is_empty() && path != ":memory:" => Ok(format!("sqlite://{path}?mode=rwc")),
            _ => {
                Err("a database in memory would forget everything; allowed: sqlite:////PATH, or leave it out")
            }
        },
        _ => Err("no such kind of database; allowed: sqlite, postgresql, mysql, mariadb"),
    }
}

/// What may stand in a password to SQLAlchemy, and would end the host elsewhere.
fn encoded(rest: &str) -> Cow<'_, str> {
    let Some((user, after)) = rest.split_once(':').filter(|(user, _)| !user.contains(['/', '?', '#', '@']))
    else {
        return rest.into();
    };
    let Some((password, place)) = after.split_once('@') else { return rest.into() };
    let password = password.replace('/', "%2F").replace('?', "%3F").replace('#', "%23");
    format!("{user}:{password}@{place}").into()
}

#[cfg(test)]
mod tests {
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
        assert_eq!(settings.cert_lifetime, SignedDuration::from_hours(24 * 30));
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
        assert_eq!(applying.count(), 101 + together, "an option that applies belongs into the list above");
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
        assert_eq!(
            (w.allowed_origins.len(), w.max_age, w.allow_methods.join(" ").as_str()),
            (0, 8, "GET PUT")
        );
        assert_eq!((x.allowed_origins.join(" ").as_str(), x.max_age), ("https://x.test", 7));
        assert_eq!((x.allow_credentials, x.expose_headers.join(" ").as_str()), (false, "H"));
        assert_eq!((own.allow_credentials, &x.allow_headers), (true, &own.allow_headers));
    }

    #[test]
    fn database_urls() {
        for (written, wanted) in [
            ("mysql+pymysql://u:p@h/d?charset=utf8", Some("mysql://u:p@h/d?charset=utf8")),
            ("mariadb://h/d", Some("mysql://h/d")),
            ("postgresql+psycopg2://h/d", Some("postgres://h/d")),
            ("postgres://h/d", Some("postgres://h/d")),
            ("sqlite:////var/lib/o.db", Some("sqlite:///var/lib/o.db?mode=rwc")),
            ("sqlite:////var/lib/o.db?mode=rwc", Some("sqlite:///var/lib/o.db?mode=rwc")),
            ("sqlite:///o.db", Some("sqlite://o.db?mode=rwc")),
            ("sqlite://", None),
            ("sqlite:///:memory:", None),
            ("mysql://u:a#b/c?d@h/d", Some("mysql://u:a%23b%2Fc%3Fd@h/d")),
            (
                "postgresql://u:p@h/d?application_name=a%40b",
                Some("postgres://u:p@h/d?application_name=a%40b"),
            ),
            ("postgresql://u@h:1/d", Some("postgres://u@h:1/d")),
            ("postgresql://u:p@h:1x/d", None),
            ("mysql://u:a@b/c@h/d", None),
            ("mysql://u#:p@h/d", None),
            ("h/d", None),
            ("oracle://h", None),
        ] {
            assert_eq!(database_url(written).ok().as_deref(), wanted, "{written}");
        }
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
}
