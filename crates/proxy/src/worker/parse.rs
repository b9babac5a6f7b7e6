//! Stage *head*: reads a request, refuses what is broken, and takes the current configuration for what is not: its L7
//! policies say who answers.

use super::client::Client;
use super::note;
use super::session::{Exchange, Next, Session, Stage, Traits};
use super::sock::Io;
use super::thread::{Going, Thread};
use crate::http1::{self, Body, Forwarding, MAX_HEAD, Refusal, Request};
use crate::http2::PREFACE;
use crate::layer7::{self, Action};
use crate::persistence::Claim;
use crate::snapshot::Mode;

/// Bytes read at once while a head is awaited.
const READ: usize = 16 * 1024;

/// What the bytes read so far amount to.
enum Begun {
    /// The head is not complete.
    Nothing,
    /// A member gets the request.
    Exchange,
    /// We answer it.
    Reject,
    /// What we count is the answer.
    Scrape,
    /// There is an answer for other methods alone.
    NoMethod,
    Redirect {
        code: u16,
        location: Vec<u8>,
    },
}

impl Session {
    pub(super) fn read_request(&mut self, t: &mut Thread) -> Next {
        let held = self.held.len();
        let scratch = &mut t.kit.scratch;
        scratch[..held].copy_from_slice(&self.held);
        let mut len = held;
        // Pipelined bytes are looked at before more are read.
        if held == 0 || self.seen > 0 {
            match self.client.recv(&mut scratch[held..held + READ], &mut t.kit.wire) {
                Io::Bytes(n) => {
                    len += n;
                    self.listener.state.on(t.index).rx.add(n as u64);
                }
                Io::Blocked => return self.await_request(t),
                Io::End | Io::Failed(_) => {
                    if held > 0 {
                        self.counters(t).request_errors.add(1);
                    }
                    return Next::Close;
                }
            }
        }
        if self.seen > 0 && len < MAX_HEAD && !http1::may_be_complete(&t.kit.scratch[..len], self.seen) {
            return self.hold(t, len);
        }
        self.refresh(t);
        match self.begin(t, len) {
            Ok(Begun::Exchange) => {
                self.stage = Stage::Connect;
                Next::Go
            }
            Ok(Begun::Nothing) => self.hold(t, len),
            Ok(Begun::Reject) => {
                self.counters(t).denied_requests.add(1);
                self.answer(t, 403)
            }
            Ok(Begun::Redirect { code, location }) => {
                self.counters(t).intercepted.add(1);
                self.redirect(t, code, location)
            }
            Ok(Begun::Scrape) => {
                self.counters(t).intercepted.add(1);
                self.scrape_begin(t)
            }
            Ok(Begun::NoMethod) => self.no_method(t),
            Err(refusal) => self.not_http1(t, len, refusal),
        }
    }

    /// Makes an exchange of the head at the start of the scratch memory.
    fn begin(&mut self, t: &mut Thread, len: usize) -> Result<Begun, Refusal> {
        let mut out = t.kit.buffer();
        let mut line = if t.pen.is_some() { t.kit.buffer() } else { vec![] };
        let bytes = &t.kit.scratch[..len];
        let mut slots = http1::header_slots();
        let Some(mut request) = Request::parse(bytes, &mut slots)? else {
            t.kit.buffer_put(out);
            t.kit.buffer_put(line);
            return Ok(Begun::Nothing);
        };
        let mut body = Body::new(request.framing);
        let rest = &bytes[request.len..];
        let used = body.advance(rest).map_err(|_| Refusal::Malformed("chunked body"))?;
        let (content, rest) = rest.split_at(used);
        let policies = &self.listener.policies;
        let seen = self.client.seen();
        let policy =
            if policies.is_empty() { None } else { layer7::decide(policies, &request, seen.as_ref()) };
        let mut claim = Claim::None;
        let begun = match policy.map(|place| &policies[usize::from(place)].action) {
            _ if self.listener.mode == Mode::Metrics && request.asks_only() => Begun::Scrape,
            _ if self.listener.mode == Mode::Metrics => Begun::NoMethod,
            None | Some(Action::Pool(_)) => {
                if let Some(persistence) = self.listener.persistence_for(policy) {
                    claim = persistence.claim(&mut request);
                }
                let forwarding = Forwarding {
                    client: self.peer.ip(),
                    local: self.local,
                    insert: self.listener.insert_headers,
                    tls: seen,
                };
                http1::write_request(&request, &forwarding, &mut out);
                out.extend_from_slice(content);
                Begun::Exchange
            }
            Some(Action::Reject) => Begun::Reject,
            Some(Action::Redirect(redirect)) => {
                redirect.location(request.target, &mut out);
                Begun::Redirect { code: redirect.code, location: std::mem::take(&mut out) }
            }
        };
        let traits = Traits {
            http11: request.http11,
            to_head: request.is_head(),
            keep_alive: request.keep_alive && self.listener.mode == Mode::Http,
            upgrade: request.upgrade,
            replayable: request.is_replayable(),
            safe: request.is_safe(),
            trailers: request.takes_trailers,
        };
        if t.pen.is_some() {
            note::write_request(&request, self.is_stream(), &mut line);
        }
        let received = len - rest.len();
        self.held.clear();
        self.held.extend_from_slice(rest);
        self.seen = 0;
        let mut exchange = Exchange::new(out, body, traits, self.pace());
        exchange.note.request = line;
        exchange.note.received = received as u64;
        // Over an idle connection that just dies a request is lost; one that cannot be repeated, and that the client
        // would not repeat either since it is its first, is not put at that risk.
        exchange.fresh = !self.served && !traits.replayable;
        exchange.since = t.now;
        exchange.policy = policy;
        exchange.claim = claim;
        self.exchange = Some(exchange);
        self.counters(t).requests.add(1);
        Ok(begun)
    }

    /// Refuses what came, unless it is how a client begins that knows that we speak HTTP/2 (RFC 9113 §3.3). One with
    /// TLS says so in the handshake.
    #[cold]
    fn not_http1(&mut self, t: &mut Thread, len: usize, refusal: Refusal) -> Next {
        let bytes = &t.kit.scratch[..len];
        let may_be =
            matches!(self.client, Client::Plain(_)) && !self.served && self.listener.mode == Mode::Http;
        if may_be && bytes.starts_with(PREFACE) {
            let bytes = bytes.to_vec();
            return self.multiplex_begin(t, bytes);
        }
        if may_be && PREFACE.starts_with(bytes) {
            return self.hold(t, len);
        }
        // Counted as what has come.
        self.hold(t, len);
        self.refuse(t, refusal.status())
    }

    /// Each request reads the current configuration, and no other.
    #[inline]
    pub(super) fn refresh(&mut self, t: &Thread) {
        if self.config != t.config {
            // A listener that is gone goes on for the connections that came through it.
            if let Some(listener) = t.snapshot.listener(self.listener.id) {
                self.config = t.config;
                self.listener = std::sync::Arc::clone(listener);
            }
        }
    }

    /// Keeps the beginning of a head.
    fn hold(&mut self, t: &mut Thread, len: usize) -> Next {
        if self.held.capacity() == 0 {
            self.held = t.kit.buffer();
        }
        self.held.clear();
        self.held.extend_from_slice(&t.kit.scratch[..len]);
        self.seen = len;
        Next::Go
    }

    fn await_request(&mut self, t: &mut Thread) -> Next {
        if self.held.is_empty() {
            if self.served && self.may_be_cut(t) {
                return Next::Close;
            }
            t.kit.buffer_put(std::mem::take(&mut self.held));
        }
        self.client.wait_read(&t.kit.epoll);
        if !self.head_timed {
            self.head_timed = true;
            self.arm(t, self.listener.timeouts.client_data);
        }
        Next::Wait
    }

    /// No other request is wanted on this connection: its listener is gone, or the process is going.
    pub(super) fn must_end(&self, t: &Thread) -> bool {
        t.going != Going::No || self.is_gone(t)
    }

    /// And it ends although its client may be sending one just now.
    pub(super) fn may_be_cut(&self, t: &Thread) -> bool {
        t.going == Going::Soon || self.is_gone(t)
    }

    fn is_gone(&self, t: &Thread) -> bool {
        self.config != t.config && t.snapshot.listener(self.listener.id).is_none()
    }
}
