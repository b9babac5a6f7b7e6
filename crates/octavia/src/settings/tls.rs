//! TLS preferences of those who have none, and whether they go with the rest.

use octavia_api::TlsDefaults;
use octavia_config::option::api_settings;
use octavia_config::{Opt, Severity};
use octavia_model::{Tls, TlsVersion};

use super::Reader;

/// Every version that a configuration may name, oldest first.
const VERSIONS: [&str; 5] = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Where the preferences of one side are.
pub(super) struct Options {
    ciphers: &'static Opt<String>,
    versions: &'static Opt<Vec<String>>,
    alpn_protocols: &'static Opt<Vec<String>>,
}

pub(super) const LISTENER_TLS: Options = Options {
    ciphers: &api_settings::default_listener_ciphers,
    versions: &api_settings::default_listener_tls_versions,
    alpn_protocols: &api_settings::default_listener_alpn_protocols,
};

pub(super) const POOL_TLS: Options = Options {
    ciphers: &api_settings::default_pool_ciphers,
    versions: &api_settings::default_pool_tls_versions,
    alpn_protocols: &api_settings::default_pool_alpn_protocols,
};

impl Reader<'_> {
    /// Names between colons.
    pub(super) fn ciphers(&self, option: &Opt<String>) -> Vec<String> {
        let text = self.config.all_in_one(option).unwrap_or_default();
        text.split(':').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// As with the original, nobody who names nothing gets what nobody may name.
    pub(super) fn tls_defaults(
        &mut self,
        options: &Options,
        prohibited: &[String],
        minimum: Option<&str>,
    ) -> TlsDefaults {
        let named = self.config.all_in_one(options.versions).unwrap_or_default();
        let age = |version: &str| VERSIONS.iter().position(|known| *known == version);
        let too_old = |version: &&String| minimum.is_some_and(|lowest| age(version) < age(lowest));
        let low: Vec<_> = named.iter().filter(too_old).cloned().collect();
        if let Some(lowest) = minimum.filter(|_| !low.is_empty()) {
            let what = format!("below minimum_tls_version ({lowest}): {}", low.join(", "));
            self.say(Severity::Error, options.versions, what);
        }
        let is_spoken = |version: &String| TlsVersion::WORDS.contains(&version.as_str());
        let (versions, silent): (Vec<_>, Vec<_>) = named.into_iter().partition(is_spoken);
        if !silent.is_empty() && low.is_empty() {
            let (silent, spoken) = (silent.join(", "), TlsVersion::WORDS.join(" and "));
            let what = format!("{silent} is not spoken here: it is left out; there are {spoken}");
            self.say(Severity::Warning, options.versions, what);
        }
        let both: Vec<_> =
            self.ciphers(options.ciphers).into_iter().filter(|name| prohibited.contains(name)).collect();
        if !both.is_empty() {
            let what = format!("{} is in tls_cipher_prohibit_list", both.join(", "));
            self.say(Severity::Error, options.ciphers, what);
        }
        let tls = Tls {
            ciphers: self.config.all_in_one(options.ciphers),
            versions: Some(versions),
            alpn_protocols: self.config.all_in_one(options.alpn_protocols),
        };
        if tls.spoken_versions().is_empty() {
            self.say(Severity::Error, options.versions, "no version is left that is spoken here".to_owned());
        } else if tls.spoken_ciphers().is_empty() {
            let what = "none of them is spoken here with these versions of TLS".to_owned();
            self.say(Severity::Error, options.ciphers, what);
        }
        TlsDefaults {
            ciphers: tls.ciphers.unwrap_or_default(),
            versions: tls.versions.unwrap_or_default(),
            alpn_protocols: tls.alpn_protocols.unwrap_or_default(),
        }
    }
}
