//! Stage *mux*: an HTTP/2 connection. Frames come and go; each stream has a session of its own, which goes through the
//! other stages as if its client spoke HTTP/1.1, and which is driven from here.

mod sending;

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::event::epoll::EventFlags;

use super::client::Client;
use super::outbox::{BACKLOG, FULL, Flushed, Outbox};
use super::session::{Next, Session, Stage};
use super::sock::Io;
use super::stream_end::{Proof, StreamEnd};
use super::thread::Thread;
use crate::http2::{ById, Code, Connection, Event, Fields, MAX_FRAME};
use crate::slab::Key;

/// Bytes read at once.
const READ: usize = 32 * 1024;
/// Room for that, after the beginning of a frame.
const FRAMES: usize = READ + MAX_FRAME + 16;
/// Rounds in which a stream goes on when its client takes all it has, before others get their turn.
const ROUNDS: usize = 8;
/// Requests taken up before others get their turn.
const REQUESTS: usize = 64;
/// How long streams are still taken up after the client knows that there are to be no more, in milliseconds: clients answer a
/// PING before they send what has waited.
const OVERTAKEN_MS: u32 = 1_000;

/// Which stream a key is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamPlace {
    /// The session of its connection.
    pub(super) connection: Key,
    pub(super) id: u32,
}

/// Why a stream is driven.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kick {
    /// It can go on.
    Go,
    /// Its member has something to say.
    Member(EventFlags),
    /// Its time is up.
    Time,
}

pub(super) struct Mux {
    core: Connection,
    lanes: ById<Lane>,
    outbox: Outbox,
    /// Streams that have something to send and no room for it, the longest waiting first.
    waiting: VecDeque<u32>,
    /// Some of them wait because of the backlog.
    choked: bool,
    /// Streams that content has come for.
    fed: Vec<u32>,
    /// What requests learn of the connection's TLS.
    proof: Option<Proof>,
    /// There are bytes that came and that nobody has looked at: they came before it was known that these are frames, or
    /// with too many that asked for something.
    fresh: bool,
    /// Requests taken up since others had their turn.
    begun: usize,
    /// Nothing more comes from the client.
    ended: bool,
    /// A fault was told to the client.
    failed: bool,
    /// The timer runs for a client that does not read.
    stuck: bool,
    /// The connection gets its turn at the end of this round of events.
    scheduled: bool,
    /// When it was seen that the client knows of the end.
    heard: Option<u64>,
}

/// A stream.
struct Lane {
    session: Box<Session>,
    /// Its session has nothing more to do; some of the response may wait.
    over: bool,
    /// The timer runs for what waits.
    timed: bool,
    queued: bool,
    /// Content has come for it, and it was not driven since.
    fed: bool,
}

impl Lane {
    fn end(&mut self) -> Option<&mut StreamEnd> {
        match &mut self.session.client {
            Client::Stream(end) => Some(end),
            Client::Plain(_) | Client::Tls(_) => None,
        }
    }

    fn recycle(mut self, t: &mut Thread) {
        self.session.close(t);
        if let Some(key) = self.session.key.unmarked() {
            t.streams.remove(key);
        }
        if let Client::Stream(end) = self.session.client {
            end.recycle(&mut t.kit);
        }
    }
}

impl Session {
    /// The client speaks HTTP/2, and `bytes` is what it has said.
    pub(super) fn multiplex_begin(&mut self, t: &mut Thread, bytes: Vec<u8>) -> Next {
        let proof = match &self.client {
            Client::Tls(tls) => Some(Proof {
                certificate: tls.certificate().map(Arc::new),
                name: tls.server_name().map(Arc::from),
            }),
            Client::Plain(_) | Client::Stream(_) => None,
        };
        self.mux = Some(Box::new(Mux::new(proof, !bytes.is_empty())));
        t.kit.buffer_put(std::mem::replace(&mut self.held, bytes));
        self.seen = 0;
        self.stage = Stage::Mux;
        Next::Go
    }

    pub(super) fn multiplex(&mut self, t: &mut Thread) -> Next {
        let Some(mut mux) = self.mux.take() else { return Next::Close };
        let next = mux.turn(self, t);
        self.mux = Some(mux);
        self.count_mistakes(t);
        match next {
            // What is to be said is said; streams may have been broken off.
            Next::Close if !self.client.is_broken() => self.multiplex_end(t),
            next => next,
        }
    }

    /// Lets one stream go on.
    pub(super) fn kick_stream(&mut self, t: &mut Thread, id: u32, kick: Kick) {
        let Some(mut mux) = self.mux.take() else { return };
        mux.drive(id, kick, self, t);
        // All streams that had something to do send together.
        if !std::mem::replace(&mut mux.scheduled, true) {
            t.again.push(self.key);
        }
        self.mux = Some(mux);
    }

    /// The configuration has changed, or the process is going.
    pub(super) fn multiplex_settle(&mut self, t: &mut Thread) {
        self.refresh(t);
        if self.must_end(t) {
            t.again.push(self.key);
        }
    }

    /// The connection's own timer fired; those of streams are theirs.
    pub(super) fn multiplex_timed_out(&mut self, t: &mut Thread) -> Next {
        let Some(mux) = &mut self.mux else { return Next::Close };
        if !mux.is_sent() {
            // It does not read.
            return Next::Close;
        }
        let cut = mux.core.is_halfway();
        mux.core.go_away();
        if cut {
            self.counters(t).request_errors.add(1);
        }
        if let Some(mut mux) = self.mux.take() {
            mux.flush(self, t);
            self.mux = Some(mux);
        }
        self.multiplex_end(t)
    }

    /// Ends the streams, and then the connection.
    fn multiplex_end(&mut self, t: &mut Thread) -> Next {
        if let Some(mux) = self.mux.take() {
            let gone = !mux.is_sent();
            mux.close(t);
            if gone {
                return Next::Close;
            }
        }
        self.say_goodbye(t)
    }

    fn count_mistakes(&mut self, t: &Thread) {
        if let Some(mux) = &mut self.mux {
            let mistakes = mux.core.take_mistakes();
            if mistakes > 0 {
                self.listener.state.on(t.index).request_errors.add(mistakes);
            }
        }
    }
}

impl Mux {
    fn new(proof: Option<Proof>, fresh: bool) -> Self {
        Self {
            core: Connection::new(),
            lanes: ById::default(),
            outbox: Outbox::default(),
            waiting: VecDeque::new(),
            choked: false,
            fed: vec![],
            proof,
            fresh,
            begun: 0,
            ended: false,
            failed: false,
            stuck: false,
            scheduled: false,
            heard: None,
        }
    }

    /// The session of a stream.
    pub(super) fn session(&mut self, id: u32) -> Option<&mut Session> {
        Some(&mut self.lanes.get_mut(id)?.session)
    }

    /// Breaks all streams off; the connection is gone.
    pub(super) fn close(mut self: Box<Self>, t: &mut Thread) {
        let ids: Vec<_> = self.lanes.ids().collect();
        ids.into_iter().for_each(|id| self.cancel(id, t));
    }

    /// `Go` = there may be more to read; `Close` = all is said that there was to say.
    fn turn(&mut self, s: &mut Session, t: &mut Thread) -> Next {
        self.scheduled = false;
        if s.client.is_broken() {
            return Next::Close;
        }
        if s.may_be_cut(t) {
            self.core.go_away();
        } else if s.must_end(t) {
            self.core.say_farewell();
        }
        if self.core.is_heard() {
            let heard = *self.heard.get_or_insert_with(|| {
                s.head_timed = false;
                t.now
            });
            if t.now.saturating_sub(heard) >= OVERTAKEN_MS.into() {
                self.core.go_away();
            }
        }
        let mut rounds = 0;
        loop {
            match self.flush(s, t) {
                Flushed::Gone => return Next::Close,
                Flushed::Blocked if self.failed || self.backlog() > FULL => return self.wait(s, t),
                Flushed::Blocked => {
                    self.resume(s, t);
                    break;
                }
                Flushed::All if self.failed || !self.resume(s, t) => break,
                Flushed::All => {}
            }
            rounds += 1;
            if rounds == ROUNDS {
                return self.again(s, t);
            }
        }
        let done = self.lanes.is_empty() && (self.ended || self.core.is_going());
        if self.is_sent() && (self.failed || done) {
            return Next::Close;
        }
        if self.ended {
            return self.wait(s, t);
        }
        let mut frames = std::mem::take(&mut t.frames);
        if frames.is_empty() {
            frames = vec![0; FRAMES].into();
        }
        let next = self.read(&mut frames, s, t);
        t.frames = frames;
        next
    }

    fn read(&mut self, frames: &mut [u8], s: &mut Session, t: &mut Thread) -> Next {
        let held = s.held.len();
        frames[..held].copy_from_slice(&s.held);
        let mut length = held;
        if !std::mem::take(&mut self.fresh) {
            match s.client.recv(&mut frames[held..held + READ], &mut t.kit.wire) {
                Io::Bytes(n) => length += n,
                Io::Blocked => return self.wait(s, t),
                Io::End => {
                    self.ended = true;
                    self.cut_requests(t);
                    return Next::Go;
                }
                Io::Failed(_) => return Next::Close,
            }
        }
        let mut fields = std::mem::take(&mut t.fields);
        let used = self.receive(&frames[..length], &mut fields, s, t);
        t.fields = fields;
        self.feed(s, t);
        let rest = &frames[used..length];
        s.held.clear();
        if rest.is_empty() {
            t.kit.buffer_put(std::mem::take(&mut s.held));
        } else {
            s.held.extend_from_slice(rest);
        }
        if self.begun >= REQUESTS { self.again(s, t) } else { Next::Go }
    }

    /// Does what frames ask for; says how many bytes are done with.
    fn receive(&mut self, bytes: &[u8], fields: &mut Fields, s: &mut Session, t: &mut Thread) -> usize {
        let mut at = 0;
        loop {
            // Whoever does not take the answers may wait for more of them.
            if (self.backlog() > FULL || self.begun >= REQUESTS) && at < bytes.len() {
                self.fresh = true;
                return at;
            }
            let received = match self.core.receive(&bytes[at..], fields, t.now) {
                Ok(received) => received,
                Err(fault) => {
                    tracing::debug!(client = %s.peer, %fault, "HTTP/2 connection ends");
                    self.failed = true;
                    s.counters(t).request_errors.add(1);
                    return bytes.len();
                }
            };
            if received.used == 0 {
                return at;
            }
            at += received.used;
            match received.event {
                None => {}
                Some(Event::Request { stream, head, end }) => {
                    s.head_timed = false;
                    self.begun += 1;
                    if t.is_crowded() {
                        self.core.reset(stream, Code::RefusedStream);
                        continue;
                    }
                    let end = StreamEnd::of_client(&head, end, t.kit.buffer(), self.proof.clone());
                    let key = t.streams.reserve();
                    t.streams.fill(key, StreamPlace { connection: s.key, id: stream });
                    let session = Box::new(Session::of_stream(key.marked(), end, s));
                    self.lanes.insert(
                        stream,
                        Lane { session, over: false, timed: false, queued: false, fed: false },
                    );
                    self.drive(stream, Kick::Go, s, t);
                }
                Some(Event::Content { stream, content, end }) => {
                    let lane = self.lanes.get_mut(stream).filter(|lane| !lane.over);
                    let Some(lane) = lane else {
                        // Nobody reads it any more.
                        self.core.consumed(stream, content.len() as u32);
                        continue;
                    };
                    if !std::mem::replace(&mut lane.fed, true) {
                        self.fed.push(stream);
                    }
                    if let Some(there) = lane.end() {
                        there.push(content, end);
                    }
                }
                Some(Event::Trailers { stream, trailers }) => {
                    if let Some(end) = self.lanes.get_mut(stream).and_then(Lane::end) {
                        end.end(Some(&trailers));
                        self.drive(stream, Kick::Go, s, t);
                    }
                }
                // It is counted as one.
                Some(Event::Cancelled { stream, mistake: true }) => self.forget(stream, t),
                Some(Event::Cancelled { stream, mistake: false }) => self.cancel(stream, t),
            }
        }
    }

    /// Lets streams go on that content has come for: once, however many frames it came in.
    fn feed(&mut self, s: &mut Session, t: &mut Thread) {
        let mut fed = std::mem::take(&mut self.fed);
        for id in fed.drain(..) {
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.fed = false;
                self.drive(id, Kick::Go, s, t);
            }
        }
        self.fed = fed;
    }

    /// Lets a stream go on, and takes what it has to send.
    fn drive(&mut self, id: u32, kick: Kick, s: &mut Session, t: &mut Thread) {
        let mut kick = kick;
        for _ in 0..ROUNDS {
            let credit = self.core.room(id).min(BACKLOG.saturating_sub(self.backlog()));
            let Some(lane) = self.lanes.get_mut(id) else { return };
            if lane.over {
                // Its client takes nothing of what is left.
                if let Kick::Time = kick {
                    return self.break_off(id, Code::Cancel, t);
                }
            } else {
                if let Some(end) = lane.end() {
                    end.allow(credit);
                }
                let alive = match kick {
                    Kick::Time => lane.session.timed_out(t),
                    Kick::Member(flags) => {
                        lane.session.notice_member(flags);
                        lane.session.drive(t)
                    }
                    Kick::Go => lane.session.drive(t),
                };
                if !alive {
                    // Whoever was answered has no exchange any more.
                    let answered = lane.session.exchange.is_none();
                    lane.session.close(t);
                    lane.over = true;
                    if answered && let Some(end) = lane.end() {
                        end.outgoing.finish();
                    }
                }
                if let Some(end) = lane.end() {
                    self.core.consumed(id, end.take_read());
                }
            }
            kick = Kick::Go;
            if !self.send(id, s, t) {
                return;
            }
        }
        if let Some(lane) = self.lanes.get_mut(id) {
            t.again.push(lane.session.key);
        }
    }

    /// Ends a stream before it is answered.
    fn break_off(&mut self, id: u32, code: Code, t: &mut Thread) {
        self.core.reset(id, code);
        self.forget(id, t);
    }

    /// The client wants nothing more of a stream.
    fn cancel(&mut self, id: u32, t: &mut Thread) {
        if let Some(lane) = self.lanes.get(id)
            && lane.session.exchange.as_ref().is_some_and(|e| !e.up.is_done() && !e.answered)
        {
            lane.session.counters(t).request_errors.add(1);
        }
        self.forget(id, t);
    }

    fn forget(&mut self, id: u32, t: &mut Thread) {
        if let Some(lane) = self.lanes.remove(id) {
            lane.recycle(t);
        }
    }

    /// The client says nothing more: requests that are not whole never will be.
    fn cut_requests(&mut self, t: &mut Thread) {
        let ids: Vec<_> = self.lanes.ids().filter(|&id| !self.core.has_ended(id)).collect();
        for id in ids {
            self.core.reset(id, Code::Cancel);
            self.cancel(id, t);
        }
    }

    /// Others get their turn.
    fn again(&mut self, s: &mut Session, t: &mut Thread) -> Next {
        self.begun = 0;
        if !s.head_timed && !self.stuck {
            // Nothing is awaited meanwhile.
            s.arm(t, None);
        }
        self.scheduled = true;
        t.again.push(s.key);
        Next::Wait
    }

    fn wait(&mut self, s: &mut Session, t: &mut Thread) -> Next {
        self.begun = 0;
        let limit = s.listener.timeouts.client_data;
        if !self.is_sent() {
            s.client.wait_write(&t.kit.epoll);
            // What it asks for meanwhile does not put it off.
            if !std::mem::replace(&mut self.stuck, true) {
                s.head_timed = false;
                s.arm(t, limit);
            }
            return Next::Wait;
        }
        self.stuck = false;
        s.client.wait_read(&t.kit.epoll);
        if !self.lanes.is_empty() && !self.core.is_halfway() {
            s.head_timed = false;
            s.arm(t, None);
        } else if !s.head_timed {
            // Set once: dribbling does not put it off.
            s.head_timed = true;
            let limit = if self.heard.is_some() { Some(OVERTAKEN_MS) } else { limit };
            s.arm(t, limit);
        }
        Next::Wait
    }
}
