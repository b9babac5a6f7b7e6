//! One client connection, from accept to close, and the exchange it is in the middle of.
//!
//! A session is driven by events: [`Session::drive`] goes from stage to stage until the connection has to wait or
//! is over. The stages are in modules of their own: `handshake`, `parse`, `connect`, `forward`, `tunnel`, `end`.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll::EventFlags;

use super::client::Client;
use super::flow::{Flow, Pace};
use super::mux::Mux;
use super::note::Note;
use super::scrape::Scrape;
use super::side::Side;
use super::sock::Sock;
use super::stream_end::StreamEnd;
use super::thread::{Going, Thread};
use super::token::Token;
use super::upstream::{self, Upstream};
use crate::http1::{Body, Framing};
use crate::persistence::Claim;
use crate::slab::Key;
use crate::snapshot::{ListenerConf, Mode};
use crate::state::ListenerCounters;
use crate::wheel::TimerId;

/// Stages gone through before other connections get their turn.
const TURNS: usize = 64;

pub(super) struct Session {
    pub(super) key: Key,
    pub(super) client: Client,
    /// The configuration of the exchange, or of the one before.
    pub(super) listener: Arc<ListenerConf>,
    /// Which configuration `listener` is from.
    pub(super) config: u64,
    /// The client's address; a v4 address is one, also on a v6 socket.
    pub(super) peer: SocketAddr,
    /// The address the client connected to.
    pub(super) local: SocketAddr,
    timer: Option<TimerId>,
    pub(super) stage: Stage,
    /// The timer runs for the head that is awaited.
    pub(super) head_timed: bool,
    /// The kernel paces what it sends.
    pub(super) paced: bool,
    /// Some request was answered before: this connection is being kept alive.
    pub(super) served: bool,
    /// Bytes read and not used: the beginning of the next request.
    pub(super) held: Vec<u8>,
    /// So many bytes of `held` are known not to hold a whole head.
    pub(super) seen: usize,
    pub(super) exchange: Option<Box<Exchange>>,
    /// The streams, if the client speaks HTTP/2.
    pub(super) mux: Option<Box<Mux>>,
}

/// An idle connection costs this and no buffer.
const _: () = assert!(size_of::<Session>() <= 256);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Is told by a proxy whose connection it is.
    Introduction,
    /// Agrees with the client on keys.
    Handshake,
    /// Waits for a request head.
    Head,
    /// Gets a connection to a member, and the first bytes into it.
    Connect,
    /// All members were tried: waits a little before it tries again.
    Pause,
    /// The rest of the request goes to the member, the response to the client.
    Forward,
    /// Bytes go both ways, unseen.
    Tunnel,
    /// Frames come, and go to streams with sessions of their own.
    Mux,
    /// Tells the client what we count.
    Scrape,
    /// Tells the client that nobody can take its request.
    Sorry,
    /// Said goodbye; reads what the client still sends, so that it gets to read our last words.
    Linger,
}

/// One request and its response, or the one "exchange" of a TCP connection.
pub(super) struct Exchange {
    pub(super) upstream: Option<Upstream>,
    /// What goes to the member first: the head and what came with it. Kept until the member answers, to be sent
    /// to another if this one does not.
    pub(super) request: Vec<u8>,
    pub(super) sent: usize,
    /// Client to member.
    pub(super) up: Flow,
    /// Member to client.
    pub(super) down: Flow,
    /// The beginning of a response head.
    pub(super) head: Vec<u8>,
    /// Places in the pool of members that failed this exchange.
    pub(super) tried: Vec<u16>,
    pub(super) place: u16,
    /// The place of the L7 policy that chose the pool; `None` = it is the default one.
    pub(super) policy: Option<u16>,
    /// What the request says of the member it wants.
    pub(super) claim: Claim,
    /// It got what it claimed.
    pub(super) granted: bool,
    pub(super) retries: u8,
    pub(super) interims: u8,
    pub(super) traits: Traits,
    /// Only a new connection will do.
    pub(super) fresh: bool,
    /// There is a member, and somebody else is making the connection to it.
    pub(super) awaits: bool,
    /// More of the request has gone to the member than is kept.
    pub(super) spent: bool,
    /// It came to its pool, and is counted there.
    pub(super) entered: bool,
    /// When it began, in milliseconds.
    pub(super) since: u64,
    /// When the member had its head, in milliseconds.
    pub(super) asked: u64,
    /// What we tell of what we count, if that is what is asked for.
    pub(super) scrape: Option<Box<Scrape>>,
    /// The member takes no more of the request; its answer may still come.
    pub(super) upload_dead: bool,
    /// The response's head is on its way to the client.
    pub(super) answered: bool,
    /// Its status, until it is counted.
    pub(super) status: Option<u16>,
    /// The member agreed to another protocol.
    pub(super) switched: bool,
    /// The connection to the member can carry another exchange after this one.
    pub(super) reusable: bool,
    /// The end of the client's stream was passed on to the member.
    pub(super) up_shut: bool,
    pub(super) down_shut: bool,
    /// Whose silence the timer is for.
    pub(super) waits_for: Party,
    /// Content has moved since the timer was set.
    pub(super) stirred: bool,
    /// For the access log.
    pub(super) note: Note,
}

/// What matters of a request once its head is gone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traits {
    pub(super) http11: bool,
    pub(super) to_head: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) replayable: bool,
    /// The method changes nothing (RFC 9110 §9.2.1).
    pub(super) safe: bool,
    /// The client wants what comes after the content, too.
    pub(super) trailers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Client,
    Member,
}

/// What a stage ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Wait,
    Close,
}

impl Exchange {
    pub(super) fn new(request: Vec<u8>, body: Body, traits: Traits, pace: Pace) -> Box<Self> {
        Box::new(Self {
            upstream: None,
            request,
            sent: 0,
            up: Flow::new(body, pace),
            down: Flow::new(Body::new(Framing::None), pace),
            head: vec![],
            tried: vec![],
            place: 0,
            policy: None,
            claim: Claim::None,
            granted: false,
            retries: 0,
            interims: 0,
            traits,
            fresh: false,
            awaits: false,
            spent: false,
            entered: false,
            since: 0,
            asked: 0,
            scrape: None,
            upload_dead: false,
            answered: false,
            status: None,
            switched: false,
            reusable: false,
            up_shut: false,
            down_shut: false,
            waits_for: Party::Member,
            stirred: true,
            note: Note::default(),
        })
    }
}

impl Session {
    pub(super) fn new(
        key: Key,
        fd: OwnedFd,
        listener: Arc<ListenerConf>,
        config: u64,
        peer: SocketAddr,
        local: SocketAddr,
        paced: bool,
    ) -> Self {
        let token = Token::Session(key).to_bits();
        let client = match &listener.tls {
            None => Client::Plain(Sock::new(fd, token)),
            Some(tls) => Client::tls(fd, token, &tls.server),
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let believed = listener.believes(peer.ip());
        let stage = if believed { Stage::Introduction } else { Self::first_stage(&listener) };
        let mut session = Self {
            key,
            client,
            listener,
            config,
            peer,
            local,
            timer: None,
            stage,
            head_timed: false,
            paced,
            served: false,
            held: vec![],
            seen: 0,
            exchange: None,
            mux: None,
        };
        if session.listener.mode == Mode::Tcp {
            let mut exchange =
                Exchange::new(vec![], Body::new(Framing::Close), Traits::default(), session.pace());
            exchange.down.body = Body::new(Framing::Close);
            session.exchange = Some(exchange);
        }
        session
    }

    /// Of a connection whose client is known.
    pub(super) fn first_stage(listener: &ListenerConf) -> Stage {
        match (&listener.tls, listener.mode) {
            (_, Mode::Tcp) => Stage::Connect,
            (Some(_), _) => Stage::Handshake,
            (None, _) => Stage::Head,
        }
    }

    /// That of one stream of `connection`, whose request is in `end`.
    pub(super) fn of_stream(key: Key, end: StreamEnd, connection: &Self) -> Self {
        Self {
            key,
            client: Client::Stream(Box::new(end)),
            listener: Arc::clone(&connection.listener),
            config: connection.config,
            peer: connection.peer,
            local: connection.local,
            timer: None,
            stage: Stage::Head,
            head_timed: false,
            paced: false,
            served: connection.served,
            held: vec![],
            seen: 0,
            exchange: None,
            mux: None,
        }
    }

    /// Does what can be done now; `false` when the connection is over.
    pub(super) fn drive(&mut self, t: &mut Thread) -> bool {
        let goes_on = self.drive_stages(t);
        let key = self.key;
        if let Some(end) = self.member_stream()
            && t.upstreams.settle(end, key)
        {
            t.again.push(key);
        }
        goes_on
    }

    /// The stream its member is asked on, if it speaks HTTP/2.
    pub(super) fn member_stream(&mut self) -> Option<&mut StreamEnd> {
        match &mut self.exchange.as_mut()?.upstream.as_mut()?.side {
            Side::Stream(end) => Some(end),
            Side::Plain(_) | Side::Tls(_) => None,
        }
    }

    fn drive_stages(&mut self, t: &mut Thread) -> bool {
        for _ in 0..TURNS {
            let next = match self.stage {
                Stage::Introduction => self.introduction(t),
                Stage::Handshake => self.handshake(t),
                Stage::Head => self.read_request(t),
                Stage::Connect => self.connect(t),
                Stage::Pause => self.pause(),
                Stage::Forward => self.forward(t),
                Stage::Tunnel => self.tunnel(t),
                Stage::Mux => self.multiplex(t),
                Stage::Scrape => self.scrape(t),
                Stage::Sorry => self.sorry(t),
                Stage::Linger => self.linger(t),
            };
            match next {
                Next::Go => {}
                Next::Wait => return true,
                Next::Close => return false,
            }
        }
        t.again.push(self.key);
        true
    }

    pub(super) fn pace(&self) -> Pace {
        match (self.paced, self.served) {
            (false, _) => Pace::AsItCan,
            (true, false) => Pace::New,
            (true, true) => Pace::Found,
        }
    }

    /// Waits for a request, with nothing of one here yet.
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Head && self.held.is_empty()
    }

    /// Lets go of everything that others share. The sockets close when the session is dropped.
    pub(super) fn close(&mut self, t: &mut Thread) {
        if let Some(mux) = self.mux.take() {
            mux.close(t);
        }
        self.client.close();
        self.exchange_end(t, false);
        t.upstreams.session_ended(self.key);
        t.kit.buffer_put(std::mem::take(&mut self.held));
        if let Some(timer) = self.timer.take() {
            t.wheel.remove(timer);
        }
    }

    /// Ends the exchange; with `reuse`, its connection to the member goes back to the idle ones.
    pub(super) fn exchange_end(&mut self, t: &mut Thread, reuse: bool) {
        if let Some(mut exchange) = self.exchange.take() {
            if t.pen.is_some() {
                self.log_exchange(&exchange, t);
            }
            exchange.detach(t, reuse);
            if let Some(route) = self.listener.route_for(exchange.policy).filter(|_| exchange.entered) {
                route.state.on(t.index).left.add(1);
            }
            if let Some(scrape) = exchange.scrape.take() {
                scrape.recycle(t);
            }
            t.kit.buffer_put(std::mem::take(&mut exchange.request));
            t.kit.buffer_put(std::mem::take(&mut exchange.head));
            t.kit.buffer_put(std::mem::take(&mut exchange.note.request));
            exchange.up.recycle(&mut t.kit);
            exchange.down.recycle(&mut t.kit);
        }
    }

    /// The connection ends after `limit` milliseconds of what it is waiting for; `None` = it waits for ever.
    #[inline]
    pub(super) fn arm(&mut self, t: &mut Thread, limit: Option<u32>) {
        match limit {
            Some(ms) => {
                let owner = self.key.to_bits();
                let timer = *self.timer.get_or_insert_with(|| t.wheel.add(owner));
                t.wheel.arm(timer, t.now + u64::from(ms));
            }
            None => {
                if let Some(timer) = self.timer {
                    t.wheel.disarm(timer);
                }
            }
        }
    }

    /// Something has happened on the connection to the member.
    #[inline]
    pub(super) fn notice_member(&mut self, flags: EventFlags) {
        if let Some(exchange) = &mut self.exchange
            && let Some(upstream) = &mut exchange.upstream
        {
            upstream.side.notice(flags);
        }
    }

    #[inline]
    pub(super) fn counters(&self, t: &Thread) -> &ListenerCounters {
        self.listener.state.on(t.index)
    }
}

impl Exchange {
    /// Gives up the connection to the member.
    pub(super) fn detach(&mut self, t: &mut Thread, reuse: bool) {
        (self.awaits, self.upload_dead) = (false, false);
        if let Some(upstream) = self.upstream.take() {
            upstream::end(&upstream.member);
            let stays = t.going == Going::No && upstream.way.is_of(&t.snapshot);
            if let Side::Stream(mut end) = upstream.side {
                t.upstreams.release(&mut end, stays, t.now);
                end.recycle(&mut t.kit);
            } else if reuse && stays {
                t.upstreams.keep(upstream, &t.kit, t.now);
            } else {
                t.upstreams.close(upstream);
            }
        }
    }
}
