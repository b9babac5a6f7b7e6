//! Which cloud, as whom: `clouds.yaml`, `OS_*` variables and command-line options become one [`CloudConfig`].
//!
//! A cloud named by `--os-cloud` or `OS_CLOUD` is taken from `clouds.yaml` alone (with `secure.yaml` beside it, and
//! `OS_PASSWORD` if the file has no password): variables left over from another cloud do not leak into it. Without a
//! name the `OS_*` variables speak; without those, the only cloud of the file. Command-line options win over all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_norway::Value;

use crate::Error;

/// A configuration file larger than this is not one.
const MAX_FILE: u64 = 1 << 20;

/// Text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// Everything a [`Session`](crate::Session) needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    pub auth: Auth,
    pub region: Option<String>,
    /// `public`, `internal` or `admin`: which URL of the catalogue.
    pub interface: String,
    /// Used instead of the catalogue's.
    pub load_balancer_endpoint: Option<String>,
    pub network_endpoint: Option<String>,
    /// PEM file with the authorities to trust instead of the public ones.
    pub ca_cert: Option<PathBuf>,
    /// `false` = do not look at the server's certificate.
    pub verify: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// No token at all: for services that run with `noauth`.
    None,
    Token {
        auth_url: Option<String>,
        token: Secret,
        scope: Scope,
    },
    Password {
        auth_url: String,
        user: User,
        password: Secret,
        scope: Scope,
    },
    ApplicationCredential {
        auth_url: String,
        id: Option<String>,
        name: Option<String>,
        user: Option<User>,
        secret: Secret,
    },
}

/// By id, or by name and domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    Id(String),
    Name { name: String, domain: Domain },
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "user {id}"),
            Self::Name { name, .. } => write!(f, "user {name}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Unscoped,
    ProjectId(String),
    ProjectName { name: String, domain: Domain },
    System,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    Id(String),
    Name(String),
}

/// The parts of the process's surroundings that configuration is read from; an argument, so that tests need no
/// global state.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub variables: BTreeMap<String, String>,
    pub directory: PathBuf,
}

impl Environment {
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .filter(|(k, _)| k.starts_with("OS_") || k == "HOME" || k == "XDG_CONFIG_HOME")
                .collect(),
            directory: std::env::current_dir().unwrap_or_default(),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Where `clouds.yaml` is looked for, in order.
    fn config_files(&self) -> Vec<PathBuf> {
        if let Some(file) = self.variable("OS_CLIENT_CONFIG_FILE") {
            return vec![self.directory.join(file)];
        }
        let user = match (self.variable("XDG_CONFIG_HOME"), self.variable("HOME")) {
            (Some(config), _) => Some(PathBuf::from(config)),
            (None, Some(home)) => Some(Path::new(home).join(".config")),
            (None, None) => None,
        };
        let directories = [
            Some(self.directory.clone()),
            user.map(|d| d.join("openstack")),
            Some(PathBuf::from("/etc/openstack")),
        ];
        directories
            .into_iter()
            .flatten()
            .flat_map(|d| [d.join("clouds.yaml"), d.join("clouds.yml")])
            .collect()
    }
}

/// What the command line says about the cloud.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub cloud: Option<String>,
    /// Keys as in `clouds.yaml` (those of `auth` too), values as text.
    pub settings: BTreeMap<&'static str, String>,
}

impl CloudConfig {
    pub fn load(environment: &Environment, overrides: &Overrides) -> Result<Self, Error> {
        let mut settings = Settings::default();
        let named = overrides.cloud.as_deref().or(environment.variable("OS_CLOUD"));
        let variables = Settings::from_variables(environment);
        match named {
            Some(name) => {
                settings = Settings::from_files(environment, Some(name))?;
                if let (None, Some(password)) = (settings.get("password"), variables.get("password")) {
                    settings.set("password", password.to_owned());
                }
            }
            None if variables.names_a_cloud() => settings = variables,
            None => {
                let complete = overrides.settings.contains_key("endpoint")
                    || overrides.settings.contains_key("auth_url");
                if !complete {
                    settings = Settings::from_files(environment, None)?;
                }
            }
        }
        for (key, value) in &overrides.settings {
            settings.set(key, value.clone());
        }
        settings.into_config()
    }

    /// A service without authentication at a known URL.
    pub fn without_authentication(load_balancer_endpoint: impl Into<String>) -> Self {
        Self {
            auth: Auth::None,
            region: None,
            interface: "public".to_owned(),
            load_balancer_endpoint: Some(load_balancer_endpoint.into()),
            network_endpoint: None,
            ca_cert: None,
            verify: true,
        }
    }

    /// One cloud of one file; `None` = the only one in it.
    pub fn from_file(path: &Path, cloud: Option<&str>) -> Result<Self, Error> {
        Settings::from_file(path, cloud)?.into_config()
    }
}

/// Flat text settings under the names of `clouds.yaml`, before they are understood.
#[derive(Default)]
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }

    fn from_variables(environment: &Environment) -> Self {
        const NOT_SETTINGS: [&str; 3] = ["OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"];
        let renamed = |key: String| match key.as_str() {
            "tenant_name" => "project_name".to_owned(),
            "tenant_id" => "project_id".to_owned(),
            "endpoint_type" => "interface".to_owned(),
            _ => key,
        };
        Self(
            environment
                .variables
                .iter()
                .filter(|(k, v)| !v.is_empty() && !NOT_SETTINGS.contains(&k.as_str()))
                .filter_map(|(k, v)| Some((renamed(k.strip_prefix("OS_")?.to_ascii_lowercase()), v.clone())))
                .collect(),
        )
    }

    fn names_a_cloud(&self) -> bool {
        ["auth_url", "endpoint", "load_balancer_endpoint_override"].iter().any(|key| self.get(key).is_some())
    }

    fn from_files(environment: &Environment, cloud: Option<&str>) -> Result<Self, Error> {
        let candidates = environment.config_files();
        let Some(path) = candidates.iter().find(|p| p.is_file()) else {
            let places: Vec<_> = candidates
                .iter()
                .filter(|p| p.extension().is_none_or(|e| e != "yml"))
                .map(|p| p.display().to_string())
                .collect();
            return Err(Error::Config(format!(
                "{}: no clouds.yaml in {}; give one with OS_CLIENT_CONFIG_FILE, or set OS_AUTH_URL and its companions",
                cloud
                    .map_or_else(|| "no cloud is chosen".to_owned(), |c| format!("cloud {c:?} is not known")),
                places.join(", ")
            )));
        };
        let mut settings = Self::from_file(path, cloud)?;
        let secure = environment
            .variable("OS_CLIENT_SECURE_FILE")
            .map_or_else(|| path.with_file_name("secure.yaml"), |p| environment.directory.join(p));
        if secure.is_file()
            && let Some(name) = settings.get("\0cloud").map(str::to_owned)
            && let Some(entry) = read_yaml(&secure)?.get("clouds").and_then(|clouds| clouds.get(&name))
        {
            settings.absorb(entry);
        }
        Ok(settings)
    }

    fn from_file(path: &Path, cloud: Option<&str>) -> Result<Self, Error> {
        let document = read_yaml(path)?;
        let clouds = document
            .get("clouds")
            .and_then(Value::as_mapping)
            .ok_or_else(|| Error::Config(format!("{} has no `clouds` in it", path.display())))?;
        let names: Vec<&str> = clouds.keys().filter_map(Value::as_str).collect();
        let name = match (cloud, names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, _) => {
                return Err(Error::Config(format!(
                    "no cloud is chosen: name one of {} with --os-cloud or OS_CLOUD ({})",
                    names.join(", "),
                    path.display()
                )));
            }
        };
        let entry = clouds.get(name).ok_or_else(|| {
            Error::Config(format!("cloud {name:?} is not in {}; it has {}", path.display(), names.join(", ")))
        })?;
        if !entry.is_mapping() {
            return Err(Error::Config(format!("cloud {name:?} in {} is not a mapping", path.display())));
        }
        let mut settings = Self::default();
        settings.absorb(entry);
        settings.set("\0cloud", name.to_owned());
        Ok(settings)
    }

    /// Takes the scalars of a cloud's entry and of its `auth`.
    fn absorb(&mut self, entry: &Value) {
        for mapping in [Some(entry), entry.get("auth")].into_iter().flatten().filter_map(Value::as_mapping) {
            for (key, value) in mapping {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Bool(flag) => flag.to_string(),
                    Value::Number(number) => number.to_string(),
                    _ => continue,
                };
                if let Some(key) = key.as_str() {
                    self.set(key, text);
                }
            }
        }
    }

    fn into_config(self) -> Result<CloudConfig, Error> {
        let endpoint = self.get("endpoint").or(self.get("endpoint_override"));
        let load_balancer_endpoint =
            self.get("load_balancer_endpoint_override").or(endpoint).map(str::to_owned);
        let kind = self.get("auth_type").unwrap_or(if self.get("token").is_some() {
            "token"
        } else if self.get("application_credential_secret").is_some() {
            "v3applicationcredential"
        } else if self.get("auth_url").is_some() {
            "password"
        } else if load_balancer_endpoint.is_some() {
            "none"
        } else {
            "password"
        });
        let auth_url = || -> Result<String, Error> {
            self.get("auth_url").map(str::to_owned).ok_or_else(|| missing("auth_url", "OS_AUTH_URL"))
        };
        let secret = |key: &'static str, variable: &'static str| -> Result<Secret, Error> {
            self.get(key).map(Secret::new).ok_or_else(|| missing(key, variable))
        };
        let auth = match kind {
            "none" | "noauth" => {
                if load_balancer_endpoint.is_none() {
                    return Err(missing("endpoint", "OS_ENDPOINT (or --os-endpoint)"));
                }
                Auth::None
            }
            "token" | "v3token" | "admin_token" | "token_endpoint" => Auth::Token {
                auth_url: match (&load_balancer_endpoint, self.get("auth_url")) {
                    (_, Some(url)) => Some(url.to_owned()),
                    (Some(_), None) => None,
                    (None, None) => Some(auth_url()?),
                },
                token: secret("token", "OS_TOKEN")?,
                scope: self.scope(),
            },
            "password" | "v3password" => Auth::Password {
                auth_url: auth_url()?,
                user: self.user().ok_or_else(|| missing("username", "OS_USERNAME"))?,
                password: secret("password", "OS_PASSWORD")?,
                scope: self.scope(),
            },
            "v3applicationcredential" => Auth::ApplicationCredential {
                auth_url: auth_url()?,
                id: self.get("application_credential_id").map(str::to_owned),
                name: self.get("application_credential_name").map(str::to_owned),
                user: self.user(),
                secret: secret("application_credential_secret", "OS_APPLICATION_CREDENTIAL_SECRET")?,
            },
            other => {
                return Err(Error::Config(format!(
                    "auth_type {other:?} is not supported; password, token, v3applicationcredential and none are"
                )));
            }
        };
        let verify = match self.get("verify") {
            Some(text) => !matches!(text.to_ascii_lowercase().as_str(), "false" | "no" | "0" | "off"),
            None => true,
        };
        Ok(CloudConfig {
            auth,
            region: self.get("region_name").map(str::to_owned),
            interface: self.get("interface").unwrap_or("public").trim_end_matches("URL").to_owned(),
            load_balancer_endpoint,
            network_endpoint: self.get("network_endpoint_override").map(str::to_owned),
            ca_cert: self.get("cacert").map(PathBuf::from),
            verify,
        })
    }

    fn domain(&self, of: &str) -> Domain {
        let first = |keys: [String; 2]| keys.iter().find_map(|key| self.get(key)).map(str::to_owned);
        if let Some(id) = first([format!("{of}_domain_id"), "domain_id".to_owned()]) {
            Domain::Id(id)
        } else if let Some(name) = first([format!("{of}_domain_name"), "domain_name".to_owned()]) {
            Domain::Name(name)
        } else {
            Domain::Id(
                self.get("default_domain").or(self.get("default_domain_id")).unwrap_or("default").to_owned(),
            )
        }
    }

    fn user(&self) -> Option<User> {
        match (self.get("user_id"), self.get("username").or(self.get("user_name"))) {
            (Some(id), _) => Some(User::Id(id.to_owned())),
            (None, Some(name)) => Some(User::Name { name: name.to_owned(), domain: self.domain("user") }),
            (None, None) => None,
        }
    }

    fn scope(&self) -> Scope {
        if self.get("system_scope").is_some() {
            Scope::System
        } else if let Some(id) = self.get("project_id") {
            Scope::ProjectId(id.to_owned())
        } else if let Some(name) = self.get("project_name") {
            Scope::ProjectName { name: name.to_owned(), domain: self.domain("project") }
        } else {
            Scope::Unscoped
        }
    }
}

fn missing(key: &str, variable: &str) -> Error {
    Error::Config(format!(
        "the cloud's configuration lacks {key}: put it into clouds.yaml, or set {variable}"
    ))
}

fn read_yaml(path: &Path) -> Result<Value, Error> {
    let broken = |reason: String| Error::Config(format!("cannot read {}: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|e| broken(e.to_string()))?.len();
    if length > MAX_FILE {
        return Err(broken(format!("{length} bytes is too large for a configuration file")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| broken(e.to_string()))?;
    // The parser's message may quote the file, and the file holds passwords: only the place is told.
    serde_norway::from_str(&text).map_err(|e| {
        let place = e.location().map(|l| format!("line {}, column {}", l.line(), l.column()));
        broken(format!("not YAML at {}", place.unwrap_or_else(|| "an unknown place".to_owned())))
    })
}
