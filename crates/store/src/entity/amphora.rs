use jiff::Timestamp;
use octavia_model::Amphora;
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use super::codec::{self, Decode};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "amphora")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub load_balancer_id: Option<String>,
    pub status: String,
    pub role: Option<String>,
    pub compute_id: Option<String>,
    pub lb_network_ip: Option<String>,
    pub vrrp_ip: Option<String>,
    pub ha_ip: Option<String>,
    pub vrrp_port_id: Option<String>,
    pub ha_port_id: Option<String>,
    pub vrrp_interface: Option<String>,
    pub vrrp_id: Option<i64>,
    pub vrrp_priority: Option<i64>,
    /// What it said last of its part, and since when it says that.
    pub vrrp_state: Option<String>,
    pub vrrp_since: Option<i64>,
    pub cert_expiration: Option<i64>,
    pub cached_zone: Option<String>,
    pub image_id: Option<String>,
    pub compute_flavor: Option<String>,
    pub applied_generation: i64,
    pub last_heartbeat_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: Option<i64>,
    // The last heartbeat that counted, to tell late and double ones.
    pub beat_seq: Option<i64>,
    pub beat_at: Option<i64>,
    /// The data plane's start the counters are of, and the one before.
    pub boot: Option<String>,
    pub previous_boot: Option<String>,
    // What operators ask for.
    pub to_replace: bool,
    pub refresh_after: Option<i64>,
    /// Whose certificate the agent has; written with `cert_expiration`.
    pub cert_authority: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Everything but the id, `created_at`, what heartbeats write, what operators ask for and what papers the agent has.
pub(crate) fn worker_columns(amphora: &Amphora) -> ActiveModel {
    ActiveModel {
        load_balancer_id: Set(amphora.load_balancer_id.map(codec::id)),
        status: Set(amphora.status.to_string()),
        role: Set(amphora.role.map(|role| role.to_string())),
        compute_id: Set(amphora.compute_id.clone()),
        lb_network_ip: Set(amphora.lb_network_ip.map(|ip| ip.to_string())),
        vrrp_ip: Set(amphora.vrrp_ip.map(|ip| ip.to_string())),
        ha_ip: Set(amphora.ha_ip.map(|ip| ip.to_string())),
        vrrp_port_id: Set(amphora.vrrp_port_id.map(codec::id)),
        ha_port_id: Set(amphora.ha_port_id.map(codec::id)),
        vrrp_interface: Set(amphora.vrrp_interface.clone()),
        vrrp_id: Set(amphora.vrrp_id.map(Into::into)),
        vrrp_priority: Set(amphora.vrrp_priority.map(Into::into)),
        cached_zone: Set(amphora.cached_zone.clone()),
        image_id: Set(amphora.image_id.map(|id| id.to_string())),
        compute_flavor: Set(amphora.compute_flavor.clone()),
        applied_generation: Set(codec::count(amphora.applied_generation)),
        updated_at: Set(amphora.updated_at.map(codec::micros)),
        ..Default::default()
    }
}

/// All columns of a row that is made now.
pub(crate) fn new_row(amphora: &Amphora, now: Timestamp) -> ActiveModel {
    ActiveModel {
        id: Set(codec::id(amphora.id)),
        created_at: Set(codec::micros(now)),
        updated_at: Set(None),
        last_heartbeat_at: Set(None),
        beat_seq: Set(None),
        beat_at: Set(None),
        boot: Set(None),
        previous_boot: Set(None),
        to_replace: Set(false),
        refresh_after: Set(None),
        cert_expiration: Set(amphora.cert_expiration.map(codec::micros)),
        cert_authority: Set(amphora.cert_authority.clone()),
        ..worker_columns(amphora)
    }
}

impl TryFrom<Model> for Amphora {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("amphora");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            load_balancer_id: decode.parse_option("load_balancer_id", row.load_balancer_id.as_deref())?,
            status: decode.parse("status", &row.status)?,
            role: decode.parse_option("role", row.role.as_deref())?,
            compute_id: row.compute_id,
            lb_network_ip: decode.parse_option("lb_network_ip", row.lb_network_ip.as_deref())?,
            vrrp_ip: decode.parse_option("vrrp_ip", row.vrrp_ip.as_deref())?,
            ha_ip: decode.parse_option("ha_ip", row.ha_ip.as_deref())?,
            vrrp_port_id: decode.parse_option("vrrp_port_id", row.vrrp_port_id.as_deref())?,
            ha_port_id: decode.parse_option("ha_port_id", row.ha_port_id.as_deref())?,
            vrrp_interface: row.vrrp_interface,
            vrrp_id: decode.int_option("vrrp_id", row.vrrp_id)?,
            vrrp_priority: decode.int_option("vrrp_priority", row.vrrp_priority)?,
            vrrp_state: decode.parse_option("vrrp_state", row.vrrp_state.as_deref())?,
            cert_expiration: decode.time_option("cert_expiration", row.cert_expiration)?,
            cert_authority: row.cert_authority,
            cached_zone: row.cached_zone,
            image_id: decode.parse_option("image_id", row.image_id.as_deref())?,
            compute_flavor: row.compute_flavor,
            applied_generation: decode.int("applied_generation", row.applied_generation)?,
            last_heartbeat_at: decode.time_option("last_heartbeat_at", row.last_heartbeat_at)?,
            created_at: decode.time("created_at", row.created_at)?,
            updated_at: decode.time_option("updated_at", row.updated_at)?,
            to_replace: row.to_replace,
            refresh_after: decode.int_option("refresh_after", row.refresh_after)?,
        })
    }
}
