//! Seconds since 1970 as a date and a time of day, in UTC.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    /// 1–12.
    pub(crate) month: u64,
    /// 1–31.
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Civil {
    /// Days become a date by counting from the first of March, so that the day of a leap year is the last.
    pub(crate) fn of(seconds: u64) -> Self {
        let days = seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..10 => (era * 400 + year, month + 3),
            _ => (era * 400 + year + 1, month - 9),
        };
        let time = seconds % 86_400;
        Self { year, month, day, hour: time / 3_600, minute: time / 60 % 60, second: time % 60 }
    }

    /// `None` for what is before 1970, or no date or time of day. A leap second is the second after it.
    pub(crate) fn seconds(self) -> Option<u64> {
        let Self { year, month, day, hour, minute, second } = self;
        let fits = (1970..=9_999).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60;
        if !fits || second > 60 {
            return None;
        }
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day.checked_sub(1)?;
        let midnight = (days - 719_468) * 86_400;
        // What a month does not have is in the next one.
        let is_there = Self::of(midnight).day == day;
        is_there.then(|| midnight + hour * 3_600 + minute * 60 + second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (1_709_251_199, (2024, 2, 29, 23, 59, 59)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
            (1_795_747_391, (2026, 11, 27, 2, 43, 11)),
        ] {
            let Civil { year, month, day, hour, minute, second } = Civil::of(seconds);
            assert_eq!((year, month, day, hour, minute, second), expected);
            assert_eq!(Civil::of(seconds).seconds(), Some(seconds));
        }
        for day in 0..100_000 {
            let seconds = day * 86_400 + 12_345;
            assert_eq!(Civil::of(seconds).seconds(), Some(seconds));
        }
        let civil = |year, month, day, hour, minute, second| Civil { year, month, day, hour, minute, second };
        assert_eq!(civil(1990, 12, 31, 23, 59, 60).seconds(), Some(662_688_000));
        assert_eq!(civil(9999, 12, 31, 23, 59, 59).seconds(), Some(253_402_300_799));
        for none in [
            civil(1969, 12, 31, 23, 59, 59),
            civil(2026, 0, 1, 0, 0, 0),
            civil(2026, 13, 1, 0, 0, 0),
            civil(2026, 1, 0, 0, 0, 0),
            civil(2026, 1, 32, 0, 0, 0),
            civil(2026, 2, 29, 0, 0, 0),
            civil(2026, 1, 99, 0, 0, 0),
            civil(2026, 1, 1, 24, 0, 0),
            civil(2026, 1, 1, 0, 60, 0),
            civil(2026, 1, 1, 0, 0, 61),
        ] {
            assert_eq!(none.seconds(), None, "{none:?}");
        }
    }
}
