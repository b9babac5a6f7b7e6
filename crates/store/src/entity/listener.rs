use octavia_model::{Listener, ProjectId, Timeouts, Tls};
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "listener")]
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
    /// Follows from the protocol; unique with load balancer and port.
    pub transport: String,
    pub protocol_port: i64,
    pub connection_limit: Option<i64>,
    pub default_pool_id: Option<String>,
    pub insert_headers: String,
    pub timeout_client_data: i64,
    pub timeout_member_connect: i64,
    pub timeout_member_data: i64,
    pub timeout_tcp_inspect: i64,
    pub allowed_cidrs: Option<String>,
    pub tls_ciphers: Option<String>,
    pub tls_versions: Option<String>,
    pub alpn_protocols: Option<String>,
    pub default_tls_container_ref: Option<String>,
    pub sni_container_refs: String,
    pub client_ca_tls_container_ref: Option<String>,
    pub client_crl_container_ref: Option<String>,
    pub client_authentication: String,
    pub hsts_max_age: Option<i64>,
    pub hsts_include_subdomains: bool,
    pub hsts_preload: bool,
    pub tags: String,
    pub created_at: i64,
    pub updated_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Listener> for Model {
    fn from(listener: &Listener) -> Self {
        Self {
            id: codec::id(listener.id),
            load_balancer_id: codec::id(listener.load_balancer_id),
            project_id: listener.project_id.to_string(),
            name: listener.name.clone(),
            description: listener.description.clone(),
            admin_state_up: listener.admin_state_up,
            provisioning_status: listener.statuses.provisioning.to_string(),
            operating_status: listener.statuses.operating.to_string(),
            reason: codec::reason(listener.statuses.reason.as_ref()),
            protocol: listener.protocol.to_string(),
            transport: listener.protocol.transport().to_string(),
            protocol_port: listener.protocol_port.into(),
            connection_limit: listener.connection_limit.map(Into::into),
            default_pool_id: listener.default_pool_id.map(codec::id),
            insert_headers: codec::map(&listener.insert_headers),
            timeout_client_data: listener.timeouts.client_data.into(),
            timeout_member_connect: listener.timeouts.member_connect.into(),
            timeout_member_data: listener.timeouts.member_data.into(),
            timeout_tcp_inspect: listener.timeouts.tcp_inspect.into(),
            allowed_cidrs: listener.allowed_cidrs.as_deref().map(codec::list),
            tls_ciphers: listener.tls.ciphers.clone(),
            tls_versions: listener.tls.versions.as_deref().map(codec::list),
            alpn_protocols: listener.tls.alpn_protocols.as_deref().map(codec::list),
            default_tls_container_ref: listener.default_tls_container_ref.clone(),
            sni_container_refs: codec::list(&listener.sni_container_refs),
            client_ca_tls_container_ref: listener.client_ca_tls_container_ref.clone(),
            client_crl_container_ref: listener.client_crl_container_ref.clone(),
            client_authentication: listener.client_authentication.to_string(),
            hsts_max_age: listener.hsts_max_age.map(Into::into),
            hsts_include_subdomains: listener.hsts_include_subdomains,
            hsts_preload: listener.hsts_preload,
            tags: codec::list(&listener.tags),
            created_at: codec::micros(listener.created_at),
            updated_at: listener.updated_at.map(codec::micros),
        }
    }
}

impl TryFrom<Model> for Listener {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("listener");
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
            protocol_port: decode.int("protocol_port", row.protocol_port)?,
            connection_limit: decode.int_option("connection_limit", row.connection_limit)?,
            default_pool_id: decode.parse_option("default_pool_id", row.default_pool_id.as_deref())?,
            insert_headers: decode.map("insert_headers", &row.insert_headers)?,
            timeouts: Timeouts {
                client_data: decode.int("timeout_client_data", row.timeout_client_data)?,
                member_connect: decode.int("timeout_member_connect", row.timeout_member_connect)?,
                member_data: decode.int("timeout_member_data", row.timeout_member_data)?,
                tcp_inspect: decode.int("timeout_tcp_inspect", row.timeout_tcp_inspect)?,
            },
            allowed_cidrs: decode.list_option("allowed_cidrs", row.allowed_cidrs.as_deref())?,
            tls: Tls {
                ciphers: row.tls_ciphers,
                versions: decode.list_option("tls_versions", row.tls_versions.as_deref())?,
                alpn_protocols: decode.list_option("alpn_protocols", row.alpn_protocols.as_deref())?,
            },
            default_tls_container_ref: row.default_tls_container_ref,
            sni_container_refs: decode.list("sni_container_refs", &row.sni_container_refs)?,
            client_ca_tls_container_ref: row.client_ca_tls_container_ref,
            client_crl_container_ref: row.client_crl_container_ref,
            client_authentication: decode.parse("client_authentication", &row.client_authentication)?,
            hsts_max_age: decode.int_option("hsts_max_age", row.hsts_max_age)?,
            hsts_include_subdomains: row.hsts_include_subdomains,
            hsts_preload: row.hsts_preload,
            tags: decode.list("tags", &row.tags)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
        })
    }
}
