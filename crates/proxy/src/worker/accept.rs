//! Stage *admit*: takes connections in, within the listener's limit and from the networks it allows.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use octavia_wire::SocketName;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::thread::Thread;
use super::token::Token;
use crate::slab::Key;
use crate::snapshot::ListenerConf;
use crate::sys;

/// A listening socket of this thread.
pub(super) struct Listening {
    pub(super) name: SocketName,
    pub(super) fd: Arc<OwnedFd>,
    pub(super) listener: Arc<ListenerConf>,
    /// The kernel paces what its connections send.
    pub(super) paced: bool,
    key: Key,
    /// Not watched: the listener is full, or the process is out of descriptors.
    paused: bool,
}

/// What a try to accept came to.
pub(super) enum Accepted {
    Connection(OwnedFd, std::net::SocketAddr),
    /// A connection that is not let in: the next may be.
    Denied,
    /// A connection that is gone already.
    Dead,
    Nothing,
    /// The listener's limit is met.
    Full,
    /// No descriptor or memory is left for another connection.
    Exhausted,
}

impl Listening {
    pub(super) fn new(name: SocketName, fd: Arc<OwnedFd>, listener: Arc<ListenerConf>, key: Key) -> Self {
        let paced = sys::is_paced(&fd);
        Self { name, fd, listener, paced, key, paused: true }
    }

    /// Accepts a connection and counts it as open. Another thread may have found the listener full only because of
    /// a place taken here for a connection that was not there: `wake` tells it.
    pub(super) fn accept(&self, wake: impl FnOnce()) -> Accepted {
        let limit = self.limit().unwrap_or(u64::MAX);
        let one_more = |open| (open < limit).then_some(open + 1);
        if self.listener.state.open.fetch_update(SeqCst, SeqCst, one_more).is_err() {
            return Accepted::Full;
        }
        let result = match sys::accept(&self.fd) {
            // Of a proxy's connection the client is looked at when it is known.
            Ok((fd, peer)) if self.listener.lets_in(peer.ip().to_canonical()) => {
                return Accepted::Connection(fd, peer);
            }
            Ok(_) => Accepted::Denied,
            Err(Errno::AGAIN) => Accepted::Nothing,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Accepted::Exhausted,
            // The connection died in the queue.
            Err(_) => Accepted::Dead,
        };
        if closed(&self.listener) {
            wake();
        }
        result
    }

    /// How many connections there may be in this process.
    fn limit(&self) -> Option<u64> {
        let limit = u64::from(self.listener.connection_limit?);
        Some(limit.saturating_sub(self.listener.state.open_elsewhere.load(SeqCst)))
    }

    /// Whether no more may come in. Tells the threads that close connections to say when one may.
    pub(super) fn check_full(&self) -> bool {
        let state = &self.listener.state;
        let is_full = || self.limit().is_some_and(|limit| state.open.load(SeqCst) >= limit);
        if !is_full() {
            return false;
        }
        state.full.store(true, SeqCst);
        // The last connection may just have closed without seeing the flag.
        is_full()
    }

    pub(super) fn watch(&mut self, epoll: &OwnedFd) {
        if self.paused {
            let data = EventData::new_u64(Token::Listening(self.key).to_bits());
            self.paused = epoll::add(epoll, &*self.fd, data, EventFlags::IN).is_err();
        }
    }

    pub(super) fn pause(&mut self, epoll: &OwnedFd) {
        if !self.paused {
            self.paused = epoll::delete(epoll, &*self.fd).is_ok();
        }
    }
}

/// Counts a connection as closed; `true` when the listener was full, and threads wait to hear of it.
pub(super) fn closed(listener: &ListenerConf) -> bool {
    listener.state.open.fetch_sub(1, SeqCst);
    listener.state.full.load(SeqCst) && listener.state.full.swap(false, SeqCst)
}

/// Takes a connection in: every admitted connection goes through here.
pub(super) fn count(listener: &ListenerConf, t: &Thread) {
    listener.state.on(t.index).connections.add(1);
}

#[cfg(test)]
mod tests {
    use newtype_uuid::{GenericUuid, TypedUuid};
    use octavia_model::{IdKind, ListenerProtocol, Transport};
    use octavia_wire::{AmphoraSpec, ListenerSpec, TimeoutsSpec, WIRE_VERSION};

    use super::*;
    use crate::listen;
    use crate::snapshot::Snapshot;
    use crate::state::Registry;

    fn id<K: IdKind>() -> TypedUuid<K> {
        TypedUuid::from_untyped_uuid(uuid::Uuid::new_v4())
    }

    #[test]
    fn a_place_taken_in_vain_is_given_back_aloud() {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = ListenerSpec {
            id: id(),
            protocol: ListenerProtocol::Tcp,
            port: 1,
            connection_limit: Some(1),
            default_pool: None,
            insert_headers: vec![],
            timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
            allowed_cidrs: vec![],
            accept_proxy: vec![],
            l7policies: vec![],
            tls: None,
        };
        let name = SocketName { listener: listener.id, address, index: 0, transport: Transport::Tcp };
        let spec = AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: id(),
            load_balancer_id: id(),
            generation: 1,
            fence: 1,
            vips: vec![address.ip()],
            listeners: vec![listener],
            pools: vec![],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        };
        let snapshot = Snapshot::compile(&spec, &Registry::new(1).unwrap()).unwrap();
        let conf = snapshot.listener(name.listener).unwrap();
        let key = crate::slab::Slab::<()>::default().reserve();
        let listening = Listening::new(name, listen::bind(address).unwrap().into(), Arc::clone(conf), key);
        // Another thread looked while the place was taken, and waits to hear of it.
        for (waits, open, woken) in [(false, 0, false), (true, 0, true), (true, 1, false)] {
            conf.state.full.store(waits, SeqCst);
            conf.state.open.store(open, SeqCst);
            let mut told = false;
            let accepted = listening.accept(|| told = true);
            assert_eq!((matches!(accepted, Accepted::Full), told), (open == 1, woken));
            assert_eq!(conf.state.open.load(SeqCst), open);
        }
    }
}
