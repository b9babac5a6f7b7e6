//! How exchanges and connections end: well, with an answer of our own, or by the clock.

use super::session::{Next, Party, Session, Stage};
use super::side::Side;
use super::sock::Io;
use super::thread::Thread;
use crate::access_log::{Cause, Ending};
use crate::http1::{self, Answer};

/// How long a client may take to read our last words, in milliseconds.
const LINGER_MS: u32 = 2_000;

impl Session {
    /// Request and response are through.
    pub(super) fn exchange_done(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let uploaded = exchange.up.is_done();
        let reuse = uploaded
            && exchange.reusable
            && exchange.down.excess.is_empty()
            && exchange.upstream.as_mut().is_some_and(|u| u.side.is_quiet(&mut t.kit.wire));
        let keep = uploaded && exchange.traits.keep_alive;
        exchange.note.ends(Ending::WELL);
        self.count_duration(t);
        self.exchange_end(t, reuse);
        self.served = true;
        if keep {
            self.stage = Stage::Head;
            self.head_timed = false;
            Next::Go
        } else if uploaded && self.held.is_empty() && !self.client.is_readable() {
            Next::Close
        } else {
            self.say_goodbye(t)
        }
    }

    /// Answers a request by ourselves. The connection goes on if the request was all read.
    pub(super) fn answer(&mut self, t: &mut Thread, status: u16) -> Next {
        self.answer_with(t, status, None, None)
    }

    /// Says which methods there is an answer for.
    pub(super) fn no_method(&mut self, t: &mut Thread) -> Next {
        self.answer_with(t, 405, None, Some("GET, HEAD"))
    }

    /// Sends the client elsewhere, as [`Session::answer`] does.
    pub(super) fn redirect(&mut self, t: &mut Thread, code: u16, location: Vec<u8>) -> Next {
        let next = self.answer_with(t, code, Some(&location), None);
        t.kit.buffer_put(location);
        next
    }

    fn answer_with(
        &mut self,
        t: &mut Thread,
        status: u16,
        location: Option<&[u8]>,
        allow: Option<&str>,
    ) -> Next {
        let keep = !self.must_end(t);
        let (keep, http11, to_head) = match &self.exchange {
            Some(exchange) => {
                let traits = exchange.traits;
                (keep && traits.keep_alive && exchange.up.is_done(), traits.http11, traits.to_head)
            }
            None => (false, true, false),
        };
        let mut out = t.kit.buffer();
        let hsts = self.listener.hsts.as_deref();
        let answer = Answer { status, location, allow, page: None, http11, keep_alive: keep, to_head, hsts };
        http1::write_answer(answer, &mut out);
        // An interim response that the client has not read yet leaves no room for another.
        let room = self.exchange.as_ref().is_none_or(|exchange| exchange.down.is_flushed());
        let sent = match if room { self.client.send(&out, &mut t.kit.wire) } else { Io::Blocked } {
            Io::Bytes(n) => n,
            Io::Blocked | Io::End | Io::Failed(_) => 0,
        };
        self.counters(t).tx.add(sent as u64);
        match &mut self.exchange {
            Some(exchange) => {
                exchange.note.sent += sent as u64;
                exchange.note.status = Some(status);
                exchange.note.ends(Ending::of_answer(status, true));
            }
            None if t.pen.is_some() => self.log_broken(status, sent as u64, self.held.len() as u64, t),
            None => {}
        }
        let all = sent == out.len();
        t.kit.buffer_put(out);
        self.counters(t).responses.count(status);
        self.count_duration(t);
        if let Some(exchange) = self.exchange.as_ref().filter(|exchange| exchange.entered)
            && let Some(route) = self.listener.route_for(exchange.policy)
        {
            route.state.on(t.index).upstream.responses.count(status);
        }
        self.exchange_end(t, false);
        self.served = true;
        if !all {
            return Next::Close;
        }
        if keep {
            self.stage = Stage::Head;
            self.head_timed = false;
            return Next::Go;
        }
        self.say_goodbye(t)
    }

    /// Answers a request that is the client's mistake; nothing after it on this connection can be trusted.
    pub(super) fn refuse(&mut self, t: &mut Thread, status: u16) -> Next {
        self.counters(t).request_errors.add(1);
        match &mut self.exchange {
            Some(exchange) => exchange.traits.keep_alive = false,
            // It counts as a request, although it did not become one.
            None => self.counters(t).requests.add(1),
        }
        self.answer(t, status)
    }

    /// Counts how long the request took that is answered now.
    pub(super) fn count_duration(&self, t: &Thread) {
        if let Some(exchange) = &self.exchange {
            self.counters(t).durations.count(t.now.saturating_sub(exchange.since));
        }
    }

    /// Ends our stream. Closing at once would reset the connection if the client is still sending, and it might
    /// never read what we said.
    pub(super) fn say_goodbye(&mut self, t: &mut Thread) -> Next {
        self.client.shutdown_write();
        self.held.clear();
        self.stage = Stage::Linger;
        self.arm(t, Some(LINGER_MS));
        Next::Go
    }

    pub(super) fn linger(&mut self, t: &mut Thread) -> Next {
        match self.client.discard(&mut t.kit.scratch) {
            Io::Bytes(_) => Next::Go,
            Io::Blocked => {
                self.client.wait_read(&t.kit.epoll);
                Next::Wait
            }
            Io::End | Io::Failed(_) => Next::Close,
        }
    }

    /// The timer fired. `false` when the connection is over.
    pub(super) fn timed_out(&mut self, t: &mut Thread) -> bool {
        let next = match self.stage {
            Stage::Introduction => self.not_introduced(t),
            Stage::Handshake => {
                self.counters(t).request_errors.add(1);
                Next::Close
            }
            Stage::Head if self.served && self.held.is_empty() => Next::Close,
            Stage::Head => self.refuse(t, 408),
            Stage::Connect => {
                if self.exchange.as_ref().is_some_and(|e| e.upstream.as_ref().is_some_and(|u| u.established))
                {
                    self.member_silent(t)
                } else {
                    self.member_failed(t)
                }
            }
            Stage::Pause => {
                self.stage = Stage::Connect;
                Next::Go
            }
            Stage::Forward => match &self.exchange {
                Some(exchange) if exchange.waits_for == Party::Member => self.member_silent(t),
                Some(exchange) if !exchange.answered => self.refuse(t, 408),
                _ => {
                    self.ends(Cause::ClientSilent);
                    Next::Close
                }
            },
            Stage::Mux => self.multiplex_timed_out(t),
            Stage::Scrape => self.break_off_scrape(),
            Stage::Sorry => self.sorry_timed_out(),
            Stage::Tunnel => {
                let timeouts = &self.listener.timeouts;
                let client = timeouts.client_data.unwrap_or(u32::MAX);
                let member = timeouts.member_data.unwrap_or(u32::MAX);
                self.ends(if client <= member { Cause::ClientSilent } else { Cause::MemberSilent });
                Next::Close
            }
            Stage::Linger => Next::Close,
        };
        match next {
            Next::Go => self.drive(t),
            Next::Wait => true,
            Next::Close => false,
        }
    }

    fn member_silent(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        if let Some(upstream) = &mut exchange.upstream {
            let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);
            tally.add(|c| &c.response_errors, 1);
            if let Side::Stream(end) = &mut upstream.side {
                t.upstreams.suspect(end, exchange.asked);
            }
        }
        if exchange.answered {
            self.ends(Cause::MemberSilent);
            return self.break_off();
        }
        self.answer(t, 504)
    }

    /// The message to the client breaks off: nothing else can be said any more. One that goes on to the end of its
    /// connection would seem whole, if that ended like any other.
    pub(super) fn break_off(&mut self) -> Next {
        if self.exchange.as_ref().is_some_and(|exchange| exchange.down.body.ends_with_connection()) {
            self.client.break_off();
        }
        Next::Close
    }
}
