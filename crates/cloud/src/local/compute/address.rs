//! Management addresses, one for every amphora: 127.N.0.2 to 127.N.63.254, or 10.N.0.2 to 10.N.63.254.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Which are taken, by the two last octets as a number.
#[derive(Debug)]
pub(super) struct Addresses {
    /// The two first octets.
    network: [u8; 2],
    taken: BTreeSet<u16>,
    /// The search goes on behind the last one handed out, so that an address rests as long as possible.
    last: u16,
}

const FIRST: u16 = 2;
const LAST: u16 = (63 << 8) + 254;

impl Addresses {
    pub(super) fn new(network: [u8; 2]) -> Self {
        Self { network, taken: BTreeSet::new(), last: FIRST - 1 }
    }

    /// Notes an address found in use.
    pub(super) fn take(&mut self, address: Ipv4Addr) {
        let [first, second, high, low] = address.octets();
        if [first, second] == self.network {
            let number = u16::from_be_bytes([high, low]);
            self.taken.insert(number);
            self.last = self.last.max(number);
        }
    }

    pub(super) fn next(&mut self) -> Option<Ipv4Addr> {
        let start = if (FIRST..LAST).contains(&self.last) { self.last + 1 } else { FIRST };
        let number = (start..=LAST).chain(FIRST..start).find(|number| !self.taken.contains(number))?;
        self.taken.insert(number);
        self.last = number;
        let [high, low] = number.to_be_bytes();
        let [first, second] = self.network;
        Some(Ipv4Addr::new(first, second, high, low))
    }

    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        let [first, second, high, low] = address.octets();
        if [first, second] == self.network {
            self.taken.remove(&u16::from_be_bytes([high, low]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotates_through_all_and_ends() {
        let mut addresses = Addresses::new([127, 100]);
        assert_eq!(addresses.next(), Some(Ipv4Addr::new(127, 100, 0, 2)));
        addresses.give_back(Ipv4Addr::new(127, 100, 0, 2));
        assert_eq!(addresses.next(), Some(Ipv4Addr::new(127, 100, 0, 3)));
        addresses.take(Ipv4Addr::new(127, 100, 63, 254));
        assert_eq!(addresses.next(), Some(Ipv4Addr::new(127, 100, 0, 2)));
        let rest = std::iter::from_fn(|| addresses.next()).count();
        assert_eq!(rest, usize::from(LAST - FIRST + 1) - 3);
        addresses.give_back(Ipv4Addr::new(127, 100, 1, 1));
        assert_eq!(addresses.next(), Some(Ipv4Addr::new(127, 100, 1, 1)));
    }
}
