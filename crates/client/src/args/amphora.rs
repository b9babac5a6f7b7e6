use clap::Subcommand;

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
