use octavia_model::FlavorProfile;
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "flavor_profile")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    pub provider_name: String,
    pub flavor_data: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&FlavorProfile> for Model {
    fn from(profile: &FlavorProfile) -> Self {
        Self {
            id: codec::id(profile.id),
            name: profile.name.clone(),
            provider_name: profile.provider_name.clone(),
            flavor_data: profile.flavor_data.clone(),
        }
    }
}

impl TryFrom<Model> for FlavorProfile {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: Decode("flavor_profile").parse("id", &row.id)?,
            name: row.name,
            provider_name: row.provider_name,
            flavor_data: row.flavor_data,
        })
    }
}
