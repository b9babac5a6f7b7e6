//! Connections to members: made, lent to one exchange at a time, kept while idle.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::kit::Kit;
use super::sock::{Io, Sock};
use super::token::Token;
use crate::proxy_protocol::ProxyProtocol;
use crate::slab::{Key, Slab};
use crate::snapshot::MemberConf;
use crate::state::MemberState;
use crate::sys;

/// How long an unused connection is kept, in milliseconds. Common servers close theirs after 5 s or more: ours go
/// first, so that a request seldom meets a connection that is just being closed.
const IDLE_MS: u64 = 4_000;
/// Idle connections a thread keeps to one member, at most.
const IDLE_MAX: usize = 512;
/// Idle connections kept for one session only, at most.
const PRIVATE_MAX: usize = 8;

/// A connection to a member, lent to one exchange.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) sock: Sock,
    pub(super) member: Arc<MemberState>,
    address: SocketAddr,
    key: Key,
    /// It has carried a whole exchange before: if it dies before answering, the member may just have closed it.
    pub(super) reused: bool,
    /// A write to it has worked.
    pub(super) established: bool,
    /// What has to go out before anything else.
    pub(super) preface: Vec<u8>,
    /// The session it is for: it says whose it is, and carries nothing for others.
    private: Option<Key>,
    idle_since: u64,
}

impl Upstream {
    /// The connection is made, for sure.
    pub(super) fn connected(&self) -> bool {
        self.established || self.sock.has_peer()
    }

    /// It leads to where this member is now.
    fn is_to(&self, member: &MemberConf) -> bool {
        self.member.serial == member.state.serial && self.address == member.address
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

    /// Sends of `bytes` what can be sent now, after the preface.
    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8]) -> Io {
        if self.preface.is_empty() {
            return self.sock.send(bytes);
        }
        match self.sock.send_two(&self.preface, bytes) {
            Io::Bytes(n) => {
                let ours = n.min(self.preface.len());
                self.preface.drain(..ours);
                Io::Bytes(n - ours)
            }
            io => io,
        }
    }
}

/// Who gets the events of a member connection.
#[derive(Debug)]
enum Place {
    Lent(Key),
    Idle(Upstream),
}

/// All member connections of a thread.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    places: Slab<Place>,
    /// By member serial; the most recently used last.
    idle: HashMap<u64, Vec<Key>, BuildHasherDefault<SerialHasher>>,
    /// Idle ones that are for one session only, by its key.
    private: HashMap<u64, Vec<Key>, BuildHasherDefault<SerialHasher>>,
    swept: u64,
    /// Connections there may be, lent and idle.
    max: usize,
}

impl Upstreams {
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Lends an idle connection to `member`, if there is one.
    pub(super) fn take_idle(&mut self, member: &MemberConf, session: Key) -> Option<Upstream> {
        let keys = self.idle.get_mut(&member.state.serial)?;
        while let Some(key) = keys.pop() {
            let Some(place) = self.places.get_mut(key) else { continue };
            if let Place::Idle(mut upstream) = std::mem::replace(place, Place::Lent(session))
                && upstream.address == member.address
            {
                upstream.reused = true;
                return Some(upstream);
            }
            // Its member moved to another address.
            self.places.remove(key);
        }
        None
    }

    /// Lends this session an idle connection of its own to `member`, if there is one.
    pub(super) fn take_private(&mut self, member: &MemberConf, session: Key) -> Option<Upstream> {
        let keys = self.private.get_mut(&session.to_bits())?;
        let places = &mut self.places;
        let at = keys
            .iter()
            .position(|&key| matches!(places.get_mut(key), Some(Place::Idle(u)) if u.is_to(member)))?;
        let key = keys.swap_remove(at);
        let Place::Idle(mut upstream) = std::mem::replace(places.get_mut(key)?, Place::Lent(session)) else {
            return None;
        };
        upstream.reused = true;
        Some(upstream)
    }

    /// Closes the idle connections that were for this session only.
    #[inline]
    pub(super) fn session_ended(&mut self, session: Key) {
        if !self.private.is_empty()
            && let Some(keys) = self.private.remove(&session.to_bits())
        {
            keys.into_iter().for_each(|key| drop(self.places.remove(key)));
        }
    }

    /// Starts to make a connection.
    pub(super) fn connect(&mut self, member: &MemberConf, session: Key) -> Result<Upstream, Errno> {
        // Those that are lent are no more than there are clients: without the idle ones there is room.
        if self.places.len() >= self.max {
            self.retain_members(|_| false);
        }
        let fd = sys::connect(member.address)?;
        let key = self.places.reserve();
        self.places.fill(key, Place::Lent(session));
        Ok(Upstream {
            sock: Sock::connecting(fd, Token::Upstream(key).to_bits()),
            member: Arc::clone(&member.state),
            address: member.address,
            key,
            reused: false,
            established: false,
            preface: vec![],
            private: None,
            idle_since: 0,
        })
    }

    /// Takes back a connection that may carry another request.
    pub(super) fn keep(&mut self, mut upstream: Upstream, kit: &Kit, now: u64) {
        let (keys, max) = match upstream.private {
            None => (self.idle.entry(upstream.member.serial).or_default(), IDLE_MAX),
            Some(session) => (self.private.entry(session.to_bits()).or_default(), PRIVATE_MAX),
        };
        if keys.len() >= max {
            self.close(upstream);
            return;
        }
        // Registered, so that its end is noticed.
        upstream.sock.wait_read(&kit.epoll);
        upstream.idle_since = now;
        keys.push(upstream.key);
        self.places.fill(upstream.key, Place::Idle(upstream));
    }

    pub(super) fn close(&mut self, upstream: Upstream) {
        self.places.remove(upstream.key);
    }

    /// Whose event this is. An idle connection that has anything to say is over: it is dropped.
    #[inline]
    pub(super) fn owner(&mut self, key: Key, flags: EventFlags) -> Option<Key> {
        match self.places.get_mut(key)? {
            Place::Lent(session) => Some(*session),
            Place::Idle(_) if flags.difference(EventFlags::OUT).is_empty() => None,
            Place::Idle(_) => {
                if let Some(Place::Idle(upstream)) = self.places.remove(key) {
                    let keys = match upstream.private {
                        None => self.idle.get_mut(&upstream.member.serial),
                        Some(session) => self.private.get_mut(&session.to_bits()),
                    };
                    if let Some(keys) = keys {
                        keys.retain(|&k| k != key);
                    }
                }
                None
            }
        }
    }

    /// Closes the idle connections to members that `stays` does not name.
    pub(super) fn retain_members(&mut self, stays: impl Fn(u64) -> bool) {
        let places = &mut self.places;
        self.idle.retain(|&serial, keys| {
            let stays = stays(serial);
            if !stays {
                keys.drain(..).for_each(|key| drop(places.remove(key)));
            }
            stays
        });
        self.retain_private(|upstream| stays(upstream.member.serial));
    }

    fn retain_private(&mut self, stays: impl Fn(&Upstream) -> bool) {
        let places = &mut self.places;
        self.private.retain(|_, keys| {
            keys.retain(|&key| {
                let stays = matches!(places.get_mut(key), Some(Place::Idle(upstream)) if stays(upstream));
                if !stays {
                    places.remove(key);
                }
                stays
            });
            !keys.is_empty()
        });
    }

    /// Closes what was idle for long, about once a second. Returns how long until it wants to be called again.
    pub(super) fn sweep(&mut self, now: u64) -> Option<u64> {
        if self.idle.is_empty() && self.private.is_empty() {
            return None;
        }
        if now < self.swept + 1000 {
            return Some(self.swept + 1000 - now);
        }
        self.swept = now;
        let places = &mut self.places;
        self.idle.retain(|_, keys| {
            let is_fresh = |key: &Key, places: &mut Slab<Place>| {
                matches!(places.get_mut(*key), Some(Place::Idle(u)) if u.idle_since + IDLE_MS > now)
            };
            let old = keys.iter().position(|key| is_fresh(key, places)).unwrap_or(keys.len());
            keys.drain(..old).for_each(|key| drop(places.remove(key)));
            !keys.is_empty()
        });
        self.retain_private(|upstream| upstream.idle_since + IDLE_MS > now);
        (!self.idle.is_empty() || !self.private.is_empty()).then_some(1000)
    }
}

/// Counts a request (or TCP connection) that a member starts to serve.
pub(super) fn begin(member: &MemberState, thread: usize) {
    member.active.fetch_add(1, Relaxed);
    member.on(thread).requests.add(1);
}

/// Counts its end.
pub(super) fn end(member: &MemberState) {
    member.active.fetch_sub(1, Relaxed);
}

/// Serials are unique small numbers: they need no hashing.
#[derive(Debug, Default)]
struct SerialHasher(u64);

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
