//! What streams and the connection have to send: content into frames, frames to the client.

use super::{Kick, Mux};
use crate::http2::Code;
use crate::worker::outbox::{BACKLOG, Flushed};
use crate::worker::session::Session;
use crate::worker::thread::Thread;

impl Mux {
    /// Frames that wait to be sent, in bytes.
    pub(super) fn backlog(&self) -> usize {
        self.outbox.backlog(self.core.output_len())
    }

    /// The socket has all that was to be sent.
    pub(super) fn is_sent(&self) -> bool {
        self.outbox.is_sent(self.core.output_len())
    }

    pub(super) fn flush(&mut self, s: &mut Session, t: &mut Thread) -> Flushed {
        let before = self.backlog();
        let flushed = self.outbox.flush(self.core.output(), &mut s.client, &mut t.kit.wire);
        self.stuck &= self.backlog() == before;
        flushed
    }

    /// Lets streams go on that waited for room, if there may be some now; whether any did.
    pub(super) fn resume(&mut self, s: &mut Session, t: &mut Thread) -> bool {
        let widened = self.core.take_widened();
        if self.waiting.is_empty() || !(widened || self.choked) {
            return false;
        }
        self.choked = false;
        for _ in 0..self.waiting.len() {
            if self.backlog() >= BACKLOG {
                self.choked = true;
                break;
            }
            let Some(id) = self.waiting.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            if self.core.room(id) == 0 {
                // What others are allowed does not put off its end.
                self.waiting.push_back(id);
                continue;
            }
            lane.queued = false;
            self.drive(id, Kick::Go, s, t);
        }
        self.backlog() > 0
    }

    /// Takes what a stream has to send. `true` = it may go on at once.
    pub(super) fn send(&mut self, id: u32, s: &mut Session, t: &mut Thread) -> bool {
        let backlog = self.backlog();
        let Some(lane) = self.lanes.get_mut(id) else { return false };
        let over = lane.over;
        let Some(end) = lane.end() else { return false };
        for (block, last) in end.outgoing.take_blocks() {
            self.core.send_headers(id, &block, last);
        }
        let mut moved = 0;
        let (content, last) = end.outgoing.content();
        if !end.outgoing.is_over() && (!content.is_empty() || last) {
            let content = &content[..content.len().min(BACKLOG.saturating_sub(backlog))];
            let last = last && content.len() == end.outgoing.waiting();
            let sent = self.core.send_content(id, content, last);
            let ended = last && sent == content.len();
            end.outgoing.sent(sent, ended);
            moved = sent;
        }
        if let Some(block) = end.outgoing.take_trailers() {
            self.core.send_headers(id, &block, true);
        }
        let waits = !end.outgoing.is_empty();
        let blocked = end.take_blocked();
        if over && end.outgoing.is_over() {
            s.served = true;
            self.forget(id, t);
            return false;
        }
        if over && !end.outgoing.is_whole() {
            // The response breaks off, and the client shall see that.
            self.break_off(id, Code::InternalError, t);
            return false;
        }
        if !waits {
            return blocked;
        }
        self.choked |= self.core.room(id) > 0;
        if over && (moved > 0 || !std::mem::replace(&mut lane.timed, true)) {
            // Nobody else looks at the clock for it.
            let limit = s.listener.timeouts.client_data;
            lane.session.arm(t, limit);
        }
        if !std::mem::replace(&mut lane.queued, true) {
            self.waiting.push_back(id);
        }
        false
    }
}
