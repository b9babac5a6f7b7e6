//! Stage *forward*: what is left of the request goes to the member, and the response to the client.

use std::ops::Range;
use std::sync::Arc;

use super::flow::{Moved, Pumped};
use super::session::{Exchange, Next, Party, Session, Stage};
use super::side::Side;
use super::sock::Io;
use super::thread::Thread;
use crate::access_log::Cause;
use crate::http1::{self, BadResponse, Body, ClientSide, Framing, Response};
use crate::snapshot::PoolConf;

/// Bytes read at once while a response's head is awaited.
const READ: usize = 16 * 1024;
/// The same, where what comes after the head will not pass through our memory.
const READ_HEAD: usize = 4 * 1024;
/// Content that came with the head is copied next to it up to this many bytes; more goes out from where it is.
const COPY_MAX: usize = 4 * 1024;
/// Interim responses a member may send before the real one.
const INTERIMS: u8 = 16;

impl Session {
    pub(super) fn forward(&mut self, t: &mut Thread) -> Next {
        if self.client.is_broken() {
            if self.exchange.as_ref().is_some_and(|e| !e.up.is_done() && !e.answered) {
                self.counters(t).request_errors.add(1);
            }
            return Next::Close;
        }
        let mut again = false;
        let mut client_awaited = false;
        if let Some(exchange) = &mut self.exchange
            && !exchange.up.is_done()
            && !exchange.upload_dead
        {
            match self.upload(t) {
                Ok(Pumped::Source) => client_awaited = true,
                Ok(Pumped::Again) => again = true,
                Ok(_) => {}
                Err(next) => return next,
            }
        }
        if self.exchange.as_ref().is_some_and(|e| !e.answered) {
            match self.read_response(t) {
                Next::Go => {}
                Next::Wait if again => return self.again(t),
                Next::Wait => {
                    let party = if client_awaited { Party::Client } else { Party::Member };
                    return self.await_party(t, party);
                }
                Next::Close => return Next::Close,
            }
            // The answer was our own, or the request goes to another member.
            if self.stage != Stage::Forward {
                return Next::Go;
            }
        }
        let Some(exchange) = &mut self.exchange else { return Next::Go };
        let Some(upstream) = &mut exchange.upstream else { return Next::Close };
        let mut moved = Moved::default();
        let pumped = exchange.down.pump_across(&mut upstream.side, &mut self.client, &mut t.kit, &mut moved);
        let party = match pumped {
            Pumped::Source => {
                upstream.side.wait_read(&t.kit.epoll);
                Party::Member
            }
            Pumped::Sink => {
                self.client.wait_write(&t.kit.epoll);
                Party::Client
            }
            _ => Party::Member,
        };
        exchange.stirred |= moved.is_some();
        exchange.note.sent += moved.written;
        self.listener.state.on(t.index).tx.add(moved.written);
        let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
        tally.add(|c| &c.received, moved.read);
        match pumped {
            Pumped::Source | Pumped::Sink if again => self.again(t),
            Pumped::Source | Pumped::Sink => self.await_party(t, party),
            Pumped::Again => self.again(t),
            Pumped::Done => self.exchange_done(t),
            Pumped::SinkFailed => Next::Close,
            Pumped::Truncated | Pumped::SourceFailed | Pumped::Malformed => {
                tally.add(|c| &c.response_errors, 1);
                self.ends(Cause::Member);
                self.break_off()
            }
        }
    }

    /// Moves the body of the request.
    fn upload(&mut self, t: &mut Thread) -> Result<Pumped, Next> {
        let Some(exchange) = &mut self.exchange else { return Err(Next::Close) };
        let Some(upstream) = &mut exchange.upstream else { return Err(Next::Close) };
        let mut moved = Moved::default();
        let pumped = exchange.up.pump_across(&mut self.client, &mut upstream.side, &mut t.kit, &mut moved);
        exchange.stirred |= moved.is_some();
        exchange.note.received += moved.read;
        exchange.spent |= moved.read > 0;
        self.listener.state.on(t.index).rx.add(moved.read);
        let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
        tally.add(|c| &c.sent, moved.written);
        match pumped {
            Pumped::Done => {
                let mut excess = std::mem::take(&mut exchange.up.excess);
                exchange.note.received -= excess.len() as u64;
                self.held.append(&mut excess);
            }
            Pumped::Source => self.client.wait_read(&t.kit.epoll),
            Pumped::Sink => upstream.side.wait_write(&t.kit.epoll),
            Pumped::Again => {}
            Pumped::SinkFailed => exchange.upload_dead = true,
            Pumped::Truncated | Pumped::SourceFailed => {
                self.counters(t).request_errors.add(1);
                return Err(Next::Close);
            }
            Pumped::Malformed if exchange.answered => return Err(Next::Close),
            Pumped::Malformed => return Err(self.refuse(t, 400)),
        }
        Ok(pumped)
    }

    /// Reads the response's head and sends it on with what came along. `Go` when that is done, or when the stage
    /// has changed.
    fn read_response(&mut self, t: &mut Thread) -> Next {
        let keep = !self.must_end(t);
        loop {
            let Some(exchange) = &mut self.exchange else { return Next::Close };
            let Some(upstream) = &mut exchange.upstream else { return Next::Close };
            let held = exchange.head.len();
            let scratch = &mut t.kit.scratch;
            scratch[..held].copy_from_slice(&exchange.head);
            let most = if upstream.large && held == 0 { READ_HEAD } else { READ };
            let len = match upstream.side.recv(&mut scratch[held..held + most], &mut t.kit.wire) {
                Io::Bytes(n) => {
                    exchange.stirred = true;
                    let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
                    tally.add(|c| &c.received, n as u64);
                    held + n
                }
                Io::Blocked => {
                    upstream.side.wait_read(&t.kit.epoll);
                    return Next::Wait;
                }
                Io::End | Io::Failed(_) => return self.member_failed(t),
            };
            let mut out = t.kit.buffer();
            let pool = self.listener.pool_for(exchange.policy).filter(|pool| pool.persistence.is_some());
            let hsts = self.listener.hsts.as_deref();
            let content = match exchange.respond(&t.kit.scratch[..len], keep, hsts, pool, t.now, &mut out) {
                Ok(content) => content,
                Err(error) => {
                    if let Some(upstream) = &exchange.upstream {
                        let member = &upstream.member;
                        tracing::debug!(member = %member.id(), %error, "member's answer cannot be used");
                        let tally = self.listener.tally(exchange.policy, member, t.index);
                        tally.add(|c| &c.response_errors, 1);
                    }
                    self.ends(Cause::Proxy);
                    return self.answer(t, 502);
                }
            };
            let (answered, switched) = (exchange.answered, exchange.switched);
            if let Some(status) = exchange.status.take() {
                self.listener.state.on(t.index).responses.count(status);
                if let Some(upstream) = &exchange.upstream {
                    let took = t.now.saturating_sub(exchange.asked);
                    self.listener.tally(exchange.policy, &upstream.member, t.index).each(|c| {
                        c.responses.count(status);
                        c.response.count(took);
                    });
                }
            }
            if !self.send_out(t, out, content) {
                return Next::Close;
            }
            if switched {
                return self.switch_protocol(t);
            }
            if answered {
                return Next::Go;
            }
        }
    }

    /// Sends `out`, and `content`, a part of the scratch memory, after it; what does not go out now is put in line.
    /// `false` when the client is gone.
    fn send_out(&mut self, t: &mut Thread, mut out: Vec<u8>, content: Range<usize>) -> bool {
        let Some(exchange) = &mut self.exchange else { return false };
        let ready = exchange.down.is_flushed() && !out.is_empty();
        let mut more = false;
        if let (Side::Plain(_), Some(upstream)) = (&self.client, &mut exchange.upstream)
            && let Side::Plain(member) = &mut upstream.side
            && exchange.answered
        {
            upstream.large = exchange.down.is_large();
            let mut moved = Moved::default();
            more = ready && exchange.down.fill(member, &mut t.kit, &mut moved);
            let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
            tally.add(|c| &c.received, moved.read);
        }
        let mut content = &t.kit.scratch[content];
        if content.len() <= COPY_MAX {
            out.extend_from_slice(content);
            content = &[];
        }
        let mut sent = 0;
        if ready {
            let result = match (&mut self.client, content) {
                (Side::Plain(client), _) if more => client.send_two_of_more(&out, content),
                (client, []) => client.send(&out, &mut t.kit.wire),
                (client, _) => client.send_two(&mut out, content, &mut t.kit.wire),
            };
            sent = match result {
                Io::Bytes(n) => n,
                Io::Blocked => 0,
                Io::End | Io::Failed(_) => return false,
            };
            exchange.note.sent += sent as u64;
            self.listener.state.on(t.index).tx.add(sent as u64);
            exchange.down.sent_ahead(if more { sent } else { 0 });
        }
        if sent < out.len() + content.len() {
            out.extend_from_slice(content);
            exchange.down.push(out, sent, &mut t.kit);
        } else {
            t.kit.buffer_put(out);
        }
        true
    }

    /// The member agreed to speak another protocol: from now on bytes go through unseen.
    fn switch_protocol(&mut self, t: &mut Thread) -> Next {
        if let Some(exchange) = &mut self.exchange {
            exchange.up.body = Body::new(Framing::Close);
            let held = std::mem::take(&mut self.held);
            exchange.up.push(held, 0, &mut t.kit);
        }
        self.stage = Stage::Tunnel;
        Next::Go
    }

    fn again(&mut self, t: &mut Thread) -> Next {
        t.again.push(self.key);
        Next::Wait
    }

    /// Only content puts the end off: whoever sends what comes to nothing, such as empty records of TLS, is silent.
    fn await_party(&mut self, t: &mut Thread, party: Party) -> Next {
        if let Some(exchange) = &mut self.exchange {
            let stirred = std::mem::take(&mut exchange.stirred);
            if std::mem::replace(&mut exchange.waits_for, party) == party && !stirred {
                return Next::Wait;
            }
        }
        let timeouts = &self.listener.timeouts;
        self.arm(
            t,
            match party {
                Party::Client => timeouts.client_data,
                Party::Member => timeouts.member_data,
            },
        );
        Next::Wait
    }
}

impl Exchange {
    /// Looks at the first bytes of the member's answer: appends to `out` the heads (interim ones, too) that are
    /// complete, and returns where in `bytes` the content is that goes after them. An incomplete head is kept.
    /// `pool` is the one it is for, if clients come back to its members; `now` is in milliseconds.
    fn respond(
        &mut self,
        bytes: &[u8],
        keep: bool,
        hsts: Option<&[u8]>,
        pool: Option<&Arc<PoolConf>>,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, BadResponse> {
        let traits = self.traits;
        self.head.clear();
        let mut at = 0;
        loop {
            let mut slots = http1::header_slots();
            let Some(mut response) =
                Response::parse(&bytes[at..], &mut slots, traits.to_head, traits.upgrade)?
            else {
                self.head.extend_from_slice(&bytes[at..]);
                return Ok(0..0);
            };
            at += response.len;
            let side = ClientSide::of(&response, traits.http11, keep && traits.keep_alive)
                .ok_or(BadResponse("a coding that HTTP/1.0 does not know"))?
                .with_hsts(hsts);
            if response.is_interim() {
                self.interims += 1;
                if self.interims > INTERIMS {
                    return Err(BadResponse("too many interim responses"));
                }
                // HTTP/1.0 clients do not know them.
                if traits.http11 {
                    http1::write_response(&response, side, out);
                }
                if at == bytes.len() {
                    return Ok(0..0);
                }
                continue;
            }
            self.answered = true;
            self.status = Some(response.status);
            self.note.status = Some(response.status);
            self.reusable = response.keep_alive;
            self.switched = response.status == 101;
            self.traits.keep_alive = side.keep_alive;
            if let Some(pool) = pool
                && let Some(persistence) = &pool.persistence
            {
                let member = pool.members[usize::from(self.place)].id;
                persistence.answered(&mut response, member, self.granted, traits.safe, now);
            }
            http1::write_response(&response, side, out);
            let framing = if self.switched { Framing::Close } else { response.framing };
            self.down.body = Body::new(framing);
            self.down.unchunk = side.unchunk;
            let malformed = |_| BadResponse("chunked body");
            let used = if side.unchunk {
                self.down.body.decode(&bytes[at..], out).map_err(malformed)?
            } else {
                self.down.body.advance(&bytes[at..]).map_err(malformed)?
            };
            if at + used < bytes.len() {
                // More than the response: a connection not to be trusted again.
                self.reusable = false;
            }
            return Ok(if side.unchunk { 0..0 } else { at..at + used });
        }
    }
}
