//! A timer wheel: one timer a connection, moved only when it comes due.
//!
//! Putting a deadline off (which is what almost every read and write would do) only writes a number; the timer is
//! looked at again when its old place in the wheel comes by. Time is an argument, in milliseconds.

const SLOTS: usize = 1024;
/// Milliseconds a slot stands for: how late a timer may fire.
const TICK: u64 = 16;
const NONE: u32 = u32::MAX;
/// No deadline.
const NEVER: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerId(u32);

#[derive(Debug)]
struct Timer {
    /// Given back when the timer fires.
    owner: u64,
    deadline: u64,
    /// The tick whose slot it is linked in, or `NEVER` when it is in none.
    tick: u64,
    previous: u32,
    next: u32,
}

#[derive(Debug)]
pub(crate) struct Wheel {
    timers: Vec<Timer>,
    free: Vec<u32>,
    heads: Box<[u32; SLOTS]>,
    /// One bit a slot that is not empty.
    occupied: [u64; SLOTS / 64],
    /// The first tick not expired yet.
    tick: u64,
}

impl Wheel {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            timers: vec![],
            free: vec![],
            heads: Box::new([NONE; SLOTS]),
            occupied: [0; SLOTS / 64],
            tick: now / TICK,
        }
    }

    /// A timer without a deadline.
    pub(crate) fn add(&mut self, owner: u64) -> TimerId {
        let timer = Timer { owner, deadline: NEVER, tick: NEVER, previous: NONE, next: NONE };
        match self.free.pop() {
            Some(index) => {
                self.timers[index as usize] = timer;
                TimerId(index)
            }
            None => {
                self.timers.push(timer);
                TimerId((self.timers.len() - 1) as u32)
            }
        }
    }

    pub(crate) fn remove(&mut self, id: TimerId) {
        self.unlink(id.0);
        self.free.push(id.0);
    }

    /// Fires at `deadline` and not before; the deadline set before is forgotten.
    #[inline]
    pub(crate) fn arm(&mut self, id: TimerId, deadline: u64) {
        let timer = &mut self.timers[id.0 as usize];
        timer.deadline = deadline;
        // Linked at or before the new deadline: seen again in time.
        if timer.tick == NEVER || deadline / TICK < timer.tick {
            self.relink(id.0);
        }
    }

    #[inline]
    pub(crate) fn disarm(&mut self, id: TimerId) {
        self.timers[id.0 as usize].deadline = NEVER;
    }

    /// Appends the owners of all timers due at `now` to `due`; those timers have no deadline any more.
    pub(crate) fn expire(&mut self, now: u64, due: &mut Vec<u64>) {
        let end = now / TICK;
        // A longer pause than the wheel is round: every slot once is enough.
        let first = self.tick.max(end.saturating_sub(SLOTS as u64));
        self.tick = self.tick.max(end);
        for tick in first..end {
            let slot = tick as usize % SLOTS;
            if self.occupied[slot / 64] >> (slot % 64) & 1 == 0 {
                continue;
            }
            let mut index = self.heads[slot];
            while index != NONE {
                let next = self.timers[index as usize].next;
                let timer = &mut self.timers[index as usize];
                if timer.deadline <= now {
                    timer.deadline = NEVER;
                    due.push(timer.owner);
                }
                self.relink(index);
                index = next;
            }
        }
    }

    /// Milliseconds from `now` until [`Wheel::expire`] is worth calling; `None` when no timer is linked.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let start = self.tick as usize % SLOTS;
        let distance = (0..=SLOTS / 64).find_map(|n| {
            let word = (start / 64 + n) % (SLOTS / 64);
            let mut bits = self.occupied[word];
            if n == 0 {
                bits &= u64::MAX << (start % 64);
            } else if n == SLOTS / 64 {
                bits &= !(u64::MAX << (start % 64));
            }
            let slot = word * 64 + bits.trailing_zeros() as usize;
            (bits != 0).then(|| (slot + SLOTS - start) % SLOTS)
        })?;
        let due = (self.tick + distance as u64 + 1) * TICK;
        Some(due.saturating_sub(now))
    }

    /// Puts a timer where its deadline belongs, or as far ahead as the wheel reaches, or nowhere.
    fn relink(&mut self, index: u32) {
        self.unlink(index);
        let deadline = self.timers[index as usize].deadline;
        if deadline == NEVER {
            return;
        }
        let tick = (deadline / TICK).clamp(self.tick, self.tick + SLOTS as u64 - 1);
        let slot = tick as usize % SLOTS;
        let head = self.heads[slot];
        let timer = &mut self.timers[index as usize];
        (timer.tick, timer.previous, timer.next) = (tick, NONE, head);
        if head != NONE {
            self.timers[head as usize].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn unlink(&mut self, index: u32) {
        let timer = &mut self.timers[index as usize];
        if timer.tick == NEVER {
            return;
        }
        let slot = timer.tick as usize % SLOTS;
        let (previous, next) = (timer.previous, timer.next);
        (timer.tick, timer.previous, timer.next) = (NEVER, NONE, NONE);
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        if previous != NONE {
            self.timers[previous as usize].next = next;
        } else {
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expired(wheel: &mut Wheel, now: u64) -> Vec<u64> {
        let mut due = vec![];
        wheel.expire(now, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn fires_late_by_a_tick_at_most_and_never_early() {
        for deadline in [0, 1, 15, 16, 17, 1000, 16_383, 16_384, 50_000, 3_600_000] {
            let mut wheel = Wheel::new(0);
            let timer = wheel.add(7);
            wheel.arm(timer, deadline);
            let mut now = 0;
            let fired = loop {
                let due = expired(&mut wheel, now);
                if !due.is_empty() {
                    break now;
                }
                now += wheel.next(now).expect("armed").max(1);
            };
            assert!((deadline..=deadline + TICK).contains(&fired), "{deadline} fired at {fired}");
            assert_eq!(wheel.next(fired), None);
        }
    }

    #[test]
    fn an_earlier_deadline_moves_the_timer_and_a_later_one_does_not() {
        let mut wheel = Wheel::new(0);
        let timer = wheel.add(1);
        wheel.arm(timer, 10_000);
        wheel.arm(timer, 100);
        assert!(wheel.next(0).unwrap() <= 128);
        wheel.arm(timer, 5_000);
        assert!(wheel.next(0).unwrap() <= 128, "looked at again at the old place");
        assert!(expired(&mut wheel, 200).is_empty());
        assert!(wheel.next(200).unwrap() > 4_000);
        wheel.disarm(timer);
        assert!(expired(&mut wheel, 6_000).is_empty());
        assert_eq!(wheel.next(6_000), None);
    }

    proptest! {
        /// Against the obvious implementation: a map from owner to deadline.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0u8..4, 0usize..20, 0u64..60_000), 1..200)) {
            let mut wheel = Wheel::new(0);
            let timers: Vec<_> = (0..20).map(|owner| wheel.add(owner)).collect();
            let mut model: [Option<u64>; 20] = [None; 20];
            let mut now = 0;
            for (action, which, amount) in steps {
                match action {
                    0 | 1 => {
                        wheel.arm(timers[which], now + amount);
                        model[which] = Some(now + amount);
                    }
                    2 => {
                        wheel.disarm(timers[which]);
                        model[which] = None;
                    }
                    _ => {
                        now += amount / 4;
                        for owner in expired(&mut wheel, now) {
                            let deadline = model[owner as usize].take();
                            prop_assert!(deadline.is_some_and(|d| d <= now), "{owner} fired early or twice");
                        }
                        for deadline in model.iter().flatten() {
                            prop_assert!(now < deadline + TICK, "{deadline} not fired at {now}");
                        }
                    }
                }
            }
        }
    }
}
