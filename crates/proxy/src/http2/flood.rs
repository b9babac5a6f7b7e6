//! What the other side may cost us without asking for anything: frames that we have to look at, answer or undo.
//!
//! A bucket that leaks: each such frame adds to it, work that was wanted takes from it, and so does time.

use super::{Code, Fault};

/// What the bucket holds before the connection ends.
const LIMIT: u32 = 2_000;
/// What leaks out of it in a second.
const LEAK: u64 = 200;
/// Content moved that takes one from it, in bytes.
const WORTH: usize = 1024;

/// What a frame adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Cost {
    /// Says nothing to us, or next to nothing: PRIORITY, WINDOW_UPDATE, DATA without any, HEADERS of a stream that is over,
    /// what we do not know.
    Idle = 1,
    /// Has to be answered: PING, SETTINGS.
    Answered = 4,
    /// A stream that is begun and given up (CVE-2023-44487), or has to be refused.
    Abandoned = 10,
}

#[derive(Debug, Default)]
pub(super) struct Budget {
    level: u32,
    /// When it leaked last, in milliseconds.
    at: u64,
}

impl Budget {
    pub(super) fn spend(&mut self, cost: Cost, now: u64) -> Result<(), Fault> {
        if self.level == 0 {
            self.at = now;
        }
        let leaked = now.saturating_sub(self.at) * LEAK / 1000;
        if leaked > 0 {
            self.level = self.level.saturating_sub(u32::try_from(leaked).unwrap_or(u32::MAX));
            self.at = now;
        }
        self.level += cost as u32;
        if self.level > LIMIT {
            return Err(Fault { code: Code::EnhanceYourCalm, why: "too many frames that ask for nothing" });
        }
        Ok(())
    }

    /// So much content was moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.level = self.level.saturating_sub((bytes / WORTH) as u32);
    }

    /// All was sent that there was to send: the other side may measure how long it took (PING), as clients and servers of
    /// gRPC do with each message.
    pub(super) fn spoke(&mut self) {
        self.level = self.level.saturating_sub(Cost::Answered as u32);
    }

    /// A request was answered to its end.
    pub(super) fn answered(&mut self) {
        self.level = self.level.saturating_sub(Cost::Abandoned as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_comes_back() {
        let ends = |cost: Cost, every_ms: u64, between: &dyn Fn(&mut Budget)| {
            let mut budget = Budget::default();
            let mut now = 1_000;
            (0..20_000).position(|_| {
                now += every_ms;
                between(&mut budget);
                budget.spend(cost, now).is_err()
            })
        };
        let nothing = |_: &mut Budget| {};
        assert_eq!(ends(Cost::Idle, 0, &nothing), Some(2_000));
        assert_eq!(ends(Cost::Answered, 0, &nothing), Some(500));
        assert_eq!(ends(Cost::Abandoned, 0, &nothing), Some(200));
        // At the pace at which it leaks nobody is stopped.
        assert_eq!(ends(Cost::Idle, 5, &nothing), None);
        assert_eq!(ends(Cost::Abandoned, 50, &nothing), None);
        assert!(ends(Cost::Abandoned, 25, &nothing).is_some());
        // Nor is who has requests answered, or moves content.
        assert_eq!(ends(Cost::Abandoned, 0, &Budget::answered), None);
        assert_eq!(ends(Cost::Answered, 0, &Budget::spoke), None);
        assert_eq!(ends(Cost::Idle, 0, &|budget| budget.moved(1024)), None);
        assert!(ends(Cost::Idle, 0, &|budget| budget.moved(1023)).is_some());
    }
}
