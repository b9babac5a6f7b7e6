//! The command lines of the parts of a controller that run as processes of their own.

use std::net::SocketAddr;
use std::path::PathBuf;

use octavia_cloud::local::HOSTS_MAX;

use super::{AuthStrategy, ConfigFiles, LocalNetworkKind, PendingWrites};
use crate::logging::LogOptions;

/// What every daemon is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DaemonOptions {
    /// The state directory of the local cloud, which `octavia local serve` keeps
    #[arg(long, value_name = "DIR", env = "OCTAVIA_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
    /// The database that all daemons share, in place of [database] connection: postgres://… or mysql://…
    #[arg(long, value_name = "URL", env = "OCTAVIA_DATABASE_URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// Serve metrics there, in place of [metrics]: several daemons of one machine need several addresses
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) config: ConfigFiles,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApiDaemonOptions {
    /// Where it listens, in place of [api_settings] bind_host, bind_port
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) bind: Option<SocketAddr>,
    /// Who may call: tokens of Keystone ([keystone_authtoken], else of the local cloud), or anybody as administrator
    /// [default: keystone]
    #[arg(long, value_enum)]
    pub(crate) auth_strategy: Option<AuthStrategy>,
    /// Whether writes are accepted while a load balancer is PENDING_CREATE or PENDING_UPDATE [default: queue]
    #[arg(long, value_enum)]
    pub(crate) pending_writes: Option<PendingWrites>,
    #[command(flatten)]
    pub(crate) daemon: DaemonOptions,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HealthManagerOptions {
    /// Where heartbeats come to, in place of [health_manager] bind_ip, bind_port; one of controller_ip_port_list
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) bind: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) daemon: DaemonOptions,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LocalServeOptions {
    /// What the cloud has lives here; survives restarts. One process at a time
    #[arg(long, value_name = "DIR", env = "OCTAVIA_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
    /// Where its HTTP APIs (identity, networking, secrets) listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9870")]
    pub(crate) bind: SocketAddr,
    /// Where clients find the load-balancing API: an `octavia api`, or what stands in front of several
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9876")]
    pub(crate) load_balancer_url: String,
    /// How amphorae reach clients and members; for ever the same in one state directory
    #[arg(long, value_enum, default_value_t = LocalNetworkKind::Loopback)]
    pub(crate) network: LocalNetworkKind,
    /// With --network netns: how many simulated hosts amphorae are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(HOSTS_MAX)))]
    pub(crate) hosts: u8,
    /// With --network netns: over how many availability zones the hosts are spread [default: one each]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=i64::from(HOSTS_MAX)))]
    pub(crate) zones: Option<u8>,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// Where the configuration of an installation is, for commands that look at it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InstallationOptions {
    /// The state directory; of `all-in-one`, or of the local cloud that daemons share
    #[arg(long, value_name = "DIR", env = "OCTAVIA_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The database, in place of [database] connection
    #[arg(long, value_name = "URL", env = "OCTAVIA_DATABASE_URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigFiles,
}
