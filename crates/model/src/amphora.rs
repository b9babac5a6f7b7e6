//! The machine (or process pair) that carries a load balancer's traffic.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::text_enum::text_enum;
use crate::{AmphoraId, LoadBalancerId, PortId};

text_enum! {
    AmphoraStatus {
        Booting = "BOOTING",
        Allocated = "ALLOCATED",
        Ready = "READY",
        PendingCreate = "PENDING_CREATE",
        PendingUpdate = "PENDING_UPDATE",
        PendingDelete = "PENDING_DELETE",
        Deleted = "DELETED",
        Error = "ERROR",
        FailoverStopped = "FAILOVER_STOPPED",
    }
}

text_enum! {
    AmphoraRole {
        Master = "MASTER",
        Backup = "BACKUP",
        Standalone = "STANDALONE",
    }
}

text_enum! {
    /// What an amphora does about the VIPs that another could have, too (RFC 9568, section 6.4, whose *Active* is called as it was
    /// before). Its role says only what it should do where nothing else decides.
    VrrpState {
        /// It holds the VIPs.
        Master = "MASTER",
        Backup = "BACKUP",
        /// It could not serve, and takes no part.
        Fault = "FAULT",
    }
}

/// From this number on an amphora's heartbeats are numbered for its life: never twice the same, never a lower one, also
/// after a restart of its agent. Lower numbers may start again from zero.
pub const SEQ_FOR_LIFE: u64 = 1 << 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amphora {
    pub id: AmphoraId,
    pub load_balancer_id: Option<LoadBalancerId>,
    pub status: AmphoraStatus,
    pub role: Option<AmphoraRole>,
    /// The server as the compute service names it.
    pub compute_id: Option<String>,
    pub lb_network_ip: Option<IpAddr>,
    pub vrrp_ip: Option<IpAddr>,
    pub ha_ip: Option<IpAddr>,
    pub vrrp_port_id: Option<PortId>,
    pub ha_port_id: Option<PortId>,
    pub vrrp_interface: Option<String>,
    pub vrrp_id: Option<i32>,
    pub vrrp_priority: Option<i32>,
    /// As it said last; `None` = no other could have the VIPs, or it does not say.
    pub vrrp_state: Option<VrrpState>,
    /// When the agent's certificate ends.
    pub cert_expiration: Option<Timestamp>,
    /// The authority that certificate is of, by its name.
    pub cert_authority: Option<String>,
    pub cached_zone: Option<String>,
    pub image_id: Option<uuid::Uuid>,
    pub compute_flavor: Option<String>,
    /// The newest generation this amphora has said it runs.
    pub applied_generation: u64,
    /// When the last heartbeat was accepted.
    pub last_heartbeat_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    /// Asked for by an operator: another takes its place, then it goes. Never taken back.
    pub to_replace: bool,
    /// Its spec is pushed again under the first lease with a higher epoch than this.
    pub refresh_after: Option<u64>,
}

impl Amphora {
    /// A row for an amphora that is still to be made, and is no load balancer's yet.
    pub fn spare(id: AmphoraId, created_at: Timestamp) -> Self {
        let row = Self::new(id, LoadBalancerId::nil(), AmphoraRole::Standalone, created_at);
        Self { load_balancer_id: None, role: None, ..row }
    }

    /// A row for an amphora that is still to be made.
    pub fn new(
        id: AmphoraId,
        load_balancer_id: LoadBalancerId,
        role: AmphoraRole,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            load_balancer_id: Some(load_balancer_id),
            status: AmphoraStatus::PendingCreate,
            role: Some(role),
            compute_id: None,
            lb_network_ip: None,
            vrrp_ip: None,
            ha_ip: None,
            vrrp_port_id: None,
            ha_port_id: None,
            vrrp_interface: None,
            vrrp_id: None,
            vrrp_priority: None,
            vrrp_state: None,
            cert_expiration: None,
            cert_authority: None,
            cached_zone: None,
            image_id: None,
            compute_flavor: None,
            applied_generation: 0,
            last_heartbeat_at: None,
            created_at,
            updated_at: None,
            to_replace: false,
            refresh_after: None,
        }
    }
}
