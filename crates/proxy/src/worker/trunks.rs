//! The trunks of a thread: found by who wants a stream, driven by their events, ended when nobody wants them any more.

use std::collections::HashSet;
use std::sync::Arc;

use rustix::event::epoll::EventFlags;

use super::Worker;
use super::kit::Kit;
use super::mux::StreamPlace;
use super::session::Session;
use super::stream_end::{Fate, StreamEnd};
use super::trunk::{Asks, FRAMES, NEWCOMERS, Trunk, Turn, Word};
use super::upstream::{Destination, Idle, Place, Upstream, Upstreams, Way};
use crate::slab::{Key, Slab};
use crate::snapshot::Snapshot;

/// What there is of trunks besides the connections themselves.
#[derive(Default)]
pub(super) struct Trunks {
    /// By member serial.
    shared: Idle,
    /// Those that are for one session only, by its key.
    private: Idle,
    /// Connections being made on which there may be HTTP/2.
    attempts: Vec<Attempt>,
    /// Serials of members that chose something else the last time.
    others: HashSet<u64>,
    /// Trunks that get their turn at the end of this round of events.
    due: Vec<Key>,
    /// Sessions that may go on.
    woken: Vec<Key>,
}

/// A connection being made: others that would lead there wait for what becomes of it.
struct Attempt {
    key: Key,
    way: Arc<Way>,
    waiting: Vec<Key>,
}

/// What there is for who wants a stream.
pub(super) enum Joined {
    Stream(Upstream),
    /// It will be woken.
    Wait,
    /// Nothing: a connection has to be made.
    Nothing,
}

impl Upstreams {
    /// Gives a session a stream that leads there, if there is room for one; `private` = on connections of its own only.
    pub(super) fn join(
        &mut self,
        to: &Destination<'_>,
        session: Key,
        private: bool,
        asks: Asks,
        kit: &mut Kit,
        now: u64,
    ) -> Joined {
        let keys = if private {
            self.trunks.private.get(&session.to_bits())
        } else {
            self.trunks.shared.get(&to.member.state.serial)
        };
        let mut unsettled = None;
        for &key in keys.into_iter().flatten() {
            let Some(Place::Trunk(trunk)) = self.places.get_mut(key) else { continue };
            if trunk.is_open_to(to) {
                return Joined::Stream(trunk.lend(key, asks, kit.buffer(), now));
            }
            if trunk.may_open_to(to) {
                unsettled = Some(key);
            }
        }
        if let Some(key) = unsettled
            && let Some(Place::Trunk(trunk)) = self.places.get_mut(key)
        {
            trunk.await_room(session);
            return Joined::Wait;
        }
        Joined::Nothing
    }

    /// Whether the session shall wait for a connection that is being made and leads there. Not more wait for one than may
    /// share it.
    pub(super) fn await_attempt(&mut self, to: &Destination<'_>, session: Key) -> bool {
        let fits = |attempt: &&mut Attempt| attempt.waiting.len() < NEWCOMERS && attempt.way.is_to(to);
        let Some(attempt) = self.trunks.attempts.iter_mut().find(fits) else { return false };
        if !attempt.waiting.contains(&session) {
            attempt.waiting.push(session);
        }
        true
    }

    /// A connection is being made on which there may be HTTP/2, for more than one session.
    pub(super) fn attempt_begins(&mut self, upstream: &Upstream) {
        let Upstream { key, way, .. } = upstream;
        if !self.trunks.others.contains(&way.serial) {
            self.trunks.attempts.push(Attempt { key: *key, way: Arc::clone(way), waiting: vec![] });
        }
    }

    /// It is made, or will not be; who waits for it.
    fn attempt_ends(&mut self, key: Key) -> Vec<Key> {
        let place = self.trunks.attempts.iter().position(|attempt| attempt.key == key);
        place.map(|place| self.trunks.attempts.swap_remove(place).waiting).unwrap_or_default()
    }

    pub(super) fn attempt_fails(&mut self, key: Key) {
        let mut waiting = self.attempt_ends(key);
        self.trunks.woken.append(&mut waiting);
    }

    /// Keys are agreed on. Where HTTP/2 is to be spoken it is a trunk from now on, and what comes back is its first
    /// stream.
    pub(super) fn agreed(&mut self, upstream: Upstream, asks: Asks, kit: &mut Kit, now: u64) -> Upstream {
        let (key, serial) = (upstream.key, upstream.way.serial);
        let mut waiting = self.attempt_ends(key);
        if !upstream.speaks_http2() {
            self.trunks.others.insert(serial);
            self.trunks.woken.append(&mut waiting);
            return upstream;
        }
        self.trunks.others.remove(&serial);
        let trunk = Trunk::new(upstream, waiting, now);
        let first = trunk.lend(key, asks, kit.buffer(), now);
        let keys = match trunk.private() {
            None => self.trunks.shared.entry(serial).or_default(),
            Some(session) => self.trunks.private.entry(session.to_bits()).or_default(),
        };
        keys.push(key);
        self.places.fill(key, Place::Trunk(Box::new(trunk)));
        self.due(key);
        first
    }

    /// After a session was driven: what its stream has to send goes out. `true` = it may go on at once.
    pub(super) fn settle(&mut self, end: &mut StreamEnd, session: Key) -> bool {
        if end.fate() != Fate::Open {
            return false;
        }
        let Some(key) = end.leg().map(|leg| leg.trunk) else { return false };
        let Some(Place::Trunk(trunk)) = self.places.get_mut(key) else {
            end.fail(Fate::Left);
            return true;
        };
        let goes_on = trunk.settle(end, session);
        self.due(key);
        goes_on
    }

    /// A session wants nothing more of its stream; `stays` = others may want one.
    pub(super) fn release(&mut self, end: &mut StreamEnd, stays: bool, now: u64) {
        let Some(leg) = end.leg() else { return };
        let key = leg.trunk;
        if let Some(id) = leg.id
            && let Some(Place::Trunk(trunk)) = self.places.get_mut(key)
        {
            trunk.release(id, now);
            if !stays {
                trunk.retire();
            }
            self.due(key);
        }
    }

    /// A stream was silent for too long: so may be all of its connection.
    pub(super) fn suspect(&mut self, end: &mut StreamEnd, since: u64) {
        if let Some(key) = end.leg().map(|leg| leg.trunk)
            && let Some(Place::Trunk(trunk)) = self.places.get_mut(key)
        {
            trunk.suspect(since);
            self.due(key);
        }
    }

    /// The trunks that `stays` does not name get no new streams, and end with those they have.
    fn trunks_retire(&mut self, stays: impl Fn(&Trunk) -> bool) {
        let keys: Vec<Key> = self.trunks.all().collect();
        for key in keys {
            if let Some(Place::Trunk(trunk)) = self.places.get_mut(key)
                && !stays(trunk)
            {
                trunk.retire();
                self.due(key);
            }
        }
    }

    /// The configuration has changed.
    pub(super) fn trunks_configure(&mut self, snapshot: &Snapshot) {
        self.trunks.others.clear();
        self.trunks_retire(|trunk| trunk.is_of(snapshot));
    }

    /// No new streams are wanted on any.
    pub(super) fn trunks_drain(&mut self) {
        self.trunks_retire(|_| false);
    }

    /// Ends those on which nobody has had a stream since then.
    pub(super) fn trunks_sweep(&mut self, then: u64) {
        self.trunks_retire(|trunk| !trunk.is_idle_since(then));
    }

    /// Ends those that were for this session only.
    pub(super) fn trunks_part(&mut self, session: Key) {
        for key in self.trunks.private.get(&session.to_bits()).cloned().unwrap_or_default() {
            if let Some(Place::Trunk(trunk)) = self.places.get_mut(key) {
                trunk.retire();
                self.due(key);
            }
        }
    }

    pub(super) fn has_trunks(&self) -> bool {
        !self.trunks.shared.is_empty() || !self.trunks.private.is_empty()
    }

    /// Some trunk gets its turn, or some session.
    pub(super) fn is_due(&self) -> bool {
        !self.trunks.due.is_empty() || !self.trunks.woken.is_empty()
    }

    fn due(&mut self, key: Key) {
        if let Some(Place::Trunk(trunk)) = self.places.get_mut(key)
            && trunk.schedule()
        {
            self.trunks.due.push(key);
        }
    }

    /// Takes a trunk out, to put it back when its turn is over.
    fn lift(&mut self, key: Key) -> Option<Box<Trunk>> {
        let place = self.places.get_mut(key)?;
        match std::mem::replace(place, Place::Lifted) {
            Place::Trunk(trunk) => Some(trunk),
            other => {
                *place = other;
                None
            }
        }
    }

    /// Closes a trunk that was taken out.
    fn bury(&mut self, key: Key, mut trunk: Box<Trunk>, kit: &mut Kit) {
        let (keys, of) = match trunk.private() {
            None => (&mut self.trunks.shared, trunk.serial()),
            Some(session) => (&mut self.trunks.private, session.to_bits()),
        };
        if let Some(those) = keys.get_mut(&of) {
            those.retain(|&other| other != key);
            if those.is_empty() {
                keys.remove(&of);
            }
        }
        self.trunks.woken.append(&mut trunk.newcomers());
        trunk.close(kit);
        self.places.remove(key);
    }
}

impl Trunks {
    fn all(&self) -> impl Iterator<Item = Key> {
        self.shared.values().chain(self.private.values()).flatten().copied()
    }
}

impl Worker {
    /// Something has happened on a trunk.
    pub(super) fn trunk_event(&mut self, key: Key, flags: EventFlags) {
        if let Some(Place::Trunk(trunk)) = self.thread.upstreams.places.get_mut(key) {
            trunk.notice(flags);
        }
        self.trunk_turn(key);
    }

    /// Takes what a member says to the sessions it is for, and lets them go on.
    fn trunk_turn(&mut self, key: Key) {
        let Self { thread: t, sessions, .. } = self;
        let Some(mut trunk) = t.upstreams.lift(key) else { return };
        let (mut frames, mut fields) = (std::mem::take(&mut t.frames), std::mem::take(&mut t.fields));
        if frames.len() < FRAMES {
            frames = vec![0; FRAMES].into();
        }
        let mut woken = vec![];
        let mut deliver = |session: Key, id: u32, word: Word<'_>| {
            let there = stream_of(sessions, &mut t.streams, session, key, id);
            let Some(end) = there else { return false };
            word.to(end);
            if woken.last() != Some(&session) {
                woken.push(session);
            }
            true
        };
        let turn = trunk.read(&mut frames, &mut fields, &mut t.kit, t.now, &mut deliver);
        if turn == Turn::Over {
            trunk.end(&mut deliver);
        }
        (t.frames, t.fields) = (frames, fields);
        if turn == Turn::Over {
            t.upstreams.bury(key, trunk, &mut t.kit);
        } else {
            t.upstreams.places.fill(key, Place::Trunk(trunk));
            t.upstreams.due(key);
        }
        // Each once, however much there is for it.
        woken.sort_unstable();
        woken.dedup();
        woken.into_iter().for_each(|session| self.drive(session));
    }

    /// Sends what all streams have to send that had something to do in this round of events.
    pub(super) fn trunks_flush(&mut self) {
        for key in std::mem::take(&mut self.thread.upstreams.trunks.due) {
            let t = &mut self.thread;
            let Some(mut trunk) = t.upstreams.lift(key) else { continue };
            trunk.flush(&mut t.kit, &mut t.upstreams.trunks.woken);
            if trunk.is_done() {
                t.upstreams.bury(key, trunk, &mut t.kit);
                continue;
            }
            let has_more = trunk.has_more();
            t.upstreams.places.fill(key, Place::Trunk(trunk));
            if has_more {
                self.trunk_turn(key);
            }
        }
        self.thread.again.append(&mut self.thread.upstreams.trunks.woken);
    }
}

/// The end of a stream that a session has on a trunk; `None` = it wants nothing more of it.
fn stream_of<'a>(
    sessions: &'a mut Slab<Session>,
    streams: &mut Slab<StreamPlace>,
    session: Key,
    trunk: Key,
    id: u32,
) -> Option<&'a mut StreamEnd> {
    let session = match session.unmarked() {
        None => sessions.get_mut(session)?,
        Some(key) => {
            let &mut StreamPlace { connection, id } = streams.get_mut(key)?;
            sessions.get_mut(connection)?.mux.as_mut()?.session(id)?
        }
    };
    let end = session.member_stream()?;
    let leg = end.leg()?;
    (leg.trunk == trunk && leg.id == Some(id)).then_some(end)
}
