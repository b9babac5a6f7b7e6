//! Stage *head*: reads a request, refuses what is broken, and takes the current configuration for what is not.

use super::session::{Exchange, Next, Session, Stage, Traits};
use super::sock::Io;
use super::thread::Thread;
use crate::http1::{self, Body, Forwarding, MAX_HEAD, Refusal, Request};

/// Bytes read at once while a head is awaited.
const READ: usize = 16 * 1024;

impl Session {
    pub(super) fn read_request(&mut self, t: &mut Thread) -> Next {
        let held = self.held.len();
        let scratch = &mut t.kit.scratch;
        scratch[..held].copy_from_slice(&self.held);
        let mut len = held;
        // Pipelined bytes are looked at before more are read.
        if held == 0 || self.seen > 0 {
            match self.client.recv(&mut scratch[held..held + READ]) {
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
            Ok(true) => {
                self.stage = Stage::Connect;
                Next::Go
            }
            Ok(false) => self.hold(t, len),
            Err(refusal) => self.refuse(t, refusal.status()),
        }
    }

    /// Makes an exchange of the head at the start of the scratch memory; `false` when it is not complete.
    fn begin(&mut self, t: &mut Thread, len: usize) -> Result<bool, Refusal> {
        let mut out = t.kit.buffer();
        let bytes = &t.kit.scratch[..len];
        let mut slots = http1::header_slots();
        let Some(request) = Request::parse(bytes, &mut slots)? else {
            t.kit.buffer_put(out);
            return Ok(false);
        };
        let forwarding =
            Forwarding { client: self.peer, local: self.local, insert: self.listener.insert_headers };
        http1::write_request(&request, &forwarding, &mut out);
        let mut body = Body::new(request.framing);
        let rest = &bytes[request.len..];
        let used = body.advance(rest).map_err(|_| Refusal::Malformed("chunked body"))?;
        out.extend_from_slice(&rest[..used]);
        let rest = &rest[used..];
        let traits = Traits {
            http11: request.http11,
            to_head: request.is_head(),
            keep_alive: request.keep_alive,
            upgrade: request.upgrade,
            replayable: request.is_replayable(),
        };
        self.held.clear();
        self.held.extend_from_slice(rest);
        self.seen = 0;
        let mut exchange = Exchange::new(out, body, traits, self.pace());
        // Over an idle connection that just dies a request is lost; one that cannot be repeated, and that the client
        // would not repeat either since it is its first, is not put at that risk.
        exchange.fresh = !self.served && !traits.replayable;
        self.exchange = Some(exchange);
        Ok(true)
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
            if self.served && self.must_end(t) {
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
        t.draining || self.config != t.config && t.snapshot.listener(self.listener.id).is_none()
    }
}
