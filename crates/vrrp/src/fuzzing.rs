//! What must hold for any bytes: played over a corpus by the tests, and searched for exceptions by `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here is what is looked for")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::checksum::Sum;
use crate::{Advertisement, Datagram, PROTOCOL, Password, Router, Settings, State, TTL, Version};

const V4: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2))];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2)),
];

/// `data` as what a raw socket passes, as what is behind the IP header, and as that with the checksum it should have.
pub fn vrrp(data: &[u8]) -> bool {
    let data = &data[..data.len().min(4 << 10)];
    let mut good = false;
    if let Some(datagram) = Datagram::from_ipv4(data) {
        assert!(datagram.payload.len() <= data.len() - 20);
        good |= payload(datagram.payload, [datagram.from, datagram.to]);
    }
    for way in [V4, V6] {
        // Both, always.
        good |= payload(data, way) | payload(&mended(data, way), way);
    }
    good
}

fn payload(bytes: &[u8], [from, to]: [IpAddr; 2]) -> bool {
    let decoded = Advertisement::decode(bytes, from, to);
    if let Ok(advertisement) = &decoded {
        assert!(advertisement.router_id > 0 && !advertisement.interval.is_zero());
        assert!(!advertisement.addresses.is_empty());
        let mut again = advertisement.encode(from, to);
        assert_eq!(Advertisement::decode(&again, from, to).as_ref(), Ok(advertisement));
        assert_eq!(again.len(), bytes.len());
        again[1] ^= 1;
        assert!(Advertisement::decode(&again, from, to).is_err());
    }
    for version in [Version::V2, Version::V3] {
        hear(bytes, [from, to], version);
    }
    decoded.is_ok()
}

/// A router hears it in every state, and goes on.
fn hear(bytes: &[u8], [from, to]: [IpAddr; 2], version: Version) {
    let settings = Settings {
        version,
        router_id: 1,
        priority: 100,
        interval: version.unit(),
        preempt: bytes.len().is_multiple_of(2),
        source: to,
        peers: vec![from],
        password: (version == Version::V2).then(|| Password::new(b"abcdefg")),
        vips: vec![to],
        announce_every: Duration::from_secs(5),
        announce_times: 2,
    };
    let (mut now, mut actions) = (Duration::ZERO, vec![]);
    let mut router = Router::new(settings, true, now);
    let hears = |router: &mut Router, now, actions: &mut Vec<_>| {
        let datagram = Datagram { from, to, ttl: TTL, payload: bytes };
        let before = (router.state(), router.deadline());
        if router.receive(&datagram, now, actions).is_err() {
            assert_eq!((router.state(), router.deadline()), before);
        }
    };
    for round in 0..8 {
        hears(&mut router, now, &mut actions);
        if let Some(deadline) = router.deadline() {
            now = now.max(deadline);
        }
        router.on_timer(now, &mut actions);
        assert!(router.deadline().is_none_or(|deadline| deadline > now));
        if round == 3 && router.state() == State::Master {
            router.held(now, &mut actions);
        }
        if round == 5 {
            router.leave(now, &mut actions);
        }
        assert!(actions.len() < 16, "{actions:?}");
        actions.clear();
    }
}

fn mended(data: &[u8], [from, to]: [IpAddr; 2]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() >= 8 {
        bytes[6..8].fill(0);
        let pseudo = match bytes[0] >> 4 {
            2 => Sum::default(),
            _ => Sum::pseudo_header(from, to, PROTOCOL, bytes.len()),
        };
        let checksum = pseudo.add(&bytes).checksum();
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use octavia_corpus::play;

    #[test]
    fn vrrp() {
        play("vrrp", super::vrrp);
    }
}
