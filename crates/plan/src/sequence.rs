//! Which heartbeats are news.

use octavia_model::SEQ_FOR_LIFE;
use uuid::Uuid;

/// The place in an amphora's stream of heartbeats.
///
/// Datagrams come twice, late, or from a replay. A higher number than the last is news. A lower one is not, unless
/// the agent is one that counts from the start again when it is restarted, and a second one of the same boot continues
/// it. Such an agent has no protection against two replayed beats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequence {
    last: Option<u64>,
    suspect: Option<(Option<Uuid>, u64)>,
}

/// What a heartbeat is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Fresh,
    /// A duplicate, a late one, a replay: changes nothing.
    Old,
}

impl Sequence {
    /// Judges a heartbeat by its number and its proxy's boot, and remembers it.
    pub fn admit(&mut self, boot: Option<Uuid>, seq: u64) -> News {
        let counts_on = self.last.is_none_or(|last| seq > last);
        let restarted = self.suspect.is_some_and(|(known, first)| known == boot && seq > first);
        if counts_on || (restarted && may_follow(self.last, seq)) {
            *self = Self { last: Some(seq), suspect: None };
            return News::Fresh;
        }
        if self.last != Some(seq) {
            self.suspect = Some((boot, seq));
        }
        News::Old
    }
}

/// Whether a beat of this number may ever be news after that of the last one that counted.
pub fn may_follow(last: Option<u64>, seq: u64) -> bool {
    last.is_none_or(|last| last < SEQ_FOR_LIFE || seq > last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = SEQ_FOR_LIFE;

    #[test]
    fn only_news_is_fresh() {
        let (a, b) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        // (boot, number, fresh?), one stream after another
        for stream in [
            &[(a, 1, true), (a, 2, true), (a, 4, true)][..],
            &[(a, 5, true), (a, 5, false), (a, 5, false), (a, 6, true)],
            &[(a, 5, true), (a, 4, false), (a, 6, true), (a, 5, false), (a, 7, true)],
            // the agent was restarted: the second beat shows it
            &[(a, 9, true), (a, 1, false), (a, 2, true), (a, 3, true)],
            // the proxy was restarted, the agent counts on
            &[(a, 9, true), (b, 10, true)],
            // both were
            &[(a, 9, true), (b, 1, false), (b, 2, true)],
            // one replayed beat, again and again
            &[(a, 9, true), (a, 3, false), (a, 3, false), (b, 3, false), (a, 10, true)],
            &[(None, 1, true), (None, 1, false), (None, 2, true)],
            // numbers for life: the agent was restarted, and both were
            &[(a, LIFE, true), (a, LIFE + 1, true), (a, LIFE + 1000, true), (b, LIFE + 2000, true)],
            // two replayed beats, again and again, of this boot and of another
            &[
                (a, LIFE + 9, true),
                (a, LIFE, false),
                (a, LIFE + 1, false),
                (a, LIFE, false),
                (a, LIFE + 1, false),
            ],
            &[
                (a, LIFE + 9, true),
                (b, LIFE, false),
                (b, LIFE + 1, false),
                (a, LIFE + 9, false),
                (a, LIFE + 10, true),
            ],
            // another agent's program came, and what the one before had sent is replayed
            &[(a, 7, true), (a, LIFE, true), (a, 8, false), (a, 9, false), (a, LIFE + 1, true)],
        ] {
            let mut sequence = Sequence::default();
            for (at, (boot, seq, fresh)) in stream.iter().enumerate() {
                assert_eq!(sequence.admit(*boot, *seq) == News::Fresh, *fresh, "{stream:?} at {at}");
            }
        }
    }
}
