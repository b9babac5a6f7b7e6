//! What was heard of amphorae, in memory: the latest of each, and what of it is worth writing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use octavia_model::{AmphoraId, ListenerId};
use octavia_plan::{News, Sequence, may_follow};
use octavia_store::{HeartbeatWrite, Mark, Report, Statistics, StatusWrites};
use octavia_wire::{Heartbeat, ListenerStats, ListenerWord};

/// How long statuses are not derived again while neither amphora nor rows say anything new.
const REVIEW: SignedDuration = SignedDuration::from_mins(5);
/// For so many amphorae statistics are written at every interval; for more, in proportion less often.
const STATISTICS_OF: usize = 1000;
/// Statistics of so many amphorae are written together: they may have many rows, and lives do not wait for more.
const TOGETHER: usize = 100;

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
    latest: Option<Arc<Heartbeat>>,
    written: Option<Written>,
}

#[derive(Debug)]
struct Written {
    beat: Arc<Heartbeat>,
    at: Timestamp,
    /// It was a sign of life.
    alive: bool,
    /// When statuses were last derived, and from what.
    reviewed_at: Timestamp,
    mark: Mark,
    /// Statuses have to be derived from the next one, whatever it says.
    stale: bool,
    /// What it says differs from `latest`.
    outdated: bool,
    /// When one was heard that has to be reviewed.
    waits_since: Option<Timestamp>,
    /// The one whose statistics were written last, and when.
    counted: (Arc<Heartbeat>, Timestamp),
}

/// A heartbeat that has to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Due {
    pub(crate) beat: Arc<Heartbeat>,
    pub(crate) heard_at: Timestamp,
    pub(crate) statistics: bool,
}

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    Old,
    /// It says what was written last.
    Same,
    New,
}

/// How often what is no change is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) life: SignedDuration,
    /// For up to [`STATISTICS_OF`] amphorae.
    pub(crate) statistics: SignedDuration,
}

impl Heard {
    pub(crate) fn note(&mut self, beat: Heartbeat, now: Timestamp) -> Noted {
        let amphora = self.amphorae.entry(beat.id).or_default();
        if amphora.sequence.admit(beat.boot, beat.seq) == News::Old {
            return Noted::Old;
        }
        amphora.heard_at = Some(now);
        amphora.latest = Some(Arc::new(beat));
        amphora.compare();
        if !amphora.needs_review() {
            return Noted::Same;
        }
        if let Some(written) = &mut amphora.written {
            written.waits_since.get_or_insert(now);
        }
        Noted::New
    }

    /// Those from which statuses have to be derived: they say something new, or the rows may.
    pub(crate) fn reviews(&self) -> Vec<Due> {
        let due = |amphora: &Amphora| {
            let beat = amphora.latest.as_ref().filter(|_| amphora.needs_review())?;
            Some(Due { beat: Arc::clone(beat), heard_at: amphora.heard_at?, statistics: true })
        };
        self.amphorae.values().filter_map(due).collect()
    }

    /// Those that say nothing new, and whose life or statistics were not written for long: at most [`TOGETHER`] with
    /// statistics, those of longest ago, after all others. Also those whose review has been waited for so long: they live,
    /// whatever they say.
    pub(crate) fn acknowledgements(&self, now: Timestamp, pace: Pace) -> Vec<Due> {
        let times = self.amphorae.len().div_ceil(STATISTICS_OF).max(1);
        let interval = pace.statistics * i32::try_from(times).unwrap_or(i32::MAX);
        let (mut lives, mut counts) = (vec![], vec![]);
        for amphora in self.amphorae.values() {
            let (Some(beat), Some(heard_at), Some(written)) =
                (&amphora.latest, amphora.heard_at, &amphora.written)
            else {
                continue;
            };
            let lives_unwritten = now.duration_since(written.at) >= pace.life;
            let waits = || written.waits_since.is_some_and(|at| now.duration_since(at) >= pace.life);
            let reviewed = !amphora.needs_review();
            let due = Due { beat: Arc::clone(beat), heard_at, statistics: false };
            if reviewed && now.duration_since(written.counted.1) >= interval {
                counts.push((written.counted.1, lives_unwritten, due));
            } else if lives_unwritten && (reviewed || waits()) {
                lives.push(due);
            }
        }
        counts.sort_by_key(|(at, ..)| *at);
        let later = counts.split_off(counts.len().min(TOGETHER));
        lives.extend(later.into_iter().filter(|(_, unwritten, _)| *unwritten).map(|(.., due)| due));
        lives.extend(counts.into_iter().map(|(.., due)| Due { statistics: true, ..due }));
        lives
    }

    /// Takes note of what was reviewed, whether it was a sign of life, and what the rows were like before.
    pub(crate) fn reviewed(&mut self, due: Due, alive: bool, mark: Mark, now: Timestamp) {
        let Some(amphora) = self.amphorae.get_mut(&due.beat.id) else { return };
        amphora.forget(&due.beat);
        amphora.counts(alive, due.heard_at);
        amphora.written = Some(Written {
            at: now,
            alive,
            reviewed_at: now,
            mark,
            stale: false,
            outdated: false,
            waits_since: None,
            counted: (Arc::clone(&due.beat), now),
            beat: due.beat,
        });
        amphora.compare();
    }

    /// Takes note of what was acknowledged, and what the rows were like before; `true` if statuses have to be derived
    /// from the next one.
    pub(crate) fn acknowledged(&mut self, due: Due, mark: Mark, now: Timestamp) -> bool {
        let Some(amphora) = self.amphorae.get_mut(&due.beat.id) else { return false };
        amphora.forget(&due.beat);
        let Some(written) = &mut amphora.written else { return false };
        written.at = now;
        if due.statistics {
            written.counted = (Arc::clone(&due.beat), now);
        }
        written.beat = due.beat;
        written.stale |=
            written.outdated || written.mark != mark || now.duration_since(written.reviewed_at) >= REVIEW;
        let (alive, stale) = (written.alive, written.stale);
        amphora.counts(alive, due.heard_at);
        stale
    }

    /// Takes note that the rows know a newer one, as they do where several health managers hear an amphora in turn: this is no
    /// sign of life, and nothing to hurry for. The rest as [`Heard::acknowledged`].
    pub(crate) fn late(&mut self, due: &Due, mark: Mark, now: Timestamp) -> bool {
        let Some(amphora) = self.amphorae.get_mut(&due.beat.id) else { return false };
        amphora.forget(&due.beat);
        let Some(written) = &mut amphora.written else { return false };
        written.at = now;
        written.stale |= written.outdated || written.mark != mark;
        written.stale
    }

    /// There is no row of it: nothing of it is kept, however many such there are.
    pub(crate) fn forget(&mut self, amphora: AmphoraId) {
        self.amphorae.remove(&amphora);
    }

    /// Takes note that the rows took nothing of it.
    pub(crate) fn refused(&mut self, due: &Due) {
        let Some(amphora) = self.amphorae.get_mut(&due.beat.id) else { return };
        amphora.forget(&due.beat);
        // Unless a later one was written meanwhile: then it was late for that.
        if amphora.written.as_ref().is_some_and(|written| written.beat.seq <= due.beat.seq) {
            amphora.written = None;
        }
    }

    /// The heartbeat as it is written, without statuses; of its statistics those that moved since they were last
    /// written, and all of them after another boot.
    pub(crate) fn write(&self, due: &Due) -> HeartbeatWrite {
        let beat = &due.beat;
        let written = self.amphorae.get(&beat.id).and_then(|amphora| amphora.written.as_ref());
        let counted = written.map(|written| &written.counted.0).filter(|counted| counted.boot == beat.boot);
        let moved = |id: &ListenerId, stats: &ListenerStats| {
            counted.and_then(|counted| counted.listeners.get(id)).is_none_or(|report| report.stats != *stats)
        };
        let statistics = beat.listeners.iter().filter(|_| due.statistics);
        HeartbeatWrite {
            amphora: beat.id,
            seq: beat.seq,
            received_at: due.heard_at,
            // As it was when it was looked at last; it says the same.
            alive: written.is_none_or(|written| written.alive),
            applied_generation: None,
            report: Report::Totals { boot: beat.boot },
            statistics: statistics
                .filter(|(id, report)| moved(id, &report.stats))
                .map(|(id, report)| (*id, statistics_of(report.stats)))
                .collect(),
            statuses: StatusWrites::default(),
            vrrp: beat.vrrp,
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

    fn needs_review(&self) -> bool {
        self.written.as_ref().is_none_or(|written| written.stale || written.outdated)
    }

    /// Once for each beat, and not as often as is asked for those that are due.
    fn compare(&mut self) {
        if let (Some(written), Some(latest)) = (&mut self.written, &self.latest) {
            written.outdated = !says_the_same(&written.beat, latest);
        }
    }

    fn counts(&mut self, alive: bool, heard_at: Timestamp) {
        if alive {
            self.counted_at = self.counted_at.max(Some(heard_at));
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
    (a.boot, a.generation, a.vrrp) == (b.boot, b.generation, b.vrrp)
        && a.faults == b.faults
        && a.pools == b.pools
        && words(a).eq(words(b))
}

fn words(beat: &Heartbeat) -> impl Iterator<Item = (ListenerId, ListenerWord)> {
    beat.listeners.iter().map(|(id, report)| (*id, report.status))
}

#[cfg(test)]
mod tests {
    use newtype_uuid::GenericUuid as _;
    use octavia_model::SEQ_FOR_LIFE;
    use octavia_wire::ListenerReport;
    use uuid::Uuid;

    use super::*;

    const PACE: Pace = Pace { life: SignedDuration::from_secs(2), statistics: SignedDuration::from_secs(3) };
    const MARK: Mark = Mark(1);

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
            vrrp: None,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millis).unwrap()
    }

    #[derive(Debug, PartialEq)]
    enum Wrote {
        Nothing,
        Reviewed(u64),
        /// With statistics?
        Acknowledged(u64, bool),
    }

    /// Writes what is due of the only amphora, whose rows are like this.
    fn write(heard: &mut Heard, mark: Mark, millis: i64) -> Wrote {
        if let Some(due) = heard.reviews().pop() {
            let seq = due.beat.seq;
            heard.reviewed(due, true, mark, at(millis));
            Wrote::Reviewed(seq)
        } else if let Some(due) = heard.acknowledgements(at(millis), PACE).pop() {
            let wrote = Wrote::Acknowledged(due.beat.seq, due.statistics);
            heard.acknowledged(due, mark, at(millis));
            wrote
        } else {
            Wrote::Nothing
        }
    }

    #[test]
    fn changes_are_written_at_once_and_the_rest_now_and_then() {
        use Wrote::{Acknowledged, Nothing, Reviewed};
        let (open, full, other) = (ListenerWord::Open, ListenerWord::Full, Mark(2));
        let mut heard = Heard::default();
        // When, number and word of the beat (0 = none is heard), what the rows are like, what is written.
        for (millis, seq, word, mark, wanted) in [
            (0, 1, open, MARK, Reviewed(1)),
            (100, 0, open, MARK, Nothing),
            // The same again.
            (1000, 2, open, MARK, Nothing),
            (2000, 0, open, MARK, Acknowledged(2, false)),
            (2900, 3, open, MARK, Nothing),
            (3000, 0, open, MARK, Acknowledged(3, true)),
            (4000, 4, open, MARK, Nothing),
            (5000, 5, open, MARK, Acknowledged(5, false)),
            // A change, which has its statistics.
            (5200, 6, full, MARK, Reviewed(6)),
            (7200, 7, full, MARK, Acknowledged(7, false)),
            (8200, 8, full, MARK, Acknowledged(8, true)),
            // Others have changed the rows.
            (10_200, 9, full, other, Acknowledged(9, false)),
            (10_300, 10, full, other, Reviewed(10)),
            (12_300, 11, full, other, Acknowledged(11, false)),
            // The same for long.
            (310_299, 12, full, other, Acknowledged(12, true)),
            (312_300, 13, full, other, Acknowledged(13, false)),
            (312_400, 14, full, other, Reviewed(14)),
        ] {
            if seq > 0 {
                assert_ne!(heard.note(beat(seq, word, 0), at(millis)), Noted::Old);
                assert_eq!(heard.note(beat(seq, word, 0), at(millis)), Noted::Old, "twice");
            }
            assert_eq!(write(&mut heard, mark, millis), wanted, "at {millis}");
        }
        // Asked to look again.
        heard.review(AmphoraId::nil());
        heard.note(beat(15, full, 5), at(312_500));
        assert_eq!(write(&mut heard, other, 312_500), Reviewed(15));
    }

    #[test]
    fn a_review_that_has_to_wait_keeps_nobody_from_living() {
        let mut heard = Heard::default();
        heard.note(beat(1, ListenerWord::Open, 0), at(0));
        write(&mut heard, MARK, 0);
        heard.note(beat(2, ListenerWord::Full, 0), at(1000));
        assert_eq!(heard.acknowledgements(at(2999), PACE), []);
        let due = heard.acknowledgements(at(3000), PACE).pop().unwrap();
        assert!(heard.acknowledged(due, MARK, at(3000)));
        assert_eq!(heard.reviews(), [], "that one is written");
        assert_eq!(heard.note(beat(3, ListenerWord::Full, 0), at(3100)), Noted::New);
        assert_eq!(write(&mut heard, MARK, 3100), Wrote::Reviewed(3));
        // After a silence it is reviewed first.
        heard.note(beat(4, ListenerWord::Open, 0), at(99_000));
        assert_eq!(heard.acknowledgements(at(99_000), PACE), []);
    }

    #[test]
    fn statistics_of_many_are_written_less_often() {
        for (amphorae, seconds) in [(1, 3), (1000, 3), (1001, 6), (20_000, 60)] {
            let mut heard = Heard::default();
            // Of the second all that is new is its number.
            for seq in [1, 2] {
                for number in 0..amphorae {
                    let id = AmphoraId::from_untyped_uuid(Uuid::from_u128(number as u128));
                    heard.note(Heartbeat { id, ..beat(seq, ListenerWord::Open, seq) }, at(0));
                }
                let reviews = heard.reviews();
                reviews.into_iter().for_each(|due| heard.reviewed(due, true, MARK, at(0)));
            }
            let with_statistics = |heard: &Heard, millis| {
                let due = heard.acknowledgements(at(millis), PACE);
                assert_eq!(due.len(), amphorae, "all live");
                assert!(due.iter().rev().skip_while(|due| due.statistics).all(|due| !due.statistics));
                due.iter().filter(|due| due.statistics).count()
            };
            assert_eq!(with_statistics(&heard, 2000), 0, "{amphorae}");
            assert_eq!(with_statistics(&heard, seconds * 1000 - 1), 0, "{amphorae}");
            assert_eq!(with_statistics(&heard, seconds * 1000), amphorae.min(TOGETHER));
            // The others come then, whether or not they live.
            let now = at(seconds * 1000);
            heard
                .acknowledgements(now, PACE)
                .into_iter()
                .for_each(|due| _ = heard.acknowledged(due, MARK, now));
            for number in 0..amphorae {
                let id = AmphoraId::from_untyped_uuid(Uuid::from_u128(number as u128));
                heard.note(Heartbeat { id, ..beat(3, ListenerWord::Open, 3) }, now);
            }
            let next = heard.acknowledgements(now, PACE);
            assert_eq!(next.len(), (amphorae - amphorae.min(TOGETHER)).min(TOGETHER));
            assert!(next.iter().all(|due| due.statistics));
        }
    }

    #[test]
    fn a_beat_that_came_while_another_was_written_stays_due() {
        let mut heard = Heard::default();
        heard.note(beat(1, ListenerWord::Open, 0), at(0));
        let due = heard.reviews().pop().unwrap();
        heard.note(beat(2, ListenerWord::Full, 0), at(1));
        heard.reviewed(due, true, MARK, at(2));
        assert_eq!(write(&mut heard, MARK, 2), Wrote::Reviewed(2));
    }

    #[test]
    fn late_for_one_that_was_written_meanwhile() {
        let mut heard = Heard::default();
        heard.note(beat(1, ListenerWord::Open, 0), at(0));
        write(&mut heard, MARK, 0);
        heard.note(beat(2, ListenerWord::Open, 0), at(2000));
        let late = heard.acknowledgements(at(2000), PACE).pop().unwrap();
        heard.note(beat(3, ListenerWord::Full, 0), at(2001));
        assert_eq!(write(&mut heard, MARK, 2001), Wrote::Reviewed(3));
        heard.refused(&late);
        heard.note(beat(4, ListenerWord::Full, 0), at(2002));
        assert_eq!(write(&mut heard, MARK, 2002), Wrote::Nothing);
    }

    #[test]
    fn what_another_has_written_is_no_sign_of_life() {
        let mut heard = Heard::default();
        heard.note(beat(1, ListenerWord::Open, 0), at(0));
        write(&mut heard, MARK, 0);
        for (millis, mark, stale) in [(2000_i64, MARK, false), (4000, Mark(2), true)] {
            heard.note(beat(millis.unsigned_abs(), ListenerWord::Open, 0), at(millis));
            let due = heard.acknowledgements(at(millis), PACE).pop().unwrap();
            assert_eq!(heard.late(&due, mark, at(millis)), stale);
            assert_eq!(heard.heard_since(at(1)).len(), 0);
            assert_eq!((heard.reviews(), heard.acknowledgements(at(millis), PACE)), (vec![], vec![]));
        }
        heard.note(beat(5000, ListenerWord::Open, 0), at(5000));
        assert_eq!(write(&mut heard, MARK, 5000), Wrote::Reviewed(5000));
    }

    #[test]
    fn only_statistics_that_moved() {
        let mut heard = Heard::default();
        let moved = |heard: &Heard, beat, statistics| {
            let due = Due { beat: Arc::new(beat), heard_at: at(0), statistics };
            heard.write(&due).statistics.len()
        };
        let beat = |seq, rx| beat(seq, ListenerWord::Open, rx);
        assert_eq!(moved(&heard, beat(1, 0), true), 1);
        heard.note(beat(1, 7), at(0));
        write(&mut heard, MARK, 0);
        assert_eq!(moved(&heard, beat(2, 7), true), 0);
        assert_eq!(moved(&heard, beat(2, 8), true), 1);
        assert_eq!(moved(&heard, beat(2, 8), false), 0);
        assert_eq!(moved(&heard, Heartbeat { boot: Some(Uuid::max()), ..beat(2, 7) }, true), 1);
        // What moved is still to be written after an acknowledgement without.
        heard.note(beat(3, 9), at(2000));
        assert_eq!(write(&mut heard, MARK, 2000), Wrote::Acknowledged(3, false));
        assert_eq!(moved(&heard, beat(4, 9), true), 1);
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
        write(&mut heard, MARK, 0);
        assert!(!heard.is_on_its_way(amphora, None));
        assert_eq!(heard.heard_since(at(0)).len(), 1);
        assert_eq!(heard.heard_since(at(1)).len(), 0);
        // Old news to the rows: no sign of life.
        heard.note(beat(life + 1, ListenerWord::Open, 0), at(5000));
        let due = heard.acknowledgements(at(5000), PACE).pop().unwrap();
        heard.refused(&due);
        assert_eq!(heard.heard_since(at(1)).len(), 0);
        assert!(!heard.is_on_its_way(amphora, None));
        heard.forget_silent(at(5001));
        assert_eq!(heard.reviews(), []);
        assert_eq!(heard.acknowledgements(at(9000), PACE), []);
    }
}
