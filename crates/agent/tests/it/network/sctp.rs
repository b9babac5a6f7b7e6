//! SCTP that the kernel forwards, and checks of it. No kernel is needed that speaks it: clients and members here do so by
//! themselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use octavia_model::{HealthMonitorType, ListenerProtocol, PoolProtocol};
use octavia_testkit::sctp::{Association, Peer};
use octavia_wire::{AmphoraSpec, MemberWord, NetworkSpec};

use super::datagrams::{FAR, OWN, counts, plugged, stats};
use super::stage::{Place, Stage};
use super::{VIPS, amphora_on, to_clients, to_members};
use crate::amphora::Amphora;
use crate::spec::monitor;

const PORT: u16 = 3868;

/// The first packet may be lost while neighbours are found.
#[track_caller]
fn served(place: &Place, family: usize) -> Association {
    let vip = SocketAddr::new(VIPS[family].parse().unwrap(), PORT);
    let open = |_| place.within(|| Association::open(FAR[family].parse().unwrap(), vip).unwrap());
    (0..10).find_map(open).expect("somebody takes it")
}

fn spec(amphora: &Amphora, members: &[&Peer]) -> AmphoraSpec {
    let addresses: Vec<_> = members.iter().map(|member| member.address()).collect();
    let mut spec = amphora.spec(PORT, &addresses);
    spec.vips = VIPS.map(|vip| vip.parse().unwrap()).to_vec();
    spec.listeners[0].protocol = ListenerProtocol::Sctp;
    spec.pools[0].protocol = PoolProtocol::Sctp;
    spec.network = Some(NetworkSpec { interfaces: vec![to_clients(), to_members()], vrrp: None });
    spec
}

fn dealt(stage: &Stage, family: usize, number: usize) -> (Vec<Association>, BTreeMap<String, usize>) {
    let place = &stage.far;
    let associations: Vec<_> = (0..number).map(|_| served(place, family)).collect();
    let mut counted = BTreeMap::new();
    for association in &associations {
        let (name, asked_from) = association.ask().unwrap();
        assert_eq!(asked_from, OWN[family]);
        *counted.entry(name).or_default() += 1;
    }
    (associations, counted)
}

#[test]
fn associations_are_dealt_checked_and_kept() {
    let Some(stage) = plugged() else { return };
    let at = ["10.30.0.7:3000", "10.30.0.7:3001", "10.30.0.7:3002", "[2001:db8:3::7]:3000"];
    let mut names = ["a", "b", "c", "x"].into_iter();
    let peers = at.map(|at| {
        let name = names.next().unwrap();
        stage.members.within(|| Peer::start(at.parse().unwrap(), name).unwrap())
    });
    let [a, b, c, x] = peers.each_ref();
    let amphora = amphora_on(&stage);
    let mut spec = spec(&amphora, &[a, b, c, x]);
    spec.pools[0].monitor = Some(monitor(HealthMonitorType::Sctp));
    c.refuse(true);
    // Nobody at all.
    spec.pools[0].members.push(crate::spec::member("10.30.0.7:3003".parse().unwrap()));

    let sockets = AmphoraSpec { network: None, ..spec.clone() };
    let fault = amphora.push(&sockets).unwrap_err();
    assert!(fault.http_code == 400 && fault.error.contains("SCTP"), "{fault}");
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    let words = |word: MemberWord| {
        amphora.heartbeat("members are found what they are", |beat| {
            let members = beat.pools.values().flat_map(|pool| &pool.members);
            members.filter(|(_, of)| **of == word).count() == if word == MemberWord::Up { 3 } else { 2 }
        })
    };
    let beat = words(MemberWord::Down);
    words(MemberWord::Up);
    let checks: Vec<_> = beat.pools.values().flat_map(|pool| pool.checks.values()).collect();
    for why in ["refused (ABORT)", "no answer in time"] {
        assert!(checks.iter().any(|check| *check == why), "{why}: {checks:?}");
    }

    let (associations, counted) = dealt(&stage, 0, 4);
    assert_eq!(counted, counts(&[("a", 2), ("b", 2)]));
    let (of_v6, counted) = dealt(&stage, 1, 2);
    assert_eq!(counted, counts(&[("x", 2)]));
    let beat = amphora
        .heartbeat("they are counted", |beat| stats(beat, &spec).is_some_and(|stats| stats.totconns >= 6));
    let told = stats(&beat, &spec).unwrap();
    assert!(told.rx > 0 && told.tx > 0, "{told:?}");

    // One comes, one goes: whoever is with others notices nothing, and of one that goes nothing is heard any more.
    c.refuse(false);
    amphora.heartbeat("it is up", |beat| {
        let members = beat.pools.values().flat_map(|pool| pool.members.values());
        members.filter(|word| **word == MemberWord::Up).count() == 4
    });
    let name = |association: &Association| association.ask().unwrap().0;
    let before: Vec<_> = associations.iter().map(name).collect();
    spec.generation += 1;
    spec.pools[0].members.remove(0);
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    for (association, name) in associations.iter().zip(&before) {
        let expected = Some(name).filter(|name| *name != "a").cloned();
        assert_eq!(association.ask().map(|(name, _)| name), expected);
    }
    assert!(of_v6.iter().all(|association| name(association) == "x"));
    assert_eq!(dealt(&stage, 0, 4).1, counts(&[("b", 2), ("c", 2)]));
}
