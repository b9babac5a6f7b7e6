use clap::Subcommand;

use super::Wait;

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
    /// Traffic so far, for each listener
    Stats {
        /// Id
        amphora: String,
    },
    /// Send it its configuration again
    Configure {
        /// Id
        amphora: String,
    },
    /// Replace it
    Failover {
        /// Id
        amphora: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Remove one that is in ERROR
    Delete {
        /// Id
        amphora: String,
    },
}
