use octavia_model::Flavor;
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "flavor")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub flavor_profile_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Flavor> for Model {
    fn from(flavor: &Flavor) -> Self {
        Self {
            id: codec::id(flavor.id),
            name: flavor.name.clone(),
            description: flavor.description.clone(),
            enabled: flavor.enabled,
            flavor_profile_id: codec::id(flavor.flavor_profile_id),
        }
    }
}

impl TryFrom<Model> for Flavor {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("flavor");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            flavor_profile_id: decode.parse("flavor_profile_id", &row.flavor_profile_id)?,
            name: row.name,
            description: row.description,
            enabled: row.enabled,
        })
    }
}
