//! Cookies of session persistence: what is taken out of a head or put into it, and that nothing else is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use newtype_uuid::GenericUuid;
use octavia_model::{Algorithm, IdKind, PoolProtocol};
use octavia_wire::{AmphoraSpec, MemberSpec, PersistenceSpec, PoolSpec, WIRE_VERSION};

use super::head::{Plain, write};
use super::layer7::{jar, list};
use crate::http1::{ClientSide, MAX_HEAD, Request, Response, header_slots, write_response};
use crate::persistence::Claim;
use crate::snapshot::{InsertHeaders, PoolConf, Snapshot};
use crate::state::Registry;

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const SRV: &[u8] = b"SRV";

/// `data` as the name of the application's cookie, or an empty line, and the first bytes of a client or a member.
pub fn persistence(data: &[u8]) -> bool {
    let Some(end) = data.iter().position(|&b| b == b'\n') else { return false };
    let Ok(name) = std::str::from_utf8(&data[..end]) else { return false };
    let head = &data[end + 1..];
    let spec = match name {
        "" => PersistenceSpec::HttpCookie,
        name => PersistenceSpec::AppCookie { name: name.to_owned() },
    };
    let Some(pool) = pool(spec) else { return false };
    match (name, head.starts_with(b"HTTP/")) {
        ("", false) => ours_in_request(&pool, head),
        ("", true) => ours_in_response(&pool, head),
        (name, false) => theirs(&pool, name, head),
        (_, true) => false,
    }
}

/// Members `…1` and `…2`.
fn pool(persistence: PersistenceSpec) -> Option<Arc<PoolConf>> {
    fn id<K: IdKind>(n: u128) -> newtype_uuid::TypedUuid<K> {
        GenericUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }
    let member = |n: u128| MemberSpec {
        id: id(n),
        address: Ipv4Addr::LOCALHOST.into(),
        port: 1,
        weight: 1,
        backup: false,
        enabled: true,
        monitor_address: None,
        monitor_port: None,
    };
    let pool = PoolSpec {
        id: id(0),
        protocol: PoolProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        persistence: Some(persistence),
        members: vec![member(1), member(2)],
        monitor: None,
        tls: None,
    };
    let spec = AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: id(0),
        load_balancer_id: id(0),
        generation: 1,
        fence: 1,
        vips: vec![],
        listeners: vec![],
        pools: vec![pool],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    };
    let snapshot = Snapshot::compile(&spec, &Registry::new(1).unwrap()).ok()?;
    snapshot.pools().next().map(Arc::clone)
}

fn ours_in_request(pool: &PoolConf, head: &[u8]) -> bool {
    let mut slots = header_slots();
    let Ok(Some(mut request)) = Request::parse(head, &mut slots) else { return false };
    let before = write(&request, InsertHeaders::default());
    let sent = sent(head, request.len);
    let persistence = pool.persistence.as_ref().unwrap();
    let claim = persistence.claim(&mut request);
    let after = write(&request, InsertHeaders::default());

    let cookies = |head: &[u8]| {
        let values = Plain::read(head).values("cookie").into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
        values.iter().flat_map(|value| jar(value)).collect::<Vec<_>>()
    };
    let is_ours = |(name, _): &(Vec<u8>, Vec<u8>)| name == SRV;
    let others: Vec<_> = cookies(&before).into_iter().filter(|cookie| !is_ours(cookie)).collect();
    assert_eq!(cookies(&after), others);
    let rest = |head: &[u8]| {
        let lines =
            head.split(|&b| b == b'\n').filter(|line| !line.to_ascii_lowercase().starts_with(b"cookie:"));
        lines.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    assert_eq!(rest(&before), rest(&after), "nothing but cookies changes");

    let named = |value: &[u8]| pool.members.iter().find(|member| member.id.to_string().as_bytes() == value);
    let first = cookies(sent).iter().filter(|cookie| is_ours(cookie)).find_map(|(_, value)| named(value));
    assert_eq!(claim, first.map_or(Claim::None, |member| Claim::Member(member.id)));
    let granted = first.map(|member| pool.members.iter().position(|other| other.id == member.id).unwrap());
    let (place, got) = pool.pick_for(CLIENT, claim, &[], 0).unwrap();
    assert_eq!(got.then_some(place), granted);

    let mut slots = header_slots();
    let mut again = Request::parse(&after, &mut slots).unwrap().unwrap();
    assert_eq!(persistence.claim(&mut again), Claim::None);
    assert_eq!(write(&again, InsertHeaders::default()), after, "once more changes nothing");
    true
}

fn ours_in_response(pool: &PoolConf, head: &[u8]) -> bool {
    let persistence = pool.persistence.as_ref().unwrap();
    let mut good = false;
    for (claimed, safe) in [(true, true), (false, true), (false, false)] {
        let mut slots = header_slots();
        let Ok(Some(mut response)) = Response::parse(head, &mut slots, false, false) else { continue };
        if response.is_interim() {
            continue;
        }
        good = true;
        let side = ClientSide { http11: true, keep_alive: true, unchunk: false, hsts: None };
        let (mut before, mut after) = (vec![], vec![]);
        write_response(&response, side, &mut before);
        persistence.answered(&mut response, pool.members[1].id, claimed, safe, 0);
        write_response(&response, side, &mut after);
        let (before, after) = (Plain::read(&before), Plain::read(&after));
        let is_ours = |value: &&[u8]| first(value).is_some_and(|(name, _)| name == SRV);
        let mut sets: Vec<_> = before.values("set-cookie").into_iter().filter(|set| !is_ours(set)).collect();
        let ours = format!("SRV={}; path=/", pool.members[1].id);
        if !claimed {
            sets.push(ours.as_bytes());
        }
        assert_eq!(after.values("set-cookie"), sets);
        let mut caching = before.values("cache-control");
        let keeps = after.values("cache-control");
        if keeps.len() > caching.len() {
            assert!(!claimed);
            caching.push(b"private");
        }
        assert_eq!(keeps, caching);
        for name in ["content-length", "transfer-encoding", "connection", "location", "x"] {
            assert_eq!(before.values(name), after.values(name));
        }
    }
    good
}

/// A client that brings back what a member has set is known by it.
fn theirs(pool: &PoolConf, name: &str, head: &[u8]) -> bool {
    let mut slots = header_slots();
    let Ok(Some(mut request)) = Request::parse(head, &mut slots) else { return false };
    let persistence = pool.persistence.as_ref().unwrap();
    let before = write(&request, InsertHeaders::default());
    let claim = persistence.claim(&mut request);
    assert_eq!(write(&request, InsertHeaders::default()), before, "members see it");
    let values = Plain::read(sent(head, request.len)).values("cookie");
    let mut cookies = values.into_iter().flat_map(list).flat_map(|element| jar(&element));
    let last = cookies.rfind(|(found, value)| found == name.as_bytes() && !value.is_empty());
    let Some((_, value)) = last else {
        assert_eq!(claim, Claim::None);
        return true;
    };
    assert_eq!(persistence.granted(&pool.members, CLIENT.ip(), claim, &[], 0), None);
    let set = [b"HTTP/1.1 200 OK\r\nSet-Cookie: ", name.as_bytes(), b"=", &value, b"\r\n\r\n"].concat();
    let mut slots = header_slots();
    let Ok(Some(mut response)) = Response::parse(&set, &mut slots, false, false) else {
        assert!(set.len() > MAX_HEAD);
        return true;
    };
    persistence.answered(&mut response, pool.members[1].id, false, true, 0);
    assert_eq!(persistence.granted(&pool.members, CLIENT.ip(), claim, &[], 0), Some(1));
    assert_eq!(persistence.granted(&pool.members, CLIENT.ip(), claim, &[1], 0), None);
    true
}

/// The head as the client sent it, from its first line on.
fn sent(head: &[u8], len: usize) -> &[u8] {
    let start = head.iter().position(|b| !b"\r\n".contains(b)).unwrap();
    &head[start..len]
}

fn first(set: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    jar(set).into_iter().next()
}
