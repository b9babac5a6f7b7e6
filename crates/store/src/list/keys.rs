//! Which API names filter and sort a list, and the columns behind them.

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    LoadBalancer,
    Listener,
    Pool,
    Member,
    HealthMonitor,
    L7Policy,
    L7Rule,
    Amphora,
    Quota,
    Flavor,
    FlavorProfile,
    AvailabilityZone,
    AvailabilityZoneProfile,
}

/// What a column holds, and so how a filter's text becomes a value of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Number,
    /// Shown in whole seconds: a filter means all of the second.
    Time,
    /// `1.1`, kept as 11.
    Tenths,
    /// A flag that no row has, and no column is for. Sorts nothing.
    Unset,
    /// In another table: the ids of this one's rows are the subquery's answer. Does not sort.
    Elsewhere {
        table: &'static str,
        key: &'static str,
        value: &'static str,
        own: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) api: &'static str,
    pub(super) column: &'static str,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

const fn key(api: &'static str, kind: Kind) -> Key {
    Key { api, column: api, kind, nullable: false }
}

const fn null(api: &'static str, kind: Kind) -> Key {
    Key { api, column: api, kind, nullable: true }
}

const fn alias(api: &'static str, column: &'static str, kind: Kind) -> Key {
    Key { api, column, kind, nullable: false }
}

use Kind::{Flag, Number, Tenths, Text, Time};

const COMMON: &[Key] = &[
    key("name", Text),
    key("id", Text),
    key("project_id", Text),
    key("admin_state_up", Flag),
    key("provisioning_status", Text),
    key("operating_status", Text),
    key("created_at", Time),
    null("updated_at", Time),
];

/// As [`COMMON`], of what has no name.
const NAMELESS: &[Key] = COMMON.split_at(1).1;

const LOAD_BALANCER: &[Key] = &[
    key("description", Text),
    key("vip_address", Text),
    key("vip_subnet_id", Text),
    key("vip_network_id", Text),
    key("vip_port_id", Text),
    null("vip_qos_policy_id", Text),
    key("vip_vnic_type", Text),
    key(
        "vip_sg_ids",
        Kind::Elsewhere { table: "vip_security_group", key: "load_balancer_id", value: "sg_id", own: "id" },
    ),
    key("provider", Text),
    null("flavor_id", Text),
    null("availability_zone", Text),
    key("topology", Text),
];

const LISTENER: &[Key] = &[
    key("description", Text),
    key("load_balancer_id", Text),
    alias("loadbalancer_id", "load_balancer_id", Text),
    key("protocol", Text),
    key("protocol_port", Number),
    null("connection_limit", Number),
    null("default_pool_id", Text),
    null("default_tls_container_ref", Text),
    null("client_ca_tls_container_ref", Text),
    null("client_crl_container_ref", Text),
    key("client_authentication", Text),
    key("timeout_client_data", Number),
    key("timeout_member_connect", Number),
    key("timeout_member_data", Number),
    key("timeout_tcp_inspect", Number),
    null("tls_ciphers", Text),
    null("hsts_max_age", Number),
    key("hsts_include_subdomains", Flag),
    key("hsts_preload", Flag),
];

const POOL: &[Key] = &[
    key("description", Text),
    key("load_balancer_id", Text),
    alias("loadbalancer_id", "load_balancer_id", Text),
    key("protocol", Text),
    key("lb_algorithm", Text),
    key(
        "healthmonitor_id",
        Kind::Elsewhere { table: "health_monitor", key: "pool_id", value: "id", own: "id" },
    ),
    key("tls_enabled", Flag),
    null("tls_container_ref", Text),
    null("ca_tls_container_ref", Text),
    null("crl_container_ref", Text),
    null("tls_ciphers", Text),
];

const MEMBER: &[Key] = &[
    key("pool_id", Text),
    key("address", Text),
    key("protocol_port", Number),
    null("weight", Number),
    key("backup", Flag),
    null("subnet_id", Text),
    null("monitor_address", Text),
    null("monitor_port", Number),
    key("vnic_type", Text),
];

const HEALTH_MONITOR: &[Key] = &[
    key("type", Text),
    key("pool_id", Text),
    key("delay", Number),
    key("timeout", Number),
    key("max_retries", Number),
    key("max_retries_down", Number),
    null("http_method", Text),
    null("url_path", Text),
    null("expected_codes", Text),
    Key { api: "http_version", column: "http_version_tenths", kind: Tenths, nullable: true },
    null("domain_name", Text),
];

const L7POLICY: &[Key] = &[
    key("description", Text),
    key("listener_id", Text),
    key("action", Text),
    null("redirect_pool_id", Text),
    null("redirect_url", Text),
    null("redirect_prefix", Text),
    null("redirect_http_code", Number),
    key("position", Number),
];

const L7RULE: &[Key] = &[
    key("l7policy_id", Text),
    key("type", Text),
    key("compare_type", Text),
    null("key", Text),
    key("value", Text),
    key("invert", Flag),
];

const AMPHORA: &[Key] = &[
    key("id", Text),
    null("load_balancer_id", Text),
    Key { api: "loadbalancer_id", column: "load_balancer_id", kind: Text, nullable: true },
    key("project_id", PROJECT_OF_LOAD_BALANCER),
    null("compute_id", Text),
    null("lb_network_ip", Text),
    null("vrrp_ip", Text),
    null("ha_ip", Text),
    null("vrrp_port_id", Text),
    null("ha_port_id", Text),
    null("cert_expiration", Time),
    key("cert_busy", Kind::Unset),
    null("role", Text),
    key("status", Text),
    null("vrrp_interface", Text),
    null("vrrp_id", Number),
    null("vrrp_priority", Number),
    null("vrrp_state", Text),
    null("cached_zone", Text),
    null("image_id", Text),
    null("compute_flavor", Text),
    key("created_at", Time),
    null("updated_at", Time),
];

const QUOTA: &[Key] = &[key("project_id", Text)];
const FLAVOR: &[Key] = &[
    key("id", Text),
    key("name", Text),
    key("description", Text),
    key("enabled", Flag),
    key("flavor_profile_id", Text),
];

const FLAVOR_PROFILE: &[Key] =
    &[key("id", Text), key("name", Text), key("provider_name", Text), key("flavor_data", Text)];

const AVAILABILITY_ZONE: &[Key] = &[
    key("name", Text),
    key("description", Text),
    key("enabled", Flag),
    key("availability_zone_profile_id", Text),
];

const AVAILABILITY_ZONE_PROFILE: &[Key] =
    &[key("id", Text), key("name", Text), key("provider_name", Text), key("availability_zone_data", Text)];

const PROJECT_OF_LOAD_BALANCER: Kind =
    Kind::Elsewhere { table: "load_balancer", key: "id", value: "project_id", own: "load_balancer_id" };

impl Resource {
    /// The keys, by API name, that filter lists of the resource. Tag keys are not among them.
    pub fn keys(self) -> impl Iterator<Item = &'static str> {
        self.all().map(|key| key.api)
    }

    /// The keys, by API name, that sort lists of the resource.
    pub fn sort_keys(self) -> impl Iterator<Item = &'static str> {
        self.all().filter(|key| key.sorts()).map(|key| key.api)
    }

    fn all(self) -> impl Iterator<Item = &'static Key> {
        let (common, own): (&[Key], &[Key]) = match self {
            Self::LoadBalancer => (COMMON, LOAD_BALANCER),
            Self::Listener => (COMMON, LISTENER),
            Self::Pool => (COMMON, POOL),
            Self::Member => (COMMON, MEMBER),
            Self::HealthMonitor => (COMMON, HEALTH_MONITOR),
            Self::L7Policy => (COMMON, L7POLICY),
            Self::L7Rule => (NAMELESS, L7RULE),
            Self::Amphora => (&[] as &[Key], AMPHORA),
            Self::Flavor => (&[] as &[Key], FLAVOR),
            Self::FlavorProfile => (&[] as &[Key], FLAVOR_PROFILE),
            Self::AvailabilityZone => (&[] as &[Key], AVAILABILITY_ZONE),
            Self::AvailabilityZoneProfile => (&[] as &[Key], AVAILABILITY_ZONE_PROFILE),
            Self::Quota => (&[] as &[Key], QUOTA),
        };
        common.iter().chain(own)
    }

    /// The column of what names one object, and so of markers.
    pub(super) const fn identity(self) -> &'static str {
        match self {
            Self::AvailabilityZone => "name",
            Self::Quota => "project_id",
            _ => "id",
        }
    }

    pub(super) const fn has_tags(self) -> bool {
        matches!(
            self,
            Self::LoadBalancer
                | Self::Listener
                | Self::Pool
                | Self::Member
                | Self::HealthMonitor
                | Self::L7Policy
                | Self::L7Rule
        )
    }

    pub(super) fn key(self, api: &str) -> Option<&'static Key> {
        self.all().find(|key| key.api == api)
    }

    pub(super) fn sort_key(self, api: &str) -> Option<&'static Key> {
        self.key(api).filter(|key| key.sorts())
    }
}

impl Key {
    const fn sorts(&self) -> bool {
        !matches!(self.kind, Kind::Elsewhere { .. })
    }
}
