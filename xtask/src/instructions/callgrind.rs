//! Running a program under callgrind, which writes down what each call of one function has cost.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::run_quietly;

/// The function whose calls are counted, as callgrind calls it. (Of two options with the same wildcard it heeds one.)
const COUNTED: &str = "hot_paths::one_hot_path";

/// Instructions of one time by the names that the program prints, one for each call of the function; its first line
/// says how many times each call goes the path.
pub(super) fn count(program: &Path) -> Result<Vec<(String, u64)>> {
    let dir = tempfile::Builder::new().prefix("octavia-instructions-").tempdir()?;
    let out = dir.path().join("out");
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args([format!("--zero-before={COUNTED}"), format!("--dump-after={COUNTED}")])
        .arg(program);
    let printed = run_quietly(&mut command)?;
    let mut lines = printed.lines();
    let times: u64 = lines
        .next()
        .and_then(|line| line.strip_prefix("times ")?.parse().ok())
        .context("the program does not say how many times it goes each path")?;
    let mut counts = vec![];
    for (number, name) in (1..).zip(lines) {
        let path = out.with_extension(number.to_string());
        let dump = std::fs::read_to_string(&path)
            .with_context(|| format!("{name}: callgrind has not seen it, or not as a call of its own"))?;
        let total = total(&dump).with_context(|| format!("{name}: callgrind's file has no total"))?;
        ensure!(total >= times, "{name}: {total} instructions for {times} times");
        counts.push((name.to_owned(), total.div_ceil(times)));
    }
    if counts.is_empty() {
        bail!("the program names no path");
    }
    Ok(counts)
}

fn total(dump: &str) -> Option<u64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
    line?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        for (dump, expected) in [
            ("version: 1\nevents: Ir\n\nfn=(1) main\n1 100\n\ntotals: 1234\n", Some(1234)),
            ("events: Ir\nsummary: 99\n", Some(99)),
            ("events: Ir\n", None),
            ("totals: \n", None),
        ] {
            assert_eq!(total(dump), expected, "{dump}");
        }
    }
}
