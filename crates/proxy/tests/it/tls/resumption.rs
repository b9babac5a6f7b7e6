//! Sessions that are resumed, or not. When and for how long is tested where time is a number (`tls::tests`).

use octavia_model::{ClientAuthentication, ListenerId, LoadBalancerId};
use octavia_wire::{Der, TicketRoot, TicketSpec, TlsSpec};
use rustls::HandshakeKind;

use super::pki::{Authority, Visitor, identity, tls};
use super::{VERSIONS, get};
use crate::rig::{Origin, Rig, id};

fn is_resumed(visitor: &Visitor, rig: &Rig) -> bool {
    let mut client = visitor.connect(rig, "a.example").unwrap();
    assert_eq!(get(&mut client, "/").text(), "hi");
    client.tls().handshake_kind() == Some(HandshakeKind::Resumed)
}

/// One of the amphorae that have this listener.
fn amphora(origin: &Origin, listener: ListenerId, tls: &TlsSpec, tickets: Option<&TicketSpec>) -> Rig {
    Rig::start(octavia_model::ListenerProtocol::TerminatedHttps, &[origin], |spec| {
        spec.listeners[0].id = listener;
        spec.listeners[0].tls = Some(tls.clone());
        spec.tickets = tickets.cloned();
    })
}

/// Since 1970; the present period, or the one before if that begins just now.
fn period() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    TicketSpec::first_at(now.as_secs())
}

#[test]
fn they_are_until_their_terms_change() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let root = TicketRoot::new(b"a key");
    for tickets in [None, Some(root.of(LoadBalancerId::new_v4(), period()))] {
        let mut rig = amphora(&origin, id(), &tls(&[&ca.server(&["a.example"])]), tickets.as_ref());
        for version in VERSIONS {
            let visitor = Visitor::new(&ca, None).only(version);
            assert!(!is_resumed(&visitor, &rig));
            assert!(is_resumed(&visitor, &rig));
            // A change that has nothing to do with TLS.
            rig.listener().connection_limit = Some(1_000);
            rig.reconfigure();
            assert!(is_resumed(&visitor, &rig));
            // The same secret, as a controller sends it later.
            rig.spec.tickets = tickets.as_ref().map(|tickets| tickets.at(tickets.period() + 1));
            rig.reconfigure();
            assert!(is_resumed(&visitor, &rig));
            rig.listener().tls = Some(tls(&[&ca.server(&["a.example"])]));
            rig.reconfigure();
            assert!(!is_resumed(&visitor, &rig));
        }
    }
}

#[test]
fn they_are_by_other_amphorae_of_the_load_balancer() {
    let ca = Authority::new("ca");
    let origin = Origin::says("hi");
    let (root, lb) = (TicketRoot::new(b"a key"), LoadBalancerId::new_v4());
    let of = |lb, period| Some(root.of(lb, period));
    let (listener, own) = (id(), tls(&[&ca.server(&["a.example"])]));
    let mut asking = own.clone();
    asking.client_authentication = ClientAuthentication::Optional;
    identity(&mut asking).client_authorities = vec![Der(ca.der().to_vec())];
    let others = [
        ("the same", listener, &own, of(lb, period()), true),
        ("pushed long ago", listener, &own, of(lb, period() - 2_000), true),
        ("another load balancer's", listener, &own, of(LoadBalancerId::new_v4(), period()), false),
        ("of keys of its own", listener, &own, None, false),
        ("another listener", id(), &own, of(lb, period()), false),
        ("who asks for a certificate", listener, &asking, of(lb, period()), false),
    ];
    let first = amphora(&origin, listener, &own, of(lb, period()).as_ref());
    for (what, listener, tls, tickets, expected) in others {
        let other = amphora(&origin, listener, tls, tickets.as_ref());
        for version in VERSIONS {
            let visitor = Visitor::new(&ca, None).only(version);
            assert!(!is_resumed(&visitor, &first));
            assert_eq!(is_resumed(&visitor, &other), expected, "{what} {version}");
            // It makes tickets, too.
            assert!(is_resumed(&visitor, &other), "{what} {version}");
            assert_eq!(is_resumed(&visitor, &first), expected, "{what} {version}, and back");
        }
    }
}

/// What has ended already is not in the way of who shows it without need, but nobody comes back by it.
#[test]
fn they_are_not_of_clients_whose_certificates_have_ended() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let (alice, over) = (clients.client("alice", 1), clients.expired("over"));
    let mut asking = tls(&[&ca.server(&["a.example"])]);
    asking.client_authentication = ClientAuthentication::Mandatory;
    identity(&mut asking).client_authorities = vec![Der(clients.der().to_vec())];
    let origin = Origin::says("hi");
    let rig = amphora(&origin, id(), &asking, None);
    for version in VERSIONS {
        let visitor = Visitor::new(&ca, Some(&alice)).only(version);
        assert!(!is_resumed(&visitor, &rig));
        let late = Visitor::new(&ca, Some(&alice)).only(version).showing(&alice, &over);
        for _ in 0..3 {
            assert!(!is_resumed(&late, &rig), "{version}");
            assert!(is_resumed(&visitor, &rig), "{version}");
        }
    }
}
