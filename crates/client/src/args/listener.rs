use clap::{Args, Subcommand};

use super::{Common, Filters, Pairs, Wait, pairs, upper};

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
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Connections at once; -1 = unlimited
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) connection_limit: Option<i64>,
    /// Pool that gets the traffic (name or id)
    #[arg(long, value_name = "POOL")]
    pub(crate) default_pool: Option<String>,
    /// Headers to add to requests, such as X-Forwarded-For=true,X-Forwarded-Port=true
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = pairs)]
    pub(crate) insert_headers: Option<Pairs>,
    /// Milliseconds a client may be silent
    #[arg(long, allow_negative_numbers = true, value_name = "MS")]
    pub(crate) timeout_client_data: Option<u64>,
    /// Milliseconds to connect to a member
    #[arg(long, allow_negative_numbers = true, value_name = "MS")]
    pub(crate) timeout_member_connect: Option<u64>,
    /// Milliseconds a member may be silent
    #[arg(long, allow_negative_numbers = true, value_name = "MS")]
    pub(crate) timeout_member_data: Option<u64>,
    /// Milliseconds to wait for content to inspect
    #[arg(long, allow_negative_numbers = true, value_name = "MS")]
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
    /// Port of the VIP to listen on
    #[arg(long, allow_negative_numbers = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
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
    /// No limit of connections
    #[arg(long)]
    pub(crate) connection_limit: bool,
    /// Add no headers
    #[arg(long)]
    pub(crate) insert_headers: bool,
    /// Everyone may connect
    #[arg(long)]
    pub(crate) allowed_cidrs: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
