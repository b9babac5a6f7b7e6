//! What was heard of amphorae, in memory: the latest of each, and what of it is worth writing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use octavia_model::{AmphoraId, ListenerId};
use octavia_plan::{News, Sequence, may_follow};
use octavia_store::{HeartbeatWrite, Report, Statistics, StatusWrites};
use octavia_wire::{Heartbeat, ListenerStats};

/// How long the rows may not be read again while an amphora says the same: they may have changed under it.
const REVIEW: SignedDuration = SignedDuration::from_secs(10);

/// The latest heartbeats, by amphora. Only signed ones get here, so the senders are ours.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    amphorae: BTreeMap<AmphoraId, Amphora>,
}

#[derive(Debug, Default)]
struct Amphora {
    sequence: Sequence,
    heard_at: Option<Timestamp>,
    /// When the last one was heard that the rows took for a sign of life: what is new here may be old there.
    counted_at: Option<Timestamp>,
    /// Heard and not yet written.
    latest: Option<Heartbeat>,
    written: Option<Written>,
}

#[derive(Debug)]
struct Written {
    beat: Heartbeat,
    at: Timestamp,
    /// When statuses were last derived.
    reviewed_at: Timestamp,
    /// It was a sign of life.
    alive: bool,
}

/// A heartbeat that has to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Due {
    pub(crate) beat: Heartbeat,
    pub(crate) heard_at: Timestamp,
    /// Statuses have to be derived; otherwise only life and statistics are new.
    pub(crate) review: bool,
}

impl Heard {
    /// Takes a heartbeat in; `false` if it is no news.
    pub(crate) fn note(&mut self, beat: Heartbeat, now: Timestamp) -> bool {
        let amphora = self.amphorae.entry(beat.id).or_default();
        if amphora.sequence.admit(beat.boot, beat.seq) == News::Old {
            return false;
        }
        amphora.heard_at = Some(now);
        amphora.latest = Some(beat);
        true
    }

    /// What is to be written now: at once if something changed, else at most every `interval`.
    pub(crate) fn due(&self, now: Timestamp, interval: SignedDuration) -> Vec<Due> {
        let due = |amphora: &Amphora| {
            let (beat, heard_at) = (amphora.latest.as_ref()?, amphora.heard_at?);
            let review = amphora.written.as_ref().is_none_or(|written| {
                now.duration_since(written.reviewed_at) >= REVIEW || !says_the_same(&written.beat, beat)
            });
            let later =
                amphora.written.as_ref().is_some_and(|written| now.duration_since(written.at) < interval);
            (review || !later).then(|| Due { beat: beat.clone(), heard_at, review })
        };
        self.amphorae.values().filter_map(due).collect()
    }

    /// Takes note of what was written, and whether as a sign of life.
    pub(crate) fn wrote(&mut self, due: Due, alive: bool, now: Timestamp) {
        let Some(amphora) = self.amphorae.get_mut(&due.beat.id) else { return };
        amphora.forget(&due.beat);
        if alive {
            amphora.counted_at = amphora.counted_at.max(Some(due.heard_at));
        }
        let reviewed_at = match &amphora.written {
            Some(written) if !due.review => written.reviewed_at,
            _ => now,
        };
        amphora.written = Some(Written { beat: due.beat, at: now, reviewed_at, alive });
    }

    /// There is no row of it: nothing of it is kept, however many such there are.
    pub(crate) fn forget(&mut self, amphora: AmphoraId) {
        self.amphorae.remove(&amphora);
    }

    /// Takes note that the rows took nothing of it.
    pub(crate) fn refused(&mut self, due: &Due) {
        if let Some(amphora) = self.amphorae.get_mut(&due.beat.id) {
            amphora.forget(&due.beat);
            amphora.written = None;
        }
    }

    /// The heartbeat as it is written, without statuses; of its statistics those that moved since they were last
    /// written, and all of them after another boot.
    pub(crate) fn write(&self, due: &Due) -> HeartbeatWrite {
        let beat = &due.beat;
        let written = self.amphorae.get(&beat.id).and_then(|amphora| amphora.written.as_ref());
        let before = written.map(|written| &written.beat).filter(|before| before.boot == beat.boot);
        let moved = |id: &ListenerId, stats: &ListenerStats| {
            before.and_then(|before| before.listeners.get(id)).is_none_or(|report| report.stats != *stats)
        };
        let statistics = beat.listeners.iter().map(|(id, report)| (*id, report.stats));
        HeartbeatWrite {
            amphora: beat.id,
            seq: beat.seq,
            received_at: due.heard_at,
            // As it was when it was looked at last; it says the same.
            alive: written.is_none_or(|written| written.alive),
            applied_generation: None,
            report: Report::Totals { boot: beat.boot },
            statistics: statistics
                .filter(|(id, stats)| moved(id, stats))
                .map(|(id, s)| (id, statistics_of(s)))
                .collect(),
            statuses: StatusWrites::default(),
        }
    }

    /// The next heartbeat's statuses are derived from the rows again, whatever it says.
    pub(crate) fn review(&mut self, amphora: AmphoraId) {
        if let Some(amphora) = self.amphorae.get_mut(&amphora) {
            amphora.written = None;
        }
    }

    /// Forgets who has not been heard since then.
    pub(crate) fn forget_silent(&mut self, since: Timestamp) {
        self.amphorae.retain(|_, amphora| amphora.heard_at.is_some_and(|at| at >= since));
    }

    /// Who was heard since then, for all the rows know.
    pub(crate) fn heard_since(&self, since: Timestamp) -> BTreeSet<AmphoraId> {
        let heard =
            self.amphorae.iter().filter(|(_, amphora)| amphora.counted_at.is_some_and(|at| at >= since));
        heard.map(|(id, _)| *id).collect()
    }

    /// Whether a sign of life is still to be written, where `last` was the last that counted.
    pub(crate) fn is_on_its_way(&self, amphora: AmphoraId, last: Option<u64>) -> bool {
        let latest = self.amphorae.get(&amphora).and_then(|amphora| amphora.latest.as_ref());
        latest.is_some_and(|beat| may_follow(last, beat.seq)) && !self.is_lifeless(amphora)
    }

    /// It beats, and what it says is no sign of life.
    pub(crate) fn is_lifeless(&self, amphora: AmphoraId) -> bool {
        let written = self.amphorae.get(&amphora).and_then(|amphora| amphora.written.as_ref());
        written.is_some_and(|written| !written.alive)
    }
}

impl Amphora {
    /// It is dealt with, unless a later one came meanwhile.
    fn forget(&mut self, beat: &Heartbeat) {
        if self.latest.as_ref().is_some_and(|latest| latest.seq == beat.seq) {
            self.latest = None;
        }
    }
}

fn statistics_of(stats: ListenerStats) -> Statistics {
    Statistics {
        bytes_in: stats.rx,
        bytes_out: stats.tx,
        active_connections: stats.conns,
        total_connections: stats.totconns,
        request_errors: stats.ereq,
    }
}

/// Whether two heartbeats mean the same statuses.
fn says_the_same(a: &Heartbeat, b: &Heartbeat) -> bool {
    let listeners =
        |beat: &Heartbeat| -> Vec<_> { beat.listeners.iter().map(|(id, r)| (*id, r.status)).collect() };
    (a.boot, a.generation) == (b.boot, b.generation)
        && a.faults == b.faults
        && a.pools == b.pools
        && listeners(a) == listeners(b)
}

#[cfg(test)]
mod tests {
    use octavia_model::SEQ_FOR_LIFE;
    use octavia_wire::{ListenerReport, ListenerWord};
    use uuid::Uuid;

    use super::*;

    const INTERVAL: SignedDuration = SignedDuration::from_secs(3);

    fn beat(seq: u64, status: ListenerWord, rx: u64) -> Heartbeat {
        let stats = ListenerStats { rx, ..Default::default() };
        Heartbeat {
            id: AmphoraId::nil(),
            seq,
            ver: 2,
            listeners: BTreeMap::from([(ListenerId::nil(), ListenerReport { status, stats })]),
            pools: BTreeMap::new(),
            boot: Some(Uuid::nil()),
            generation: Some(1),
            faults: vec![],
            partial: false,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millis).unwrap()
    }

    /// Writes what is due; `(beat's number, reviewed?)`.
    fn write(heard: &mut Heard, millis: i64) -> Option<(u64, bool)> {
        let due = heard.due(at(millis), INTERVAL).pop()?;
        let said = (due.beat.seq, due.review);
        heard.wrote(due, true, at(millis));
        Some(said)
    }

    #[test]
    fn changes_are_written_at_once_and_the_rest_now_and_then() {
        let mut heard = Heard::default();
        let open = ListenerWord::Open;
        assert!(heard.note(beat(1, open, 0), at(0)));
        assert_eq!(write(&mut heard, 100), Some((1, true)));
        assert_eq!(write(&mut heard, 200), None);
        // the same again, and a duplicate
        assert!(heard.note(beat(2, open, 5), at(1000)));
        assert!(!heard.note(beat(2, open, 5), at(1001)));
        assert_eq!(write(&mut heard, 1100), None);
        assert_eq!(write(&mut heard, 3100), Some((2, false)));
        // a change
        heard.note(beat(3, ListenerWord::Full, 5), at(3200));
        assert_eq!(write(&mut heard, 3300), Some((3, true)));
        // the same for long: the rows are read again
        heard.note(beat(4, ListenerWord::Full, 5), at(13_200));
        assert_eq!(write(&mut heard, 13_300), Some((4, true)));
        // asked to look again
        heard.review(AmphoraId::nil());
        heard.note(beat(5, ListenerWord::Full, 5), at(13_400));
        assert_eq!(write(&mut heard, 13_400), Some((5, true)));
    }

    #[test]
    fn a_beat_that_came_while_another_was_written_stays_due() {
        let mut heard = Heard::default();
        heard.note(beat(1, ListenerWord::Open, 0), at(0));
        let due = heard.due(at(0), INTERVAL).pop().unwrap();
        heard.note(beat(2, ListenerWord::Full, 0), at(1));
        heard.wrote(due, true, at(2));
        assert_eq!(write(&mut heard, 3), Some((2, true)));
    }

    #[test]
    fn only_statistics_that_moved() {
        let mut heard = Heard::default();
        let moved = |heard: &Heard, beat| {
            let due = Due { beat, heard_at: at(0), review: true };
            heard.write(&due).statistics.len()
        };
        let beat = |seq, rx| beat(seq, ListenerWord::Open, rx);
        assert_eq!(moved(&heard, beat(1, 0)), 1);
        heard.note(beat(1, 7), at(0));
        write(&mut heard, 0);
        assert_eq!(moved(&heard, beat(2, 7)), 0);
        assert_eq!(moved(&heard, beat(2, 8)), 1);
        assert_eq!(moved(&heard, Heartbeat { boot: Some(Uuid::max()), ..beat(2, 7) }), 1);
    }

    #[test]
    fn remembers_who_was_heard() {
        let mut heard = Heard::default();
        let (amphora, life) = (AmphoraId::nil(), SEQ_FOR_LIFE);
        heard.note(beat(life, ListenerWord::Open, 0), at(0));
        assert_eq!(heard.heard_since(at(0)).len(), 0, "nobody knows whether it counts");
        for (last, counts) in
            [(None, true), (Some(life - 1), true), (Some(life), false), (Some(life + 1), false)]
        {
            assert_eq!(heard.is_on_its_way(amphora, last), counts, "{last:?}");
        }
        write(&mut heard, 0);
        assert!(!heard.is_on_its_way(amphora, None));
        assert_eq!(heard.heard_since(at(0)).len(), 1);
        assert_eq!(heard.heard_since(at(1)).len(), 0);
        // Old news to the rows: no sign of life.
        heard.note(beat(life + 1, ListenerWord::Open, 0), at(5000));
        heard.refused(&heard.due(at(5000), INTERVAL).pop().unwrap());
        assert_eq!(heard.heard_since(at(1)).len(), 0);
        assert!(!heard.is_on_its_way(amphora, None));
        heard.forget_silent(at(5001));
        assert_eq!(heard.due(at(9000), INTERVAL), []);
    }
}
