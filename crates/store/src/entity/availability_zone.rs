use octavia_model::AvailabilityZone;
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "availability_zone")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub availability_zone_profile_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&AvailabilityZone> for Model {
    fn from(zone: &AvailabilityZone) -> Self {
        Self {
            name: zone.name.clone(),
            description: zone.description.clone(),
            enabled: zone.enabled,
            availability_zone_profile_id: codec::id(zone.availability_zone_profile_id),
        }
    }
}

impl TryFrom<Model> for AvailabilityZone {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self {
            availability_zone_profile_id: Decode("availability_zone")
                .parse("availability_zone_profile_id", &row.availability_zone_profile_id)?,
            name: row.name,
            description: row.description,
            enabled: row.enabled,
        })
    }
}
