//! Flavors, availability zones and their profiles.

use octavia_model::{AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct FlavorView {
    id: String,
    name: String,
    description: String,
    enabled: bool,
    flavor_profile_id: String,
}

impl From<&Flavor> for FlavorView {
    fn from(flavor: &Flavor) -> Self {
        Self {
            id: flavor.id.to_string(),
            name: flavor.name.clone(),
            description: flavor.description.clone(),
            enabled: flavor.enabled,
            flavor_profile_id: flavor.flavor_profile_id.to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct FlavorProfileView {
    id: String,
    name: String,
    provider_name: String,
    flavor_data: String,
}

impl From<&FlavorProfile> for FlavorProfileView {
    fn from(profile: &FlavorProfile) -> Self {
        Self {
            id: profile.id.to_string(),
            name: profile.name.clone(),
            provider_name: profile.provider_name.clone(),
            flavor_data: profile.flavor_data.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct AvailabilityZoneView {
    name: String,
    description: String,
    enabled: bool,
    availability_zone_profile_id: String,
}

impl From<&AvailabilityZone> for AvailabilityZoneView {
    fn from(zone: &AvailabilityZone) -> Self {
        Self {
            name: zone.name.clone(),
            description: zone.description.clone(),
            enabled: zone.enabled,
            availability_zone_profile_id: zone.availability_zone_profile_id.to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct AvailabilityZoneProfileView {
    id: String,
    name: String,
    provider_name: String,
    availability_zone_data: String,
}

impl From<&AvailabilityZoneProfile> for AvailabilityZoneProfileView {
    fn from(profile: &AvailabilityZoneProfile) -> Self {
        Self {
            id: profile.id.to_string(),
            name: profile.name.clone(),
            provider_name: profile.provider_name.clone(),
            availability_zone_data: profile.availability_zone_data.clone(),
        }
    }
}
