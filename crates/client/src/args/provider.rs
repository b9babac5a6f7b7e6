use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// List providers
    List,
    /// What a provider knows in flavor and availability zone data (for administrators)
    Capability {
        #[command(subcommand)]
        command: CapabilityCommand,
    },
}

#[derive(Debug, Subcommand)]
pub enum CapabilityCommand {
    /// List capabilities
    List {
        /// Name of the provider
        provider: String,
        /// Only those of flavors
        #[arg(long, conflicts_with = "availability_zone")]
        flavor: bool,
        /// Only those of availability zones
        #[arg(long)]
        availability_zone: bool,
    },
}
