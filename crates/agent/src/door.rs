//! Who may stay connected: a pure table of connections, each in a stage. Every stage has places of its own, and a
//! newcomer to a full one makes another leave, so that nobody keeps controllers out by merely being there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Connected, and said nothing.
    Silent,
    /// In the handshake, or being told why it failed.
    Stranger,
    /// Believed; it is up to the controller to go on.
    Idle,
    /// Believed; it is up to us.
    Busy,
}

/// A flood of ten thousand connections a second leaves each a hundredth of a second to speak, and controllers speak at
/// once.
const MAX_SILENT: usize = 128;
/// Of each handshake, memory for a few messages and a signature.
const MAX_STRANGERS: usize = 32;
/// `Idle` and `Busy` together: each may hold a whole spec.
const MAX_BELIEVED: usize = 16;

/// A connection in the room.
pub(crate) type Guest = u64;

/// Who counts as one: in IPv6, whoever has one address has its whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
            v4 => v4,
        })
    }
}

/// The connections that are in. `T` is dropped when its connection has to leave.
#[derive(Debug)]
pub(crate) struct Room<T> {
    /// Grows with each entry and each step: the order of events.
    clock: u64,
    guests: BTreeMap<Guest, Seat<T>>,
}

#[derive(Debug)]
struct Seat<T> {
    source: Source,
    stage: Stage,
    since: u64,
    _ticket: T,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self { clock: 0, guests: BTreeMap::new() }
    }
}

impl<T> Room<T> {
    /// Lets one in, in place of another if need be.
    pub(crate) fn enter(&mut self, source: Source, stage: Stage, ticket: T) -> Guest {
        self.make_place(stage);
        self.clock += 1;
        let seat = Seat { source, stage, since: self.clock, _ticket: ticket };
        self.guests.insert(self.clock, seat);
        self.clock
    }

    /// Takes the guest to a stage, in place of another if need be; without a place there, the guest has to leave.
    pub(crate) fn step(&mut self, guest: Guest, stage: Stage) {
        let Some(seat) = self.guests.get(&guest) else { return };
        if places(seat.stage) != places(stage) && !self.make_place(stage) {
            self.guests.remove(&guest);
        }
        self.clock += 1;
        if let Some(seat) = self.guests.get_mut(&guest) {
            (seat.stage, seat.since) = (stage, self.clock);
        }
    }

    pub(crate) fn leave(&mut self, guest: Guest) {
        self.guests.remove(&guest);
    }

    /// When there are no descriptors left: sends one away, of those who are worth least; `false` = nobody can go.
    pub(crate) fn shrink(&mut self) -> bool {
        [Stage::Silent, Stage::Stranger, Stage::Idle].into_iter().any(|stage| self.send_away(stage))
    }

    /// `false` = there is none, and nobody can go.
    fn make_place(&mut self, stage: Stage) -> bool {
        let taken = self.guests.values().filter(|seat| places(seat.stage) == places(stage)).count();
        taken < places(stage).1 || self.send_away(places(stage).0)
    }

    /// Of the source that has the most of this stage, who has been in it longest.
    fn send_away(&mut self, stage: Stage) -> bool {
        let mut counts: BTreeMap<Source, usize> = BTreeMap::new();
        for seat in self.guests.values().filter(|seat| seat.stage == stage) {
            *counts.entry(seat.source).or_default() += 1;
        }
        let here = self.guests.iter().filter(|(_, seat)| seat.stage == stage);
        let worst = here.max_by_key(|(_, seat)| (counts.get(&seat.source), u64::MAX - seat.since));
        let Some((&guest, _)) = worst else { return false };
        self.guests.remove(&guest);
        true
    }
}

/// Who leaves when the places that this stage shares are taken, and how many there are.
fn places(stage: Stage) -> (Stage, usize) {
    match stage {
        Stage::Silent => (Stage::Silent, MAX_SILENT),
        Stage::Stranger => (Stage::Stranger, MAX_STRANGERS),
        Stage::Idle | Stage::Busy => (Stage::Idle, MAX_BELIEVED),
    }
}

#[cfg(test)]
mod tests {
    use super::Stage::{Busy, Idle, Silent, Stranger};
    use super::*;

    fn source(n: u8) -> Source {
        IpAddr::from([10, 0, 0, n]).into()
    }

    impl Room<()> {
        fn come(&mut self, from: u8, stages: &[Stage]) -> Guest {
            let guest = self.enter(source(from), Silent, ());
            for stage in stages {
                self.step(guest, *stage);
            }
            guest
        }

        fn is_in(&self, guest: Guest) -> bool {
            self.guests.contains_key(&guest)
        }
    }

    #[test]
    fn each_stage_is_bounded_and_its_crowd_does_not_touch_the_others() {
        let to: [&[Stage]; 4] = [&[], &[Stranger], &[Stranger, Idle], &[Stranger, Idle, Busy]];
        for crowd in to {
            for other in to {
                let (Some(&at), Some(&of)) = (crowd.last().or(Some(&Silent)), other.last().or(Some(&Silent)))
                else {
                    continue;
                };
                let mut room = Room::default();
                let early = room.come(1, other);
                for _ in 0..1_000 {
                    room.come(2, crowd);
                }
                let crowded = room.guests.values().filter(|seat| places(seat.stage) == places(at)).count();
                assert_eq!(crowded, places(at).1, "{at:?}");
                // One of another source is never the one to leave, unless it is idle and the crowd works.
                assert_eq!(room.is_in(early), !(of == Idle && at == Busy), "{of:?} among {at:?}");
            }
        }
    }

    #[test]
    fn of_one_source_the_oldest_leaves() {
        let mut room = Room::default();
        let guests: Vec<_> = (0..MAX_SILENT + 3).map(|_| room.come(1, &[])).collect();
        let in_room: Vec<_> = guests.iter().map(|guest| room.is_in(*guest)).collect();
        assert_eq!(in_room[..3], [false; 3]);
        assert!(in_room[3..].iter().all(|is_in| *is_in));
        // Idle since the last answer, not since it came.
        let mut room = Room::default();
        let guests: Vec<_> = (0..MAX_BELIEVED).map(|_| room.come(1, &[Stranger, Idle])).collect();
        room.step(guests[0], Busy);
        room.step(guests[0], Idle);
        room.come(1, &[Stranger, Idle]);
        assert!(room.is_in(guests[0]) && !room.is_in(guests[1]) && room.is_in(guests[2]));
    }

    #[test]
    fn a_flood_from_many_sources_leaves_a_newcomer_its_time() {
        let mut room = Room::default();
        for n in 0..1_000 {
            room.enter(IpAddr::from([172, 16, (n / 256) as u8, n as u8]).into(), Silent, ());
        }
        let controller = room.come(1, &[]);
        for n in 0..MAX_SILENT - 1 {
            room.enter(IpAddr::from([192, 168, 0, n as u8]).into(), Silent, ());
        }
        assert!(room.is_in(controller));
        room.step(controller, Stranger);
        let at_once = room.enter(source(2), Stranger, ());
        for n in 0..1_000 {
            room.enter(IpAddr::from([172, 17, (n / 256) as u8, n as u8]).into(), Silent, ());
        }
        assert!(room.is_in(controller) && room.is_in(at_once));
    }

    #[test]
    fn who_is_at_work_stays_and_the_newcomer_leaves() {
        let mut room = Room::default();
        let busy: Vec<_> = (0..MAX_BELIEVED).map(|_| room.come(1, &[Stranger, Idle, Busy])).collect();
        let newcomer = room.come(2, &[Stranger, Idle]);
        assert!(!room.is_in(newcomer));
        assert!(busy.iter().all(|guest| room.is_in(*guest)));
        // Who has left takes no step.
        room.step(newcomer, Busy);
        assert!(!room.is_in(newcomer));
        room.leave(busy[0]);
        let newcomer = room.come(2, &[Stranger, Idle]);
        assert!(room.is_in(newcomer));
    }

    #[test]
    fn without_descriptors_the_least_worthy_go_first() {
        let mut room = Room::default();
        let busy = room.come(1, &[Stranger, Idle, Busy]);
        let order =
            [room.come(1, &[]), room.come(1, &[Stranger]), room.come(1, &[Stranger, Idle])].map(|guest| {
                assert!(room.is_in(guest));
                guest
            });
        for guest in order {
            assert!(room.shrink());
            assert!(!room.is_in(guest));
        }
        assert!(!room.shrink());
        assert!(room.is_in(busy));
    }

    #[test]
    fn sources() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let source = |ip: &str| Source::from(ip.parse::<IpAddr>().unwrap());
            assert_eq!(source(one) == source(other), same, "{one} {other}");
        }
    }
}
