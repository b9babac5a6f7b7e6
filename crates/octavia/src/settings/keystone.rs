//! `[keystone_authtoken]`: a Keystone that checks the tokens of callers.

use std::time::Duration;

use anyhow::Context;
use octavia_config::option::keystone_authtoken as option;
use octavia_config::{Config, Opt, Origin, Problem, Severity};
use octavia_keystone::{Keystone, KeystoneOptions, Login, Named, Scope, TlsOptions};

/// Where nothing else is said: a connection, and one request all in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

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
    let begins = [
        &option::auth_url,
        &option::www_authenticate_uri,
        &option::auth_type,
        &option::username,
        &option::user_id,
        &option::application_credential_id,
        &option::application_credential_name,
    ];
    if begins.iter().all(|option| config.given(option).is_none()) {
        return None;
    }
    let reader = Reader { config };
    match reader.options() {
        Ok(options) => Some(KeystoneSettings { options }),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

struct Reader<'a> {
    config: &'a Config,
}

impl Reader<'_> {
    fn text(&self, option: &Opt<String>) -> Option<String> {
        self.config.all_in_one(option).filter(|text| !text.is_empty())
    }

    /// What is written by id or by name; the id wins.
    fn named(&self, id: &Opt<String>, name: &Opt<String>) -> Option<Named> {
        self.text(id).map(Named::Id).or_else(|| self.text(name).map(Named::Name))
    }

    fn problem<T>(&self, option: &Opt<T>, what: &str) -> Problem {
        // An option that is missing has no line: the section's first one stands for it.
        let (file, line) = match self.config.origin(option) {
            Origin::File { name, line } => (name.clone(), Some(*line)),
            Origin::Default => ("default".to_owned(), None),
        };
        Problem {
            severity: Severity::Error,
            file,
            line,
            section: Some(option.spec.group.to_owned()),
            option: Some(option.spec.name.to_owned()),
            what: what.to_owned(),
        }
    }

    fn options(&self) -> Result<KeystoneOptions, Problem> {
        let auth_url = self.text(&option::auth_url);
        let www = self.text(&option::www_authenticate_uri);
        let missing = || {
            self.problem(&option::auth_url, "it is needed: where Keystone is, such as https://keystone:5000")
        };
        let auth_url = auth_url.or_else(|| www.clone()).ok_or_else(missing)?;
        if !(auth_url.starts_with("http://") || auth_url.starts_with("https://")) {
            return Err(self.problem(&option::auth_url, "not a URL; allowed: http://… or https://…"));
        }
        let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
        let number = |option: &Opt<i64>| self.config.all_in_one(option);
        let cache_time = number(&option::token_cache_time).filter(|seconds| *seconds >= 0).map(seconds);
        Ok(KeystoneOptions {
            www_authenticate_uri: www.unwrap_or_else(|| auth_url.clone()),
            login: self.login()?,
            auth_url,
            interface: self.text(&option::interface).unwrap_or_default(),
            region: self.text(&option::region_name),
            tls: TlsOptions {
                cafile: self.text(&option::cafile).map(Into::into),
                insecure: self.config.all_in_one(&option::insecure).unwrap_or_default(),
            },
            connect_timeout: number(&option::http_connect_timeout).map_or(CONNECT_TIMEOUT, seconds),
            request_timeout: REQUEST_TIMEOUT,
            retries: number(&option::http_request_max_retries)
                .and_then(|retries| u32::try_from(retries).ok())
                .unwrap_or_default(),
            cache_time,
            service_token_roles: self.config.all_in_one(&option::service_token_roles).unwrap_or_default(),
            service_token_roles_required: self
                .config
                .all_in_one(&option::service_token_roles_required)
                .unwrap_or(true),
        })
    }

    fn login(&self) -> Result<Login, Problem> {
        let credential = self.named(&option::application_credential_id, &option::application_credential_name);
        let user = self.named(&option::user_id, &option::username);
        let domain = self.named(&option::user_domain_id, &option::user_domain_name);
        let by_credential = match self.text(&option::auth_type).as_deref() {
            Some("password" | "v3password") => false,
            Some("v3applicationcredential") => true,
            Some(_) => {
                let what =
                    "no such way to log in here; allowed: password, v3password, v3applicationcredential";
                return Err(self.problem(&option::auth_type, what));
            }
            None => credential.is_some(),
        };
        let needed = |option| self.problem(option, "it is needed to log in to Keystone");
        if by_credential {
            let credential = credential.ok_or_else(|| needed(&option::application_credential_id))?;
            let secret = self.text(&option::application_credential_secret);
            let secret = secret.ok_or_else(|| needed(&option::application_credential_secret))?;
            let user = match (&credential, user) {
                (Named::Id(_), _) => None,
                (Named::Name(_), user) => Some((user.ok_or_else(|| needed(&option::username))?, domain)),
            };
            return Ok(Login::ApplicationCredential { credential, user, secret });
        }
        let user = user.ok_or_else(|| needed(&option::username))?;
        let password = self.text(&option::password).ok_or_else(|| needed(&option::password))?;
        if matches!(user, Named::Name(_)) && domain.is_none() {
            return Err(self
                .problem(&option::user_domain_name, "it is needed: a user's name is good within a domain"));
        }
        let scope = match self.text(&option::system_scope).as_deref() {
            Some("all") => Scope::System,
            Some(_) => return Err(self.problem(&option::system_scope, "no such scope; allowed: all")),
            None => {
                let project = self.named(&option::project_id, &option::project_name);
                let project = project.ok_or_else(|| needed(&option::project_name))?;
                let domain = self.named(&option::project_domain_id, &option::project_domain_name);
                if matches!(project, Named::Name(_)) && domain.is_none() {
                    let what = "it is needed: a project's name is good within a domain";
                    return Err(self.problem(&option::project_domain_name, what));
                }
                Scope::Project { project, domain }
            }
        };
        Ok(Login::Password { user, domain, password, scope })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use octavia_config::Source;

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
            let secret = match &settings.options.login {
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
        assert_eq!(settings(&only).0.unwrap().options.auth_url, "http://w");
    }
}
