//! `[keystone_authtoken]`: a Keystone that checks the tokens of callers.

use std::time::Duration;

use anyhow::Context;
use octavia_config::option::keystone_authtoken as option;
use octavia_config::{Config, Opt, Problem};
use octavia_keystone::{Keystone, KeystoneOptions, SessionOptions};

use super::login::{CONNECT_TIMEOUT, KEYSTONE_AUTHTOKEN, LoginReader, REQUEST_TIMEOUT};

#[derive(Debug, Clone)]
pub(crate) struct KeystoneSettings {
    pub(crate) options: KeystoneOptions,
}

impl KeystoneSettings {
    pub(crate) fn open(&self) -> anyhow::Result<Keystone> {
        Keystone::open(self.options.clone()).context("[keystone_authtoken]")
    }
}

/// `None` = the section says nothing of where Keystone is, nor how to log in.
pub(crate) fn read(config: &Config, problems: &mut Vec<Problem>) -> Option<KeystoneSettings> {
    let reader = LoginReader::new(config, &KEYSTONE_AUTHTOKEN);
    if !reader.begun() && config.given(&option::www_authenticate_uri).is_none() {
        return None;
    }
    match options(config, &reader) {
        Ok(options) => Some(KeystoneSettings { options }),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn options(config: &Config, reader: &LoginReader<'_>) -> Result<KeystoneOptions, Problem> {
    let www = reader.text(&option::www_authenticate_uri);
    let auth_url = reader.auth_url(www.as_deref())?;
    let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
    let number = |option: &Opt<i64>| config.all_in_one(option);
    let retries = number(&option::http_request_max_retries).and_then(|retries| u32::try_from(retries).ok());
    Ok(KeystoneOptions {
        www_authenticate_uri: www.unwrap_or_else(|| auth_url.clone()),
        session: SessionOptions {
            section: KEYSTONE_AUTHTOKEN.name,
            auth_url,
            login: reader.login()?,
            tls: reader.tls(),
            connect_timeout: number(&option::http_connect_timeout).map_or(CONNECT_TIMEOUT, seconds),
            request_timeout: REQUEST_TIMEOUT,
            retries: retries.unwrap_or_default(),
        },
        interface: reader.text(&option::interface).unwrap_or_default(),
        region: reader.text(&option::region_name),
        cache_time: number(&option::token_cache_time).filter(|seconds| *seconds >= 0).map(seconds),
        service_token_roles: config.all_in_one(&option::service_token_roles).unwrap_or_default(),
        service_token_roles_required: config
            .all_in_one(&option::service_token_roles_required)
            .unwrap_or(true),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use octavia_config::Source;
    use octavia_keystone::Login;

    use super::*;

    const BASE: &str = "auth_url = http://k:5000\nusername = u\npassword = p\nuser_domain_name = Default\n\
                        project_name = service\nproject_domain_name = Default\n";

    /// Each, and a section in which it makes a difference.
    pub(in crate::settings) const OPTIONS: &[(&str, &str)] = &[
        ("auth_url", "http://other"),
        ("www_authenticate_uri", "http://public"),
        ("interface", "admin"),
        ("http_connect_timeout", "3"),
        ("http_request_max_retries", "0"),
        ("cafile", "/ca.pem"),
        ("insecure", "yes"),
        ("region_name", "here"),
        ("token_cache_time", "-1"),
        ("service_token_roles", "a,b"),
        ("service_token_roles_required", "no"),
        (
            "auth_type",
            "v3applicationcredential\napplication_credential_id=i\napplication_credential_secret=s",
        ),
        ("username", "other"),
        ("user_id", "u1"),
        ("user_domain_name", "other"),
        ("user_domain_id", "d1"),
        ("password", "secret"),
        ("project_name", "other"),
        ("project_id", "p1"),
        ("project_domain_name", "other"),
        ("project_domain_id", "d1"),
        ("system_scope", "all"),
        ("application_credential_id", "i\napplication_credential_secret=s"),
        ("application_credential_name", "n\napplication_credential_secret=s"),
        ("application_credential_secret", "s\napplication_credential_id=i"),
        (
            "auth_section",
            "service_auth\n[service_auth]\nauth_url=http://k\nauth_type=v3applicationcredential\n\
          application_credential_id=i\napplication_credential_secret=s",
        ),
    ];

    fn settings(section: &str) -> (Option<KeystoneSettings>, Vec<String>) {
        let text = format!("[keystone_authtoken]\n{section}");
        let (config, problems) = Config::read(&[Source { name: "f".to_owned(), text: text.into_bytes() }]);
        assert!(problems.is_empty(), "{problems:?}");
        let mut problems = vec![];
        let settings = read(&config, &mut problems);
        (settings, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_option_that_applies_has_an_effect() {
        let with_login = |settings: Option<KeystoneSettings>| {
            let settings = settings.unwrap();
            let secret = match &settings.options.session.login {
                Login::Password { password, .. } => password.clone(),
                Login::ApplicationCredential { secret, .. } => secret.clone(),
            };
            format!("{settings:?} {secret}")
        };
        let base = with_login(settings(BASE).0);
        for (name, value) in OPTIONS {
            let (found, problems) = settings(&format!("{BASE}{name} = {value}\n"));
            assert_eq!(problems, [""; 0], "{name}");
            assert_ne!(with_login(found), base, "{name}");
        }
    }

    #[test]
    fn no_section_is_no_keystone_and_secrets_are_not_shown() {
        assert!(settings("").0.is_none() && settings("token_cache_time = 7").0.is_none());
        let shown = format!("{:?}", settings(&format!("{BASE}password = QzX7")).0);
        assert!(!shown.contains("QzX7") && shown.contains("http://k:5000"), "{shown}");
    }

    #[test]
    fn what_is_missing_or_wrong() {
        let without = |name: &str| {
            BASE.lines()
                .filter(|line| !line.starts_with(name))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        for (section, wanted) in [
            (without("auth_url"), "default: error: [keystone_authtoken] auth_url: it is needed"),
            (without("username"), "default: error: [keystone_authtoken] username: it is needed"),
            (without("password"), "default: error: [keystone_authtoken] password: it is needed"),
            (without("project_name"), "default: error: [keystone_authtoken] project_name: it is needed"),
            (without("user_domain"), "default: error: [keystone_authtoken] user_domain_name: it is needed"),
            (
                without("project_domain"),
                "default: error: [keystone_authtoken] project_domain_name: it is needed",
            ),
            (format!("{BASE}auth_url = k:5000"), "f:8: error: [keystone_authtoken] auth_url: not a URL"),
            (
                format!("{BASE}auth_type = v2password"),
                "f:8: error: [keystone_authtoken] auth_type: no such way",
            ),
            (
                format!("{BASE}system_scope = x"),
                "f:8: error: [keystone_authtoken] system_scope: no such scope",
            ),
            (
                format!("{BASE}auth_section = neutron"),
                "f:8: error: [keystone_authtoken] auth_section: no such section to log in with",
            ),
            (
                "auth_url = http://k\nauth_type = v3applicationcredential".to_owned(),
                "default: error: [keystone_authtoken] application_credential_id: it is needed",
            ),
            (
                "auth_url = http://k\napplication_credential_name = n\napplication_credential_secret = s"
                    .to_owned(),
                "default: error: [keystone_authtoken] username: it is needed",
            ),
        ] {
            let (found, problems) = settings(&section);
            assert!(found.is_none() && problems.len() == 1, "{section}");
            assert!(problems[0].starts_with(wanted), "{section}: {problems:?}");
        }
        // The address that callers are told serves as well.
        let only = without("auth_url") + "www_authenticate_uri = http://w\n";
        assert_eq!(settings(&only).0.unwrap().options.session.auth_url, "http://w");
    }
}
