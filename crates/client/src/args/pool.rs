use clap::{Args, Subcommand};

use super::{Common, Filters, Pairs, Wait, pairs, upper};

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
    /// A text for people
    #[arg(long, value_name = "TEXT")]
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
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) lb_algorithm: Option<String>,
    /// Such as type=HTTP_COOKIE or type=APP_COOKIE,cookie_name=session
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = pairs)]
    pub(crate) session_persistence: Option<Pairs>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
