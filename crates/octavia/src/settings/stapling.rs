//! Whether authorities are asked about certificates, and whom to ask.

use ipnet::IpNet;
use octavia_config::Severity;
use octavia_config::option::ocsp_stapling;
use octavia_control::{Stapling, StaplingOptions};

use super::Reader;

#[derive(Debug, Clone)]
pub(crate) struct StaplingSettings {
    enabled: bool,
    options: StaplingOptions,
}

impl StaplingSettings {
    /// `None` = nobody is asked.
    pub(crate) fn start(&self) -> Option<Stapling> {
        self.enabled.then(|| Stapling::new(self.options.clone()))
    }
}

impl Reader<'_> {
    pub(super) fn stapling(&mut self) -> StaplingSettings {
        let option = &ocsp_stapling::allowed_networks;
        let mut allowed_networks = vec![];
        for text in self.config.all_in_one(option).unwrap_or_default() {
            match text.parse::<IpNet>() {
                Ok(network) => allowed_networks.push(network),
                Err(_) => {
                    let what = format!("{text:?} is no network in CIDR notation, such as 10.0.0.0/8");
                    self.say(Severity::Error, option, what);
                }
            }
        }
        let timeout = self.seconds(&ocsp_stapling::timeout);
        StaplingSettings {
            enabled: self.flag(&ocsp_stapling::enabled),
            options: StaplingOptions { allowed_networks, timeout },
        }
    }
}
