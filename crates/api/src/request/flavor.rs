//! Bodies of flavors.

use octavia_model::FlavorProfileId;

use super::{Call, enabled};
use crate::body::{Document, Sent};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "flavor_";
pub(crate) const ROOT: &str = "flavor";

pub(crate) const CREATE: &[&str] = &["name", "description", "enabled", "flavor_profile_id"];
pub(crate) const UPDATE: &[&str] = &["name", "description", "enabled"];

#[derive(Debug, Default)]
pub(crate) struct FlavorBody {
    pub(crate) name: Sent<String>,
    pub(crate) description: Sent<String>,
    pub(crate) enabled: Sent<bool>,
    pub(crate) flavor_profile_id: Sent<FlavorProfileId>,
}

impl FlavorBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        let body = Self {
            name: object.label("name")?,
            description: object.label("description")?,
            enabled: enabled(&object)?,
            flavor_profile_id: object.id("flavor_profile_id")?,
        };
        if call == Call::Create {
            body.name.as_ref().required("name")?;
            body.flavor_profile_id.required("flavor_profile_id")?;
        }
        Ok(body)
    }
}
