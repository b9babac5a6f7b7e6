//! Where a command's words go: answers to one place, progress and errors to another.

use std::io::{IsTerminal, Write};

/// Two outputs. In tests they are buffers.
pub struct Console<'a> {
    pub out: &'a mut (dyn Write + Send),
    pub err: &'a mut (dyn Write + Send),
    /// `err` is a terminal: progress updates one line in place.
    pub live: bool,
    line_open: bool,
    waited: bool,
}

impl std::fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("live", &self.live).finish_non_exhaustive()
    }
}

impl<'a> Console<'a> {
    pub fn new(out: &'a mut (dyn Write + Send), err: &'a mut (dyn Write + Send), live: bool) -> Self {
        Self { out, err, live, line_open: false, waited: false }
    }

    pub(crate) fn stderr_is_terminal() -> bool {
        std::io::stderr().is_terminal()
    }

    pub(crate) fn print(&mut self, text: &str) -> std::io::Result<()> {
        self.end_progress();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// One line about how a wait goes; `changed` = it says something new. Progress that cannot be written is no
    /// reason to fail.
    pub(crate) fn progress(&mut self, text: &str, changed: bool) {
        self.waited = true;
        if self.live {
            // What is wider than the terminal is cut (no wrapping): a second row could not be taken back.
            let line = format!("\r\x1b[?7l\x1b[K{text}\x1b[?7h");
            let _ = self.err.write_all(line.as_bytes());
            self.line_open = true;
        } else if changed {
            let _ = writeln!(self.err, "{text}");
        }
        let _ = self.err.flush();
    }

    pub(crate) fn end_progress(&mut self) {
        if std::mem::take(&mut self.line_open) {
            let _ = writeln!(self.err);
        }
    }

    /// Last words for who does not want to wait any more.
    pub(crate) fn interrupted(&mut self) {
        if self.waited {
            self.error("interrupted: the service goes on working on it; look again with `show`\n");
        }
    }

    pub(crate) fn error(&mut self, text: &str) {
        self.end_progress();
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }
}
