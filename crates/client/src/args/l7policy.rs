use clap::{Args, Subcommand};

use super::{Common, Filters, Wait, upper};

#[derive(Debug, Subcommand)]
pub enum L7PolicyCommand {
    /// Make an L7 policy: what becomes of requests that its rules match
    Create(L7PolicyCreate),
    /// List L7 policies
    List(L7PolicyList),
    /// Show one
    Show {
        /// Name or id
        #[arg(value_name = "L7POLICY")]
        policy: String,
    },
    /// Change attributes
    Set(L7PolicySet),
    /// Put attributes back to their defaults
    Unset(L7PolicyUnset),
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "L7POLICY", required = true)]
        policies: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

/// What `l7policy create` and `l7policy set` share.
#[derive(Debug, Args)]
pub(crate) struct L7PolicyAttributes {
    #[command(flatten)]
    pub(crate) common: Common,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Pool that gets the requests (name or id)
    #[arg(long, value_name = "POOL")]
    pub(crate) redirect_pool: Option<String>,
    /// URL that clients are sent to
    #[arg(long, value_name = "URL")]
    pub(crate) redirect_url: Option<String>,
    /// URL that clients are sent to, with the path they asked for after it
    #[arg(long, value_name = "URL")]
    pub(crate) redirect_prefix: Option<String>,
    /// 301, 302, 303, 307 or 308
    #[arg(long, allow_negative_numbers = true, value_name = "CODE")]
    pub(crate) redirect_http_code: Option<u16>,
    /// Place among the listener's policies, from 1
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub(crate) position: Option<u32>,
}

#[derive(Debug, Args)]
pub struct L7PolicyCreate {
    /// Listener (name or id)
    pub(crate) listener: String,
    /// REJECT, REDIRECT_TO_POOL, REDIRECT_TO_URL or REDIRECT_PREFIX
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) attributes: L7PolicyAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct L7PolicyList {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Only those of this listener (name or id)
    #[arg(long)]
    pub(crate) listener: Option<String>,
}

#[derive(Debug, Args)]
pub struct L7PolicySet {
    /// Name or id
    #[arg(value_name = "L7POLICY")]
    pub(crate) policy: String,
    /// REJECT, REDIRECT_TO_POOL, REDIRECT_TO_URL or REDIRECT_PREFIX
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) action: Option<String>,
    #[command(flatten)]
    pub(crate) attributes: L7PolicyAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct L7PolicyUnset {
    /// Name or id
    #[arg(value_name = "L7POLICY")]
    pub(crate) policy: String,
    /// No name
    #[arg(long)]
    pub(crate) name: bool,
    /// No text for people
    #[arg(long)]
    pub(crate) description: bool,
    /// The default status code of redirects
    #[arg(long)]
    pub(crate) redirect_http_code: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
