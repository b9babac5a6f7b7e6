//! Specs to push.

use std::net::{IpAddr, SocketAddr};

use octavia_model::{
    Algorithm, AmphoraId, HealthMonitorId, HealthMonitorType, HttpMethod, ListenerId, ListenerProtocol,
    LoadBalancerId, MemberId, PoolId, PoolProtocol,
};
use octavia_wire::{
    AmphoraSpec, HttpCheck, ListenerSpec, MemberSpec, MonitorSpec, PoolSpec, TimeoutsSpec, WIRE_VERSION,
};

/// One HTTP listener on `port` and a pool of these members.
pub(crate) fn spec(
    amphora_id: AmphoraId,
    load_balancer_id: LoadBalancerId,
    vip: IpAddr,
    port: u16,
    members: &[SocketAddr],
) -> AmphoraSpec {
    let pool = PoolSpec {
        id: PoolId::new_v4(),
        protocol: PoolProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        persistence: None,
        members: members.iter().map(|&address| member(address)).collect(),
        monitor: None,
        tls: None,
    };
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id,
        load_balancer_id,
        generation: 1,
        fence: 1,
        vips: vec![vip],
        listeners: vec![listener(port, pool.id)],
        pools: vec![pool],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}

pub(crate) fn listener(port: u16, pool: PoolId) -> ListenerSpec {
    ListenerSpec {
        id: ListenerId::new_v4(),
        protocol: ListenerProtocol::Http,
        port,
        connection_limit: None,
        default_pool: Some(pool),
        insert_headers: vec![],
        timeouts: TimeoutsSpec {
            client_data: 50_000,
            member_connect: 5_000,
            member_data: 50_000,
            tcp_inspect: 0,
        },
        allowed_cidrs: vec![],
        accept_proxy: vec![],
        l7policies: vec![],
        tls: None,
    }
}

pub(crate) fn member(address: SocketAddr) -> MemberSpec {
    MemberSpec {
        id: MemberId::new_v4(),
        address: address.ip(),
        port: address.port(),
        weight: 1,
        backup: false,
        enabled: true,
        monitor_address: None,
        monitor_port: None,
    }
}

pub(crate) fn monitor(kind: HealthMonitorType) -> MonitorSpec {
    MonitorSpec {
        id: HealthMonitorId::new_v4(),
        kind,
        delay: 1,
        timeout: 1,
        rise: 1,
        fall: 2,
        http: kind.is_http().then(|| HttpCheck {
            method: HttpMethod::Get,
            path: "/health".to_owned(),
            http11: false,
            host: None,
            expected: vec![(200, 200)],
        }),
    }
}
