use octavia_model::{HealthMonitor, ProjectId};
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "health_monitor")]
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
    #[sea_orm(column_name = "type")]
    pub kind: String,
    pub delay: i64,
    pub timeout: i64,
    pub max_retries: i64,
    pub max_retries_down: i64,
    pub http_method: Option<String>,
    pub url_path: Option<String>,
    pub expected_codes: Option<String>,
    /// Ten times the version: a number that compares exactly everywhere.
    pub http_version_tenths: Option<i64>,
    pub domain_name: Option<String>,
    pub tags: String,
    pub created_at: i64,
    pub updated_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&HealthMonitor> for Model {
    fn from(monitor: &HealthMonitor) -> Self {
        Self {
            id: codec::id(monitor.id),
            pool_id: codec::id(monitor.pool_id),
            load_balancer_id: codec::id(monitor.load_balancer_id),
            project_id: monitor.project_id.to_string(),
            name: monitor.name.clone(),
            admin_state_up: monitor.admin_state_up,
            provisioning_status: monitor.statuses.provisioning.to_string(),
            operating_status: monitor.statuses.operating.to_string(),
            reason: codec::reason(monitor.statuses.reason.as_ref()),
            kind: monitor.kind.to_string(),
            delay: monitor.delay.into(),
            timeout: monitor.timeout.into(),
            max_retries: monitor.max_retries.into(),
            max_retries_down: monitor.max_retries_down.into(),
            http_method: monitor.http_method.map(|method| method.to_string()),
            url_path: monitor.url_path.clone(),
            expected_codes: monitor.expected_codes.clone(),
            http_version_tenths: monitor.http_version.map(tenths),
            domain_name: monitor.domain_name.clone(),
            tags: codec::list(&monitor.tags),
            created_at: codec::micros(monitor.created_at),
            updated_at: monitor.updated_at.map(codec::micros),
        }
    }
}

/// 1.1 → 11.
pub(crate) fn tenths(version: f32) -> i64 {
    // A float-to-integer cast saturates; versions are 1.0 and 1.1.
    (version * 10.0).round() as i64
}

impl TryFrom<Model> for HealthMonitor {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("health_monitor");
        let tenths: Option<i16> = decode.int_option("http_version_tenths", row.http_version_tenths)?;
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
            kind: decode.parse("type", &row.kind)?,
            delay: decode.int("delay", row.delay)?,
            timeout: decode.int("timeout", row.timeout)?,
            max_retries: decode.int("max_retries", row.max_retries)?,
            max_retries_down: decode.int("max_retries_down", row.max_retries_down)?,
            http_method: decode.parse_option("http_method", row.http_method.as_deref())?,
            url_path: row.url_path,
            expected_codes: row.expected_codes,
            http_version: tenths.map(|tenths| f32::from(tenths) / 10.0),
            domain_name: row.domain_name,
            tags: decode.list("tags", &row.tags)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
        })
    }
}
