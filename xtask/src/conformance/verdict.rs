//! What tempest's lines say of each test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many tests passed, which failed, and which were skipped why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) passed: usize,
    pub(crate) failed: Vec<String>,
    /// Reason → tests.
    pub(crate) skipped: BTreeMap<String, Vec<String>>,
}

impl Verdict {
    /// Reads lines such as `{0} package.Class.test [0.12s] ... ok`; others are not looked at.
    pub(crate) fn read(output: &str) -> Self {
        let mut verdict = Self::default();
        for line in output.lines() {
            let Some((test, outcome)) = line.split_once(" ... ") else { continue };
            let Some(name) = test.strip_prefix('{').and_then(|test| test.split_once("} ")) else { continue };
            let name = name.1.split(" [").next().unwrap_or_default().trim().to_owned();
            match outcome.trim() {
                "ok" => verdict.passed += 1,
                "FAILED" => verdict.failed.push(name),
                other => {
                    if let Some(reason) = other.strip_prefix("SKIPPED") {
                        let reason = reason.trim_start_matches(':').trim().to_owned();
                        verdict.skipped.entry(reason).or_default().push(name);
                    }
                }
            }
        }
        verdict.failed.sort_unstable();
        verdict.failed.dedup();
        verdict
    }

    pub(crate) fn skips(&self) -> usize {
        self.skipped.values().map(Vec::len).sum()
    }

    /// The skips as a page of documentation.
    pub(crate) fn page(&self) -> String {
        let mut page = String::from(
            "# What tempest says\n\n\
             `cargo xtask conformance tempest` runs every API test of octavia-tempest-plugin against `all-in-one\n\
             --network noop` with its embedded Keystone, and writes this page with `--write`.\n\n",
        );
        let _ = writeln!(
            page,
            "{} passed, {} failed, {} skipped.\n\n## Skipped, and why\n",
            self.passed,
            self.failed.len(),
            self.skips()
        );
        page.push_str("| reason the test gives | tests |\n|---|---|\n");
        for (reason, tests) in &self.skipped {
            let mut names: Vec<&str> =
                tests.iter().map(|test| test.rsplit("v2.").next().unwrap_or(test)).collect();
            names.sort_unstable();
            let _ = writeln!(page, "| {reason} | {} |", names.join("<br>"));
        }
        if !self.failed.is_empty() {
            page.push_str("\n## Failed\n\n");
            for test in &self.failed {
                let _ = writeln!(page, "- {test}");
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_outcomes() {
        let output = "\
{0} a.tests.api.v2.test_pool.PoolAPITest.test_one [0.122s] ... ok
{1} a.tests.api.v2.test_pool.PoolAPITest.test_two [1.1s] ... FAILED
{1} setUpClass (a.tests.api.v2.test_x.X) [0.000000s] ... FAILED
{0} a.tests.api.v2.test_pool.PoolAPITest.test_three ... SKIPPED: Needs a bug: #!/story/1 mended.
Captured traceback: x ... ok
 - Passed: 45
";
        let verdict = Verdict::read(output);
        assert_eq!(verdict.passed, 1);
        assert_eq!(verdict.failed.len(), 2);
        assert_eq!(verdict.skips(), 1);
        assert_eq!(verdict.skipped.keys().next().unwrap(), "Needs a bug: #!/story/1 mended.");
        let page = verdict.page();
        assert!(page.contains("1 passed, 2 failed, 1 skipped."), "{page}");
        assert!(page.contains("| test_pool.PoolAPITest.test_three |"), "{page}");
    }
}
