//! What we send, and what there is to know of a connection.

use super::{Connection, Stage};
use crate::http2::frame::{self, Kind, flag};
use crate::http2::{Code, MAX_FRAME};

impl Connection {
    /// Tells that content of a stream was read: as much may come again.
    pub fn consumed(&mut self, id: u32, bytes: u32) {
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
    pub fn send_headers(&mut self, id: u32, block: &[u8], end: bool) {
        if self.streams.get(id).is_none() {
            return;
        }
        if self.table_unsaid {
            let mut whole = vec![];
            self.say_table(&mut whole);
            whole.extend_from_slice(block);
            frame::write_headers(id, &whole, end, &mut self.out);
        } else {
            frame::write_headers(id, block, end, &mut self.out);
        }
        if end {
            self.answered(id);
        }
    }

    /// How much content may be sent on a stream.
    pub fn room(&self, id: u32) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.window.room().min(self.window.room()))
    }

    /// Sends of `content` what there is room for, and says how much that is; `end` = nothing comes after all of it.
    pub fn send_content(&mut self, id: u32, content: &[u8], end: bool) -> usize {
        let room = self.room(id).min(content.len());
        let Some(stream) = self.streams.get_mut(id) else { return 0 };
        let ends = end && room == content.len();
        stream.window.spend(room);
        self.window.spend(room);
        self.budget.moved(room);
        let mut rest = &content[..room];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(MAX_FRAME));
            rest = after;
            let flags = if ends && rest.is_empty() { flag::END_STREAM } else { 0 };
            frame::write_frame(Kind::Data, flags, id, piece, &mut self.out);
        }
        if ends {
            if room == 0 {
                frame::write_frame(Kind::Data, flag::END_STREAM, id, &[], &mut self.out);
            }
            self.answered(id);
        }
        room
    }

    /// The response is out. If the request is not all here, nobody needs the rest of it (§8.1).
    fn answered(&mut self, id: u32) {
        self.budget.answered();
        if self.streams.get(id).is_some_and(|stream| !stream.ended) {
            self.broken_off(id, Code::NoError);
        } else {
            self.end(id, false);
        }
    }

    /// Breaks a stream off.
    pub fn reset(&mut self, id: u32, code: Code) {
        if self.streams.get(id).is_some() {
            self.broken_off(id, code);
        }
    }

    /// Takes up no new streams; those that are open go on to their end (§6.8).
    pub fn go_away(&mut self) {
        if !std::mem::replace(&mut self.going, true) && self.stage != Stage::Dead {
            frame::write_goaway(self.last, Code::NoError, &mut self.out);
        }
    }

    /// No new streams are taken up.
    pub fn is_going(&self) -> bool {
        self.going || self.stage == Stage::Dead
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The client has not said yet what comes first, or is in the middle of a header block.
    pub fn is_halfway(&self) -> bool {
        self.block.is_some() || self.stage != Stage::Open
    }

    /// Nothing more of the request comes.
    pub fn has_ended(&self, id: u32) -> bool {
        self.streams.get(id).is_none_or(|stream| stream.ended)
    }

    /// Whether some stream may send more, since this was asked last.
    pub fn take_widened(&mut self) -> bool {
        std::mem::take(&mut self.widened)
    }

    /// Requests that were mistakes of the client's, since this was asked last.
    pub fn take_mistakes(&mut self) -> u64 {
        std::mem::take(&mut self.mistakes)
    }

    /// Bytes of [`Connection::output`].
    pub fn output_len(&self) -> usize {
        self.out.len()
    }

    /// Frames that are to be sent: who sends them takes them out.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}
