//! Stage *tunnel*: bytes go both ways, unseen, until both ends have said all.

use super::flow::{Moved, Pumped};
use super::session::{Next, Session};
use super::thread::Thread;
use crate::access_log::{Cause, Ending, Phase};

impl Session {
    pub(super) fn tunnel(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let Some(upstream) = &mut exchange.upstream else { return Next::Close };
        let counters = self.listener.state.on(t.index);
        let tally = self.listener.tally(exchange.policy, &upstream.member, t.index);

        let mut moved = Moved::default();
        let up = exchange.up.pump_across(&mut self.client, &mut upstream.side, &mut t.kit, &mut moved);
        exchange.stirred |= moved.is_some();
        exchange.note.received += moved.read;
        counters.rx.add(moved.read);
        tally.add(|c| &c.sent, moved.written);
        let mut moved = Moved::default();
        let down = exchange.down.pump_across(&mut upstream.side, &mut self.client, &mut t.kit, &mut moved);
        exchange.stirred |= moved.is_some();
        exchange.note.sent += moved.written;
        counters.tx.add(moved.written);
        tally.add(|c| &c.received, moved.read);
        let stirred = std::mem::take(&mut exchange.stirred);

        if up == Pumped::Done && down == Pumped::Done {
            exchange.note.ends(Ending::WELL);
            return Next::Close;
        }
        // An end of one stream is passed on; the other stream goes on.
        if up == Pumped::Done && !exchange.up_shut {
            exchange.up_shut = true;
            upstream.side.shutdown_write();
        }
        if down == Pumped::Done && !exchange.down_shut {
            exchange.down_shut = true;
            self.client.shutdown_write();
        }
        match up {
            Pumped::Source => self.client.wait_read(&t.kit.epoll),
            Pumped::Sink => upstream.side.wait_write(&t.kit.epoll),
            _ => {}
        }
        match down {
            Pumped::Source => upstream.side.wait_read(&t.kit.epoll),
            Pumped::Sink => self.client.wait_write(&t.kit.epoll),
            _ => {}
        }
        match (up, down) {
            (Pumped::SourceFailed | Pumped::SinkFailed, _)
            | (_, Pumped::SourceFailed | Pumped::SinkFailed) => {
                let client = up == Pumped::SourceFailed || down == Pumped::SinkFailed;
                let cause = if client { Cause::Client } else { Cause::Member };
                exchange.note.ends(Ending::new(cause, Phase::Data));
                // Who hears no more shall not think that this was all.
                if up == Pumped::SourceFailed {
                    upstream.side.break_off();
                }
                if down == Pumped::SourceFailed {
                    self.client.break_off();
                }
                return Next::Close;
            }
            (Pumped::Again, _) | (_, Pumped::Again) => t.again.push(self.key),
            _ => {}
        }
        // Each side's silence counts only together with the other's: any byte puts the end off.
        let timeouts = &self.listener.timeouts;
        let limit = match (timeouts.client_data, timeouts.member_data) {
            (Some(client), Some(member)) => Some(client.min(member)),
            (limit, None) | (None, limit) => limit,
        };
        if stirred {
            self.arm(t, limit);
        }
        Next::Wait
    }
}
