//! Specs for tests, of which nothing is said but what a test is about.

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::{IdKind, ListenerProtocol};

use crate::{AmphoraSpec, ListenerSpec, TimeoutsSpec, WIRE_VERSION};

pub(crate) fn id<K: IdKind>() -> TypedUuid<K> {
    TypedUuid::from_untyped_uuid(uuid::Uuid::new_v4())
}

pub(crate) fn listener(protocol: ListenerProtocol, port: u16) -> ListenerSpec {
    ListenerSpec {
        id: id(),
        protocol,
        port,
        connection_limit: None,
        default_pool: None,
        insert_headers: vec![],
        timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
        allowed_cidrs: vec![],
        accept_proxy: vec![],
        l7policies: vec![],
        tls: None,
    }
}

/// With one VIP, and no pools.
pub(crate) fn spec(listeners: Vec<ListenerSpec>) -> AmphoraSpec {
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: id(),
        load_balancer_id: id(),
        generation: 1,
        fence: 1,
        vips: vec![[192, 0, 2, 1].into()],
        listeners,
        pools: vec![],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}
