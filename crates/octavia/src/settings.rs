//! What an `all-in-one`, or one of the daemons, runs with: what `octavia.conf` says, and over it what the command line says.

mod access_log;
mod api;
mod cors;
mod daemons;
pub(crate) mod database;
mod files;
mod heartbeats;
pub(crate) mod keystone;
mod login;
pub(crate) mod pairs;
pub(crate) mod secrets;
mod service;
mod sorry;
mod stapling;
mod tls;
mod trust;
mod users;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::SignedDuration;
use octavia_api::{ApiOptions, DataPlane};
use octavia_cloud::local::NetnsOptions;
use octavia_config::option::{
    DEFAULT, api_settings, haproxy_amphora, health_manager, house_keeping, oslo_policy,
};
use octavia_config::{Config, Opt, Origin, Problem, Severity};
use octavia_control::VrrpOptions;
use octavia_store::StoreOptions;

use self::access_log::AccessLogSettings;
use self::heartbeats::HeartbeatSettings;
use self::keystone::KeystoneSettings;
use self::secrets::SecretsSettings;
use self::sorry::SorrySettings;
use self::stapling::StaplingSettings;
use self::trust::TrustSettings;
use crate::args::{AllInOneOptions, AuthStrategy, NetworkKind};
use crate::audit::AuditSettings;
use crate::metrics::MetricsSettings;
use crate::policy::PolicySettings;

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
    pub(crate) vrrp: VrrpOptions,
    pub(crate) agent_connect_timeout: Duration,
    pub(crate) agent_request_timeout: Duration,
    pub(crate) trust: TrustSettings,
    /// Amphorae that boot before anybody needs them.
    pub(crate) spares: usize,
    /// Load balancers whose servers may be in the making at once; `None` = any number.
    pub(crate) builds: Option<usize>,
    pub(crate) heartbeats: HeartbeatSettings,
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
        self.with_pending_writes(options.pending_writes)
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
            store: self.store(),
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
            vrrp: self.vrrp(),
            agent_connect_timeout: self.fraction(&haproxy_amphora::rest_request_conn_timeout),
            agent_request_timeout: self.fraction(&haproxy_amphora::rest_request_read_timeout),
            trust: self.trust(),
            // As in the original, nothing below 1 is a limit.
            builds: usize::try_from(self.number(&haproxy_amphora::build_rate_limit))
                .ok()
                .filter(|most| *most > 0),
            spares: usize::try_from(self.number(&house_keeping::spare_amphora_pool_size)).unwrap_or(0),
            heartbeats: self.heartbeats(),
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

    fn auth_strategy(&self) -> AuthStrategy {
        match self.config.all_in_one(&api_settings::auth_strategy).as_deref() {
            Some("noauth") => AuthStrategy::Noauth,
            _ => AuthStrategy::Keystone,
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

#[cfg(test)]
mod tests;
