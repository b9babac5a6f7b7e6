//! What `tc` is told, as text: how fast a port may be. Pure.
//!
//! A token bucket at each end of the cable: what the bridge sends into it, and what the amphora sends. A policer would
//! do for the second on the host, but drops where a bucket waits, and needs classifiers, which not every kernel has.

use crate::BandwidthLimit;

/// So long may a burst be, in milliseconds at the allowed rate, where nobody says how large it is.
const BURST_MS: u64 = 10;
/// A bucket that holds less than the largest packet lets none through.
const BURST_MIN: u64 = 16 * 1024;
/// The kernel counts a burst in 32 bits.
const BURST_MAX: u64 = 256 << 20;
/// How long a packet may wait for the bucket, in milliseconds.
const LATENCY_MS: u64 = 100;

/// The qdisc of one end of the cable. Without a limit it goes: `None` and none was there is an error of `tc`, which the
/// replacement before it prevents.
pub(super) fn batch(link: &str, limit: Option<BandwidthLimit>) -> String {
    match limit {
        Some(limit) => replace(link, limit),
        None => {
            let any = BandwidthLimit { kbps: 1_000_000, burst_kbit: None };
            format!("{}qdisc delete dev {link} root\n", replace(link, any))
        }
    }
}

fn replace(link: &str, limit: BandwidthLimit) -> String {
    let rate = u64::from(limit.kbps.max(1));
    let wanted = limit.burst_kbit.map_or(rate * BURST_MS / 8, |kbit| u64::from(kbit) * 1000 / 8);
    let burst = wanted.clamp(BURST_MIN, BURST_MAX);
    format!("qdisc replace dev {link} root tbf rate {rate}kbit burst {burst} latency {LATENCY_MS}ms\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_for_a_limit() {
        for (kbps, burst_kbit, expected) in [
            (20_000, None, "rate 20000kbit burst 25000 latency"),
            (20_000, Some(800), "rate 20000kbit burst 100000 latency"),
            (20_000, Some(1), "rate 20000kbit burst 16384 latency"),
            (0, None, "rate 1kbit burst 16384 latency"),
            (u32::MAX, Some(u32::MAX), "rate 4294967295kbit burst 268435456 latency"),
        ] {
            let batch = batch("p1", Some(BandwidthLimit { kbps, burst_kbit }));
            assert!(batch.contains(expected) && batch.lines().count() == 1, "{batch}");
        }
        let without = batch("p1", None);
        assert!(without.ends_with("qdisc delete dev p1 root\n"), "{without}");
    }
}
