use octavia_model::Turn;
use sea_orm::entity::prelude::*;

use super::codec::Decode;
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "turn")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub load_balancer_id: String,
    pub project_id: String,
    pub urgent: bool,
    pub since: i64,
    pub asked_at: i64,
    pub taken_at: Option<i64>,
    pub operation_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Turn {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("turn");
        Ok(Self {
            load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
            project_id: octavia_model::ProjectId::new(row.project_id.as_str()),
            urgent: row.urgent,
            since: decode.time("since", row.since)?,
            asked_at: decode.time("asked_at", row.asked_at)?,
            taken_at: decode.time_option("taken_at", row.taken_at)?,
            operation_id: decode.parse("operation_id", &row.operation_id)?,
        })
    }
}
