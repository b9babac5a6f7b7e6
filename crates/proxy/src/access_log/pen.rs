//! A traffic thread's side of the log: makes lines, and never waits for who writes them.

use std::sync::Arc;

use super::line::{Facts, Style};
use super::outlet::Outlet;
use super::{AccessLog, LogConf};

/// Bytes that wait in a thread for one target, at most; as many wait between the two.
pub(super) const ROOM: usize = 1 << 20;
/// In what has waited, gaps are told of: their lines have room left.
const GAP_ROOM: usize = 1024;

#[derive(Debug)]
pub(crate) struct Pen {
    log: Arc<AccessLog>,
    thread: usize,
    lanes: Vec<Lane>,
    line: Vec<u8>,
    gap: Vec<u8>,
    words: Vec<u8>,
}

/// What waits for one target.
#[derive(Debug)]
struct Lane {
    outlet: Arc<Outlet>,
    waiting: Vec<u8>,
    /// Lines dropped since the last that was not.
    missed: u64,
}

impl Pen {
    pub(crate) fn new(log: &Arc<AccessLog>, thread: usize) -> Box<Self> {
        let lane = |outlet: &Arc<Outlet>| Lane { outlet: Arc::clone(outlet), waiting: vec![], missed: 0 };
        let lanes = log.outlets.iter().map(lane).collect();
        Box::new(Self { log: Arc::clone(log), thread, lanes, line: vec![], gap: vec![], words: vec![] })
    }

    pub(crate) fn writes(&self, log: &Arc<AccessLog>) -> bool {
        Arc::ptr_eq(&self.log, log)
    }

    /// Takes a line; `now` is in milliseconds since 1970.
    pub(crate) fn tell(&mut self, facts: &Facts<'_>, now: u64) {
        let LogConf { style, .. } = &*self.log.conf;
        style.write(facts, &mut self.words, &mut self.line);
        for lane in &mut self.lanes {
            lane.put(&self.line, style, now, &mut self.gap);
        }
    }

    /// Gives what waits to who writes it, as far as that has room.
    pub(crate) fn hand_over(&mut self, now: impl Fn() -> u64) {
        for lane in &mut self.lanes {
            if !lane.waiting.is_empty() && lane.outlet.take(self.thread, &mut lane.waiting) && lane.missed > 0
            {
                lane.tell_gap(&self.log.conf.style, now(), &mut self.gap);
            }
        }
    }

    /// Something waits that nobody has taken.
    pub(crate) fn is_behind(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.waiting.is_empty())
    }
}

/// What nobody has taken by then is lost.
impl Drop for Pen {
    fn drop(&mut self) {
        for lane in &self.lanes {
            let lines = lane.waiting.iter().filter(|&&byte| byte == b'\n').count();
            lane.outlet.counters.dropped(lines as u64);
        }
    }
}

impl Lane {
    fn put(&mut self, line: &[u8], style: &Style, now: u64, gap: &mut Vec<u8>) {
        if self.waiting.len() + line.len() + GAP_ROOM > ROOM {
            self.missed += 1;
            self.outlet.counters.dropped(1);
            return;
        }
        if self.missed > 0 {
            self.tell_gap(style, now, gap);
        }
        self.waiting.extend_from_slice(line);
    }

    fn tell_gap(&mut self, style: &Style, now: u64, gap: &mut Vec<u8>) {
        style.write_gap(std::mem::take(&mut self.missed), now, gap);
        self.waiting.extend_from_slice(gap);
    }
}
