//! When to try again after a failure.

use jiff::SignedDuration;

/// No failing load balancer waits longer than this for its next attempt.
pub const BACKOFF_MAX: SignedDuration = SignedDuration::from_secs(60);

/// How long to wait after `attempts` failures in a row: 1 s × 2^(attempts − 1), at most [`BACKOFF_MAX`].
/// Zero failures wait not at all.
pub const fn backoff(attempts: u32) -> SignedDuration {
    match attempts {
        0 => SignedDuration::ZERO,
        1..=6 => SignedDuration::from_secs(1 << (attempts - 1)),
        _ => BACKOFF_MAX,
    }
}

/// Shortens a delay by up to a quarter, so that what failed together is not tried again together.
/// `unit` is a random number in `0.0..1.0`.
pub fn jittered(delay: SignedDuration, unit: f64) -> SignedDuration {
    let unit = if unit.is_finite() { unit.clamp(0.0, 1.0) } else { 0.0 };
    delay.mul_f64(1.0 - unit / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_minute() {
        let seconds: Vec<i64> = (0..10).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn jitter_never_lengthens() {
        for unit in [-1.0, 0.0, 0.3, 0.999, 1.0, 7.0, f64::NAN] {
            let delay = jittered(BACKOFF_MAX, unit);
            assert!(delay <= BACKOFF_MAX && delay >= SignedDuration::from_secs(45), "{unit}: {delay}");
        }
    }
}
