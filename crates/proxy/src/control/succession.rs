//! How one proxy takes over from another: what the elder leaves, what the younger makes of it, and how the elder departs.

use std::time::Duration;

use octavia_wire::{Estate, ProxyCommand, ProxyEvent};

use super::Control;
use crate::sys;

/// How often a process that has stepped aside looks whether it is done, in milliseconds.
const LOOK: u64 = 200;
/// How long it waits to be asked what it has counted, once nothing is open, in milliseconds: for ever would be too long if
/// there is no agent any more.
const LAST_WORDS: u64 = 60_000;

/// How long a process that has stepped aside is still there. Milliseconds.
#[derive(Debug)]
pub(super) struct Departure {
    /// What is open then is cut.
    until: u64,
    looks: u64,
    /// Since when nothing is open.
    empty: Option<u64>,
    /// That was told, with all that was counted.
    told: bool,
}

impl Departure {
    fn new(limit: Duration, now: u64) -> Self {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self { until: now.saturating_add(limit), looks: now, empty: None, told: false }
    }

    pub(super) fn next_look(&self) -> u64 {
        self.looks
    }

    /// Whether there is nothing more to do, with so many connections open.
    fn look(&mut self, open: u64, now: u64) -> bool {
        self.looks = now.saturating_add(LOOK);
        if open > 0 {
            (self.empty, self.told) = (None, false);
        }
        let empty = if open == 0 { *self.empty.get_or_insert(now) } else { now };
        now >= self.until || self.told || now.saturating_sub(empty) >= LAST_WORDS
    }
}

impl Control {
    pub(super) fn succession(&mut self, command: ProxyCommand) -> ProxyEvent {
        let registry = self.engine.registry();
        let now = sys::now();
        match command {
            ProxyCommand::Estate => ProxyEvent::Estate(Box::new(Estate {
                process: self.process,
                boot: self.boot,
                reckoning: registry.reckoning(),
                told: registry.told(),
                members: registry.health(now, |member| self.prober.score(member)),
            })),
            ProxyCommand::Inherit(estate) => {
                let Estate { process, boot, reckoning, told, members } = *estate;
                registry.inherit(process, reckoning, told);
                for (id, health) in members {
                    registry.inherit_health(id, health, now);
                }
                self.boot = boot;
                ProxyEvent::Inherited
            }
            ProxyCommand::Table { pool } => {
                ProxyEvent::Table { table: registry.stick_entries(pool, now).map(Box::new) }
            }
            ProxyCommand::InheritTable { pool, table } => {
                registry.inherit_table(pool, &table, now);
                ProxyEvent::Inherited
            }
            ProxyCommand::Share { since, most } => {
                ProxyEvent::Shared { tables: registry.shared(&since, most, now) }
            }
            ProxyCommand::Learn { tables } => {
                ProxyEvent::Learned { pools: registry.learn_shared(&tables, now) }
            }
            ProxyCommand::Credit { process, reckoning, over } => {
                registry.credit(process, *reckoning, over);
                self.engine.limits_changed();
                ProxyEvent::Inherited
            }
            ProxyCommand::StepAside { seconds } => {
                if self.departure.is_none() {
                    tracing::info!(seconds, open = registry.open(), "another proxy has taken over");
                    self.departure = Some(Departure::new(Duration::from_secs(seconds.into()), now));
                    self.engine.step_aside();
                }
                ProxyEvent::SteppedAside
            }
            // The others are answered where they come.
            _ => self.reckoning(),
        }
    }

    fn reckoning(&mut self) -> ProxyEvent {
        let registry = self.engine.registry();
        // Asked first: what ends in between is counted already.
        let open = registry.open();
        if let Some(departure) = &mut self.departure {
            departure.told = open == 0;
        }
        ProxyEvent::Reckoning { open, reckoning: Box::new(registry.reckoning()) }
    }

    /// It has stepped aside, and there is nothing left to do.
    pub(super) fn is_done(&mut self) -> bool {
        let now = sys::now();
        let open = self.engine.registry().open();
        let behind = self.agent.as_ref().is_some_and(super::Peer::is_behind);
        let Some(departure) = &mut self.departure else { return false };
        let due = departure.next_look() <= now || departure.told;
        due && departure.look(open, now) && (!behind || now >= departure.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_is_done_and_has_said_so() {
        // What is open at a time, whether that is told then, and whether it is the end.
        for (limit, story) in [
            (
                3_600,
                &[
                    (0, 2, true, false),
                    (1_000, 1, true, false),
                    (2_000, 0, false, false),
                    (2_100, 0, true, true),
                ][..],
            ),
            (3_600, &[(0, 0, true, true)]),
            (3_600, &[(0, 0, false, false), (59_999, 0, false, false), (60_000, 0, false, true)]),
            (3_600, &[(0, 0, false, false), (59_999, 1, false, false), (60_000, 0, false, false)]),
            (10, &[(0, 5, false, false), (9_999, 5, true, false), (10_000, 5, false, true)]),
        ] {
            let mut departure = Departure::new(Duration::from_secs(limit), 0);
            for &(now, open, told, end) in story {
                departure.told = told && open == 0;
                assert_eq!(departure.look(open, now), end, "{story:?} at {now}");
            }
        }
        assert!(!Departure::new(Duration::MAX, 5).look(1, u64::MAX - 1));
    }
}
