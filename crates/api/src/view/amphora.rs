//! Amphorae.

use octavia_model::Amphora;
use serde::Serialize;

use super::Time;

#[derive(Debug, Serialize)]
pub(crate) struct AmphoraView {
    id: String,
    loadbalancer_id: Option<String>,
    compute_id: Option<String>,
    lb_network_ip: Option<String>,
    vrrp_ip: Option<String>,
    ha_ip: Option<String>,
    vrrp_port_id: Option<String>,
    ha_port_id: Option<String>,
    cert_expiration: Option<Time>,
    cert_busy: bool,
    role: Option<&'static str>,
    status: &'static str,
    vrrp_interface: Option<String>,
    vrrp_id: Option<i32>,
    vrrp_priority: Option<i32>,
    /// Ours: the original does not know.
    vrrp_state: Option<&'static str>,
    cached_zone: Option<String>,
    image_id: Option<String>,
    compute_flavor: Option<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl AmphoraView {
    pub(crate) fn one(amphora: &Amphora) -> Self {
        Self {
            id: amphora.id.to_string(),
            loadbalancer_id: amphora.load_balancer_id.map(|id| id.to_string()),
            compute_id: amphora.compute_id.clone(),
            lb_network_ip: amphora.lb_network_ip.map(|ip| ip.to_string()),
            vrrp_ip: amphora.vrrp_ip.map(|ip| ip.to_string()),
            ha_ip: amphora.ha_ip.map(|ip| ip.to_string()),
            vrrp_port_id: amphora.vrrp_port_id.map(|id| id.to_string()),
            ha_port_id: amphora.ha_port_id.map(|id| id.to_string()),
            cert_expiration: amphora.cert_expiration.map(Into::into),
            // Certificates are renewed as part of the one loop, never by a lock on the row.
            cert_busy: false,
            role: amphora.role.map(|role| role.as_str()),
            status: amphora.status.as_str(),
            vrrp_interface: amphora.vrrp_interface.clone(),
            vrrp_id: amphora.vrrp_id,
            vrrp_priority: amphora.vrrp_priority,
            vrrp_state: amphora.vrrp_state.map(|state| state.as_str()),
            cached_zone: amphora.cached_zone.clone(),
            image_id: amphora.image_id.map(|id| id.to_string()),
            compute_flavor: amphora.compute_flavor.clone(),
            created_at: amphora.created_at.into(),
            updated_at: amphora.updated_at.map(Into::into),
        }
    }
}
