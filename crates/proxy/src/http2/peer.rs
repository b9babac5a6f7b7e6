//! What the other side lets us send: its settings and its windows (RFC 9113 §5.2, §6.5).

use super::frame::setting;
use super::{Fault, MAX_FRAME, MAX_TABLE};

/// The largest window.
const MAX_WINDOW: i64 = i32::MAX as i64;
/// What a window is before anything else was said.
pub(super) const FIRST_WINDOW: i64 = 65_535;

/// Bytes that may be sent. A change of settings may make it negative (§6.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window(i64);

impl Window {
    pub(super) fn new(size: i64) -> Self {
        Self(size)
    }

    /// What may be sent now.
    pub(super) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    /// `false` = it would be larger than a window may be.
    pub(super) fn grow(&mut self, by: i64) -> bool {
        self.0 += by;
        self.0 <= MAX_WINDOW
    }
}

/// The other side's settings, as far as they mean something to us.
#[derive(Debug)]
pub(super) struct Settings {
    /// What a new stream's window is.
    pub(super) initial_window: i64,
    /// Streams we may have open.
    pub(super) max_streams: u32,
}

/// What a frame of settings changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Of every stream's window.
    pub(super) windows: i64,
    /// The other side keeps a smaller table than we might think, and waits to hear that we know (RFC 7541 §4.2).
    pub(super) table: bool,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self { initial_window: FIRST_WINDOW, max_streams: u32::MAX }
    }

    /// Takes the payload of a frame; `by_server` = it is a server's, which nobody pushes anything to (§6.5.2).
    pub(super) fn take(&mut self, payload: &[u8], by_server: bool) -> Result<Change, Fault> {
        if !payload.len().is_multiple_of(6) {
            return Err(Fault::size("SETTINGS that are cut"));
        }
        let mut change = Change::default();
        let before = self.initial_window;
        for entry in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            match name {
                setting::ENABLE_PUSH if value > u32::from(!by_server) => {
                    return Err(Fault::protocol("ENABLE_PUSH"));
                }
                setting::MAX_CONCURRENT_STREAMS => self.max_streams = value,
                setting::INITIAL_WINDOW_SIZE if i64::from(value) > MAX_WINDOW => {
                    return Err(Fault::flow("INITIAL_WINDOW_SIZE"));
                }
                setting::INITIAL_WINDOW_SIZE => self.initial_window = i64::from(value),
                setting::MAX_FRAME_SIZE if !(MAX_FRAME..1 << 24).contains(&(value as usize)) => {
                    return Err(Fault::protocol("MAX_FRAME_SIZE"));
                }
                setting::HEADER_TABLE_SIZE => change.table |= (value as usize) < MAX_TABLE,
                // More is not asked of us: our frames are as short as everybody takes them, and we push nothing.
                _ => {}
            }
        }
        change.windows = self.initial_window - before;
        Ok(change)
    }
}
