//! A traffic thread: one epoll loop, its listening sockets, and every connection accepted on them.

mod accept;
mod client;
mod connect;
mod end;
mod flow;
mod forward;
mod handshake;
mod introduction;
mod kit;
mod mux;
mod note;
mod outbox;
mod parse;
mod scrape;
mod session;
mod side;
mod sock;
mod sorry;
mod stream;
mod stream_end;
mod thread;
mod tls;
mod token;
mod trunk;
mod trunks;
mod tunnel;
mod upstream;

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use octavia_model::ListenerId;
use octavia_wire::SocketName;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use self::accept::{Accepted, Listening};
use self::mux::{Kick, StreamPlace};
use self::session::{Session, Stage};
pub(crate) use self::thread::Going;
use self::thread::Thread;
use self::token::Token;
use self::upstream::Owner;
use crate::access_log::{AccessLog, Pen};
use crate::slab::{Key, Slab};
use crate::snapshot::Snapshot;
use crate::state::Registry;
use crate::sys;
use crate::vitals::Vitals;

/// Events taken at once.
const EVENTS: usize = 256;
/// Connections accepted from one socket before others get their turn.
const ACCEPTS: usize = 16;
/// How long accepting rests when the process is out of descriptors, in milliseconds.
const EXHAUSTED_MS: u64 = 100;

/// How soon lines of the access log that nobody has taken are offered again, in milliseconds.
const LINES_MS: u64 = 50;
/// How often a thread says that it has no room for more connections, at most, in milliseconds.
const CROWDED_WARN_MS: u64 = 10_000;

/// What one thread may have of the files this process may open. Clients decide how many connections there are: they
/// shall not take what members, health checks and the agent's commands need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Client connections; as many again go to members.
    pub(crate) sessions: usize,
    /// Pipes, of two files each.
    pub(crate) pipes: usize,
}

impl Share {
    /// Of each eight files three are clients', three are members', one is for pipes, and one for all the rest.
    pub(crate) fn of(files: u64, threads: usize) -> Self {
        let eighth = usize::try_from(files / 8).unwrap_or(usize::MAX / 8) / threads.max(1);
        Self { sessions: (eighth * 3).max(1), pipes: eighth / 2 }
    }
}

/// Control thread → traffic thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// The configuration and the listening sockets from now on; says when it is in force.
    Configure {
        snapshot: Arc<Snapshot>,
        sockets: Vec<(SocketName, Arc<OwnedFd>)>,
        /// The listeners that have a socket on any thread.
        open: Arc<HashSet<ListenerId>>,
        log: Option<Arc<AccessLog>>,
        done: Sender<()>,
    },
    /// Accept nothing more, and end connections as `how` says; says when that is so.
    Go {
        how: Going,
        done: Sender<()>,
    },
    /// Tells how many connections are open.
    Count(Sender<usize>),
    Stop,
}

/// What all traffic threads share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) registry: Arc<Registry>,
    /// One eventfd a thread: wakes it.
    pub(crate) wakes: Vec<OwnedFd>,
    pub(crate) share: Share,
    pub(crate) vitals: Vitals,
}

impl Hub {
    /// Wakes all threads: a listener that was full is not any more.
    fn wake_all(&self) {
        self.wakes.iter().for_each(sys::eventfd_signal);
    }
}

pub(crate) struct Worker {
    thread: Thread,
    hub: Arc<Hub>,
    commands: Receiver<Command>,
    sessions: Slab<Session>,
    listening: Slab<Listening>,
    /// Out of descriptors: accept again at this time.
    rests_until: Option<u64>,
    /// All the connections this thread may have are open: it accepts again when one has closed.
    crowded: bool,
    crowded_warned: Option<u64>,
    /// For the wheel, between two rounds.
    due: Vec<u64>,
}

impl Worker {
    pub(crate) fn new(index: usize, hub: Arc<Hub>, commands: Receiver<Command>) -> std::io::Result<Self> {
        let epoll = sys::epoll()?;
        let data = EventData::new_u64(Token::Wake.to_bits());
        epoll::add(&epoll, &hub.wakes[index], data, EventFlags::IN)?;
        Ok(Self {
            thread: Thread::new(index, epoll, Arc::clone(&hub)),
            hub,
            commands,
            sessions: Slab::default(),
            listening: Slab::default(),
            rests_until: None,
            crowded: false,
            crowded_warned: None,
            due: vec![],
        })
    }

    /// Serves until told to stop.
    pub(crate) fn run(mut self) -> Result<(), Errno> {
        let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        loop {
            let timeout = self.timeout();
            let count = sys::epoll_wait(&self.thread.kit.epoll, &mut events, timeout)?;
            self.thread.now = sys::now();
            for event in &events[..count] {
                let flags = event.flags;
                match Token::from_bits(event.data.u64()) {
                    Token::Wake => {
                        if !self.wake() {
                            return Ok(());
                        }
                    }
                    Token::Listening(key) => self.accept(key),
                    Token::Session(key) => {
                        if let Some(session) = self.sessions.get_mut(key) {
                            session.client.notice(flags);
                            self.drive(key);
                        }
                    }
                    Token::Upstream(key) => self.upstream_event(key, flags),
                }
            }
            self.expire();
            for key in std::mem::take(&mut self.thread.again) {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.scrape_turn();
                }
                self.drive(key);
            }
            self.trunks_flush();
            if self.crowded && !self.thread.is_crowded() {
                self.crowded = false;
                self.watch_all();
            }
            if let Some(pen) = &mut self.thread.pen {
                pen.hand_over(sys::wall);
            }
        }
    }

    /// How long to wait for events, in milliseconds.
    fn timeout(&mut self) -> Option<u64> {
        let t = &mut self.thread;
        if !t.again.is_empty() {
            return Some(0);
        }
        let rest = self.rests_until.map(|until| until.saturating_sub(t.now));
        let lines = t.pen.as_ref().filter(|pen| pen.is_behind()).map(|_| LINES_MS);
        let sweep = t.upstreams.sweep(t.now);
        if t.upstreams.is_due() {
            return Some(0);
        }
        [t.wheel.next(t.now), sweep, rest, lines].into_iter().flatten().min()
    }

    #[inline]
    fn upstream_event(&mut self, key: Key, flags: EventFlags) {
        let owner = match self.thread.upstreams.owner(key, flags) {
            Owner::Session(owner) => owner,
            Owner::Trunk => return self.trunk_event(key, flags),
            Owner::Nobody => return,
        };
        let Some(session) = self.sessions.get_mut(owner) else {
            return self.drive_stream(owner, Kick::Member(flags));
        };
        session.notice_member(flags);
        self.drive(owner);
    }

    #[inline]
    fn drive(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return self.drive_stream(key, Kick::Go) };
        if !session.drive(&mut self.thread) {
            self.close(key);
        }
    }

    /// What there is for a stream of an HTTP/2 connection, if the key is one's.
    #[cold]
    fn drive_stream(&mut self, key: Key, kick: Kick) {
        let Some(key) = key.unmarked() else { return };
        let Some(&mut StreamPlace { connection, id }) = self.thread.streams.get_mut(key) else { return };
        if let Some(session) = self.sessions.get_mut(connection) {
            session.kick_stream(&mut self.thread, id, kick);
        }
    }

    fn close(&mut self, key: Key) {
        if let Some(session) = self.sessions.remove(key) {
            self.ended(session);
        }
    }

    fn ended(&mut self, mut session: Session) {
        session.close(&mut self.thread);
        self.thread.connections = self.sessions.len();
        if accept::closed(&session.listener) {
            self.hub.wake_all();
            self.hub.registry.mark_changed();
        }
    }

    /// Stops accepting when this thread has all the connections it may have.
    #[inline]
    fn pause_if_crowded(&mut self) -> bool {
        if !self.thread.is_crowded() {
            return false;
        }
        self.crowded = true;
        self.pause_all();
        let now = self.thread.now;
        if self.crowded_warned.is_none_or(|before| before + CROWDED_WARN_MS <= now) {
            self.crowded_warned = Some(now);
            tracing::warn!(
                open = self.sessions.len(),
                "no room for more connections: raise the limit of open files"
            );
        }
        true
    }

    fn pause_all(&mut self) {
        for key in self.listening.keys() {
            if let Some(listening) = self.listening.get_mut(key) {
                listening.pause(&self.thread.kit.epoll);
            }
        }
    }

    fn accept(&mut self, listening_key: Key) {
        for _ in 0..ACCEPTS {
            if self.pause_if_crowded() {
                return;
            }
            let Some(listening) = self.listening.get_mut(listening_key) else { return };
            match listening.accept(|| self.hub.wake_all()) {
                Accepted::Connection(fd, peer) => {
                    let listener = Arc::clone(&listening.listener);
                    let (local, paced) = (listening.name.address, listening.paced);
                    accept::count(&listener, &self.thread);
                    let t = &mut self.thread;
                    let key = self.sessions.reserve();
                    t.connections = self.sessions.len();
                    let mut session = Session::new(key, fd, listener, t.config, peer, local, paced);
                    if session.drive(t) {
                        self.sessions.fill(key, session);
                    } else {
                        self.sessions.remove(key);
                        self.ended(session);
                    }
                    if self.pause_if_full(listening_key) {
                        return;
                    }
                }
                Accepted::Denied => {
                    listening.listener.state.on(self.thread.index).denied_connections.add(1);
                }
                Accepted::Dead => {}
                Accepted::Nothing => return,
                Accepted::Full => {
                    if self.pause_if_full(listening_key) {
                        return;
                    }
                }
                Accepted::Exhausted => {
                    tracing::warn!("no descriptor or memory left to accept connections");
                    self.rests_until = Some(self.thread.now + EXHAUSTED_MS);
                    self.pause_all();
                    return;
                }
            }
        }
    }

    /// Stops accepting when the listener's limit is met.
    #[inline]
    fn pause_if_full(&mut self, key: Key) -> bool {
        let Some(listening) = self.listening.get_mut(key).filter(|l| l.check_full()) else { return false };
        listening.pause(&self.thread.kit.epoll);
        self.hub.registry.mark_changed();
        true
    }

    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.thread.wheel.expire(self.thread.now, &mut due);
        for owner in due.drain(..) {
            let key = Key::from_bits(owner);
            let Some(session) = self.sessions.get_mut(key) else {
                self.drive_stream(key, Kick::Time);
                continue;
            };
            if !session.timed_out(&mut self.thread) {
                self.close(key);
            }
        }
        self.due = due;
        if self.rests_until.is_some_and(|until| until <= self.thread.now) {
            self.rests_until = None;
            self.watch_all();
        }
    }

    /// Does what other threads want; `false` when that is to stop.
    fn wake(&mut self) -> bool {
        sys::eventfd_clear(&self.hub.wakes[self.thread.index]);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Configure { snapshot, sockets, open, log, done } => {
                    self.thread.open = open;
                    self.write_to(log.as_ref());
                    self.configure(snapshot, sockets);
                    // Nobody waits for the answer any more: fine, too.
                    let _ = done.send(());
                }
                Command::Go { how, done } => {
                    self.go(how);
                    let _ = done.send(());
                }
                Command::Count(answer) => drop(answer.send(self.sessions.len())),
                Command::Stop => {
                    self.stop();
                    return false;
                }
            }
        }
        self.watch_all();
        true
    }

    fn configure(&mut self, snapshot: Arc<Snapshot>, sockets: Vec<(SocketName, Arc<OwnedFd>)>) {
        let t = &mut self.thread;
        t.config += 1;
        t.upstreams.retain(|upstream| upstream.way.is_of(&snapshot));
        t.upstreams.trunks_configure(&snapshot);
        t.snapshot = snapshot;
        for key in self.listening.keys() {
            let Some(listening) = self.listening.get_mut(key) else { continue };
            let name = listening.name;
            if !sockets.iter().any(|(kept, _)| *kept == name) {
                // Whoever is in the queue already is served yet.
                self.accept(key);
                if let Some(mut listening) = self.listening.remove(key) {
                    listening.pause(&self.thread.kit.epoll);
                }
            } else if let Some(listener) = self.thread.snapshot.listener(name.listener) {
                listening.listener = Arc::clone(listener);
            }
        }
        let held: Vec<_> = self.listening.keys();
        let held: Vec<_> = held.into_iter().filter_map(|k| Some(self.listening.get_mut(k)?.name)).collect();
        for (name, fd) in sockets {
            if !held.contains(&name)
                && let Some(listener) = self.thread.snapshot.listener(name.listener)
            {
                let key = self.listening.reserve();
                let listening = Listening::new(name, fd, Arc::clone(listener), key);
                self.listening.fill(key, listening);
            }
        }
        self.settle_idle();
    }

    fn go(&mut self, how: Going) {
        self.thread.going = how;
        self.thread.upstreams.retain(|_| false);
        self.thread.upstreams.trunks_drain();
        for key in self.listening.keys() {
            if let Some(mut listening) = self.listening.remove(key) {
                listening.pause(&self.thread.kit.epoll);
            }
        }
        self.settle_idle();
    }

    /// Nothing goes on; the access log shall tell of what was going on.
    fn stop(&mut self) {
        if self.thread.pen.is_none() {
            return;
        }
        self.thread.stopping = true;
        for key in self.sessions.keys() {
            self.close(key);
        }
        self.write_to(None);
    }

    /// The access log from now on.
    fn write_to(&mut self, log: Option<&Arc<AccessLog>>) {
        let t = &mut self.thread;
        if let Some(pen) = &mut t.pen {
            pen.hand_over(sys::wall);
        }
        if !matches!((&t.pen, log), (Some(pen), Some(log)) if pen.writes(log)) {
            t.pen = log.map(|log| Pen::new(log, t.index));
        }
    }

    /// Connections that wait for a request take the current configuration, so that they do not hold an old one;
    /// those that shall not get another request end.
    fn settle_idle(&mut self) {
        for key in self.sessions.keys() {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if session.stage == Stage::Mux {
                session.multiplex_settle(&mut self.thread);
            } else if session.is_idle() {
                session.refresh(&self.thread);
                if session.may_be_cut(&self.thread) {
                    self.close(key);
                }
            }
        }
    }

    /// Accepts on every listening socket that may.
    fn watch_all(&mut self) {
        if self.rests_until.is_some() || self.crowded {
            return;
        }
        for key in self.listening.keys() {
            if let Some(listening) = self.listening.get_mut(key) {
                listening.watch(&self.thread.kit.epoll);
            }
        }
    }
}
