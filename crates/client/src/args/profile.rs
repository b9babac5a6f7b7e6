use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum FlavorProfileCommand {
    /// Say what flavors mean to a provider
    Create {
        #[command(flatten)]
        profile: ProfileCreate,
        /// JSON the provider understands: see `provider capability list`
        #[arg(long, value_name = "JSON")]
        flavor_data: String,
    },
    /// List flavor profiles
    List(ProfileFilters),
    /// Show one
    Show {
        /// Name or id
        profile: String,
    },
    /// Change attributes: only the name, while a flavor refers to it
    Set {
        #[command(flatten)]
        profile: ProfileSet,
        /// JSON the provider understands
        #[arg(long, value_name = "JSON")]
        flavor_data: Option<String>,
    },
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "PROFILE", required = true)]
        profiles: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum AvailabilityZoneProfileCommand {
    /// Say what availability zones mean to a provider
    Create {
        #[command(flatten)]
        profile: ProfileCreate,
        /// JSON the provider understands: see `provider capability list`
        #[arg(long, value_name = "JSON")]
        availability_zone_data: String,
    },
    /// List availability zone profiles
    List(ProfileFilters),
    /// Show one
    Show {
        /// Name or id
        profile: String,
    },
    /// Change attributes: only the name, while a zone refers to it
    Set {
        #[command(flatten)]
        profile: ProfileSet,
        /// JSON the provider understands
        #[arg(long, value_name = "JSON")]
        availability_zone_data: Option<String>,
    },
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "PROFILE", required = true)]
        profiles: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct ProfileCreate {
    /// A name; need not be unique
    #[arg(long)]
    pub(crate) name: String,
    /// Name of the provider
    #[arg(long)]
    pub(crate) provider: String,
}

#[derive(Debug, Args)]
pub struct ProfileSet {
    /// Name or id
    pub(crate) profile: String,
    /// A new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Name of the provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
}

#[derive(Debug, Args)]
pub struct ProfileFilters {
    /// Only those with this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only those of this provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
}
