//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use octavia_cloud::local::HOSTS_MAX;
use octavia_model::{ListenerId, MemberId};
use reqwest::Url;

use crate::logging::LogOptions;

mod daemons;

pub(crate) use self::daemons::{
    ApiDaemonOptions, DaemonOptions, HealthManagerOptions, InstallationOptions, LocalServeOptions,
};

/// Load Balancing as a Service in one binary: the OpenStack Octavia v2 API with its own data plane
#[derive(Debug, Parser)]
#[command(name = "octavia", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value a process, taken apart at once")]
pub(crate) enum Command {
    /// Start everything, make a demo load balancer and show how it spreads and survives
    Quickstart(QuickstartOptions),
    /// API, worker, health manager, housekeeping and an embedded local cloud in one process
    AllInOne(AllInOneOptions),
    /// The REST API alone; any number may share a database
    Api(ApiDaemonOptions),
    /// What makes load balancers as they shall be, alone; any number may share a database
    Worker(DaemonOptions),
    /// Whom amphorae send their heartbeats, alone; any number may share a database
    HealthManager(HealthManagerOptions),
    /// What removes what is old or belongs to nobody, alone; any number may share a database
    Housekeeping(DaemonOptions),
    /// Look whether this program can take the place of an older one here
    #[command(subcommand)]
    Status(StatusCommand),
    /// Look at configuration, database, keys, ports and what else the service depends on, and say what to mend
    Doctor(InstallationOptions),
    /// octavia.conf: look for mistakes, see what is in force, get a sample
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Who may do what: get a sample of the rules, ask them
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The embedded local cloud of a state directory: look at its hosts, break them, remove everything
    #[command(subcommand)]
    Local(LocalCommand),
    /// By what controllers and amphorae know each other: see it, change it without interruption
    #[command(subcommand)]
    Trust(TrustCommand),
    /// The database: bring its schema up to date, copy it
    #[command(subcommand)]
    Db(DbCommand),
    /// The agent of one amphora (started by the compute driver)
    Amphora(AmphoraOptions),
    /// The data plane: supervised by an agent, or alone with --spec
    Proxy(ProxyOptions),
    /// Say which L7 policy and which member a request would meet, and why
    Explain(ExplainOptions),
    #[command(flatten)]
    Client(octavia_client::Command),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct QuickstartOptions {
    /// Finish by itself after the demonstration, removing everything
    #[arg(long)]
    pub(crate) exit: bool,
    /// Where to keep state; a temporary directory, removed at the end, if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where the API listens; a free port if the default one is taken
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9876")]
    pub(crate) bind: SocketAddr,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AllInOneOptions {
    /// Database, embedded cloud and amphorae live here; survives restarts
    #[arg(long, value_name = "DIR", env = "OCTAVIA_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
    /// Where the API and the embedded cloud listen; port 0 = any free one (written to DIR/api.url)
    /// [default: 127.0.0.1:9876]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) bind: Option<SocketAddr>,
    /// How amphorae reach clients and members
    #[arg(long, value_enum, default_value_t = NetworkKind::Loopback)]
    pub(crate) network: NetworkKind,
    /// With --network netns: how many simulated hosts amphorae are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(HOSTS_MAX)))]
    pub(crate) hosts: u8,
    /// With --network netns: over how many availability zones (zone-1, zone-2, …) the hosts are spread [default: one each]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=i64::from(HOSTS_MAX)))]
    pub(crate) zones: Option<u8>,
    /// Another database than SQLite in DIR: postgres://… or mysql://…
    #[arg(long, value_name = "URL", env = "OCTAVIA_DATABASE_URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// Who may call: tokens of Keystone ([keystone_authtoken], else the embedded one), or anybody as administrator
    /// [default: keystone]
    #[arg(long, value_enum)]
    pub(crate) auth_strategy: Option<AuthStrategy>,
    /// Whether writes are accepted while a load balancer is PENDING_CREATE or PENDING_UPDATE [default: queue]
    #[arg(long, value_enum)]
    pub(crate) pending_writes: Option<PendingWrites>,
    /// Take and store requests only: nothing is built, watched or cleaned up until a start without this
    #[arg(long)]
    pub(crate) no_controller: bool,
    #[command(flatten)]
    pub(crate) config: ConfigFiles,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// What of `octavia.conf` is read.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ConfigFiles {
    /// An octavia.conf; may be given several times, the last one wins. What the command line says wins over it
    #[arg(long = "config-file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A directory whose *.conf are read by name, after all files; may be given several times
    #[arg(long = "config-dir", value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every mistake in octavia.conf, with its line; fails if something is wrong, not for warnings
    Validate(ConfigFiles),
    /// Print the values in force for all-in-one, and where each comes from; secrets are left out
    Show {
        #[command(flatten)]
        files: ConfigFiles,
        /// Also options that have no effect
        #[arg(long)]
        all: bool,
    },
    /// Print a file with every option at its default, commented out
    Sample,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print a policy file with every rule at its default, commented out
    Sample,
    /// Say whether a caller is allowed to do something, and why; fails if not
    Check(PolicyCheck),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    /// Keep the local cloud of a state directory for the daemons of this machine: api, worker, health-manager, housekeeping
    Serve(LocalServeOptions),
    /// List the simulated hosts (of --network netns) with their amphorae
    Hosts(LocalOptions),
    /// Cut a host off from all others and from this machine
    HostCut(LocalHost),
    /// Join a host again that was cut off
    HostJoin(LocalHost),
    /// End all amphorae and remove their namespaces and the state directory; refused while a service uses it
    Remove(LocalOptions),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LocalOptions {
    #[arg(long, value_name = "DIR", env = "OCTAVIA_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LocalHost {
    /// Such as h1
    pub(crate) host: String,
    #[command(flatten)]
    pub(crate) local: LocalOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Show the authorities, and which amphora has a certificate of which, until when
    Show(TrustOptions),
    /// Make a new authority, which issues from now on, and a new heartbeat key; those of before stay good
    Roll(TrustOptions),
    /// Drop the authority and the heartbeat key of before; refused while an amphora needs them
    Finish(TrustOptions),
}

/// A service may be at work in the state directory: it notices by itself.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TrustOptions {
    #[arg(long, value_name = "DIR", env = "OCTAVIA_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
    /// The service's database, if it is not SQLite in DIR
    #[arg(long, value_name = "URL", env = "OCTAVIA_DATABASE_URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigFiles,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the schema to this version's. Services of the version before may go on meanwhile
    Upgrade(InstallationOptions),
    /// Copy everything into an empty database, of the same kind or another, and compare it row by row
    Copy(DbCopy),
}

/// Stop the services first: what they write meanwhile is not copied. One that keeps amphorae is noticed, and nothing is
/// copied then. The new database has everything or nothing.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DbCopy {
    /// sqlite:///FILE, postgres://USER:PASSWORD@HOST/NAME or mysql://USER:PASSWORD@HOST/NAME
    #[arg(long, value_name = "URL", env = "OCTAVIA_COPY_FROM", hide_env_values = true)]
    pub(crate) from: String,
    /// Where to; a file is made if it is not there, tables always
    #[arg(long, value_name = "URL", env = "OCTAVIA_COPY_TO", hide_env_values = true)]
    pub(crate) to: String,
    /// Copy also from a database that a service is using, as it is at this moment
    #[arg(long)]
    pub(crate) in_use: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PolicyCheck {
    /// The rule, such as loadbalancer:get_one (`octavia policy sample` has them all)
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: String,
    /// The caller's roles, with those that Keystone lets others imply (admin: manager, member, reader)
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',')]
    pub(crate) roles: Vec<String>,
    /// The caller's project
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// The project of what is asked for [default: the caller's]
    #[arg(long, value_name = "ID")]
    pub(crate) target_project: Option<String>,
    /// `all` for a token that is good for the whole cloud
    #[arg(long, value_name = "SCOPE")]
    pub(crate) system_scope: Option<String>,
    /// The domain of a token that is good for one
    #[arg(long, value_name = "ID")]
    pub(crate) domain: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigFiles,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum NetworkKind {
    /// Addresses of 127.0.0.0/8 and process pairs: needs no privilege
    Loopback,
    /// Network namespaces on simulated hosts, bridges between them: needs root
    Netns,
    /// Every network and address there is, and nothing behind it: for tests of clients of the API
    Noop,
}

/// As far as something is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LocalNetworkKind {
    /// Addresses of 127.0.0.0/8 and process pairs: needs no privilege
    Loopback,
    /// Network namespaces on simulated hosts, bridges between them: needs root
    Netns,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StatusCommand {
    /// What stands against an upgrade to this version
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UpgradeCommand {
    /// Look, and change nothing. Ends with 0 = nothing stands against it, 1 = read the warnings, 2 = it would fail, 255 =
    /// it could not be looked at
    Check(InstallationOptions),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AuthStrategy {
    Keystone,
    Noauth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PendingWrites {
    /// Accept: the newest wish wins
    Queue,
    /// Refuse with 409, as the original does
    Reject,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AmphoraOptions {
    /// The amphora's directory, with boot.json
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where the agent's REST API listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:9443")]
    pub(crate) bind: SocketAddr,
    /// Only say whether this program could be the agent there, and end
    #[arg(long, hide = true)]
    pub(crate) check: bool,
    /// After another proxy has taken over (SIGUSR2): how long connections that do not end by themselves may go on in the
    /// old one
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) drain_limit: u32,
    /// The network namespace of the traffic, such as /run/netns/NAME: listening sockets, the proxy and the interfaces that
    /// specs describe are there, and the REST API and heartbeats are here
    #[arg(long, value_name = "PATH")]
    pub(crate) traffic_namespace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["dir", "spec"])))]
pub(crate) struct ProxyOptions {
    /// The amphora's directory: wait there for the agent
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Take over from the proxy that runs there (agents say so)
    #[arg(long, requires = "dir")]
    pub(crate) next: bool,
    /// Run this spec (JSON) alone, without an agent
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
    /// Threads that carry traffic; 0 = one a core
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: u16,
    /// Keep privileges and make no system call filter: for debugging only
    #[arg(long)]
    pub(crate) no_sandbox: bool,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// The decisions are those of the data plane itself, for a spec; nothing is sent to anybody.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExplainOptions {
    /// The spec (JSON) of an amphora, or the amphora's directory, where the agent keeps it
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: PathBuf,
    /// The listener, by id; if not given, the one with the port of the URL
    #[arg(long, value_name = "ID")]
    pub(crate) listener: Option<ListenerId>,
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The client's address, with its port where it matters (SOURCE_IP_PORT)
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1", value_parser = client_address)]
    pub(crate) client: SocketAddr,
    /// A member that fails its health checks; may be repeated. The others are taken for good
    #[arg(long, value_name = "MEMBER")]
    pub(crate) down: Vec<MemberId>,
    /// What the client asks for, such as http://www.example.org/path?query; tcp://ADDR:PORT where no request is read
    #[arg(value_name = "URL")]
    pub(crate) url: AskedUrl,
}

/// What a client asks for, as it was typed: a parsed URL is already without `..` and `.`, which clients do send.
#[derive(Debug, Clone)]
pub(crate) struct AskedUrl {
    pub(crate) url: Url,
    /// Path and query.
    pub(crate) target: String,
}

impl FromStr for AskedUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("a blank in it has to be written as %20".to_owned());
        }
        let after = text.split_once("://").map_or(text, |(_, after)| after);
        let target = after.find(['/', '?', '#']).map_or("", |at| &after[at..]);
        let target = target.split('#').next().unwrap_or_default();
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { url, target: format!("{slash}{target}") })
    }
}

fn client_address(text: &str) -> Result<SocketAddr, String> {
    let alone = text.parse().map(|address: IpAddr| SocketAddr::new(address, 0));
    alone.or_else(|_| text.parse()).map_err(|_| "neither an address nor an address with a port".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use clap::Parser;

    use super::Args;

    /// What systemd would run is what the command line takes, and each unit has no more rights than it needs.
    #[test]
    fn the_units_of_systemd_are_true() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".service") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<_> = text.lines().collect();
            let starts: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
            assert_eq!(starts.len(), 1, "{name}");
            let words = starts[0].split(' ').filter(|word| *word != "$OPTIONS");
            Args::try_parse_from(words).unwrap_or_else(|error| panic!("{name}: {error}"));
            for wanted in [
                "Type=notify",
                "User=octavia",
                "NoNewPrivileges=yes",
                "ProtectSystem=strict",
                "ProtectHome=yes",
                "PrivateDevices=yes",
                "RestrictNamespaces=yes",
                "SystemCallFilter=@system-service",
                "UMask=0077",
                "Restart=on-failure",
            ] {
                assert!(lines.contains(&wanted), "{name}: no {wanted}");
            }
            let has_amphorae = lines.contains(&"StateDirectory=octavia");
            assert_eq!(has_amphorae, lines.contains(&"KillMode=process"), "{name}: amphorae outlive it");
            seen += 1;
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
