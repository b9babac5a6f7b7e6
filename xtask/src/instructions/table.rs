//! The counts that are checked in, and what to say of others.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// More, or fewer, in percent: what is checked in is not true any more.
const TOLERANCE: u64 = 3;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Compiler, libraries and processor.
    pub(super) made_by: String,
    /// Instructions by hot path.
    pub(super) counts: Vec<(String, u64)>,
}

impl Table {
    /// How the counts differ from these.
    pub(super) fn complaints(&self, counts: &[(String, u64)]) -> Vec<String> {
        let find = |table: &[(String, u64)], name: &str| {
            table.iter().find(|(other, _)| other == name).map(|(_, count)| *count)
        };
        let known = self.counts.iter().filter_map(|(name, before)| match find(counts, name) {
            None => Some(format!("{name}: is there no more")),
            Some(now) => {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let percent = (now as f64 / *before as f64 - 1.0) * 100.0;
                let how = if percent > 0.0 { "more" } else { "less" };
                (now.abs_diff(*before) * 100 > before * TOLERANCE)
                    .then(|| format!("{name}: {now}, {:.1} % {how} than {before}", percent.abs()))
            }
        });
        let new = counts.iter().filter(|(name, _)| find(&self.counts, name).is_none());
        known.chain(new.map(|(name, now)| format!("{name}: {now}, and was not there before"))).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Instructions that hot paths of the data plane take: cargo xtask instructions --update"
        )?;
        writeln!(f, "{}", self.made_by)?;
        for (name, count) in &self.counts {
            writeln!(f, "{count:>8}  {name}")?;
        }
        Ok(())
    }
}

impl FromStr for Table {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let made_by = lines.next().context("no line that says what the counts are of")?.to_owned();
        let counts = lines.map(|line| {
            let (count, name) = line.trim_start().split_once("  ").with_context(|| line.to_owned())?;
            Ok((name.to_owned(), count.parse().with_context(|| line.to_owned())?))
        });
        let counts: Vec<_> = counts.collect::<anyhow::Result<_>>()?;
        if counts.is_empty() {
            bail!("no counts");
        }
        Ok(Self { made_by, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Vec<(String, u64)> {
        let pairs = text.split_whitespace().map(|word| word.split_once('=').unwrap());
        pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
    }

    #[test]
    fn is_read_as_it_is_written() {
        let table = Table { made_by: "rustc 1, glibc 2".to_owned(), counts: counts("a=1 b=20000000") };
        assert_eq!(table.to_string().parse::<Table>().unwrap(), table);
        for broken in ["", "# only this\n", "rustc 1\n", "rustc 1\n1 a\n", "rustc 1\nx  a\n"] {
            assert!(broken.parse::<Table>().is_err(), "{broken}");
        }
    }

    #[test]
    fn what_is_told() {
        let table = Table { made_by: String::new(), counts: counts("a=1000 b=1000") };
        for (now, told) in [
            ("a=1000 b=1000", &[][..]),
            ("b=970 a=1030", &[]),
            ("a=1031 b=1000", &["a: 1031, 3.1 % more than 1000"]),
            ("a=1000 b=969", &["b: 969, 3.1 % less than 1000"]),
            ("a=1000", &["b: is there no more"]),
            ("a=1000 b=1000 c=5", &["c: 5, and was not there before"]),
        ] {
            assert_eq!(table.complaints(&counts(now)), told, "{now}");
        }
    }
}
