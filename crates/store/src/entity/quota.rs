use octavia_model::{Limit, OwnLimits};
use sea_orm::entity::prelude::*;

use super::codec::Decode;
use crate::StoreError;

/// Limits of a project; null = the configured one.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quota")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub project_id: String,
    pub load_balancer: Option<i64>,
    pub listener: Option<i64>,
    pub pool: Option<i64>,
    pub member: Option<i64>,
    pub health_monitor: Option<i64>,
    pub l7policy: Option<i64>,
    pub l7rule: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<&Model> for OwnLimits {
    type Error = StoreError;

    fn try_from(row: &Model) -> Result<Self, StoreError> {
        let decode = Decode("quota");
        let limit = |column: &str, number: Option<i64>| {
            let limit = |number| {
                let limit = i32::try_from(number).ok().and_then(Limit::new);
                limit.ok_or_else(|| decode.corrupt(column, format_args!("{number} is out of range")))
            };
            number.map(limit).transpose()
        };
        Ok(Self {
            load_balancer: limit("load_balancer", row.load_balancer)?,
            listener: limit("listener", row.listener)?,
            pool: limit("pool", row.pool)?,
            member: limit("member", row.member)?,
            health_monitor: limit("health_monitor", row.health_monitor)?,
            l7policy: limit("l7policy", row.l7policy)?,
            l7rule: limit("l7rule", row.l7rule)?,
        })
    }
}
