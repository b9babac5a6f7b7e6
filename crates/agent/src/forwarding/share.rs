//! To which members new flows go, in numbers that the kernel counts or hashes to; pure.

/// A member that takes new flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) mark: u32,
    /// From 1.
    pub(super) weight: u16,
    /// The same for the same member for ever.
    pub(super) identity: u64,
}

/// So many numbers in a row stand for the member of this mark.
pub(super) type Run = (u32, u32);

/// Up to so many flows a round is dealt evenly; a longer one goes to each member en bloc.
const ROUND_MAX: u32 = 4_096;
/// Numbers that clients are hashed to. The finer, the truer to weights; each may be a word of the rules.
pub(super) const SLOTS: u32 = 4_096;

/// One round of new flows dealt in turn: each member as often as its weight says, as evenly as may be (smooth weighted round
/// robin, as the proxy's).
pub(super) fn round(shares: &[Share]) -> Vec<Run> {
    let divisor = shares.iter().fold(0, |divisor, share| gcd(divisor, share.weight.into())).max(1);
    let weights: Vec<_> = shares.iter().map(|share| u32::from(share.weight) / divisor).collect();
    let total: u32 = weights.iter().sum();
    if total > ROUND_MAX {
        return shares.iter().zip(weights).map(|(share, weight)| (weight, share.mark)).collect();
    }
    let mut credits = vec![0_i64; shares.len()];
    runs((0..total).filter_map(|_| {
        credits.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += i64::from(*weight));
        // The first of equals.
        let best = (0..credits.len()).rev().max_by_key(|place| credits[*place])?;
        credits[best] -= i64::from(total);
        Some(shares[best].mark)
    }))
}

/// To whom clients go by their hash: weighted rendezvous, so that only those move whose member comes or goes.
pub(super) fn slots(shares: &[Share]) -> Vec<Run> {
    runs((0..SLOTS).filter_map(|slot| {
        let scored = shares.iter().map(|share| (share.mark, score(slot.into(), share)));
        scored.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(mark, _)| mark)
    }))
}

/// The least wins: exponentially distributed, with the weight as its rate.
fn score(slot: u64, share: &Share) -> f64 {
    let uniform = ((mix(slot ^ mix(share.identity)) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -uniform.ln() / f64::from(share.weight)
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn runs(marks: impl Iterator<Item = u32>) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    for mark in marks {
        match runs.last_mut() {
            Some((length, last)) if *last == mark => *length += 1,
            _ => runs.push((1, mark)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shares(weights: &[u16]) -> Vec<Share> {
        let share = |(mark, &weight)| Share { mark, weight, identity: mix(u64::from(mark) + 7) };
        (1..).zip(weights).map(share).collect()
    }

    fn told(runs: &[Run]) -> String {
        runs.iter().map(|(length, mark)| mark.to_string().repeat(*length as usize)).collect()
    }

    fn sums(runs: &[Run]) -> BTreeMap<u32, u32> {
        let mut sums = BTreeMap::new();
        runs.iter().for_each(|(length, mark)| *sums.entry(*mark).or_default() += length);
        sums
    }

    #[test]
    fn a_round_is_dealt_evenly() {
        for (weights, expected) in [
            (&[][..], ""),
            (&[5], "1"),
            (&[1, 1, 1], "123"),
            (&[3, 1], "1121"),
            (&[5, 1, 1], "1121311"),
            (&[256, 256], "12"),
            (&[100, 200], "212"),
        ] {
            assert_eq!(told(&round(&shares(weights))), expected, "{weights:?}");
        }
        let long: Vec<_> = (0..40).map(|n| 256 - n).collect();
        let dealt = round(&shares(&long));
        assert_eq!(dealt.len(), 40, "en bloc");
        assert_eq!(sums(&dealt), (1..).zip(long).map(|(mark, weight)| (mark, weight.into())).collect());
    }

    #[test]
    fn clients_are_spread_by_weight() {
        assert_eq!(slots(&shares(&[])), []);
        assert_eq!(slots(&shares(&[7])), [(SLOTS, 1)]);
        for weights in [&[1, 1][..], &[3, 1], &[1, 2, 5], &[256, 1, 128]] {
            let total: u32 = weights.iter().map(|weight| u32::from(*weight)).sum();
            for (mark, slots) in sums(&slots(&shares(weights))) {
                let expected = f64::from(weights[mark as usize - 1]) / f64::from(total);
                let deviation = (f64::from(slots) / f64::from(SLOTS) - expected).abs();
                assert!(deviation < 0.03, "{weights:?}: {mark} has {slots}");
            }
        }
    }

    #[test]
    fn only_those_move_whose_member_goes() {
        let all = shares(&[2, 3, 1, 4]);
        let flat = |runs: &[Run]| -> Vec<u32> {
            runs.iter().flat_map(|(length, mark)| vec![*mark; *length as usize]).collect()
        };
        let before = flat(&slots(&all));
        let without: Vec<_> = all.iter().copied().filter(|share| share.mark != 2).collect();
        let after = flat(&slots(&without));
        assert!(before.iter().zip(&after).all(|(before, after)| *before == 2 || before == after));
        assert!(!after.contains(&2));
    }
}
