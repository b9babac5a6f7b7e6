use octavia_model::{L7Policy, ProjectId};
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "l7policy")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub listener_id: String,
    pub load_balancer_id: String,
    pub project_id: String,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub provisioning_status: String,
    pub operating_status: String,
    pub reason: Option<String>,
    pub action: String,
    pub redirect_pool_id: Option<String>,
    pub redirect_url: Option<String>,
    pub redirect_prefix: Option<String>,
    pub redirect_http_code: Option<i64>,
    pub position: i64,
    pub tags: String,
    pub created_at: i64,
    pub updated_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&L7Policy> for Model {
    fn from(policy: &L7Policy) -> Self {
        Self {
            id: codec::id(policy.id),
            listener_id: codec::id(policy.listener_id),
            load_balancer_id: codec::id(policy.load_balancer_id),
            project_id: policy.project_id.to_string(),
            name: policy.name.clone(),
            description: policy.description.clone(),
            admin_state_up: policy.admin_state_up,
            provisioning_status: policy.statuses.provisioning.to_string(),
            operating_status: policy.statuses.operating.to_string(),
            reason: codec::reason(policy.statuses.reason.as_ref()),
            action: policy.action.to_string(),
            redirect_pool_id: policy.redirect_pool_id.map(codec::id),
            redirect_url: policy.redirect_url.clone(),
            redirect_prefix: policy.redirect_prefix.clone(),
            redirect_http_code: policy.redirect_http_code.map(Into::into),
            position: policy.position.into(),
            tags: codec::list(&policy.tags),
            created_at: codec::micros(policy.created_at),
            updated_at: policy.updated_at.map(codec::micros),
        }
    }
}

impl TryFrom<Model> for L7Policy {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("l7policy");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            listener_id: decode.parse("listener_id", &row.listener_id)?,
            load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
            project_id: ProjectId::new(row.project_id),
            name: row.name,
            description: row.description,
            admin_state_up: row.admin_state_up,
            statuses: decode.statuses(
                &row.provisioning_status,
                &row.operating_status,
                row.reason.as_deref(),
            )?,
            action: decode.parse("action", &row.action)?,
            redirect_pool_id: decode.parse_option("redirect_pool_id", row.redirect_pool_id.as_deref())?,
            redirect_url: row.redirect_url,
            redirect_prefix: row.redirect_prefix,
            redirect_http_code: decode.int_option("redirect_http_code", row.redirect_http_code)?,
            position: decode.int("position", row.position)?,
            tags: decode.list("tags", &row.tags)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
        })
    }
}
