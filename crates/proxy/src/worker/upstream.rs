//! Connections to members: made, lent to one exchange at a time, kept while idle.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::client::UnbufferedClientConnection;

use super::kit::{Kit, Wire};
use super::side::Side;
use super::sock::{Io, Sock};
use super::stream_end::StreamEnd;
use super::tls::{Shake, TlsSock};
use super::token::Token;
use super::trunk::Trunk;
use super::trunks::Trunks;
use crate::proxy_protocol::ProxyProtocol;
use crate::slab::{Key, Slab};
use crate::snapshot::{MemberConf, Snapshot};
use crate::state::{MemberState, Tally};
use crate::sys;
use crate::tls::MemberTls;

/// How long an unused connection is kept, in milliseconds. Common servers close theirs after 5 s or more: ours go
/// first, so that a request seldom meets a connection that is just being closed.
const IDLE_MS: u64 = 4_000;
/// Idle connections a thread keeps to one member, at most.
const IDLE_MAX: usize = 512;
/// Idle connections kept for one session only, at most.
const PRIVATE_MAX: usize = 8;

/// Where a connection shall lead, and how it is secured. Connections that differ in any of it are never taken for each
/// other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) member: &'a MemberConf,
    /// `None` = in clear.
    pub(super) tls: Option<&'a Arc<MemberTls>>,
    /// The server's name to ask for.
    pub(super) name: Option<&'a str>,
    /// HTTP/2 may be spoken there, if the pool would have it.
    pub(super) http2: bool,
}

/// Where a connection leads, and how it is secured.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The member's.
    pub(super) serial: u64,
    address: SocketAddr,
    tls: Option<Arc<MemberTls>>,
    name: Option<Box<str>>,
}

impl Way {
    fn to(to: &Destination<'_>) -> Self {
        Self {
            serial: to.member.state.serial,
            address: to.member.address,
            tls: to.tls.map(Arc::clone),
            name: to.tls.and(to.name).map(Into::into),
        }
    }

    /// It leads there, and is secured like that.
    pub(super) fn is_to(&self, to: &Destination<'_>) -> bool {
        let same_tls = match (&self.tls, to.tls) {
            (None, None) => true,
            (Some(own), Some(wanted)) => Arc::ptr_eq(own, wanted) && self.name.as_deref() == to.name,
            _ => false,
        };
        same_tls && self.serial == to.member.state.serial && self.address == to.member.address
    }

    /// A new connection to its member would be like it, in this configuration.
    pub(super) fn is_of(&self, snapshot: &Snapshot) -> bool {
        snapshot.leads_to(self.serial, self.address, self.tls.as_ref())
    }
}

/// A connection to a member, or a stream of one, lent to one exchange.
pub(super) struct Upstream {
    pub(super) side: Side<UnbufferedClientConnection>,
    pub(super) member: Arc<MemberState>,
    pub(super) way: Arc<Way>,
    pub(super) key: Key,
    /// It has carried a whole exchange before: if it dies before answering, the member may just have closed it.
    pub(super) reused: bool,
    /// A write to it has worked.
    pub(super) established: bool,
    /// Its last answer was a large one: the next may be, too.
    pub(super) large: bool,
    /// What has to go out before anything else.
    pub(super) preface: Vec<u8>,
    /// The session it is for: it says whose it is, and carries nothing for others.
    pub(super) private: Option<Key>,
    /// When it was begun, or has become idle, in milliseconds.
    pub(super) since: u64,
}

impl Upstream {
    /// The connection is made, for sure.
    pub(super) fn connected(&self) -> bool {
        self.established || self.side.sock().is_some_and(Sock::has_peer)
    }

    /// HTTP/2 came out of the handshake.
    pub(super) fn speaks_http2(&self) -> bool {
        matches!(&self.side, Side::Tls(tls) if tls.has_agreed_on(b"h2"))
    }

    /// A stream of it.
    pub(super) fn branch(&self, end: StreamEnd, reused: bool, now: u64) -> Self {
        Self {
            side: Side::Stream(Box::new(end)),
            member: Arc::clone(&self.member),
            way: Arc::clone(&self.way),
            key: self.key,
            reused,
            established: true,
            preface: vec![],
            private: self.private,
            large: false,
            since: now,
        }
    }

    /// Goes on with what has to be agreed on before anything else is said; nothing, without TLS.
    pub(super) fn handshake(&mut self, wire: &mut Wire) -> Shake {
        let Side::Tls(tls) = &mut self.side else { return Shake::Done };
        while !self.preface.is_empty() {
            match tls.send_before(&self.preface) {
                Io::Bytes(n) => drop(self.preface.drain(..n)),
                Io::Blocked => return Shake::Wait,
                Io::End | Io::Failed(_) => return Shake::Gone,
            }
        }
        tls.handshake(wire)
    }

    /// Makes it one that says whose it is.
    pub(super) fn introduce(
        &mut self,
        version: ProxyProtocol,
        client: SocketAddr,
        local: SocketAddr,
        session: Key,
    ) {
        version.write(client, local, &mut self.preface);
        self.private = Some(session);
    }

    /// Sends of `bytes` what can be sent now, after the preface, or after the handshake.
    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8], wire: &mut Wire) -> Io {
        match &mut self.side {
            Side::Plain(sock) if !self.preface.is_empty() => match sock.send_two(&self.preface, bytes) {
                Io::Bytes(n) => {
                    let ours = n.min(self.preface.len());
                    self.preface.drain(..ours);
                    Io::Bytes(n - ours)
                }
                io => io,
            },
            side => side.send(bytes, wire),
        }
    }
}

/// Who gets the events of a member connection.
pub(super) enum Place {
    Lent(Key),
    Idle(Upstream),
    Trunk(Box<Trunk>),
    /// A trunk that is having its turn.
    Lifted,
}

/// Who an event of a member connection is for.
pub(super) enum Owner {
    Session(Key),
    Trunk,
    Nobody,
}

/// All member connections of a thread.
#[derive(Default)]
pub(super) struct Upstreams {
    pub(super) places: Slab<Place>,
    pub(super) trunks: Trunks,
    /// By member serial; the most recently used last.
    idle: Idle,
    /// Idle ones that are for one session only, by its key.
    private: Idle,
    swept: u64,
    /// Connections there may be, lent and idle.
    max: usize,
}

impl Upstreams {
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Lends an idle connection that leads there, if there is one: the last that was used.
    pub(super) fn take_idle(&mut self, to: &Destination<'_>, session: Key) -> Option<Upstream> {
        let keys = self.idle.get_mut(&to.member.state.serial)?;
        Self::take(&mut self.places, keys, to, session)
    }

    /// Lends this session an idle connection of its own that leads there, if there is one.
    pub(super) fn take_private(&mut self, to: &Destination<'_>, session: Key) -> Option<Upstream> {
        let keys = self.private.get_mut(&session.to_bits())?;
        Self::take(&mut self.places, keys, to, session)
    }

    #[inline]
    fn take(
        places: &mut Slab<Place>,
        keys: &mut Vec<Key>,
        to: &Destination<'_>,
        session: Key,
    ) -> Option<Upstream> {
        let fits = |key: &Key| matches!(places.get_mut(*key), Some(Place::Idle(u)) if u.way.is_to(to));
        let at = keys.iter().rposition(fits)?;
        let key = keys.remove(at);
        let Place::Idle(mut upstream) = std::mem::replace(places.get_mut(key)?, Place::Lent(session)) else {
            return None;
        };
        upstream.reused = true;
        Some(upstream)
    }

    /// Closes the idle connections that were for this session only.
    #[inline]
    pub(super) fn session_ended(&mut self, session: Key) {
        if self.has_trunks() {
            self.trunks_part(session);
        }
        if !self.private.is_empty()
            && let Some(keys) = self.private.remove(&session.to_bits())
        {
            keys.into_iter().for_each(|key| remove(&mut self.places, key));
        }
    }

    /// Starts to make a connection.
    pub(super) fn connect(
        &mut self,
        to: &Destination<'_>,
        session: Key,
        now: u64,
    ) -> Result<Upstream, Errno> {
        // Those that are lent are no more than there are clients: without the idle ones there is room.
        if self.places.len() >= self.max {
            self.retain(|_| false);
            self.trunks_sweep(now);
        }
        let (address, serial) = (to.member.address, to.member.state.serial);
        let fd = sys::connect(address)?;
        let key = self.places.reserve();
        let sock = Sock::connecting(fd, Token::Upstream(key).to_bits());
        let side = match to.tls.map(|tls| tls.session(serial, address.ip(), to.name, to.http2)) {
            None => Side::Plain(sock),
            Some(Ok(session)) => Side::Tls(Box::new(TlsSock::greeting(sock, session))),
            Some(Err(error)) => {
                tracing::warn!(%error, "TLS with a member cannot be begun");
                self.places.remove(key);
                return Err(Errno::PROTO);
            }
        };
        self.places.fill(key, Place::Lent(session));
        Ok(Upstream {
            side,
            member: Arc::clone(&to.member.state),
            way: Arc::new(Way::to(to)),
            key,
            reused: false,
            established: false,
            large: false,
            preface: vec![],
            private: None,
            since: now,
        })
    }

    /// Takes back a connection that may carry another request.
    pub(super) fn keep(&mut self, mut upstream: Upstream, kit: &Kit, now: u64) {
        let (keys, max) = match upstream.private {
            None => (self.idle.entry(upstream.way.serial).or_default(), IDLE_MAX),
            Some(session) => (self.private.entry(session.to_bits()).or_default(), PRIVATE_MAX),
        };
        if keys.len() >= max {
            self.close(upstream);
            return;
        }
        // Registered, so that its end is noticed.
        upstream.side.wait_read(&kit.epoll);
        upstream.since = now;
        keys.push(upstream.key);
        self.places.fill(upstream.key, Place::Idle(upstream));
    }

    pub(super) fn close(&mut self, mut upstream: Upstream) {
        self.attempt_fails(upstream.key);
        upstream.side.close();
        self.places.remove(upstream.key);
    }

    /// Whose event this is. An idle connection that has anything to say is over: it is dropped.
    #[inline]
    pub(super) fn owner(&mut self, key: Key, flags: EventFlags) -> Owner {
        match self.places.get_mut(key) {
            Some(Place::Lent(session)) => Owner::Session(*session),
            Some(Place::Trunk(_)) => Owner::Trunk,
            None | Some(Place::Lifted) => Owner::Nobody,
            Some(Place::Idle(_)) if flags.difference(EventFlags::OUT).is_empty() => Owner::Nobody,
            Some(Place::Idle(_)) => {
                if let Some(Place::Idle(mut upstream)) = self.places.remove(key) {
                    upstream.side.close();
                    let keys = match upstream.private {
                        None => self.idle.get_mut(&upstream.way.serial),
                        Some(session) => self.private.get_mut(&session.to_bits()),
                    };
                    if let Some(keys) = keys {
                        keys.retain(|&k| k != key);
                    }
                }
                Owner::Nobody
            }
        }
    }

    /// Closes the idle connections that `stays` does not name.
    pub(super) fn retain(&mut self, stays: impl Fn(&Upstream) -> bool) {
        retain(&mut self.places, &mut self.idle, &stays);
        retain(&mut self.places, &mut self.private, &stays);
    }

    /// Closes what was idle for long, about once a second. Returns how long until it wants to be called again.
    pub(super) fn sweep(&mut self, now: u64) -> Option<u64> {
        if self.idle.is_empty() && self.private.is_empty() && !self.has_trunks() {
            return None;
        }
        if now < self.swept + 1000 {
            return Some(self.swept + 1000 - now);
        }
        self.swept = now;
        self.trunks_sweep(now.saturating_sub(IDLE_MS));
        let places = &mut self.places;
        self.idle.retain(|_, keys| {
            let is_fresh = |key: &Key, places: &mut Slab<Place>| {
                matches!(places.get_mut(*key), Some(Place::Idle(u)) if u.since + IDLE_MS > now)
            };
            let old = keys.iter().position(|key| is_fresh(key, places)).unwrap_or(keys.len());
            keys.drain(..old).for_each(|key| remove(places, key));
            !keys.is_empty()
        });
        retain(places, &mut self.private, &|upstream| upstream.since + IDLE_MS > now);
        (!self.idle.is_empty() || !self.private.is_empty() || self.has_trunks()).then_some(1000)
    }
}

pub(super) type Idle = HashMap<u64, Vec<Key>, BuildHasherDefault<SerialHasher>>;

fn retain(places: &mut Slab<Place>, idle: &mut Idle, stays: &impl Fn(&Upstream) -> bool) {
    idle.retain(|_, keys| {
        keys.retain(|&key| {
            let stays = matches!(places.get_mut(key), Some(Place::Idle(upstream)) if stays(upstream));
            if !stays {
                remove(places, key);
            }
            stays
        });
        !keys.is_empty()
    });
}

/// Closes an idle connection.
fn remove(places: &mut Slab<Place>, key: Key) {
    if let Some(Place::Idle(mut upstream)) = places.remove(key) {
        upstream.side.close();
    }
}

/// Counts a request (or TCP connection) that a member starts to serve.
pub(super) fn begin(member: &MemberState, tally: Tally<'_>, now: u64) {
    member.active.fetch_add(1, Relaxed);
    tally.begun(now);
}

/// Counts its end.
pub(super) fn end(member: &MemberState) {
    member.active.fetch_sub(1, Relaxed);
}

/// Serials are unique small numbers: they need no hashing.
#[derive(Debug, Default)]
pub(super) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0 << 8 | u64::from(b);
        }
    }

    fn write_u64(&mut self, serial: u64) {
        // hashbrown looks at the top seven bits, too.
        self.0 = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
