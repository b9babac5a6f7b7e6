//! What comes before a line on its way to a syslog daemon (RFC 5424 §6). Pure.

use std::io::Write as _;

use octavia_model::AmphoraId;

use super::line::write_stamp;

/// Severity *informational*.
const INFO: u16 = 6;
/// Facility LOCAL0.
const LOCAL0: u16 = 16;

#[derive(Debug)]
pub(super) struct Header {
    priority: u16,
    /// Host, program, process and kind of message.
    origin: String,
}

impl Header {
    /// Of LOCAL`facility`. The host is called as the original calls an amphora's.
    pub(super) fn new(facility: u8, amphora: AmphoraId, process: u32) -> Self {
        let priority = (LOCAL0 + u16::from(facility)) * 8 + INFO;
        Self { priority, origin: format!("amphora-{amphora} octavia {process} access - ") }
    }

    /// Appends it; `now` is in milliseconds since 1970.
    pub(super) fn write(&self, now: u64, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "<{}>1 ", self.priority);
        write_stamp(now, out);
        out.push(b' ');
        out.extend_from_slice(self.origin.as_bytes());
    }
}
