//! What the proxy says of itself: a pure function of the configuration and the counters.

use std::collections::HashSet;

use octavia_model::ListenerId;
use octavia_wire::{
    ListenerReport, ListenerWord, MemberStats, MemberWord, PoolWord, ProxyPoolReport, ProxyReport,
};

use crate::snapshot::{ListenerConf, MemberConf, PoolConf, Snapshot};
use crate::state::Health;

/// Says how it goes, in HAProxy's words. `open` are the listeners that have a listening socket: one whose ports could
/// not be opened takes no traffic, and is left out.
pub fn report(snapshot: &Snapshot, open: &HashSet<ListenerId>) -> ProxyReport {
    let listeners = snapshot.listeners().filter(|listener| open.contains(&listener.id));
    ProxyReport {
        generation: snapshot.generation(),
        listeners: listeners.map(|listener| (listener.id, listener_report(listener))).collect(),
        pools: snapshot.pools().map(|pool| (pool.id, pool_report(pool))).collect(),
    }
}

fn listener_report(listener: &ListenerConf) -> ListenerReport {
    let stats = listener.state.stats();
    let full = listener.connection_limit.is_some_and(|limit| stats.conns >= limit.into());
    ListenerReport { status: if full { ListenerWord::Full } else { ListenerWord::Open }, stats }
}

fn pool_report(pool: &PoolConf) -> ProxyPoolReport {
    // A pool without members is not down: nothing in it is broken.
    let up = pool.members.is_empty() || pool.is_usable();
    ProxyPoolReport {
        status: if up { PoolWord::Up } else { PoolWord::Down },
        members: pool.members.iter().map(|member| (member.id, member_stats(member))).collect(),
    }
}

fn member_stats(member: &MemberConf) -> MemberStats {
    let state = &member.state;
    MemberStats {
        status: member_word(member.enabled, member.weight, state.health()),
        check: state.check(),
        active_connections: state.active(),
        total_connections: state.total_connections(),
        requests: state.requests(),
        errors: state.errors(),
    }
}

/// A drained member is called so only while it is up, as the original does.
fn member_word(enabled: bool, weight: u16, health: Health) -> MemberWord {
    match health {
        _ if !enabled => MemberWord::Maintenance,
        Health::Up if weight == 0 => MemberWord::Drain,
        Health::Up => MemberWord::Up,
        Health::Down => MemberWord::Down,
        Health::NoCheck => MemberWord::NoCheck,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use octavia_model::{
        Algorithm, AmphoraId, ListenerProtocol, LoadBalancerId, MemberId, PoolId, PoolProtocol,
    };
    use octavia_wire::{AmphoraSpec, ListenerSpec, MemberSpec, PoolSpec, TimeoutsSpec, WIRE_VERSION};

    use super::*;
    use crate::state::Registry;

    #[test]
    fn words_are_haproxys() {
        use Health::{Down, NoCheck, Up};
        for (enabled, weight, health, expected) in [
            (true, 1, Up, MemberWord::Up),
            (true, 0, Up, MemberWord::Drain),
            (true, 1, Down, MemberWord::Down),
            (true, 0, Down, MemberWord::Down),
            (true, 1, NoCheck, MemberWord::NoCheck),
            (true, 0, NoCheck, MemberWord::NoCheck),
            (false, 1, Up, MemberWord::Maintenance),
            (false, 0, Down, MemberWord::Maintenance),
            (false, 1, NoCheck, MemberWord::Maintenance),
        ] {
            assert_eq!(member_word(enabled, weight, health), expected, "{enabled} {weight} {health:?}");
        }
    }

    fn spec(members: &[(bool, u16, bool)], connection_limit: Option<u32>) -> AmphoraSpec {
        let pool = PoolSpec {
            id: PoolId::nil(),
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members: (0..)
                .zip(members)
                .map(|(n, &(enabled, weight, backup))| MemberSpec {
                    id: member_id(n),
                    address: [127, 0, 0, 1].into(),
                    port: 80,
                    weight,
                    backup,
                    enabled,
                    monitor_address: None,
                    monitor_port: None,
                })
                .collect(),
            monitor: None,
            tls: None,
        };
        AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: AmphoraId::nil(),
            load_balancer_id: LoadBalancerId::nil(),
            generation: 7,
            fence: 1,
            vips: vec![[127, 0, 0, 1].into()],
            listeners: vec![ListenerSpec {
                id: ListenerId::nil(),
                protocol: ListenerProtocol::Http,
                port: 80,
                connection_limit,
                default_pool: Some(pool.id),
                insert_headers: vec![],
                timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
                allowed_cidrs: vec![],
                accept_proxy: vec![],
                l7policies: vec![],
                tls: None,
            }],
            pools: vec![pool],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        }
    }

    fn member_id(n: u128) -> MemberId {
        use newtype_uuid::GenericUuid;
        MemberId::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_pool_is_up_while_any_member_can_take_traffic() {
        use Health::{Down, NoCheck, Up};
        // Enabled, weight, backup, health.
        for (members, expected) in [
            (vec![], PoolWord::Up),
            (vec![(true, 1, false, Up)], PoolWord::Up),
            (vec![(true, 1, false, NoCheck)], PoolWord::Up),
            (vec![(true, 1, false, Down)], PoolWord::Down),
            (vec![(true, 1, false, Down), (true, 1, true, Up)], PoolWord::Up),
            (vec![(true, 1, false, Down), (true, 0, false, Up)], PoolWord::Down),
            (vec![(true, 0, false, NoCheck)], PoolWord::Down),
            (vec![(false, 1, false, NoCheck)], PoolWord::Down),
            (vec![(false, 1, false, NoCheck), (true, 1, false, Up)], PoolWord::Up),
        ] {
            let registry = Registry::new(1).unwrap();
            let conf: Vec<_> = members.iter().map(|&(e, w, b, _)| (e, w, b)).collect();
            let snapshot = Snapshot::compile(&spec(&conf, None), &registry).unwrap();
            for (n, (.., health)) in (0..).zip(&members) {
                registry.member(member_id(n)).set_health(*health);
            }
            let report = report(&snapshot, &HashSet::from([ListenerId::nil()]));
            assert_eq!(report.pools[&PoolId::nil()].status, expected, "{members:?}");
            assert_eq!(report.generation, 7);
        }
    }

    #[test]
    fn a_listener_is_open_full_or_not_there() {
        for (limit, open, expected) in [
            (None, 1_000_000, ListenerWord::Open),
            (Some(10), 9, ListenerWord::Open),
            (Some(10), 10, ListenerWord::Full),
            (Some(10), 11, ListenerWord::Full),
            (Some(0), 0, ListenerWord::Full),
        ] {
            let registry = Registry::new(1).unwrap();
            let snapshot = Snapshot::compile(&spec(&[], limit), &registry).unwrap();
            registry.listener(ListenerId::nil()).open.store(open, Relaxed);
            let listeners = report(&snapshot, &HashSet::from([ListenerId::nil()])).listeners;
            assert_eq!(listeners[&ListenerId::nil()].status, expected, "{limit:?} {open}");
            assert_eq!(listeners[&ListenerId::nil()].stats.conns, open);
            assert!(report(&snapshot, &HashSet::new()).listeners.is_empty(), "no socket, no listener");
        }
    }
}
