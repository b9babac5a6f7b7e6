//! Latencies in logarithmic buckets: 3 % wide, of fixed size, added by addition.

use std::time::Duration;

/// Linear buckets per power of two.
const SUB: u64 = 32;
const BUCKETS: usize = 40 * 32;

/// Counts of durations in microseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: Duration::ZERO }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "n={} p50={:?} p99={:?} max={:?}",
            self.total,
            self.quantile(0.5),
            self.quantile(0.99),
            self.max
        )
    }
}

impl Histogram {
    pub fn record(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    /// The upper bound of the bucket that holds the `q`-quantile (0–1); zero when nothing was recorded.
    pub fn quantile(&self, q: f64) -> Duration {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rank = ((self.total as f64) * q.clamp(0.0, 1.0)).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return Duration::from_micros(upper(index)).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(micros: u64) -> usize {
    if micros < SUB {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = micros.ilog2() - SUB.ilog2();
    let index = u64::from(power + 1) * SUB + ((micros >> power) - SUB);
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let power = index / SUB - 1;
    ((index % SUB + SUB + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_at_most_three_percent_below_its_bucket() {
        for micros in (0..2_000).chain([10_000, 123_456, 9_999_999, 1 << 40]) {
            let top = upper(bucket(micros));
            assert!(top >= micros && top - micros <= micros / 32 + 1, "{micros} in a bucket up to {top}");
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for ms in 1..=100 {
            histogram.record(Duration::from_millis(ms));
        }
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!(twice.count(), 200);
        for (q, ms) in [(0.5, 50), (0.99, 99), (1.0, 100)] {
            let value = twice.quantile(q).as_secs_f64() * 1e3;
            assert!((value - f64::from(ms)).abs() <= f64::from(ms) * 0.035, "{q}: {value}");
        }
    }
}
