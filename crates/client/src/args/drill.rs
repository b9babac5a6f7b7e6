use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// Take away the amphora that carries the traffic, and measure what clients notice
    ///
    /// Attempts through the VIP begin at a steady rate, from here, before, meanwhile and after. Without --kill the amphora is
    /// replaced by way of the API, as in an upgrade. The report is kept in a file.
    Failover(FailoverDrill),
}

#[derive(Debug, Args)]
pub struct FailoverDrill {
    /// Name or id of the load balancer
    #[arg(value_name = "LB")]
    pub(crate) loadbalancer: String,
    /// Go through this listener (name or id), and not the first that can be tried
    #[arg(long)]
    pub(crate) listener: Option<String>,
    /// Kill the amphora by this command, which a shell runs with AMPHORA_ID, COMPUTE_ID and LB_NETWORK_IP in its environment
    #[arg(long, value_name = "COMMAND")]
    pub(crate) kill: Option<String>,
    /// From the beginning of one attempt to that of the next, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=1000))]
    pub(crate) every: u64,
    /// How long an attempt may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub(crate) patience: u64,
    /// How long everything has to be well before, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) before: u64,
    /// How long to wait at most until another amphora has taken its place, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) limit: u64,
    /// Fail when clients were without service for longer than this, in milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) at_most: Option<u64>,
    /// Where the report is kept; a new file of this directory if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}
