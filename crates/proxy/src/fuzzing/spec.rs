//! Specs: whatever an agent is sent is refused, or becomes a snapshot that traffic can run on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use octavia_wire::{AmphoraSpec, L7ActionSpec, SpecError, TlsError};

use crate::snapshot::Snapshot;
use crate::state::{Health, Registry};

const CLIENTS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 2),
];

/// `data` as the JSON of a spec.
pub fn spec(data: &[u8]) -> bool {
    let Ok(spec) = serde_json::from_slice::<AmphoraSpec>(data) else { return false };
    let again: AmphoraSpec = serde_json::from_slice(&serde_json::to_vec(&spec).unwrap()).unwrap();
    assert_eq!(again, spec);
    let registry = Registry::new(1).unwrap();
    let snapshot = match Snapshot::compile(&spec, &registry) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            // What pools refer to is not looked into before it is used.
            let useless = matches!(error, SpecError::PoolTls { fault: TlsError::Unusable(_), .. });
            assert!(useless || spec.validate() == Err(error));
            return false;
        }
    };
    assert_eq!((snapshot.fence(), snapshot.generation()), spec.precedence());
    assert_eq!(spec.validate(), Ok(()));
    let ready = spec.listeners.iter().filter(|l| l.is_ready());
    assert_eq!(snapshot.listeners().count() + snapshot.faults().len(), ready.clone().count());
    assert_eq!(snapshot.pools().count(), spec.pools.len());
    for listener in ready {
        let Some(conf) = snapshot.listener(listener.id) else {
            // Keys and certificates are not looked into before they are used.
            let fault = snapshot.faults().iter().find(|(id, _)| *id == listener.id);
            assert!(matches!(fault, Some((_, TlsError::Unusable(_)))), "{fault:?}");
            continue;
        };
        assert_eq!(conf.pool_for(None).map(|pool| pool.id), listener.default_pool);
        assert_eq!(conf.policies.len(), listener.l7policies.len());
        for (place, policy) in listener.l7policies.iter().enumerate() {
            let pool = conf.pool_for(Some(place as u16)).map(|pool| pool.id);
            assert_eq!(
                pool.map(L7ActionSpec::RedirectToPool).unwrap_or(policy.action.clone()),
                policy.action
            );
        }
        for client in CLIENTS {
            conf.admits(client.ip());
        }
    }
    snapshot.inherit(&Snapshot::compile(&again, &registry).unwrap());
    for pool in snapshot.pools() {
        for client in CLIENTS {
            let mut tried = vec![];
            while let Some(place) = pool.pick(client, &tried) {
                let member = &pool.members[place];
                let serial = member.state.serial;
                assert!(member.enabled && member.weight > 0);
                assert!(snapshot.leads_to(serial, member.address, pool.tls.as_ref()));
                let place = place as u16;
                assert!(!tried.contains(&place));
                tried.push(place);
                if tried.len() > 8 {
                    break;
                }
            }
        }
        for member in &pool.members {
            member.state.set_health(Health::Down);
            if let Some(check) = pool.monitor.as_ref().and_then(|monitor| monitor.spec.http.as_ref()) {
                crate::health::fuzzing::request(check, member.monitor_address);
            }
        }
        assert!(!pool.is_usable() && pool.pick(CLIENTS[0], &[]).is_none());
    }
    true
}
