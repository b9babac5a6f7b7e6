//! When to start a proxy again: at once, and ever more slowly if it keeps dying young. Pure.

use std::time::Duration;

/// Older than this, a proxy has not died young.
const YOUNG: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Respawn {
    young_deaths: u32,
}

impl Respawn {
    /// How long to wait after a proxy ended that lived so long.
    pub(crate) fn pause_after(&mut self, lived: Duration) -> Duration {
        if lived >= YOUNG {
            self.young_deaths = 0;
        }
        let pause = match self.young_deaths {
            0 => Duration::ZERO,
            n => (FIRST_PAUSE * 2u32.saturating_pow((n - 1).min(16))).min(LONGEST_PAUSE),
        };
        self.young_deaths = self.young_deaths.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_forgotten() {
        let mut respawn = Respawn::default();
        let pauses = [0, 0, 0, 0, 0, 0, 0, 0, 0, 20_000, 0, 0, 9_999, 10_000]
            .map(|lived| respawn.pause_after(Duration::from_millis(lived)).as_millis());
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 0, 100, 200, 400, 0]);
    }
}
