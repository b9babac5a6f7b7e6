//! When checks start. Pure: each member has a place of its own in the interval, by its id, so that checks are spread
//! in time and fall to the same places after a restart.

use newtype_uuid::GenericUuid;
use octavia_model::MemberId;

/// The first check of a new member comes within so many milliseconds for each member there is, up to the interval.
const FIRST_SPREAD: u64 = 5;

/// A number that a member keeps for life.
fn place(member: MemberId) -> u64 {
    let (high, low) = member.into_untyped_uuid().as_u64_pair();
    // Ids made by version 4 are random; the mixing is for those that are not.
    (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// When to check a member for the first time: soon, but not all at once. Milliseconds.
pub(super) fn first(member: MemberId, delay: u64, members: usize, now: u64) -> u64 {
    let spread = delay.min(FIRST_SPREAD.saturating_mul(members as u64));
    now + place(member) % spread.max(1)
}

/// When to check it again after `now`: once in each interval, at its place. Milliseconds.
pub(super) fn next(member: MemberId, delay: u64, now: u64) -> u64 {
    let delay = delay.max(1);
    let place = place(member) % delay;
    now + (place + delay - now % delay - 1) % delay + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_an_interval_apart_and_spread() {
        let members: Vec<_> =
            (0..1000).map(|n| MemberId::from_untyped_uuid(uuid::Uuid::from_u128(n))).collect();
        let mut tenths = [0; 10];
        for &member in &members {
            let one = next(member, 5000, 1_234_567);
            assert!((1_234_568..=1_239_567).contains(&one));
            assert_eq!(next(member, 5000, one - 1), one);
            assert_eq!(next(member, 5000, one), one + 5000);
            tenths[usize::try_from(one % 5000 / 500).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|&n| n > 50), "{tenths:?}");
    }

    #[test]
    fn the_first_check_is_soon() {
        for n in 0..100 {
            let member = MemberId::from_untyped_uuid(uuid::Uuid::from_u128(n << 64 | n));
            for (delay, members, within) in [(5000, 3, 15), (1000, 1000, 1000), (1000, 0, 1), (0, 3, 1)] {
                let at = first(member, delay, members, 77);
                assert!((77..77 + within).contains(&at), "{at}");
            }
        }
    }

    #[test]
    fn no_interval_is_too_small() {
        assert_eq!(next(MemberId::nil(), 0, 5), 6);
        assert_eq!(next(MemberId::nil(), 1, 5), 6);
    }
}
