//! What an operator can choose about the API; names follow the original's `[api_settings]`.

use std::net::IpAddr;
use std::time::Duration;

use octavia_model::{Limit, NetworkId, Quota, Timeouts, Topology};

use crate::{CorsOptions, HealthcheckOptions};

/// Whether writes are accepted while an earlier one is still being applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PendingWrites {
    /// Accepted: the desired state just moves on by one more generation.
    #[default]
    Queue,
    /// 409 until the load balancer is ACTIVE again, as in the original.
    Reject,
}

#[derive(Debug, Clone)]
pub struct ApiOptions {
    pub pending_writes: PendingWrites,
    /// Provider names a load balancer may ask for, with their descriptions.
    pub enabled_providers: Vec<(String, String)>,
    pub default_provider: String,
    /// Largest page and default `limit` of a list; `None` = unlimited.
    pub pagination_max_limit: Option<u64>,
    pub allow_filtering: bool,
    pub allow_sorting: bool,
    pub allow_pagination: bool,
    pub allow_field_selection: bool,
    pub allow_ping_health_monitors: bool,
    pub allow_tls_terminated_listeners: bool,
    pub allow_prometheus_listeners: bool,
    pub vip: VipOptions,
    /// Of listeners whose creator says nothing.
    pub default_timeouts: Timeouts,
    /// Seconds; the smallest `delay` of an UDP-CONNECT monitor.
    pub udp_connect_min_interval: u32,
    /// Addresses no member may have, such as the metadata service's.
    pub reserved_ips: Vec<IpAddr>,
    /// Cipher names no listener or pool may use.
    pub tls_cipher_prohibit_list: Vec<String>,
    /// The lowest version of TLS that may be named; `None` = any that is known.
    pub minimum_tls_version: Option<String>,
    /// What a listener that terminates TLS gets where it names nothing.
    pub listener_tls: TlsDefaults,
    /// The same of a pool that speaks TLS to its members.
    pub pool_tls: TlsDefaults,
    /// Limits of projects for which none is set: the original's `[quotas] default_*_quota`.
    pub default_quota: Quota<Limit>,
    /// Replaces scheme and host in links, for an API behind a proxy.
    pub api_base_uri: Option<String>,
    pub data_plane: DataPlane,
    /// Amphorae have interfaces of their own: two of them can agree on who holds the VIPs, which may be on more subnets than
    /// one, and have a QoS policy; and the kernel forwards what is not for the proxy, SCTP among it.
    pub interfaces: bool,
    /// Of load balancers whose flavor does not say: the original's `loadbalancer_topology`.
    pub default_topology: Topology,
    /// A proxy stands in front: what its `Forwarded` and `X-Forwarded-*` say of client, host and path is true.
    pub proxy_headers: bool,
    pub cors: Vec<CorsOptions>,
    pub healthcheck: HealthcheckOptions,
    /// Bytes; a larger body is refused with 413.
    pub max_body: usize,
    /// How long a body may take to arrive; a slower one is refused with 408.
    pub body_timeout: Duration,
    /// How long a write waits while as many as there may be are under way; then it is answered 503.
    pub turn_timeout: Duration,
    /// How long an `Idempotency-Key` holds.
    pub key_lifetime: Duration,
}

/// TLS preferences for those who have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsDefaults {
    /// OpenSSL's names, most wanted first, with colons between them.
    pub ciphers: String,
    pub versions: Vec<String>,
    pub alpn_protocols: Vec<String>,
}

impl Default for TlsDefaults {
    fn default() -> Self {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:\
                      ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                      ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                      DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
                .to_owned(),
            versions: owned(&["TLSv1.2", "TLSv1.3"]),
            alpn_protocols: owned(&["h2", "http/1.1", "http/1.0"]),
        }
    }
}

/// How users may say where a VIP shall be, and where it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipOptions {
    pub allow_port_id: bool,
    pub allow_network_id: bool,
    pub allow_subnet_id: bool,
    /// The networks VIPs may be on, unless an availability zone has a list of its own; none = any.
    pub networks: Vec<NetworkId>,
    /// Networks no VIP may be on, whatever an availability zone says.
    pub denied_networks: Vec<NetworkId>,
}

impl Default for VipOptions {
    fn default() -> Self {
        Self {
            allow_port_id: true,
            allow_network_id: true,
            allow_subnet_id: true,
            networks: vec![],
            denied_networks: vec![],
        }
    }
}

/// What amphorae can be asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataPlane {
    /// What ours is built for; the rest is refused as not supported.
    #[default]
    Built,
    /// Anything that the API knows: there is nothing behind it that could not do it.
    Anything,
}

impl ApiOptions {
    /// Of load balancers whose flavor does not say: pairs are only where they can agree on who holds the VIPs.
    pub const fn topology(&self) -> Topology {
        if self.interfaces { self.default_topology } else { Topology::Single }
    }

    pub(crate) fn carries_sctp(&self) -> bool {
        self.interfaces || self.data_plane == DataPlane::Anything
    }
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            pending_writes: PendingWrites::default(),
            enabled_providers: vec![
                ("amphora".to_owned(), "The Octavia Amphora driver.".to_owned()),
                ("octavia".to_owned(), "Alias of the amphora provider.".to_owned()),
            ],
            default_provider: "amphora".to_owned(),
            pagination_max_limit: Some(1000),
            allow_filtering: true,
            allow_sorting: true,
            allow_pagination: true,
            allow_field_selection: true,
            allow_ping_health_monitors: true,
            allow_tls_terminated_listeners: true,
            allow_prometheus_listeners: true,
            vip: VipOptions::default(),
            default_timeouts: Timeouts::DEFAULT,
            udp_connect_min_interval: 3,
            reserved_ips: vec![IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254))],
            tls_cipher_prohibit_list: vec![],
            minimum_tls_version: None,
            listener_tls: TlsDefaults::default(),
            pool_tls: TlsDefaults::default(),
            default_quota: Quota::default(),
            api_base_uri: None,
            interfaces: false,
            default_topology: Topology::Single,
            data_plane: DataPlane::default(),
            proxy_headers: false,
            cors: vec![CorsOptions::default()],
            healthcheck: HealthcheckOptions::default(),
            max_body: 114_688,
            body_timeout: Duration::from_secs(30),
            turn_timeout: Duration::from_secs(10),
            key_lifetime: Duration::from_secs(24 * 3600),
        }
    }
}
