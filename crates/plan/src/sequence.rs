//! Which heartbeats are news.

use uuid::Uuid;

/// The place in an amphora's stream of heartbeats.
///
/// Datagrams come twice, late, or from a replay. A higher number than the last is news. A lower one is not, unless
/// a second one of the same boot continues it: then the agent was restarted and counts from the start again.
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
        if counts_on || restarted {
            *self = Self { last: Some(seq), suspect: None };
            return News::Fresh;
        }
        if self.last != Some(seq) {
            self.suspect = Some((boot, seq));
        }
        News::Old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let mut sequence = Sequence::default();
            for (at, (boot, seq, fresh)) in stream.iter().enumerate() {
                assert_eq!(sequence.admit(*boot, *seq) == News::Fresh, *fresh, "{stream:?} at {at}");
            }
        }
    }
}
