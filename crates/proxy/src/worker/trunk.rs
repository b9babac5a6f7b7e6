//! A connection to a member on which HTTP/2 is spoken: it carries streams of any sessions of its thread. Each session has
//! a [`StreamEnd`] of its own; here frames become what is in them, and the other way round.

use std::collections::VecDeque;

use rustix::event::epoll::EventFlags;

use super::kit::Kit;
use super::outbox::{BACKLOG, FULL, Flushed, Outbox};
use super::sock::Io;
use super::stream_end::{Fate, StreamEnd};
use super::upstream::{Destination, Upstream};
use crate::http2::{Answer, ById, Fields, MAX_FRAME, MEMBER_STREAMS, Outbound, Reply, Trailers};
use crate::slab::Key;
use crate::snapshot::Snapshot;

/// Bytes read at once.
const READ: usize = 32 * 1024;
/// Room for that, after the beginning of a frame.
pub(super) const FRAMES: usize = READ + MAX_FRAME + 16;
/// Sessions that wait for one connection, at most, besides the one that makes it.
pub(super) const NEWCOMERS: usize = MEMBER_STREAMS - 1;
/// Reads before others get their turn.
const READS: usize = 16;

/// What a request is, as far as its stream has to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asks {
    /// It is HEAD.
    pub(super) to_head: bool,
    /// What comes after the content is wanted.
    pub(super) trailers: bool,
}

/// Something for one stream.
#[derive(Debug)]
pub(super) enum Word<'a> {
    Head(Answer<'a>, bool),
    Content(&'a [u8], bool),
    Trailers(Trailers<'a>),
    Fate(Fate),
}

impl Word<'_> {
    pub(super) fn to(self, end: &mut StreamEnd) {
        match self {
            Self::Head(answer, last) => end.head(&answer, last),
            Self::Content(content, last) => end.push(content, last),
            Self::Trailers(trailers) => end.end(Some(&trailers)),
            Self::Fate(fate) => end.fail(fate),
        }
    }
}

/// How far reading got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Wait,
    /// There may be more.
    Again,
    /// The connection is over.
    Over,
}

pub(super) struct Trunk {
    /// The connection as it was made.
    root: Upstream,
    core: Outbound,
    outbox: Outbox,
    /// The sessions that have a stream on it.
    lanes: ById<Key>,
    /// The beginning of a frame.
    held: Vec<u8>,
    /// Streams that have something to send and no room for it, the longest waiting first.
    waiting: VecDeque<u32>,
    /// Some of them wait because of the backlog.
    choked: bool,
    /// Sessions that want a stream, once it is known how many there may be.
    newcomers: Vec<Key>,
    /// It gets its turn at the end of this round of events.
    scheduled: bool,
    /// There may be more to read.
    unread: bool,
    /// Nothing can be sent any more.
    broken: bool,
    /// A stream of it was through before.
    used: bool,
    /// When the member said something the last time, in milliseconds.
    heard: u64,
    /// Since when no session has a stream on it, in milliseconds.
    since: u64,
}

impl Trunk {
    pub(super) fn new(root: Upstream, newcomers: Vec<Key>, now: u64) -> Self {
        Self {
            root,
            core: Outbound::new(),
            outbox: Outbox::default(),
            lanes: ById::default(),
            held: vec![],
            waiting: VecDeque::new(),
            choked: false,
            newcomers,
            scheduled: false,
            // The member's first words may have come with the last of the handshake.
            unread: true,
            broken: false,
            used: false,
            heard: now,
            since: now,
        }
    }

    /// A stream may be begun that leads there.
    pub(super) fn is_open_to(&self, to: &Destination<'_>) -> bool {
        self.core.has_room() && self.root.way.is_to(to)
    }

    /// It may be, once the member has said how many.
    pub(super) fn may_open_to(&self, to: &Destination<'_>) -> bool {
        let may_be = !self.core.is_settled() && !self.core.is_leaving();
        may_be && self.newcomers.len() < NEWCOMERS && self.root.way.is_to(to)
    }

    pub(super) fn is_of(&self, snapshot: &Snapshot) -> bool {
        self.root.way.is_of(snapshot)
    }

    pub(super) fn serial(&self) -> u64 {
        self.root.way.serial
    }

    pub(super) fn private(&self) -> Option<Key> {
        self.root.private
    }

    pub(super) fn notice(&mut self, flags: EventFlags) {
        self.root.side.notice(flags);
    }

    /// It wants to be read without an event.
    pub(super) fn has_more(&self) -> bool {
        self.broken || self.unread && self.backlog() <= FULL
    }

    /// A stream for a session; `key` is the trunk's.
    pub(super) fn lend(&self, key: Key, asks: Asks, buffer: Vec<u8>, now: u64) -> Upstream {
        let end = StreamEnd::of_member(key, asks.to_head, asks.trailers, buffer);
        self.root.branch(end, self.used, now)
    }

    /// A session waits for it to be settled.
    pub(super) fn await_room(&mut self, session: Key) {
        if !self.newcomers.contains(&session) {
            self.newcomers.push(session);
        }
    }

    pub(super) fn newcomers(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.newcomers)
    }

    /// Begins the stream if it is not, takes what it has to send, and tells the member what was read of it. `true` = it
    /// may go on at once.
    pub(super) fn settle(&mut self, end: &mut StreamEnd, session: Key) -> bool {
        let Some(leg) = end.leg() else { return false };
        let (id, to_head) = (leg.id, leg.to_head);
        let Some(id) = id.or_else(|| self.begin(end, to_head, session)) else {
            return end.fate() != Fate::Open;
        };
        self.core.consumed(id, end.take_read());
        let room = BACKLOG.saturating_sub(self.backlog());
        let (content, last) = end.outgoing.content();
        if !end.outgoing.is_over() && (!content.is_empty() || last) {
            let content = &content[..content.len().min(room)];
            let last = last && content.len() == end.outgoing.waiting();
            let sent = self.core.send_content(id, content, last);
            let ended = last && sent == content.len();
            end.outgoing.sent(sent, ended);
        }
        if let Some(block) = end.outgoing.take_trailers() {
            self.core.send_trailers(id, &block);
        }
        let waits = !end.outgoing.is_empty();
        let blocked = end.take_blocked();
        let room = self.core.room(id);
        end.allow(room.min(BACKLOG.saturating_sub(self.backlog())));
        if !waits {
            return blocked;
        }
        self.choked |= room > 0;
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
        false
    }

    fn begin(&mut self, end: &mut StreamEnd, to_head: bool, session: Key) -> Option<u32> {
        let (block, last) = end.outgoing.take_blocks().pop()?;
        let Some(id) = self.core.open(&block, last, to_head) else {
            end.fail(Fate::Left);
            return None;
        };
        end.leg()?.id = Some(id);
        self.lanes.insert(id, session);
        Some(id)
    }

    /// The session wants nothing more of its stream.
    pub(super) fn release(&mut self, id: u32, now: u64) {
        self.core.release(id);
        self.lanes.remove(id);
        self.waiting.retain(|&waiting| waiting != id);
        self.used = true;
        self.since = now;
    }

    /// Gets no new streams; it ends with the last that is open.
    pub(super) fn retire(&mut self) {
        self.core.go_away();
    }

    /// The same, if the member has said nothing since.
    pub(super) fn suspect(&mut self, since: u64) {
        if self.heard <= since {
            self.retire();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.newcomers.is_empty()
    }

    /// No session has had a stream on it since then.
    pub(super) fn is_idle_since(&self, then: u64) -> bool {
        self.is_idle() && self.since <= then
    }

    /// Nothing more is to come of it.
    pub(super) fn is_done(&self) -> bool {
        self.is_idle() && self.core.is_leaving()
    }

    /// `true` = it was not yet.
    pub(super) fn schedule(&mut self) -> bool {
        !std::mem::replace(&mut self.scheduled, true)
    }

    fn backlog(&self) -> usize {
        self.outbox.backlog(self.core.output_len())
    }

    /// Sends what there is to send, and puts the sessions that may go on then into `woken`.
    pub(super) fn flush(&mut self, kit: &mut Kit, woken: &mut Vec<Key>) {
        self.scheduled = false;
        match self.outbox.flush(self.core.output(), &mut self.root.side, &mut kit.wire) {
            Flushed::All => self.root.side.wait_read(&kit.epoll),
            Flushed::Blocked => self.root.side.wait_write(&kit.epoll),
            Flushed::Gone => self.broken = true,
        }
        let widened = self.core.take_widened();
        if widened || self.choked && self.backlog() < BACKLOG {
            self.choked = false;
            woken.extend(self.waiting.drain(..).filter_map(|id| self.lanes.get(id)));
        }
        if self.core.is_settled() || self.core.is_leaving() {
            woken.append(&mut self.newcomers);
        }
    }

    /// Reads what the member says; `deliver` takes what is for a session's stream, and answers whether anybody is there.
    pub(super) fn read(
        &mut self,
        frames: &mut [u8],
        fields: &mut Fields,
        kit: &mut Kit,
        now: u64,
        deliver: &mut impl FnMut(Key, u32, Word<'_>) -> bool,
    ) -> Turn {
        self.unread = false;
        for _ in 0..READS {
            if self.backlog() > FULL && !self.broken {
                // Whoever does not take the answers may wait for more of them.
                self.unread = true;
                return Turn::Wait;
            }
            let held = self.held.len();
            frames[..held].copy_from_slice(&self.held);
            let length = match self.root.side.recv(&mut frames[held..held + READ], &mut kit.wire) {
                Io::Bytes(n) => held + n,
                Io::Blocked if !self.broken => {
                    self.root.side.wait_read(&kit.epoll);
                    return Turn::Wait;
                }
                Io::Blocked | Io::End | Io::Failed(_) => return Turn::Over,
            };
            self.heard = now;
            let Some(used) = self.receive(&frames[..length], fields, now, deliver) else {
                return Turn::Over;
            };
            self.held.clear();
            self.held.extend_from_slice(&frames[used..length]);
        }
        self.unread = true;
        Turn::Again
    }

    /// Does what frames ask for; says how many bytes are done with. `None` = the member has broken the rules.
    fn receive(
        &mut self,
        bytes: &[u8],
        fields: &mut Fields,
        now: u64,
        deliver: &mut impl FnMut(Key, u32, Word<'_>) -> bool,
    ) -> Option<usize> {
        let mut at = 0;
        loop {
            let replied = match self.core.receive(&bytes[at..], fields, now) {
                Ok(replied) => replied,
                Err(fault) => {
                    tracing::debug!(member = %self.root.member.id(), %fault, "HTTP/2 with a member ends");
                    return None;
                }
            };
            if replied.used == 0 {
                return Some(at);
            }
            at += replied.used;
            let (stream, word) = match replied.reply {
                None => continue,
                Some(Reply::Leaves { last }) => {
                    let lanes = &self.lanes;
                    for id in lanes.ids().filter(|&id| id > last) {
                        if let Some(&session) = lanes.get(id) {
                            deliver(session, id, Word::Fate(Fate::Left));
                        }
                    }
                    continue;
                }
                Some(Reply::Head { stream, answer, end }) => (stream, Word::Head(answer, end)),
                Some(Reply::Content { stream, content, end }) => (stream, Word::Content(content, end)),
                Some(Reply::Trailers { stream, trailers }) => (stream, Word::Trailers(trailers)),
                Some(Reply::Gone { stream, refused }) => {
                    (stream, Word::Fate(if refused { Fate::Refused } else { Fate::Gone }))
                }
            };
            let length = if let Word::Content(content, _) = word { content.len() } else { 0 };
            let session = self.lanes.get(stream).copied();
            if !session.is_some_and(|session| deliver(session, stream, word)) {
                self.core.consumed(stream, length as u32);
            }
        }
    }

    /// The connection is over: so are its streams.
    pub(super) fn end(&mut self, deliver: &mut impl FnMut(Key, u32, Word<'_>) -> bool) {
        for id in self.lanes.ids() {
            if let Some(&session) = self.lanes.get(id) {
                deliver(session, id, Word::Fate(Fate::Gone));
            }
        }
    }

    /// The last that is done with it.
    pub(super) fn close(&mut self, kit: &mut Kit) {
        if !self.broken {
            let _ = self.outbox.flush(self.core.output(), &mut self.root.side, &mut kit.wire);
        }
        self.root.side.close();
    }
}
