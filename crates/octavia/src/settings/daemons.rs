//! What the command lines of daemons say over the configuration.

use std::net::SocketAddr;

use octavia_api::DataPlane;

use super::Settings;
use crate::args::{ApiDaemonOptions, DaemonOptions, PendingWrites};

impl Settings {
    /// What all daemons are told.
    pub(crate) fn with_daemon(mut self, options: &DaemonOptions) -> Self {
        self.database = options.database.clone().or(self.database);
        self.api.data_plane = DataPlane::Built;
        if let Some(metrics) = options.metrics {
            self.metrics.enabled = true;
            self.metrics.bind = metrics;
        }
        self
    }

    pub(crate) fn with_api(mut self, options: &ApiDaemonOptions) -> Self {
        self.bind = options.bind.unwrap_or(self.bind);
        self.auth_strategy = options.auth_strategy.unwrap_or(self.auth_strategy);
        self.with_pending_writes(options.pending_writes)
    }

    pub(crate) fn with_heartbeats_at(mut self, bind: Option<SocketAddr>) -> Self {
        if let Some(bind) = bind {
            self.heartbeats = self.heartbeats.at(bind);
        }
        self
    }

    pub(super) fn with_pending_writes(mut self, wanted: Option<PendingWrites>) -> Self {
        self.api.pending_writes = match wanted {
            Some(PendingWrites::Queue) => octavia_api::PendingWrites::Queue,
            Some(PendingWrites::Reject) => octavia_api::PendingWrites::Reject,
            None => self.api.pending_writes,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn the_command_line_wins() {
        let parsed = |words: &[&str]| {
            let words = ["octavia"].iter().chain(words);
            Args::parse_from(words).command
        };
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let none = ["worker", "--state-dir=x"];
        let Command::Worker(options) = parsed(&none) else { panic!() };
        let settings = Settings::default().with_daemon(&options);
        assert_eq!(settings.database, None);
        assert!(!settings.metrics.enabled);
        let all = ["housekeeping", "--state-dir=x", "--database=postgres://h/d", "--metrics=127.0.0.1:7"];
        let Command::Housekeeping(options) = parsed(&all) else { panic!() };
        let settings = Settings::default().with_daemon(&options);
        assert_eq!(settings.database.as_deref(), Some("postgres://h/d"));
        assert!(settings.metrics.enabled && settings.metrics.bind == address("127.0.0.1:7"));
        let Command::HealthManager(options) = parsed(&["health-manager", "--state-dir=x", "--bind=[::1]:7"])
        else {
            panic!()
        };
        let settings = Settings::default().with_heartbeats_at(options.bind);
        assert_eq!(settings.heartbeats.address([127, 0, 0, 1].into()), address("[::1]:7"));
        let api =
            ["api", "--state-dir=x", "--bind=[::1]:8", "--auth-strategy=noauth", "--pending-writes=reject"];
        let Command::Api(options) = parsed(&api) else { panic!() };
        let settings = Settings::default().with_api(&options);
        assert_eq!(settings.bind, address("[::1]:8"));
        assert_eq!(settings.api.pending_writes, octavia_api::PendingWrites::Reject);
        assert_eq!(settings.auth_strategy, crate::args::AuthStrategy::Noauth);
    }
}
