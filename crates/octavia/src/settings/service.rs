//! What surrounds the API: health check, records, numbers, the end.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use octavia_api::{HealthcheckBackend, HealthcheckOptions};
use octavia_config::option::{DEFAULT, api_settings, audit, healthcheck, metrics};
use octavia_config::{Opt, Severity};

use super::Reader;
use crate::audit::AuditSettings;
use crate::metrics::MetricsSettings;

impl Reader<'_> {
    pub(super) fn grace(&self) -> Duration {
        match self.seconds(&DEFAULT::graceful_shutdown_timeout) {
            Duration::ZERO => Duration::MAX,
            some => some,
        }
    }

    pub(super) fn healthcheck(&mut self) -> HealthcheckOptions {
        let backend = |name: &str| {
            let known = HealthcheckBackend::NAMES.iter().find(|(known, _)| *known == name);
            known.map(|(_, backend)| *backend).ok_or_else(|| {
                let names = HealthcheckBackend::NAMES.map(|(name, _)| name).join(", ");
                format!("there is no check {name:?}; allowed: {names}")
            })
        };
        let port_and_path = |text: &str| {
            let pair = text.split_once(':').and_then(|(port, path)| Some((port.trim().parse().ok()?, path)));
            match pair {
                Some((port, path)) if !path.trim().is_empty() => Ok((port, PathBuf::from(path.trim()))),
                _ => Err(format!("{text:?} is not port:path")),
            }
        };
        let network = |text: &str| {
            let address = |text: &str| text.parse::<IpAddr>().ok().map(Into::into);
            text.parse().ok().or_else(|| address(text)).ok_or_else(|| format!("{text:?} is no network"))
        };
        let path = self.config.all_in_one(&healthcheck::disable_by_file_path);
        HealthcheckOptions {
            enabled: self.flag(&api_settings::healthcheck_enabled),
            backends: self.each(&healthcheck::backends, backend),
            detailed: self.flag(&healthcheck::detailed),
            refresh: self.seconds(&api_settings::healthcheck_refresh_interval),
            disable_by_file: path.filter(|path| !path.is_empty()).map(PathBuf::from),
            disable_by_ports: self.each(&healthcheck::disable_by_file_paths, port_and_path),
            enable_by_files: self.each(&healthcheck::enable_by_file_paths, |path| Ok(PathBuf::from(path))),
            allowed_sources: self.each(&healthcheck::allowed_source_ranges, network),
            ignore_proxied: self.flag(&healthcheck::ignore_proxied_requests),
        }
    }

    pub(super) fn audit(&self) -> AuditSettings {
        let ignored = self.config.all_in_one(&audit::ignore_req_list).unwrap_or_default();
        let ignored = ignored.split(',').map(|method| method.trim().to_ascii_uppercase());
        let file = self.config.all_in_one(&audit::file).filter(|path| !path.is_empty());
        AuditSettings {
            enabled: self.flag(&audit::enabled),
            file: file.map(PathBuf::from),
            queue: usize::try_from(self.number(&audit::queue_size)).unwrap_or(usize::MAX),
            ignored_methods: ignored.filter(|method| !method.is_empty()).collect(),
        }
    }

    pub(super) fn metrics(&self) -> MetricsSettings {
        let host = self.config.all_in_one(&metrics::bind_host);
        let host = host.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let port = self.config.all_in_one(&metrics::bind_port).unwrap_or_default();
        MetricsSettings {
            enabled: self.flag(&metrics::enabled),
            bind: SocketAddr::new(host, port),
            refresh: self.seconds(&metrics::refresh_interval),
        }
    }

    pub(super) fn words(&self, option: &Opt<Vec<String>>) -> Vec<String> {
        filled(self.config.all_in_one(option).unwrap_or_default())
    }

    /// What each word means; of those that mean nothing, that is said.
    pub(super) fn each<T>(
        &mut self,
        option: &Opt<Vec<String>>,
        meaning: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut found = vec![];
        for word in self.words(option) {
            match meaning(&word) {
                Ok(value) => found.push(value),
                Err(what) => self.say(Severity::Error, option, what),
            }
        }
        found
    }
}

/// Without the empty ones.
pub(super) fn filled(mut words: Vec<String>) -> Vec<String> {
    words.retain(|word| !word.is_empty());
    words
}
