//! Which 127.N.0.0/16 is ours, and of namespaces 10.N.0.0/16 with it: several local clouds live side by side on one
//! machine.
//!
//! A listening socket on an address of the network that nothing else uses is the claim: the kernel gives it to one
//! process and takes it back when that process dies. Amphorae outlive their controller, so a network in which
//! anything listens is not free either.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use super::netns::{overlap, reserved};
use super::{LocalKind, OpenError};

/// In the order in which they are tried. Below 100 live other loopback conventions (127.0.0.53, 127.0.1.1).
const CANDIDATES: std::ops::RangeInclusive<u8> = 100..=250;
/// Not privileged, not ephemeral.
const PORT: u16 = 21_127;

/// Held as long as the cloud is open.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) number: u8,
    _socket: TcpListener,
}

/// Takes a network back.
pub(super) fn claim_again(number: u8, kind: &LocalKind) -> Result<Claim, OpenError> {
    match (kind, overlap(number)) {
        (LocalKind::Netns(_), Some(route)) => Err(OpenError::NetworkOverlaps(number, route)),
        _ => claim(number),
    }
}

fn claim(number: u8) -> Result<Claim, OpenError> {
    let socket = TcpListener::bind(address(number)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => OpenError::NetworkTaken(number),
        _ => OpenError::NetworkUnusable(error),
    })?;
    Ok(Claim { number, _socket: socket })
}

/// Takes the first network that is free.
pub(super) fn claim_first(kind: &LocalKind) -> Result<Claim, OpenError> {
    let mut busy = listening_networks();
    // Of a cloud whose process has ended; it wants its number back.
    busy.extend(reserved());
    for number in CANDIDATES.filter(|number| !busy.contains(number)) {
        match claim_again(number, kind) {
            Err(OpenError::NetworkTaken(_) | OpenError::NetworkOverlaps(..)) => {}
            outcome => return outcome,
        }
    }
    Err(OpenError::NoNetworkFree)
}

fn address(number: u8) -> SocketAddr {
    (Ipv4Addr::new(127, number, 255, 254), PORT).into()
}

/// Second octets of the 127.N.x.y addresses on which something listens.
fn listening_networks() -> BTreeSet<u8> {
    // Without /proc the claims alone decide.
    std::fs::read_to_string(Path::new("/proc/net/tcp"))
        .map(|table| parse_listening(&table))
        .unwrap_or_default()
}

/// Reads the kernel's table: `sl local_address rem_address st …`, the address in hexadecimal of the host's byte
/// order, state `0A` = listening.
fn parse_listening(table: &str) -> BTreeSet<u8> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
            if state != "0A" {
                return None;
            }
            let octets = u32::from_str_radix(local.split_once(':')?.0, 16).ok()?.to_ne_bytes();
            (octets[0] == 127 && octets[1] != 0).then_some(octets[1])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_table_of_sockets() {
        let octets = |a, b, c, d| u32::from_ne_bytes([a, b, c, d]);
        let line = |address: u32, state: &str| format!("   0: {address:08X}:24E3 00000000:0000 {state} x\n");
        let table = format!(
            "  sl  local_address rem_address   st\n{}{}{}{}\n garbage\n 1: zz:0 0 0A\n",
            line(octets(127, 100, 0, 9), "0A"),
            line(octets(127, 101, 0, 9), "01"),
            line(octets(127, 0, 0, 1), "0A"),
            line(octets(10, 102, 0, 1), "0A"),
        );
        assert_eq!(parse_listening(&table), BTreeSet::from([100]));
        assert!(parse_listening("").is_empty());
    }

    #[test]
    fn two_clouds_never_share() {
        let kind = LocalKind::Loopback;
        let first = claim_first(&kind).unwrap();
        let second = claim_first(&kind).unwrap();
        assert_ne!(first.number, second.number);
        assert!(matches!(claim_again(first.number, &kind), Err(OpenError::NetworkTaken(_))));
        let number = first.number;
        drop(first);
        assert_eq!(claim_again(number, &kind).unwrap().number, number);
    }
}
