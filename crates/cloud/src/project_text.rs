//! Projects as text: `model` knows no serialisation.

use octavia_model::ProjectId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(project: &ProjectId, to: S) -> Result<S::Ok, S::Error> {
    project.as_str().serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ProjectId, D::Error> {
    Ok(ProjectId::new(String::deserialize(from)?))
}

/// Where there may be none.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, ProjectId, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(project: &Option<ProjectId>, to: S) -> Result<S::Ok, S::Error> {
        project.as_ref().map(ProjectId::as_str).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ProjectId>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(ProjectId::new))
    }
}
