//! How the API answers.

use std::net::IpAddr;

use octavia_api::ApiOptions;
use octavia_config::option::{api_settings, networking, oslo_middleware, quotas};
use octavia_config::{Limit, Origin, Severity};
use octavia_model::QuotaKind;

use super::Reader;
use super::tls::{LISTENER_TLS, POOL_TLS};

impl Reader<'_> {
    pub(super) fn api(&mut self) -> ApiOptions {
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
            default_topology: self.topology(),
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
}
