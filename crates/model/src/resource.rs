//! The resources of the API as rows of facts. Names are the API's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::{
    Algorithm, ClientAuthentication, FlavorId, HealthMonitorId, HealthMonitorType, HttpMethod, ListenerId,
    ListenerProtocol, LoadBalancerId, MemberId, NetworkId, OperatingStatus, PoolId, PoolProtocol, PortId,
    ProjectId, SecurityGroupId, SessionPersistenceType, Statuses, SubnetId, Topology, VnicType,
};

/// The aggregate root: every change to anything below it moves its `generation`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancer {
    pub id: LoadBalancerId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    pub vip: Vip,
    pub additional_vips: Vec<AdditionalVip>,
    /// The provider alias the user asked for, shown back exactly.
    pub provider: String,
    pub flavor_id: Option<FlavorId>,
    pub availability_zone: Option<String>,
    pub topology: Topology,
    pub tags: Vec<String>,
    /// Version of the desired state; moves by one with every accepted write.
    pub generation: u64,
    /// The newest generation that every amphora has applied.
    pub applied_generation: u64,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl LoadBalancer {
    /// Just created, with defaults for what a user need not say.
    pub fn new(id: LoadBalancerId, project_id: ProjectId, vip: Vip, created_at: Timestamp) -> Self {
        Self {
            id,
            project_id,
            name: String::new(),
            description: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            vip,
            additional_vips: vec![],
            provider: "amphora".to_owned(),
            flavor_id: None,
            availability_zone: None,
            topology: Topology::Single,
            tags: vec![],
            generation: 1,
            applied_generation: 0,
            created_at,
            updated_at: None,
        }
    }
}

/// The address clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vip {
    pub address: IpAddr,
    pub subnet_id: SubnetId,
    pub network_id: NetworkId,
    pub port_id: PortId,
    pub qos_policy_id: Option<uuid::Uuid>,
    pub sg_ids: Vec<SecurityGroupId>,
    pub vnic_type: VnicType,
    /// We made the port, so we release it.
    pub owned: bool,
}

impl Vip {
    /// On a port of ours.
    pub fn new(address: IpAddr, subnet_id: SubnetId, network_id: NetworkId, port_id: PortId) -> Self {
        Self {
            address,
            subnet_id,
            network_id,
            port_id,
            qos_policy_id: None,
            sg_ids: vec![],
            vnic_type: VnicType::Normal,
            owned: true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdditionalVip {
    pub address: IpAddr,
    pub subnet_id: SubnetId,
    pub network_id: NetworkId,
    pub port_id: PortId,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub id: ListenerId,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    pub protocol: ListenerProtocol,
    pub protocol_port: u16,
    /// `None` = stored null; `-1` = unlimited.
    pub connection_limit: Option<i32>,
    pub default_pool_id: Option<PoolId>,
    pub insert_headers: BTreeMap<String, String>,
    pub timeouts: Timeouts,
    /// `None` = never set or cleared: everyone may connect.
    pub allowed_cidrs: Option<Vec<IpNet>>,
    pub tls: Tls,
    pub default_tls_container_ref: Option<String>,
    pub sni_container_refs: Vec<String>,
    pub client_ca_tls_container_ref: Option<String>,
    pub client_crl_container_ref: Option<String>,
    pub client_authentication: ClientAuthentication,
    pub hsts_max_age: Option<u32>,
    pub hsts_include_subdomains: bool,
    pub hsts_preload: bool,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Listener {
    /// Just created, for HTTP, with defaults for what a user need not say.
    pub fn new(id: ListenerId, lb: &LoadBalancer, protocol_port: u16, created_at: Timestamp) -> Self {
        Self {
            id,
            load_balancer_id: lb.id,
            project_id: lb.project_id.clone(),
            name: String::new(),
            description: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            protocol: ListenerProtocol::Http,
            protocol_port,
            connection_limit: Some(-1),
            default_pool_id: None,
            insert_headers: BTreeMap::new(),
            timeouts: Timeouts::DEFAULT,
            allowed_cidrs: None,
            tls: Tls::default(),
            default_tls_container_ref: None,
            sni_container_refs: vec![],
            client_ca_tls_container_ref: None,
            client_crl_container_ref: None,
            client_authentication: ClientAuthentication::None,
            hsts_max_age: None,
            hsts_include_subdomains: false,
            hsts_preload: false,
            tags: vec![],
            created_at,
            updated_at: None,
        }
    }
}

/// Milliseconds, each 0–2,073,600,000 (24 days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub client_data: u32,
    pub member_connect: u32,
    pub member_data: u32,
    pub tcp_inspect: u32,
}

impl Timeouts {
    pub const DEFAULT: Self =
        Self { client_data: 50_000, member_connect: 5_000, member_data: 50_000, tcp_inspect: 0 };
    pub const MAX: u32 = 2_073_600_000;
}

/// TLS preferences, the same for a listener's front and a pool's back; `None` = stored null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub ciphers: Option<String>,
    pub versions: Option<Vec<String>>,
    pub alpn_protocols: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    pub id: PoolId,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    pub protocol: PoolProtocol,
    pub lb_algorithm: Algorithm,
    pub session_persistence: Option<SessionPersistence>,
    pub tls_enabled: bool,
    pub tls_container_ref: Option<String>,
    pub ca_tls_container_ref: Option<String>,
    pub crl_container_ref: Option<String>,
    pub tls: Tls,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Pool {
    /// Just created, for HTTP and in turns, with defaults for what a user need not say.
    pub fn new(id: PoolId, lb: &LoadBalancer, created_at: Timestamp) -> Self {
        Self {
            id,
            load_balancer_id: lb.id,
            project_id: lb.project_id.clone(),
            name: String::new(),
            description: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            protocol: PoolProtocol::Http,
            lb_algorithm: Algorithm::RoundRobin,
            session_persistence: None,
            tls_enabled: false,
            tls_container_ref: None,
            ca_tls_container_ref: None,
            crl_container_ref: None,
            tls: Tls::default(),
            tags: vec![],
            created_at,
            updated_at: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPersistence {
    pub kind: SessionPersistenceType,
    pub cookie_name: Option<String>,
    pub persistence_timeout: Option<i32>,
    pub persistence_granularity: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub id: MemberId,
    pub pool_id: PoolId,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub name: String,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    /// As the user typed it; uniqueness within the pool compares this text.
    pub address: String,
    pub protocol_port: u16,
    /// 0–256; 0 drains. `None` = stored null, which acts as 1.
    pub weight: Option<u16>,
    pub backup: bool,
    pub subnet_id: Option<SubnetId>,
    pub monitor_address: Option<String>,
    pub monitor_port: Option<u16>,
    pub vnic_type: VnicType,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Member {
    /// Just created, with defaults for what a user need not say.
    pub fn new(
        id: MemberId,
        pool: &Pool,
        address: impl Into<String>,
        protocol_port: u16,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            pool_id: pool.id,
            load_balancer_id: pool.load_balancer_id,
            project_id: pool.project_id.clone(),
            name: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::NoMonitor),
            address: address.into(),
            protocol_port,
            weight: Some(1),
            backup: false,
            subnet_id: None,
            monitor_address: None,
            monitor_port: None,
            vnic_type: VnicType::Normal,
            tags: vec![],
            created_at,
            updated_at: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct HealthMonitor {
    pub id: HealthMonitorId,
    pub pool_id: PoolId,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub name: String,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    pub kind: HealthMonitorType,
    /// Seconds between checks.
    pub delay: u32,
    /// Seconds a check may take.
    pub timeout: u32,
    /// Successes in a row that make a member good, 1–10 (HAProxy's `rise`).
    pub max_retries: u8,
    /// Failures in a row that make a member bad, 1–10 (HAProxy's `fall`).
    pub max_retries_down: u8,
    pub http_method: Option<HttpMethod>,
    pub url_path: Option<String>,
    pub expected_codes: Option<String>,
    /// `1.0` or `1.1`.
    pub http_version: Option<f32>,
    pub domain_name: Option<String>,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl HealthMonitor {
    /// Just created: every 5 seconds a check of at most 3, `rise` 2, `fall` 3, and defaults for the rest.
    pub fn new(id: HealthMonitorId, pool: &Pool, kind: HealthMonitorType, created_at: Timestamp) -> Self {
        Self {
            id,
            pool_id: pool.id,
            load_balancer_id: pool.load_balancer_id,
            project_id: pool.project_id.clone(),
            name: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            kind,
            delay: 5,
            timeout: 3,
            max_retries: 2,
            max_retries_down: 3,
            http_method: None,
            url_path: None,
            expected_codes: None,
            http_version: None,
            domain_name: None,
            tags: vec![],
            created_at,
            updated_at: None,
        }
    }
}
