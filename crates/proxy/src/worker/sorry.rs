//! Stage *sorry*: tells the client that nobody can take its request, in the operator's words. They may be more than a
//! socket takes at once.

use std::sync::Arc;

use super::flow::{Moved, Pumped};
use super::session::{Next, Session, Stage};
use super::thread::Thread;
use crate::access_log::{Cause, Ending};
use crate::http1::{self, Answer};
use crate::snapshot::SorryPage;

impl Session {
    /// No member can take the request.
    pub(super) fn no_member(&mut self, t: &mut Thread) -> Next {
        match (&self.listener.sorry, &self.exchange) {
            (Some(page), Some(_)) => self.sorry_begin(t, &Arc::clone(page)),
            _ => self.answer(t, 503),
        }
    }

    fn sorry_begin(&mut self, t: &mut Thread, page: &SorryPage) -> Next {
        let keep = !self.must_end(t);
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let traits = &mut exchange.traits;
        traits.keep_alive &= keep && exchange.up.is_done();
        let mut out = t.kit.buffer();
        let answer = Answer {
            status: page.status,
            location: None,
            allow: None,
            page: Some((&page.content_type, &page.body)),
            http11: traits.http11,
            keep_alive: traits.keep_alive,
            to_head: traits.to_head,
            hsts: self.listener.hsts.as_deref(),
        };
        http1::write_answer(answer, &mut out);
        exchange.down.push(out, 0, &mut t.kit);
        exchange.answered = true;
        exchange.note.status = Some(page.status);
        if let Some(route) = self.listener.route_for(exchange.policy).filter(|_| exchange.entered) {
            route.state.on(t.index).upstream.responses.count(page.status);
        }
        self.counters(t).responses.count(page.status);
        self.stage = Stage::Sorry;
        self.arm(t, self.listener.timeouts.client_data);
        Next::Go
    }

    pub(super) fn sorry(&mut self, t: &mut Thread) -> Next {
        if self.client.is_broken() {
            return Next::Close;
        }
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let mut moved = Moved::default();
        let flushed = exchange.down.flush_to(&mut self.client, &mut t.kit, &mut moved);
        exchange.note.sent += moved.written;
        self.listener.state.on(t.index).tx.add(moved.written);
        match flushed {
            Pumped::Done => {}
            Pumped::Sink => {
                self.client.wait_write(&t.kit.epoll);
                if moved.is_some() {
                    self.arm(t, self.listener.timeouts.client_data);
                }
                return Next::Wait;
            }
            _ => return Next::Close,
        }
        let keep = exchange.traits.keep_alive;
        exchange.note.ends(Ending::of_answer(503, true));
        self.count_duration(t);
        self.exchange_end(t, false);
        self.served = true;
        if keep {
            self.stage = Stage::Head;
            self.head_timed = false;
            return Next::Go;
        }
        self.say_goodbye(t)
    }

    /// The client does not read on.
    pub(super) fn sorry_timed_out(&mut self) -> Next {
        self.ends(Cause::ClientSilent);
        Next::Close
    }
}
