use clap::{Args, Subcommand};

use super::{Common, Filters, Wait, upper};

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
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub(crate) max_retries_down: Option<u8>,
    /// GET, HEAD, OPTIONS, …
    #[arg(long, value_name = "METHOD", value_parser = upper)]
    pub(crate) http_method: Option<String>,
    /// What checks ask for, such as /health
    #[arg(long, value_name = "PATH")]
    pub(crate) url_path: Option<String>,
    /// Good status codes: 200, or 200,204, or 200-299
    #[arg(long, value_name = "CODES")]
    pub(crate) expected_codes: Option<String>,
    /// 1.0 or 1.1
    #[arg(long, allow_negative_numbers = true, value_name = "VERSION")]
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
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS")]
    pub(crate) delay: u32,
    /// Seconds a check may take
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS")]
    pub(crate) timeout: u32,
    /// Successes in a row before a member is good, 1–10
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
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
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS")]
    pub(crate) delay: Option<u32>,
    /// Seconds a check may take
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// Successes in a row before a member is good, 1–10
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub(crate) max_retries: Option<u8>,
    #[command(flatten)]
    pub(crate) attributes: HealthMonitorAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
