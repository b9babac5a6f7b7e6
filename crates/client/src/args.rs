//! The command line of the client, as types. Option names are those of the official client where it has them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::clouds::Overrides;
use crate::populated::{ListenerSpec, MemberSpec, MonitorSpec};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load balancers
    #[command(visible_alias = "loadbalancer")]
    Lb(Group<LbCommand>),
    /// Listeners: the ports of a load balancer
    Listener(Group<ListenerCommand>),
    /// Pools of members
    Pool(Group<PoolCommand>),
    /// Members: the servers behind a pool
    Member(Group<MemberCommand>),
    /// Health monitors of pools
    #[command(name = "healthmonitor", visible_alias = "hm")]
    HealthMonitor(Group<HealthMonitorCommand>),
    // `amphora` is the agent that runs inside one.
    /// Amphorae: what carries the traffic (for administrators)
    #[command(name = "amphorae")]
    Amphora(Group<AmphoraCommand>),
}

/// A subcommand of one kind, with the options all kinds share.
#[derive(Debug, Args)]
pub struct Group<C: Subcommand> {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: C,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Name of the cloud in clouds.yaml [env: OS_CLOUD]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cloud")]
    os_cloud: Option<String>,
    /// How to prove who is calling: password, token, v3applicationcredential, none [env: OS_AUTH_TYPE]
    #[arg(long, global = true, value_name = "TYPE", help_heading = "Cloud")]
    os_auth_type: Option<String>,
    /// URL of the identity service [env: OS_AUTH_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Cloud")]
    os_auth_url: Option<String>,
    /// URL of the load-balancing service, instead of the catalogue's; alone, no token is sent [env: OS_ENDPOINT]
    #[arg(long, global = true, value_name = "URL", help_heading = "Cloud")]
    os_endpoint: Option<String>,
    /// URL of the network service, instead of the catalogue's
    #[arg(long, global = true, value_name = "URL", help_heading = "Cloud")]
    os_network_endpoint: Option<String>,
    /// Region [env: OS_REGION_NAME]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cloud")]
    os_region_name: Option<String>,
    /// Which URLs of the catalogue: public, internal or admin [env: OS_INTERFACE]
    #[arg(long, global = true, value_name = "WORD", help_heading = "Cloud")]
    os_interface: Option<String>,
    /// PEM file of the authorities to trust [env: OS_CACERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cloud")]
    os_cacert: Option<PathBuf>,
    /// Do not check the servers' certificates
    #[arg(long, global = true, help_heading = "Cloud")]
    insecure: bool,

    /// How to print the answer
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// The same as --format json
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Only this attribute; repeat for more
    #[arg(short, long = "column", global = true, value_name = "NAME", help_heading = "Output")]
    columns: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    /// Bare values, one object a line
    Value,
}

impl Options {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn overrides(&self) -> Overrides {
        let settings = [
            ("auth_type", self.os_auth_type.clone()),
            ("auth_url", self.os_auth_url.clone()),
            ("endpoint", self.os_endpoint.clone()),
            ("network_endpoint_override", self.os_network_endpoint.clone()),
            ("region_name", self.os_region_name.clone()),
            ("interface", self.os_interface.clone()),
            ("cacert", self.os_cacert.as_ref().map(|p| p.display().to_string())),
            ("verify", self.insecure.then(|| "false".to_owned())),
        ];
        Overrides {
            cloud: self.os_cloud.clone(),
            settings: settings.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct Wait {
    /// Wait until it is done, and fail if it fails
    #[arg(long)]
    pub(crate) wait: bool,
    /// Seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = crate::WAIT_TIMEOUT.as_secs())]
    wait_timeout: u64,
}

impl Wait {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.wait_timeout)
    }
}

/// Attributes every kind has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Let it work (the default)
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Keep it, but let it do nothing
    #[arg(long)]
    pub(crate) disable: bool,
    /// A tag; repeat for more. On `set`, added to those it has
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Remove all tags (on `set`, before --tag adds)
    #[arg(long)]
    pub(crate) no_tag: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Filters {
    /// Only those with this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only those with this tag; repeat for more, all must be there
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
}

// ---- load balancers

#[derive(Debug, Subcommand)]
pub enum LbCommand {
    /// Make a load balancer, with listeners and members at once if given
    Create(Box<LbCreate>),
    /// List load balancers
    List(LbList),
    /// Show one
    Show {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
    },
    /// Change attributes
    Set(LbSet),
    /// Delete one or more
    Delete(LbDelete),
    /// Statuses of everything below it, as a tree
    Status {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
    },
    /// Traffic so far
    Stats {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
    },
    /// Replace its amphorae
    Failover {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("vip").required(true).multiple(true).args(["vip_subnet_id", "vip_network_id", "vip_port_id"])))]
pub struct LbCreate {
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Subnet of the VIP (name or id)
    #[arg(long, value_name = "SUBNET")]
    pub(crate) vip_subnet_id: Option<String>,
    /// Network of the VIP (name or id)
    #[arg(long, value_name = "NETWORK")]
    pub(crate) vip_network_id: Option<String>,
    /// Port that is the VIP (name or id)
    #[arg(long, value_name = "PORT")]
    pub(crate) vip_port_id: Option<String>,
    /// Address of the VIP; a free one if not given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) vip_address: Option<IpAddr>,
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Id of a flavor
    #[arg(long)]
    pub(crate) flavor: Option<String>,
    #[arg(long)]
    pub(crate) availability_zone: Option<String>,
    /// Id of the project it shall belong to (for administrators)
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Also make a listener, such as HTTP:80; repeat for more
    #[arg(long = "listener", value_name = "PROTOCOL:PORT", help_heading = "Fully populated")]
    pub(crate) listeners: Vec<ListenerSpec>,
    /// Also make a member behind all listeners, such as 10.0.0.5:8080 or 10.0.0.5:8080@3 (weight 3); repeat for more
    #[arg(
        long = "member",
        value_name = "ADDRESS:PORT[@WEIGHT]",
        requires = "listeners",
        help_heading = "Fully populated"
    )]
    pub(crate) members: Vec<MemberSpec>,
    /// How members are chosen
    #[arg(long, value_name = "WORD", default_value = "ROUND_ROBIN", value_parser = upper, help_heading = "Fully populated")]
    pub(crate) algorithm: String,
    /// Also check the members, such as TCP or HTTP,path=/health,delay=5,timeout=3,rise=2,fall=3
    #[arg(long, value_name = "TYPE[,…]", requires = "members", help_heading = "Fully populated")]
    pub(crate) monitor: Option<MonitorSpec>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct LbList {
    #[command(flatten)]
    pub(crate) filters: Filters,
    #[arg(long)]
    pub(crate) vip_address: Option<IpAddr>,
    /// ACTIVE, ERROR, PENDING_CREATE, …
    #[arg(long, value_name = "STATUS", value_parser = upper)]
    pub(crate) provisioning_status: Option<String>,
    /// ONLINE, OFFLINE, DEGRADED or ERROR
    #[arg(long, value_name = "STATUS", value_parser = upper)]
    pub(crate) operating_status: Option<String>,
    /// Id of a project
    #[arg(long)]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Args)]
pub struct LbSet {
    /// Name or id
    #[arg(value_name = "LB")]
    pub(crate) lb: String,
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct LbDelete {
    /// Names or ids
    #[arg(value_name = "LB", required = true)]
    pub(crate) lbs: Vec<String>,
    /// Listeners, pools and everything below go with it
    #[arg(long)]
    pub(crate) cascade: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

// ---- listeners

#[derive(Debug, Subcommand)]
pub enum ListenerCommand {
    /// Make a listener
    Create(ListenerCreate),
    /// List listeners
    List(ListenerList),
    /// Show one
    Show {
        /// Name or id
        listener: String,
    },
    /// Change attributes
    Set(ListenerSet),
    /// Put attributes back to their defaults
    Unset(ListenerUnset),
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "LISTENER", required = true)]
        listeners: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Traffic so far
    Stats {
        /// Name or id
        listener: String,
    },
}

/// What `listener create` and `listener set` share.
#[derive(Debug, Args)]
pub(crate) struct ListenerAttributes {
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Connections at once; -1 = unlimited
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) connection_limit: Option<i64>,
    /// Pool that gets the traffic (name or id)
    #[arg(long, value_name = "POOL")]
    pub(crate) default_pool: Option<String>,
    /// Headers to add to requests, such as X-Forwarded-For=true,X-Forwarded-Port=true
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = pairs)]
    pub(crate) insert_headers: Option<Pairs>,
    /// Milliseconds a client may be silent
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_client_data: Option<u64>,
    /// Milliseconds to connect to a member
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_member_connect: Option<u64>,
    /// Milliseconds a member may be silent
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_member_data: Option<u64>,
    /// Milliseconds to wait for content to inspect
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_tcp_inspect: Option<u64>,
    /// Only these clients may connect; repeat for more
    #[arg(long = "allowed-cidr", value_name = "CIDR")]
    pub(crate) allowed_cidrs: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ListenerCreate {
    /// Load balancer (name or id)
    #[arg(value_name = "LB")]
    pub(crate) lb: String,
    /// HTTP, HTTPS, TCP, …
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) protocol: String,
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) protocol_port: u16,
    #[command(flatten)]
    pub(crate) attributes: ListenerAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct ListenerList {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Only those of this load balancer (name or id)
    #[arg(long, value_name = "LB")]
    pub(crate) loadbalancer: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListenerSet {
    /// Name or id
    pub(crate) listener: String,
    #[command(flatten)]
    pub(crate) attributes: ListenerAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct ListenerUnset {
    /// Name or id
    pub(crate) listener: String,
    /// Detach the default pool
    #[arg(long)]
    pub(crate) default_pool: bool,
    #[arg(long)]
    pub(crate) connection_limit: bool,
    #[arg(long)]
    pub(crate) insert_headers: bool,
    #[arg(long)]
    pub(crate) allowed_cidrs: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

// ---- pools

#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Make a pool
    Create(PoolCreate),
    /// List pools
    List(PoolList),
    /// Show one
    Show {
        /// Name or id
        pool: String,
    },
    /// Change attributes
    Set(PoolSet),
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "POOL", required = true)]
        pools: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub struct PoolCreate {
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// HTTP, HTTPS, TCP, …
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) protocol: String,
    /// ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) lb_algorithm: String,
    /// Make it the default pool of this listener (name or id)
    #[arg(
        long,
        value_name = "LISTENER",
        required_unless_present = "loadbalancer",
        conflicts_with = "loadbalancer"
    )]
    pub(crate) listener: Option<String>,
    /// Load balancer (name or id)
    #[arg(long, value_name = "LB")]
    pub(crate) loadbalancer: Option<String>,
    /// Such as type=HTTP_COOKIE or type=APP_COOKIE,cookie_name=session
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = pairs)]
    pub(crate) session_persistence: Option<Pairs>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct PoolList {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Only those of this load balancer (name or id)
    #[arg(long, value_name = "LB")]
    pub(crate) loadbalancer: Option<String>,
}

#[derive(Debug, Args)]
pub struct PoolSet {
    /// Name or id
    pub(crate) pool: String,
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) lb_algorithm: Option<String>,
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = pairs)]
    pub(crate) session_persistence: Option<Pairs>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

// ---- members

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Add a member to a pool
    Create(MemberCreate),
    /// List a pool's members
    List {
        /// Pool (name or id)
        pool: String,
        #[command(flatten)]
        filters: Filters,
    },
    /// Show one
    Show {
        /// Pool (name or id)
        pool: String,
        /// Name, id or ADDRESS:PORT
        member: String,
    },
    /// Change attributes
    Set(MemberSet),
    /// Make a pool's members exactly these
    Replace(MemberReplace),
    /// Delete one or more
    Delete {
        /// Pool (name or id)
        pool: String,
        /// Names, ids or ADDRESS:PORT
        #[arg(value_name = "MEMBER", required = true)]
        members: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MemberAttributes {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Share of the traffic, 0–256; 0 drains
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) weight: Option<u16>,
    /// Address to check, if another than the member's
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) monitor_address: Option<IpAddr>,
    /// Port to check, if another than the member's
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) monitor_port: Option<u16>,
}

#[derive(Debug, Args)]
pub struct MemberCreate {
    /// Pool (name or id)
    pub(crate) pool: String,
    #[arg(long)]
    pub(crate) address: IpAddr,
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) protocol_port: u16,
    /// Subnet the member is on (name or id)
    #[arg(long, value_name = "SUBNET")]
    pub(crate) subnet_id: Option<String>,
    /// Takes traffic only when the others cannot
    #[arg(long)]
    pub(crate) backup: bool,
    #[command(flatten)]
    pub(crate) attributes: MemberAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct MemberSet {
    /// Pool (name or id)
    pub(crate) pool: String,
    /// Name, id or ADDRESS:PORT
    pub(crate) member: String,
    /// true: takes traffic only when the others cannot
    #[arg(long, value_name = "BOOL")]
    pub(crate) backup: Option<bool>,
    #[command(flatten)]
    pub(crate) attributes: MemberAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct MemberReplace {
    /// Pool (name or id)
    pub(crate) pool: String,
    /// The members, such as 10.0.0.5:8080 or 10.0.0.5:8080@3 (weight 3)
    #[arg(value_name = "ADDRESS:PORT[@WEIGHT]")]
    pub(crate) members: Vec<MemberSpec>,
    /// Leave other members alone
    #[arg(long)]
    pub(crate) additive: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

// ---- health monitors

#[derive(Debug, Subcommand)]
pub enum HealthMonitorCommand {
    /// Have a pool's members checked
    Create(HealthMonitorCreate),
    /// List health monitors
    List {
        #[command(flatten)]
        filters: Filters,
    },
    /// Show one
    Show {
        /// Name or id
        #[arg(value_name = "HEALTHMONITOR")]
        monitor: String,
    },
    /// Change attributes
    Set(HealthMonitorSet),
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "HEALTHMONITOR", required = true)]
        monitors: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct HealthMonitorAttributes {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Failures in a row before a member is bad, 1–10
    #[arg(long, value_name = "N")]
    pub(crate) max_retries_down: Option<u8>,
    #[arg(long, value_name = "METHOD", value_parser = upper)]
    pub(crate) http_method: Option<String>,
    #[arg(long, value_name = "PATH")]
    pub(crate) url_path: Option<String>,
    /// Good status codes: 200, or 200,204, or 200-299
    #[arg(long, value_name = "CODES")]
    pub(crate) expected_codes: Option<String>,
    /// 1.0 or 1.1
    #[arg(long, value_name = "VERSION")]
    pub(crate) http_version: Option<f64>,
    /// The Host header of checks
    #[arg(long, value_name = "NAME")]
    pub(crate) domain_name: Option<String>,
}

#[derive(Debug, Args)]
pub struct HealthMonitorCreate {
    /// Pool (name or id)
    pub(crate) pool: String,
    /// HTTP, HTTPS, TCP, TLS-HELLO or PING
    #[arg(long = "type", value_name = "WORD", value_parser = upper)]
    pub(crate) kind: String,
    /// Seconds between checks
    #[arg(long, value_name = "SECONDS")]
    pub(crate) delay: u32,
    /// Seconds a check may take
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: u32,
    /// Successes in a row before a member is good, 1–10
    #[arg(long, value_name = "N")]
    pub(crate) max_retries: u8,
    #[command(flatten)]
    pub(crate) attributes: HealthMonitorAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct HealthMonitorSet {
    /// Name or id
    #[arg(value_name = "HEALTHMONITOR")]
    pub(crate) monitor: String,
    /// Seconds between checks
    #[arg(long, value_name = "SECONDS")]
    pub(crate) delay: Option<u32>,
    /// Seconds a check may take
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// Successes in a row before a member is good, 1–10
    #[arg(long, value_name = "N")]
    pub(crate) max_retries: Option<u8>,
    #[command(flatten)]
    pub(crate) attributes: HealthMonitorAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

// ---- amphorae

#[derive(Debug, Subcommand)]
pub enum AmphoraCommand {
    /// List amphorae
    List {
        /// Only those of this load balancer (name or id)
        #[arg(long, value_name = "LB")]
        loadbalancer: Option<String>,
    },
    /// Show one
    Show {
        /// Id
        amphora: String,
    },
}

// ---- values

/// `name=value` pairs in the order typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

fn pairs(text: &str) -> Result<Pairs, String> {
    text.split(',')
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not NAME=VALUE"))?;
            if name.is_empty() {
                Err(format!("{pair:?} has no name"))
            } else {
                Ok((name.to_owned(), value.to_owned()))
            }
        })
        .collect::<Result<_, _>>()
        .map(Pairs)
}

/// The API's words are upper case; people need not type them so.
#[expect(clippy::unnecessary_wraps, reason = "the form of a clap value parser")]
fn upper(word: &str) -> Result<String, std::convert::Infallible> {
    Ok(word.to_ascii_uppercase())
}
