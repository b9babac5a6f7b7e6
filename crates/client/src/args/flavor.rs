use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum FlavorCommand {
    /// Offer a kind of load balancer (for administrators)
    Create(FlavorCreate),
    /// List flavors
    List(OfferFilters),
    /// Show one
    Show {
        /// Name or id
        flavor: String,
    },
    /// Change attributes
    Set(FlavorSet),
    /// Set attributes back to nothing
    Unset {
        /// Name or id
        flavor: String,
        /// Remove the description
        #[arg(long, required = true)]
        description: bool,
    },
    /// Delete one or more
    Delete {
        /// Names or ids
        #[arg(value_name = "FLAVOR", required = true)]
        flavors: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct FlavorCreate {
    /// A name; must be unique
    #[arg(long)]
    pub(crate) name: String,
    /// What it means to the provider (name or id of a flavor profile)
    #[arg(long, value_name = "PROFILE")]
    pub(crate) flavorprofile: String,
    #[command(flatten)]
    pub(crate) offer: Offer,
}

#[derive(Debug, Args)]
pub struct FlavorSet {
    /// Name or id
    pub(crate) flavor: String,
    /// A new name; must be unique
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) offer: Offer,
}

/// What flavors and availability zones have in common.
#[derive(Debug, Args)]
pub struct Offer {
    /// What it is
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Let users choose it (the default)
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Let nobody choose it; load balancers that have it stay
    #[arg(long)]
    pub(crate) disable: bool,
}

#[derive(Debug, Args)]
pub struct OfferFilters {
    /// Only that with this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only those that can be chosen
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Only those that cannot be chosen
    #[arg(long)]
    pub(crate) disable: bool,
}
