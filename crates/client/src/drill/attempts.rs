//! Attempts of clients, summed up; pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// One attempt; times are since the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) begun: Duration,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// What a client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Answered,
    /// Nobody is there, and something says so.
    Refused,
    /// No answer in time.
    Silence,
    /// It broke off before the answer.
    Broken,
    /// The load balancer had nobody to ask (status 5xx).
    Unserved,
}

impl Outcome {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Silence => "no answer",
            Self::Broken => "broken off",
            Self::Unserved => "status 5xx",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) attempts: usize,
    /// By what was seen.
    pub(crate) failed: BTreeMap<Outcome, usize>,
    /// The longest time without service: from the beginning of the first attempt that failed to that of the next that did
    /// not; if none follows, to the end.
    pub(crate) outage: Duration,
    /// Of those that were answered.
    pub(crate) slowest: Duration,
}

impl Summary {
    pub(crate) fn of(mut attempts: Vec<Attempt>) -> Self {
        attempts.sort_by_key(|attempt| attempt.begun);
        let mut failed = BTreeMap::new();
        let (mut outage, mut slowest) = (Duration::ZERO, Duration::ZERO);
        let mut since = None;
        for attempt in &attempts {
            if attempt.outcome == Outcome::Answered {
                slowest = slowest.max(attempt.took);
                outage = outage.max(since.take().map_or(Duration::ZERO, |since| attempt.begun - since));
            } else {
                *failed.entry(attempt.outcome).or_default() += 1;
                since.get_or_insert(attempt.begun);
            }
        }
        if let (Some(since), Some(last)) = (since, attempts.last()) {
            outage = outage.max(last.begun + last.took - since);
        }
        Self { attempts: attempts.len(), failed, outage, slowest }
    }

    pub(crate) fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    /// Such as `2 refused, 1 no answer`.
    pub(crate) fn failed_text(&self) -> String {
        let parts = self.failed.iter().map(|(outcome, count)| format!("{count} {}", outcome.word()));
        parts.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Answered, Broken, Refused, Silence, Unserved};
    use super::*;

    #[test]
    fn the_longest_time_without_service() {
        let ms = Duration::from_millis;
        // When each began, how long it took, what was seen; failures, outage, slowest.
        for (attempts, failures, outage, slowest) in [
            (&[][..], "", 0, 0),
            (&[(0, 3, Answered), (20, 7, Answered)], "", 0, 7),
            // They come in as they end.
            (&[(40, 2, Answered), (0, 1, Answered), (20, 1000, Silence)], "1 no answer", 20, 2),
            (
                &[(0, 1, Answered), (20, 1, Refused), (40, 1, Broken), (60, 9, Answered), (80, 1, Unserved)],
                "1 refused, 1 broken off, 1 status 5xx",
                40,
                9,
            ),
            // One that is answered ends it, however soon another fails.
            (
                &[(0, 1, Refused), (20, 1, Answered), (40, 1, Refused), (60, 1, Refused), (80, 1, Answered)],
                "3 refused",
                40,
                1,
            ),
            (&[(0, 1, Answered), (20, 1000, Silence), (40, 1000, Silence)], "2 no answer", 1020, 1),
        ] {
            let attempt = |&(begun, took, outcome): &(u64, u64, Outcome)| Attempt {
                begun: ms(begun),
                took: ms(took),
                outcome,
            };
            let summary = Summary::of(attempts.iter().map(attempt).collect());
            assert_eq!(
                (summary.failed_text().as_str(), summary.outage, summary.slowest),
                (failures, ms(outage), ms(slowest)),
                "{attempts:?}"
            );
            let failed = attempts.iter().filter(|(.., outcome)| *outcome != Answered).count();
            assert_eq!((summary.attempts, summary.failures()), (attempts.len(), failed));
        }
    }
}
