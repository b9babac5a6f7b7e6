//! Rise and fall: what a row of checks makes of a member. Pure; the counting is HAProxy's, so that `max_retries` and
//! `max_retries_down` mean what they mean in the original.

/// A member's health as a number on a scale: below `rise` it is down, and each success brings it one step nearer to
/// `rise`; from there on it is up, and each failure brings it one step nearer to below. Any success while up, and the
/// step to up itself, fill the scale; the step to down empties it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    rise: u8,
    fall: u8,
    health: u8,
}

impl Machine {
    /// A member not yet checked under this monitor stays what it was, and its first check decides: one failure takes
    /// it down, one success brings it up. `rise` and `fall` are 1–10; 0 is taken as 1.
    pub fn new(rise: u8, fall: u8, up: bool) -> Self {
        let (rise, fall) = (rise.clamp(1, 100), fall.clamp(1, 100));
        Self { rise, fall, health: if up { rise } else { rise - 1 } }
    }

    /// One that was checked before, under the same monitor, goes on from its place on the scale.
    #[must_use]
    pub fn at(self, score: u8) -> Self {
        let health =
            if self.is_up() { score.clamp(self.rise, self.best()) } else { score.min(self.rise - 1) };
        Self { health, ..self }
    }

    /// Its place on the scale.
    pub fn score(self) -> u8 {
        self.health
    }

    pub fn is_up(self) -> bool {
        self.health >= self.rise
    }

    /// Up, and the last check did not fail.
    pub fn is_well(self) -> bool {
        self.health == self.best()
    }

    /// Counts one check; returns whether the member is up now.
    #[must_use]
    pub fn checked(&mut self, passed: bool) -> bool {
        if passed {
            self.health = (self.health + 1).min(self.best());
            if self.is_up() {
                self.health = self.best();
            }
        } else if self.is_up() {
            self.health -= 1;
            if !self.is_up() {
                self.health = 0;
            }
        } else {
            self.health = 0;
        }
        self.is_up()
    }

    fn best(self) -> u8 {
        self.rise + self.fall - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `checks`: `+` passed, `-` failed; `expected`: `U` up, `D` down, after each.
    #[track_caller]
    fn check(rise: u8, fall: u8, up: bool, checks: &str, expected: &str) {
        let mut machine = Machine::new(rise, fall, up);
        let seen: String =
            checks.chars().map(|c| if machine.checked(c == '+') { 'U' } else { 'D' }).collect();
        assert_eq!(seen, expected, "rise {rise}, fall {fall}, up {up}: {checks}");
    }

    #[test]
    fn the_first_check_decides() {
        for (rise, fall) in [(1, 1), (3, 3), (10, 1), (1, 10), (10, 10)] {
            check(rise, fall, true, "-", "D");
            check(rise, fall, true, "+", "U");
            check(rise, fall, false, "+", "U");
            check(rise, fall, false, "-", "D");
        }
    }

    #[test]
    fn up_needs_fall_failures_in_a_row() {
        check(2, 3, true, "+--", "UUU");
        check(2, 3, true, "+---", "UUUD");
        check(2, 3, true, "+--+--+---", "UUUUUUUUUD");
        check(1, 1, true, "+-+-", "UDUD");
        check(3, 1, true, "++-", "UUD");
    }

    #[test]
    fn down_needs_rise_successes_in_a_row() {
        check(3, 1, true, "-++", "DDD");
        check(3, 1, true, "-+++", "DDDU");
        check(3, 1, true, "-++-+++", "DDDDDDU");
        check(3, 2, true, "-+++-", "DDDUU");
        check(3, 2, true, "-+++--", "DDDUUD");
        check(1, 3, true, "-+--", "DUUU");
        check(1, 3, true, "-+---", "DUUUD");
    }

    #[test]
    fn a_failure_on_the_way_up_starts_again() {
        check(3, 3, false, "-++-++", "DDDDDD");
        check(3, 3, false, "-++-+++", "DDDDDDU");
    }

    #[test]
    fn wellness_is_a_full_scale() {
        let mut machine = Machine::new(2, 3, true);
        assert!(!machine.is_well(), "not checked yet");
        assert!(machine.checked(true) && machine.is_well());
        assert!(machine.checked(false) && !machine.is_well());
        assert!(machine.checked(true) && machine.is_well());
    }

    #[test]
    fn goes_on_from_where_it_was() {
        for (rise, fall, checks) in [(3, 3, ""), (3, 3, "+"), (3, 3, "+--"), (3, 2, "-+"), (2, 1, "-+")] {
            let mut before = Machine::new(rise, fall, true);
            checks.chars().for_each(|c| _ = before.checked(c == '+'));
            assert_eq!(Machine::new(rise, fall, before.is_up()).at(before.score()), before, "{checks}");
        }
        // Up stays up and down down, whatever is told.
        for score in [0, 2, 3, 5, 255] {
            assert!(Machine::new(3, 3, true).at(score).is_up());
            assert!(!Machine::new(3, 3, false).at(score).is_up());
        }
    }

    #[test]
    fn out_of_range_values_do_no_harm() {
        check(0, 0, true, "-+-+", "DUDU");
        check(255, 255, true, "+-", "UU");
    }
}
