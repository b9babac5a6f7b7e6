//! What an operator offers load balancers to be made of: flavors and availability zones, each with a profile that says,
//! in a provider's own words, what it means.

use crate::{AvailabilityZoneProfileId, FlavorId, FlavorProfileId};

/// A kind of load balancer under a name that users choose by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavor {
    pub id: FlavorId,
    /// Unique.
    pub name: String,
    pub description: String,
    /// New load balancers may be of it; those there are stay as they are.
    pub enabled: bool,
    pub flavor_profile_id: FlavorProfileId,
}

/// What flavors mean to a provider. While a flavor refers to it, only its name changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlavorProfile {
    pub id: FlavorProfileId,
    pub name: String,
    /// The provider's name or alias, as it was given.
    pub provider_name: String,
    /// A JSON object as it was typed.
    pub flavor_data: String,
}

/// A place for load balancers, called by its name: it has no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailabilityZone {
    /// Unique.
    pub name: String,
    pub description: String,
    /// New load balancers may be made there; those there are stay.
    pub enabled: bool,
    pub availability_zone_profile_id: AvailabilityZoneProfileId,
}

/// What availability zones mean to a provider. While a zone refers to it, only its name changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailabilityZoneProfile {
    pub id: AvailabilityZoneProfileId,
    pub name: String,
    /// The provider's name or alias, as it was given.
    pub provider_name: String,
    /// A JSON object as it was typed.
    pub availability_zone_data: String,
}
