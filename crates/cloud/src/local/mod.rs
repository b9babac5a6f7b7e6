//! A cloud on one machine with nothing else installed: users and tokens, addresses of 127.0.0.0/8, amphorae as pairs
//! of processes (or, as root, networks and hosts made of namespaces), an authority for certificates, a vault for secrets; and enough of the Keystone v3, Neutron v2.0 and Barbican v1 HTTP
//! APIs in front of them that unmodified OpenStack clients work.
//!
//! All state is below one directory: `cloud/` (settings, keys, users and roles that were made, ports, sealed secrets,
//! revoked tokens) and `amphorae/` (a directory
//! each). One process has it all, and may keep it for others ([`Keeper`], [`LocalClient`]). Whatever was answered is
//! durable; a killed process finds everything again at its next start.

mod blocking;
mod cert;
mod claim;
mod clouds_yaml;
mod compute;
mod files;
mod http;
mod identity;
mod list;
mod netns;
mod network;
mod outside;
mod remote;
mod secrets;
mod seed;
mod settings;
mod time;
mod trust_file;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::{SignedDuration, Timestamp};

use self::cert::LocalAuthority;
use self::claim::Claim;
pub use self::compute::LocalCompute;
use self::compute::{Hosts, Site};
use self::identity::LocalIdentity;
use self::netns::Netns;
pub use self::netns::{HOSTS_MAX, HostView, NetnsOptions};
pub use self::network::LocalNetwork;
pub use self::outside::{host_set, hosts, remove, trust, trust_finish, trust_roll};
use self::remote::Services;
pub use self::remote::{Keeper, LocalClient};
pub use self::secrets::LocalSecrets;
use self::seed::Seed;
use self::settings::Settings;
use crate::{CertIssuer, Compute, HeartbeatKey, Identity, Network, Secrets};

/// Where the services are below the address of the API, as the service catalogue tells.
pub const IDENTITY_PATH: &str = "/identity";
pub const NETWORK_PATH: &str = "/networking";
pub const SECRETS_PATH: &str = "/key-manager";
pub const LOAD_BALANCER_PATH: &str = "/load-balancer";

const REGION: &str = "RegionOne";

#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Scheme, host and port of the API, without a slash at the end. Answers to HTTP requests name the host that the
    /// request named; this is for everything else.
    pub url: String,
    /// Where the catalogue says that the load-balancing API is; `None` = below `url`, at [`LOAD_BALANCER_PATH`].
    pub load_balancer: Option<String>,
    /// How long a token is good, from its issue.
    pub token_lifetime: SignedDuration,
    /// How long the answer to a wrong password takes at least.
    pub login_penalty: Duration,
    /// The same for ever in one state directory.
    pub kind: LocalKind,
    /// Keys of heartbeats, the newest first, instead of those that the state directory keeps.
    pub heartbeat_keys: Vec<HeartbeatKey>,
}

/// What amphorae and networks are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LocalKind {
    /// Processes, and addresses of 127.0.0.0/8. Needs no privilege.
    #[default]
    Loopback,
    /// Network namespaces on simulated hosts, bridges between them. Needs root.
    Netns(NetnsOptions),
}

impl LocalKind {
    fn netns(self) -> Option<NetnsOptions> {
        match self {
            Self::Loopback => None,
            Self::Netns(options) => Some(options),
        }
    }
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9876".into(),
            load_balancer: None,
            token_lifetime: SignedDuration::from_hours(1),
            login_penalty: Duration::from_secs(1),
            kind: LocalKind::Loopback,
            heartbeat_keys: vec![],
        }
    }
}

/// Why the cloud does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path} cannot be understood ({error}): restore it, or start with another state directory")]
    Damaged { path: PathBuf, error: String },
    #[error(
        "127.{0}.0.0/16 belongs to this state directory, but another octavia uses it: stop that one, or start with \
         another state directory"
    )]
    NetworkTaken(u8),
    #[error(
        "every network from 127.100.0.0/16 to 127.250.0.0/16 (of namespaces, 10.100.0.0/16 to 10.250.0.0/16) is in use"
    )]
    NoNetworkFree,
    #[error("cannot listen on addresses of 127.0.0.0/8: {0}")]
    NetworkUnusable(io::Error),
    #[error(
        "10.{0}.0.0/16 belongs to this state directory, but a route of this machine leads to {1}: remove it, or start \
         with another state directory"
    )]
    NetworkOverlaps(u8, ipnet::Ipv4Net),
    #[error("this state directory was made {0}: start it so, or start with another state directory")]
    KindDiffers(&'static str),
    #[error("there is no local cloud in {0} yet: `octavia local serve` makes one")]
    NoCloud(PathBuf),
    #[error("there is no host {0}")]
    HostUnknown(String),
    #[error("the netns network cannot be used here: {0}")]
    NetnsUnusable(String),
    #[error("the namespaces cannot be made: {0}")]
    NetnsTrouble(io::Error),
    #[error("{0}")]
    Trust(&'static str),
}

impl OpenError {
    fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }
}

/// The open cloud of one state directory.
#[derive(Debug)]
pub struct LocalCloud {
    dir: PathBuf,
    settings: Settings,
    passwords: identity::Passwords,
    claim: Claim,
    identity: Arc<LocalIdentity>,
    network: Arc<LocalNetwork>,
    authority: Arc<LocalAuthority>,
    secrets: Arc<LocalSecrets>,
    netns: Option<Netns>,
}

impl LocalCloud {
    /// Opens the cloud whose state is below `dir`, making it at the first start. One process at a time.
    ///
    /// Blocks: a few files are read and, at the first start, written.
    pub fn open(dir: &Path, options: LocalOptions) -> Result<Self, OpenError> {
        if options.kind != LocalKind::Loopback {
            // Before there is anything that would be left behind.
            netns::check()?;
        }
        let now = Timestamp::now();
        let private = |path: &Path| files::dir_private(path).map_err(|error| OpenError::file(path, error));
        private(dir)?;
        // Processes are told apart by their directory, which must have one name only.
        let dir = dir.canonicalize().map_err(|error| OpenError::file(dir, error))?;
        let cloud_dir = dir.join("cloud");
        private(&cloud_dir)?;
        let stored = Settings::load(&cloud_dir)?;
        let (claim, mut settings) = match stored {
            Some(mut settings) => {
                kind_check(&settings, &options.kind)?;
                settings.netns = options.kind.netns();
                (claim::claim_again(settings.network, &options.kind)?, settings)
            }
            None => {
                let claim = claim::claim_first(&options.kind)?;
                let settings = Settings::first(claim.number, options.kind.netns());
                settings.save(&cloud_dir)?;
                (claim, settings)
            }
        };
        let written = clouds_yaml::passwords_read(&dir);
        let passwords = identity::passwords_settle(&written, &mut settings.passwords);
        settings.save(&cloud_dir)?;

        let seed = Seed::new(settings.seed.clone());
        let keys = options.heartbeat_keys.clone();
        let authority = LocalAuthority::open(&cloud_dir, &settings.heartbeat_key, keys, now)?;
        let identity = LocalIdentity::open(&cloud_dir, &seed, &settings, &options, now)?;
        let netns = options.kind.netns().map(|netns| Netns::open(claim.number, netns)).transpose()?;
        let owner = identity.owner().to_owned();
        let network = LocalNetwork::open(&cloud_dir, settings.network, &seed, netns, owner)?;
        if let Some(netns) = &netns {
            let servers = compute::addresses_all(&dir).map_err(|error| OpenError::file(&dir, error))?;
            netns.rules_restore(&servers, &network.wirings()).map_err(OpenError::NetnsTrouble)?;
        }
        let secrets = LocalSecrets::open(&cloud_dir)?;
        Ok(Self {
            dir,
            settings,
            passwords,
            claim,
            identity: Arc::new(identity),
            network: Arc::new(network),
            authority: Arc::new(authority),
            secrets: Arc::new(secrets),
            netns,
        })
    }

    pub fn identity(&self) -> Arc<dyn Identity> {
        self.identity.clone()
    }

    pub fn network(&self) -> Arc<dyn Network> {
        self.network.clone()
    }

    pub fn cert_issuer(&self) -> Arc<dyn CertIssuer> {
        self.authority.clone()
    }

    pub fn secrets(&self) -> Arc<dyn Secrets> {
        self.secrets.clone()
    }

    /// Amphorae as processes `exe amphora --dir … --bind …`. Takes over those that run already. One such value at a
    /// time: it keeps the book of management addresses.
    pub fn compute(&self, exe: &Path) -> Result<Arc<dyn Compute>, OpenError> {
        let site = match self.netns {
            None => Site::Loopback,
            Some(netns) => Site::Hosts(Arc::new(Hosts::new(netns, self.network.clone()))),
        };
        Ok(Arc::new(LocalCompute::open(&self.dir, self.claim.number, exe, site)?))
    }

    /// Lets other processes use this cloud, by [`LocalClient`], for as long as the keeper runs. `compute`: what
    /// [`LocalCloud::compute`] gave.
    pub fn keeper(&self, compute: Arc<dyn Compute>) -> Result<Keeper, OpenError> {
        let services =
            Services { compute, network: self.network(), identity: self.identity(), secrets: self.secrets() };
        Keeper::bind(&self.dir, services)
            .map_err(|error| OpenError::file(&self.dir.join(remote::SOCKET), error))
    }

    /// Keystone v3; mount it with `nest_service` at [`IDENTITY_PATH`].
    pub fn identity_router(&self) -> Router {
        identity::router(self.identity.clone())
    }

    /// Neutron v2.0; mount it with `nest_service` at [`NETWORK_PATH`].
    pub fn network_router(&self) -> Router {
        network::router(self.network.clone(), self.identity.clone())
    }

    /// Barbican v1; mount it with `nest_service` at [`SECRETS_PATH`].
    pub fn secrets_router(&self) -> Router {
        secrets::router(self.secrets.clone(), self.identity.clone())
    }

    /// Writes `clouds.yaml` (mode 0600, clouds `admin` and `demo`) into the state directory and answers its path.
    /// `auth_url` = the base of the API and [`IDENTITY_PATH`].
    pub fn clouds_yaml(&self, auth_url: &str) -> Result<PathBuf, OpenError> {
        clouds_yaml::write(&self.dir, auth_url, &self.passwords)
    }

    /// 127.N.0.1 or 10.N.0.1, which is no amphora's: where the controller listens for heartbeats.
    pub fn management_address(&self) -> IpAddr {
        management_address(&self.settings)
    }

    /// What the keys of all TLS session tickets follow from; random, made at the first start, and no amphora's.
    pub fn ticket_key(&self) -> &str {
        &self.settings.ticket_key
    }
}

/// Where this machine is to the amphorae.
fn management_address(settings: &Settings) -> IpAddr {
    match settings.netns {
        None => Ipv4Addr::new(127, settings.network, 0, 1).into(),
        Some(options) => Netns::existing(settings.network, options).controller(),
    }
}

fn kind_check(settings: &Settings, kind: &LocalKind) -> Result<(), OpenError> {
    match (settings.netns, kind) {
        (Some(_), LocalKind::Loopback) => {
            Err(OpenError::KindDiffers("with network namespaces (--network netns)"))
        }
        (None, LocalKind::Netns(_)) => {
            Err(OpenError::KindDiffers("without network namespaces (--network loopback)"))
        }
        _ => Ok(()),
    }
}
