//! Small rows: a load balancer and what hangs below it, each with an id made of a number.

use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_model::{
    Algorithm, Amphora, AmphoraId, AmphoraRole, AmphoraStatus, ClientAuthentication, HealthMonitor,
    HealthMonitorId, HealthMonitorType, Listener, ListenerId, ListenerProtocol, LoadBalancer,
    LoadBalancerGraph, LoadBalancerId, Member, MemberId, NetworkId, OperatingStatus, Pool, PoolId,
    PoolProtocol, PortId, ProjectId, ProvisioningStatus, Statuses, SubnetId, Timeouts, Tls, Topology, Vip,
    VnicType,
};
use uuid::Uuid;

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn number(kind: u16, n: u16) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 64 | u128::from(n))
}

pub(crate) fn amphora_id(n: u16) -> AmphoraId {
    AmphoraId::from_untyped_uuid(number(0xa, n))
}

pub(crate) fn listener_id(n: u16) -> ListenerId {
    ListenerId::from_untyped_uuid(number(0xb, n))
}

pub(crate) fn pool_id(n: u16) -> PoolId {
    PoolId::from_untyped_uuid(number(0xc, n))
}

pub(crate) fn member_id(n: u16) -> MemberId {
    MemberId::from_untyped_uuid(number(0xd, n))
}

pub(crate) fn monitor_id(n: u16) -> HealthMonitorId {
    HealthMonitorId::from_untyped_uuid(number(0xe, n))
}

pub(crate) fn lb_id() -> LoadBalancerId {
    LoadBalancerId::from_untyped_uuid(number(0xf, 1))
}

fn project() -> ProjectId {
    ProjectId::new("0123456789abcdef0123456789abcdef")
}

pub(crate) fn statuses(provisioning: ProvisioningStatus) -> Statuses {
    Statuses { provisioning, operating: OperatingStatus::Online, reason: None }
}

const ACTIVE: ProvisioningStatus = ProvisioningStatus::Active;

pub(crate) fn graph() -> LoadBalancerGraph {
    LoadBalancerGraph::new(LoadBalancer {
        id: lb_id(),
        project_id: project(),
        name: "lb".to_owned(),
        description: String::new(),
        admin_state_up: true,
        statuses: statuses(ACTIVE),
        vip: Vip {
            address: "127.100.64.5".parse().unwrap(),
            subnet_id: SubnetId::from_untyped_uuid(number(1, 1)),
            network_id: NetworkId::from_untyped_uuid(number(2, 1)),
            port_id: PortId::from_untyped_uuid(number(3, 1)),
            qos_policy_id: None,
            sg_ids: vec![],
            vnic_type: VnicType::Normal,
            owned: true,
        },
        additional_vips: vec![],
        provider: "amphora".to_owned(),
        flavor_id: None,
        availability_zone: None,
        topology: Topology::Single,
        tags: vec![],
        generation: 1,
        applied_generation: 1,
        created_at: start(),
        updated_at: None,
    })
}

pub(crate) fn listener(n: u16, port: u16) -> Listener {
    Listener {
        id: listener_id(n),
        load_balancer_id: lb_id(),
        project_id: project(),
        name: format!("listener {n}"),
        description: String::new(),
        admin_state_up: true,
        statuses: statuses(ACTIVE),
        protocol: ListenerProtocol::Http,
        protocol_port: port,
        connection_limit: Some(-1),
        default_pool_id: None,
        insert_headers: Default::default(),
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
        created_at: start(),
        updated_at: None,
    }
}

pub(crate) fn pool(n: u16) -> Pool {
    Pool {
        id: pool_id(n),
        load_balancer_id: lb_id(),
        project_id: project(),
        name: format!("pool {n}"),
        description: String::new(),
        admin_state_up: true,
        statuses: statuses(ACTIVE),
        protocol: PoolProtocol::Http,
        lb_algorithm: Algorithm::RoundRobin,
        session_persistence: None,
        tls_enabled: false,
        tls_container_ref: None,
        ca_tls_container_ref: None,
        crl_container_ref: None,
        tls: Tls::default(),
        tags: vec![],
        created_at: start(),
        updated_at: None,
    }
}

pub(crate) fn member(n: u16, pool: u16) -> Member {
    Member {
        id: member_id(n),
        pool_id: pool_id(pool),
        load_balancer_id: lb_id(),
        project_id: project(),
        name: format!("member {n}"),
        admin_state_up: true,
        statuses: statuses(ACTIVE),
        address: format!("127.0.1.{n}"),
        protocol_port: 8080,
        weight: Some(1),
        backup: false,
        subnet_id: None,
        monitor_address: None,
        monitor_port: None,
        vnic_type: VnicType::Normal,
        tags: vec![],
        created_at: start(),
        updated_at: None,
    }
}

pub(crate) fn monitor(n: u16, pool: u16) -> HealthMonitor {
    HealthMonitor {
        id: monitor_id(n),
        pool_id: pool_id(pool),
        load_balancer_id: lb_id(),
        project_id: project(),
        name: format!("monitor {n}"),
        admin_state_up: true,
        statuses: statuses(ACTIVE),
        kind: HealthMonitorType::Http,
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
        created_at: start(),
        updated_at: None,
    }
}

pub(crate) fn amphora(n: u16, status: AmphoraStatus, now: Timestamp) -> Amphora {
    Amphora {
        id: amphora_id(n),
        load_balancer_id: Some(lb_id()),
        status,
        role: Some(AmphoraRole::Standalone),
        compute_id: None,
        lb_network_ip: None,
        vrrp_ip: None,
        ha_ip: None,
        vrrp_port_id: None,
        ha_port_id: None,
        vrrp_interface: None,
        vrrp_id: None,
        vrrp_priority: None,
        cert_expiration: None,
        cached_zone: None,
        image_id: None,
        compute_flavor: None,
        applied_generation: 0,
        last_heartbeat_at: None,
        created_at: now,
        updated_at: None,
    }
}
