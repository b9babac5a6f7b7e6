use clap::{Args, Subcommand};

use super::{Offer, OfferFilters};

#[derive(Debug, Subcommand)]
pub enum AvailabilityZoneCommand {
    /// Offer a place for load balancers (for administrators)
    Create(AvailabilityZoneCreate),
    /// List availability zones
    List(OfferFilters),
    /// Show one
    Show {
        /// Name
        #[arg(value_name = "ZONE")]
        zone: String,
    },
    /// Change attributes
    Set {
        /// Name
        #[arg(value_name = "ZONE")]
        zone: String,
        #[command(flatten)]
        offer: Offer,
    },
    /// Set attributes back to nothing
    Unset {
        /// Name
        #[arg(value_name = "ZONE")]
        zone: String,
        /// Remove the description
        #[arg(long, required = true)]
        description: bool,
    },
    /// Delete one or more
    Delete {
        /// Names
        #[arg(value_name = "ZONE", required = true)]
        zones: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct AvailabilityZoneCreate {
    /// A name; must be unique, and stays
    #[arg(long)]
    pub(crate) name: String,
    /// What it means to the provider (name or id of an availability zone profile)
    #[arg(long, value_name = "PROFILE")]
    pub(crate) availabilityzoneprofile: String,
    #[command(flatten)]
    pub(crate) offer: Offer,
}
