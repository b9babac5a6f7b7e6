//! Bodies of flavor profiles and of availability zone profiles, which differ in words only.

use super::Call;
use crate::body::{Document, Sent, TEXT_MAX};
use crate::fault::Fault;

/// What a profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProfileKind {
    Flavor,
    AvailabilityZone,
}

pub(crate) const DATA_MAX: usize = 4096;

impl ProfileKind {
    pub(crate) const fn argument(self) -> &'static str {
        match self {
            Self::Flavor => "flavor_profile_",
            Self::AvailabilityZone => "availability_zone_profile_",
        }
    }

    pub(crate) const fn root(self) -> &'static str {
        match self {
            Self::Flavor => "flavorprofile",
            Self::AvailabilityZone => "availability_zone_profile",
        }
    }

    /// The attribute that holds a provider's data.
    pub(crate) const fn data_key(self) -> &'static str {
        match self {
            Self::Flavor => "flavor_data",
            Self::AvailabilityZone => "availability_zone_data",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ProfileBody {
    pub(crate) name: Sent<String>,
    pub(crate) provider_name: Sent<String>,
    /// JSON in a text.
    pub(crate) data: Sent<String>,
}

impl ProfileBody {
    pub(crate) fn decode(document: &Document, kind: ProfileKind, call: Call) -> Result<Self, Fault> {
        let data_key = kind.data_key();
        let object = document.object(kind.root(), &["name", "provider_name", data_key])?;
        let body = Self {
            name: object.label("name")?,
            provider_name: object.text("provider_name", TEXT_MAX)?,
            data: object.text(data_key, DATA_MAX)?,
        };
        if call == Call::Create {
            body.name.as_ref().required("name")?;
            body.provider_name.as_ref().required("provider_name")?;
            body.data.as_ref().required(data_key)?;
        }
        Ok(body)
    }
}
