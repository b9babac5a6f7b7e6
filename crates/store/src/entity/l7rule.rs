use octavia_model::{L7Rule, ProjectId};
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "l7rule")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub l7policy_id: String,
    pub load_balancer_id: String,
    pub project_id: String,
    /// Rules have none: the column is there because every kind's table has it, and empty.
    pub name: String,
    pub admin_state_up: bool,
    pub provisioning_status: String,
    pub operating_status: String,
    pub reason: Option<String>,
    #[sea_orm(column_name = "type")]
    pub kind: String,
    pub compare_type: String,
    pub key: Option<String>,
    pub value: String,
    pub invert: bool,
    pub tags: String,
    pub created_at: i64,
    pub updated_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&L7Rule> for Model {
    fn from(rule: &L7Rule) -> Self {
        Self {
            id: codec::id(rule.id),
            l7policy_id: codec::id(rule.l7policy_id),
            load_balancer_id: codec::id(rule.load_balancer_id),
            project_id: rule.project_id.to_string(),
            name: String::new(),
            admin_state_up: rule.admin_state_up,
            provisioning_status: rule.statuses.provisioning.to_string(),
            operating_status: rule.statuses.operating.to_string(),
            reason: codec::reason(rule.statuses.reason.as_ref()),
            kind: rule.kind.to_string(),
            compare_type: rule.compare_type.to_string(),
            key: rule.key.clone(),
            value: rule.value.clone(),
            invert: rule.invert,
            tags: codec::list(&rule.tags),
            created_at: codec::micros(rule.created_at),
            updated_at: rule.updated_at.map(codec::micros),
        }
    }
}

impl TryFrom<Model> for L7Rule {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("l7rule");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            l7policy_id: decode.parse("l7policy_id", &row.l7policy_id)?,
            load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
            project_id: ProjectId::new(row.project_id),
            admin_state_up: row.admin_state_up,
            statuses: decode.statuses(
                &row.provisioning_status,
                &row.operating_status,
                row.reason.as_deref(),
            )?,
            kind: decode.parse("type", &row.kind)?,
            compare_type: decode.parse("compare_type", &row.compare_type)?,
            key: row.key,
            value: row.value,
            invert: row.invert,
            tags: decode.list("tags", &row.tags)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
        })
    }
}
