//! Where amphorae tell of finished requests and connections.

use std::net::{IpAddr, SocketAddr};

use octavia_config::Severity;
use octavia_config::option::{access_log, amphora_agent, haproxy_amphora};
use octavia_plan::AccessLogOptions;
use octavia_wire::{LogFormat, LogFormatSpec, LogTarget};

use super::Reader;

#[derive(Debug, Clone)]
pub(crate) struct AccessLogSettings {
    enabled: bool,
    json: bool,
    format: String,
    file: Option<String>,
    daemon: Option<String>,
    remote: Vec<SocketAddr>,
    tcp: bool,
    facility: u8,
    /// Seconds.
    retry: u32,
}

impl AccessLogSettings {
    /// `None` = nowhere.
    pub(crate) fn options(&self) -> Option<AccessLogOptions> {
        let facility = self.facility;
        let file = self.file.clone().map(LogTarget::File);
        let daemon = self.daemon.clone().map(|path| LogTarget::Daemon { path, facility });
        let remote = (!self.remote.is_empty()).then(|| LogTarget::Remote {
            addresses: self.remote.clone(),
            tcp: self.tcp,
            facility,
            retry: self.retry,
        });
        let targets: Vec<_> = [file, daemon, remote].into_iter().flatten().collect();
        let format = match self.json {
            true => LogFormatSpec::Json,
            false => LogFormatSpec::Text(self.format.clone()),
        };
        (self.enabled && !targets.is_empty()).then_some(AccessLogOptions { format, targets })
    }
}

impl Reader<'_> {
    pub(super) fn access_log(&mut self) -> AccessLogSettings {
        let path = |path: Option<String>| path.filter(|path| !path.is_empty());
        AccessLogSettings {
            enabled: self.flag(&haproxy_amphora::connection_logging),
            json: self.flag(&access_log::json),
            format: self.log_format(),
            file: path(self.config.all_in_one(&access_log::file)),
            daemon: path(self.config.all_in_one(&access_log::daemon)),
            remote: self.log_hosts(),
            tcp: self.config.all_in_one(&amphora_agent::log_protocol).is_some_and(|word| word == "TCP"),
            // The table bounds them.
            facility: self.number(&amphora_agent::user_log_facility) as u8,
            retry: self.number(&amphora_agent::log_retry_interval) as u32,
        }
    }

    fn log_format(&mut self) -> String {
        let option = &haproxy_amphora::user_log_format;
        let text = self.config.all_in_one(option).unwrap_or_default();
        match LogFormat::parse(&text) {
            Err(error) => self.say(Severity::Error, option, format!("no format of lines: {error}")),
            Ok(format) if format.unknown.is_empty() => {}
            Ok(format) => {
                let what = format!("not known here, and told as a dash: {}", format.unknown.join(" "));
                self.say(Severity::Warning, option, what);
            }
        }
        text
    }

    /// An amphora's proxy asks nobody for names.
    fn log_hosts(&mut self) -> Vec<SocketAddr> {
        let option = &amphora_agent::tenant_log_targets;
        let mut hosts = vec![];
        for word in self.config.all_in_one(option).unwrap_or_default() {
            match address(&word) {
                Some(address) => hosts.push(address),
                None => {
                    let what =
                        format!("{word:?} is left out: amphorae look up no names, and want an address");
                    self.say(Severity::Warning, option, what);
                }
            }
        }
        if hosts.len() > LogTarget::ADDRESSES_MAX {
            let what = format!("more than {} addresses", LogTarget::ADDRESSES_MAX);
            self.say(Severity::Error, option, what);
            hosts.truncate(LogTarget::ADDRESSES_MAX);
        }
        hosts
    }
}

fn address(word: &str) -> Option<SocketAddr> {
    let (host, port) = word.trim().rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use octavia_config::{Config, Source};

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn lines_go_where_they_are_told_to() {
        let file = || LogTarget::File("a".to_owned());
        let remote = |tcp, facility, retry| LogTarget::Remote {
            addresses: vec!["192.0.2.1:514".parse().unwrap(), "[2001:db8::1]:515".parse().unwrap()],
            tcp,
            facility,
            retry,
        };
        let hosts = "[amphora_agent]\ntenant_log_targets = 192.0.2.1:514, 2001:db8::1:515\n";
        for (text, targets) in [
            (String::new(), None),
            ("[access_log]\njson = yes".to_owned(), None),
            ("[access_log]\nfile =".to_owned(), None),
            ("[access_log]\nfile = a".to_owned(), Some(vec![file()])),
            ("[access_log]\nfile = a\n[haproxy_amphora]\nconnection_logging = no".to_owned(), None),
            (hosts.to_owned(), Some(vec![remote(false, 0, 2)])),
            (
                format!(
                    "{hosts}log_protocol = TCP\nuser_log_facility = 3\nlog_retry_interval = 9\n[access_log]\nfile = a"
                ),
                Some(vec![file(), remote(true, 3, 9)]),
            ),
        ] {
            let source = Source { name: "f".to_owned(), text: text.clone().into_bytes() };
            let (config, problems) = Config::read(&[source]);
            assert!(problems.is_empty(), "{problems:?}");
            let (settings, problems) = Settings::read(&config);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(settings.access_log.options().map(|log| log.targets), targets, "{text}");
        }
    }
}
