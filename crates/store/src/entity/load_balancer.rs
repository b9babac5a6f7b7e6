use std::borrow::Cow;

use octavia_model::{LoadBalancer, Vip};
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{Iden, Iterable};
use serde::Deserialize;

use super::codec::{self, Decode};
use crate::StoreError;
use crate::list::Packed;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "load_balancer")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub project_id: String,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub provisioning_status: String,
    pub operating_status: String,
    pub reason: Option<String>,
    pub vip_address: String,
    pub vip_subnet_id: String,
    pub vip_network_id: String,
    pub vip_port_id: String,
    pub vip_qos_policy_id: Option<String>,
    pub vip_sg_ids: String,
    pub vip_vnic_type: String,
    pub vip_owned: bool,
    pub additional_vips: String,
    pub provider: String,
    pub flavor_id: Option<String>,
    pub availability_zone: Option<String>,
    pub topology: String,
    pub tags: String,
    pub generation: i64,
    pub applied_generation: i64,
    pub created_at: i64,
    pub updated_at: Option<i64>,
    // The work queue.
    pub deleting: bool,
    pub pending_since: Option<i64>,
    pub next_attempt_at: Option<i64>,
    pub attempts: i64,
    pub last_error: Option<String>,
    pub lease_owner: Option<String>,
    pub lease_until: Option<i64>,
    pub lease_epoch: i64,
    /// Counts requests for work, so that a release notices those it did not see.
    pub wakes: i64,
    /// Requests whose work is not through, the oldest first, with blanks between.
    pub request_ids: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Everything but the id and the work queue.
pub(crate) fn desired_columns(lb: &LoadBalancer) -> ActiveModel {
    ActiveModel {
        project_id: Set(lb.project_id.to_string()),
        name: Set(lb.name.clone()),
        description: Set(lb.description.clone()),
        admin_state_up: Set(lb.admin_state_up),
        provisioning_status: Set(lb.statuses.provisioning.to_string()),
        operating_status: Set(lb.statuses.operating.to_string()),
        reason: Set(codec::reason(lb.statuses.reason.as_ref())),
        vip_address: Set(lb.vip.address.to_string()),
        vip_subnet_id: Set(codec::id(lb.vip.subnet_id)),
        vip_network_id: Set(codec::id(lb.vip.network_id)),
        vip_port_id: Set(codec::id(lb.vip.port_id)),
        vip_qos_policy_id: Set(lb.vip.qos_policy_id.map(|id| id.to_string())),
        vip_sg_ids: Set(codec::list(&lb.vip.sg_ids)),
        vip_vnic_type: Set(lb.vip.vnic_type.to_string()),
        vip_owned: Set(lb.vip.owned),
        additional_vips: Set(codec::additional_vips(&lb.additional_vips)),
        provider: Set(lb.provider.clone()),
        flavor_id: Set(lb.flavor_id.map(|id| id.to_string())),
        availability_zone: Set(lb.availability_zone.clone()),
        topology: Set(lb.topology.to_string()),
        tags: Set(codec::list(&lb.tags)),
        generation: Set(codec::count(lb.generation)),
        applied_generation: Set(codec::count(lb.applied_generation)),
        created_at: Set(codec::micros(lb.created_at)),
        updated_at: Set(lb.updated_at.map(codec::micros)),
        ..Default::default()
    }
}

/// What a load balancer is: all but its place in the work queue. Lists are long, and every column of theirs costs.
#[derive(Debug, Deserialize)]
pub(crate) struct Desired<'a> {
    id: &'a str,
    #[serde(borrow)]
    project_id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    description: Cow<'a, str>,
    #[serde(deserialize_with = "codec::packed_flag")]
    admin_state_up: bool,
    provisioning_status: &'a str,
    operating_status: &'a str,
    reason: Option<String>,
    vip_address: &'a str,
    vip_subnet_id: &'a str,
    vip_network_id: &'a str,
    vip_port_id: &'a str,
    vip_qos_policy_id: Option<&'a str>,
    #[serde(borrow)]
    vip_sg_ids: Cow<'a, str>,
    vip_vnic_type: &'a str,
    #[serde(deserialize_with = "codec::packed_flag")]
    vip_owned: bool,
    #[serde(borrow)]
    additional_vips: Cow<'a, str>,
    #[serde(borrow)]
    provider: Cow<'a, str>,
    flavor_id: Option<&'a str>,
    availability_zone: Option<String>,
    topology: &'a str,
    #[serde(borrow)]
    tags: Cow<'a, str>,
    generation: i64,
    applied_generation: i64,
    created_at: i64,
    updated_at: Option<i64>,
}

impl Packed for LoadBalancer {
    type Row<'a> = Desired<'a>;

    fn columns() -> impl Iterator<Item = impl Iden> {
        // The work queue comes last.
        Column::iter().take_while(|column| !matches!(column, Column::Deleting))
    }

    fn unpack(row: &Desired<'_>) -> Result<Self, StoreError> {
        row.try_into()
    }
}

macro_rules! load_balancer_of {
    ($row:ty) => {
        impl TryFrom<&$row> for LoadBalancer {
            type Error = StoreError;

            fn try_from(row: &$row) -> Result<Self, StoreError> {
                let decode = Decode("load_balancer");
                Ok(Self {
                    id: decode.parse("id", &row.id)?,
                    project_id: octavia_model::ProjectId::new(&*row.project_id),
                    name: String::from(&*row.name),
                    description: String::from(&*row.description),
                    admin_state_up: row.admin_state_up,
                    statuses: decode.statuses(
                        &row.provisioning_status,
                        &row.operating_status,
                        row.reason.as_deref(),
                    )?,
                    vip: Vip {
                        address: decode.parse("vip_address", &row.vip_address)?,
                        subnet_id: decode.parse("vip_subnet_id", &row.vip_subnet_id)?,
                        network_id: decode.parse("vip_network_id", &row.vip_network_id)?,
                        port_id: decode.parse("vip_port_id", &row.vip_port_id)?,
                        qos_policy_id: decode
                            .parse_option("vip_qos_policy_id", row.vip_qos_policy_id.as_deref())?,
                        sg_ids: decode.list("vip_sg_ids", &row.vip_sg_ids)?,
                        vnic_type: decode.parse("vip_vnic_type", &row.vip_vnic_type)?,
                        owned: row.vip_owned,
                    },
                    additional_vips: decode.additional_vips(&row.additional_vips)?,
                    provider: String::from(&*row.provider),
                    flavor_id: decode.parse_option("flavor_id", row.flavor_id.as_deref())?,
                    availability_zone: row.availability_zone.clone(),
                    topology: decode.parse("topology", &row.topology)?,
                    tags: decode.list("tags", &row.tags)?,
                    generation: decode.int("generation", row.generation)?,
                    applied_generation: decode.int("applied_generation", row.applied_generation)?,
                    created_at: decode.time("created_at", row.created_at)?,
                    updated_at: decode.time_option("updated_at", row.updated_at)?,
                })
            }
        }
    };
}

load_balancer_of!(Model);
load_balancer_of!(Desired<'_>);
