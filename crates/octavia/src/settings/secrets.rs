//! `[certificates]` and `[service_auth]`: where references to certificates lead.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use octavia_cloud::{Barbican, HttpOptions, NoopSecrets, Secrets};
use octavia_config::option::{certificates, service_auth};
use octavia_config::{Opt, Problem, Severity};
use octavia_keystone::{ServiceLogin, SessionOptions, TlsOptions, Wanted, client_config};

use super::Reader;
use super::login::{CONNECT_TIMEOUT, KEYSTONE_AUTHTOKEN, LoginReader, REQUEST_TIMEOUT, SERVICE_AUTH};

/// How often a login is tried again that got no answer.
const RETRIES: u32 = 3;

#[derive(Debug, Clone)]
pub(crate) enum SecretsSettings {
    /// Into the embedded vault.
    Vault,
    /// There too; and to a certificate that was made up where nothing is.
    Anything,
    Barbican(Box<BarbicanSettings>),
}

#[derive(Debug, Clone)]
pub(crate) struct BarbicanSettings {
    session: SessionOptions,
    wanted: Wanted,
    /// In place of the catalogue's.
    endpoint: Option<String>,
    tls: TlsOptions,
}

impl SecretsSettings {
    /// `vault`: the local cloud's.
    pub(crate) fn open(&self, vault: Arc<dyn Secrets>) -> anyhow::Result<Arc<dyn Secrets>> {
        match self {
            Self::Vault => Ok(vault),
            Self::Anything => Ok(Arc::new(NoopSecrets::over(vault)?)),
            Self::Barbican(barbican) => {
                let endpoint = barbican.endpoint.as_deref().unwrap_or("of the catalogue");
                tracing::info!(
                    endpoint = %octavia_config::without_userinfo(endpoint),
                    "references to certificates lead to Barbican; the embedded one's are not taken"
                );
                Ok(Arc::new(barbican.connect()?))
            }
        }
    }
}

impl BarbicanSettings {
    /// What a connection to Keystone, and one to Barbican, believes.
    pub(super) const fn tls(&self) -> [&TlsOptions; 2] {
        [&self.session.tls, &self.tls]
    }

    /// Nobody is asked yet.
    pub(crate) fn connect(&self) -> anyhow::Result<Barbican> {
        let login =
            ServiceLogin::open(self.session.clone(), self.wanted.clone()).context("[service_auth]")?;
        let tls = client_config(&self.tls).map_err(anyhow::Error::msg).context("[certificates]")?;
        let options = HttpOptions { tls: Some(Arc::new(tls)), ..HttpOptions::default() };
        Barbican::new(self.endpoint.as_deref(), options, Box::new(login)).context("[certificates] endpoint")
    }
}

impl Reader<'_> {
    pub(super) fn secrets(&mut self) -> SecretsSettings {
        let manager = self.config.all_in_one(&certificates::cert_manager).unwrap_or_default();
        match manager.as_str() {
            "noop_cert_manager" => return SecretsSettings::Anything,
            "barbican_cert_manager" => {}
            other => {
                let what = format!(
                    "there is no {other} here; there are barbican_cert_manager, which is used, and \
                     noop_cert_manager"
                );
                self.say(Severity::Warning, &certificates::cert_manager, what);
            }
        }
        let login = LoginReader::new(self.config, &SERVICE_AUTH);
        if !login.begun() {
            if LoginReader::new(self.config, &KEYSTONE_AUTHTOKEN).begun() {
                let what = "not set, although [keystone_authtoken] has callers' tokens checked by a Keystone elsewhere: \
                            references to certificates lead to the embedded vault, which takes no tokens of that one; to \
                            use Barbican, say in [service_auth] how the service logs in";
                self.say(Severity::Warning, &service_auth::auth_url, what.to_owned());
            }
            return SecretsSettings::Vault;
        }
        match self.barbican(&login) {
            Ok(barbican) => SecretsSettings::Barbican(Box::new(barbican)),
            Err(problem) => {
                self.problems.push(problem);
                SecretsSettings::Vault
            }
        }
    }

    fn barbican(&self, login: &LoginReader<'_>) -> Result<BarbicanSettings, Problem> {
        let text = |option: &Opt<String>| login.text(option);
        let timeout = self.config.all_in_one(&service_auth::timeout);
        let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let endpoint = text(&certificates::endpoint);
        if endpoint.as_ref().is_some_and(|url| !(url.starts_with("http://") || url.starts_with("https://"))) {
            return Err(login.problem(&certificates::endpoint, "not a URL; allowed: http://… or https://…"));
        }
        Ok(BarbicanSettings {
            session: SessionOptions {
                section: SERVICE_AUTH.name,
                auth_url: login.auth_url(None)?,
                login: login.login()?,
                tls: login.tls(),
                connect_timeout: CONNECT_TIMEOUT,
                request_timeout: timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(REQUEST_TIMEOUT),
                retries: RETRIES,
            },
            wanted: Wanted {
                kind: "key-manager",
                name: text(&certificates::service_name),
                interface: text(&certificates::endpoint_type).unwrap_or_default(),
                region: text(&certificates::region_name),
            },
            endpoint,
            tls: TlsOptions {
                cafile: text(&certificates::ca_certificates_file).map(Into::into),
                insecure: self.flag(&certificates::insecure),
            },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use octavia_config::{Config, Source};

    use super::*;
    use crate::settings::Settings;

    const BASE: &str = "[service_auth]\nauth_url = http://k:5000\nusername = octavia\npassword = p\n\
                        user_domain_name = Default\nproject_name = service\nproject_domain_name = Default\n";

    /// Each, and what makes a difference, beside [`BASE`].
    pub(in crate::settings) const OPTIONS: &[&str] = &[
        "[certificates]\ncert_manager = noop_cert_manager",
        "[certificates]\nservice_name = barbican",
        "[certificates]\nendpoint = http://b:9311",
        "[certificates]\nregion_name = here",
        "[certificates]\nendpoint_type = internalURL",
        "[certificates]\nca_certificates_file = /ca.pem",
        "[certificates]\ninsecure = yes",
        "auth_url = http://other",
        "cafile = /ca.pem",
        "insecure = yes",
        "timeout = 3.5",
        "auth_type = v3applicationcredential\napplication_credential_id=i\napplication_credential_secret=s",
        "auth_section = keystone_authtoken\n[keystone_authtoken]\nauth_url=http://k\nusername=u\npassword=p\n\
         user_domain_id=d\nproject_id=p",
        "username = other",
        "user_id = u1",
        "user_domain_name = other",
        "user_domain_id = d1",
        "password = secret",
        "project_name = other",
        "project_id = p1",
        "project_domain_name = other",
        "project_domain_id = d1",
        "system_scope = all",
        "application_credential_id = i\napplication_credential_secret=s",
        "application_credential_name = n\napplication_credential_secret=s",
        "application_credential_secret = s\napplication_credential_id=i",
    ];

    fn read(text: &str) -> (Settings, Vec<String>) {
        let source = Source { name: "f".to_owned(), text: text.as_bytes().to_vec() };
        let (config, problems) = Config::read(&[source]);
        assert!(problems.is_empty(), "{problems:?}");
        let (settings, problems) = Settings::read(&config);
        (settings, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_option_that_applies_has_an_effect() {
        let seen = |text: &str| {
            let (settings, problems) = read(text);
            assert_eq!(problems, [""; 0], "{text}");
            let password = match &settings.secrets {
                SecretsSettings::Barbican(barbican) => match &barbican.session.login {
                    octavia_keystone::Login::Password { password, .. } => password.clone(),
                    octavia_keystone::Login::ApplicationCredential { secret, .. } => secret.clone(),
                },
                _ => String::new(),
            };
            format!("{:?} {password}", settings.secrets)
        };
        let base = seen(BASE);
        for text in OPTIONS {
            assert_ne!(seen(&format!("{BASE}{text}\n")), base, "{text}");
        }
    }

    #[test]
    fn without_a_login_there_is_the_vault() {
        for text in ["", "[certificates]\nendpoint = http://b", "[service_auth]\ninsecure = yes"] {
            let (settings, problems) = read(text);
            assert!(matches!(settings.secrets, SecretsSettings::Vault) && problems.is_empty(), "{text}");
        }
        let shown = format!("{:?}", read(&format!("{BASE}password = QzX7")).0.secrets);
        assert!(shown.contains("Barbican") && !shown.contains("QzX7"), "{shown}");
    }

    #[test]
    fn what_is_missing_or_wrong() {
        let elsewhere = BASE.replace("[service_auth]", "[keystone_authtoken]");
        for (text, wanted) in [
            (
                elsewhere.clone(),
                "default: warning: [service_auth] auth_url: not set, although [keystone_authtoken] has",
            ),
            (
                "[certificates]\ncert_manager = castellan_cert_manager".to_owned(),
                "f:2: warning: [certificates] cert_manager: there is no castellan_cert_manager here",
            ),
            (BASE.replace("password = p\n", ""), "default: error: [service_auth] password: it is needed"),
            (
                BASE.replace("auth_url = http://k:5000\n", ""),
                "default: error: [service_auth] auth_url: it is needed",
            ),
            (
                format!("{BASE}auth_section = neutron"),
                "f:8: error: [service_auth] auth_section: no such section to log in with",
            ),
            (
                format!("{BASE}auth_section = keystone_authtoken"),
                "default: error: [keystone_authtoken] auth_url: it is needed",
            ),
            (
                format!("{BASE}[certificates]\nendpoint = b:9311"),
                "f:9: error: [certificates] endpoint: not a URL",
            ),
        ] {
            let (_, problems) = read(&text);
            assert!(problems.len() == 1 && problems[0].starts_with(wanted), "{text}: {problems:?}");
        }
        let nowhere = format!("{elsewhere}[certificates]\ncert_manager = noop_cert_manager");
        assert_eq!(read(&nowhere).1, [""; 0], "nobody asks the vault");
    }
}
