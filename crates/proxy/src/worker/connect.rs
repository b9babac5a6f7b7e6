//! Stage *connect*: picks a member, gets a connection to it and the request into it; tries another member while
//! that is safe.

use super::handshake::HANDSHAKE_MS;
use super::session::{Exchange, Next, Party, Session, Stage};
use super::side::Side;
use super::sock::Io;
use super::stream_end::Fate;
use super::thread::Thread;
use super::tls::Shake;
use super::trunk::Asks;
use super::trunks::Joined;
use super::upstream::{self, Destination};
use crate::access_log::Cause;
use crate::snapshot::{Mode, Route};
use crate::state::Tally;

/// Further members (or, when all were tried, further rounds) an exchange tries after its first.
const RETRIES: u8 = 3;
/// The pause before members that failed are tried again, in milliseconds.
const PAUSE_MS: u32 = 1_000;
/// Of a TCP client's first bytes, so many are read before there is a member.
const FIRST_BYTES: usize = 16 * 1024;

/// Counts a connection that is made.
fn established(tally: Tally<'_>, since: u64, now: u64) {
    tally.each(|c| {
        c.connections.add(1);
        c.connect.count(now.saturating_sub(since));
    });
}

impl Exchange {
    fn asks(&self) -> Asks {
        Asks { to_head: self.traits.to_head, trailers: self.traits.trailers }
    }
}

impl Session {
    pub(super) fn connect(&mut self, t: &mut Thread) -> Next {
        if self.client.is_broken() {
            return Next::Close;
        }
        let tcp = self.listener.mode == Mode::Tcp;
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        if tcp && exchange.since == 0 {
            exchange.since = t.now;
        }
        if exchange.upstream.is_none() {
            let listener = &self.listener;
            let Some(Route { pool, state }) = listener.route_for(exchange.policy) else {
                return self.nobody(t);
            };
            if !std::mem::replace(&mut exchange.entered, true) {
                state.on(t.index).entered.add(1);
            }
            if !exchange.awaits {
                let picked = pool.pick_for(self.peer, exchange.claim, &exchange.tried, t.now);
                let Some((place, granted)) = picked else {
                    return if exchange.tried.is_empty() { self.nobody(t) } else { self.all_tried(t) };
                };
                exchange.place = place as u16;
                exchange.note.picked = true;
                exchange.granted = granted;
                if !granted {
                    let member = &pool.members[place].state;
                    listener.tally(exchange.policy, member, t.index).add(|c| &c.balanced, 1);
                }
            }
            if let Some(next) = self.reach(t) {
                return next;
            }
        }
        if tcp { self.send_first_bytes(t) } else { self.send_request(t) }
    }

    /// Gets a connection to the member that was picked, or begins to make one. `None` = there it is.
    fn reach(&mut self, t: &mut Thread) -> Option<Next> {
        let tcp = self.listener.mode == Mode::Tcp;
        let exchange = self.exchange.as_mut()?;
        let Route { pool, .. } = self.listener.route_for(exchange.policy)?;
        let member = &pool.members[usize::from(exchange.place)];
        let tally = self.listener.tally(exchange.policy, &member.state, t.index);
        let introduced = pool.proxy_protocol();
        // As with the original, the member is asked for the name that the client has asked us for.
        let name = pool.tls.as_ref().and_then(|_| self.client.server_name());
        // What is to become another protocol begins as HTTP/1.1.
        let http2 =
            !tcp && !exchange.traits.upgrade && pool.tls.as_ref().is_some_and(|tls| tls.offers_http2());
        let to = Destination { member, tls: pool.tls.as_ref(), name, http2 };
        let joined = if http2 {
            let asks = exchange.asks();
            t.upstreams.join(&to, self.key, introduced.is_some(), asks, &mut t.kit, t.now)
        } else {
            Joined::Nothing
        };
        let idle = match (joined, introduced) {
            (Joined::Stream(upstream), _) => Some(upstream),
            (Joined::Wait, _) => return Some(self.await_connection(t)),
            _ if tcp || exchange.fresh => None,
            (Joined::Nothing, None) => t.upstreams.take_idle(&to, self.key),
            (Joined::Nothing, Some(_)) => t.upstreams.take_private(&to, self.key),
        };
        let made = match idle {
            Some(upstream) => {
                tally.add(|c| &c.reuses, 1);
                Ok(upstream)
            }
            None if http2 && introduced.is_none() && t.upstreams.await_attempt(&to, self.key) => {
                return Some(self.await_connection(t));
            }
            None => {
                tally.add(|c| &c.attempts, 1);
                t.upstreams.connect(&to, self.key, t.now).map(|mut upstream| {
                    match introduced {
                        Some(version) => upstream.introduce(version, self.peer, self.local, self.key),
                        None if http2 => t.upstreams.attempt_begins(&upstream),
                        None => {}
                    }
                    upstream
                })
            }
        };
        match made {
            Ok(upstream) => {
                upstream::begin(&member.state, tally, t.now);
                exchange.upstream = Some(upstream);
                exchange.awaits = false;
                None
            }
            Err(error) => {
                tracing::debug!(member = %member.id, %error, "member cannot be connected to");
                tally.add(|c| &c.connect_errors, 1);
                Some(self.try_another(t))
            }
        }
    }

    /// Somebody else is making the connection that may be of use to this exchange, too.
    fn await_connection(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        exchange.waits_for = Party::Member;
        if !std::mem::replace(&mut exchange.awaits, true) {
            self.client.wait_read(&t.kit.epoll);
            self.arm(t, Some(self.listener.timeouts.member_connect.unwrap_or(HANDSHAKE_MS)));
        }
        Next::Wait
    }

    /// Agrees with the member on keys. `None` = that is done, or there is nothing to agree on.
    #[inline]
    fn shake_hands(&mut self, t: &mut Thread) -> Option<Next> {
        let exchange = self.exchange.as_mut()?;
        let upstream = exchange.upstream.as_mut()?;
        let since = upstream.since;
        match upstream.handshake(&mut t.kit.wire) {
            Shake::Done if upstream.established || !matches!(upstream.side, Side::Tls(_)) => None,
            Shake::Done => {
                let asks = exchange.asks();
                let agreed = t.upstreams.agreed(exchange.upstream.take()?, asks, &mut t.kit, t.now);
                let upstream = exchange.upstream.insert(agreed);
                if upstream.established {
                    let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
                    established(tally, since, t.now);
                }
                None
            }
            Shake::Wait => {
                upstream.side.wait_read(&t.kit.epoll);
                exchange.waits_for = Party::Member;
                // Part of making the connection: dribbling does not put it off.
                let limit = self.listener.timeouts.member_connect.unwrap_or(HANDSHAKE_MS);
                let left = (upstream.since + u64::from(limit)).saturating_sub(t.now);
                self.arm(t, Some(left as u32));
                Some(Next::Wait)
            }
            Shake::Refused | Shake::Gone => Some(self.member_failed(t)),
        }
    }

    fn send_request(&mut self, t: &mut Thread) -> Next {
        if let Some(next) = self.shake_hands(t) {
            return next;
        }
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let Some(upstream) = &mut exchange.upstream else { return Next::Close };
        match upstream.send(&exchange.request[exchange.sent..], &mut t.kit.wire) {
            Io::Bytes(n) => {
                let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
                if !upstream.established {
                    upstream.established = true;
                    established(tally, upstream.since, t.now);
                }
                tally.add(|c| &c.sent, n as u64);
                exchange.sent += n;
                exchange.stirred = true;
                if exchange.sent == exchange.request.len() && upstream.preface.is_empty() {
                    exchange.asked = t.now;
                    self.stage = Stage::Forward;
                }
                Next::Go
            }
            Io::Blocked => {
                upstream.side.wait_write(&t.kit.epoll);
                let established = upstream.established;
                exchange.waits_for = Party::Member;
                let timeouts = &self.listener.timeouts;
                self.arm(t, if established { timeouts.member_data } else { timeouts.member_connect });
                Next::Wait
            }
            Io::End | Io::Failed(_) => self.member_failed(t),
        }
    }

    /// A TCP client's first bytes go out with the first try; a client that waits for the member to speak has none.
    fn send_first_bytes(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let Some(upstream) = &mut exchange.upstream else { return Next::Close };
        if exchange.request.is_empty() {
            let scratch = &mut t.kit.scratch[..FIRST_BYTES];
            match self.client.recv(scratch, &mut t.kit.wire) {
                Io::Bytes(n) => {
                    self.listener.state.on(t.index).rx.add(n as u64);
                    exchange.note.received += n as u64;
                    exchange.request.extend_from_slice(&scratch[..n]);
                }
                Io::Blocked => {}
                Io::End => exchange.up.source_ended(),
                Io::Failed(_) => return Next::Close,
            }
        }
        if !exchange.request.is_empty() || !upstream.preface.is_empty() {
            let next = self.send_request(t);
            if self.stage == Stage::Forward {
                self.stage = Stage::Tunnel;
            }
            return next;
        }
        if let Some(next) = self.shake_hands(t) {
            self.client.wait_read(&t.kit.epoll);
            return next;
        }
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let Some(upstream) = &mut exchange.upstream else { return Next::Close };
        if upstream.side.is_broken() {
            return self.member_failed(t);
        }
        if upstream.connected() {
            upstream.established = true;
            let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
            established(tally, upstream.since, t.now);
            self.stage = Stage::Tunnel;
            return Next::Go;
        }
        upstream.side.wait_write(&t.kit.epoll);
        self.client.wait_read(&t.kit.epoll);
        exchange.waits_for = Party::Member;
        self.arm(t, self.listener.timeouts.member_connect);
        Next::Wait
    }

    /// The member did not take the exchange, or died before it said a word: another may, if that does no harm.
    pub(super) fn member_failed(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let Some(upstream) = &exchange.upstream else {
            // Nor did whoever was making the connection get one.
            return if exchange.awaits { self.try_another(t) } else { Next::Close };
        };
        let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
        match upstream.side.fate() {
            // It has done nothing with it, and says so (RFC 9113 §8.7).
            Fate::Refused if !exchange.spent => return self.try_another(t),
            Fate::Left if !exchange.spent && exchange.retries < RETRIES => {
                tally.add(|c| &c.retries, 1);
                return self.try_again(t);
            }
            _ => {}
        }
        if !upstream.established {
            let why = upstream.side.trouble();
            tracing::debug!(member = %upstream.member.id(), why, "member cannot be connected to");
            tally.add(|c| &c.connect_errors, 1);
            return self.try_another(t);
        }
        if upstream.reused
            && exchange.traits.replayable
            && exchange.head.is_empty()
            && exchange.retries < RETRIES
        {
            // Closed while idle, most likely: the same member may well take it over a new connection.
            tally.add(|c| &c.retries, 1);
            return self.try_again(t);
        }
        tally.add(|c| &c.response_errors, 1);
        if self.listener.mode == Mode::Tcp {
            self.ends(Cause::Member);
            return Next::Close;
        }
        self.answer(t, 502)
    }

    /// The same over a new connection.
    fn try_again(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        exchange.retries += 1;
        exchange.fresh = true;
        exchange.sent = 0;
        exchange.detach(t, false);
        self.stage = Stage::Connect;
        Next::Go
    }

    fn try_another(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        exchange.detach(t, false);
        exchange.sent = 0;
        if exchange.retries == RETRIES {
            return self.nobody(t);
        }
        exchange.retries += 1;
        if let Some(Route { pool, .. }) = self.listener.route_for(exchange.policy) {
            let member = &pool.members[usize::from(exchange.place)];
            let tally = self.listener.tally(exchange.policy, &member.state, t.index);
            tally.add(|c| &c.redispatches, 1);
        }
        exchange.tried.push(exchange.place);
        self.stage = Stage::Connect;
        Next::Go
    }

    /// Every member that can take traffic failed this exchange: one may be just starting again.
    fn all_tried(&mut self, t: &mut Thread) -> Next {
        if let Some(exchange) = &mut self.exchange {
            exchange.tried.clear();
        }
        self.stage = Stage::Pause;
        self.client.wait_read(&t.kit.epoll);
        let limit = self.listener.timeouts.member_connect.unwrap_or(PAUSE_MS);
        self.arm(t, Some(limit.min(PAUSE_MS)));
        Next::Wait
    }

    /// Stage *pause*: only the timer ends it, or the client.
    pub(super) fn pause(&mut self) -> Next {
        if self.client.is_broken() { Next::Close } else { Next::Wait }
    }

    /// No member can take it.
    fn nobody(&mut self, t: &mut Thread) -> Next {
        if self.listener.mode == Mode::Tcp {
            self.ends(Cause::Member);
            return Next::Close;
        }
        self.no_member(t)
    }
}
