use octavia_model::{Pool, ProjectId, SessionPersistence, Tls};
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pool")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub load_balancer_id: String,
    pub project_id: String,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub provisioning_status: String,
    pub operating_status: String,
    pub reason: Option<String>,
    pub protocol: String,
    pub lb_algorithm: String,
    /// Null = the pool has no session persistence.
    pub persistence_type: Option<String>,
    pub persistence_cookie_name: Option<String>,
    pub persistence_timeout: Option<i64>,
    pub persistence_granularity: Option<String>,
    pub tls_enabled: bool,
    pub tls_container_ref: Option<String>,
    pub ca_tls_container_ref: Option<String>,
    pub crl_container_ref: Option<String>,
    pub tls_ciphers: Option<String>,
    pub tls_versions: Option<String>,
    pub alpn_protocols: Option<String>,
    pub tags: String,
    pub created_at: i64,
    pub updated_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Pool> for Model {
    fn from(pool: &Pool) -> Self {
        let persistence = pool.session_persistence.as_ref();
        Self {
            id: codec::id(pool.id),
            load_balancer_id: codec::id(pool.load_balancer_id),
            project_id: pool.project_id.to_string(),
            name: pool.name.clone(),
            description: pool.description.clone(),
            admin_state_up: pool.admin_state_up,
            provisioning_status: pool.statuses.provisioning.to_string(),
            operating_status: pool.statuses.operating.to_string(),
            reason: codec::reason(pool.statuses.reason.as_ref()),
            protocol: pool.protocol.to_string(),
            lb_algorithm: pool.lb_algorithm.to_string(),
            persistence_type: persistence.map(|p| p.kind.to_string()),
            persistence_cookie_name: persistence.and_then(|p| p.cookie_name.clone()),
            persistence_timeout: persistence.and_then(|p| p.persistence_timeout).map(Into::into),
            persistence_granularity: persistence.and_then(|p| p.persistence_granularity.clone()),
            tls_enabled: pool.tls_enabled,
            tls_container_ref: pool.tls_container_ref.clone(),
            ca_tls_container_ref: pool.ca_tls_container_ref.clone(),
            crl_container_ref: pool.crl_container_ref.clone(),
            tls_ciphers: pool.tls.ciphers.clone(),
            tls_versions: pool.tls.versions.as_deref().map(codec::list),
            alpn_protocols: pool.tls.alpn_protocols.as_deref().map(codec::list),
            tags: codec::list(&pool.tags),
            created_at: codec::micros(pool.created_at),
            updated_at: pool.updated_at.map(codec::micros),
        }
    }
}

impl TryFrom<Model> for Pool {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("pool");
        let session_persistence = match &row.persistence_type {
            None => None,
            Some(kind) => Some(SessionPersistence {
                kind: decode.parse("persistence_type", kind)?,
                cookie_name: row.persistence_cookie_name,
                persistence_timeout: decode.int_option("persistence_timeout", row.persistence_timeout)?,
                persistence_granularity: row.persistence_granularity,
            }),
        };
        Ok(Self {
            id: decode.parse("id", &row.id)?,
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
            protocol: decode.parse("protocol", &row.protocol)?,
            lb_algorithm: decode.parse("lb_algorithm", &row.lb_algorithm)?,
            session_persistence,
            tls_enabled: row.tls_enabled,
            tls_container_ref: row.tls_container_ref,
            ca_tls_container_ref: row.ca_tls_container_ref,
            crl_container_ref: row.crl_container_ref,
            tls: Tls {
                ciphers: row.tls_ciphers,
                versions: decode.list_option("tls_versions", row.tls_versions.as_deref())?,
                alpn_protocols: decode.list_option("alpn_protocols", row.alpn_protocols.as_deref())?,
            },
            tags: decode.list("tags", &row.tags)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
        })
    }
}
