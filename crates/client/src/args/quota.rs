use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// List the projects that have a record; a limit that was never set is empty
    List {
        /// Only that of this project (id)
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
    },
    /// Show the limits of a project
    Show {
        /// Id of the project
        project: String,
    },
    /// Set limits of a project (for administrators)
    Set(QuotaSet),
    /// Let configured limits count for a project again (for administrators)
    Unset(QuotaUnset),
    /// Show the configured limits, which count where none is set
    #[command(visible_alias = "default")]
    Defaults,
}

/// -1 = no limit, 0 forbids.
#[derive(Debug, Args)]
pub struct QuotaSet {
    /// Id of the project
    pub(crate) project: String,
    /// Load balancers, -1 = as many as wanted
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) loadbalancer: Option<i64>,
    /// Listeners
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) listener: Option<i64>,
    /// Pools
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) pool: Option<i64>,
    /// Members
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) member: Option<i64>,
    /// Health monitors
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) healthmonitor: Option<i64>,
    /// L7 policies
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) l7policy: Option<i64>,
    /// L7 rules
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = limit())]
    pub(crate) l7rule: Option<i64>,
}

/// Without options, all of them.
#[derive(Debug, Args)]
pub struct QuotaUnset {
    /// Id of the project
    pub(crate) project: String,
    /// That of load balancers; without any of these options, all
    #[arg(long)]
    pub(crate) loadbalancer: bool,
    /// That of listeners
    #[arg(long)]
    pub(crate) listener: bool,
    /// That of pools
    #[arg(long)]
    pub(crate) pool: bool,
    /// That of members
    #[arg(long)]
    pub(crate) member: bool,
    /// That of health monitors
    #[arg(long)]
    pub(crate) healthmonitor: bool,
    /// That of L7 policies
    #[arg(long)]
    pub(crate) l7policy: bool,
    /// That of L7 rules
    #[arg(long)]
    pub(crate) l7rule: bool,
}

/// What the API takes.
fn limit() -> clap::builder::RangedI64ValueParser {
    clap::value_parser!(i64).range(-1..=2_000_000_000)
}
