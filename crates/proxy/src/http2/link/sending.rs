//! What we send.

use super::Link;
use crate::http2::frame::{self, Kind, flag};
use crate::http2::{Code, MAX_FRAME};

impl Link {
    /// Tells that content of a stream was read: as much may come again.
    pub(in crate::http2) fn consumed(&mut self, id: u32, bytes: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let bytes = bytes.min(stream.unread);
        if bytes == 0 {
            return;
        }
        stream.unread -= bytes;
        if !stream.ended
            && let Some(by) = stream.inflow.give_back(bytes)
        {
            frame::write_window_update(id, by, &mut self.out);
        }
        self.read(bytes);
    }

    /// Sends a header block; `end` = nothing comes after it.
    pub(in crate::http2) fn send_headers(&mut self, id: u32, block: &[u8], end: bool) {
        if self.table_unsaid {
            let mut whole = vec![];
            self.say_table(&mut whole);
            whole.extend_from_slice(block);
            frame::write_headers(id, &whole, end, &mut self.out);
        } else {
            frame::write_headers(id, block, end, &mut self.out);
        }
    }

    pub(in crate::http2) fn say_table(&mut self, block: &mut Vec<u8>) {
        if std::mem::take(&mut self.table_unsaid) {
            block.push(0x20);
        }
    }

    /// How much content may be sent on a stream.
    pub(in crate::http2) fn room(&self, id: u32) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.window.room().min(self.window.room()))
    }

    /// Sends of `content` what there is room for, and says how much that is; `end` = nothing comes after all of it.
    pub(in crate::http2) fn send_content(&mut self, id: u32, content: &[u8], end: bool) -> usize {
        let room = self.room(id).min(content.len());
        let Some(stream) = self.streams.get_mut(id) else { return 0 };
        let all = room == content.len();
        let ends = end && all;
        stream.window.spend(room);
        self.window.spend(room);
        self.budget.moved(room);
        if all && room > 0 {
            self.budget.spoke();
        }
        let mut rest = &content[..room];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(MAX_FRAME));
            rest = after;
            let flags = if ends && rest.is_empty() { flag::END_STREAM } else { 0 };
            frame::write_frame(Kind::Data, flags, id, piece, &mut self.out);
        }
        if ends && room == 0 {
            frame::write_frame(Kind::Data, flag::END_STREAM, id, &[], &mut self.out);
        }
        room
    }

    /// Breaks a stream off.
    pub(in crate::http2) fn reset(&mut self, id: u32, code: Code) {
        if self.streams.get(id).is_some() {
            self.break_off(id, code);
        }
    }

    /// Whether some stream may send more, since this was asked last.
    pub(in crate::http2) fn take_widened(&mut self) -> bool {
        std::mem::take(&mut self.widened)
    }
}
