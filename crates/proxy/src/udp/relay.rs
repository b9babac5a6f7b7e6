//! The thread that carries datagrams: one epoll loop over the sockets of the VIPs and those of the sessions.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use octavia_wire::SocketName;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::sessions::{Sessions, Source};
use super::{Command, UdpBounds};
use crate::balance::Peer;
use crate::persistence::Claim;
use crate::slab::{Key, Slab};
use crate::snapshot::{ListenerConf, MemberConf, Snapshot};
use crate::state::{MemberState, Registry, Tally};
use crate::sys;

/// Events taken at once.
const EVENTS: usize = 64;
/// Datagrams taken from one socket before others get their turn.
const TURN: usize = 32;
/// More than any datagram has.
const DATAGRAM_MAX: usize = 1 << 16;
/// Further members a datagram is tried on after the first.
const RETRIES: usize = 3;
/// How often a session says to its pool's persistence that its client is still there, at most, in milliseconds.
const HOLD_MS: u64 = 1_000;
/// How often the same complaint is made, at most, in milliseconds.
const COMPLAIN_MS: u64 = 10_000;
/// The relay's place among the counters of threads. Nobody else counts for its listeners and members.
const COUNTERS: usize = 0;

const WAKE: u64 = u64::MAX;

pub(super) struct Relay {
    registry: Arc<Registry>,
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    commands: Receiver<Command>,
    ports: Slab<Port>,
    /// Where the datagrams come to that we take: they cannot have been sent from there.
    own: Vec<SocketAddr>,
    sessions: Sessions<Session>,
    draining: bool,
    complained: Option<u64>,
    /// Milliseconds; read once for each round of events.
    now: u64,
}

/// A socket that clients send to.
struct Port {
    name: SocketName,
    fd: Arc<OwnedFd>,
    listener: Arc<ListenerConf>,
}

/// What it takes to serve a session.
struct Session {
    listener: Arc<ListenerConf>,
    upstream: Upstream,
    /// When the persistence heard of the client.
    held: u64,
}

/// A session's way to its member, counted as open for as long as it lives.
struct Upstream {
    socket: OwnedFd,
    address: SocketAddr,
    member: Arc<MemberState>,
    /// Where in its pool that is.
    place: u16,
    /// Nobody listens there, as the last datagram told.
    refused: bool,
}

impl Upstream {
    fn connect(member: &MemberConf, place: u16, tally: Tally<'_>, now: u64) -> Result<Self, Errno> {
        tally.add(|c| &c.attempts, 1);
        let socket = sys::connect_datagram(member.address)?;
        let state = Arc::clone(&member.state);
        state.active.fetch_add(1, Relaxed);
        tally.add(|c| &c.connections, 1);
        tally.begun(now);
        Ok(Self { socket, address: member.address, member: state, place, refused: false })
    }
}

impl Session {
    fn tally(&self) -> Tally<'_> {
        self.listener.tally(None, &self.upstream.member, COUNTERS)
    }

    fn fail(&mut self, error: Errno) {
        tracing::debug!(member = %self.upstream.member.id(), %error, "member takes no datagrams");
        self.tally().add(|c| &c.response_errors, 1);
        self.upstream.refused = true;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.member.active.fetch_sub(1, Relaxed);
    }
}

/// Whether an error tells of the member or the way there; the others tell of this machine, or of this datagram.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNREFUSED
            | Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::INVAL
            | Errno::ACCESS
            | Errno::ADDRNOTAVAIL
    )
}

impl Relay {
    pub(super) fn new(
        registry: Arc<Registry>,
        bounds: UdpBounds,
        wake: Arc<OwnedFd>,
        commands: Receiver<Command>,
    ) -> io::Result<Self> {
        let epoll = sys::epoll()?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let timeout = u64::try_from(bounds.timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            registry,
            epoll,
            wake,
            commands,
            ports: Slab::default(),
            own: vec![],
            sessions: Sessions::new(bounds.sessions, timeout),
            draining: false,
            complained: None,
            now: sys::now(),
        })
    }

    /// Serves until told to stop.
    pub(super) fn run(mut self) -> Result<(), Errno> {
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let timeout = self.sessions.next_expiry().map(|expiry| expiry.saturating_sub(self.now));
            let count = sys::epoll_wait(&self.epoll, &mut events, timeout)?;
            self.now = sys::now();
            for event in &events[..count] {
                let token = event.data.u64();
                if token == WAKE {
                    if !self.wake() {
                        return Ok(());
                    }
                } else if let Some(port) = Key::from_bits(token).unmarked() {
                    self.take(port, &mut buffer);
                } else {
                    self.answer(Key::from_bits(token), &mut buffer);
                }
            }
            while let Some(session) = self.sessions.expire(self.now) {
                self.ended(session);
            }
        }
    }

    /// Does what the control thread wants; `false` when that is to stop.
    fn wake(&mut self) -> bool {
        sys::eventfd_clear(&self.wake);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Configure { snapshot, sockets, done } => {
                    self.configure(&snapshot, sockets);
                    // Nobody waits for the answer any more: fine, too.
                    let _ = done.send(());
                }
                Command::Drain => {
                    self.draining = true;
                    for key in self.ports.keys() {
                        self.unwatch(key);
                    }
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn configure(&mut self, snapshot: &Snapshot, mut sockets: Vec<(SocketName, Arc<OwnedFd>)>) {
        for key in self.ports.keys() {
            let Some(port) = self.ports.get_mut(key) else { continue };
            let place = sockets.iter().position(|(name, _)| *name == port.name);
            let fd = place.map(|place| sockets.swap_remove(place).1);
            match (fd, snapshot.listener(port.name.listener)) {
                (Some(fd), Some(listener)) => {
                    port.listener = Arc::clone(listener);
                    if !Arc::ptr_eq(&fd, &port.fd) {
                        self.unwatch(key);
                        if let Some(port) = self.ports.get_mut(key) {
                            port.fd = fd;
                        }
                        self.watch(key);
                    }
                }
                _ => {
                    self.unwatch(key);
                    self.ports.remove(key);
                }
            }
        }
        for (name, fd) in sockets {
            if let Some(listener) = snapshot.listener(name.listener) {
                let key = self.ports.reserve();
                self.ports.fill(key, Port { name, fd, listener: Arc::clone(listener) });
                self.watch(key);
            }
        }
        let keys = self.ports.keys();
        self.own = keys.into_iter().filter_map(|key| Some(self.ports.get_mut(key)?.name.address)).collect();
        self.settle_all();
    }

    /// Ends sessions that the configuration has no place for; the others do not notice.
    fn settle_all(&mut self) {
        // By member: which pool it is in, and where.
        let mut places = HashMap::new();
        for key in self.ports.keys() {
            let pool = self.ports.get_mut(key).and_then(|port| port.listener.pool_for(None));
            let Some(pool) = pool else { continue };
            for (place, member) in pool.members.iter().enumerate() {
                places.insert(member.id, (pool.id, place as u16));
            }
        }
        for key in self.sessions.keys() {
            let Some((source, session)) = self.sessions.get_mut(key) else { continue };
            let place = places.get(&session.upstream.member.id());
            let stays = self.ports.get_mut(source.port).map(|port| &port.listener).and_then(|listener| {
                let pool = listener.pool_for(None)?;
                let (_, place) = place.filter(|(of, _)| *of == pool.id)?;
                let member = &pool.members[usize::from(*place)];
                let same = member.enabled && member.address == session.upstream.address;
                (same && listener.admits(source.client.ip().to_canonical())).then_some((listener, *place))
            });
            match stays {
                Some((listener, place)) => {
                    session.listener = Arc::clone(listener);
                    session.upstream.place = place;
                }
                None => self.close(key),
            }
        }
    }

    fn watch(&mut self, key: Key) {
        let Some(port) = self.ports.get_mut(key).filter(|_| !self.draining) else { return };
        let data = EventData::new_u64(key.marked().to_bits());
        if let Err(error) = epoll::add(&self.epoll, &*port.fd, data, EventFlags::IN) {
            tracing::error!(address = %port.name.address, %error, "nobody takes the datagrams of this address");
        }
    }

    fn unwatch(&mut self, key: Key) {
        if let Some(port) = self.ports.get_mut(key) {
            // Not watched in the first place: fine, too.
            let _ = epoll::delete(&self.epoll, &*port.fd);
        }
    }

    /// Takes what clients have sent.
    fn take(&mut self, key: Key, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let Some(port) = self.ports.get_mut(key) else { return };
            let (n, client) = match sys::recv_from(&port.fd, buffer) {
                Ok(datagram) => datagram,
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    tracing::debug!(%error, "a datagram is lost");
                    continue;
                }
            };
            // One that claims to be from where answers go to would go round for ever.
            if !port.listener.admits(client.ip().to_canonical()) {
                port.listener.state.on(COUNTERS).denied_connections.add(1);
            } else if !self.own.contains(&client) {
                self.deliver(Source { port: key, client }, &buffer[..n]);
            }
        }
    }

    /// Brings a client's datagram to a member; if that cannot be, it is lost.
    fn deliver(&mut self, source: Source, bytes: &[u8]) {
        let Some(key) = self.sessions.find(&source).or_else(|| self.open(source)) else { return };
        let mut tried = vec![];
        for _ in 0..=RETRIES {
            if !self.settle_member(key, &mut tried) {
                return;
            }
            let Some((_, session)) = self.sessions.get_mut(key) else { return };
            let mut sent = sys::send(session.upstream.socket.as_fd(), bytes);
            if sent == Err(Errno::MSGSIZE) {
                // What was learnt of the way by the one before: this one may be parted.
                sent = sys::send(session.upstream.socket.as_fd(), bytes);
            }
            match sent {
                Err(error) if is_refusal(error) => session.fail(error),
                Err(_) => return,
                Ok(n) => {
                    session.tally().add(|c| &c.sent, n as u64);
                    session.listener.state.on(COUNTERS).rx.add(n as u64);
                    self.sessions.heard(key, self.now);
                    return;
                }
            }
        }
    }

    /// A session for a client that has none, if the listener takes one more.
    fn open(&mut self, source: Source) -> Option<Key> {
        let listener = Arc::clone(&self.ports.get_mut(source.port)?.listener);
        if listener.is_full() {
            return None;
        }
        let upstream = match connect(&listener, source.client, &mut vec![], self.now) {
            Ok(upstream) => upstream?,
            Err(error) => {
                self.complain(error);
                return None;
            }
        };
        let state = Arc::clone(&listener.state);
        let session = Session { listener, upstream, held: self.now };
        state.open.fetch_add(1, Relaxed);
        state.on(COUNTERS).connections.add(1);
        if let Some(route) = &session.listener.route {
            route.state.on(COUNTERS).entered.add(1);
        }
        if session.listener.is_full() {
            self.registry.mark_changed();
        }
        let (key, gone) = self.sessions.open(source, session, self.now);
        if let Some(gone) = gone {
            self.ended(gone);
        }
        self.watch_session(key);
        Some(key)
    }

    /// Sees to it that the session has a member that can go on, none of `tried`; `false` = there is none.
    fn settle_member(&mut self, key: Key, tried: &mut Vec<u16>) -> bool {
        let Some((source, session)) = self.sessions.get_mut(key) else { return false };
        let Some(pool) = session.listener.pool_for(None) else { return false };
        let upstream = &session.upstream;
        let member = &pool.members[usize::from(upstream.place)];
        if !upstream.refused && member.is_well() {
            if session.held + HOLD_MS <= self.now {
                session.held = self.now;
                pool.hold(source.client, member.id, self.now);
            }
            return true;
        }
        tried.push(upstream.place);
        let mut made = connect(&session.listener, source.client, tried, self.now);
        if matches!(made, Ok(None)) && tried.len() == 1 {
            // One that refused before, and is the only one, may be there again.
            made = connect(&session.listener, source.client, &mut vec![], self.now);
        }
        let upstream = match made {
            Ok(Some(upstream)) => upstream,
            Ok(None) => return false,
            Err(error) => {
                self.complain(error);
                return false;
            }
        };
        session.tally().add(|c| &c.redispatches, 1);
        // The socket closes with the upstream before.
        session.upstream = upstream;
        session.held = self.now;
        self.watch_session(key);
        true
    }

    fn watch_session(&mut self, key: Key) {
        let Some((_, session)) = self.sessions.get_mut(key) else { return };
        let data = EventData::new_u64(key.to_bits());
        if let Err(error) = epoll::add(&self.epoll, &session.upstream.socket, data, EventFlags::IN) {
            tracing::warn!(%error, "answers to a client are lost");
        }
    }

    /// Brings answers to their client.
    fn answer(&mut self, key: Key, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let Some((source, session)) = self.sessions.get_mut(key) else { return };
            let n = match sys::recv(session.upstream.socket.as_fd(), buffer) {
                Ok(n) => n,
                Err(error) if is_refusal(error) => {
                    session.fail(error);
                    return;
                }
                Err(_) => return,
            };
            session.tally().add(|c| &c.received, n as u64);
            let Some(port) = self.ports.get_mut(source.port) else { return };
            // What does not go out now is lost, as on any way.
            if sys::send_to(&port.fd, &buffer[..n], source.client).is_ok() {
                session.listener.state.on(COUNTERS).tx.add(n as u64);
            }
            self.sessions.answered(key, self.now);
        }
    }

    /// There is no socket for a client: said now and then, for clients could have it said all the time.
    fn complain(&mut self, error: Errno) {
        if self.complained.is_none_or(|before| before + COMPLAIN_MS <= self.now) {
            self.complained = Some(self.now);
            tracing::warn!(open = self.sessions.len(), %error, "no socket for another client of UDP");
        }
    }

    fn close(&mut self, key: Key) {
        if let Some(session) = self.sessions.close(key) {
            self.ended(session);
        }
    }

    fn ended(&self, session: Session) {
        let was_full = session.listener.is_full();
        session.listener.state.open.fetch_sub(1, Relaxed);
        if let Some(route) = &session.listener.route {
            route.state.on(COUNTERS).left.add(1);
        }
        if was_full {
            self.registry.mark_changed();
        }
    }
}

/// A way to a member of the listener's pool, none of `tried`, to which those are added that none leads to. An error is
/// this machine's.
fn connect(
    listener: &ListenerConf,
    client: SocketAddr,
    tried: &mut Vec<u16>,
    now: u64,
) -> Result<Option<Upstream>, Errno> {
    let Some(pool) = listener.pool_for(None) else { return Ok(None) };
    for _ in 0..=RETRIES {
        let Some((place, granted)) = pool.pick_for(client, Claim::None, tried, now) else { break };
        let member = &pool.members[place];
        let tally = listener.tally(None, &member.state, COUNTERS);
        if !granted {
            tally.add(|c| &c.balanced, 1);
        }
        match Upstream::connect(member, place as u16, tally, now) {
            Ok(upstream) => return Ok(Some(upstream)),
            Err(error) if is_refusal(error) => {
                tracing::debug!(member = %member.id, %error, "member takes no datagrams");
                tally.add(|c| &c.connect_errors, 1);
                tried.push(place as u16);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
