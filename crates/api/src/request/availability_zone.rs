//! Bodies of availability zones.

use octavia_model::AvailabilityZoneProfileId;

use super::{Call, enabled};
use crate::body::{Document, Sent, TEXT_MAX};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "availability_zone_";
pub(crate) const ROOT: &str = "availability_zone";

pub(crate) const CREATE: &[&str] = &["name", "description", "enabled", "availability_zone_profile_id"];
pub(crate) const UPDATE: &[&str] = &["description", "enabled"];

#[derive(Debug, Default)]
pub(crate) struct AvailabilityZoneBody {
    pub(crate) name: Sent<String>,
    pub(crate) description: Sent<String>,
    pub(crate) enabled: Sent<bool>,
    pub(crate) availability_zone_profile_id: Sent<AvailabilityZoneProfileId>,
}

impl AvailabilityZoneBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        let body = Self {
            // A zone is called by its name: without one it could not be shown or deleted.
            name: object.text_where(
                "name",
                TEXT_MAX,
                |name| !name.is_empty(),
                "Value should have a minimum character requirement of 1",
            )?,
            description: object.label("description")?,
            enabled: enabled(&object)?,
            availability_zone_profile_id: object.id("availability_zone_profile_id")?,
        };
        if call == Call::Create {
            body.name.as_ref().required("name")?;
            body.availability_zone_profile_id.required("availability_zone_profile_id")?;
        }
        Ok(body)
    }
}
