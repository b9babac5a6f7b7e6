//! How to log in at a Keystone: what `[keystone_authtoken]` and `[service_auth]` have in common.

use std::time::Duration;

use octavia_config::option::{keystone_authtoken, service_auth};
use octavia_config::{Config, Opt, Origin, Problem, Severity};
use octavia_keystone::{Login, Named, Scope, TlsOptions};

/// Where nothing else is said: a connection, and one request all in all.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of one section.
pub(super) struct Section {
    pub(super) name: &'static str,
    cafile: &'static Opt<String>,
    insecure: &'static Opt<bool>,
    auth_section: &'static Opt<String>,
    auth_url: &'static Opt<String>,
    auth_type: &'static Opt<String>,
    username: &'static Opt<String>,
    user_id: &'static Opt<String>,
    user_domain_name: &'static Opt<String>,
    user_domain_id: &'static Opt<String>,
    password: &'static Opt<String>,
    project_name: &'static Opt<String>,
    project_id: &'static Opt<String>,
    project_domain_name: &'static Opt<String>,
    project_domain_id: &'static Opt<String>,
    system_scope: &'static Opt<String>,
    application_credential_id: &'static Opt<String>,
    application_credential_name: &'static Opt<String>,
    application_credential_secret: &'static Opt<String>,
}

macro_rules! section {
    ($group:ident { $($option:ident)+ }) => {
        Section { name: stringify!($group), $($option: &$group::$option),+ }
    };
    ($group:ident) => {
        section!($group {
            cafile insecure auth_section auth_url auth_type username user_id user_domain_name user_domain_id password
            project_name project_id project_domain_name project_domain_id system_scope application_credential_id
            application_credential_name application_credential_secret
        })
    };
}

pub(super) static KEYSTONE_AUTHTOKEN: Section = section!(keystone_authtoken);
pub(super) static SERVICE_AUTH: Section = section!(service_auth);

pub(super) struct LoginReader<'a> {
    config: &'a Config,
    section: &'static Section,
}

impl<'a> LoginReader<'a> {
    pub(super) const fn new(config: &'a Config, section: &'static Section) -> Self {
        Self { config, section }
    }

    /// Whether the section says where Keystone is, or how to log in.
    pub(super) fn begun(&self) -> bool {
        let Section { auth_url, auth_type, auth_section, username, user_id, .. } = *self.section;
        let Section { application_credential_id, application_credential_name, .. } = *self.section;
        let begins = [
            auth_url,
            auth_type,
            auth_section,
            username,
            user_id,
            application_credential_id,
            application_credential_name,
        ];
        begins.iter().any(|option| self.config.given(option).is_some())
    }

    pub(super) fn text(&self, option: &Opt<String>) -> Option<String> {
        self.config.all_in_one(option).filter(|text| !text.is_empty())
    }

    pub(super) fn tls(&self) -> TlsOptions {
        TlsOptions {
            cafile: self.text(self.section.cafile).map(Into::into),
            insecure: self.config.all_in_one(self.section.insecure).unwrap_or_default(),
        }
    }

    /// `instead`: what serves where nothing is said.
    pub(super) fn auth_url(&self, instead: Option<&str>) -> Result<String, Problem> {
        let option = self.source()?.auth_url;
        let url = self.text(option).or_else(|| instead.map(str::to_owned));
        let url = url.ok_or_else(|| {
            self.problem(option, "it is needed: where Keystone is, such as https://keystone:5000")
        })?;
        if url.starts_with("http://") || url.starts_with("https://") {
            return Ok(url);
        }
        Err(self.problem(option, "not a URL; allowed: http://… or https://…"))
    }

    pub(super) fn login(&self) -> Result<Login, Problem> {
        let section = self.source()?;
        let credential = self.named(section.application_credential_id, section.application_credential_name);
        let user = self.named(section.user_id, section.username);
        let domain = self.named(section.user_domain_id, section.user_domain_name);
        let by_credential = match self.text(section.auth_type).as_deref() {
            Some("password" | "v3password") => false,
            Some("v3applicationcredential") => true,
            Some(_) => {
                let what =
                    "no such way to log in here; allowed: password, v3password, v3applicationcredential";
                return Err(self.problem(section.auth_type, what));
            }
            None => credential.is_some(),
        };
        let needed = |option| self.problem(option, "it is needed to log in to Keystone");
        if by_credential {
            let credential = credential.ok_or_else(|| needed(section.application_credential_id))?;
            let secret = self.text(section.application_credential_secret);
            let secret = secret.ok_or_else(|| needed(section.application_credential_secret))?;
            let user = match (&credential, user) {
                (Named::Id(_), _) => None,
                (Named::Name(_), user) => Some((user.ok_or_else(|| needed(section.username))?, domain)),
            };
            return Ok(Login::ApplicationCredential { credential, user, secret });
        }
        let user = user.ok_or_else(|| needed(section.username))?;
        let password = self.text(section.password).ok_or_else(|| needed(section.password))?;
        if matches!(user, Named::Name(_)) && domain.is_none() {
            let what = "it is needed: a user's name is good within a domain";
            return Err(self.problem(section.user_domain_name, what));
        }
        let scope = match self.text(section.system_scope).as_deref() {
            Some("all") => Scope::System,
            Some(_) => return Err(self.problem(section.system_scope, "no such scope; allowed: all")),
            None => {
                let project = self.named(section.project_id, section.project_name);
                let project = project.ok_or_else(|| needed(section.project_name))?;
                let domain = self.named(section.project_domain_id, section.project_domain_name);
                if matches!(project, Named::Name(_)) && domain.is_none() {
                    let what = "it is needed: a project's name is good within a domain";
                    return Err(self.problem(section.project_domain_name, what));
                }
                Scope::Project { project, domain }
            }
        };
        Ok(Login::Password { user, domain, password, scope })
    }

    pub(super) fn problem<T>(&self, option: &Opt<T>, what: &str) -> Problem {
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

    /// The section that has what is needed to log in.
    fn source(&self) -> Result<&'static Section, Problem> {
        let known = [&KEYSTONE_AUTHTOKEN, &SERVICE_AUTH];
        match self.text(self.section.auth_section) {
            None => Ok(self.section),
            Some(name) => known.into_iter().find(|section| section.name == name).ok_or_else(|| {
                let what = "no such section to log in with; allowed: keystone_authtoken, service_auth";
                self.problem(self.section.auth_section, what)
            }),
        }
    }

    /// What is written by id or by name; the id wins.
    fn named(&self, id: &Opt<String>, name: &Opt<String>) -> Option<Named> {
        self.text(id).map(Named::Id).or_else(|| self.text(name).map(Named::Name))
    }
}
