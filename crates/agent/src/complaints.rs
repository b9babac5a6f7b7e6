//! Complaints that others can bring about as often as they like: said once in a while, so that they fill no disk.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two that are said.
const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Complaints {
    said: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// Whether to say one now: `Some` = yes, and that so many were not said before it.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_and_the_others_are_counted() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let said = [0, 1, 9_999, 10_000, 10_001, 25_000, 40_000]
            .map(|millis| complaints.note(start + Duration::from_millis(millis)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }
}
