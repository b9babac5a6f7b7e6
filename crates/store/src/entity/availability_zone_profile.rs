use octavia_model::AvailabilityZoneProfile;
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "availability_zone_profile")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    pub provider_name: String,
    pub availability_zone_data: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&AvailabilityZoneProfile> for Model {
    fn from(profile: &AvailabilityZoneProfile) -> Self {
        Self {
            id: codec::id(profile.id),
            name: profile.name.clone(),
            provider_name: profile.provider_name.clone(),
            availability_zone_data: profile.availability_zone_data.clone(),
        }
    }
}

impl TryFrom<Model> for AvailabilityZoneProfile {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: Decode("availability_zone_profile").parse("id", &row.id)?,
            name: row.name,
            provider_name: row.provider_name,
            availability_zone_data: row.availability_zone_data,
        })
    }
}
