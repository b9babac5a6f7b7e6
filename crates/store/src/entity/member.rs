use octavia_model::{Member, ProjectId};
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub pool_id: String,
    pub load_balancer_id: String,
    pub project_id: String,
    pub name: String,
    pub admin_state_up: bool,
    pub provisioning_status: String,
    pub operating_status: String,
    pub reason: Option<String>,
    pub address: String,
    pub protocol_port: i64,
    pub weight: Option<i64>,
    pub backup: bool,
    pub subnet_id: Option<String>,
    pub monitor_address: Option<String>,
    pub monitor_port: Option<i64>,
    pub vnic_type: String,
    pub tags: String,
    pub created_at: i64,
    pub updated_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Member> for Model {
    fn from(member: &Member) -> Self {
        Self {
            id: codec::id(member.id),
            pool_id: codec::id(member.pool_id),
            load_balancer_id: codec::id(member.load_balancer_id),
            project_id: member.project_id.to_string(),
            name: member.name.clone(),
            admin_state_up: member.admin_state_up,
            provisioning_status: member.statuses.provisioning.to_string(),
            operating_status: member.statuses.operating.to_string(),
            reason: codec::reason(member.statuses.reason.as_ref()),
            address: member.address.clone(),
            protocol_port: member.protocol_port.into(),
            weight: member.weight.map(Into::into),
            backup: member.backup,
            subnet_id: member.subnet_id.map(codec::id),
            monitor_address: member.monitor_address.clone(),
            monitor_port: member.monitor_port.map(Into::into),
            vnic_type: member.vnic_type.to_string(),
            tags: codec::list(&member.tags),
            created_at: codec::micros(member.created_at),
            updated_at: member.updated_at.map(codec::micros),
        }
    }
}

impl TryFrom<Model> for Member {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("member");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            pool_id: decode.parse("pool_id", &row.pool_id)?,
            load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
            project_id: ProjectId::new(row.project_id),
            name: row.name,
            admin_state_up: row.admin_state_up,
            statuses: decode.statuses(
                &row.provisioning_status,
                &row.operating_status,
                row.reason.as_deref(),
            )?,
            address: row.address,
            protocol_port: decode.int("protocol_port", row.protocol_port)?,
            weight: decode.int_option("weight", row.weight)?,
            backup: row.backup,
            subnet_id: decode.parse_option("subnet_id", row.subnet_id.as_deref())?,
            monitor_address: row.monitor_address,
            monitor_port: decode.int_option("monitor_port", row.monitor_port)?,
            vnic_type: decode.parse("vnic_type", &row.vnic_type)?,
            tags: decode.list("tags", &row.tags)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
        })
    }
}
