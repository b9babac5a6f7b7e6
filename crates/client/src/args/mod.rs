//! The command line of the client, as types. Option names are those of the official client where it has them.

mod amphora;
mod availability_zone;
mod drill;
mod flavor;
mod health_monitor;
mod l7policy;
mod l7rule;
mod lb;
mod listener;
mod member;
mod pool;
mod profile;
mod provider;
mod quota;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

pub(crate) use self::amphora::*;
pub(crate) use self::availability_zone::*;
pub(crate) use self::drill::*;
pub(crate) use self::flavor::*;
pub(crate) use self::health_monitor::*;
pub(crate) use self::l7policy::*;
pub(crate) use self::l7rule::*;
pub(crate) use self::lb::*;
pub(crate) use self::listener::*;
pub(crate) use self::member::*;
pub(crate) use self::pool::*;
pub(crate) use self::profile::*;
pub(crate) use self::provider::*;
pub(crate) use self::quota::*;
use crate::clouds::Overrides;

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
    /// L7 policies: what HTTP listeners do with requests that rules match
    #[command(name = "l7policy")]
    L7Policy(Group<L7PolicyCommand>),
    /// Rules of L7 policies
    #[command(name = "l7rule")]
    L7Rule(Group<L7RuleCommand>),
    /// How many objects projects may have
    Quota(Group<QuotaCommand>),
    /// Flavors: the kinds of load balancers there are to choose from
    Flavor(Group<FlavorCommand>),
    /// What flavors mean to a provider (for administrators)
    #[command(name = "flavorprofile")]
    FlavorProfile(Group<FlavorProfileCommand>),
    /// Availability zones: the places for load balancers there are to choose from
    #[command(name = "availabilityzone")]
    AvailabilityZone(Group<AvailabilityZoneCommand>),
    /// What availability zones mean to a provider (for administrators)
    #[command(name = "availabilityzoneprofile")]
    AvailabilityZoneProfile(Group<AvailabilityZoneProfileCommand>),
    /// Providers, and what can be said to them
    Provider(Group<ProviderCommand>),
    // `amphora` is the agent that runs inside one.
    /// Amphorae: what carries the traffic (for administrators)
    #[command(name = "amphorae")]
    Amphora(Group<AmphoraCommand>),
    /// Drills: what clients notice when something fails (for administrators)
    Drill(Group<DrillCommand>),
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

    /// Change nothing: print what the command would do
    #[arg(long, global = true, help_heading = "Output")]
    dry_run: bool,
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

    pub(crate) const fn dry_run(&self) -> bool {
        self.dry_run
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
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", default_value_t = crate::WAIT_TIMEOUT.as_secs())]
    wait_timeout: u64,
}

impl Wait {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.wait_timeout)
    }
}

/// Attributes of every kind that has a name.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// A name; need not be unique
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) switches: Switches,
}

/// Attributes every kind has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Switches {
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

/// The provisioning statuses the API knows.
pub(crate) const PROVISIONING: [&str; 6] =
    ["ACTIVE", "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE", "ERROR", "DELETED"];
/// The operating statuses of a load balancer.
pub(crate) const OPERATING: [&str; 4] = ["ONLINE", "OFFLINE", "DEGRADED", "ERROR"];

/// One of these words, in any case.
fn one_of<const N: usize>(words: [&'static str; N]) -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(words).map(|word| word.to_ascii_uppercase())
}

/// The API's words are upper case; people need not type them so.
#[expect(clippy::unnecessary_wraps, reason = "the form of a clap value parser")]
fn upper(word: &str) -> Result<String, std::convert::Infallible> {
    Ok(word.to_ascii_uppercase())
}
